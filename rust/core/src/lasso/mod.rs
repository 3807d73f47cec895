//! Sparse group lasso: `||y - b0 - X w||^2 / (2n) + sum_g weight_g ||w_g||_2 + l1 ||w||_1`.
//!
//! Columns and target are centered, which removes the free intercept. With more cells than columns the
//! problem is solved on its Gram matrix, otherwise on the data.

mod assemble;
pub mod batch;
pub mod cholesky;
pub mod data_space;
pub mod descent;
pub mod design;
pub mod eigen;
pub mod fista;
mod form;
pub mod gap;
pub mod gram;
pub mod groups;
pub mod joint;
mod low_rank;
pub mod moments;
pub mod newton;
mod path;
pub mod plan;
pub mod prox;
mod proximal;
pub mod quadratic;
pub mod regularization;
pub mod single;
mod source;
pub mod syrk;
pub mod unpenalized;
mod visit;

pub use gap::StopRule;
pub use groups::{GroupReg, ScaleReg};
pub use regularization::Regularization;
pub use single::{Fit, Problem, fit};

use crate::error::{Error, Result};

/// Algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Solver {
    /// Coordinate descent with exact steps and Newton steps on the support.
    Descent,
    /// Accelerated proximal gradient with adaptive restart.
    Fista,
    /// The published reference scheme, iteration for iteration; usually stops before the optimum.
    Reference,
}

/// How to solve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Algorithm.
    pub solver: Solver,
    /// Gap allowed relative to the objective; relative change of the iterate for the reference solver.
    pub tol: f64,
    /// Largest number of sweeps or iterations; `None` for a generous number (100 for the reference solver).
    pub max_iter: Option<usize>,
    /// Continue a converged coordinate descent to rounding level with Newton steps.
    pub polish: bool,
}

/// Settings inside their ranges.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Checked {
    pub(crate) solver: Solver,
    pub(crate) control: Control,
}

/// When to stop.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Control {
    pub(crate) tol: f64,
    pub(crate) max_iter: usize,
    pub(crate) polish: bool,
}

/// How a fit ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) primal: f64,
    pub(crate) gap: f64,
    pub(crate) n_iter: usize,
    pub(crate) rule: StopRule,
}

impl Settings {
    /// Check the ranges.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a tolerance that is not a positive number or for zero iterations.
    pub fn check(self) -> Result<Checked> {
        if !(self.tol.is_finite() && self.tol > 0.0) {
            let expected = "give a positive number, e.g. 1e-6";
            return Err(Error::Parameter { name: "tol", value: self.tol.to_string(), expected });
        }
        if self.max_iter == Some(0) {
            return Err(Error::Parameter { name: "max_iter", value: "0".into(), expected: "give 1 or more" });
        }
        let usual = match self.solver {
            Solver::Descent => 10_000,
            Solver::Fista => 50_000,
            Solver::Reference => 100,
        };
        let max_iter = self.max_iter.unwrap_or(usual);
        let control = Control { tol: self.tol, max_iter, polish: self.polish };
        Ok(Checked { solver: self.solver, control })
    }
}
