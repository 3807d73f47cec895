//! Gaussian sums over cells by spreading to a uniform lattice, a banded convolution, and interpolation.
//!
//! `K ~ U (G_1 x .. x G_d) U'` with U the tensor products of a window on the nodes and G_a a symmetric
//! Toeplitz matrix. Spreading and interpolation use the same U, so the approximation is symmetric. A plane
//! of cells is a volume whose first axis has one node of weight 1.

use super::tile::{Left, accumulate};
use super::window::Window;
use ndarray::ArrayView2;
use rayon::prelude::*;
use std::ops::Range;

/// Cells of a bin are taken in blocks of this many, so that their weights and values stay in the first cache.
const CELL_BLOCK: usize = 64;
/// Work is cut into this many pieces where strips are too few; fixed, so that sums do not depend on threads.
const PIECES: usize = 8;
/// Rows of one block of the convolution.
const CONV_ROWS: usize = 8;

/// Lattice, weights and order of the cells of one group; serves any expression.
#[derive(Debug, Clone)]
pub struct Mesh {
    /// Cells in bin order.
    pub cells: Vec<usize>,
    bins: Vec<Bin>,
    weights: [Vec<f64>; 3],
    width: [usize; 3],
    nodes: [usize; 3],
    lattice: Vec<f64>,
}

#[derive(Debug, Clone)]
struct Bin {
    node: [usize; 3],
    cells: Range<usize>,
}

impl Mesh {
    /// Number of lattice nodes that `window` needs for these coordinates, without building anything.
    pub fn count_nodes(xy: ArrayView2<f64>, cells: &[usize], sigma: f64, window: Window) -> f64 {
        (0..xy.ncols())
            .map(|a| {
                let (low, high) = extent(xy, cells, a);
                ((high - low) / (sigma * window.spacing)).floor() + window.width as f64
            })
            .product()
    }

    /// Sort the cells into bins and tabulate their weights.
    pub fn new(xy: ArrayView2<f64>, cells: &[usize], sigma: f64, window: Window, lattice: Vec<f64>) -> Self {
        let (dims, h) = (xy.ncols(), sigma * window.spacing);
        let (mut width, mut nodes) = ([1; 3], [1; 3]);
        let mut place = vec![([0_usize; 3], [0.0_f64; 3]); cells.len()];
        for a in 0..dims {
            let axis = 2 - a; // x is the fastest axis
            let (low, high) = extent(xy, cells, a);
            let bins = ((high - low) / h).floor() as usize + 1;
            (width[axis], nodes[axis]) = (window.width, bins + window.width - 1);
            for (place, &cell) in place.iter_mut().zip(cells) {
                let u = (xy[[cell, a]] - low) / h;
                let bin = (u.floor() as usize).min(bins - 1);
                (place.0[axis], place.1[axis]) = (bin, u - bin as f64);
            }
        }
        let mut order: Vec<usize> = (0..cells.len()).collect();
        order.sort_by_key(|&i| (place[i].0, cells[i]));
        let mut weights = [vec![1.0; cells.len()], Vec::new(), Vec::new()];
        for axis in 3 - dims..3 {
            let mut table = vec![0.0; cells.len() * window.width];
            for (line, &i) in table.chunks_mut(window.width).zip(&order) {
                window.weights(place[i].1[axis], line);
            }
            weights[axis] = table;
        }
        let mut bins: Vec<Bin> = Vec::new();
        for (position, &i) in order.iter().enumerate() {
            match bins.last_mut() {
                Some(bin) if bin.node == place[i].0 => bin.cells.end = position + 1,
                _ => bins.push(Bin { node: place[i].0, cells: position..position + 1 }),
            }
        }
        let cells = order.into_iter().map(|i| cells[i]).collect();
        Self { cells, bins, weights, width, nodes, lattice }
    }

    /// Gaussian sums (cells in bin order x `n`) of `values`, the same shape; `n` is a multiple of 8.
    pub fn apply(&self, values: &[f64], n: usize) -> Vec<f64> {
        let mut grid = self.spread(values, n);
        for axis in 0..3 {
            if self.nodes[axis] > 1 {
                grid = self.convolve(&grid, axis, n);
            }
        }
        self.interpolate(&grid, n)
    }

