//! Newton direction where the columns on the support far outnumber the cells.
//!
//! The Hessian is `F^T F + C - U K U^T` with F (cells x support), C the bends `weight_g / ||w_g||` and the ridge on the
//! diagonal, and one column of U per group with a bend, `u = w_g / ||w_g||`, with K its bend. By the Woodbury
//! identity the solution needs a system of the size cells + groups; eliminating the groups, whose corner
//! `1/k - u^T C^-1 u` is not negative, leaves positive definite ones of the size of the cells and of the groups.

use super::cholesky;
use super::quadratic::dot;

/// Column blocks of the support with their bend.
#[derive(Debug, Clone, PartialEq)]
pub struct Bend {
    /// First position on the support.
    pub first: usize,
    /// One past the last position.
    pub last: usize,
    /// `weight / ||w||`.
    pub bend: f64,
}

/// Solve the Newton system for `slope`; `None` when it is singular to working precision.
///
/// * `rows`: the column of each support position, scaled so that its Gram is the curvature; `cells` values each.
/// * `ridge`: added to the diagonal of the Hessian.
/// * `unit`: `w_g / ||w_g||` on the support.
#[must_use]
pub fn solve(
    rows: &[f64],
    cells: usize,
    bends: &[Bend],
    ridge: &[f64],
    unit: &[f64],
    slope: &[f64],
) -> Option<Vec<f64>> {
    let mut inverse: Vec<f64> = ridge.to_vec();
    for b in bends {
        inverse[b.first..b.last].iter_mut().for_each(|c| *c += b.bend);
    }
    inverse.iter_mut().for_each(|c| *c = 1.0 / *c);
    let bends: Vec<&Bend> = bends.iter().filter(|b| b.bend > 0.0).collect();
    if inverse.iter().any(|&c| !(c > 0.0 && c.is_finite())) {
        return None;
    }
    let mut system = vec![0.0; cells * cells];
    let mut right = vec![0.0; cells];
    let mut sides = vec![vec![0.0; cells]; bends.len()];
    for (j, column) in rows.chunks_exact(cells).enumerate() {
        for (i, &a) in column.iter().enumerate() {
            let scaled = a * inverse[j];
            right[i] += scaled * slope[j];
            for (s, &b) in system[i * cells..i * cells + i + 1].iter_mut().zip(column) {
                *s += scaled * b;
            }
        }
    }
    for (side, b) in sides.iter_mut().zip(&bends) {
        for j in b.first..b.last {
            for (s, &a) in side.iter_mut().zip(&rows[j * cells..(j + 1) * cells]) {
                *s += a * inverse[j] * unit[j];
            }
        }
    }
    for i in 0..cells {
        system[i * cells + i] += 1.0;
        for k in 0..i {
            system[k * cells + i] = system[i * cells + k];
        }
    }
    let inner = |b: &[f64]| {
        let mut x = b.to_vec();
        cholesky::solve(&system, &mut x).then_some(x)
    };
    let base = inner(&right)?;
    let solved = sides.iter().map(|side| inner(side)).collect::<Option<Vec<_>>>()?;
    // the corner system of the groups: (B' P^-1 B) b = B' P^-1 r1 - r2
    let groups = bends.len();
    let mut corner = vec![0.0; groups * groups];
    let mut along = vec![0.0; groups];
    for (g, (side, bend)) in sides.iter().zip(&bends).enumerate() {
        for (h, other) in solved.iter().enumerate() {
            corner[g * groups + h] = dot::<false>(side, other);
        }
        let within = bend.first..bend.last;
        let left: f64 = within.map(|j| ridge[j] * inverse[j] * unit[j] * unit[j]).sum();
        corner[g * groups + g] += left / bend.bend;
        let own: f64 = (bend.first..bend.last).map(|j| unit[j] * inverse[j] * slope[j]).sum();
        along[g] = dot::<false>(side, &base) - own;
    }
    if !cholesky::solve(&corner, &mut along) {
        return None;
    }
    let mut cells_part = base;
    for (other, b) in solved.iter().zip(&along) {
        for (a, o) in cells_part.iter_mut().zip(other) {
            *a -= b * o;
        }
    }
    let mut direction: Vec<f64> = rows
        .chunks_exact(cells)
        .zip(slope)
        .zip(&inverse)
        .map(|((column, s), c)| c * (s - dot::<false>(column, &cells_part)))
        .collect();
    for (b, weight) in bends.iter().zip(&along) {
        for j in b.first..b.last {
            direction[j] -= inverse[j] * unit[j] * weight;
        }
    }
    Some(direction)
}

#[cfg(test)]
mod tests {
    use super::{Bend, solve};
    use crate::lasso::cholesky;

    #[test]
    fn the_direction_is_that_of_the_whole_hessian() {
        let (n, cells) = (23, 6);
        let rows: Vec<f64> = (0..n * cells).map(|i| (i as f64 * 0.73).sin()).collect();
        let slope: Vec<f64> = (0..n).map(|i| (i as f64 * 0.31).cos()).collect();
        let w: Vec<f64> = (0..n).map(|i| 0.2 + (i as f64 * 0.17).sin()).collect();
        let bends = [Bend { first: 0, last: 9, bend: 0.7 }, Bend { first: 9, last: n, bend: 2.5 }];
        let mut unit = vec![0.0; n];
        let mut hessian = vec![0.0; n * n];
        for i in 0..n {
            for k in 0..n {
                hessian[i * n + k] = (0..cells).map(|c| rows[i * cells + c] * rows[k * cells + c]).sum();
            }
        }
        for b in &bends {
            let size = w[b.first..b.last].iter().map(|w| w * w).sum::<f64>().sqrt();
            for i in b.first..b.last {
                unit[i] = w[i] / size;
                hessian[i * n + i] += b.bend;
            }
            for i in b.first..b.last {
                for k in b.first..b.last {
                    hessian[i * n + k] -= b.bend * unit[i] * unit[k];
                }
            }
        }
        let mut expected = slope.clone();
        assert!(cholesky::solve(&hessian, &mut expected));
        let direction = solve(&rows, cells, &bends, &vec![0.0; n], &unit, &slope).unwrap();
        for (d, e) in direction.iter().zip(&expected) {
            assert!((d - e).abs() < 1e-9 * (1.0 + e.abs()), "{d} {e}");
        }
    }
}
