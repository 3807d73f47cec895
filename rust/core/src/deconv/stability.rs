//! How much the shares of a spot would move if its molecules were drawn again.

use super::block::{Block, Rates};
use super::sums::chunks;
use crate::check;
use crate::error::{Error, Result};
use crate::watch::Watch;
use ndarray::{Array2, ArrayView1, ArrayView2};
use rayon::prelude::*;

/// Shares above this vary; the others get the floor only.
const ACTIVE: f64 = 1e-3;

/// What the spread of the shares is computed from.
#[derive(Debug, Clone)]
pub struct Stability<'a> {
    /// Rate of each gene in each type.
    pub rates: &'a Rates,
    /// Rate of each gene beside the types.
    pub background: ArrayView1<'a, f64>,
    /// Weight of each gene.
    pub weights: ArrayView1<'a, f64>,
    /// Types x types: sum over genes of w² phi phi'.
    pub spread: ArrayView2<'a, f64>,
    /// Prior counts of the fit.
    pub kappa: f64,
}

/// Standard deviation of every share of the block (rows x types) from a sandwich of the weighted likelihood.
///
/// * `shares`: rows x types, rows that sum to 1.
/// * `alpha`: rows x types, prior counts.
///
/// # Errors
/// [`Error::Rows`] when shapes disagree, [`Error::Cancelled`] on request.
pub fn stability(
    block: &Block,
    shares: ArrayView2<f32>,
    alpha: ArrayView2<f64>,
    model: &Stability,
    watch: &dyn Watch,
) -> Result<Array2<f32>> {
    check::same_rows("counts", block.rows(), "shares", shares.nrows())?;
    check::same_rows("counts", block.rows(), "alpha", alpha.nrows())?;
    check::same_rows("rates", model.rates.genes(), "weights", model.weights.len())?;
    check::same_rows("rates", model.rates.genes(), "background", model.background.len())?;
    let types = model.rates.types();
    if !watch.tick(0, 1) {
        return Err(Error::Cancelled { done: 0, total: 1 });
    }
    let parts: Vec<Vec<f32>> = chunks(block.rows())
        .into_par_iter()
        .map(|rows| {
            let mut out = Vec::with_capacity(rows.len() * types);
            let mut entries = Vec::new();
            for row in rows {
                block.gather(row, &mut entries);
                let share: Vec<f64> = shares.row(row).iter().map(|&share| f64::from(share)).collect();
                out.extend(spot(&entries, &share, alpha.row(row), model));
            }
            out
        })
        .collect();
    Array2::from_shape_vec((block.rows(), types), parts.concat()).map_err(|error| Error::Shape {
        name: "stability",
        found: error.to_string(),
        expected: "one row per spot".to_string(),
    })
}

fn spot(entries: &[(u32, f32)], share: &[f64], alpha: ArrayView1<f64>, model: &Stability) -> Vec<f32> {
    let depth: f64 = entries.iter().map(|entry| f64::from(entry.1)).sum();
    let weighted: f64 =
        entries.iter().map(|entry| model.weights[entry.0 as usize] * f64::from(entry.1)).sum();
    let floor = |z: f64| (z * (1.0 - z)).max(0.0) / (weighted + model.kappa + 1.0);
    let mut variance: Vec<f64> = share.iter().map(|&z| floor(z)).collect();
    let active: Vec<usize> = (0..share.len()).filter(|&kind| share[kind] > ACTIVE).collect();
    if let Some(v) = sandwich(entries, share, alpha, model, &active, depth) {
        let n = active.len();
        let total: f64 = depth * active.iter().map(|&kind| share[kind]).sum::<f64>();
        let rows: Vec<f64> = (0..n).map(|a| v[a * n..(a + 1) * n].iter().sum()).collect();
        let all: f64 = rows.iter().sum();
        for (a, &kind) in active.iter().enumerate() {
            let q = share[kind] * depth / total;
            let found = (v[a * n + a] - 2.0 * q * rows[a] + q * q * all) / (total * total);
            variance[kind] = variance[kind].max(found);
        }
    }
    variance.into_iter().map(|v| v.sqrt() as f32).collect()
}

/// I⁻¹ J I⁻¹ of the active types in units of counts; `None` when I cannot be inverted.
fn sandwich(
    entries: &[(u32, f32)],
    share: &[f64],
    alpha: ArrayView1<f64>,
    model: &Stability,
    active: &[usize],
    depth: f64,
) -> Option<Vec<f64>> {
    let n = active.len();
    let (mut information, mut score) = (vec![0.0; n * n], vec![0.0; n * n]);
    for &(gene, count) in entries {
        let (gene, count) = (gene as usize, f64::from(count));
        let line = model.rates.line(gene);
        let rate: f64 = active.iter().map(|&kind| f64::from(line[kind]) * share[kind]).sum();
        let expected = depth * (rate + model.background[gene]);
        let weight = model.weights[gene];
        let bend = weight * count / (expected * expected);
        let push = weight * weight * ((count / expected - 1.0).powi(2) - 1.0);
        for (a, &first) in active.iter().enumerate() {
            for (b, &second) in active[..=a].iter().enumerate() {
                let product = f64::from(line[first]) * f64::from(line[second]);
                information[a * n + b] += bend * product;
                score[a * n + b] += push * product;
            }
        }
    }
    for (a, &first) in active.iter().enumerate() {
        let counts = depth * share[first];
        information[a * n + a] += alpha[first] / (counts * counts);
        for (b, &second) in active[..=a].iter().enumerate() {
            score[a * n + b] += model.spread[[first, second]];
            score[b * n + a] = score[a * n + b];
            information[b * n + a] = information[a * n + b];
        }
    }
    let inverse = invert(information, n)?;
    Some(product(&product(&inverse, &score, n), &inverse, n))
}

fn product(a: &[f64], b: &[f64], n: usize) -> Vec<f64> {
    let mut out = vec![0.0; n * n];
    for i in 0..n {
        for k in 0..n {
            for j in 0..n {
                out[i * n + j] += a[i * n + k] * b[k * n + j];
            }
        }
    }
    out
}

/// Inverse of a positive definite matrix by Gauss-Jordan elimination.
fn invert(mut a: Vec<f64>, n: usize) -> Option<Vec<f64>> {
    for pivot in 0..n {
        let value = a[pivot * n + pivot];
        if !(value.is_finite() && value > 0.0) {
            return None;
        }
        a[pivot * n + pivot] = 1.0;
        (0..n).for_each(|j| a[pivot * n + j] /= value);
        for i in (0..n).filter(|&i| i != pivot) {
            let factor = std::mem::replace(&mut a[i * n + pivot], 0.0);
            for j in 0..n {
                a[i * n + j] -= factor * a[pivot * n + j];
            }
        }
    }
    Some(a)
}
