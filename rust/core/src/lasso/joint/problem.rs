//! One target in all types, ready to be fitted on all cells or without one fold.

use super::noise::Noise;
use super::state::JointState;
use crate::lasso::descent::descend_joint;
use crate::lasso::eigen;
use crate::lasso::gap::dual_norm;
use crate::lasso::gram::Gram;
use crate::lasso::groups::{Block, Penalty};
use crate::lasso::path::HeldOut;
use crate::lasso::source::{Cells, Model, ROUNDING, Source};
use crate::lasso::{Control, Outcome};

/// Types with fewer cells get an intercept only.
pub(crate) const LEAST_CELLS: usize = 10;

/// Smallest eigenvalue of a Gram from which noise was taken out.
const FLOOR: f64 = 0.05;

/// Tolerance on the way to the last multiplier of a path.
const ROUGH: f64 = 1e-4;

/// One target in one type.
pub(crate) struct TypeSource<'a> {
    pub(crate) source: Source<'a>,
    /// For each fold its set of cells, when it has any here.
    pub(crate) set_of_fold: Vec<Option<usize>>,
    pub(crate) noise: Option<Noise>,
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

    fn constant(&self, fold: Option<usize>) -> Model {
        let set = self.set(fold).filter(|_| self.n_training(fold) > 0);
        Model::constant(self.source.groups.len(), self.source.training_mean_y(set))
    }

    /// The type as a member of the joint problem, weighing `share` of all training cells.
    fn member(&self, at: usize, fold: Option<usize>, share: f64) -> Option<Member> {
        let Cells::Moments { total, sets } = &self.source.cells else { return None };
        let set = self.set(fold);
        let moments = match set {
            Some(s) => &total.without(&sets[s]),
            None => total,
        };
        let variance_y = moments.variance_y();
        let varies = self.source.target_varies() && variance_y > ROUNDING * total.variance_y();
        let factor_y = if varies { (share / variance_y).sqrt() } else { 0.0 };
        let live = self.source.live(moments, total);
        let usable = live.iter().zip(&self.source.allowed).enumerate();
        let factors: Vec<f64> = usable
            .map(
                |(j, (live, allowed))| if *live && *allowed { 1.0 / moments.variance(j).sqrt() } else { 0.0 },
            )
            .collect();
        let order: Vec<usize> = (0..factors.len()).collect();
        let gram = moments.gram(&order, &factors, factor_y);
        let scales = Scales {
            at,
            offsets: order.iter().map(|&j| moments.mean(j)).collect(),
            offset_y: moments.mean_y(),
            factors,
            factor_y,
        };
        let Some(noise) = &self.noise else { return Some(Member { gram, scales, surplus: 0.0 }) };
        let (gram, surplus) = corrected(&gram, noise, set, &scales.factors, moments.n);
        Some(Member { gram, scales, surplus })
    }
}

/// Gram without the noise of its columns, and what was added to the variance of the target so that the Gram
/// remains one of some data.
fn corrected(gram: &Gram, noise: &Noise, set: Option<usize>, factors: &[f64], n: usize) -> (Gram, f64) {
    let p = factors.len();
    let mut a: Vec<f64> = (0..p).flat_map(|j| gram.row(j).iter().copied()).collect();
    noise.subtract(set, factors, n, &mut a);
    let live: Vec<usize> = (0..p).filter(|&j| factors[j] != 0.0).collect();
    let mut inner: Vec<f64> =
        live.iter().flat_map(|&j| live.iter().map(move |&k| (j, k))).map(|(j, k)| a[j * p + k]).collect();
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
    gram: Gram,
    scales: Scales,
    surplus: f64,
}

/// How the units of the solver relate to the raw ones in one type.
struct Scales {
    /// Position of the type.
    at: usize,
    /// One over the deviation of each column; 0 for a column that does not count.
    factors: Vec<f64>,
    /// Root of the share of the cells over the deviation of the target; 0 for a constant target.
    factor_y: f64,
    offsets: Vec<f64>,
    offset_y: f64,
}

/// A problem in solver units.
pub(crate) struct JointProblem {
    grams: Vec<Gram>,
    scales: Vec<Scales>,
    /// Penalty of the multiplier 1.
    penalty: Penalty,
    surplus: f64,
    constants: Vec<Model>,
}

