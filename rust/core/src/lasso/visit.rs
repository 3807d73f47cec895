//! Every target of a batch in every cluster, one problem after the other.

use super::assemble::{Shared, Target, target_moments};
use super::design::{ClusterTable, Column, Signals};
use super::plan::Plan;
use super::source::Source;
use crate::check;
use crate::error::{Error, Result};
use crate::watch::Watch;
use ndarray::{ArrayView1, ArrayView2};
use rayon::prelude::*;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Which cell belongs where.
#[derive(Debug, Clone, Copy)]
pub struct Partition<'a> {
    /// Cluster of each cell; -1 leaves the cell out.
    pub clusters: &'a [i64],
    /// Number of clusters.
    pub n_clusters: usize,
    /// Fold of each cell; -1 for cells that are never held out.
    pub folds: Option<&'a [i64]>,
    /// Number of folds.
    pub n_folds: usize,
}

/// Targets and their columns.
#[derive(Debug, Clone, Copy)]
pub struct Targets<'a> {
    /// Cells x targets.
    pub y: ArrayView2<'a, f64>,
    /// Where the columns of each target start; one entry more than there are targets.
    pub indptr: ArrayView1<'a, i64>,
    /// `(kind, first, second)` per column.
    pub columns: ArrayView2<'a, i64>,
    /// Columns x clusters: false where a column counts as zero.
    pub column_mask: Option<ArrayView2<'a, bool>>,
}

/// Cells of one cluster, fold by fold.
struct Cluster {
    rows: Vec<usize>,
    sets: Vec<Range<usize>>,
    /// Sets that are folds, not the cells that are never held out.
    folds: Vec<usize>,
}

impl Partition<'_> {
    fn check(&self, n_cells: usize) -> Result<()> {
        check::same_rows("expression", n_cells, "clusters", self.clusters.len())?;
        check::indices("clusters", self.clusters.iter().map(|c| c + 1), self.n_clusters + 1)?;
        if let Some(folds) = self.folds {
            check::same_rows("expression", n_cells, "folds", folds.len())?;
            check::indices("folds", folds.iter().map(|f| f + 1), self.n_folds + 1)?;
        }
        Ok(())
    }

    fn cluster(&self, cluster: usize) -> Cluster {
        let inside = |&i: &usize| self.clusters[i] == cluster as i64;
        let all: Vec<usize> = (0..self.clusters.len()).filter(inside).collect();
        let Some(fold_of) = self.folds else {
            return Cluster { sets: std::iter::once(0..all.len()).collect(), rows: all, folds: Vec::new() };
        };
        let (mut rows, mut sets, mut folds) = (Vec::with_capacity(all.len()), Vec::new(), Vec::new());
        for fold in -1..self.n_folds as i64 {
            let start = rows.len();
            rows.extend(all.iter().copied().filter(|&i| fold_of[i] == fold));
            if rows.len() > start {
                if fold >= 0 {
                    folds.push(sets.len());
                }
                sets.push(start..rows.len());
            }
        }
        Cluster { rows, sets, folds }
    }
}

