//! Columns without any penalty are removed by regression first, like the intercept, so that the residual of
//! every point is orthogonal to them and the duality gap keeps its meaning.

use super::cholesky::{independent, solve};
use super::data_space::Data;
use super::gram::Gram;
use super::quadratic::{axpy, rows_times};

/// A column of which regression leaves less than this share of its square is a combination of others.
const DEPENDENT: f64 = 1e-12;

/// Regression of target and penalized columns on the unpenalized columns.
#[derive(Debug, Clone, Default)]
pub struct Eliminated {
    n_free: usize,
    chosen: Vec<usize>,
    on_target: Vec<f64>,
    on_columns: Vec<f64>,
}

impl Eliminated {
    /// `uu` is the Gram matrix of the free columns, `ux` their products with the `m` penalized columns (row by
    /// row) and `uy` with the target.
    fn new(uu: &[f64], ux: &[f64], uy: &[f64], m: usize) -> Self {
        let n_free = uy.len();
        let chosen = independent(uu, n_free, DEPENDENT);
        let regress = |right: Vec<f64>| {
            let a: Vec<f64> =
                chosen.iter().flat_map(|&i| chosen.iter().map(move |&j| uu[i * n_free + j])).collect();
            let mut b = right;
            if !solve(&a, &mut b) {
                b.fill(0.0);
            }
            b
        };
        let on_target = regress(chosen.iter().map(|&i| uy[i]).collect());
        let mut on_columns = Vec::with_capacity(m * chosen.len());
        for j in 0..m {
            on_columns.extend(regress(chosen.iter().map(|&i| ux[i * m + j]).collect()));
        }
        Self { n_free, chosen, on_target, on_columns }
    }

    /// Coefficients of the free columns that belong to coefficients `w` of the penalized ones.
    #[must_use]
    pub fn coefficients(&self, w: &[f64]) -> Vec<f64> {
        let mut out = vec![0.0; self.n_free];
        let k = self.chosen.len();
        for (i, &column) in self.chosen.iter().enumerate() {
            let used: f64 = w.iter().enumerate().map(|(j, w)| w * self.on_columns[j * k + i]).sum();
            out[column] = self.on_target[i] - used;
        }
        out
    }
}

/// Remove the columns from position `m` on from a Gram problem.
#[must_use]
pub fn reduce_gram(gram: Gram, m: usize) -> (Gram, Eliminated) {
    let p = gram.len();
    if m == p {
        return (gram, Eliminated::default());
    }
    let uu: Vec<f64> = (m..p).flat_map(|i| gram.row(i)[m..].iter().copied()).collect();
    let ux: Vec<f64> = (m..p).flat_map(|i| gram.row(i)[..m].iter().copied()).collect();
    let gone = Eliminated::new(&uu, &ux, &gram.xy[m..], m);
    let k = gone.chosen.len();
    let mut xx = vec![0.0; m * m];
    let mut xy = gram.xy[..m].to_vec();
    for i in 0..m {
        for j in 0..m {
            let removed: f64 = gone
                .chosen
                .iter()
                .enumerate()
                .map(|(c, &u)| ux[u * m + i] * gone.on_columns[j * k + c])
                .sum();
            xx[i * m + j] = gram.row(i)[j] - removed;
        }
        xy[i] -= gone.chosen.iter().zip(&gone.on_target).map(|(&u, t)| ux[u * m + i] * t).sum::<f64>();
    }
    for i in 0..m {
        if xx[i * m + i] <= DEPENDENT * gram.row(i)[i] {
            xy[i] = 0.0;
            for j in 0..m {
                xx[i * m + j] = 0.0;
                xx[j * m + i] = 0.0;
            }
        }
    }
    let explained: f64 = gone.chosen.iter().zip(&gone.on_target).map(|(&u, t)| gram.xy[m + u] * t).sum();
    let push = |i: usize, rows: &mut Vec<f64>| rows.extend_from_slice(&xx[i * m..(i + 1) * m]);
    (Gram::new(xy, (gram.yy - explained).max(0.0), push), gone)
}

/// Remove the columns from position `m` on from a problem in data space.
#[must_use]
pub fn reduce_data(data: Data, m: usize) -> (Data, Eliminated) {
    let n = data.y.len();
    let p = data.columns.len() / n.max(1);
    if m == p {
        return (data, Eliminated::default());
    }
    let (kept, free) = data.columns.split_at(m * n);
    let u = p - m;
    let (mut uu, mut ux, mut uy) = (vec![0.0; u * u], vec![0.0; u * m], vec![0.0; u]);
    for (i, column) in free.chunks_exact(n).enumerate() {
        rows_times(free, column, &mut uu[i * u..(i + 1) * u]);
        rows_times(kept, column, &mut ux[i * m..(i + 1) * m]);
    }
    rows_times(free, &data.y, &mut uy);
    let gone = Eliminated::new(&uu, &ux, &uy, m);
    let mut columns = kept.to_vec();
    let mut y = data.y.clone();
    for (c, &i) in gone.chosen.iter().enumerate() {
        let column = &free[i * n..(i + 1) * n];
        axpy::<false>(&mut y, -gone.on_target[c], column);
        for (j, kept) in columns.chunks_exact_mut(n).enumerate() {
            axpy::<false>(kept, -gone.on_columns[j * gone.chosen.len() + c], column);
        }
    }
    for (column, before) in columns.chunks_exact_mut(n).zip(kept.chunks_exact(n)) {
        let square = |c: &[f64]| c.iter().map(|v| v * v).sum::<f64>();
        if square(column) <= DEPENDENT * square(before) {
            column.fill(0.0);
        }
    }
    (Data::new(columns, y), gone)
}
