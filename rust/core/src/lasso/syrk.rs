//! Products of all pairs of columns, register blocked.
//!
//! Columns are packed in panels of eight, row by row inside a panel, so that one tile of the result stays in
//! registers while a block of rows streams through. Only half of a symmetric result is computed.

use super::quadratic::{LANES as PANEL, add_scaled};
use crate::widest;
use rayon::prelude::*;

/// Rows per block: two panels and a third one fit the first-level cache.
pub const ROWS: usize = 128;

/// One row of a panel. Unaligned 64-byte loads cost a third of the speed (38 against 58 Gflop/s).
#[repr(C, align(64))]
#[derive(Debug, Clone, Copy)]
struct Line([f64; PANEL]);

/// A block of rows of some columns, packed in panels and padded with zero columns.
#[derive(Debug, Clone)]
pub struct Packed {
    rows: usize,
    lines: Vec<Line>,
}

impl Packed {
    /// Room for `n_columns` columns of at most [`ROWS`] rows.
    #[must_use]
    pub fn new(n_columns: usize) -> Self {
        Self { rows: 0, lines: vec![Line([0.0; PANEL]); n_columns.div_ceil(PANEL) * ROWS] }
    }

    /// Start a block of `rows` rows.
    pub fn start(&mut self, rows: usize) {
        self.rows = rows.min(ROWS);
    }

    /// Set column `j` of the current block.
    pub fn set(&mut self, j: usize, values: &[f64]) {
        let first = j / PANEL * ROWS;
        for (line, &value) in self.lines[first..first + self.rows].iter_mut().zip(values) {
            line.0[j % PANEL] = value;
        }
    }

    /// Set all columns to a block of `rows` rows, in parallel: `fill(j, out)` writes column `j`, also for
    /// the padding after the last column.
    pub fn pack(&mut self, rows: usize, fill: impl Fn(usize, &mut [f64]) + Sync) {
        self.start(rows);
        let rows = self.rows;
        self.lines.par_chunks_mut(ROWS).enumerate().for_each(|(panel, lines)| {
            let mut values = [0.0; ROWS];
            for lane in 0..PANEL {
                fill(panel * PANEL + lane, &mut values[..rows]);
                for (line, value) in lines[..rows].iter_mut().zip(&values) {
                    line.0[lane] = *value;
                }
            }
        });
    }

    /// Add the products of panel `j` with the panels `first..last` to `out`, which holds the eight rows of
    /// the result that belong to panel `j`, each `out.len() / 8` long.
    ///
    /// Every product is summed over the rows of the block one after the other before it is added, so it does
    /// not depend on where its columns are packed.
    pub fn accumulate(&self, j: usize, first: usize, last: usize, out: &mut [f64]) {
        if wide_vectors() {
            row_wide(&self.lines, self.rows, j, first, last, out);
        } else {
            row_narrow(&self.lines, self.rows, j, first, last, out);
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
    fn row_wide(lines: &[Line], rows: usize, j: usize, first: usize, last: usize, out: &mut [f64]) {
        let right = &lines[j * ROWS..j * ROWS + rows];
        let mut i = first;
        while i + 1 < last {
            let left = [&lines[i * ROWS..i * ROWS + rows], &lines[(i + 1) * ROWS..(i + 1) * ROWS + rows]];
            tile_16_by_8::<FMA>(left, right, out, i);
            i += 2;
        }
        if i < last {
            let left = &lines[i * ROWS..i * ROWS + rows];
            tile_8_by_4::<FMA>(left, right, 0, out, i);
            tile_8_by_4::<FMA>(left, right, 4, out, i);
        }
    }
}

widest! {
    fn row_narrow(lines: &[Line], rows: usize, j: usize, first: usize, last: usize, out: &mut [f64]) {
        let right = &lines[j * ROWS..j * ROWS + rows];
        for i in first..last {
            let left = &lines[i * ROWS..i * ROWS + rows];
            tile_8_by_4::<FMA>(left, right, 0, out, i);
            tile_8_by_4::<FMA>(left, right, 4, out, i);
        }
    }
}

/// The columns of a tile are written out: of a loop over them the compiler keeps the sums in memory (ten times
/// slower).
macro_rules! add_products {
    ($sums:ident, $values:expr, $factors:expr, $offset:expr, $($column:literal)*) => {
        $( add_scaled::<FMA>(&mut $sums[$column], $factors.0[$offset + $column], &$values.0); )*
    };
}

#[inline(always)]
fn tile_16_by_8<const FMA: bool>(left: [&[Line]; 2], right: &[Line], out: &mut [f64], i: usize) {
    let (mut low, mut high) = ([[0.0f64; PANEL]; 8], [[0.0f64; PANEL]; 8]);
    for ((a, b), factors) in left[0].iter().zip(left[1]).zip(right) {
        add_products!(low, a, factors, 0, 0 1 2 3 4 5 6 7);
        add_products!(high, b, factors, 0, 0 1 2 3 4 5 6 7);
    }
    add_sums(&low, out, 0, i);
    add_sums(&high, out, 0, i + 1);
}

#[inline(always)]
fn tile_8_by_4<const FMA: bool>(left: &[Line], right: &[Line], offset: usize, out: &mut [f64], i: usize) {
    let mut sums = [[0.0f64; PANEL]; 4];
    for (values, factors) in left.iter().zip(right) {
        add_products!(sums, values, factors, offset, 0 1 2 3);
    }
    add_sums(&sums, out, offset, i);
}

/// Add a tile to the rows from `offset` on and the columns of panel `i`.
#[inline(always)]
fn add_sums(sums: &[[f64; PANEL]], out: &mut [f64], offset: usize, i: usize) {
    let stride = out.len() / PANEL;
    for (column, sums) in sums.iter().enumerate() {
        let start = (offset + column) * stride + i * PANEL;
        for (out, sum) in out[start..start + PANEL].iter_mut().zip(sums) {
            *out += sum;
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
