//! One target in one cluster, ready to be fitted on all cells or without one fold.

use super::assemble::{Target, TargetMoments};
use super::data_space::Data;
use super::fista::Reference;
use super::form::Form;
use super::gap::dual_norm;
use super::groups::{Layout, Penalty};

use super::moments::Moments;
use super::regularization::Regularization;
use super::single::{CONSTANT, Centered, lambda_max, ordered, take_mean};
use super::unpenalized::Eliminated;
use super::{Checked, Outcome, Solver};
use crate::error::Result;
use std::ops::Range;

/// A fold whose variance is below this share of the variance of all cells varies by rounding only.
pub(crate) const ROUNDING: f64 = 1e-12;

/// How the problems of a batch are fitted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Estimator {
    pub(crate) regularization: Regularization,
    pub(crate) checked: Checked,
}

/// One target in one cluster; everything is measured from the means of the cluster.
pub(crate) struct Source<'a> {
    pub(crate) groups: &'a [i64],
    /// False for columns that count as zero here.
    pub(crate) allowed: Vec<bool>,
    pub(crate) means: Vec<f64>,
    pub(crate) mean_y: f64,
    pub(crate) cells: Cells,
}

/// The cells of a source, cut into sets of which each may be held out.
pub(crate) enum Cells {
    Moments { total: Moments, sets: Vec<Moments> },
    Rows { columns: Vec<f64>, y: Vec<f64>, sets: Vec<Range<usize>> },
}

impl Cells {
    /// A single set is all there is: nothing of it is kept apart.
    pub(crate) fn from_moments(mut sets: Vec<Moments>, p: usize) -> Self {
        if let [only] = &mut sets[..] {
            let total = std::mem::replace(only, Moments::zeros(0));
            return Self::Moments { total, sets: Vec::new() };
        }
        let mut total = Moments::zeros(p);
        sets.iter().for_each(|set| total.add(set));
        Self::Moments { total, sets }
    }
}

impl<'a> Source<'a> {
    pub(crate) fn from_moments(
        groups: &'a [i64],
        allowed: Vec<bool>,
        target: &Target,
        moments: TargetMoments,
    ) -> Self {
        let cells = Cells::from_moments(moments.sets, groups.len());
        Self { groups, allowed, means: moments.means, mean_y: target.mean, cells }
    }

    /// `columns` one after the other, as they are.
    pub(crate) fn from_rows(
        groups: &'a [i64],
        allowed: Vec<bool>,
        target: &Target,
        mut columns: Vec<f64>,
        sets: &[Range<usize>],
    ) -> Self {
        let means = columns.chunks_exact_mut(target.values.len().max(1)).map(take_mean).collect();
        let cells = Cells::Rows { columns, y: target.values.clone(), sets: sets.to_vec() };
        Self { groups, allowed, means, mean_y: target.mean, cells }
    }

    /// Number of cells, all or in one set.
    pub(crate) fn n_cells(&self, set: Option<usize>) -> usize {
        match (&self.cells, set) {
            (Cells::Moments { total, .. }, None) => total.n,
            (Cells::Moments { total, sets }, Some(s)) => sets.get(s).map_or(total.n, |set| set.n),
            (Cells::Rows { y, .. }, None) => y.len(),
            (Cells::Rows { sets, .. }, Some(s)) => sets[s].len(),
        }
    }

    /// Variance of column `j` over all cells.
    pub(crate) fn variance(&self, j: usize) -> f64 {
        match &self.cells {
            Cells::Moments { total, .. } => total.variance(j),
            Cells::Rows { columns, y, .. } => {
                let column = &columns[j * y.len()..(j + 1) * y.len()];
                column.iter().map(|v| v * v).sum::<f64>() / y.len() as f64
            }
        }
    }

    /// Variance of the target over all cells.
    pub(crate) fn variance_y(&self) -> f64 {
        match &self.cells {
            Cells::Moments { total, .. } => total.variance_y(),
            Cells::Rows { y, .. } => y.iter().map(|v| v * v).sum::<f64>() / y.len() as f64,
        }
    }

    /// True when the variance of the target over all cells is more than rounding.
    pub(crate) fn target_varies(&self) -> bool {
        let variance = self.variance_y();
        variance > CONSTANT * CONSTANT * (variance + self.mean_y * self.mean_y) && variance > 1e-200
    }

    /// Mean of the target, from the mean of the cluster, without the cells of `hold`.
    pub(crate) fn training_mean_y(&self, hold: Option<usize>) -> f64 {
        match (&self.cells, hold) {
            (_, None) => 0.0,
            (Cells::Moments { total, sets }, Some(s)) => (total.y - sets[s].y) / (total.n - sets[s].n) as f64,
            (Cells::Rows { y, sets, .. }, Some(s)) => {
                let kept = outside(y, &sets[s]);
                kept.iter().sum::<f64>() / kept.len() as f64
            }
        }
    }

