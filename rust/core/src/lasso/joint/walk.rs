//! Fits of one problem along falling penalties.

use super::dense::ridge;
use super::problem::JointProblem;
use super::state::JointState;
use crate::lasso::descent::descend_joint;
use crate::lasso::quadratic::Quadratic;
use crate::lasso::source::Model;
use crate::lasso::{Control, Outcome};

/// Tolerance on the way to the last multiplier of a path.
const ROUGH: f64 = 1e-4;

impl Control {
    /// For fits that only lead to another one.
    pub(super) fn rough(self) -> Self {
        Self { tol: self.tol.max(ROUGH), polish: false, ..self }
    }
}

/// A problem and where its last fit ended.
pub(crate) struct Walk<'a> {
    problem: &'a JointProblem,
    state: JointState<'a>,
    v: Vec<f64>,
    /// Negative gradient there: it tells which columns come next. Empty before the first fit from a model.
    descent: Vec<f64>,
}

impl<'a> Walk<'a> {
    /// Start with an empty model.
    pub(crate) fn from_zeros(problem: &'a JointProblem) -> Self {
        let state = JointState::new(&problem.forms);
        let descent = state.linear().to_vec();
        Self { problem, v: vec![0.0; descent.len()], state, descent }
    }

    /// Start with the coefficients of one model per type.
    pub(crate) fn from_models(problem: &'a JointProblem, models: &[Model]) -> Self {
        let mut walk = Self::from_zeros(problem);
        walk.descent.clear();
        let types = problem.scales.len();
        for (c, scales) in problem.scales.iter().enumerate() {
            for (k, (&j, factor)) in problem.order.iter().zip(&scales.factors).enumerate() {
                let beta = models[scales.at].beta[j];
                if beta != 0.0 && *factor != 0.0 {
                    walk.v[k * types + c] = beta * scales.factor_y / factor;
                }
            }
        }
        walk
    }

    /// Go on to the solution at `kappa`.
    pub(crate) fn solve(&mut self, kappa: f64, control: Control) -> Outcome {
        let penalty = self.problem.penalty.scaled(kappa);
        let mut outcome = descend_joint(&mut self.state, &penalty, &mut self.v, &mut self.descent, control);
        outcome.primal -= 0.5 * self.problem.surplus;
        outcome
    }

    /// Negative gradient at the last solution.
    pub(super) fn descent(&self) -> &[f64] {
        &self.descent
    }

    /// Note `kappa` for the columns that have a coefficient for the first time.
    pub(crate) fn enter(&self, kappa: f64, entry: &mut [f64]) {
        let types = self.problem.scales.len().max(1);
        for (&j, v) in self.problem.order.iter().zip(self.v.chunks_exact(types)) {
            if entry[j] == 0.0 && v.iter().any(|&v| v != 0.0) {
                entry[j] = kappa;
            }
        }
    }

    /// Model of each type.
    pub(crate) fn models(&self) -> Vec<Model> {
        self.models_at(&self.v)
    }

    /// Model of each type, of which `share` is a ridge on all columns; an empty model stays empty.
    pub(crate) fn models_with_ridge(&self, share: f64) -> Vec<Model> {
        if share == 0.0 || self.v.iter().all(|&v| v == 0.0) {
            return self.models();
        }
        let types = self.problem.forms.len();
        let mut mixed: Vec<f64> = self.v.iter().map(|v| (1.0 - share) * v).collect();
        for (c, form) in self.problem.forms.iter().enumerate() {
            for (k, value) in ridge(form).into_iter().enumerate() {
                mixed[k * types + c] += share * value;
            }
        }
        self.models_at(&mixed)
    }

    fn models_at(&self, v: &[f64]) -> Vec<Model> {
        let problem = self.problem;
        let mut models = problem.constants.clone();
        let types = problem.scales.len();
        for (c, scales) in problem.scales.iter().enumerate() {
            let model = &mut models[scales.at];
            model.shift = scales.offset_y;
            for (k, (&j, &factor)) in problem.order.iter().zip(&scales.factors).enumerate() {
                let value = v[k * types + c];
                let beta = value * factor / scales.factor_y;
                if value != 0.0 && beta.is_finite() {
                    model.beta[j] = beta;
                    model.shift -= beta * scales.offsets[k];
                }
            }
        }
        models
    }
}
