//! How far the counts scatter around a fit, per gene and per spot.

use super::block::{Block, Rates};
use super::sums::chunks;
use crate::check;
use crate::error::{Error, Result};
use crate::watch::Watch;
use ndarray::{ArrayView1, ArrayView2};
use rayon::prelude::*;

/// Smallest expected count that a squared count is divided by.
const FLOOR: f64 = 1e-3;

/// Sums over a block of squared counts divided by their expectation.
#[derive(Debug, Clone, PartialEq)]
pub struct Misfit {
    /// Per gene, over the rows.
    pub genes: Vec<f64>,
    /// Per row, over the genes, the ratio less twice the count, each times the weight of its gene.
    pub spots: Vec<f64>,
    /// Per row, counts above expectation of the marked genes.
    pub excess: Vec<f64>,
}

/// Divide every squared count by what the fit expects: depth x (shares · rates + background).
///
/// * `shares`: rows x types.
/// * `background`: rate of each gene beside the types.
/// * `weights`: factor of each gene in the sum over a row.
/// * `marked`: genes (ascending) whose counts above expectation are added up per row.
///
/// # Errors
/// [`Error::Rows`] or [`Error::Shape`] when shapes disagree, [`Error::Cancelled`] on request.
pub fn misfit(
    block: &Block,
    shares: ArrayView2<f32>,
    rates: &Rates,
    background: ArrayView1<f64>,
    weights: ArrayView1<f64>,
    marked: &[usize],
    watch: &dyn Watch,
) -> Result<Misfit> {
    check::same_rows("counts", block.rows(), "shares", shares.nrows())?;
    check::same_rows("rates", rates.genes(), "background", background.len())?;
    check::same_rows("rates", rates.genes(), "weights", weights.len())?;
    if shares.ncols() != rates.types() {
        let (found, expected) = (format!("{} types", shares.ncols()), format!("{} types", rates.types()));
        return Err(Error::Shape { name: "shares", found, expected });
    }
    if !watch.tick(0, 1) {
        return Err(Error::Cancelled { done: 0, total: 1 });
    }
    let part = |rows: std::ops::Range<usize>| {
        let mut out = Misfit { genes: vec![0.0; background.len()], spots: Vec::new(), excess: Vec::new() };
        let (mut entries, mut share) = (Vec::new(), vec![0.0_f32; rates.width()]);
        for row in rows {
            block.gather(row, &mut entries);
            share.iter_mut().zip(shares.row(row)).for_each(|(to, &from)| *to = from);
            let depth: f64 = entries.iter().map(|entry| f64::from(entry.1)).sum();
            let expected = |gene: usize| depth * (dot(rates.line(gene), &share) + background[gene]);
            let mut spot = 0.0;
            for &(gene, count) in &entries {
                let gene = gene as usize;
                let ratio = f64::from(count) * f64::from(count) / expected(gene).max(FLOOR);
                out.genes[gene] += ratio;
                spot += weights[gene] * (ratio - 2.0 * f64::from(count));
            }
            out.spots.push(spot);
            let seen = entries.iter().filter(|entry| marked.binary_search(&(entry.0 as usize)).is_ok());
            let seen: f64 = seen.map(|entry| f64::from(entry.1)).sum();
            out.excess.push(seen - marked.iter().map(|&gene| expected(gene)).sum::<f64>());
        }
        out
    };
    let mut total = Misfit { genes: vec![0.0; background.len()], spots: Vec::new(), excess: Vec::new() };
    for one in chunks(block.rows()).into_par_iter().map(part).collect::<Vec<_>>() {
        total.genes.iter_mut().zip(one.genes).for_each(|(sum, more)| *sum += more);
        total.spots.extend(one.spots);
        total.excess.extend(one.excess);
    }
    Ok(total)
}

fn dot(line: &[f32], share: &[f32]) -> f64 {
    let mut lanes = [0.0_f32; 8];
    for (line, share) in line.as_chunks::<8>().0.iter().zip(share.as_chunks::<8>().0) {
        for lane in 0..8 {
            lanes[lane] += line[lane] * share[lane];
        }
    }
    lanes.iter().map(|&lane| f64::from(lane)).sum()
}