    /// The problem without the cells of `hold`; `None` when fewer than two cells are left or the target does
    /// not vary in them.
    ///
    /// # Errors
    /// When a penalty is outside its range.
    pub(crate) fn prepare(&self, hold: Option<usize>, estimator: &Estimator) -> Result<Option<Prepared>> {
        let n = self.n_cells(None) - hold.map_or(0, |s| self.n_cells(Some(s)));
        if n < 2 || !self.target_varies() {
            return Ok(None);
        }
        match &self.cells {
            Cells::Moments { total, sets } => match hold {
                None => self.prepare_moments(total, estimator),
                Some(s) => self.prepare_moments(&total.without(&sets[s]), estimator),
            },
            Cells::Rows { columns, y, sets } => match hold {
                None => self.prepare_rows(columns.clone(), y.clone(), estimator),
                Some(s) => {
                    let kept = columns.chunks_exact(y.len()).flat_map(|c| outside(c, &sets[s])).collect();
                    self.prepare_rows(kept, outside(y, &sets[s]), estimator)
                }
            },
        }
    }

    /// Columns that vary by more than rounding in the cells of `moments`, some of those of this source.
    pub(crate) fn live(&self, moments: &Moments) -> Vec<bool> {
        let Cells::Moments { total, .. } = &self.cells else { return vec![true; self.groups.len()] };
        let varies = |j: usize| {
            let (here, all) = (moments.variance(j), total.variance(j));
            let raw = all + self.means[j] * self.means[j];
            here > ROUNDING * all && here > CONSTANT * CONSTANT * raw && here > 1e-200
        };
        (0..self.groups.len()).map(varies).collect()
    }

    fn layout(&self, live: &[bool], n: usize, estimator: &Estimator) -> Result<Layout> {
        let (group_reg, l1) = estimator.regularization.penalties(self.groups.len(), n);
        let keep = estimator.checked.solver == Solver::Reference;
        let usable: Vec<bool> = live.iter().zip(&self.allowed).map(|(l, a)| *l && *a).collect();
        Layout::new(self.groups, &usable, &group_reg, l1, keep)
    }

    fn prepare_moments(&self, moments: &Moments, estimator: &Estimator) -> Result<Option<Prepared>> {
        let Cells::Moments { total, .. } = &self.cells else { return Ok(None) };
        let variance_y = moments.variance_y();
        if variance_y <= ROUNDING * total.variance_y() {
            return Ok(None);
        }
        let live = self.live(moments);
        let layout = self.layout(&live, moments.n, estimator)?;
        let standardizes = estimator.regularization.standardizes();
        let factor = |variance: f64| if standardizes { 1.0 / variance.sqrt() } else { 1.0 };
        let factors: Vec<f64> = layout.order.iter().map(|&j| factor(moments.variance(j))).collect();
        let factor_y = factor(variance_y);
        let form = Form::Gram(moments.gram(&layout.order, &factors, factor_y));
        let offsets = layout.order.iter().map(|&j| moments.mean(j)).collect();
        let p = self.groups.len();
        Ok(Some(Prepared::new(
            form,
            layout,
            Scales { factors, factor_y, offsets, offset_y: moments.mean_y(), p },
        )))
    }

    fn prepare_rows(
        &self,
        columns: Vec<f64>,
        mut y: Vec<f64>,
        estimator: &Estimator,
    ) -> Result<Option<Prepared>> {
        let n = y.len();
        let offset_y = take_mean(&mut y);
        let variance_y = y.iter().map(|v| v * v).sum::<f64>() / n as f64;
        if variance_y <= ROUNDING * self.variance_y() {
            return Ok(None);
        }
        let centered = Centered::new(columns, n, true, Some(&self.means));
        let layout = self.layout(&centered.live, n, estimator)?;
        let mut columns = ordered(&centered.columns, n, &layout.order);
        let standardizes = estimator.regularization.standardizes();
        let factor = |square: f64| if standardizes { 1.0 / (square / n as f64).sqrt() } else { 1.0 };
        let mut factors = Vec::with_capacity(layout.order.len());
        for column in columns.chunks_exact_mut(n) {
            let by = factor(column.iter().map(|v| v * v).sum());
            column.iter_mut().for_each(|v| *v *= by);
            factors.push(by);
        }
        let factor_y = factor(variance_y * n as f64);
        y.iter_mut().for_each(|v| *v *= factor_y);
        let offsets = layout.order.iter().map(|&j| centered.means[j]).collect();
        let form = Form::Data(Data::new(columns, y));
        let p = self.groups.len();
        Ok(Some(Prepared::new(form, layout, Scales { factors, factor_y, offsets, offset_y, p })))
    }

