//! The problem in Gram space: `G = X^T X / n`, `q = X^T y / n`, cost independent of the number of cells.

use super::quadratic::{LANES, Quadratic, axpy, dot, rows_combined};

/// Centered second moments of one problem, columns in solver order.
#[derive(Debug, Clone)]
pub struct Gram {
    /// Rows padded with zeros to whole registers.
    xx: Vec<f64>,
    stride: usize,
    /// `q`.
    pub xy: Vec<f64>,
    /// `y^T y / n`.
    pub yy: f64,
    diagonal: Vec<f64>,
}

impl Gram {
    /// Gram of `xy.len()` columns; `push(i, rows)` appends row `i` of `G`.
    pub fn new(xy: Vec<f64>, yy: f64, mut push: impl FnMut(usize, &mut Vec<f64>)) -> Self {
        let p = xy.len();
        let stride = p.next_multiple_of(LANES);
        let mut xx = Vec::with_capacity(p * stride);
        for i in 0..p {
            push(i, &mut xx);
            xx.resize((i + 1) * stride, 0.0);
        }
        let diagonal = (0..p).map(|j| xx[j * stride + j]).collect();
        Self { xx, stride, xy, yy, diagonal }
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

    /// Row `j` of `G`.
    #[must_use]
    pub fn row(&self, j: usize) -> &[f64] {
        &self.padded_row(j)[..self.len()]
    }

    /// Row `j` of `G`, padded with zeros to whole registers.
    #[inline(always)]
    pub(crate) fn padded_row(&self, j: usize) -> &[f64] {
        &self.xx[j * self.stride..(j + 1) * self.stride]
    }

    /// Length of a padded row.
    pub(crate) fn stride(&self) -> usize {
        self.stride
    }

    /// Diagonal of `G`.
    pub(crate) fn diagonal(&self) -> &[f64] {
        &self.diagonal
    }

    /// `out = G w`, padded.
    pub(crate) fn times(&self, w: &[f64], out: &mut [f64]) {
        rows_combined(&self.xx, w, out);
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
        Self { gram, v: vec![0.0; gram.stride] }
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
                axpy::<FMA>(out, w, &self.gram.padded_row(j)[range.clone()]);
            }
        }
    }

    #[inline(always)]
    fn step<const FMA: bool>(&mut self, j: usize, change: f64) {
        axpy::<FMA>(&mut self.v, change, self.gram.padded_row(j));
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
        let vw = dot::<false>(&self.v[..w.len()], w);
        ((self.gram.yy - 2.0 * qw + vw).max(0.0), self.gram.yy - qw)
    }

    fn product(&self, w: &[f64], out: &mut [f64]) {
        let mut padded = vec![0.0; self.gram.stride];
        rows_combined(&self.gram.xx, w, &mut padded);
        out.copy_from_slice(&padded[..out.len()]);
    }

    fn row(&self, j: usize, columns: &[usize], out: &mut [f64]) {
        let row = self.gram.row(j);
        for (out, &k) in out.iter_mut().zip(columns) {
            *out = row[k];
        }
    }

    fn step_price(&self, support: usize) -> usize {
        // |A|^3 / 3 in blocks at several times the speed of the p |A| of a sweep.
        support * support / (40 * self.gram.len().max(1))
    }
}
