//! Eigenvalues and eigenvectors of small symmetric matrices, and raising eigenvalues to a floor.
//!
//! Householder reflections to a tridiagonal matrix, then implicit QL steps whose rotations are applied to the
//! rows of the transposed basis, which are contiguous (Golub and Van Loan, Matrix Computations, 8.3).

use super::quadratic::{LANES, axpy, dot, registers_dot};
use super::syrk;
use crate::simd::fma;
use crate::widest;

/// QL steps per eigenvalue; three are usual.
const STEPS: usize = 60;

/// `a = sum_i values[i] u_i u_i^T`, eigenvectors `u_i` row by row.
#[derive(Debug, Clone)]
pub struct Eigen {
    /// Eigenvalues in no particular order.
    pub values: Vec<f64>,
    /// Eigenvectors of unit length, padded rows.
    vectors: Vec<f64>,
    stride: usize,
}

impl Eigen {
    /// Decompose the symmetric `n` x `n` matrix `a`, row by row, both halves filled.
    #[must_use]
    pub fn new(a: &[f64], n: usize) -> Self {
        let stride = n.next_multiple_of(LANES);
        let mut reduced = vec![0.0; n * stride];
        for (to, from) in reduced.chunks_exact_mut(stride.max(1)).zip(a.chunks_exact(n.max(1))) {
            to[..n].copy_from_slice(from);
        }
        let (mut values, mut off) = (vec![0.0; n], vec![0.0; n]);
        let mut vectors = vec![0.0; n * stride];
        tridiagonal(&mut reduced, n, stride, &mut values, &mut off, &mut vectors);
        iterate(&mut values, &mut off, &mut vectors, stride);
        Self { values, vectors, stride }
    }

    /// Eigenvector `i`.
    #[must_use]
    pub fn vector(&self, i: usize) -> &[f64] {
        &self.vectors[i * self.stride..i * self.stride + self.values.len()]
    }
}

/// Raise the eigenvalues of the symmetric matrix `a` that are below `floor` to it, in place.
///
/// Returns `b^T a^-1 b` of the result.
pub fn raise(a: &mut [f64], b: &[f64], floor: f64) -> f64 {
    let n = b.len();
    let eigen = Eigen::new(a, n);
    let low: Vec<usize> = (0..n).filter(|&i| eigen.values[i] < floor).collect();
    let high: Vec<usize> = (0..n).filter(|&i| eigen.values[i] >= floor).collect();
    // The smaller part is summed: what has to be added, or what is left above the floor.
    let (part, keep) = if low.len() <= high.len() { (&low, true) } else { (&high, false) };
    if !keep {
        a.fill(0.0);
        (0..n).for_each(|i| a[i * n + i] = floor);
    }
    let mut columns = vec![0.0; n * part.len()];
    for (k, &i) in part.iter().enumerate() {
        let by = (eigen.values[i] - floor).abs().sqrt();
        for (j, u) in eigen.vector(i).iter().enumerate() {
            columns[j * part.len() + k] = by * u;
        }
    }
    if !part.is_empty() {
        let added = syrk::gram(&columns, part.len(), n);
        a.iter_mut().zip(&added).for_each(|(a, add)| *a += add);
    }
    let along = |i: usize| dot::<false>(eigen.vector(i), b).powi(2) / eigen.values[i].max(floor);
    (0..n).map(along).sum()
}

