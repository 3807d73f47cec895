//! Second moments of one target's columns that add over sets of cells: clusters and folds are sums.

use super::gram::Gram;
use super::quadratic::runs;

/// Sums over some cells of the products of columns and target, all measured from one fixed center.
#[derive(Debug, Clone)]
pub struct Moments {
    /// Number of cells.
    pub n: usize,
    /// Sum of each column.
    pub x: Vec<f64>,
    /// Sum of the target.
    pub y: f64,
    /// Products of all pairs of columns, row by row, both halves filled.
    pub xx: Vec<f64>,
    /// Products of each column with the target.
    pub xy: Vec<f64>,
    /// Sum of squares of the target.
    pub yy: f64,
}

impl Moments {
    /// Moments of no cell for `p` columns.
    #[must_use]
    pub fn zeros(p: usize) -> Self {
        Self { n: 0, x: vec![0.0; p], y: 0.0, xx: vec![0.0; p * p], xy: vec![0.0; p], yy: 0.0 }
    }

    /// Add the moments of other cells.
    pub fn add(&mut self, other: &Self) {
        let sum = |to: &mut [f64], from: &[f64]| to.iter_mut().zip(from).for_each(|(t, f)| *t += f);
        self.n += other.n;
        self.y += other.y;
        self.yy += other.yy;
        sum(&mut self.x, &other.x);
        sum(&mut self.xx, &other.xx);
        sum(&mut self.xy, &other.xy);
    }

    /// Moments of these cells without those of a part of them.
    #[must_use]
    pub fn without(&self, part: &Self) -> Self {
        let less = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a - b).collect();
        Self {
            n: self.n - part.n,
            x: less(&self.x, &part.x),
            y: self.y - part.y,
            xx: less(&self.xx, &part.xx),
            xy: less(&self.xy, &part.xy),
            yy: self.yy - part.yy,
        }
    }

    /// Mean of column `j`, from the center.
    #[must_use]
    pub fn mean(&self, j: usize) -> f64 {
        self.x[j] / self.n as f64
    }

    /// Mean of the target, from the center.
    #[must_use]
    pub fn mean_y(&self) -> f64 {
        self.y / self.n as f64
    }

    /// Variance of column `j` (population).
    #[must_use]
    pub fn variance(&self, j: usize) -> f64 {
        let mean = self.mean(j);
        self.xx[j * self.x.len() + j] / self.n as f64 - mean * mean
    }

    /// Variance of the target (population).
    #[must_use]
    pub fn variance_y(&self) -> f64 {
        let mean = self.mean_y();
        (self.yy / self.n as f64 - mean * mean).max(0.0)
    }

    /// Centered Gram of the columns in `order`, each multiplied by its factor, the target by `factor_y`.
    #[must_use]
    pub fn gram(&self, order: &[usize], factors: &[f64], factor_y: f64) -> Gram {
        let (p, per_cell) = (self.x.len(), 1.0 / self.n as f64);
        let means: Vec<f64> = order.iter().map(|&j| self.mean(j)).collect();
        let mean_y = self.mean_y();
        let target = order.iter().zip(&means).zip(factors);
        let xy = target
            .map(|((&j, mean), by)| (self.xy[j] * per_cell - mean * mean_y) * (by * factor_y))
            .collect();
        let runs = runs(order);
        Gram::new(xy, self.variance_y() * factor_y * factor_y, |a, rows| {
            let (start, row) = (rows.len(), order[a] * p);
            for &(first, count) in &runs {
                rows.extend_from_slice(&self.xx[row + first..row + first + count]);
            }
            let (mean, factor) = (means[a], factors[a]);
            for ((value, m), f) in rows[start..].iter_mut().zip(&means).zip(factors) {
                *value = (*value * per_cell - mean * m) * (factor * f);
            }
        })
    }

    /// Sum of squares of `y - shift - x . beta` over the cells, `y` and `x` measured from the center.
    #[must_use]
    pub fn squared_error(&self, shift: f64, beta: &[f64]) -> f64 {
        let p = beta.len();
        let used: Vec<usize> = (0..p).filter(|&j| beta[j] != 0.0).collect();
        let mut cross = 0.0;
        let mut square = 0.0;
        for &i in &used {
            cross += beta[i] * (self.xy[i] - shift * self.x[i]);
            let row: f64 = used.iter().map(|&j| self.xx[i * p + j] * beta[j]).sum();
            square += beta[i] * row;
        }
        let target = self.yy - 2.0 * shift * self.y + self.n as f64 * shift * shift;
        (target - 2.0 * cross + square).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Moments;

    /// Moments of cells given as rows `[x0, x1, y]`.
    fn of(rows: &[[f64; 3]]) -> Moments {
        let mut total = Moments::zeros(2);
        for &[a, b, y] in rows {
            total.add(&Moments {
                n: 1,
                x: vec![a, b],
                y,
                xx: vec![a * a, a * b, a * b, b * b],
                xy: vec![a * y, b * y],
                yy: y * y,
            });
        }
        total
    }

    const ROWS: [[f64; 3]; 5] =
        [[1.0, 0.5, 2.0], [-2.0, 1.5, 0.0], [0.3, -1.0, 1.0], [0.7, 2.0, -1.0], [4.0, 0.1, 0.2]];

    #[test]
    fn a_fold_taken_out_leaves_the_others() {
        let left = of(&ROWS).without(&of(&ROWS[3..]));
        let direct = of(&ROWS[..3]);
        assert_eq!(left.n, 3);
        let (a, b) = (left.gram(&[1, 0], &[1.0, 1.0], 1.0), direct.gram(&[1, 0], &[1.0, 1.0], 1.0));
        for j in 0..2 {
            approx::assert_relative_eq!(a.row(j)[0], b.row(j)[0], epsilon = 1e-12);
            approx::assert_relative_eq!(a.row(j)[1], b.row(j)[1], epsilon = 1e-12);
            approx::assert_relative_eq!(a.xy[j], b.xy[j], epsilon = 1e-12);
        }
    }

    #[test]
    fn the_error_from_moments_is_the_error_of_the_cells() {
        let (shift, beta) = (0.3, [0.5, -1.2]);
        let direct: f64 = ROWS.iter().map(|[a, b, y]| (y - shift - beta[0] * a - beta[1] * b).powi(2)).sum();
        approx::assert_relative_eq!(of(&ROWS).squared_error(shift, &beta), direct, epsilon = 1e-12);
    }
}
