//! Cross-validation: errors of held-out cells along a path of penalties with warm starts.

use super::source::{Estimator, Model, Source};
use crate::error::Result;

/// How well the cells that were held out are predicted.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct HeldOut {
    /// Sum of squared errors.
    pub(crate) error: f64,
    /// Sum of squared deviations from the mean of the training cells.
    pub(crate) around_mean: f64,
    /// Number of cells predicted.
    pub(crate) cells: usize,
}

impl HeldOut {
    /// `1 - error / around_mean`: NaN without any cell, 0 when the cells do not deviate from the mean.
    pub(crate) fn r2(&self) -> f64 {
        if self.cells == 0 {
            f64::NAN
        } else if self.around_mean > 0.0 {
            1.0 - self.error / self.around_mean
        } else {
            0.0
        }
    }
}

/// Refit without each of the sets `folds` and predict it, starting from the fit of all cells.
pub(crate) fn held_out(
    source: &Source<'_>,
    folds: &[usize],
    estimator: &Estimator,
    full: Option<&Model>,
) -> Result<HeldOut> {
    let mut total = HeldOut::default();
    for &fold in folds {
        let here = source.n_cells(Some(fold));
        if here == 0 || here == source.n_cells(None) {
            continue;
        }
        let mean = source.training_mean_y(Some(fold));
        let constant = Model::constant(source.groups.len(), mean);
        let model = match source.prepare(Some(fold), estimator)? {
            None => constant.clone(),
            Some(prepared) => {
                let mut w = full.map_or_else(|| prepared.zeros(), |model| prepared.start(model));
                let (_, extra) = prepared.solve(prepared.penalty(), &mut w, estimator.checked, source.mean_y);
                prepared.model(&w, extra)
            }
        };
        total.error += source.squared_error(Some(fold), &model);
        total.around_mean += source.squared_error(Some(fold), &constant);
        total.cells += here;
    }
    Ok(total)
}

/// Squared errors of the held-out cells for each of `kappas`, in units of the variance of the target.
///
/// `estimator` holds the penalty for a multiplier of 1. Each fold walks down the path from the largest
/// penalty, every fit starting at the one before.
pub(crate) fn path_errors(
    source: &Source<'_>,
    folds: &[usize],
    estimator: &Estimator,
    kappas: &[f64],
) -> Result<Vec<f64>> {
    let mut errors = vec![0.0; kappas.len()];
    if !source.target_varies() {
        return Ok(errors);
    }
    let mut descending: Vec<usize> = (0..kappas.len()).collect();
    descending.sort_by(|&a, &b| kappas[b].total_cmp(&kappas[a]));
    for &fold in folds {
        let here = source.n_cells(Some(fold));
        if here == 0 || here == source.n_cells(None) {
            continue;
        }
        match source.prepare(Some(fold), estimator)? {
            None => {
                let mean = source.training_mean_y(Some(fold));
                let error = source.squared_error(Some(fold), &Model::constant(source.groups.len(), mean));
                errors.iter_mut().for_each(|sum| *sum += error);
            }
            Some(prepared) => {
                let mut w = prepared.zeros();
                for &k in &descending {
                    let penalty = prepared.penalty().scaled(kappas[k]);
                    let (_, extra) = prepared.solve(&penalty, &mut w, estimator.checked, source.mean_y);
                    errors[k] += source.squared_error(Some(fold), &prepared.model(&w, extra));
                }
            }
        }
    }
    let variance = source.variance_y();
    errors.iter_mut().for_each(|error| *error /= variance);
    Ok(errors)
}
