//! Sums over reference cells from which the profiles of the types are made.

use super::block::Block;
use crate::check;
use crate::error::Result;
use ndarray::Array2;

/// Sums over the cells of each type, types x genes.
#[derive(Debug, Clone, PartialEq)]
pub struct ProfileSums {
    /// Counts.
    pub counts: Array2<f64>,
    /// Counts divided by the depth of their cell.
    pub shares: Array2<f64>,
    /// Squares of those.
    pub squares: Array2<f64>,
}

/// Add up a block of cells by type; a cell with a negative type or without counts is left out.
///
/// # Errors
/// [`crate::Error::Rows`] when there is not one type per cell, [`crate::Error::Index`] for a type out of range.
pub fn profile_sums(block: &Block, kinds: &[i64], types: usize, genes: usize) -> Result<ProfileSums> {
    check::same_rows("reference", block.rows(), "labels", kinds.len())?;
    check::indices("labels", kinds.iter().copied().filter(|&kind| kind >= 0), types)?;
    let zeros = || Array2::zeros((types, genes));
    let mut sums = ProfileSums { counts: zeros(), shares: zeros(), squares: zeros() };
    for (cell, &kind) in kinds.iter().enumerate() {
        let depth: f64 = block.row(cell).map(|(_, count)| f64::from(count)).sum();
        let Ok(kind) = usize::try_from(kind) else { continue };
        if depth <= 0.0 {
            continue;
        }
        for (gene, count) in block.row(cell) {
            let share = f64::from(count) / depth;
            sums.counts[[kind, gene]] += f64::from(count);
            sums.shares[[kind, gene]] += share;
            sums.squares[[kind, gene]] += share * share;
        }
    }
    Ok(sums)
}
