//! Sums over spots, per gene: what the choice of variable genes needs.

use super::counts::{Count, Counts, LogCounts, PIECE, Position};
use crate::error::{Error, Result};
use crate::watch::Watch;
use rayon::prelude::*;

/// Counts per ten thousand.
const SCALE: f64 = 1e4;
/// Pieces in flight; bounds the memory to this many vectors of genes.
const WAVE: usize = 32;

/// Sums per gene over the spots seen so far.
#[derive(Debug, Clone, PartialEq)]
pub struct Moments {
    /// Sum of `z = ln(1 + 1e4 count / total of the spot)`.
    pub log_sum: Vec<f64>,
    /// Sum of `z^2`.
    pub log_square: Vec<f64>,
    /// Sum of counts.
    pub sum: Vec<f64>,
}

impl Moments {
    /// Nothing seen yet.
    pub fn new(n_genes: usize) -> Self {
        Self { log_sum: vec![0.0; n_genes], log_square: vec![0.0; n_genes], sum: vec![0.0; n_genes] }
    }

    fn add(&mut self, other: &Self) {
        let pairs = [
            (&mut self.log_sum, &other.log_sum),
            (&mut self.log_square, &other.log_square),
            (&mut self.sum, &other.sum),
        ];
        for (mine, theirs) in pairs {
            for (mine, theirs) in mine.iter_mut().zip(theirs) {
                *mine += theirs;
            }
        }
    }

    /// Add more spots. Cut at multiples of [`PIECE`] spots, a stream gives the bits of the whole matrix.
    ///
    /// Cost O(stored counts) time, O(genes) memory per thread.
    ///
    /// # Errors
    /// [`Error::Shape`] when the number of genes differs, [`Error::Cancelled`] on request.
    pub fn see<T: Count, I: Position>(&mut self, counts: &Counts<T, I>, watch: &dyn Watch) -> Result<()> {
        if counts.n_genes() != self.sum.len() {
            return Err(Error::Shape {
                name: "counts",
                found: format!("{} genes", counts.n_genes()),
                expected: format!("{}", self.sum.len()),
            });
        }
        let n = counts.n_spots();
        for first in (0..n).step_by(PIECE * WAVE) {
            let starts: Vec<usize> = (first..n.min(first + PIECE * WAVE)).step_by(PIECE).collect();
            let found: Vec<Self> = starts.into_par_iter().map(|start| piece(counts, start)).collect();
            for piece in &found {
                self.add(piece);
            }
            if !watch.tick(n.min(first + PIECE * WAVE), n) {
                return Err(Error::Cancelled { done: first, total: n });
            }
        }
        Ok(())
    }
}

fn piece<T: Count, I: Position>(counts: &Counts<T, I>, start: usize) -> Moments {
    let mut out = Moments::new(counts.n_genes());
    let mut log = LogCounts::new();
    for spot in start..counts.n_spots().min(start + PIECE) {
        let total: f64 = counts.row(spot).map(|(_, count)| count).sum();
        log.reset(SCALE / total.max(1.0));
        for (gene, count) in counts.row(spot) {
            let z = log.of(count);
            out.log_sum[gene] += z;
            out.log_square[gene] += z * z;
            out.sum[gene] += count;
        }
    }
    out
}