widest! {
    /// Reduce `a` to the diagonal `d` and the entries `e[i]` between `i` and `i + 1`; `basis` holds in its
    /// rows the transposed basis, `a = basis^T T basis`.
    ///
    /// Vectors start at a whole register, with zeros before their first entry. The update of a row by one
    /// reflection and its product with the next one are done in the same pass.
    fn tridiagonal(a: &mut [f64], n: usize, stride: usize, d: &mut [f64], e: &mut [f64], basis: &mut [f64]) {
        let mut factors = vec![0.0; n];
        let mut v = vec![0.0; stride];
        let mut p = vec![0.0; stride];
        let mut reflectors = vec![0.0; n * stride];
        let (mut before_v, mut before_p) = (vec![0.0; stride], vec![0.0; stride]);
        for k in 0..n {
            let here = k / LANES * LANES;
            subtract_pair::<FMA>(a, k, stride, here, &before_v, &before_p);
            d[k] = a[k * stride + k];
            if k + 1 == n {
                break;
            }
            let from = (k + 1) / LANES * LANES;
            v.fill(0.0);
            v[k + 1..n].copy_from_slice(&a[k * stride + k + 1..k * stride + n]);
            let tail: f64 = v[k + 2..n].iter().map(|v| v * v).sum();
            let head = v[k + 1];
            if tail == 0.0 {
                e[k] = head;
                v.fill(0.0);
            } else {
                let norm = fma::<FMA>(head, head, tail).sqrt();
                e[k] = if head > 0.0 { -norm } else { norm };
                v[k + 1] -= e[k];
                factors[k] = 2.0 / fma::<FMA>(v[k + 1], v[k + 1], tail);
            }
            p.fill(0.0);
            for i in k + 1..n {
                subtract_pair::<FMA>(a, i, stride, from, &before_v, &before_p);
                p[i] = factors[k] * registers_dot::<FMA>(&a[i * stride + from..(i + 1) * stride], &v[from..]);
            }
            let half = 0.5 * factors[k] * registers_dot::<FMA>(&p[from..], &v[from..]);
            axpy::<FMA>(&mut p, -half, &v);
            reflectors[k * stride..(k + 1) * stride].copy_from_slice(&v);
            std::mem::swap(&mut before_v, &mut v);
            std::mem::swap(&mut before_p, &mut p);
        }
        basis.fill(0.0);
        for i in 0..n {
            basis[i * stride + i] = 1.0;
        }
        // basis = (H_0 H_1 ...)^T: rows times the reflections, the last one first.
        for k in (0..n.saturating_sub(1)).rev() {
            let from = (k + 1) / LANES * LANES;
            let v = &reflectors[k * stride + from..(k + 1) * stride];
            for i in k + 1..n {
                let row = &mut basis[i * stride + from..(i + 1) * stride];
                let by = factors[k] * registers_dot::<FMA>(row, v);
                axpy::<FMA>(row, -by, v);
            }
        }
    }
}

/// Subtract `v_i p + p_i v` from row `i`, from the column `from` on.
#[inline(always)]
fn subtract_pair<const FMA: bool>(a: &mut [f64], i: usize, stride: usize, from: usize, v: &[f64], p: &[f64]) {
    let (x, y) = (-v[i], -p[i]);
    let row = &mut a[i * stride + from..(i + 1) * stride];
    for ((row, p), v) in row.iter_mut().zip(&p[from..]).zip(&v[from..]) {
        *row = fma::<FMA>(x, *p, fma::<FMA>(y, *v, *row));
    }
}

widest! {
    /// Diagonalize the tridiagonal matrix with diagonal `d` and neighbors `e`, turning the rows of `basis`.
    fn iterate(d: &mut [f64], e: &mut [f64], basis: &mut [f64], stride: usize) {
        let n = d.len();
        let mut turns = Vec::with_capacity(n);
        for l in 0..n {
            for _ in 0..STEPS {
                let mut m = l;
                while m + 1 < n && e[m].abs() > f64::EPSILON * (d[m].abs() + d[m + 1].abs()) {
                    m += 1;
                }
                if m == l {
                    break;
                }
                turns.clear();
                step(d, e, l, m, &mut turns);
                for (k, &(sine, cosine)) in turns.iter().enumerate() {
                    let i = m - 1 - k;
                    let (upper, lower) = basis[i * stride..(i + 2) * stride].split_at_mut(stride);
                    for (a, b) in upper.iter_mut().zip(lower) {
                        let (x, y) = (*a, *b);
                        *b = fma::<FMA>(sine, x, cosine * y);
                        *a = fma::<FMA>(cosine, x, -sine * y);
                    }
                }
            }
        }
    }
}

