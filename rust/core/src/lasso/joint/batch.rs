//! All targets of a batch, each in all types together.

use super::fit::{JointFitted, Mix, fit_joint_source, joint_path_errors};
use super::problem::JointSource;
use crate::error::{Error, Result};
use crate::lasso::Settings;
use crate::lasso::batch::BatchFit;
use crate::lasso::design::Signals;
use crate::lasso::regularization::{check_kappa, check_share};
use crate::lasso::visit::{Partition, Targets, visit_targets};
use crate::watch::Watch;
use ndarray::{Array2, ArrayView2};

/// Penalty of a joint fit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct JointPenalty {
    /// Multiplier of the noise level.
    pub kappa: f64,
    /// Share of the L1 penalty.
    pub l1_share: f64,
    /// Share of a ridge on all columns in the coefficients; an empty model stays empty.
    pub dense_share: f64,
}

/// Fit every target in all types together, and tell when each column enters.
///
/// `noise` is the variance of the counting noise of each entry of the expression, cells x genes. `path` holds
/// falling multipliers above that of the penalty; the second value is, of each column, the largest one of them
/// and the penalty's own at which the column has a coefficient, 0 where it has none.
///
/// # Errors
/// When shapes disagree, a value is not finite, an index or setting is outside its range, or `watch` asks to
/// stop.
pub fn fit(
    signals: &Signals<'_>,
    partition: &Partition<'_>,
    targets: &Targets<'_>,
    noise: Option<ArrayView2<'_, f32>>,
    penalty: JointPenalty,
    path: &[f64],
    settings: Settings,
    watch: &dyn Watch,
) -> Result<(BatchFit, Vec<f64>)> {
    let JointPenalty { kappa, l1_share, dense_share } = penalty;
    let path = [path, &[kappa]].concat();
    path.iter().try_for_each(|&kappa| check_kappa(kappa))?;
    if path.windows(2).any(|pair| pair[0] <= pair[1]) {
        let expected = "give falling multipliers above kappa";
        return Err(Error::Parameter { name: "path", value: format!("{path:?}"), expected });
    }
    check_share("l1_share", l1_share)?;
    check_share("dense_share", dense_share)?;
    let mix = Mix { l1_share, dense_share };
    let control = settings.check()?.control;
    let folds = if partition.folds.is_some() { partition.n_folds } else { 0 };
    let mut out = BatchFit::empty(targets.columns.nrows(), targets.y.ncols(), partition.n_clusters);
    let mut entry = Vec::with_capacity(targets.columns.nrows());
    visit_targets(
        signals,
        partition,
        targets,
        noise,
        watch,
        |types| fit_joint_source(&JointSource::guarded(types), folds, &path, mix, control),
        |target, fitted: JointFitted| {
            store(&mut out, targets, target, &fitted);
            entry.extend_from_slice(&fitted.entry);
        },
    )?;
    Ok((out, entry))
}

/// Squared errors of held-out cells for each target (rows) and each of `kappas` (columns), in units of the
/// variance of the target in the type, summed over cells and types.
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
    let control = settings.check()?.control;
    if partition.folds.is_none() {
        let (found, expected) = ("none".to_string(), "one fold per cell".to_string());
        return Err(Error::Shape { name: "folds", found, expected });
    }
    let mut out = Array2::zeros((targets.y.ncols(), kappas.len()));
    visit_targets(
        signals,
        partition,
        targets,
        None,
        watch,
        |types| joint_path_errors(&JointSource::guarded(types), partition.n_folds, kappas, l1_share, control),
        |target, errors: Vec<f64>| out.row_mut(target).iter_mut().zip(errors).for_each(|(to, e)| *to = e),
    )?;
    Ok(out)
}

fn store(out: &mut BatchFit, targets: &Targets<'_>, t: usize, fitted: &JointFitted) {
    let start = targets.indptr[t] as usize;
    for (c, model) in fitted.models.iter().enumerate() {
        for (j, beta) in model.beta.iter().enumerate() {
            out.coef[[start + j, c]] = *beta;
        }
        let at = [t, c];
        out.intercept[at] = fitted.intercept[c];
        out.r2[at] = fitted.r2[c];
        out.held_out_r2[at] = fitted.held_out[c].r2();
        out.mse[at] = fitted.mse[c];
        if fitted.member[c] {
            out.objective[at] = fitted.outcome.primal;
            out.gap[at] = fitted.outcome.gap;
            out.n_iter[at] = fitted.outcome.n_iter as i64;
            out.converged[at] = fitted.outcome.rule.converged();
            out.lambda_max[at] = fitted.lambda_max;
        }
    }
}
