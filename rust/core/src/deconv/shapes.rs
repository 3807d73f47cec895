//! Shapes of genes over types, and counts weighted and added up by shape.

use super::block::Block;
use super::kernel::{TILE, Tile, filled, place};
use super::sums::chunks;
use crate::check;
use crate::error::{Error, Result};
use crate::watch::Watch;
use ndarray::{ArrayView1, ArrayView2};
use rayon::prelude::*;

/// Below this many merged genes the table of all of them is used for every spot.
const DENSE: usize = 1024;
/// Shapes of genes, merged or not: rate of each in each type, with the weight of the gene.
#[derive(Debug, Clone)]
pub struct Shapes {
    pub(super) types: usize,
    /// Merged genes x types.
    pub(super) by_gene: Vec<f32>,
    /// Tiles of genes x (types and a line of zeros); empty for many genes.
    pub(super) by_tile: Vec<Tile>,
    pub(super) background: Vec<Tile>,
    /// Merged gene and weight of every gene.
    merged: Vec<(u16, f32)>,
}

impl Shapes {
    /// * `rates`: types x merged genes.
    /// * `background`: rate of each merged gene beside the types.
    /// * `merged`: merged gene of every gene.
    /// * `weights`: weight of every gene's counts.
    ///
    /// # Errors
    /// [`Error::Rows`] when lengths disagree, [`Error::Index`] for a merged gene out of range, [`Error::Shape`] for
    /// more than 65,536 of them.
    pub fn new(
        rates: ArrayView2<f64>,
        background: ArrayView1<f64>,
        merged: ArrayView1<i64>,
        weights: ArrayView1<f64>,
    ) -> Result<Self> {
        let (types, genes) = rates.dim();
        check::same_rows("rates", genes, "background", background.len())?;
        check::same_rows("merged", merged.len(), "weights", weights.len())?;
        check::indices("merged", merged.iter().copied(), genes)?;
        if genes > 1 << u16::BITS {
            let (found, expected) = (format!("{genes} merged genes"), "at most 65,536".to_string());
            return Err(Error::Shape { name: "rates", found, expected });
        }
        let by_gene = rates.t().iter().map(|&rate| rate as f32).collect();
        let mut by_tile = Vec::new();
        if genes <= DENSE {
            by_tile.resize(genes.div_ceil(TILE) * (types + 1), filled(0.0));
            for ((kind, gene), &rate) in rates.indexed_iter() {
                let (tile, half, lane) = place(gene);
                by_tile[tile * (types + 1) + kind][half][lane] = rate as f32;
            }
        }
        let mut tiles = vec![filled(1.0); genes.div_ceil(TILE)];
        for (gene, &rate) in background.iter().enumerate() {
            // A rate that rounds to 0 would divide 0 by 0.
            let (tile, half, lane) = place(gene);
            tiles[tile][half][lane] = (rate as f32).max(f32::MIN_POSITIVE);
        }
        Ok(Self {
            types,
            by_gene,
            by_tile,
            background: tiles,
            merged: merged.iter().zip(weights).map(|(&gene, &weight)| (gene as u16, weight as f32)).collect(),
        })
    }

    /// Number of merged genes.
    pub(super) fn genes(&self) -> usize {
        self.by_gene.len().checked_div(self.types).unwrap_or(0)
    }

    /// Weight the counts of a block and add them up by merged gene.
    ///
    /// # Errors
    /// [`Error::Cancelled`] on request.
    pub fn weigh(&self, block: &Block, watch: &dyn Watch) -> Result<WeightedRows> {
        if !watch.tick(0, 1) {
            return Err(Error::Cancelled { done: 0, total: 1 });
        }
        let parts: Vec<WeightedRows> = chunks(block.rows())
            .into_par_iter()
            .map(|rows| {
                let mut out = WeightedRows::default();
                let mut totals = vec![0.0_f32; self.genes()];
                rows.for_each(|row| self.weigh_row(block, row, &mut totals, &mut out));
                out
            })
            .collect();
        let entries = parts.iter().map(|part| part.genes.len()).sum();
        let mut all = WeightedRows::default();
        all.ends.reserve_exact(block.rows());
        all.genes.reserve_exact(entries);
        all.counts.reserve_exact(entries);
        for part in parts {
            let shift = all.genes.len();
            all.ends.extend(part.ends.iter().map(|&end| end + shift));
            all.genes.extend(part.genes);
            all.counts.extend(part.counts);
        }
        Ok(all)
    }

    /// Append one row; `totals` is 0 before and after.
    fn weigh_row(&self, block: &Block, row: usize, totals: &mut [f32], out: &mut WeightedRows) {
        let first = out.genes.len();
        let mut found = first;
        for (gene, count) in block.row(row) {
            let (merged, weight) = self.merged[gene];
            let total = &mut totals[usize::from(merged)];
            // Written always and counted when new: whether it is new cannot be foreseen by the processor.
            if found == out.genes.len() {
                out.genes.push(0);
            }
            out.genes[found] = merged;
            found += usize::from(*total == 0.0);
            *total += weight * count;
        }
        out.genes.truncate(found);
        out.counts
            .extend(out.genes[first..].iter().map(|&gene| std::mem::take(&mut totals[usize::from(gene)])));
        out.ends.push(found);
    }
}

/// Weighted counts of some rows by merged gene, entries of 0 left out.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct WeightedRows {
    ends: Vec<usize>,
    genes: Vec<u16>,
    counts: Vec<f32>,
}

impl WeightedRows {
    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.ends.len()
    }

    /// Memory taken, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.ends.capacity() * size_of::<usize>()
            + self.genes.capacity() * size_of::<u16>()
            + self.counts.capacity() * size_of::<f32>()
    }

    /// Merged genes and weighted counts of a row.
    pub(super) fn row(&self, row: usize) -> (&[u16], &[f32]) {
        let first = if row == 0 { 0 } else { self.ends[row - 1] };
        (&self.genes[first..self.ends[row]], &self.counts[first..self.ends[row]])
    }
}
