//! Propagation by re-evaluation of the fitted models.
//!
//! With `E` the observed expression and `f(X)` the fitted models at a state `X`, whose received ligands follow
//! from `X`, a round is `X <- clip(E + f(X) - f(E))`; the perturbed entries keep the value they are set to, and
//! genes without a model keep their observed expression. The difference is a sum over the terms that changed, so
//! its cost is that of what the perturbation reaches.

use super::bounds::{self, Clip};
use super::contract::{Plan, Product};
use super::features::Reach;
use super::layout::WIDTH;
use super::received::Received;
use super::response::{Changes, Response};
use super::state::Lanes;
use super::{Ligands, RegulatoryModel, Request, Watched, check_request, simulated};
use crate::error::{Error, Result};
use crate::watch::Watch;
use ndarray::Array2;
use rayon::prelude::*;

/// How often the models are re-evaluated, and when that stops.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rounds {
    /// Largest number of rounds.
    pub limit: usize,
    /// Part of the way to the re-evaluated state that a round goes: 1, or less to damp oscillations.
    pub share: f64,
    /// The rounds end when no entry changes by as much.
    pub tolerance: f64,
    /// Expression at or below this is neither sent nor sensed by a receptor.
    pub min_expression: f64,
    /// Multiplies every term except those of TFs.
    pub scale: f64,
}

impl Rounds {
    fn check(self) -> Result<Self> {
        let refuse =
            |name, value: f64, expected| Err(Error::Parameter { name, value: value.to_string(), expected });
        if !(self.share > 0.0 && self.share <= 1.0) {
            return refuse("damping", self.share, "give a number above 0 and at most 1");
        }
        if !(self.tolerance.is_finite() && self.tolerance >= 0.0) {
            return refuse("tolerance", self.tolerance, "give a number of at least 0");
        }
        if !(self.min_expression.is_finite() && self.min_expression >= 0.0) {
            return refuse("min_expression", self.min_expression, "give a number of at least 0");
        }
        if !self.scale.is_finite() {
            return refuse("beta_scale_factor", self.scale, "give a finite number");
        }
        Ok(self)
    }
}

/// A tissue after a perturbation, and how the rounds ended.
#[derive(Debug, Clone)]
pub struct Reevaluated {
    /// Simulated expression, cells x genes.
    pub simulated: Array2<f64>,
    /// Rounds done.
    pub rounds: usize,
    /// Largest change of an entry in the last round; 0 when there was none.
    pub largest_change: f64,
    /// Whether that is below the tolerance.
    pub converged: bool,
}

/// Simulate a perturbation by re-evaluating the fitted models.
///
/// Simulated values range from 0 to the larger of the largest value observed and the value requested; entries
/// that do not change are not moved.
///
/// Cost of a round: received amounts of the ligands that changed since the round before, and
/// `2 * cells * features * targets` multiply-adds at most; features that are as observed in all cells are left
/// out. Bits do not depend on the number of threads.
///
/// # Errors
/// When shapes or indices do not fit the model, an entry is not finite, or the caller stops the work.
pub fn reevaluate(
    model: &RegulatoryModel,
    request: &Request<'_>,
    ligands: &Ligands<'_>,
    rounds: &Rounds,
    watch: &dyn Watch,
) -> Result<Reevaluated> {
    check_request(model, request)?;
    ligands.check(model.n_ligands())?;
    let rounds = rounds.check()?;
    let reach = Reach::new(model, &request.targets);
    let (blocks, places) = (&model.layout.blocks, &model.layout.places);
    let watched = Watched::new(watch, rounds.limit * blocks.len());
    let (expression, min) = (request.expression, rounds.min_expression);
    let mut received = Received::new(ligands, model, &reach, expression, request.mask, min, &watched)?;
    let mut states: Vec<Response> =
        blocks.par_iter().map(|block| Response::new(block, &reach, request, &received)).collect();
    let observed = |slot: usize| states.iter().map(move |state| &state.base[slot][..state.n_cells]);
    let ranges = bounds::ranges(Clip::ZeroDesired, &reach.moving.members, observed, request);
    let (mut done, mut largest_change, mut converged) = (0, 0.0, false);
    while done < rounds.limit && !converged {
        received.update(places, |block, slot, lane| states[block].now[slot][lane], &watched)?;
        largest_change = round(model, &reach, &rounds, &received, &ranges, &mut states, &watched)?;
        (done, converged) = (done + 1, largest_change < rounds.tolerance);
    }
    let simulated = simulated(model, &reach, request, |block, slot, lane| states[block].now[slot][lane]);
    Ok(Reevaluated { simulated, rounds: done, largest_change, converged })
}

/// One round of all blocks: the largest step of an entry.
fn round(
    model: &RegulatoryModel,
    reach: &Reach,
    rounds: &Rounds,
    received: &Received<'_>,
    ranges: &[(f64, f64)],
    states: &mut [Response],
    watched: &Watched<'_>,
) -> Result<f64> {
    let blocks = &model.layout.blocks;
    let changed: Vec<(Vec<bool>, Vec<bool>)> =
        states.par_iter_mut().zip(blocks).map(|(state, block)| state.sense(block, received)).collect();
    let slots = 0..reach.moving.members.len();
    let own: Vec<bool> = slots.clone().map(|slot| changed.iter().any(|c| c.0[slot])).collect();
    let heard: Vec<bool> = slots.map(|slot| changed.iter().any(|c| c.1[slot])).collect();
    let plan = Plan::new(model, reach, &reach.active(&own, &heard));
    let work = (states.par_iter_mut(), blocks, &changed);
    let steps = work.into_par_iter().map_init(Product::default, |product, (state, block, (own, heard))| {
        let mut change: Vec<Lanes> = vec![[0.0; WIDTH]; state.now.len()];
        if own.contains(&true) || heard.contains(&true) {
            let (sensed_at, min_expression) = (&received.sensed_at[..], rounds.min_expression);
            let values = Changes { response: state, sensed_at, min_expression, scale: rounds.scale };
            product.compute(model, block, &plan, &values);
            product.read(model, |t, lanes| {
                let slot = reach.moving.place(model.targets[t].gene);
                slot.into_iter().for_each(|slot| change[slot] = *lanes);
            });
        }
        watched.one_done()?;
        Ok(state.advance(change, ranges, rounds.share))
    });
    steps.try_reduce(|| 0.0, |one, other| Ok(one.max(other)))
}
