//! All targets of a batch in all clusters.

use super::design::Signals;
use super::path::{held_out, path_errors};
use super::regularization::{Regularization, check_kappa, check_share};
use super::source::{Estimator, Model, Source};
use super::visit::visit;
pub use super::visit::{Partition, Targets};
use super::{Settings, Solver};
use crate::error::{Error, Result};
use crate::watch::Watch;
use ndarray::Array2;

/// Fits of all targets in all clusters.
#[derive(Debug, Clone)]
pub struct BatchFit {
    /// Coefficients, columns x clusters.
    pub coef: Array2<f64>,
    /// Intercepts, targets x clusters, as all that follow.
    pub intercept: Array2<f64>,
    /// Share of the variance explained in the cells of the fit; 0 where the target is constant.
    pub r2: Array2<f64>,
    /// Share of the variance explained in held-out cells; NaN without any.
    pub held_out_r2: Array2<f64>,
    /// Mean squared residual.
    pub mse: Array2<f64>,
    /// Objective in the units that are penalized.
    pub objective: Array2<f64>,
    /// Duality gap.
    pub gap: Array2<f64>,
    /// Sweeps or iterations.
    pub n_iter: Array2<i64>,
    /// False where the iterations were used up.
    pub converged: Array2<bool>,
    /// Smallest penalty that leaves the model empty.
    pub lambda_max: Array2<f64>,
}

impl BatchFit {
    /// Fits without any coefficient.
    pub(crate) fn empty(columns: usize, targets: usize, clusters: usize) -> Self {
        let shape = (targets, clusters);
        let zeros = || Array2::zeros(shape);
        Self {
            coef: Array2::zeros((columns, clusters)),
            intercept: zeros(),
            r2: zeros(),
            held_out_r2: Array2::from_elem(shape, f64::NAN),
            mse: zeros(),
            objective: zeros(),
            gap: zeros(),
            n_iter: Array2::zeros(shape),
            converged: Array2::from_elem(shape, true),
            lambda_max: zeros(),
        }
    }
}

/// Fit every target in every cluster.
///
/// # Errors
/// When shapes disagree, a value is not finite, an index or setting is outside its range, or `watch` asks to
/// stop.
pub fn fit(
    signals: &Signals<'_>,
    partition: &Partition<'_>,
    targets: &Targets<'_>,
    regularization: Regularization,
    settings: Settings,
    watch: &dyn Watch,
) -> Result<BatchFit> {
    regularization.check()?;
    let estimator = Estimator { regularization, checked: settings.check()? };
    let mut out = BatchFit::empty(targets.columns.nrows(), targets.y.ncols(), partition.n_clusters);
    visit(
        signals,
        partition,
        targets,
        watch,
        |source, folds| fit_source(source, folds, &estimator),
        |cluster, target, fitted: Fitted| store(&mut out, targets, cluster, target, fitted),
    )?;
    Ok(out)
}

/// Squared errors of held-out cells for each target (rows) and each of `kappas` (columns), in units of the
/// variance of the target in the cluster, summed over cells and clusters.
///
/// # Errors
/// As [`fit`].
pub fn validation_errors(
    signals: &Signals<'_>,
    partition: &Partition<'_>,
    targets: &Targets<'_>,
    kappas: &[f64],
    l1_share: f64,
    settings: Settings,
    watch: &dyn Watch,
) -> Result<Array2<f64>> {
    kappas.iter().try_for_each(|&kappa| check_kappa(kappa))?;
    check_share("l1_share", l1_share)?;
    if partition.folds.is_none() {
        let (found, expected) = ("none".to_string(), "one fold per cell".to_string());
        return Err(Error::Shape { name: "folds", found, expected });
    }
    let unit = Regularization::Standardized { kappa: 1.0, l1_share };
    let estimator = Estimator { regularization: unit, checked: settings.check()? };
    let mut out = Array2::zeros((targets.y.ncols(), kappas.len()));
    visit(
        signals,
        partition,
        targets,
        watch,
        |source, folds| path_errors(source, folds, &estimator, kappas),
        |_, target, errors: Vec<f64>| {
            out.row_mut(target).iter_mut().zip(errors).for_each(|(sum, error)| *sum += error);
        },
    )?;
    Ok(out)
}

/// One target in one cluster.
struct Fitted {
    model: Model,
    intercept: f64,
    r2: f64,
    held_out_r2: f64,
    mse: f64,
    objective: f64,
    gap: f64,
    n_iter: usize,
    converged: bool,
    lambda_max: f64,
}

fn fit_source(source: &Source<'_>, folds: &[usize], estimator: &Estimator) -> Result<Fitted> {
    let p = source.groups.len();
    let mut fitted = Fitted {
        model: Model::constant(p, 0.0),
        intercept: source.mean_y,
        r2: 0.0,
        held_out_r2: f64::NAN,
        mse: 0.0,
        objective: 0.0,
        gap: 0.0,
        n_iter: 0,
        converged: true,
        lambda_max: 0.0,
    };
    if let Some(prepared) = source.prepare(None, estimator)? {
        let mut w = prepared.zeros();
        let (outcome, extra) = prepared.solve(prepared.penalty(), &mut w, estimator.checked, source.mean_y);
        let model = prepared.model(&w, extra);
        let used: f64 = model.beta.iter().zip(&source.means).map(|(b, m)| b * m).sum();
        fitted.intercept = source.mean_y + model.shift - used;
        (fitted.mse, fitted.r2) = prepared.score(&w, extra);
        fitted.model = model;
        fitted.objective = outcome.primal;
        fitted.gap = outcome.gap;
        fitted.n_iter = outcome.n_iter;
        fitted.converged = outcome.rule.converged();
        fitted.lambda_max = prepared.largest_penalty(&estimator.regularization);
    }
    let warm = (estimator.checked.solver != Solver::Reference).then_some(&fitted.model);
    fitted.held_out_r2 = held_out(source, folds, estimator, warm)?.r2();
    Ok(fitted)
}

fn store(out: &mut BatchFit, targets: &Targets<'_>, c: usize, t: usize, fitted: Fitted) {
    let start = targets.indptr[t] as usize;
    for (j, beta) in fitted.model.beta.iter().enumerate() {
        out.coef[[start + j, c]] = *beta;
    }
    let at = [t, c];
    out.intercept[at] = fitted.intercept;
    out.r2[at] = fitted.r2;
    out.held_out_r2[at] = fitted.held_out_r2;
    out.mse[at] = fitted.mse;
    out.objective[at] = fitted.objective;
    out.gap[at] = fitted.gap;
    out.n_iter[at] = fitted.n_iter as i64;
    out.converged[at] = fitted.converged;
    out.lambda_max[at] = fitted.lambda_max;
}
