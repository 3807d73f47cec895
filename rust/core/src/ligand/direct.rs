//! Direct sums: all pairs of cells within a cut-off distance, found through cell lists.

use super::Kernel;
use super::tile::{Left, accumulate, exp_in_place};
use crate::error::{Error, Result};
use crate::watch::Watch;
use ndarray::ArrayView2;
use rayon::prelude::*;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Cells of a bucket meet the cells of the neighboring buckets in blocks of this many.
const BLOCK: usize = 64;

/// Buckets of cells with side half the cut-off.
#[derive(Debug, Clone)]
pub struct Direct {
    /// Cells in bucket order.
    pub cells: Vec<usize>,
    points: Vec<[f64; 3]>,
    buckets: Vec<(Range<usize>, Vec<Range<usize>>)>,
    kernel: Kernel,
    cutoff: f64,
}

/// A group of targets and the sorted ranges of cells that may be near enough.
type Bucket = [i64; 3];

impl Direct {
    /// Sort cells into buckets; an infinite `cutoff` makes one bucket of all cells.
    pub fn new(xy: ArrayView2<f64>, cells: &[usize], kernel: Kernel, cutoff: f64) -> Self {
        let dims = xy.ncols();
        let side = 0.5 * cutoff;
        let mut keyed: Vec<(Bucket, usize)> = cells
            .iter()
            .map(|&i| {
                let mut key = [0; 3];
                if cutoff.is_finite() {
                    for a in 0..dims {
                        // x last: neighbors along x are neighbors in the sorted order
                        key[2 - a] = (xy[[i, a]] / side).floor() as i64;
                    }
                }
                (key, i)
            })
            .collect();
        keyed.sort_unstable();
        let mut ranges: Vec<(Bucket, Range<usize>)> = Vec::new();
        for (position, (key, _)) in keyed.iter().enumerate() {
            match ranges.last_mut() {
                Some((last, range)) if last == key => range.end = position + 1,
                _ => ranges.push((*key, position..position + 1)),
            }
        }
        let place: HashMap<Bucket, usize> =
            ranges.iter().enumerate().map(|(at, (key, _))| (*key, at)).collect();
        let flat = if dims == 2 { 0 } else { 2 };
        let buckets = ranges
            .iter()
            .flat_map(|(key, range)| {
                let near = neighbors(*key, flat, &ranges, &place);
                let pieces = range.clone().step_by(BLOCK);
                pieces.map(move |first| (first..(first + BLOCK).min(range.end), near.clone()))
            })
            .collect();
        let point = |i: usize| [xy[[i, 0]], xy[[i, 1]], if dims == 3 { xy[[i, 2]] } else { 0.0 }];
        let cells: Vec<usize> = keyed.into_iter().map(|(_, i)| i).collect();
        let points = cells.iter().map(|&i| point(i)).collect();
        Self { cells, points, buckets, kernel, cutoff }
    }

    /// Mean number of cells within the cut-off, estimated from the occupancy of the buckets.
    pub fn mean_neighbors(&self) -> f64 {
        let dims3 = self.points.iter().any(|p| p[2] != self.points[0][2]);
        let ball = if !self.cutoff.is_finite() {
            1.0
        } else if dims3 {
            4.0 / 3.0 * std::f64::consts::PI * 8.0 / 125.0
        } else {
            std::f64::consts::PI * 4.0 / 25.0
        };
        let pairs: f64 = self
            .buckets
            .iter()
            .map(|(own, near)| own.len() as f64 * near.iter().map(|r| r.len() as f64).sum::<f64>())
            .sum();
        (ball * pairs / self.cells.len().max(1) as f64).max(1.0)
    }

    /// Kernel sums (cells in bucket order x `n`) of `values`, the same shape; `n` is a multiple of 8.
    ///
    /// # Errors
    /// [`Error::Cancelled`] when `watch` says so.
    pub fn apply(&self, values: &[f64], n: usize, watch: &dyn Watch) -> Result<Vec<f64>> {
        let mut out = vec![0.0; self.cells.len() * n];
        let mut parts = Vec::with_capacity(self.buckets.len());
        let mut rest = out.as_mut_slice();
        for (own, near) in &self.buckets {
            let (part, tail) = rest.split_at_mut(own.len() * n);
            parts.push((own, near, part));
            rest = tail;
        }
        let (done, total) = (AtomicUsize::new(0), parts.len());
        parts.into_par_iter().try_for_each(|(own, near, part)| {
            let done = done.fetch_add(1, Ordering::Relaxed);
            if !watch.tick(done, total) {
                return Err(Error::Cancelled { done, total });
            }
            let mut weights = vec![0.0; BLOCK * BLOCK];
            for sources in near.iter().flat_map(|r| blocks(r.clone())) {
                self.weigh(own, &sources, &mut weights);
                let left = Left { data: &weights, row_step: BLOCK, k_step: 1 };
                let block = &values[sources.start * n..sources.end * n];
                accumulate(own.len(), n, sources.len(), left, block, part);
            }
            Ok(())
        })?;
        Ok(out)
    }

    /// Kernel weights of a block of targets (rows) and sources (columns).
    fn weigh(&self, own: &Range<usize>, sources: &Range<usize>, weights: &mut [f64]) {
        let slope = -0.5 / (self.kernel.sigma * self.kernel.sigma);
        let limit = self.cutoff * self.cutoff;
        for (target, line) in self.points[own.clone()].iter().zip(weights.chunks_mut(BLOCK)) {
            for (w, source) in line.iter_mut().zip(&self.points[sources.clone()]) {
                let (dx, dy, dz) = (target[0] - source[0], target[1] - source[1], target[2] - source[2]);
                let d2 = dx * dx + dy * dy + dz * dz;
                *w = if d2 <= limit { slope * d2 } else { f64::NEG_INFINITY };
            }
            let line = &mut line[..sources.len()];
            exp_in_place(line);
        }
    }
}

fn blocks(range: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let end = range.end;
    range.step_by(BLOCK).map(move |first| first..(first + BLOCK).min(end))
}

/// Sorted cell ranges of the buckets within two sides; neighbors that touch in the order are joined.
fn neighbors(
    key: Bucket,
    flat: i64,
    ranges: &[(Bucket, Range<usize>)],
    place: &HashMap<Bucket, usize>,
) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    for z in -flat..=flat {
        for y in -2..=2 {
            for x in -2..=2 {
                let Some(&at) = place.get(&[key[0] + z, key[1] + y, key[2] + x]) else { continue };
                let range = ranges[at].1.clone();
                match found.last_mut() {
                    Some(last) if last.end == range.start => last.end = range.end,
                    _ => found.push(range),
                }
            }
        }
    }
    found
}
