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

    /// Add a row of whole counts above 0; they add up exactly, in any order.
    fn add_plain(&mut self, position: &[i32], columns: &[i32], counts: &[f32]) {
        let outside = self.genes.len() - 1;
        let (mut depth, mut entries, mut largest) = (0.0, 0, 0.0_f32);
        for (&column, &count) in columns.iter().zip(counts) {
            let gene = usize::try_from(position[column as usize]);
            let (gene, used) = gene.map_or((outside, 0.0), |gene| (gene, count));
            self.genes[gene] += f64::from(used);
            depth += f64::from(used);
            entries += usize::from(gene != outside);
            largest = largest.max(used);
        }
        self.depth.push(depth);
        self.entries += entries;
        self.largest = self.largest.max(f64::from(largest));
    }

    /// Add the entries of any row, the one at `row` of its chunk.
    fn add_any(&mut self, entries: impl Iterator<Item = (usize, f32)>, row: usize) {
        let mut depth = 0.0;
        for (gene, count) in entries {
            let count = f64::from(count);
            if !(count.is_finite() && count >= 0.0) {
                self.unusable.get_or_insert((row, count));
            }
            depth += count;
            self.genes[gene] += count;
            self.entries += 1;
            self.fractions += usize::from(count.fract() != 0.0);
            self.largest = self.largest.max(count);
        }
        self.depth.push(depth);
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
            // One place more, for columns that are left out.
            let mut sums = GeneSums::empty(genes + 1);
            for row in rows.clone() {
                let (columns, counts) = block.stored(row);
                if are_plain(counts) {
                    sums.add_plain(block.position(), columns, counts);
                } else {
                    sums.add_any(block.row(row), row - rows.start);
                }
            }
            sums.genes.truncate(genes);
            sums
        })
        .collect();
    Ok(parts.into_iter().fold(GeneSums::empty(genes), GeneSums::append))
}

/// Whether all are whole numbers above 0, and not huge.
fn are_plain(counts: &[f32]) -> bool {
    /// From here on 32-bit floats are whole, so adding it rounds.
    const WHOLE: f32 = 8_388_608.0;
    let plain = |&count: &f32| (count > 0.0) & (count < WHOLE / 2.0) & ((count + WHOLE) - WHOLE == count);
    counts.iter().fold(true, |all, count| all & plain(count))
}

/// Row ranges whose sums are added up in order.
pub(super) fn chunks(rows: usize) -> Vec<std::ops::Range<usize>> {
    (0..rows).step_by(CHUNK).map(|first| first..rows.min(first + CHUNK)).collect()
}
