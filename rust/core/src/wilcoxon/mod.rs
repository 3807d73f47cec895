//! Rank-sum tests of many groups of cells against a reference, gene by gene.
//!
//! For n1 cells of a group and n2 of the reference, R1 the sum of the mid-ranks of the group:
//!
//! ```text
//! U1 = R1 - n1 (n1 + 1) / 2        U = max(U1, n1 n2 - U1)       n = n1 + n2
//! s² = n1 n2 / 12 ((n + 1) - Σ (t³ - t) / (n (n - 1)))
//! p  = min(1, 2 Φ(-(U - n1 n2 / 2 - 1/2) / s)),  1 when s² <= 0
//! ```
//!
//! All nonzero values of a gene are sorted once, whatever the number of groups; one sweep then serves every
//! group. Cost O(stored values) time for the radix sort, memory for one block of genes. Counts are exact,
//! so results are the same bits for any number of threads and any storage.

mod groups;
mod key;
mod normal;
mod slabs;
mod sweep;

pub use groups::{Comparison, Groups};
pub use key::Ranked;
pub use normal::{erfc, two_sided};

use crate::check;
use crate::error::{Error, Result};
use crate::matrix::{Matrix, Position};
use crate::watch::Watch;
use ndarray::{Array2, ArrayViewMut2, Axis, s};
use rayon::prelude::*;
use slabs::Slab;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use sweep::Tally;

/// Genes per task.
const GENES: usize = 8;
/// Numbers per test.
const OUTCOMES: usize = 3;

/// How the normal approximation is made.
#[derive(Debug, Clone, Copy)]
pub struct Approximation {
    /// Subtract the ties from the variance.
    pub tie_correct: bool,
    /// Move U by one half toward its mean.
    pub continuity: bool,
}

/// Outcome of the tests, groups x genes.
#[derive(Debug, Clone)]
pub struct RankSums {
    /// U1: pairs in which the cell of the group is larger, ties counting one half.
    pub statistic: Array2<f64>,
    /// (U1 - n1 n2 / 2) / s, without the continuity correction; 0 when s² <= 0.
    pub score: Array2<f64>,
    /// Two-sided p-value.
    pub p_value: Array2<f64>,
}

/// Mann-Whitney test of every group and gene.
///
/// * `codes`: group of each cell, 0 to `n_groups` - 1; negative leaves a cell out.
/// * `comparison`: against group 0, which then has no row in the result, or against all other cells.
///
/// # Errors
/// [`Error::Rows`], [`Error::Shape`], [`Error::Index`], [`Error::NotFinite`] for bad input,
/// [`Error::Cancelled`] on request.
pub fn rank_sums<V: Ranked, I: Position>(
    matrix: &Matrix<V, I>,
    codes: &[i64],
    n_groups: usize,
    comparison: Comparison,
    approximation: Approximation,
    watch: &dyn Watch,
) -> Result<RankSums> {
    check::same_rows("X", matrix.n_rows(), "groups", codes.len())?;
    matrix.check()?;
    let groups = Groups::new(codes, n_groups)?;
    if n_groups < 2 {
        let (found, expected) = (format!("{n_groups} group"), "at least 2 groups".to_string());
        return Err(Error::Shape { name: "groups", found, expected });
    }
    let test = Test { groups, comparison, approximation };
    let n_genes = matrix.n_columns();
    // Genes x (statistic, score, p-value) per group: a task owns whole rows.
    let mut out = Array2::zeros((n_genes, OUTCOMES * test.n_rows()));
    let meter = Meter { done: AtomicUsize::new(0), total: n_genes, stop: AtomicBool::new(false), watch };
    if matrix.by_columns() {
        test.block(&Genes::Columns(*matrix), out.view_mut(), &meter);
    } else {
        let (mut slabs, width) = (slabs::chunks(&test.groups), slabs::width(matrix));
        for first in (0..n_genes).step_by(width) {
            let genes = first..n_genes.min(first + width);
            slabs::fill(&mut slabs, matrix, &test.groups, &genes);
            test.block(&Genes::<V, I>::Slabs(&slabs), out.slice_mut(s![genes, ..]), &meter);
            if meter.stop.load(Ordering::Relaxed) {
                break;
            }
        }
    }
    if meter.stop.load(Ordering::Relaxed) {
        return Err(Error::Cancelled { done: meter.done.load(Ordering::Relaxed), total: n_genes });
    }
    let pick = |which: usize| {
        let mut picked = Array2::zeros((test.n_rows(), n_genes));
        picked.assign(&out.slice(s![.., which..;OUTCOMES]).t());
        picked
    };
    Ok(RankSums { statistic: pick(0), score: pick(1), p_value: pick(2) })
}

