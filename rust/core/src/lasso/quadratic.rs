//! The smooth part of the problem, behind one interface for the Gram form and the data form.

use super::groups::Block;
use crate::simd::fma;
use crate::widest;

/// `f(w) = ||y - X w||^2 / (2n)` at a current point `w` that the solver moves one coordinate at a time.
///
/// `G = X^T X / n` and `q = X^T y / n`; the implementation decides what it stores.
pub trait Quadratic: Sync {
    /// Number of columns.
    fn len(&self) -> usize;

    /// True when there is no column.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Diagonal of `G`, every entry positive.
    fn diagonal(&self) -> &[f64];

    /// `q`, the negative gradient at zero.
    fn linear(&self) -> &[f64];

    /// `||y||^2 / n`.
    fn null(&self) -> f64;

    /// Entry `j` of the negative gradient at the current point.
    fn descent_of<const FMA: bool>(&self, j: usize) -> f64;

    /// Negative gradient of the columns `start..start + out.len()` at the current point with these columns'
    /// own coefficients `w` set to zero.
    fn descent_without<const FMA: bool>(&mut self, start: usize, w: &[f64], out: &mut [f64]);

    /// Follow the change of coefficient `j` by `change`.
    fn step<const FMA: bool>(&mut self, j: usize, change: f64);

    /// Place the current point at `w`, free of the rounding collected by [`step`](Self::step).
    fn place(&mut self, w: &[f64]);

    /// Whether [`place`](Self::place) costs little beside [`descent`](Self::descent).
    fn places_fast(&self) -> bool {
        false
    }

    /// Negative gradient at the current point.
    fn descent(&self, out: &mut [f64]);

    /// `(||r||^2 / n, y^T r / n)` with the residual `r` of the current point, which must be `w`.
    fn moments(&self, w: &[f64]) -> (f64, f64);

    /// `G w`.
    fn product(&self, w: &[f64], out: &mut [f64]);

    /// Entries `columns` of row `j` of `G`.
    fn row(&self, j: usize, columns: &[usize], out: &mut [f64]);

    /// Columns on `support`, one after the other and scaled so that their Gram is `G`, with their length: only
    /// where they are shorter than the support, so that `G` is singular there and working with them is cheaper.
    fn short_columns(&self, _support: &[usize]) -> Option<(Vec<f64>, usize)> {
        None
    }

    /// Move the coefficients of a group to the exact minimum over them, for a `G` that is diagonal inside
    /// groups. Returns the largest `G_jj d^2`; `None` when `G` is of another kind.
    fn minimize_block<const FMA: bool>(&mut self, _block: &Block, _l1: f64, _w: &mut [f64]) -> Option<f64> {
        None
    }

    /// Number of sweeps over a support of this size that cost as much as one Newton step on it.
    fn step_price(&self, support: usize) -> usize;
}

/// Numbers in the widest register: the unit of packing and padding.
pub const LANES: usize = 8;

/// `sums += factor * values`, one register.
#[inline(always)]
pub fn add_scaled<const FMA: bool>(sums: &mut [f64; LANES], factor: f64, values: &[f64; LANES]) {
    for lane in 0..LANES {
        sums[lane] = fma::<FMA>(factor, values[lane], sums[lane]);
    }
}

/// Sum of products in 32 fixed lanes: enough independent sums to hide the latency of the additions.
#[inline(always)]
pub fn dot<const FMA: bool>(a: &[f64], b: &[f64]) -> f64 {
    let mut lanes = [[0.0f64; 8]; 4];
    let (a_chunks, a_rest) = a.as_chunks::<32>();
    let (b_chunks, b_rest) = b.as_chunks::<32>();
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        for (part, lane) in lanes.iter_mut().enumerate() {
            for i in 0..8 {
                lane[i] = fma::<FMA>(a[part * 8 + i], b[part * 8 + i], lane[i]);
            }
        }
    }
    let mut sum = 0.0;
    for i in 0..8 {
        sum += (lanes[0][i] + lanes[1][i]) + (lanes[2][i] + lanes[3][i]);
    }
    for (a, b) in a_rest.iter().zip(b_rest) {
        sum = fma::<FMA>(*a, *b, sum);
    }
    sum
}

/// Sum of products of whole registers.
#[inline(always)]
pub fn registers_dot<const FMA: bool>(a: &[f64], b: &[f64]) -> f64 {
    let (a, b) = (a.as_chunks::<LANES>().0, b.as_chunks::<LANES>().0);
    let (mut even, mut odd) = ([0.0; LANES], [0.0; LANES]);
    let (a_pairs, a_last) = a.as_chunks::<2>();
    let (b_pairs, b_last) = b.as_chunks::<2>();
    for (a, b) in a_pairs.iter().zip(b_pairs) {
        for i in 0..LANES {
            even[i] = fma::<FMA>(a[0][i], b[0][i], even[i]);
            odd[i] = fma::<FMA>(a[1][i], b[1][i], odd[i]);
        }
    }
    for (a, b) in a_last.iter().zip(b_last) {
        for i in 0..LANES {
            even[i] = fma::<FMA>(a[i], b[i], even[i]);
        }
    }
    let mut sum = 0.0;
    for i in 0..LANES {
        sum += even[i] + odd[i];
    }
    sum
}

/// Sum in 32 fixed lanes.
#[must_use]
pub fn sum(values: &[f64]) -> f64 {
    let mut lanes = [0.0f64; 32];
    let (chunks, rest) = values.as_chunks::<32>();
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane += value;
        }
    }
    lanes.iter().sum::<f64>() + rest.iter().sum::<f64>()
}

/// Consecutive positions in a list of indices: `(first index, how many)`.
#[must_use]
pub fn runs(indices: &[usize]) -> Vec<(usize, usize)> {
    let mut out: Vec<(usize, usize)> = Vec::new();
    for &index in indices {
        match out.last_mut() {
            Some((first, count)) if *first + *count == index => *count += 1,
            _ => out.push((index, 1)),
        }
    }
    out
}

/// `y += a * x`.
#[inline(always)]
pub fn axpy<const FMA: bool>(y: &mut [f64], a: f64, x: &[f64]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y = fma::<FMA>(a, *x, *y);
    }
}

widest! {
    /// `out[i] = rows[i] . x` for the contiguous rows of length `x.len()`.
    pub fn rows_times(rows: &[f64], x: &[f64], out: &mut [f64]) {
        for (row, out) in rows.chunks_exact(x.len().max(1)).zip(out.iter_mut()) {
            *out = dot::<FMA>(row, x);
        }
    }
}

widest! {
    /// `out = sum_i w[i] * rows[i]`, rows with a zero weight skipped.
    pub fn rows_combined(rows: &[f64], w: &[f64], out: &mut [f64]) {
        out.fill(0.0);
        let length = out.len();
        for (i, &weight) in w.iter().enumerate() {
            if weight != 0.0 {
                axpy::<FMA>(out, weight, &rows[i * length..(i + 1) * length]);
            }
        }
    }
}
