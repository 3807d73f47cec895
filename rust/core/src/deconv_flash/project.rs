//! One pass over the counts: `H = f(Y) M` and the squared length of every represented spot.

use super::counts::{Count, Counts, LogCounts, PIECE, Position};
use crate::error::{Error, Result};
use crate::simd::fma;
use crate::watch::Watch;
use crate::widest;
use ndarray::{Array1, Array2, ArrayView2};
use rayon::prelude::*;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

const SCALE: f64 = 1e4;
/// Cell types whose sums stay in registers while the entries of a spot are read.
const LANES: usize = 16;

/// What is done to a count before it is projected.
#[derive(Debug, Clone, Copy)]
pub enum Transform<'a> {
    /// `ln(1 + 1e4 count / total)`, the total over the chosen genes.
    LogCpm,
    /// A factor per chosen gene.
    Scale(&'a [f64]),
}

/// How a transformed gene is represented, for the length of a spot.
#[derive(Debug, Clone, Copy)]
pub enum Basis<'a> {
    /// Every chosen gene keeps its own column and has this weight.
    Weights(&'a [f64]),
    /// Chosen gene `j` adds `value[j]` times itself to column `bucket[j]` of `width`.
    Sketch {
        /// Column of each chosen gene.
        bucket: &'a [i64],
        /// Signed weight of each chosen gene.
        value: &'a [f64],
        /// Number of columns.
        width: usize,
    },
}

/// Which genes, how transformed, and onto what.
#[derive(Debug, Clone, Copy)]
pub struct Projection<'a> {
    /// Position among the chosen genes of every gene, negative when left out.
    pub column: &'a [i64],
    /// Transformation of the counts.
    pub transform: Transform<'a>,
    /// Representation of the genes.
    pub basis: Basis<'a>,
    /// Chosen genes x types: `M = Omega (X Omega)'`, so that the represented counts are never stored.
    pub map: ArrayView2<'a, f64>,
}

impl Projection<'_> {
    fn check(&self, n_genes: usize) -> Result<()> {
        let chosen = self.map.nrows();
        let length = |name: &'static str, found: usize, expected: usize| {
            if found == expected {
                return Ok(());
            }
            let (found, expected) = (format!("{found} entries"), format!("{expected}"));
            Err(Error::Shape { name, found, expected })
        };
        length("column", self.column.len(), n_genes)?;
        if let Some(&index) = self.column.iter().find(|&&at| at >= chosen as i64) {
            return Err(Error::Index { name: "column", index, len: chosen });
        }
        if let Transform::Scale(factor) = self.transform {
            length("factor", factor.len(), chosen)?;
        }
        match self.basis {
            Basis::Weights(weight) => length("weight", weight.len(), chosen),
            Basis::Sketch { bucket, value, width } => {
                length("bucket", bucket.len(), chosen)?;
                length("value", value.len(), chosen)?;
                crate::check::indices("bucket", bucket.iter().copied(), width)
            }
        }
    }
}

