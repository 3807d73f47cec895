//! One target in all types, ready to be fitted on all cells or without one fold.

use super::noise::Noise;
use super::state::{JointState, TypeForm};
use super::training::Training;
use super::walk::Walk;
use crate::lasso::Control;
use crate::lasso::eigen;
use crate::lasso::gap::{block_dual_norm, dual_norm};
use crate::lasso::gram::Gram;
use crate::lasso::groups::{Block, Penalty};
use crate::lasso::quadratic::Quadratic;
use crate::lasso::source::{Cells, Model, ROUNDING, Source};
use std::borrow::Cow;

/// Types with fewer cells get an intercept only.
pub(crate) const LEAST_CELLS: usize = 10;

/// Smallest eigenvalue of a Gram from which noise was taken out.
const FLOOR: f64 = 0.05;

/// Largest number of columns that are all corrected: the work of raising eigenvalues grows with its cube.
const EXACT_COLUMNS: usize = 400;

/// Largest number of candidates among more columns.
const CANDIDATES: usize = 200;

/// A column is scaled by at least this share of its deviation over all cells. One that is almost constant in the
/// training cells of a type, such as a signal that reaches a single cell, would get a coefficient without limit.
const LEAST_SHARE: f64 = 0.1;

/// Share of the reach of a column in the model from which on a column is a candidate for it.
const NEAR: f64 = 0.5;

/// One target in one type.
pub(crate) struct TypeSource<'a> {
    pub(crate) source: Source<'a>,
    /// For each fold its set of cells, when it has any here.
    pub(crate) set_of_fold: Vec<Option<usize>>,
    pub(crate) noise: Option<Noise>,
}

/// One target in all types.
pub(crate) struct JointSource<'a> {
    pub(crate) types: Vec<TypeSource<'a>>,
    /// Smallest variance by which each column is scaled.
    least: Vec<f64>,
}

impl<'a> JointSource<'a> {
    /// Columns are scaled by their deviation in each type.
    pub(crate) fn new(types: Vec<TypeSource<'a>>) -> Self {
        let columns = types.first().map_or(0, |t| t.source.groups.len());
        Self { types, least: vec![0.0; columns] }
    }

    /// The same, but by at least [`LEAST_SHARE`] of their deviation over the cells of all types.
    pub(crate) fn guarded(types: Vec<TypeSource<'a>>) -> Self {
        let mut out = Self::new(types);
        let large: Vec<(f64, &Source<'_>)> = out
            .types
            .iter()
            .map(|t| (t.source.n_cells(None) as f64, &t.source))
            .filter(|(n, _)| *n >= LEAST_CELLS as f64)
            .collect();
        let total: f64 = large.iter().map(|(n, _)| n).sum();
        let spread = |j: usize| {
            let mean = large.iter().map(|(n, source)| n * source.means[j]).sum::<f64>() / total;
            let around = |source: &Source<'_>| source.variance(j) + (source.means[j] - mean).powi(2);
            large.iter().map(|(n, source)| n * around(source)).sum::<f64>() / total
        };
        if total > 0.0 {
            let least = (0..out.least.len()).map(|j| LEAST_SHARE * LEAST_SHARE * spread(j)).collect();
            out.least = least;
        }
        out
    }

    fn columns(&self) -> usize {
        self.least.len()
    }
}

impl TypeSource<'_> {
    fn set(&self, fold: Option<usize>) -> Option<usize> {
        fold.and_then(|f| self.set_of_fold.get(f).copied().flatten())
    }

    /// Cells outside of the fold.
    fn n_training(&self, fold: Option<usize>) -> usize {
        let all = self.source.n_cells(None);
        all - self.set(fold).map_or(0, |s| self.source.n_cells(Some(s)))
    }

    /// The set of a fold that leaves cells to train on.
    pub(crate) fn testable(&self, fold: usize) -> Option<usize> {
        self.set(Some(fold)).filter(|_| self.n_training(Some(fold)) > 0)
    }

    pub(crate) fn constant(&self, fold: Option<usize>) -> Model {
        let set = self.set(fold).filter(|_| self.n_training(fold) > 0);
        Model::constant(self.source.groups.len(), self.source.training_mean_y(set))
    }