impl JointProblem {
    /// The problem without the cells of `fold`; without any type that is large enough it has no column.
    pub(crate) fn new(types: &[TypeSource<'_>], fold: Option<usize>, l1_share: f64) -> Self {
        let sizes: Vec<usize> = types.iter().map(|t| t.n_training(fold)).collect();
        let n: usize = sizes.iter().filter(|&&n| n >= LEAST_CELLS).sum();
        let members: Vec<Member> = (0..types.len())
            .filter(|&c| sizes[c] >= LEAST_CELLS)
            .filter_map(|c| types[c].member(c, fold, sizes[c] as f64 / n as f64))
            .collect();
        let columns = types.first().map_or(0, |t| t.source.groups.len());
        let surplus = members.iter().map(|m| m.surplus).sum();
        let penalty = penalty(columns, members.len(), n, l1_share);
        let (grams, scales) = members.into_iter().map(|m| (m.gram, m.scales)).unzip();
        let constants = types.iter().map(|t| t.constant(fold)).collect();
        Self { grams, scales, penalty, surplus, constants }
    }

    /// Coefficients of an empty model.
    pub(crate) fn zeros(&self) -> Vec<f64> {
        vec![0.0; self.penalty.blocks.len() * self.grams.len()]
    }

    /// Types that take part.
    pub(crate) fn members(&self) -> impl Iterator<Item = usize> + '_ {
        self.scales.iter().map(|s| s.at)
    }

    /// Coefficients of `models` in solver units.
    pub(crate) fn start(&self, models: &[Model]) -> Vec<f64> {
        let mut v = self.zeros();
        let types = self.scales.len();
        for (c, scales) in self.scales.iter().enumerate() {
            for (j, (beta, factor)) in models[scales.at].beta.iter().zip(&scales.factors).enumerate() {
                if *beta != 0.0 && *factor != 0.0 {
                    v[j * types + c] = beta * scales.factor_y / factor;
                }
            }
        }
        v
    }

    /// Solve from the start in `v`, which becomes the solution.
    pub(crate) fn solve(&self, kappa: f64, v: &mut [f64], control: Control) -> Outcome {
        let penalty = self.penalty.scaled(kappa);
        let mut outcome = descend_joint(&mut JointState::new(&self.grams), &penalty, v, control);
        outcome.primal -= 0.5 * self.surplus;
        outcome
    }

    /// Note `kappa` for the columns that have a coefficient for the first time.
    fn enter(&self, v: &[f64], kappa: f64, entry: &mut [f64]) {
        for (entry, v) in entry.iter_mut().zip(v.chunks_exact(self.scales.len().max(1))) {
            if *entry == 0.0 && v.iter().any(|&v| v != 0.0) {
                *entry = kappa;
            }
        }
    }

    /// Smallest multiplier that leaves the model empty.
    pub(crate) fn largest_kappa(&self) -> f64 {
        use crate::lasso::quadratic::Quadratic;
        dual_norm(JointState::new(&self.grams).linear(), &self.penalty)
    }

    /// Model of each type for the coefficients `v`.
    pub(crate) fn models(&self, v: &[f64]) -> Vec<Model> {
        let mut models = self.constants.clone();
        let types = self.scales.len();
        for (c, scales) in self.scales.iter().enumerate() {
            let model = &mut models[scales.at];
            model.shift = scales.offset_y;
            for (j, &factor) in scales.factors.iter().enumerate() {
                let value = v[j * types + c];
                let beta = value * factor / scales.factor_y;
                if value != 0.0 && beta.is_finite() {
                    model.beta[j] = beta;
                    model.shift -= beta * scales.offsets[j];
                }
            }
        }
        models
    }
}

/// Penalty of the multiplier 1 for one group per column.
fn penalty(columns: usize, types: usize, n: usize, l1_share: f64) -> Penalty {
    let noise = (2.0 * (columns.max(2) as f64).ln() / n.max(1) as f64).sqrt();
    let factor = (types as f64).sqrt();
    let weight = noise * (1.0 - l1_share) * factor;
    let block = |j: usize| Block { start: j * types, end: (j + 1) * types, weight, rank: Some(j), factor };
    let blocks = if types == 0 { Vec::new() } else { (0..columns).map(block).collect() };
    Penalty { l1: noise * l1_share, blocks }
}

