//! Gauss transform on a lattice: spread with a window, convolve along the axes, interpolate with the window.
//!
//! `exp(-|x - y|^2 / 2) ~ U (G x G x G) U^T`, where `U` holds products of 1-D window values at the nodes
//! around a cell and `G` is a banded symmetric Toeplitz matrix: 4 w^d operations per cell and ligand.

use super::convolve::{Mixing, convolve};
use super::kernel::Coordinates;
use super::lanes::{Lanes, unpad};
use super::lattice::{Axis, Block, Lattice};
use super::meter::Meter;
use super::output::OutputRows;
use super::panel::{Rows, accumulate};
use super::polynomial::Pieces;
use super::spread::Spreader;
use super::window::Window;
use super::{Columns, Job};
use rayon::prelude::*;

/// Memory of the grid; more columns take several passes.
const GRID_BYTES: usize = 512 << 20;
/// Blocks interpolated by one task.
const TASK: usize = 64;

/// Plan of the lattice method for some cells.
#[derive(Debug)]
pub(super) struct Mesh {
    lattice: Lattice,
    stencils: Stencils,
    mixing: [Option<Mixing>; 3],
    cells_in_sample: usize,
    error: f64,
}

/// Nodes around a cell and their weights.
#[derive(Debug)]
pub(super) struct Stencils {
    pieces: Pieces,
    /// Nodes that a cell touches, relative to the lowest.
    pub(super) nodes: Vec<usize>,
    /// First of each run of consecutive nodes, relative to the lowest.
    runs: Vec<usize>,
}

impl Stencils {
    fn new(pieces: Pieces, lattice: &Lattice) -> Self {
        let ([_, middle, last], [a, b, c]) = (lattice.nodes, lattice.widths);
        let runs: Vec<usize> = (0..a).flat_map(|i| (0..b).map(move |j| (i * middle + j) * last)).collect();
        let nodes = runs.iter().flat_map(|run| *run..run + c).collect();
        Self { pieces, nodes, runs }
    }

    /// Weights of the cells of a block at its nodes: one unit per node.
    pub(super) fn weights(&self, lattice: &Lattice, block: &Block, out: &mut [Lanes]) {
        let first = block.index * lattice.smooth;
        self.pieces.products(&lattice.offsets[first..first + lattice.smooth], out);
    }
}

impl Mesh {
    /// Plan for the cells at `points`, found in `rows` of the caller's matrices.
    pub(super) fn new(
        points: &Coordinates,
        rows: &[usize],
        cells_in_sample: usize,
        axes: &[Axis; 3],
        window: Window,
        sigma: f64,
    ) -> Self {
        let lattice = Lattice::new(points, rows, axes, window.width);
        let mixing = axes.each_ref().map(|axis| match axis {
            Axis::Single => None,
            Axis::Smooth { .. } => Some(Mixing::Band(window.operator.clone())),
            Axis::Sections { values, .. } => Some(Mixing::Dense(section_matrix(values, sigma))),
        });
        let error = (1.0 + window.error).powi(lattice.smooth as i32) - 1.0;
        let stencils = Stencils::new(window.pieces, &lattice);
        Self { lattice, stencils, mixing, cells_in_sample, error }
    }

    /// Bound on the error, in units of `scale * mean |ligand|`.
    pub(super) fn error_bound(&self) -> f64 {
        self.error
    }

    /// Steps that one pass reports.
    pub(super) fn steps(&self) -> usize {
        2 * self.lattice.rows.len() * self.lattice.stencil()
    }

    /// Columns whose grid fits into the memory set aside for it.
    pub(super) fn columns_per_pass(&self) -> usize {
        (GRID_BYTES / (8 * self.lattice.size())).max(1).next_multiple_of(3 * Lanes::WIDTH)
    }

    /// Write every row of the plan once, for the given columns.
    pub(super) fn apply(&self, job: Job<'_>, columns: Columns, out: &OutputRows<'_>, meter: &Meter<'_>) {
        let (lattice, stencils) = (&self.lattice, &self.stencils);
        let mut grid = Spreader { lattice, stencils, job, columns, meter }.spread();
        let mut inner = columns.groups();
        for axis in (0..3).rev() {
            let nodes = lattice.nodes[axis];
            if let Some(mixing) = &self.mixing[axis] {
                let factor = if axis == 0 { job.scale / self.cells_in_sample as f64 } else { 1.0 };
                convolve(&mut grid, nodes, inner, mixing, factor, meter);
            }
            inner *= nodes;
        }
        if meter.running() {
            self.interpolate(&grid, job.floor, columns, out, meter);
        }
    }

    fn interpolate(
        &self,
        grid: &[Lanes],
        floor: f64,
        columns: Columns,
        out: &OutputRows<'_>,
        meter: &Meter<'_>,
    ) {
        let groups = columns.groups();
        let inner = self.lattice.widths[2];
        self.lattice.blocks.par_chunks(TASK).for_each_init(
            || (vec![Lanes::ZERO; self.lattice.stencil()], Vec::new(), Vec::new()),
            |(weights, bases, sums), blocks| {
                for block in blocks.iter().take_while(|_| meter.running()) {
                    let ahead = block.first + block.count;
                    let soon = &self.lattice.rows[ahead..self.lattice.rows.len().min(ahead + Lanes::WIDTH)];
                    soon.iter().for_each(|row| out.announce(*row, columns));
                    self.stencils.weights(&self.lattice, block, weights);
                    bases.clear();
                    bases.extend(self.stencils.runs.iter().map(|run| block.node + run));
                    sums.clear();
                    sums.resize(block.count * groups, Lanes::ZERO);
                    let rows = Rows { values: grid, groups, bases, inner };
                    accumulate(sums, block.count, weights, rows);
                    let rows = &self.lattice.rows[block.first..block.first + block.count];
                    for (row, sum) in rows.iter().zip(sums.chunks(groups)) {
                        // SAFETY: every row of the caller's matrix is in one block of one engine.
                        unsafe {
                            out.write(*row, columns, |out| unpad(sum, out, floor));
                        }
                    }
                }
                let cells: usize = blocks.iter().map(|block| block.count).sum();
                meter.advance(cells * self.lattice.stencil());
            },
        );
    }
}

/// Gaussian between sections at the given heights.
fn section_matrix(values: &[f64], sigma: f64) -> Vec<f64> {
    let weight = |a: f64, b: f64| (-0.5 * ((a - b) / sigma).powi(2)).exp();
    values.iter().flat_map(|a| values.iter().map(move |b| weight(*a, *b))).collect()
}
