//! A centered problem in the form that suits its shape.

use super::data_space::{Data, DataState};
use super::descent::{descend_data, descend_gram};
use super::fista::{Reference, fista, reference};
use super::gram::{Gram, GramState};
use super::groups::Penalty;
use super::quadratic::Quadratic;
use super::unpenalized::{Eliminated, reduce_data, reduce_gram};
use super::{Checked, Outcome, Solver};

/// Gram matrix when there are more cells than columns, else the data.
#[derive(Debug, Clone)]
pub(crate) enum Form {
    Gram(Gram),
    Data(Data),
}

impl Form {
    /// Regress out the columns from position `m` on, which carry no penalty.
    pub(crate) fn reduce(self, m: usize) -> (Self, Eliminated) {
        match self {
            Self::Gram(gram) => {
                let (gram, gone) = reduce_gram(gram, m);
                (Self::Gram(gram), gone)
            }
            Self::Data(data) => {
                let (data, gone) = reduce_data(data, m);
                (Self::Data(data), gone)
            }
        }
    }

    /// Negative gradient at zero.
    pub(crate) fn linear(&self) -> &[f64] {
        match self {
            Self::Gram(gram) => &gram.xy,
            Self::Data(data) => data.linear(),
        }
    }

    /// `||y||^2 / n`.
    pub(crate) fn null(&self) -> f64 {
        match self {
            Self::Gram(gram) => gram.yy,
            Self::Data(data) => data.null(),
        }
    }

    /// Solve from the start in `w`, which becomes the solution.
    ///
    /// The second value is the intercept of the centered problem, for the reference scheme with an intercept.
    pub(crate) fn solve(
        &self,
        penalty: &Penalty,
        w: &mut [f64],
        checked: Checked,
        setup: &Reference<'_>,
    ) -> (Outcome, Option<f64>) {
        let control = checked.control;
        match (self, checked.solver) {
            (Self::Gram(gram), Solver::Descent) => {
                (descend_gram(&mut GramState::new(gram), penalty, w, control), None)
            }
            (Self::Gram(gram), Solver::Fista) => {
                (fista(&mut GramState::new(gram), penalty, w, control), None)
            }
            (Self::Gram(gram), Solver::Reference) => {
                reference(&mut GramState::new(gram), penalty, w, control, setup)
            }
            (Self::Data(data), Solver::Descent) => {
                (descend_data(&mut DataState::new(data), penalty, w, control), None)
            }
            (Self::Data(data), Solver::Fista) => {
                (fista(&mut DataState::new(data), penalty, w, control), None)
            }
            (Self::Data(data), Solver::Reference) => {
                reference(&mut DataState::new(data), penalty, w, control, setup)
            }
        }
    }

    /// Residual mean square `||y - X w||^2 / n`.
    pub(crate) fn residual_square(&self, w: &[f64]) -> f64 {
        match self {
            Self::Gram(gram) => {
                let mut state = GramState::new(gram);
                state.place(w);
                state.moments(w).0
            }
            Self::Data(data) => {
                let mut state = DataState::new(data);
                state.place(w);
                state.moments(w).0
            }
        }
    }
}
