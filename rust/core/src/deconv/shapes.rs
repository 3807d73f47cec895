//! Shapes of genes over types, and counts weighted and added up by shape.

use super::block::Block;
use super::kernel::{TILE, Tile, filled, place};
use super::packed::WeightedRows;
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
    merged: Vec<(u32, f32)>,
}

impl Shapes {
    /// * `rates`: types x merged genes.
    /// * `background`: rate of each merged gene beside the types.
    /// * `merged`: merged gene of every gene.
    /// * `weights`: weight of every gene's counts.
    ///
    /// # Errors
    /// [`Error::Rows`] when lengths disagree, [`Error::Index`] for a merged gene out of range.
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
            merged: merged.iter().zip(weights).map(|(&gene, &weight)| (gene as u32, weight as f32)).collect(),
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
        let genes = self.genes();
        // A column that is left out adds 0 to one place behind the last merged gene.
        let target =
            |&gene: &i32| usize::try_from(gene).map_or((genes as u32, 0.0), |gene| self.merged[gene]);
        let targets: Vec<(u32, f32)> = block.position().iter().map(target).collect();
        let parts: Vec<WeightedRows> = chunks(block.rows())
            .into_par_iter()
            .map(|rows| {
                let mut out = WeightedRows::new(genes);
                let mut totals = vec![0.0_f32; genes + 1];
                for row in rows {
                    let (columns, counts) = block.stored(row);
                    for (&column, &count) in columns.iter().zip(counts) {
                        let (merged, weight) = targets[column as usize];
                        totals[merged as usize] += weight * count;
                    }
                    out.push(&mut totals[..genes]);
                }
                out
            })
            .collect();
        Ok(WeightedRows::concat(&parts, genes))
    }
}