    /// Sum of squared errors of `model` over the cells of a set, or over all of them.
    pub(crate) fn squared_error(&self, set: Option<usize>, model: &Model) -> f64 {
        match &self.cells {
            Cells::Moments { total, sets } => {
                let moments = set.and_then(|s| sets.get(s)).unwrap_or(total);
                moments.squared_error(model.shift, &model.beta)
            }
            Cells::Rows { columns, y, sets } => {
                let range = set.map_or(0..y.len(), |s| sets[s].clone());
                let mut left: Vec<f64> = y[range.clone()].iter().map(|y| y - model.shift).collect();
                for (column, &beta) in columns.chunks_exact(y.len()).zip(&model.beta) {
                    if beta != 0.0 {
                        let here = &column[range.clone()];
                        left.iter_mut().zip(here).for_each(|(left, x)| *left -= beta * x);
                    }
                }
                left.iter().map(|v| v * v).sum()
            }
        }
    }
}

/// Entries outside a range.
pub(crate) fn outside(values: &[f64], hold: &Range<usize>) -> Vec<f64> {
    [&values[..hold.start], &values[hold.end..]].concat()
}

/// Coefficients of the raw columns, measured from the means of the cluster.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    pub(crate) beta: Vec<f64>,
    pub(crate) shift: f64,
}

impl Model {
    pub(crate) fn constant(p: usize, shift: f64) -> Self {
        Self { beta: vec![0.0; p], shift }
    }
}

/// How the solver's units relate to the raw ones, columns in solver order.
struct Scales {
    factors: Vec<f64>,
    factor_y: f64,
    offsets: Vec<f64>,
    offset_y: f64,
    p: usize,
}

/// A problem in solver order and units.
pub(crate) struct Prepared {
    form: Form,
    gone: Eliminated,
    layout: Layout,
    scales: Scales,
    /// Mean square of the target in solver units.
    null: f64,
}

impl Prepared {
    fn new(form: Form, layout: Layout, scales: Scales) -> Self {
        let null = form.null();
        let (form, gone) = form.reduce(layout.penalized);
        Self { form, gone, layout, scales, null }
    }

    pub(crate) fn penalty(&self) -> &Penalty {
        &self.layout.penalty
    }

    /// Zero coefficients of the penalized columns.
    pub(crate) fn zeros(&self) -> Vec<f64> {
        vec![0.0; self.layout.penalized]
    }

    /// Coefficients of `model` in solver order and units.
    pub(crate) fn start(&self, model: &Model) -> Vec<f64> {
        let scales = &self.scales;
        let order = self.layout.order[..self.layout.penalized].iter().zip(&scales.factors);
        order.map(|(&j, factor)| model.beta[j] * scales.factor_y / factor).collect()
    }

    /// Solve from the start in `w`, which becomes the solution. The second value is what the solver's
    /// intercept adds to the mean of the target, in solver units.
    pub(crate) fn solve(
        &self,
        penalty: &Penalty,
        w: &mut [f64],
        checked: Checked,
        mean_y: f64,
    ) -> (Outcome, f64) {
        let scales = &self.scales;
        let mean = (mean_y + scales.offset_y) * scales.factor_y;
        let setup = Reference { mean_y: Some(mean), means: &[] };
        let (mut outcome, intercept) = self.form.solve(penalty, w, checked, &setup);
        let extra = intercept.map_or(0.0, |b| b - mean);
        outcome.primal += 0.5 * extra * extra;
        outcome.gap += 0.5 * extra * extra;
        (outcome, extra)
    }

    /// Model of the penalized coefficients `w`; `extra` as [`solve`](Self::solve) returned it.
    pub(crate) fn model(&self, w: &[f64], extra: f64) -> Model {
        let scales = &self.scales;
        let mut model = Model::constant(scales.p, scales.offset_y + extra / scales.factor_y);
        let free = self.gone.coefficients(w);
        for (k, value) in w.iter().chain(&free).enumerate() {
            let beta = value * scales.factors[k] / scales.factor_y;
            if beta.is_finite() {
                model.beta[self.layout.order[k]] = beta;
                model.shift -= beta * scales.offsets[k];
            }
        }
        model
    }

    /// Mean squared residual in raw units, and the share of the variance that is explained.
    pub(crate) fn score(&self, w: &[f64], extra: f64) -> (f64, f64) {
        let left = self.form.residual_square(w) + extra * extra;
        (left / (self.scales.factor_y * self.scales.factor_y), 1.0 - left / self.null)
    }

    /// Smallest penalty, in the units of the given one, that leaves no column in the model.
    pub(crate) fn largest_penalty(&self, regularization: &Regularization) -> f64 {
        match *regularization {
            Regularization::Raw { .. } => {
                lambda_max(&self.layout, self.form.linear()).into_iter().fold(0.0, f64::max)
            }
            Regularization::Standardized { kappa, .. } => {
                kappa * dual_norm(self.form.linear(), self.penalty())
            }
        }
    }
}
