//! Small dense factorizations.

use super::quadratic::{LANES as BLOCK, add_scaled, axpy, dot};
use crate::widest;

/// A symmetric positive definite system of which the upper half is filled in, scaled to a unit diagonal.
///
/// Rows are padded to whole registers; what is left of the diagonal is scratch.
#[derive(Debug, Clone)]
pub struct System {
    n: usize,
    stride: usize,
    scale: Vec<f64>,
    upper: Vec<f64>,
}

impl System {
    /// System with the given diagonal; `fill(i, row)` writes the entries `i..n` of row `i`, the diagonal
    /// included, as they are.
    ///
    /// Rows and columns are scaled here, so columns of very different size are harmless; `damping` is added
    /// to the scaled diagonal.
    pub fn new(diagonal: &[f64], damping: f64, mut fill: impl FnMut(usize, &mut [f64])) -> Self {
        let n = diagonal.len();
        let stride = n.next_multiple_of(BLOCK);
        let scale: Vec<f64> = diagonal.iter().map(|d| 1.0 / d.sqrt()).collect();
        let mut upper = vec![0.0; stride * n];
        for i in 0..n {
            let row = &mut upper[i * stride + i..i * stride + n];
            fill(i, row);
            for (value, by) in row.iter_mut().zip(&scale[i..]) {
                *value *= scale[i] * by;
            }
            row[0] += damping;
        }
        Self { n, stride, scale, upper }
    }

    /// Factor the system; `None` when the matrix is singular to working precision.
    #[must_use]
    pub fn factored(mut self) -> Option<Factored> {
        let mut ok = self.scale.iter().all(|s| s.is_finite());
        if ok {
            factor(&mut self.upper, self.n, self.stride, 1e-14, &mut ok);
        }
        ok.then_some(Factored(self))
    }
}

/// A factored system.
#[derive(Debug, Clone)]
pub struct Factored(System);

impl Factored {
    /// Solve for the right side `b`, which becomes the solution.
    pub fn solve(&self, b: &mut [f64]) {
        let System { scale, upper, stride, .. } = &self.0;
        b.iter_mut().zip(scale).for_each(|(b, s)| *b *= s);
        substitute(upper, *stride, b);
        b.iter_mut().zip(scale).for_each(|(b, s)| *b *= s);
    }
}

widest! {
    /// Upper factor `U` with `U^T U = a`, in place, of `n` rows of which the part from the diagonal on is read.
    ///
    /// `ok` becomes false when a pivot falls below `floor` times the diagonal entry it started from.
    fn factor(a: &mut [f64], n: usize, stride: usize, floor: f64, ok: &mut bool) {
        *ok = false;
        let starts: Vec<f64> = (0..n).map(|i| a[i * stride + i]).collect();
        for first in (0..n).step_by(BLOCK) {
            let last = (first + BLOCK).min(n);
            for k in first..last {
                let (above, here) = a.split_at_mut(k * stride);
                let here = &mut here[first..stride];
                for m in first..k {
                    let row = &above[m * stride + first..(m + 1) * stride];
                    axpy::<FMA>(here, -row[k - first], row);
                }
                let pivot = here[k - first];
                if !(pivot > floor * starts[k] && pivot.is_finite()) {
                    return;
                }
                let scale = 1.0 / pivot.sqrt();
                here.iter_mut().for_each(|v| *v *= scale);
            }
            if last < n {
                let (done, rest) = a.split_at_mut(last * stride);
                subtract_block::<FMA>(&done[first * stride..], rest, stride, last);
            }
        }
        *ok = true;
    }
}

/// Subtract from the rows from `last` on, in `rest`, the products of the eight rows in `done`.
#[inline(always)]
fn subtract_block<const FMA: bool>(done: &[f64], rest: &mut [f64], stride: usize, last: usize) {
    for (i, row) in rest.chunks_exact_mut(stride).enumerate() {
        // Whole registers: entries left of the diagonal are computed too and never read.
        let from = (last + i) / BLOCK * BLOCK;
        let at = last + i - from;
        let (out, _) = row[from..].as_chunks_mut::<BLOCK>();
        let row = |m: usize| done[m * stride + from..(m + 1) * stride].as_chunks::<BLOCK>().0;
        let (r0, r1, r2, r3) = (row(0), row(1), row(2), row(3));
        let (r4, r5, r6, r7) = (row(4), row(5), row(6), row(7));
        let by =
            [-r0[0][at], -r1[0][at], -r2[0][at], -r3[0][at], -r4[0][at], -r5[0][at], -r6[0][at], -r7[0][at]];
        for j in 0..out.len() {
            let mut sums = out[j];
            add_scaled::<FMA>(&mut sums, by[0], &r0[j]);
            add_scaled::<FMA>(&mut sums, by[1], &r1[j]);
            add_scaled::<FMA>(&mut sums, by[2], &r2[j]);
            add_scaled::<FMA>(&mut sums, by[3], &r3[j]);
            add_scaled::<FMA>(&mut sums, by[4], &r4[j]);
            add_scaled::<FMA>(&mut sums, by[5], &r5[j]);
            add_scaled::<FMA>(&mut sums, by[6], &r6[j]);
            add_scaled::<FMA>(&mut sums, by[7], &r7[j]);
            out[j] = sums;
        }
    }
}