/// `H` (spots x types) and the squared length of every represented spot.
///
/// Rows are independent, so the result depends neither on threads nor on how the spots are streamed.
/// Cost O(stored counts x types) time, O(spots x types) memory.
///
/// # Errors
/// [`Error::Shape`], [`Error::Index`] when sizes disagree, [`Error::Cancelled`] on request.
pub fn project<T: Count, I: Position>(
    counts: &Counts<T, I>,
    projection: &Projection,
    watch: &dyn Watch,
) -> Result<(Array2<f64>, Array1<f64>)> {
    projection.check(counts.n_genes())?;
    let (n, types) = (counts.n_spots(), projection.map.ncols());
    let padded = types.div_ceil(LANES).max(1) * LANES;
    let mut map = vec![0.0; projection.map.nrows() * padded];
    for (row, out) in projection.map.outer_iter().zip(map.chunks_exact_mut(padded)) {
        row.iter().zip(out).for_each(|(value, out)| *out = *value);
    }
    let (mut h, mut norms) = (vec![0.0; n * types], vec![0.0; n]);
    let (done, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let pieces = h.par_chunks_mut(PIECE * types.max(1)).zip(norms.par_chunks_mut(PIECE));
    pieces.enumerate().for_each(|(piece, (h, norms))| {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let mut spot = SpotBuffer::new(projection, padded);
        for (row, norm) in norms.iter_mut().enumerate() {
            spot.read(counts, projection, piece * PIECE + row);
            *norm = spot.squared_length(projection.basis);
            spot.dot(&map);
            h[row * types..][..types].copy_from_slice(&spot.sums[..types]);
        }
        if !watch.tick(done.fetch_add(norms.len(), Ordering::Relaxed) + norms.len(), n) {
            stop.store(true, Ordering::Relaxed);
        }
    });
    if stop.into_inner() {
        return Err(Error::Cancelled { done: done.into_inner(), total: n });
    }
    let h = Array2::from_shape_vec((n, types), h).map_err(|_| Error::Rows {
        left: "H",
        n_left: n,
        right: "map",
        n_right: types,
    })?;
    Ok((h, Array1::from_vec(norms)))
}

/// Chosen genes and transformed counts of one spot, and what is summed from them.
struct SpotBuffer {
    genes: Vec<usize>,
    values: Vec<f64>,
    sums: Vec<f64>,
    sketch: Vec<f64>,
    log: LogCounts,
}

impl SpotBuffer {
    fn new(projection: &Projection, padded: usize) -> Self {
        let width = if let Basis::Sketch { width, .. } = projection.basis { width } else { 0 };
        Self {
            genes: Vec::new(),
            values: Vec::new(),
            sums: vec![0.0; padded],
            sketch: vec![0.0; width],
            log: LogCounts::new(),
        }
    }

    fn read<T: Count, I: Position>(&mut self, counts: &Counts<T, I>, projection: &Projection, spot: usize) {
        self.genes.clear();
        self.values.clear();
        for (gene, count) in counts.row(spot) {
            if let Ok(gene) = usize::try_from(projection.column[gene]) {
                self.genes.push(gene);
                self.values.push(count);
            }
        }
        match projection.transform {
            Transform::LogCpm => {
                let total: f64 = self.values.iter().sum();
                self.log.reset(SCALE / if total == 0.0 { 1.0 } else { total });
                for value in &mut self.values {
                    *value = self.log.of(*value);
                }
            }
            Transform::Scale(factor) => {
                for (value, &gene) in self.values.iter_mut().zip(&self.genes) {
                    *value *= factor[gene];
                }
            }
        }
    }

    fn squared_length(&mut self, basis: Basis) -> f64 {
        let entries = self.genes.iter().zip(&self.values);
        match basis {
            Basis::Weights(weight) => entries.map(|(&gene, value)| (value * weight[gene]).powi(2)).sum(),
            Basis::Sketch { bucket, value: weight, .. } => {
                for (&gene, value) in entries {
                    self.sketch[bucket[gene] as usize] += value * weight[gene];
                }
                let squared = self.sketch.iter().map(|value| value * value).sum();
                self.genes.iter().for_each(|&gene| self.sketch[bucket[gene] as usize] = 0.0);
                squared
            }
        }
    }

    fn dot(&mut self, map: &[f64]) {
        dot(&self.genes, &self.values, map, &mut self.sums);
    }
}

widest! {
    /// `sums = values' map[genes]`, `map` having rows as long as `sums`.
    fn dot(genes: &[usize], values: &[f64], map: &[f64], sums: &mut [f64]) {
        let padded = sums.len();
        for (lane, sums) in sums.chunks_exact_mut(LANES).enumerate() {
            let mut total = [0.0; LANES];
            for (&gene, &value) in genes.iter().zip(values) {
                let row = &map[gene * padded + lane * LANES..][..LANES];
                for (total, &weight) in total.iter_mut().zip(row) {
                    *total = fma::<FMA>(value, weight, *total);
                }
            }
            sums.copy_from_slice(&total);
        }
    }
}