/// Work on every (cluster, target), clusters one after the other and the targets of one in parallel; results
/// are handed to `take` in the order of clusters and targets.
pub(crate) fn visit<R: Send>(
    signals: &Signals<'_>,
    partition: &Partition<'_>,
    targets: &Targets<'_>,
    watch: &dyn Watch,
    work: impl Fn(&Source<'_>, &[usize]) -> Result<R> + Sync,
    mut take: impl FnMut(usize, usize, R),
) -> Result<()> {
    let n_cells = signals.expression.n_cells();
    signals.check_shapes()?;
    partition.check(n_cells)?;
    let plan = checked_plan(signals, partition, targets)?;
    let (n_targets, n_clusters) = (targets.y.ncols(), partition.n_clusters);
    let total = n_targets * n_clusters;
    let done = AtomicUsize::new(0);
    let tick = |more: usize| watch.tick(done.fetch_add(more, Ordering::Relaxed) + more, total);
    let cancelled = || Error::Cancelled { done: done.load(Ordering::Relaxed), total };
    for c in 0..n_clusters {
        let cluster = partition.cluster(c);
        let batch =
            ClusterBatch::new(signals, targets, &plan, &cluster, c, &|| tick(0)).ok_or_else(cancelled)?;
        let results: Vec<R> = (0..n_targets)
            .into_par_iter()
            .map(|t| {
                if !tick(0) {
                    return Err(cancelled());
                }
                let result = work(&batch.source(t), &cluster.folds);
                tick(1);
                result
            })
            .collect::<Result<_>>()?;
        results.into_iter().enumerate().for_each(|(t, result)| take(c, t, result));
    }
    Ok(())
}

fn checked_plan(signals: &Signals<'_>, partition: &Partition<'_>, targets: &Targets<'_>) -> Result<Plan> {
    check::same_rows("expression", signals.expression.n_cells(), "y", targets.y.nrows())?;
    check::finite("y", targets.y)?;
    super::single::not_too_large("y", targets.y.iter())?;
    let (n_genes, n_ligands) = (signals.expression.n_genes(), signals.received.ncols());
    let copies = 2 + partition.n_folds;
    let plan = Plan::new(targets.indptr, targets.columns, n_genes, n_ligands, copies)?;
    if plan.targets.len() != targets.y.ncols() {
        return Err(Error::Shape {
            name: "indptr",
            found: format!("{} targets", plan.targets.len()),
            expected: format!("one per column of y, {}", targets.y.ncols()),
        });
    }
    if let Some(mask) = targets.column_mask {
        let expected = (targets.columns.nrows(), partition.n_clusters);
        if mask.dim() != expected {
            return Err(Error::Shape {
                name: "column_mask",
                found: format!("shape {} x {}", mask.nrows(), mask.ncols()),
                expected: format!("{} x {} (columns x clusters)", expected.0, expected.1),
            });
        }
    }
    Ok(plan)
}

/// Everything the targets of one cluster have in common.
struct ClusterBatch<'a> {
    plan: &'a Plan,
    cluster: &'a Cluster,
    table: ClusterTable,
    values: Vec<Target>,
    shared: Shared,
    allowed: Vec<Vec<bool>>,
}

impl<'a> ClusterBatch<'a> {
    fn new(
        signals: &Signals<'_>,
        targets: &Targets<'_>,
        plan: &'a Plan,
        cluster: &'a Cluster,
        c: usize,
        go_on: &(dyn Fn() -> bool + Sync),
    ) -> Option<Self> {
        let few = cluster.rows.len() < 2;
        let needed: &[Column] = if few { &[] } else { &plan.unique };
        let table = ClusterTable::new(signals, &cluster.rows, needed);
        let values: Vec<Target> = (0..plan.targets.len())
            .into_par_iter()
            .map(|t| Target::new(cluster.rows.iter().map(|&i| targets.y[[i, t]]).collect()))
            .collect();
        let allowed = (0..plan.targets.len())
            .map(|t| {
                let columns = targets.indptr[t] as usize..targets.indptr[t + 1] as usize;
                columns.map(|row| targets.column_mask.is_none_or(|mask| mask[[row, c]])).collect()
            })
            .collect();
        let in_gram = |t: &usize| uses_gram(plan, cluster, *t);
        let any = (0..plan.targets.len()).any(|t| in_gram(&t));
        let shared = if any && !plan.shared.is_empty() {
            let rows: Vec<usize> =
                (0..plan.targets.len()).filter(in_gram).filter(|&t| plan.own(t).is_empty()).collect();
            Shared::new(plan, &table, &values, &rows, &cluster.sets, go_on)?
        } else {
            Shared::default()
        };
        Some(Self { plan, cluster, table, values, shared, allowed })
    }

    fn source(&self, t: usize) -> Source<'_> {
        let (groups, allowed, target) = (&self.plan.groups[t], self.allowed[t].clone(), &self.values[t]);
        let sets = &self.cluster.sets;
        if self.cluster.rows.len() < 2 {
            let columns = vec![0.0; groups.len() * target.values.len()];
            return Source::from_rows(groups, allowed, target, columns, sets);
        }
        if uses_gram(self.plan, self.cluster, t) {
            let moments = target_moments(self.plan, t, &self.table, target, &self.shared, sets);
            return Source::from_moments(groups, allowed, target, moments);
        }
        let n = target.values.len();
        let mut columns = vec![0.0; groups.len() * n];
        for (&id, out) in self.plan.targets[t].iter().zip(columns.chunks_exact_mut(n)) {
            self.table.fill(self.plan.unique[id], 0, out);
        }
        Source::from_rows(groups, allowed, target, columns, sets)
    }
}

/// More cells than columns.
fn uses_gram(plan: &Plan, cluster: &Cluster, t: usize) -> bool {
    cluster.rows.len() > plan.targets[t].len().max(1)
}
