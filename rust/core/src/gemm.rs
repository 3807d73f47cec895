//! Matrix product of f64 blocks on one thread: `C = A B` or `C += A B`.
//!
//! `B` is packed once in panels of [`LANES`] columns and may be used for many `A`. One tile of `C`, [`ROWS`]
//! rows of one panel, stays in registers while the inner dimension streams through. Blocking depends on the
//! shapes only, so callers cut the rows of `A` by the data and multiply the cuts in parallel.

use crate::error::{Error, Result};
use crate::simd::fma;
use crate::widest;
use ndarray::{ArrayView2, ArrayViewMut2, s};

/// Rows of a tile.
pub const ROWS: usize = 8;

/// Columns of a tile: two 512-bit registers.
pub const LANES: usize = 16;

/// Inner lines per pass: the chunk of one panel (32 KiB) stays in the first-level cache.
pub const DEPTH: usize = 256;

/// Rows of `A` packed at a time: with [`DEPTH`] lines 128 KiB, in the second-level cache.
const BAND: usize = 64;

/// A tile of the result.
pub type Tile = [[f64; LANES]; ROWS];

/// A line of the left factor that meets a line of the right factor in [`multiply_picked`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pick {
    /// Line of the left factor.
    pub left: u32,
    /// Line of the right factor.
    pub right: u32,
}

/// Right factor, packed in panels of [`LANES`] columns and padded with zero columns.
#[derive(Debug, Clone)]
pub struct PackedRight {
    depth: usize,
    columns: usize,
    lines: Vec<[f64; LANES]>,
}

impl PackedRight {
    /// Pack a matrix (inner dimension x columns).
    #[must_use]
    pub fn new(matrix: ArrayView2<f64>) -> Self {
        let (depth, columns) = matrix.dim();
        let mut lines = vec![[0.0; LANES]; columns.div_ceil(LANES) * depth];
        for (k, row) in matrix.outer_iter().enumerate() {
            for (j, &value) in row.iter().enumerate() {
                lines[j / LANES * depth + k][j % LANES] = value;
            }
        }
        Self { depth, columns, lines }
    }
}

/// `C = A B`, or `C += A B` when `accumulate`; `a` is rows x inner, `c` is rows x columns.
///
/// Every entry is summed along the inner dimension in passes of [`DEPTH`] lines, whatever the other sizes.
///
/// # Errors
/// [`Error::Shape`] when the sizes do not fit.
pub fn multiply(
    a: ArrayView2<f64>,
    b: &PackedRight,
    mut c: ArrayViewMut2<f64>,
    accumulate: bool,
) -> Result<()> {
    let expected = (a.nrows(), b.columns);
    if a.ncols() != b.depth || c.dim() != expected {
        return Err(Error::Shape {
            name: "matrix product",
            found: format!("{:?} times {:?} into {:?}", a.dim(), (b.depth, b.columns), c.dim()),
            expected: format!("an inner dimension of {} and a result of {expected:?}", b.depth),
        });
    }
    if !accumulate {
        c.fill(0.0);
    }
    let mut left = vec![[0.0; ROWS]; BAND / ROWS * DEPTH];
    for k in (0..b.depth).step_by(DEPTH) {
        let depth = DEPTH.min(b.depth - k);
        for i in (0..a.nrows()).step_by(BAND) {
            let rows = BAND.min(a.nrows() - i);
            pack_left(a.slice(s![i..i + rows, k..k + depth]), &mut left);
            for (panel, right) in b.lines.chunks_exact(b.depth).enumerate() {
                let right = &right[k..k + depth];
                for top in (0..rows).step_by(ROWS) {
                    let mut tile = [[0.0; LANES]; ROWS];
                    multiply_tile(&left[top / ROWS * depth..][..depth], right, &mut tile);
                    add_tile(&tile, &mut c, i + top, rows - top, panel * LANES);
                }
            }
        }
    }
    Ok(())
}

/// Rows of `block` in groups of [`ROWS`], line by line inside a group, the last group padded with zeros.
fn pack_left(block: ArrayView2<f64>, left: &mut [[f64; ROWS]]) {
    let depth = block.ncols();
    for group in 0..block.nrows().div_ceil(ROWS) {
        let lines = &mut left[group * depth..][..depth];
        for r in 0..ROWS {
            if group * ROWS + r < block.nrows() {
                for (line, &value) in lines.iter_mut().zip(block.row(group * ROWS + r)) {
                    line[r] = value;
                }
            } else {
                lines.iter_mut().for_each(|line| line[r] = 0.0);
            }
        }
    }
}

fn add_tile(tile: &Tile, c: &mut ArrayViewMut2<f64>, top: usize, rows: usize, first: usize) {
    let columns = LANES.min(c.ncols() - first);
    for (r, sums) in tile.iter().enumerate().take(rows) {
        let mut out = c.slice_mut(s![top + r, first..first + columns]);
        for (out, sum) in out.iter_mut().zip(sums) {
            *out += sum;
        }
    }
}

#[inline(always)]
fn add_scaled<const FMA: bool>(sums: &mut [f64; 8], factor: f64, values: &[f64; 8]) {
    for lane in 0..8 {
        sums[lane] = fma::<FMA>(factor, values[lane], sums[lane]);
    }
}

