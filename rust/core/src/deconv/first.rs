//! First fit: one weighted pass, then a small non-negative least squares problem per spot.

use super::block::{Block, Rates};
use super::nnls::Nnls;
use super::sums::chunks;
use crate::check;
use crate::error::{Error, Result};
use crate::simd::fma;
use crate::watch::Watch;
use crate::widest;
use ndarray::{Array2, ArrayView1, ArrayView2};
use rayon::prelude::*;

/// Profiles with gene weights: H = Y diag(w) S' / L and G = S diag(w) S'.
#[derive(Debug, Clone)]
pub struct FirstModel {
    weighted: Rates,
    gram: Vec<f64>,
}

impl FirstModel {
    /// * `profiles`: types x genes, rows that sum to 1.
    /// * `weights`: one per gene.
    ///
    /// # Errors
    /// [`Error::Rows`] when there is not one weight per gene.
    pub fn new(profiles: ArrayView2<f64>, weights: ArrayView1<f64>) -> Result<Self> {
        check::same_rows("profiles", profiles.ncols(), "weights", weights.len())?;
        let weighted = &profiles * &weights;
        let gram = weighted.dot(&profiles.t());
        Ok(Self { weighted: Rates::new(weighted.view()), gram: gram.iter().copied().collect() })
    }
}

/// Shares of each type in each row of the block, rows that sum to 1; 0 where nothing fits.
///
/// # Errors
/// [`Error::Cancelled`] on request.
pub fn first_fit(block: &Block, model: &FirstModel, watch: &dyn Watch) -> Result<Array2<f32>> {
    let types = model.weighted.types();
    if !watch.tick(0, 1) {
        return Err(Error::Cancelled { done: 0, total: 1 });
    }
    let parts: Vec<Vec<f32>> = chunks(block.rows())
        .into_par_iter()
        .map(|rows| {
            let mut solver = Nnls::new(&model.gram, types);
            let (mut entries, mut x) = (Vec::new(), vec![0.0; types]);
            let mut sums = vec![0.0; model.weighted.width()];
            let mut shares = Vec::with_capacity(rows.len() * types);
            for row in rows {
                block.gather(row, &mut entries);
                project(model.weighted.values(), &entries, &mut sums);
                let depth: f64 = entries.iter().map(|entry| f64::from(entry.1)).sum();
                sums.iter_mut().for_each(|sum| *sum /= depth.max(f64::MIN_POSITIVE));
                solver.solve(&sums[..types], &mut x);
                let total: f64 = x.iter().sum();
                let scale = if total > 0.0 { 1.0 / total } else { 0.0 };
                shares.extend(x.iter().map(|x| (x * scale) as f32));
            }
            shares
        })
        .collect();
    let shape = (block.rows(), types);
    Array2::from_shape_vec(shape, parts.concat()).map_err(|error| Error::Shape {
        name: "shares",
        found: error.to_string(),
        expected: "one row per spot".to_string(),
    })
}

/// Values of a line that are added up together.
const LANES: usize = 8;

widest! {
    /// `sums[k] = sum over entries of count * table[gene, k]`.
    fn project(table: &[f32], entries: &[(u32, f32)], sums: &mut [f64]) {
        let width = sums.len();
        let (pairs, rest) = sums.as_chunks_mut::<{ 2 * LANES }>();
        let first = pairs.len() * 2 * LANES;
        for (part, sums) in pairs.iter_mut().enumerate() {
            *sums = add_lines::<FMA, { 2 * LANES }>(table, width, part * 2 * LANES, entries);
        }
        for (part, sums) in rest.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
            *sums = add_lines::<FMA, LANES>(table, width, first + part * LANES, entries);
        }
    }
}

/// Sum over entries of count x the N values of its line from `from` on.
#[inline(always)]
fn add_lines<const FMA: bool, const N: usize>(
    table: &[f32],
    width: usize,
    from: usize,
    entries: &[(u32, f32)],
) -> [f64; N] {
    let mut total = [0.0_f64; N];
    for &(gene, count) in entries {
        let line = &table[gene as usize * width + from..][..N];
        for lane in 0..N {
            total[lane] = fma::<FMA>(f64::from(count), f64::from(line[lane]), total[lane]);
        }
    }
    total
}