struct Meter<'a> {
    done: AtomicUsize,
    total: usize,
    stop: AtomicBool,
    watch: &'a dyn Watch,
}

impl Meter<'_> {
    /// Count finished genes; false when the caller asked to stop.
    fn advance(&self, genes: usize) -> bool {
        let done = self.done.fetch_add(genes, Ordering::Relaxed) + genes;
        if !self.watch.tick(done, self.total) {
            self.stop.store(true, Ordering::Relaxed);
        }
        !self.stop.load(Ordering::Relaxed)
    }
}

/// Where the nonzero values of a gene are found.
enum Genes<'a, V, I> {
    Columns(Matrix<'a, V, I>),
    Slabs(&'a [Slab<V>]),
}

impl<V: Ranked, I: Position> Genes<'_, V, I> {
    /// Collect the values of a gene and count them per group.
    fn collect(&self, gene: usize, groups: &Groups, items: &mut Vec<V::Packed>, nonzero: &mut [u64]) {
        items.clear();
        match self {
            Self::Columns(matrix) => matrix.each_in_column(gene, |cell, value| {
                if let Some(group) = groups.of_cell[cell] {
                    items.push(value.pack(group));
                    nonzero[group as usize] += 1;
                }
            }),
            Self::Slabs(slabs) => {
                for slab in *slabs {
                    let values = slab.gene(gene);
                    items.extend(values.iter().map(|value| value.pack(slab.group)));
                    nonzero[slab.group as usize] += values.len() as u64;
                }
            }
        }
    }
}

struct Test {
    groups: Groups,
    comparison: Comparison,
    approximation: Approximation,
}

impl Test {
    /// Groups that are tested.
    fn n_rows(&self) -> usize {
        self.groups.len() - self.skipped()
    }

    fn skipped(&self) -> usize {
        usize::from(self.comparison == Comparison::Reference)
    }

    /// Test all genes of a block; `out` has one line per gene.
    fn block<V: Ranked, I: Position>(&self, genes: &Genes<V, I>, mut out: ArrayViewMut2<f64>, meter: &Meter) {
        let n_groups = self.groups.len();
        out.axis_chunks_iter_mut(Axis(0), GENES).into_par_iter().enumerate().for_each_init(
            || (Vec::new(), Vec::new(), Tally::new(n_groups)),
            |(items, spare, tally), (task, mut lines)| {
                if meter.stop.load(Ordering::Relaxed) {
                    return;
                }
                for (offset, mut line) in lines.outer_iter_mut().enumerate() {
                    tally.clear();
                    genes.collect(task * GENES + offset, &self.groups, items, &mut tally.nonzero);
                    key::sort(items, spare);
                    match self.comparison {
                        Comparison::Reference => tally.sweep::<_, false>(items, &self.groups.sizes),
                        Comparison::Rest => tally.sweep::<_, true>(items, &self.groups.sizes),
                    }
                    for (row, outcome) in line.as_slice_mut().into_iter().flat_map(by_test).enumerate() {
                        *outcome = self.judge(tally, row + self.skipped());
                    }
                }
                meter.advance(lines.nrows());
            },
        );
    }

    /// Statistic, score and p-value of a group.
    fn judge(&self, tally: &Tally, group: usize) -> [f64; OUTCOMES] {
        let n1 = self.groups.sizes[group];
        let n2 = match self.comparison {
            Comparison::Reference => self.groups.sizes[0],
            Comparison::Rest => self.groups.order.len() as u64 - n1,
        };
        let u1 = tally.twice_u[group] as f64 / 2.0;
        let ties = if self.approximation.tie_correct { tally.ties[group] as f64 } else { 0.0 };
        let (n1, n2) = (n1 as f64, n2 as f64);
        let (n, pairs) = (n1 + n2, n1 * n2);
        let variance = pairs / 12.0 * ((n + 1.0) - ties / (n * (n - 1.0)));
        if variance.is_nan() || variance <= 0.0 {
            return [u1, 0.0, 1.0];
        }
        let (deviation, s) = (u1 - pairs / 2.0, variance.sqrt());
        let half = if self.approximation.continuity { 0.5 } else { 0.0 };
        [u1, deviation / s, two_sided((u1.max(pairs - u1) - pairs / 2.0 - half) / s)]
    }
}

fn by_test(line: &mut [f64]) -> impl Iterator<Item = &mut [f64; OUTCOMES]> {
    line.as_chunks_mut().0.iter_mut()
}

#[cfg(test)]
mod tests;
