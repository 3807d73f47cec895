//! Products of all pairs of columns, register blocked.
//!
//! Columns are packed in panels of eight, row by row inside a panel, so that one tile of the result stays in
//! registers while a block of rows streams through. Only half of a symmetric result is computed.

use crate::widest;
use rayon::prelude::*;

/// Columns per panel: one 512-bit register.
pub const PANEL: usize = 8;

/// Rows per block: two panels and a third one fit the first-level cache.
pub const ROWS: usize = 128;

/// A block of rows of some columns, packed in panels and padded with zero columns.
#[derive(Debug, Clone)]
pub struct Packed {
    rows: usize,
    data: Vec<f64>,
}

impl Packed {
    /// Room for `n_columns` columns of at most [`ROWS`] rows.
    #[must_use]
    pub fn new(n_columns: usize) -> Self {
        Self { rows: 0, data: vec![0.0; n_columns.div_ceil(PANEL) * PANEL * ROWS] }
    }

    /// Start a block of `rows` rows.
    pub fn start(&mut self, rows: usize) {
        self.rows = rows.min(ROWS);
    }

    /// Set column `j` of the current block.
    pub fn set(&mut self, j: usize, values: &[f64]) {
        let panel = &mut self.data[(j / PANEL) * PANEL * ROWS..];
        let (lines, _) = panel.as_chunks_mut::<PANEL>();
        for (line, &value) in lines[..self.rows].iter_mut().zip(values) {
            line[j % PANEL] = value;
        }
    }

    /// Set all columns to a block of `rows` rows, in parallel: `fill(j, out)` writes column `j`, also for
    /// the padding after the last column.
    pub fn pack(&mut self, rows: usize, fill: impl Fn(usize, &mut [f64]) + Sync) {
        self.start(rows);
        let rows = self.rows;
        self.data.par_chunks_mut(PANEL * ROWS).enumerate().for_each(|(panel, data)| {
            let mut values = [0.0; ROWS];
            let (lines, _) = data.as_chunks_mut::<PANEL>();
            for lane in 0..PANEL {
                fill(panel * PANEL + lane, &mut values[..rows]);
                for (line, value) in lines[..rows].iter_mut().zip(&values) {
                    line[lane] = *value;
                }
            }
        });
    }

    /// Add the products of panel `j` with the panels `first..last` to `out`, which holds the eight rows of
    /// the result that belong to panel `j`, each `out.len() / 8` long.
    pub fn accumulate(&self, j: usize, first: usize, last: usize, out: &mut [f64]) {
        if wide_vectors() {
            row_wide(&self.data, self.rows, j, first, last, out);
        } else {
            row_narrow(&self.data, self.rows, j, first, last, out);
        }
    }
}

/// Thirty-two registers of eight numbers hold a tile of 16 x 8; sixteen of four hold 8 x 4.
fn wide_vectors() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        is_x86_feature_detected!("avx512f")
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        false
    }
}

widest! {
    fn row_wide(data: &[f64], rows: usize, j: usize, first: usize, last: usize, out: &mut [f64]) {
        let mut i = first;
        while i + 1 < last {
            tile::<FMA, 2, 8>(data, rows, j, 0, i, out);
            i += 2;
        }
        if i < last {
            tile::<FMA, 1, 8>(data, rows, j, 0, i, out);
        }
    }
}

widest! {
    fn row_narrow(data: &[f64], rows: usize, j: usize, first: usize, last: usize, out: &mut [f64]) {
        for i in first..last {
            tile::<FMA, 1, 4>(data, rows, j, 0, i, out);
            tile::<FMA, 1, 4>(data, rows, j, 4, i, out);
        }
    }
}

/// Add `NI` panels from `i` on times `NJ` columns of panel `j` from `offset` on.
#[inline(always)]
fn tile<const FMA: bool, const NI: usize, const NJ: usize>(
    data: &[f64],
    rows: usize,
    j: usize,
    offset: usize,
    i: usize,
    out: &mut [f64],
) {
    let (lines, _) = data.as_chunks::<PANEL>();
    let right = &lines[j * ROWS..j * ROWS + rows];
    let left: [&[[f64; PANEL]]; NI] = std::array::from_fn(|k| &lines[(i + k) * ROWS..(i + k) * ROWS + rows]);
    let mut sums = [[[0.0f64; PANEL]; NI]; NJ];
    for row in 0..rows {
        let b = &right[row];
        for k in 0..NI {
            let a = &left[k][row];
            for c in 0..NJ {
                for lane in 0..PANEL {
                    sums[c][k][lane] = crate::simd::fma::<FMA>(a[lane], b[offset + c], sums[c][k][lane]);
                }
            }
        }
    }
    let stride = out.len() / PANEL;
    for c in 0..NJ {
        for k in 0..NI {
            let start = (offset + c) * stride + (i + k) * PANEL;
            for (out, sum) in out[start..start + PANEL].iter_mut().zip(&sums[c][k]) {
                *out += sum;
            }
        }
    }
}

/// Gram matrix `X^T X` of `p` columns stored one after the other, row by row, both halves.
///
/// Blocks of rows are added in their order for every entry, so the result does not depend on the number of
/// threads.
#[must_use]
pub fn gram(columns: &[f64], n: usize, p: usize) -> Vec<f64> {
    let stride = p.div_ceil(PANEL) * PANEL;
    let mut padded = vec![0.0; stride * stride];
    let mut packed = Packed::new(p);
    for start in (0..n).step_by(ROWS) {
        let end = (start + ROWS).min(n);
        packed.start(end - start);
        for j in 0..p {
            packed.set(j, &columns[j * n + start..j * n + end]);
        }
        let add = |(j, out): (usize, &mut [f64])| packed.accumulate(j, 0, j + 1, out);
        if worth_threads(p) {
            padded.par_chunks_mut((PANEL * stride).max(1)).enumerate().for_each(add);
        } else {
            padded.chunks_mut((PANEL * stride).max(1)).enumerate().for_each(add);
        }
    }
    let mut out = vec![0.0; p * p];
    for i in 0..p {
        for j in 0..=i {
            out[i * p + j] = padded[i * stride + j];
            out[j * p + i] = padded[i * stride + j];
        }
    }
    out
}

/// Below this size handing tiles to other threads costs more than it saves.
fn worth_threads(p: usize) -> bool {
    p >= 256 && rayon::current_num_threads() > 1
}

#[cfg(test)]
mod tests {
    use super::gram;

    #[test]
    fn every_shape_agrees_with_the_plain_sum() {
        for (n, p) in [(1, 1), (7, 3), (128, 8), (129, 17), (300, 33)] {
            let columns: Vec<f64> = (0..n * p).map(|i| ((i * 7919) % 101) as f64 / 50.0 - 1.0).collect();
            let found = gram(&columns, n, p);
            for i in 0..p {
                for j in 0..p {
                    let plain: f64 = (0..n).map(|r| columns[i * n + r] * columns[j * n + r]).sum();
                    assert!((found[i * p + j] - plain).abs() < 1e-10, "{n} {p} {i} {j}");
                }
            }
        }
    }
}
