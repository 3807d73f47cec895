//! Weighted counts under a Dirichlet prior centered on the neighbors: the fit of all spots.

use super::graph::Graph;
use super::kernel::{Rules, Scratch, TILE, Table, Tile, filled, fit_spot, place};
use super::packed::{PackedRow, WeightedRows};
use super::shapes::Shapes;
use crate::check;
use crate::error::{Error, Result};
use crate::watch::Watch;
use ndarray::{Array2, ArrayView2, ArrayViewMut1};
use rayon::prelude::*;

/// Smallest share a spot starts from.
const START: f64 = 1e-4;
/// Weight of the neighbors' mean in the center of the prior; the rest is the mean of the section.
const NEAR: f64 = 0.9;

/// What pulls the shares of a spot: `counts` prior counts centered on neighbors and section.
#[derive(Debug, Clone)]
pub struct Prior {
    /// Prior counts (kappa).
    pub counts: f64,
    /// Section of every spot, 0 to the number of sections - 1.
    pub section: Vec<u32>,
    /// Spots whose starting shares make the mean of their section.
    pub counted: Vec<bool>,
    /// Neighbors of every spot; `None` leaves the section alone.
    pub graph: Option<Graph>,
    /// Steps per spot and sweep.
    pub steps: usize,
    /// Change of a share below which a spot is done.
    pub tolerance: f64,
    /// For many spots: visit them color by color, with every second step a long one. Else one after the other by index.
    pub colored: bool,
}

/// Shares of all spots while they are fitted.
#[derive(Debug, Clone)]
pub struct SpotFit {
    shapes: Shapes,
    prior: Prior,
    /// Sections x types: mean starting share.
    center: Array2<f64>,
    shares: Array2<f32>,
}

/// Spots per task.
const TASK: usize = 8;
/// A spot with a smaller part of the merged genes than one in so many gets a table of its own genes.
const SPARSE: usize = 5;

/// Memory of one worker: counts of a spot, and the table of its genes alone.
#[derive(Default)]
struct Workspace {
    kernel: Scratch,
    lines: Vec<Tile>,
    background: Vec<Tile>,
    counts: Vec<Tile>,
    alpha: Vec<f64>,
    z: Vec<f64>,
}

impl SpotFit {
    /// Start from shares of the weighted counts (spots x types; rows need not sum to 1).
    ///
    /// # Errors
    /// [`Error::Rows`] or [`Error::Shape`] when shapes disagree.
    pub fn new(shapes: Shapes, prior: Prior, mut start: Array2<f32>) -> Result<Self> {
        let (spots, types) = start.dim();
        check::same_rows("shares", spots, "sections", prior.section.len())?;
        check::same_rows("shares", spots, "counted", prior.counted.len())?;
        if let Some(graph) = &prior.graph {
            check::same_rows("shares", spots, "graph", graph.spots())?;
        }
        if types != shapes.types {
            let (found, expected) = (format!("{types} types"), format!("{} types", shapes.types));
            return Err(Error::Shape { name: "shares", found, expected });
        }
        for mut row in start.outer_iter_mut() {
            scale_to_one(&mut row, 0.0);
            scale_to_one(&mut row, START);
        }
        let center = centers(&prior, start.view());
        Ok(Self { shapes, prior, center, shares: start })
    }

    /// The shapes, to weigh counts with.
    #[must_use]
    pub fn shapes(&self) -> &Shapes {
        &self.shapes
    }