    fn slow_axis(&self) -> usize {
        if self.nodes[0] > 1 { 0 } else { 1 }
    }

    fn spread(&self, values: &[f64], n: usize) -> Vec<f64> {
        let size = self.nodes.iter().product::<usize>() * n;
        let slow = self.slow_axis();
        let height = self.width[slow];
        let strips = self.nodes[slow].div_ceil(height);
        if strips < PIECES {
            return self.spread_private(values, n, size);
        }
        // a strip of bins reaches into the next strip of nodes only, so every second strip may run at once
        let by_strip: Vec<&[Bin]> =
            self.bins.chunk_by(|a, b| a.node[slow] / height == b.node[slow] / height).collect();
        let mut of_strip: Vec<&[Bin]> = vec![&[]; strips + 1];
        for bins in by_strip {
            of_strip[bins[0].node[slow] / height] = bins;
        }
        let row = size / self.nodes[slow];
        let mut grid = vec![0.0; size];
        for parity in 0..2 {
            let first = parity * height * row;
            if first >= size {
                break;
            }
            grid[first..].par_chunks_mut(2 * height * row).enumerate().for_each(|(k, part)| {
                let strip = 2 * k + parity;
                self.spread_bins(of_strip[strip], values, n, part, strip * height);
            });
        }
        grid
    }

    fn spread_private(&self, values: &[f64], n: usize, size: usize) -> Vec<f64> {
        let parts: Vec<Vec<f64>> = self
            .pieces()
            .into_par_iter()
            .map(|bins| {
                let mut grid = vec![0.0; size];
                self.spread_bins(&self.bins[bins], values, n, &mut grid, 0);
                grid
            })
            .collect();
        let mut grid = vec![0.0; size];
        for part in parts {
            for (g, p) in grid.iter_mut().zip(part) {
                *g += p;
            }
        }
        grid
    }

    /// Fixed ranges of bins with about equal numbers of cells.
    fn pieces(&self) -> Vec<Range<usize>> {
        let share = self.cells.len().div_ceil(PIECES).max(1);
        let mut pieces = Vec::new();
        let mut start = 0;
        for end in 1..=self.bins.len() {
            let cells = self.bins[end - 1].cells.end - self.bins[start].cells.start;
            if cells >= share || end == self.bins.len() {
                pieces.push(start..end);
                start = end;
            }
        }
        pieces
    }

    /// Add the cells of `bins` to `grid`, whose slow axis begins at node `offset`.
    fn spread_bins(&self, bins: &[Bin], values: &[f64], n: usize, grid: &mut [f64], offset: usize) {
        let under: usize = self.width.iter().product();
        let (mut tile, mut p) = (vec![0.0; under * n], vec![0.0; CELL_BLOCK * under]);
        for bin in bins {
            tile.fill(0.0);
            for block in blocks(&bin.cells) {
                self.products(&block, &mut p);
                let left = Left { data: &p, row_step: 1, k_step: under };
                accumulate(under, n, block.len(), left, &values[block.start * n..block.end * n], &mut tile);
            }
            self.rows(bin, offset, |from, at| {
                let length = self.width[2] * n;
                for (g, t) in grid[at * n..at * n + length].iter_mut().zip(&tile[from * n..]) {
                    *g += t;
                }
            });
        }
    }

    /// Weight of every node under the window for every cell of a block, cells x nodes.
    fn products(&self, block: &Range<usize>, out: &mut [f64]) {
        let [wz, wy, wx] = self.width;
        let under = wz * wy * wx;
        for (i, line) in block.clone().zip(out.chunks_mut(under)) {
            let x = &self.weights[2][i * wx..(i + 1) * wx];
            for (zy, part) in line.chunks_mut(wx).enumerate() {
                let factor = self.weights[0][i * wz + zy / wy] * self.weights[1][i * wy + zy % wy];
                for (p, x) in part.iter_mut().zip(x) {
                    *p = factor * x;
                }
            }
        }
    }