/// Add the products of pairs of lines to a tile.
///
/// The eight rows are written out: of a loop over them the compiler makes vectors across the rows, which
/// gather and scatter the sums through memory (50 times slower).
macro_rules! accumulate {
    ($pairs:expr, $tile:expr) => {
        let (mut low, mut high) = ([[0.0f64; 8]; ROWS], [[0.0f64; 8]; ROWS]);
        for (left, right) in $pairs {
            let (halves, _) = right.as_chunks::<8>();
            accumulate!(@rows low, left, &halves[0], 0 1 2 3 4 5 6 7);
            accumulate!(@rows high, left, &halves[1], 0 1 2 3 4 5 6 7);
        }
        accumulate!(@store low, high, $tile, 0 1 2 3 4 5 6 7);
    };
    (@rows $sums:ident, $left:expr, $values:expr, $($row:literal)*) => {
        $( add_scaled::<FMA>(&mut $sums[$row], $left[$row], $values); )*
    };
    (@store $low:ident, $high:ident, $tile:expr, $($row:literal)*) => {
        $(
            let (halves, _) = $tile[$row].as_chunks_mut::<8>();
            add_scaled::<FMA>(&mut halves[0], 1.0, &$low[$row]);
            add_scaled::<FMA>(&mut halves[1], 1.0, &$high[$row]);
        )*
    };
}

widest! {
    /// `tile += left^T right`, line by line; the shorter factor decides.
    pub fn multiply_tile(left: &[[f64; ROWS]], right: &[[f64; LANES]], tile: &mut Tile) {
        accumulate!(left.iter().zip(right), tile);
    }
}

widest! {
    /// `tile += sum over picks of left[pick.left]^T right[pick.right]`: the product of the lines that matter.
    ///
    /// # Panics
    /// When a pick points outside its factor.
    pub fn multiply_picked(left: &[[f64; ROWS]], right: &[[f64; LANES]], picks: &[Pick], tile: &mut Tile) {
        accumulate!(picks.iter().map(|p| (&left[p.left as usize], &right[p.right as usize])), tile);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;
    use proptest::prelude::*;

    fn filled(rows: usize, columns: usize, seed: usize) -> Array2<f64> {
        Array2::from_shape_fn((rows, columns), |(i, j)| {
            (((i * 31 + j * 17 + seed) * 7919) % 1009) as f64 / 504.0 - 1.0
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn every_shape_agrees_with_the_plain_product(m in 0usize..150, k in 0usize..600, n in 0usize..70) {
            let (a, b) = (filled(m, k, 1), filled(k, n, 2));
            let mut c = filled(m, n, 3);
            let expected = &c + &a.dot(&b);
            multiply(a.view(), &PackedRight::new(b.view()), c.view_mut(), true).unwrap();
            prop_assert!(c.iter().zip(&expected).all(|(x, y)| (x - y).abs() < 1e-11));
        }
    }

    #[test]
    fn the_old_result_is_overwritten_unless_asked_to_add() {
        let (a, b) = (filled(5, 9, 1), filled(9, 3, 2));
        let mut c = Array2::from_elem((5, 3), f64::NAN);
        multiply(a.view(), &PackedRight::new(b.view()), c.view_mut(), false).unwrap();
        assert!((&c - &a.dot(&b)).iter().all(|d| d.abs() < 1e-13));
    }

    #[test]
    fn cutting_the_rows_changes_no_bit() {
        let (a, b) = (filled(100, 300, 1), filled(300, 20, 2));
        let packed = PackedRight::new(b.view());
        let (mut whole, mut cut) = (Array2::zeros((100, 20)), Array2::zeros((100, 20)));
        multiply(a.view(), &packed, whole.view_mut(), false).unwrap();
        for (first, last) in [(0, 13), (13, 64), (64, 100)] {
            multiply(a.slice(s![first..last, ..]), &packed, cut.slice_mut(s![first..last, ..]), false)
                .unwrap();
        }
        assert_eq!(whole, cut);
    }

    #[test]
    fn picked_lines_make_the_product_of_their_copies() {
        let left: Vec<[f64; ROWS]> =
            (0..37).map(|k| std::array::from_fn(|r| (k * 8 + r) as f64 / 100.0)).collect();
        let right: Vec<[f64; LANES]> =
            (0..41).map(|k| std::array::from_fn(|l| (k + 3 * l) as f64 / 50.0)).collect();
        let picks: Vec<Pick> = (0..30).map(|i| Pick { left: i, right: (i * 7) % 41 }).collect();
        let (mut picked, mut copied) = ([[1.0; LANES]; ROWS], [[1.0; LANES]; ROWS]);
        multiply_picked(&left, &right, &picks, &mut picked);
        let copies: Vec<[f64; LANES]> = picks.iter().map(|p| right[p.right as usize]).collect();
        multiply_tile(&left[..30], &copies, &mut copied);
        assert_eq!(picked, copied);
    }

    #[test]
    fn sizes_that_do_not_fit_are_named() {
        let b = PackedRight::new(filled(4, 3, 0).view());
        let mut c = Array2::zeros((2, 3));
        let error = multiply(filled(2, 5, 0).view(), &b, c.view_mut(), false).unwrap_err();
        assert!(error.to_string().contains("inner dimension of 4"), "{error}");
    }
}
