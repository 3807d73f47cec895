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
    let mut genes: Vec<Gene> = background
        .iter()
        .zip(weights)
        .map(|(&background, &weight)| Gene {
            background: background as f32,
            weight: weight as f32,
            marked: 0.0,
        })
        .collect();
    marked.iter().for_each(|&gene| genes[gene].marked = 1.0);
    let part = |rows: std::ops::Range<usize>| {
        let mut out = Misfit { genes: vec![0.0; genes.len()], spots: Vec::new(), excess: Vec::new() };
        let (mut entries, mut share) = (Vec::new(), vec![0.0_f32; rates.width()]);
        let mut fitted = Vec::new();
        let marks: Vec<(u32, f32)> = marked.iter().map(|&gene| (gene as u32, 0.0)).collect();
        for row in rows {
            block.gather(row, &mut entries);
            share.iter_mut().zip(shares.row(row)).for_each(|(to, &from)| *to = from);
            let depth: f64 = entries.iter().map(|entry| f64::from(entry.1)).sum();
            rates_of(rates.values(), &marks, &share, &mut fitted);
            let expected =
                marked.iter().zip(&fitted).map(|(&gene, &rate)| f64::from(rate) + background[gene]);
            let expected = depth * expected.sum::<f64>();
            rates_of(rates.values(), &entries, &share, &mut fitted);
            let (spot, seen) = compare(&entries, &fitted, depth, &genes, &mut out.genes);
            out.spots.push(spot);
            out.excess.push(seen - expected);
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

/// What is known of a gene.
#[derive(Clone, Copy)]
struct Gene {
    background: f32,
    weight: f32,
    /// 1 for marked genes, else 0.
    marked: f32,
}

/// Add the ratios of one row to `sums`; its misfit, and its counts of the marked genes.
fn compare(
    entries: &[(u32, f32)],
    fitted: &[f32],
    depth: f64,
    genes: &[Gene],
    sums: &mut [f64],
) -> (f64, f64) {
    let (mut spot, mut seen) = (0.0, 0.0);
    for (&(gene, count), &rate) in entries.iter().zip(fitted) {
        let (at, count) = (gene as usize, f64::from(count));
        let gene = genes[at];
        let ratio = count * count / (depth * f64::from(rate + gene.background)).max(FLOOR);
        sums[at] += ratio;
        spot += f64::from(gene.weight) * (ratio - 2.0 * count);
        seen += f64::from(gene.marked) * count;
    }
    (spot, seen)
}

/// Types whose products are added up together.
const LANES: usize = 8;

/// Entries whose products are held before they are added up.
const HELD: usize = 16;

widest! {
    /// `rates[e] = table[gene of e] · share` for each entry e.
    fn rates_of(table: &[f32], entries: &[(u32, f32)], share: &[f32], rates: &mut Vec<f32>) {
        let parts = share.len() / LANES;
        let (lines, share) = (table.as_chunks::<LANES>().0, share.as_chunks::<LANES>().0);
        rates.clear();
        rates.resize(entries.len(), 0.0);
        // Products are stored first: added up at once, they would be computed in narrow registers.
        let mut held = [[0.0_f32; LANES]; HELD];
        for (entries, rates) in entries.chunks(HELD).zip(rates.chunks_mut(HELD)) {
            for (held, &(gene, _)) in held.iter_mut().zip(entries) {
                let line = &lines[gene as usize * parts..][..parts];
                let mut lanes = [0.0_f32; LANES];
                for (line, share) in line.iter().zip(share) {
                    for lane in 0..LANES {
                        lanes[lane] += line[lane] * share[lane];
                    }
                }
                *held = lanes;
            }
            let held = std::hint::black_box(&held);
            for (rate, [a, b, c, d, e, f, g, h]) in rates.iter_mut().zip(held) {
                *rate = ((a + e) + (c + g)) + ((b + f) + (d + h));
            }
        }
    }
}
