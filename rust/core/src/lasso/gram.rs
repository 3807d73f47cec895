//! The problem in Gram space: `G = X^T X / n`, `q = X^T y / n`, cost independent of the number of cells.

use super::quadratic::{Quadratic, axpy, dot, rows_combined};

/// Centered second moments of one problem, columns in solver order.
#[derive(Debug, Clone)]
pub struct Gram {
    /// `G`, row by row, both halves filled.
    pub xx: Vec<f64>,
    /// `q`.
    pub xy: Vec<f64>,
    /// `y^T y / n`.
    pub yy: f64,
    diagonal: Vec<f64>,
}

impl Gram {
    /// Gram of `xy.len()` columns.
    #[must_use]
    pub fn new(xx: Vec<f64>, xy: Vec<f64>, yy: f64) -> Self {
        let p = xy.len();
        let diagonal = (0..p).map(|j| xx[j * p + j]).collect();
        Self { xx, xy, yy, diagonal }
    }

    /// Number of columns.
    #[must_use]
    pub fn len(&self) -> usize {
        self.xy.len()
    }

    /// True when there is no column.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.xy.is_empty()
    }
}

/// A point in Gram space: keeps `v = G w`.
#[derive(Debug)]
pub struct GramState<'a> {
    gram: &'a Gram,
    v: Vec<f64>,
}

impl<'a> GramState<'a> {
    /// Point at zero.
    #[must_use]
    pub fn new(gram: &'a Gram) -> Self {
        Self { gram, v: vec![0.0; gram.len()] }
    }

    #[inline(always)]
    fn row(&self, j: usize) -> &'a [f64] {
        let p = self.gram.xy.len();
        &self.gram.xx[j * p..(j + 1) * p]
    }
}

impl Quadratic for GramState<'_> {
    #[inline(always)]
    fn len(&self) -> usize {
        self.gram.xy.len()
    }

    #[inline(always)]
    fn diagonal(&self) -> &[f64] {
        &self.gram.diagonal
    }

    fn linear(&self) -> &[f64] {
        &self.gram.xy
    }

    #[inline(always)]
    fn null(&self) -> f64 {
        self.gram.yy
    }

    #[inline(always)]
    fn descent_of<const FMA: bool>(&self, j: usize) -> f64 {
        self.gram.xy[j] - self.v[j]
    }

    #[inline(always)]
    fn descent_without<const FMA: bool>(&mut self, start: usize, w: &[f64], out: &mut [f64]) {
        let range = start..start + out.len();
        for (out, j) in out.iter_mut().zip(range.clone()) {
            *out = self.gram.xy[j] - self.v[j];
        }
        for (j, &w) in range.clone().zip(w) {
            if w != 0.0 {
                axpy::<FMA>(out, w, &self.row(j)[range.clone()]);
            }
        }
    }

    #[inline(always)]
    fn step<const FMA: bool>(&mut self, j: usize, change: f64) {
        let row = self.row(j);
        axpy::<FMA>(&mut self.v, change, row);
    }

    fn place(&mut self, w: &[f64]) {
        rows_combined(&self.gram.xx, w, &mut self.v);
    }

    fn descent(&self, out: &mut [f64]) {
        for ((out, q), v) in out.iter_mut().zip(&self.gram.xy).zip(&self.v) {
            *out = q - v;
        }
    }

    fn moments(&self, w: &[f64]) -> (f64, f64) {
        let qw = dot::<false>(&self.gram.xy, w);
        let vw = dot::<false>(&self.v, w);
        ((self.gram.yy - 2.0 * qw + vw).max(0.0), self.gram.yy - qw)
    }

    fn product(&self, w: &[f64], out: &mut [f64]) {
        rows_combined(&self.gram.xx, w, out);
    }

    fn block(&self, support: &[usize], out: &mut [f64]) {
        for (&i, out) in support.iter().zip(out.chunks_exact_mut(support.len().max(1))) {
            let row = self.row(i);
            for (out, &j) in out.iter_mut().zip(support) {
                *out = row[j];
            }
        }
    }
}
