//! Ligand received by every cell.
//!
//! `received[i, l] = scale / n * sum_j kernel(|x_i - x_j|) * ligand[j, l]`, over the `n` cells j of the sample
//! of cell i, itself included.
//!
//! Three methods: the sum over pairs ([`direct`]), a lattice with controlled error for the Gaussian
//! ([`mesh`]), and the interpolated grid of the published programs ([`anchors`]).

mod anchors;
mod buckets;
mod convolve;
mod direct;
mod kernel;
mod lanes;
mod lattice;
mod mesh;
mod meter;
mod output;
mod panel;
mod pieces;
mod plan;
mod polynomial;
mod spread;
mod window;

pub use kernel::Kernel;
pub use plan::{Method, ReceivedPlan, Settings};

use lanes::Lanes;

/// What one call works on.
#[derive(Clone, Copy)]
struct Job<'a> {
    /// Ligands of all cells, row by row.
    ligands: &'a [f64],
    /// Ligands per cell.
    width: usize,
    scale: f64,
    /// Smallest value a result may take: 0 when nothing negative goes in.
    floor: f64,
}

impl<'a> Job<'a> {
    fn row(&self, row: usize) -> &'a [f64] {
        &self.ligands[row * self.width..(row + 1) * self.width]
    }
}

/// Ligands handled in one pass over the cells.
#[derive(Debug, Clone, Copy)]
struct Columns {
    first: usize,
    count: usize,
}

impl Columns {
    /// Lane groups of a padded row.
    fn groups(self) -> usize {
        self.count.div_ceil(Lanes::WIDTH)
    }

    /// The values of these columns in one row.
    fn of(self, row: &[f64]) -> &[f64] {
        &row[self.first..self.first + self.count]
    }

    /// Cut `width` columns into passes of at most `most`.
    fn passes(width: usize, most: usize) -> impl Iterator<Item = Self> {
        (0..width).step_by(most.max(1)).map(move |first| Self { first, count: most.min(width - first) })
    }
}