widest! {
    /// Solve `U^T U x = b` with the upper factor in `a`.
    fn substitute(a: &[f64], stride: usize, b: &mut [f64]) {
        let n = b.len();
        for i in 0..n {
            let row = &a[i * stride..i * stride + n];
            let (head, tail) = b.split_at_mut(i + 1);
            head[i] /= row[i];
            axpy::<FMA>(tail, -head[i], &row[i + 1..]);
        }
        for i in (0..n).rev() {
            let row = &a[i * stride..i * stride + n];
            b[i] = (b[i] - dot::<FMA>(&row[i + 1..], &b[i + 1..])) / row[i];
        }
    }
}

/// Solve `a x = b` for a positive definite `a`, row by row, `b` becoming `x`.
///
/// Returns false, with `b` in an undefined state, when the matrix is singular to working precision.
#[must_use]
pub fn solve(a: &[f64], b: &mut [f64]) -> bool {
    let n = b.len();
    let diagonal: Vec<f64> = (0..n).map(|i| a[i * n + i]).collect();
    let system = System::new(&diagonal, 0.0, |i, row| row.copy_from_slice(&a[i * n + i..(i + 1) * n]));
    system.factored().is_some_and(|factored| {
        factored.solve(b);
        true
    })
}

/// Largest independent set of the columns of a Gram matrix, taken greedily in the given order.
///
/// A column is dependent when regression on the chosen ones leaves less than `tol` of its square.
#[must_use]
pub fn independent(gram: &[f64], n: usize, tol: f64) -> Vec<usize> {
    let mut chosen: Vec<usize> = Vec::new();
    let mut rows: Vec<Vec<f64>> = Vec::new();
    for i in 0..n {
        let start = gram[i * n + i];
        let mut row: Vec<f64> = Vec::with_capacity(chosen.len() + 1);
        for (k, &j) in chosen.iter().enumerate() {
            let done: f64 = rows[k][..k].iter().zip(&row).map(|(a, b)| a * b).sum();
            row.push((gram[i * n + j] - done) / rows[k][k]);
        }
        let pivot = start - row.iter().map(|v| v * v).sum::<f64>();
        if pivot > tol * start && pivot > 0.0 {
            row.push(pivot.sqrt());
            rows.push(row);
            chosen.push(i);
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::{independent, solve};

    #[test]
    fn a_badly_scaled_system_is_solved() {
        let a = vec![1e12, 1e3, 0.0, 1e3, 4.0, 1e-7, 0.0, 1e-7, 1e-12];
        let x = [1.0, -2.0, 3e3];
        let mut b: Vec<f64> = (0..3).map(|i| (0..3).map(|j| a[i * 3 + j] * x[j]).sum()).collect();
        assert!(solve(&a, &mut b));
        for (b, x) in b.iter().zip(&x) {
            approx::assert_relative_eq!(b, x, max_relative = 1e-10);
        }
    }

    #[test]
    fn systems_of_every_size_are_solved() {
        for n in 1..40 {
            let entry =
                |i: usize, j: usize| if i == j { n as f64 } else { 1.0 / (1.0 + i.abs_diff(j) as f64) };
            let a: Vec<f64> = (0..n * n).map(|k| entry(k / n, k % n)).collect();
            let mut b: Vec<f64> = (0..n).map(|i| (0..n).map(|j| entry(i, j) * j as f64).sum()).collect();
            assert!(solve(&a, &mut b));
            for (j, b) in b.iter().enumerate() {
                approx::assert_abs_diff_eq!(*b, j as f64, epsilon = 1e-11);
            }
        }
    }

    #[test]
    fn a_singular_system_is_reported() {
        assert!(!solve(&[1.0, 1.0, 1.0, 1.0], &mut [1.0, 1.0]));
    }

    #[test]
    fn a_repeated_column_is_left_out() {
        assert_eq!(independent(&[2.0, 2.0, 1.0, 2.0, 2.0, 1.0, 1.0, 1.0, 3.0], 3, 1e-12), [0, 2]);
    }
}
