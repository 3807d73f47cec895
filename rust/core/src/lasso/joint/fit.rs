//! Fits, held-out predictions and validation errors of one target.

use super::problem::{JointProblem, JointSource};
use super::walk::Walk;
use crate::lasso::path::HeldOut;
use crate::lasso::source::{Model, Source};
use crate::lasso::{Control, Outcome};

/// What a model is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mix {
    /// Share of the L1 penalty.
    pub(crate) l1_share: f64,
    /// Share of the ridge in the coefficients.
    pub(crate) dense_share: f64,
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
    joint: &JointSource<'_>,
    folds: usize,
    path: &[f64],
    mix: Mix,
    control: Control,
) -> JointFitted {
    let (types, l1_share) = (&joint.types, mix.l1_share);
    let (kappa, larger) = path.split_last().map_or((f64::MAX, path), |(last, larger)| (*last, larger));
    let problem = JointProblem::corrected(joint, None, l1_share, kappa, control);
    let mut walk = Walk::from_zeros(&problem);
    let mut entry = vec![0.0; types.first().map_or(0, |t| t.source.groups.len())];
    for &multiplier in larger {
        walk.solve(multiplier, control.rough());
        walk.enter(multiplier, &mut entry);
    }
    let outcome = walk.solve(kappa, control);
    walk.enter(kappa, &mut entry);
    let (sparse, models) = (walk.models(), walk.models_with_ridge(mix.dense_share));
    let mut member = vec![false; types.len()];
    problem.members().for_each(|c| member[c] = true);
    let scores: Vec<(f64, f64)> =
        types.iter().zip(&models).map(|(t, model)| score(&t.source, model)).collect();
    let mut held_out = vec![HeldOut::default(); types.len()];
    let empty = models.iter().all(|model| model.beta.iter().all(|&beta| beta == 0.0));
    for fold in (0..folds).filter(|&f| types.iter().any(|t| t.testable(f).is_some())) {
        let refitted = if empty {
            // a model without columns is the mean, in every fold
            types.iter().map(|t| t.constant(Some(fold))).collect()
        } else {
            let problem = JointProblem::corrected(joint, Some(fold), l1_share, kappa, control);
            let mut walk = Walk::from_models(&problem, &sparse);
            walk.solve(kappa, control);
            walk.models_with_ridge(mix.dense_share)
        };
        for ((t, model), out) in types.iter().zip(refitted).zip(&mut held_out) {
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
        lambda_max: problem.lambda_max,
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
    joint: &JointSource<'_>,
    folds: usize,
    kappas: &[f64],
    l1_share: f64,
    control: Control,
) -> Vec<f64> {
    let types = &joint.types;
    let mut errors = vec![0.0; kappas.len()];
    let mut descending: Vec<usize> = (0..kappas.len()).collect();
    descending.sort_by(|&a, &b| kappas[b].total_cmp(&kappas[a]));
    for fold in (0..folds).filter(|&f| types.iter().any(|t| t.testable(f).is_some())) {
        let problem = JointProblem::new(joint, Some(fold), l1_share);
        let mut walk = Walk::from_zeros(&problem);
        for &k in &descending {
            walk.solve(kappas[k], control);
            for (t, model) in types.iter().zip(walk.models()) {
                if let (Some(set), true) = (t.testable(fold), t.source.target_varies()) {
                    errors[k] += t.source.squared_error(Some(set), &model) / t.source.variance_y();
                }
            }
        }
    }
    errors
}