    /// Visit the rows of nodes under a bin: first tile node, first grid node (slow axis counted from `offset`).
    fn rows(&self, bin: &Bin, offset: usize, mut visit: impl FnMut(usize, usize)) {
        let [wz, wy, wx] = self.width;
        let mut origin = bin.node;
        origin[self.slow_axis()] -= offset;
        for z in 0..wz {
            for y in 0..wy {
                let at = ((origin[0] + z) * self.nodes[1] + origin[1] + y) * self.nodes[2] + origin[2];
                visit((z * wy + y) * wx, at);
            }
        }
    }

    /// Multiply by the banded symmetric Toeplitz matrix of one axis.
    fn convolve(&self, grid: &[f64], axis: usize, n: usize) -> Vec<f64> {
        let inner: usize = self.nodes[axis + 1..].iter().product::<usize>() * n;
        let (count, reach) = (self.nodes[axis], self.lattice.len() - 1);
        let depth = CONV_ROWS + 2 * reach;
        // row i of a block reads node d of its neighborhood with weight g[|i + reach - d|]
        let mut band = vec![0.0; CONV_ROWS * depth];
        for i in 0..CONV_ROWS {
            for d in i..=i + 2 * reach {
                band[i * depth + d] = self.lattice[(i + reach).abs_diff(d)];
            }
        }
        let mut out = vec![0.0; grid.len()];
        let lines: Vec<(usize, &mut [f64])> = out
            .chunks_mut(count * inner)
            .enumerate()
            .flat_map(|(line, part)| {
                part.chunks_mut(CONV_ROWS * inner)
                    .enumerate()
                    .map(move |(k, block)| (line * count + k * CONV_ROWS, block))
            })
            .collect();
        lines.into_par_iter().for_each(|(node, block)| {
            let (line, first) = (node / count, node % count);
            let low = first.saturating_sub(reach);
            let high = (first + CONV_ROWS + reach).min(count);
            let skip = low + reach - first;
            let left = Left { data: &band[skip..], row_step: depth, k_step: 1 };
            let source = &grid[(line * count + low) * inner..(line * count + high) * inner];
            accumulate(block.len() / inner, inner, high - low, left, source, block);
        });
        out
    }

    fn interpolate(&self, grid: &[f64], n: usize) -> Vec<f64> {
        let under: usize = self.width.iter().product();
        let mut out = vec![0.0; self.cells.len() * n];
        let mut parts = Vec::new();
        let mut rest = out.as_mut_slice();
        for bins in self.pieces() {
            let cells = self.bins[bins.end - 1].cells.end - self.bins[bins.start].cells.start;
            let (part, tail) = rest.split_at_mut(cells * n);
            parts.push((&self.bins[bins], part));
            rest = tail;
        }
        parts.into_par_iter().for_each(|(bins, out)| {
            let (mut tile, mut p) = (vec![0.0; under * n], vec![0.0; CELL_BLOCK * under]);
            let start = bins[0].cells.start;
            for bin in bins {
                self.rows(bin, 0, |from, at| {
                    let length = self.width[2] * n;
                    tile[from * n..from * n + length].copy_from_slice(&grid[at * n..at * n + length]);
                });
                for block in blocks(&bin.cells) {
                    self.products(&block, &mut p);
                    let left = Left { data: &p, row_step: under, k_step: 1 };
                    let rows = &mut out[(block.start - start) * n..(block.end - start) * n];
                    accumulate(block.len(), n, under, left, &tile, rows);
                }
            }
        });
        out
    }
}

fn blocks(cells: &Range<usize>) -> impl Iterator<Item = Range<usize>> + use<> {
    let (start, end) = (cells.start, cells.end);
    (start..end).step_by(CELL_BLOCK).map(move |first| first..(first + CELL_BLOCK).min(end))
}

fn extent(xy: ArrayView2<f64>, cells: &[usize], axis: usize) -> (f64, f64) {
    cells
        .iter()
        .map(|&i| xy[[i, axis]])
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)))
}