    /// The type with the columns `order` as a member of the joint problem, weighing `share` of all training cells;
    /// with `correct` its noise is taken out.
    fn member(
        &self,
        at: usize,
        fold: Option<usize>,
        share: f64,
        least: &[f64],
        order: &[usize],
        correct: bool,
    ) -> Member {
        let set = self.set(fold);
        let training = self.training(set);
        let (variance_y, all) = (training.variance_y(), self.source.variance_y());
        let varies = self.source.target_varies() && variance_y > ROUNDING * all;
        let factor_y = if varies { (share / variance_y).sqrt() } else { 0.0 };
        let factor = |j: usize| match training.variance(j) {
            Some(variance) if self.source.allowed[j] => 1.0 / variance.max(least[j]).sqrt(),
            _ => 0.0,
        };
        let factors: Vec<f64> = order.iter().map(|&j| factor(j)).collect();
        let scales = Scales {
            at,
            offsets: order.iter().map(|&j| training.mean(j)).collect(),
            offset_y: training.mean_y(),
            factors,
            factor_y,
        };
        let noise = self.noise.as_ref().filter(|_| correct);
        let Some(noise) = noise else {
            let form = training.form(order, &scales.factors, factor_y);
            return Member { form, scales, surplus: 0.0 };
        };
        let gram = training.gram(order, &scales.factors, factor_y);
        let (gram, surplus) = corrected(&gram, noise, set, order, &scales.factors, training.n());
        Member { form: TypeForm::Gram(gram), scales, surplus }
    }

    fn training(&self, set: Option<usize>) -> Training<'_> {
        match (&self.source.cells, set) {
            (Cells::Moments { total, .. }, None) => Training::of_moments(&self.source, Cow::Borrowed(total)),
            (Cells::Moments { total, sets }, Some(s)) => {
                Training::of_moments(&self.source, Cow::Owned(total.without(&sets[s])))
            }
            (Cells::Rows { columns, y, sets }, set) => {
                Training::of_rows(&self.source.means, columns, y, set.map(|s| &sets[s]))
            }
        }
    }
}

/// Gram of the columns `order` without their noise, and what was added to the variance of the target so that the
/// Gram remains one of some data.
fn corrected(
    gram: &Gram,
    noise: &Noise,
    set: Option<usize>,
    order: &[usize],
    factors: &[f64],
    n: usize,
) -> (Gram, f64) {
    let p = factors.len();
    let mut a: Vec<f64> = (0..p).flat_map(|j| gram.row(j).iter().copied()).collect();
    noise.subtract(set, order, factors, n, &mut a);
    let live: Vec<usize> = (0..p).filter(|&j| factors[j] != 0.0).collect();
    let entries = live.iter().flat_map(|&j| live.iter().map(move |&k| j * p + k));
    let mut inner: Vec<f64> = entries.map(|at| a[at]).collect();
    let b: Vec<f64> = live.iter().map(|&j| gram.xy[j]).collect();
    let energy = eigen::raise(&mut inner, &b, FLOOR);
    for (row, &j) in inner.chunks_exact(live.len().max(1)).zip(&live) {
        row.iter().zip(&live).for_each(|(value, &k)| a[j * p + k] = *value);
    }
    let yy = gram.yy.max(energy * (1.0 + 1e-12));
    let out = Gram::new(gram.xy.clone(), yy, |j, rows| rows.extend_from_slice(&a[j * p..(j + 1) * p]));
    (out, yy - gram.yy)
}

struct Member {
    form: TypeForm,
    scales: Scales,
    surplus: f64,
}

/// How the units of the solver relate to the raw ones in one type; columns in solver order.
pub(super) struct Scales {
    /// Position of the type.
    pub(super) at: usize,
    /// One over the deviation of each column; 0 for a column that does not count.
    pub(super) factors: Vec<f64>,
    /// Root of the share of the cells over the deviation of the target; 0 for a constant target.
    pub(super) factor_y: f64,
    pub(super) offsets: Vec<f64>,
    pub(super) offset_y: f64,
}

/// A problem in solver units.
pub(crate) struct JointProblem {
    /// Column at each position.
    pub(super) order: Vec<usize>,
    pub(super) forms: Vec<TypeForm>,
    pub(super) scales: Vec<Scales>,
    /// Penalty of the multiplier 1.
    pub(super) penalty: Penalty,
    pub(super) surplus: f64,
    pub(super) constants: Vec<Model>,
    /// Smallest multiplier that leaves the model empty.
    pub(crate) lambda_max: f64,
}

