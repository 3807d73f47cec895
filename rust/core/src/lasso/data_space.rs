//! The problem on the data themselves, for fewer cells than columns: keeps the residual.

use super::quadratic::{Quadratic, axpy, dot, rows_combined, rows_times};

/// Centered columns and target of one problem, columns in solver order.
#[derive(Debug, Clone)]
pub struct Data {
    /// Columns one after the other, each of the length of `y`.
    pub columns: Vec<f64>,
    /// Target.
    pub y: Vec<f64>,
    diagonal: Vec<f64>,
    linear: Vec<f64>,
    null: f64,
}

impl Data {
    /// Problem with `columns.len() / y.len()` columns.
    #[must_use]
    pub fn new(columns: Vec<f64>, y: Vec<f64>) -> Self {
        let n = y.len() as f64;
        let p = columns.len() / y.len().max(1);
        let diagonal = columns.chunks_exact(y.len().max(1)).map(|c| dot::<false>(c, c) / n).collect();
        let mut linear = vec![0.0; p];
        rows_times(&columns, &y, &mut linear);
        linear.iter_mut().for_each(|v| *v /= n);
        let null = dot::<false>(&y, &y) / n;
        Self { columns, y, diagonal, linear, null }
    }

    /// `X^T y / n`.
    #[must_use]
    pub fn linear(&self) -> &[f64] {
        &self.linear
    }

    /// `y^T y / n`.
    #[must_use]
    pub fn null(&self) -> f64 {
        self.null
    }

    #[inline(always)]
    fn column(&self, j: usize) -> &[f64] {
        &self.columns[j * self.y.len()..(j + 1) * self.y.len()]
    }
}

/// A point in data space: keeps `r = y - X w`.
#[derive(Debug)]
pub struct DataState<'a> {
    data: &'a Data,
    residual: Vec<f64>,
    per_cell: f64,
}

impl<'a> DataState<'a> {
    /// Point at zero.
    #[must_use]
    pub fn new(data: &'a Data) -> Self {
        Self { data, residual: data.y.clone(), per_cell: 1.0 / data.y.len() as f64 }
    }
}

impl Quadratic for DataState<'_> {
    #[inline(always)]
    fn len(&self) -> usize {
        self.data.linear.len()
    }

    #[inline(always)]
    fn diagonal(&self) -> &[f64] {
        &self.data.diagonal
    }

    fn linear(&self) -> &[f64] {
        &self.data.linear
    }

    fn null(&self) -> f64 {
        self.data.null
    }

    #[inline(always)]
    fn descent_of<const FMA: bool>(&self, j: usize) -> f64 {
        dot::<FMA>(self.data.column(j), &self.residual) * self.per_cell
    }

    #[inline(always)]
    fn descent_without<const FMA: bool>(&mut self, start: usize, w: &[f64], out: &mut [f64]) {
        let mut partial = self.residual.clone();
        for (k, &w) in w.iter().enumerate() {
            if w != 0.0 {
                axpy::<FMA>(&mut partial, w, self.data.column(start + k));
            }
        }
        for (k, out) in out.iter_mut().enumerate() {
            *out = dot::<FMA>(self.data.column(start + k), &partial) * self.per_cell;
        }
    }

    #[inline(always)]
    fn step<const FMA: bool>(&mut self, j: usize, change: f64) {
        axpy::<FMA>(&mut self.residual, -change, self.data.column(j));
    }

    fn place(&mut self, w: &[f64]) {
        rows_combined(&self.data.columns, w, &mut self.residual);
        for (r, y) in self.residual.iter_mut().zip(&self.data.y) {
            *r = y - *r;
        }
    }

    fn descent(&self, out: &mut [f64]) {
        rows_times(&self.data.columns, &self.residual, out);
        out.iter_mut().for_each(|a| *a *= self.per_cell);
    }

    fn moments(&self, _w: &[f64]) -> (f64, f64) {
        let r = &self.residual;
        (dot::<false>(r, r) * self.per_cell, dot::<false>(&self.data.y, r) * self.per_cell)
    }

    fn product(&self, w: &[f64], out: &mut [f64]) {
        let mut prediction = vec![0.0; self.residual.len()];
        rows_combined(&self.data.columns, w, &mut prediction);
        rows_times(&self.data.columns, &prediction, out);
        out.iter_mut().for_each(|a| *a *= self.per_cell);
    }

    fn row(&self, j: usize, columns: &[usize], out: &mut [f64]) {
        let here = self.data.column(j);
        for (out, &k) in out.iter_mut().zip(columns) {
            rows_times(self.data.column(k), here, std::slice::from_mut(out));
            *out *= self.per_cell;
        }
    }

    fn short_columns(&self, support: &[usize]) -> Option<(Vec<f64>, usize)> {
        let cells = self.residual.len();
        let scale = self.per_cell.sqrt();
        let gather = || support.iter().flat_map(|&j| self.data.column(j)).map(|x| x * scale).collect();
        (cells < support.len()).then(|| (gather(), cells))
    }

    fn step_price(&self, support: usize) -> usize {
        // |A| n^2 / 2 against 2 n |A|, or |A|^2 n / 2.
        self.residual.len().min(support) / 12
    }
}
