//! Small dense factorizations.

use super::quadratic::dot;
use crate::widest;

widest! {
    /// Lower factor of the symmetric `n x n` matrix `a`, in place (the upper half is left as it is).
    ///
    /// `ok` becomes false when a pivot falls below `floor` times the diagonal entry it started from.
    fn factor(a: &mut [f64], n: usize, floor: f64, ok: &mut bool) {
        *ok = true;
        for i in 0..n {
            let (above, here) = a.split_at_mut(i * n);
            let here = &mut here[..n];
            for j in 0..i {
                let row = &above[j * n..j * n + n];
                here[j] = (here[j] - dot::<FMA>(&row[..j], &here[..j])) / row[j];
            }
            let start = here[i];
            let pivot = start - dot::<FMA>(&here[..i], &here[..i]);
            if !(pivot > floor * start && pivot.is_finite()) {
                *ok = false;
                return;
            }
            here[i] = pivot.sqrt();
        }
    }
}

/// Solve `a x = b` for a positive definite `a` (row by row, destroyed), `b` becoming `x`.
///
/// Rows and columns are scaled to a unit diagonal first, so columns of very different size are harmless.
/// Returns false, with `b` in an undefined state, when the matrix is singular to working precision.
#[must_use]
pub fn solve(a: &mut [f64], b: &mut [f64]) -> bool {
    let n = b.len();
    let scale: Vec<f64> = (0..n).map(|i| 1.0 / a[i * n + i].sqrt()).collect();
    if scale.iter().any(|s| !s.is_finite()) {
        return false;
    }
    for i in 0..n {
        for j in 0..n {
            a[i * n + j] *= scale[i] * scale[j];
        }
        b[i] *= scale[i];
    }
    let mut ok = false;
    factor(a, n, 1e-14, &mut ok);
    if !ok {
        return false;
    }
    substitute(a, b);
    for (b, s) in b.iter_mut().zip(&scale) {
        *b *= s;
    }
    true
}

/// Solve `L L^T x = b` with the lower factor in `a`.
fn substitute(a: &[f64], b: &mut [f64]) {
    let n = b.len();
    for i in 0..n {
        let done: f64 = (0..i).map(|j| a[i * n + j] * b[j]).sum();
        b[i] = (b[i] - done) / a[i * n + i];
    }
    for i in (0..n).rev() {
        b[i] /= a[i * n + i];
        let value = b[i];
        for j in 0..i {
            b[j] -= value * a[i * n + j];
        }
    }
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
        let mut a = vec![1e12, 1e3, 0.0, 1e3, 4.0, 1e-7, 0.0, 1e-7, 1e-12];
        let x = [1.0, -2.0, 3e3];
        let mut b: Vec<f64> = (0..3).map(|i| (0..3).map(|j| a[i * 3 + j] * x[j]).sum()).collect();
        assert!(solve(&mut a, &mut b));
        for (b, x) in b.iter().zip(&x) {
            approx::assert_relative_eq!(b, x, max_relative = 1e-10);
        }
    }

    #[test]
    fn a_singular_system_is_reported() {
        assert!(!solve(&mut [1.0, 1.0, 1.0, 1.0], &mut [1.0, 1.0]));
    }

    #[test]
    fn a_repeated_column_is_left_out() {
        assert_eq!(independent(&[2.0, 2.0, 1.0, 2.0, 2.0, 1.0, 1.0, 1.0, 3.0], 3, 1e-12), [0, 2]);
    }
}
