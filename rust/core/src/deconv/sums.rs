//! First pass: depth of every spot, total of every gene, and what kind of values these are.

use super::block::{Block, CHUNK};
use crate::error::{Error, Result};
use crate::watch::Watch;
use rayon::prelude::*;

/// Totals of a block.
#[derive(Debug, Clone, PartialEq)]
pub struct GeneSums {
    /// Sum of each row.
    pub depth: Vec<f64>,
    /// Sum of each gene over the rows.
    pub genes: Vec<f64>,
    /// Stored entries that are not 0.
    pub entries: usize,
    /// Of these, entries with a fraction.
    pub fractions: usize,
    /// Largest entry.
    pub largest: f64,
    /// First row with a negative, NaN or infinite entry, and that entry.
    pub unusable: Option<(usize, f64)>,
}

impl GeneSums {
    fn empty(genes: usize) -> Self {
        Self {
            depth: Vec::new(),
            genes: vec![0.0; genes],
            entries: 0,
            fractions: 0,
            largest: 0.0,
            unusable: None,
        }
    }

    fn append(mut self, other: Self) -> Self {
        let shift = self.depth.len();
        self.depth.extend(other.depth);
        self.genes.iter_mut().zip(other.genes).for_each(|(sum, more)| *sum += more);
        self.entries += other.entries;
        self.fractions += other.fractions;
        self.largest = self.largest.max(other.largest);
        self.unusable = self.unusable.or(other.unusable.map(|(row, value)| (row + shift, value)));
        self
    }
}

/// Add up a block of counts over `genes` genes.
///
/// # Errors
/// [`Error::Cancelled`] on request.
pub fn gene_sums(block: &Block, genes: usize, watch: &dyn Watch) -> Result<GeneSums> {
    if !watch.tick(0, 1) {
        return Err(Error::Cancelled { done: 0, total: 1 });
    }
    let parts: Vec<GeneSums> = chunks(block.rows())
        .into_par_iter()
        .map(|rows| {
            let mut sums = GeneSums::empty(genes);
            for row in rows.clone() {
                let mut depth = 0.0;
                for (gene, count) in block.row(row) {
                    let count = f64::from(count);
                    if !(count.is_finite() && count >= 0.0) {
                        sums.unusable.get_or_insert((row - rows.start, count));
                    }
                    depth += count;
                    sums.genes[gene] += count;
                    sums.entries += 1;
                    sums.fractions += usize::from(count.fract() != 0.0);
                    sums.largest = sums.largest.max(count);
                }
                sums.depth.push(depth);
            }
            sums
        })
        .collect();
    Ok(parts.into_iter().fold(GeneSums::empty(genes), GeneSums::append))
}

/// Row ranges whose sums are added up in order.
pub(super) fn chunks(rows: usize) -> Vec<std::ops::Range<usize>> {
    (0..rows).step_by(CHUNK).map(|first| first..rows.min(first + CHUNK)).collect()
}