/// One implicit QL step with Wilkinson's shift on the rows `l..=m`; collects sine and cosine of the rotations of
/// the rows `i` and `i + 1`, from `i = m - 1` down.
fn step(d: &mut [f64], e: &mut [f64], l: usize, m: usize, turns: &mut Vec<(f64, f64)>) {
    let half = (d[l + 1] - d[l]) / (2.0 * e[l]);
    let root = half.hypot(1.0);
    let mut g = d[m] - d[l] + e[l] / (half + root.copysign(half));
    let (mut sine, mut cosine, mut p) = (1.0, 1.0, 0.0);
    for i in (l..m).rev() {
        let (f, b) = (sine * e[i], cosine * e[i]);
        let r = (f * f + g * g).sqrt();
        e[i + 1] = r;
        if r == 0.0 {
            d[i + 1] -= p;
            e[m] = 0.0;
            return;
        }
        let by = 1.0 / r;
        sine = f * by;
        cosine = g * by;
        g = d[i + 1] - p;
        let s = (d[i] - g) * sine + 2.0 * cosine * b;
        p = sine * s;
        d[i + 1] = g + p;
        g = cosine * s - b;
        turns.push((sine, cosine));
    }
    d[l] -= p;
    e[l] = g;
    e[m] = 0.0;
}

#[cfg(test)]
mod tests {
    use super::{Eigen, raise};
    use proptest::prelude::*;

    fn matrix(n: usize, rank: usize, seed: u64) -> Vec<f64> {
        let factor = |i: usize, k: usize| ((i * 31 + k * 17) as f64 + seed as f64 * 0.37).sin();
        let entry = |i: usize, j: usize| (0..rank).map(|k| factor(i, k) * factor(j, k)).sum::<f64>();
        (0..n * n).map(|at| entry(at / n, at % n) - if at % (n + 1) == 0 { 0.3 } else { 0.0 }).collect()
    }

    proptest! {
        #[test]
        fn the_parts_make_the_matrix_again(n in 1..40usize, rank in 0..45usize, seed in 0..50u64) {
            let a = matrix(n, rank, seed);
            let eigen = Eigen::new(&a, n);
            let size = a.iter().fold(1.0f64, |m, v| m.max(v.abs()));
            for i in 0..n {
                for j in 0..n {
                    let sum: f64 =
                        (0..n).map(|k| eigen.values[k] * eigen.vector(k)[i] * eigen.vector(k)[j]).sum();
                    prop_assert!((sum - a[i * n + j]).abs() < 1e-12 * size * n as f64);
                    let inner: f64 =
                        eigen.vector(i).iter().zip(eigen.vector(j)).map(|(x, y)| x * y).sum();
                    prop_assert!((inner - f64::from(u8::from(i == j))).abs() < 1e-12);
                }
            }
        }

        #[test]
        fn nothing_is_left_below_the_floor(n in 1..30usize, rank in 0..35usize, seed in 0..50u64) {
            let mut a = matrix(n, rank, seed);
            let before = Eigen::new(&a, n);
            let b: Vec<f64> = (0..n).map(|i| (i as f64).cos()).collect();
            let energy = raise(&mut a, &b, 0.05);
            let after = Eigen::new(&a, n);
            let sorted = |mut v: Vec<f64>| { v.sort_by(f64::total_cmp); v };
            let expected = sorted(before.values.iter().map(|v| v.max(0.05)).collect());
            for (found, expected) in sorted(after.values).iter().zip(&expected) {
                prop_assert!((found - expected).abs() < 1e-11 * (1.0 + expected));
            }
            let mut x = b.clone();
            prop_assert!(crate::lasso::cholesky::solve(&a, &mut x));
            let direct: f64 = x.iter().zip(&b).map(|(x, b)| x * b).sum();
            prop_assert!((direct - energy).abs() < 1e-9 * (1.0 + energy));
        }
    }

    #[test]
    fn a_diagonal_matrix_is_its_own_decomposition() {
        let eigen = Eigen::new(&[2.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 0.0], 3);
        assert_eq!(eigen.values, [2.0, -1.0, 0.0]);
    }
}