impl JointProblem {
    /// The problem without the cells of `fold`, with columns as they are; without any type that is large enough
    /// it has no column.
    pub(crate) fn new(joint: &JointSource<'_>, fold: Option<usize>, l1_share: f64) -> Self {
        Self::of(joint, fold, l1_share, (0..joint.columns()).collect(), false)
    }

    /// The problem at `kappa`, noise taken out where a type has any.
    ///
    /// Of more than [`EXACT_COLUMNS`] columns only the candidates are kept. An empty model stays empty: the
    /// gradient at zero does not depend on the Grams.
    pub(crate) fn corrected(
        joint: &JointSource<'_>,
        fold: Option<usize>,
        l1_share: f64,
        kappa: f64,
        control: Control,
    ) -> Self {
        if joint.types.iter().all(|t| t.noise.is_none()) {
            return Self::new(joint, fold, l1_share);
        }
        if joint.columns() <= EXACT_COLUMNS {
            return Self::of(joint, fold, l1_share, (0..joint.columns()).collect(), true);
        }
        let plain = Self::new(joint, fold, l1_share);
        if kappa >= plain.lambda_max {
            return plain;
        }
        let candidates = plain.candidates(kappa, control.rough());
        let lambda_max = plain.lambda_max;
        Self { lambda_max, ..Self::of(joint, fold, l1_share, candidates, true) }
    }

    fn of(
        joint: &JointSource<'_>,
        fold: Option<usize>,
        l1_share: f64,
        order: Vec<usize>,
        correct: bool,
    ) -> Self {
        let types = &joint.types;
        let sizes: Vec<usize> = types.iter().map(|t| t.n_training(fold)).collect();
        let n: usize = sizes.iter().filter(|&&n| n >= LEAST_CELLS).sum();
        let members: Vec<Member> = (0..types.len())
            .filter(|&c| sizes[c] >= LEAST_CELLS)
            .map(|c| {
                let share = sizes[c] as f64 / n as f64;
                types[c].member(c, fold, share, &joint.least, &order, correct)
            })
            .collect();
        let surplus = members.iter().map(|m| m.surplus).sum();
        let level = (2.0 * (joint.columns().max(2) as f64).ln() / n.max(1) as f64).sqrt();
        let penalty = penalty(order.len(), members.len(), level, l1_share);
        let (forms, scales): (Vec<TypeForm>, _) = members.into_iter().map(|m| (m.form, m.scales)).unzip();
        let constants = types.iter().map(|t| t.constant(fold)).collect();
        let lambda_max = dual_norm(JointState::new(&forms).linear(), &penalty);
        Self { order, forms, scales, penalty, surplus, constants, lambda_max }
    }

    /// Columns that are in the model at `kappa` or would be at half of it with the gradient of that model, the
    /// nearest ones when they are too many (the rule of Tibshirani et al., 2012, for a step to half the penalty).
    fn candidates(&self, kappa: f64, control: Control) -> Vec<usize> {
        let mut walk = Walk::from_zeros(self);
        walk.solve(kappa, control);
        let descent = walk.descent();
        let penalty = self.penalty.scaled(kappa);
        let mut near: Vec<(f64, usize)> = Vec::new();
        for (block, &j) in penalty.blocks.iter().zip(&self.order) {
            let mut sizes: Vec<f64> = descent[block.start..block.end].iter().map(|a| a.abs()).collect();
            let reach = block_dual_norm(&mut sizes, penalty.l1, block.weight);
            if reach >= NEAR {
                near.push((reach, j));
            }
        }
        near.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        near.truncate(CANDIDATES);
        let mut columns: Vec<usize> = near.into_iter().map(|(_, j)| j).collect();
        columns.sort_unstable();
        columns
    }

    /// Types that take part.
    pub(crate) fn members(&self) -> impl Iterator<Item = usize> + '_ {
        self.scales.iter().map(|s| s.at)
    }
}

/// Penalty of the multiplier 1 for one group per column; `level` is the noise level.
fn penalty(columns: usize, types: usize, level: f64, l1_share: f64) -> Penalty {
    let factor = (types as f64).sqrt();
    let weight = level * (1.0 - l1_share) * factor;
    let block = |j: usize| Block { start: j * types, end: (j + 1) * types, weight, rank: Some(j), factor };
    let blocks = if types == 0 { Vec::new() } else { (0..columns).map(block).collect() };
    Penalty { l1: level * l1_share, blocks }
}