    /// Shares of the weighted counts, spots x types.
    #[must_use]
    pub fn shares(&self) -> ArrayView2<'_, f32> {
        self.shares.view()
    }

    /// Visit the spots of one block (ascending) once; returns the largest change of a share.
    ///
    /// The result does not depend on the number of threads; that of spots visited by index (see [`Graph`]) not on
    /// the cut in blocks either. A spot without counts is left as it is.
    ///
    /// # Errors
    /// [`Error::Rows`], [`Error::Index`] or [`Error::Shape`] when the block does not fit, [`Error::Cancelled`] on request.
    pub fn sweep(&mut self, weighted: &WeightedRows, spots: &[i64], watch: &dyn Watch) -> Result<f64> {
        check::same_rows("counts", weighted.rows(), "spots", spots.len())?;
        check::indices("spots", spots.iter().copied(), self.shares.nrows())?;
        if spots.windows(2).any(|pair| pair[0] >= pair[1]) {
            let (found, expected) = ("spots out of order".to_string(), "ascending spots".to_string());
            return Err(Error::Shape { name: "spots", found, expected });
        }
        let waves = match &self.prior.graph {
            Some(graph) if self.prior.colored => graph.colors(spots),
            Some(graph) => graph.waves(spots),
            None => vec![(0..spots.len()).collect()],
        };
        let mut change = 0.0_f64;
        for (done, rows) in waves.iter().enumerate() {
            if !watch.tick(done, waves.len()) {
                return Err(Error::Cancelled { done, total: waves.len() });
            }
            let this = &*self;
            let fitted: Vec<Vec<f32>> = rows
                .par_chunks(TASK)
                .map_init(Workspace::default, |work, rows| this.visit_all(weighted, spots, rows, work))
                .collect();
            let types = self.shapes.types;
            let fitted = fitted.iter().flat_map(|part| part.chunks_exact(types));
            for (&row, new) in rows.iter().zip(fitted) {
                for (old, &new) in self.shares.row_mut(spots[row] as usize).iter_mut().zip(new) {
                    change = change.max(f64::from((new - *old).abs()));
                    *old = new;
                }
            }
        }
        Ok(change)
    }

    /// Prior counts of a spot.
    fn alpha(&self, spot: usize, alpha: &mut Vec<f64>) {
        let prior = &self.prior;
        alpha.clear();
        alpha.resize(self.shapes.types, 0.0);
        let near = prior.graph.as_ref().map_or(&[][..], |graph| graph.of(spot));
        for &other in near {
            for (sum, &share) in alpha.iter_mut().zip(self.shares.row(other as usize)) {
                *sum += f64::from(share);
            }
        }
        let (near, far) = if near.is_empty() { (0.0, 1.0) } else { (NEAR / near.len() as f64, 1.0 - NEAR) };
        for (sum, &center) in alpha.iter_mut().zip(self.center.row(prior.section[spot] as usize)) {
            *sum = prior.counts * (near * *sum + far * center);
        }
    }

    /// Prior counts of some spots, for the errors of their shares.
    ///
    /// # Errors
    /// [`Error::Index`] for a spot out of range.
    pub fn alphas(&self, spots: &[i64]) -> Result<Array2<f64>> {
        check::indices("spots", spots.iter().copied(), self.shares.nrows())?;
        let mut alpha = Vec::new();
        let mut out = Array2::zeros((spots.len(), self.shapes.types));
        for (mut row, &spot) in out.outer_iter_mut().zip(spots) {
            self.alpha(spot as usize, &mut alpha);
            row.iter_mut().zip(&alpha).for_each(|(to, &from)| *to = from);
        }
        Ok(out)
    }

    /// New shares of some rows of a block.
    fn visit_all(
        &self,
        weighted: &WeightedRows,
        spots: &[i64],
        rows: &[usize],
        work: &mut Workspace,
    ) -> Vec<f32> {
        let mut shares = Vec::with_capacity(rows.len() * self.shapes.types);
        for &row in rows {
            self.visit(weighted.row(row), spots[row] as usize, work);
            shares.extend(work.z.iter().map(|&share| share as f32));
        }
        shares
    }

    /// Leave the new shares of a spot in `work.z`.
    fn visit(&self, row: PackedRow, spot: usize, work: &mut Workspace) {
        let Workspace { kernel, lines, background, counts, alpha, z } = work;
        z.clear();
        z.extend(self.shares.row(spot).iter().map(|&share| f64::from(share)));
        if row.len() == 0 {
            return;
        }
        self.alpha(spot, alpha);
        let (shapes, types) = (&self.shapes, self.shapes.types);
        let prior = &self.prior;
        let rules = Rules { steps: prior.steps, tolerance: prior.tolerance, long: prior.colored };
        let dense = !shapes.by_tile.is_empty() && row.len() * SPARSE > shapes.genes();
        let tiles = if dense { shapes.background.len() } else { row.len().div_ceil(TILE) };
        counts.clear();
        counts.resize(tiles, filled(0.0));
        if dense {
            row.for_each(|gene, count| {
                let (tile, half, lane) = place(gene);
                counts[tile][half][lane] = count;
            });
            let table = Table { lines: &shapes.by_tile, background: &shapes.background, counts };
            fit_spot(&table, alpha, z, rules, kernel);
            return;
        }
        lines.clear();
        lines.resize(tiles * (types + 1), filled(0.0));
        background.clear();
        background.resize(tiles, filled(1.0));
        let mut at = 0;
        row.for_each(|gene, count| {
            let ((tile, half, lane), from) = (place(at), place(gene));
            let rates = &shapes.by_gene[gene * types..][..types];
            let lines = &mut lines[tile * (types + 1)..][..types];
            rates.iter().zip(lines).for_each(|(&rate, line)| line[half][lane] = rate);
            background[tile][half][lane] = shapes.background[from.0][from.1][from.2];
            counts[tile][half][lane] = count;
            at += 1;
        });
        fit_spot(&Table { lines, background, counts }, alpha, z, rules, kernel);
    }
}

/// Raise the shares to `floor` and scale them to sum 1; shares that are all 0 become equal.
fn scale_to_one(row: &mut ArrayViewMut1<f32>, floor: f64) {
    let total: f64 = row.iter().map(|&share| f64::from(share).max(floor)).sum();
    let equal = 1.0 / row.len() as f64;
    row.mapv_inplace(|share| (if total > 0.0 { f64::from(share).max(floor) / total } else { equal }) as f32);
}

/// Mean share of each section over the spots that count; equal shares where there is none.
fn centers(prior: &Prior, shares: ArrayView2<f32>) -> Array2<f64> {
    let sections = prior.section.iter().max().map_or(1, |&last| last as usize + 1);
    let mut center = Array2::<f64>::zeros((sections, shares.ncols()));
    let spots = shares.outer_iter().zip(&prior.section).zip(&prior.counted);
    for ((row, &section), _) in spots.filter(|&(_, &counted)| counted) {
        center
            .row_mut(section as usize)
            .iter_mut()
            .zip(row)
            .for_each(|(sum, &share)| *sum += f64::from(share));
    }
    for mut row in center.outer_iter_mut() {
        let (total, equal) = (row.sum(), 1.0 / row.len() as f64);
        row.mapv_inplace(|sum| if total > 0.0 { sum / total } else { equal });
    }
    center
}