/// One target in all types.
#[derive(Debug)]
pub(crate) struct JointFitted {
    pub(crate) models: Vec<Model>,
    /// Of each type, as the next three.
    pub(crate) intercept: Vec<f64>,
    pub(crate) mse: Vec<f64>,
    pub(crate) r2: Vec<f64>,
    pub(crate) held_out: Vec<HeldOut>,
    /// Whether the type took part.
    pub(crate) member: Vec<bool>,
    pub(crate) outcome: Outcome,
    pub(crate) lambda_max: f64,
    /// Of each column the largest multiplier of the path at which it has a coefficient; 0 for none.
    pub(crate) entry: Vec<f64>,
}

/// Fit one target down a path of multipliers, and predict every fold from a fit without it at the last one.
pub(crate) fn fit_joint_source(
    types: &[TypeSource<'_>],
    folds: usize,
    path: &[f64],
    l1_share: f64,
    control: Control,
) -> JointFitted {
    let problem = JointProblem::new(types, None, l1_share);
    let mut v = problem.zeros();
    let mut entry = vec![0.0; types.first().map_or(0, |t| t.source.groups.len())];
    let (kappa, larger) = path.split_last().map_or((f64::MAX, path), |(last, larger)| (*last, larger));
    let rough = Control { tol: control.tol.max(ROUGH), polish: false, ..control };
    for &multiplier in larger {
        problem.solve(multiplier, &mut v, rough);
        problem.enter(&v, multiplier, &mut entry);
    }
    let outcome = problem.solve(kappa, &mut v, control);
    problem.enter(&v, kappa, &mut entry);
    let models = problem.models(&v);
    let mut member = vec![false; types.len()];
    problem.members().for_each(|c| member[c] = true);
    let scores: Vec<(f64, f64)> =
        types.iter().zip(&models).map(|(t, model)| score(&t.source, model)).collect();
    let mut held_out = vec![HeldOut::default(); types.len()];
    for fold in (0..folds).filter(|&f| types.iter().any(|t| t.testable(f).is_some())) {
        let problem = JointProblem::new(types, Some(fold), l1_share);
        let mut v = problem.start(&models);
        problem.solve(kappa, &mut v, control);
        for ((t, model), out) in types.iter().zip(problem.models(&v)).zip(&mut held_out) {
            if let Some(set) = t.testable(fold) {
                out.error += t.source.squared_error(Some(set), &model);
                out.around_mean += t.source.squared_error(Some(set), &t.constant(Some(fold)));
                out.cells += t.source.n_cells(Some(set));
            }
        }
    }
    JointFitted {
        intercept: types.iter().zip(&models).map(|(t, model)| intercept(&t.source, model)).collect(),
        mse: scores.iter().map(|s| s.0).collect(),
        r2: scores.iter().map(|s| s.1).collect(),
        held_out,
        member,
        outcome,
        lambda_max: problem.largest_kappa(),
        models,
        entry,
    }
}

/// Intercept for the raw columns.
fn intercept(source: &Source<'_>, model: &Model) -> f64 {
    let used: f64 = model.beta.iter().zip(&source.means).map(|(b, m)| b * m).sum();
    source.mean_y + model.shift - used
}

/// Mean squared residual, and the share of the variance that is explained.
fn score(source: &Source<'_>, model: &Model) -> (f64, f64) {
    let n = source.n_cells(None);
    if n == 0 || !source.target_varies() {
        return (0.0, 0.0);
    }
    let mse = source.squared_error(None, model) / n as f64;
    (mse, 1.0 - mse / source.variance_y())
}

/// Squared errors of the held-out cells for each of `kappas`, in units of the variance of the target in the type,
/// summed over types.
///
/// Each fold walks down the path from the largest penalty, every fit starting at the one before.
pub(crate) fn joint_path_errors(
    types: &[TypeSource<'_>],
    folds: usize,
    kappas: &[f64],
    l1_share: f64,
    control: Control,
) -> Vec<f64> {
    let mut errors = vec![0.0; kappas.len()];
    let mut descending: Vec<usize> = (0..kappas.len()).collect();
    descending.sort_by(|&a, &b| kappas[b].total_cmp(&kappas[a]));
    for fold in (0..folds).filter(|&f| types.iter().any(|t| t.testable(f).is_some())) {
        let problem = JointProblem::new(types, Some(fold), l1_share);
        let mut v = problem.zeros();
        for &k in &descending {
            problem.solve(kappas[k], &mut v, control);
            for (t, model) in types.iter().zip(problem.models(&v)) {
                if let (Some(set), true) = (t.testable(fold), t.source.target_varies()) {
                    errors[k] += t.source.squared_error(Some(set), &model) / t.source.variance_y();
                }
            }
        }
    }
    errors
}
