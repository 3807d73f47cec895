//! How far the counts scatter around a fit, per gene and per spot.

use super::block::{Block, Rates};
use super::sums::chunks;
use crate::check;
use crate::error::{Error, Result};
use crate::watch::Watch;
use crate::widest;
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
        let mut fitted = Vec::new();
        let marks: Vec<(u32, f32)> = marked.iter().map(|&gene| (gene as u32, 0.0)).collect();
        for row in rows {
            block.gather(row, &mut entries);
            share.iter_mut().zip(shares.row(row)).for_each(|(to, &from)| *to = from);
            let depth: f64 = entries.iter().map(|entry| f64::from(entry.1)).sum();
            rates_of(rates.values(), &entries, &share, &mut fitted);
            let mut spot = 0.0;
            for (&(gene, count), rate) in entries.iter().zip(&fitted) {
                let (gene, count) = (gene as usize, f64::from(count));
                let ratio = count * count / (depth * (rate + background[gene])).max(FLOOR);
                out.genes[gene] += ratio;
                spot += weights[gene] * (ratio - 2.0 * count);
            }
            out.spots.push(spot);
            let mut excess = 0.0;
            if !marks.is_empty() {
                rates_of(rates.values(), &marks, &share, &mut fitted);
                let expected = marked.iter().zip(&fitted).map(|(&gene, rate)| rate + background[gene]);
                excess -= depth * expected.sum::<f64>();
                let seen = entries.iter().filter(|entry| marked.binary_search(&(entry.0 as usize)).is_ok());
                excess += seen.map(|entry| f64::from(entry.1)).sum::<f64>();
            }
            out.excess.push(excess);
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

widest! {
    /// `rates[e] = table[gene of e] · share` for each entry e.
    fn rates_of(table: &[f32], entries: &[(u32, f32)], share: &[f32], rates: &mut Vec<f64>) {
        const LANES: usize = 8;
        let width = share.len();
        rates.clear();
        for &(gene, _) in entries {
            let line = &table[gene as usize * width..][..width];
            let mut lanes = [0.0_f32; LANES];
            for part in 0..width / LANES {
                let (line, share) = (&line[part * LANES..][..LANES], &share[part * LANES..][..LANES]);
                for lane in 0..LANES {
                    lanes[lane] += line[lane] * share[lane];
                }
            }
            let [a, b, c, d, e, f, g, h] = lanes;
            rates.push(f64::from(((a + e) + (b + f)) + ((c + g) + (d + h))));
        }
    }
}
