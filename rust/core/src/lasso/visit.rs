//! Every target of a batch in every cluster, one problem after the other.

use super::assemble::{Shared, Target, target_moments};
use super::design::{ClusterTable, Column, Signals};
use super::joint::{LEAST_CELLS, NoiseTable, TypeSource};
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
    /// For each fold its set, when it has cells here.
    set_of_fold: Vec<Option<usize>>,
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
            let sets = std::iter::once(0..all.len()).collect();
            return Cluster { sets, rows: all, folds: Vec::new(), set_of_fold: Vec::new() };
        };
        let mut set_of_fold = vec![None; self.n_folds];
        let (mut rows, mut sets, mut folds) = (Vec::with_capacity(all.len()), Vec::new(), Vec::new());
        for fold in -1..self.n_folds as i64 {
            let start = rows.len();
            rows.extend(all.iter().copied().filter(|&i| fold_of[i] == fold));
            if rows.len() > start {
                if let Ok(fold) = usize::try_from(fold) {
                    folds.push(sets.len());
                    set_of_fold[fold] = Some(sets.len());
                }
                sets.push(start..rows.len());
            }
        }
        Cluster { rows, sets, folds, set_of_fold }
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
    let plan = checked_plan(signals, partition, targets, 2 + partition.n_folds)?;
    let (n_targets, n_clusters) = (targets.y.ncols(), partition.n_clusters);
    let total = n_targets * n_clusters;
    let done = AtomicUsize::new(0);
    let tick = |more: usize| watch.tick(done.fetch_add(more, Ordering::Relaxed) + more, total);
    let cancelled = || Error::Cancelled { done: done.load(Ordering::Relaxed), total };
    for c in 0..n_clusters {
        let cluster = partition.cluster(c);
        let batch = ClusterBatch::new(signals, targets, &plan, &cluster, c, uses_gram, &|| tick(0))
            .ok_or_else(cancelled)?;
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

/// `copies` is the number of second moments of the shared columns kept at a time.
fn checked_plan(
    signals: &Signals<'_>,
    partition: &Partition<'_>,
    targets: &Targets<'_>,
    copies: usize,
) -> Result<Plan> {
    check::same_rows("expression", signals.expression.n_cells(), "y", targets.y.nrows())?;
    check::finite("y", targets.y)?;
    super::single::not_too_large("y", targets.y.iter())?;
    let (n_genes, n_ligands) = (signals.expression.n_genes(), signals.received.ncols());
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
    form: Choose,
}

/// Says whether the problem of a target is made from second moments; otherwise it keeps the rows.
type Choose = fn(&Plan, &Cluster, usize) -> bool;

impl<'a> ClusterBatch<'a> {
    fn new(
        signals: &Signals<'_>,
        targets: &Targets<'_>,
        plan: &'a Plan,
        cluster: &'a Cluster,
        c: usize,
        form: Choose,
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
        let in_gram = |t: &usize| form(plan, cluster, *t);
        let any = (0..plan.targets.len()).any(|t| in_gram(&t));
        let shared = if any && !plan.shared.is_empty() {
            let rows: Vec<usize> =
                (0..plan.targets.len()).filter(in_gram).filter(|&t| plan.own(t).is_empty()).collect();
            Shared::new(plan, &table, &values, &rows, &cluster.sets, go_on)?
        } else {
            Shared::default()
        };
        Some(Self { plan, cluster, table, values, shared, allowed, form })
    }

    fn source(&self, t: usize) -> Source<'_> {
        let (groups, allowed, target) = (&self.plan.groups[t], self.allowed[t].clone(), &self.values[t]);
        let sets = &self.cluster.sets;
        if self.cluster.rows.len() < 2 {
            let columns = vec![0.0; groups.len() * target.values.len()];
            return Source::from_rows(groups, allowed, target, columns, sets);
        }
        if (self.form)(self.plan, self.cluster, t) {
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

fn joint_uses_gram(plan: &Plan, cluster: &Cluster, t: usize) -> bool {
    cluster.rows.len() >= LEAST_CELLS && uses_gram(plan, cluster, t)
}

/// Work on every target in all clusters at a time, the targets in parallel; results are handed to `take` in the
/// order of the targets.
pub(crate) fn visit_targets<R: Send>(
    signals: &Signals<'_>,
    partition: &Partition<'_>,
    targets: &Targets<'_>,
    noise: Option<ArrayView2<'_, f32>>,
    watch: &dyn Watch,
    work: impl Fn(Vec<TypeSource<'_>>) -> R + Sync,
    mut take: impl FnMut(usize, R),
) -> Result<()> {
    let n_cells = signals.expression.n_cells();
    signals.check_shapes()?;
    partition.check(n_cells)?;
    check_noise(signals, noise)?;
    let (n_targets, n_clusters) = (targets.y.ncols(), partition.n_clusters);
    let plan = checked_plan(signals, partition, targets, 1 + n_clusters * (1 + partition.n_folds))?;
    let done = AtomicUsize::new(0);
    let tick = |more: usize| watch.tick(done.fetch_add(more, Ordering::Relaxed) + more, n_targets);
    let cancelled = || Error::Cancelled { done: done.load(Ordering::Relaxed), total: n_targets };
    let clusters: Vec<Cluster> = (0..n_clusters).map(|c| partition.cluster(c)).collect();
    let mut batches = Vec::with_capacity(n_clusters);
    for (c, cluster) in clusters.iter().enumerate() {
        let batch = ClusterBatch::new(signals, targets, &plan, cluster, c, joint_uses_gram, &|| tick(0));
        let deviations = noise.map(|v| NoiseTable::new(signals, v, &cluster.rows, &plan.unique));
        batches.push((batch.ok_or_else(cancelled)?, deviations));
    }
    let results: Vec<R> = (0..n_targets)
        .into_par_iter()
        .map(|t| {
            if !tick(0) {
                return Err(cancelled());
            }
            let result =
                work(batches.iter().map(|(batch, noise)| batch.type_source(t, noise.as_ref())).collect());
            tick(1);
            Ok(result)
        })
        .collect::<Result<_>>()?;
    results.into_iter().enumerate().for_each(|(t, result)| take(t, result));
    Ok(())
}

fn check_noise(signals: &Signals<'_>, noise: Option<ArrayView2<'_, f32>>) -> Result<()> {
    let Some(variance) = noise else { return Ok(()) };
    let expected = (signals.expression.n_cells(), signals.expression.n_genes());
    if variance.dim() != expected {
        return Err(Error::Shape {
            name: "noise_variance",
            found: format!("shape {} x {}", variance.nrows(), variance.ncols()),
            expected: format!("{} x {}", expected.0, expected.1),
        });
    }
    for (row, line) in variance.outer_iter().enumerate() {
        if let Some(&value) = line.iter().find(|v| !(v.is_finite() && **v >= 0.0)) {
            let value = f64::from(value);
            return Err(Error::NotFinite { name: "noise_variance", row, value });
        }
    }
    Ok(())
}

impl ClusterBatch<'_> {
    fn type_source(&self, t: usize, noise: Option<&NoiseTable>) -> TypeSource<'_> {
        let source = self.source(t);
        let noise = noise.filter(|_| self.cluster.rows.len() >= LEAST_CELLS).and_then(|table| {
            let columns: Vec<Column> = self.plan.targets[t].iter().map(|&id| self.plan.unique[id]).collect();
            let variances: Vec<f64> = (0..columns.len()).map(|j| source.variance(j)).collect();
            table.of(&self.table, &columns, &variances, &self.cluster.sets)
        });
        TypeSource { source, set_of_fold: self.cluster.set_of_fold.clone(), noise }
    }
}
