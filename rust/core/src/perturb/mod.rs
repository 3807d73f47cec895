//! A perturbation that ripples through the tissue.
//!
//! Every step evaluates the derivatives at the state one step before, replaces the change of every ligand
//! gene by the change of what is received, propagates the changes through the models of the targets, sets
//! the perturbed entries back, and clips. Nothing else is carried over: after `n` steps a gene holds the
//! effect of all regulatory paths of at most `n` steps from the perturbed genes.

mod bounds;
mod contract;
mod features;
mod layout;
mod model;
mod plain;
mod received;
mod reevaluate;
mod response;
mod rows;
mod senders;
mod signals;
mod state;
mod watched;

pub use bounds::{Clip, LrSource, Pin, Rules};
pub use model::{RegulatoryModel, Target, TargetInput, Term};
pub use reevaluate::{Reevaluated, Rounds, reevaluate};
pub use signals::{Ligands, Receive, Signal};
pub(crate) use watched::Watched;

use crate::check;
use crate::error::{Error, Result};
use crate::splash::Slope;
use crate::watch::Watch;
use contract::{Plan, Product};
use features::{Differential, Reach};
use layout::WIDTH;
use ndarray::{Array2, ArrayView2, Axis, ShapeBuilder};
use rayon::prelude::*;
use signals::Signals;
use state::{Lanes, State};

/// What is perturbed where. All arrays have one row per cell.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// Cells x genes.
    pub expression: ArrayView2<'a, f64>,
    /// Perturbed genes.
    pub targets: Vec<usize>,
    /// Value that each perturbed gene is set to.
    pub desired: Vec<f64>,
    /// Cells x perturbed genes: where it is set.
    pub cells: ArrayView2<'a, bool>,
    /// Cells x genes: where expression counts, for derivatives and senders of ligand-receptor pairs.
    pub mask: Option<ArrayView2<'a, bool>>,
}

/// How a perturbation is propagated.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Rules of a step.
    pub rules: Rules,
    /// Number of steps.
    pub n_propagation: usize,
    /// Scale and cap of the derivatives.
    pub slope: Slope,
    /// Take the plain path everywhere.
    pub plain: bool,
}

/// Simulate a perturbation: simulated expression and its change before the perturbed entries are set to
/// their values at the end (both cells x genes).
///
/// Cost of a step: received amounts of the ligands that changed, and `2 * cells * features * targets`
/// multiply-adds at most, for targets whose betas are shared by groups of cells; features that are zero in
/// all cells are left out.
///
/// # Errors
/// When shapes or indices do not fit the model, an entry is not finite, or the caller stops the work.
pub fn perturb(
    model: &RegulatoryModel,
    request: &Request<'_>,
    ligands: &Ligands<'_>,
    options: &Options,
    watch: &dyn Watch,
) -> Result<(Array2<f64>, Array2<f64>)> {
    check_request(model, request)?;
    ligands.check(model.n_ligands())?;
    let options = Options { slope: options.slope.check()?, ..*options };
    let reach = Reach::new(model, &request.targets);
    let blocks = &model.layout.blocks;
    let watched = Watched::new(watch, options.n_propagation * blocks.len());
    let (min, mask) = (options.rules.min_expression, request.mask);
    let mut signals = Signals::new(ligands, model, &reach, request.expression, mask, min, &watched)?;
    let mut states: Vec<State> =
        blocks.par_iter().map(|b| State::new(b, &reach, request, &options, &signals)).collect();
    let observed = |slot: usize| states.iter().map(move |state| &state.base[slot][..state.n_cells]);
    let ranges = bounds::ranges(options.rules.clip, &reach.moving.members, observed, request);
    for _ in 0..options.n_propagation {
        signals.update(&states, &model.layout.places, &watched)?;
        step(model, &reach, &options, &signals, &ranges, &mut states, &watched)?;
    }
    Ok(result(model, &reach, request, &states))
}

fn check_request(model: &RegulatoryModel, request: &Request<'_>) -> Result<()> {
    let expected = (model.n_cells(), model.n_genes());
    let shape = |name, found: (usize, usize), expected: (usize, usize)| {
        let wrong = Error::Shape { name, found: format!("{found:?}"), expected: format!("{expected:?}") };
        if found == expected { Ok(()) } else { Err(wrong) }
    };
    shape("expression", request.expression.dim(), expected)?;
    shape("cells", request.cells.dim(), (model.n_cells(), request.targets.len()))?;
    shape("desired", (1, request.desired.len()), (1, request.targets.len()))?;
    if let Some(mask) = request.mask {
        shape("mask", mask.dim(), expected)?;
    }
    model::distinct("targets", request.targets.iter().map(|&t| t as i64), model.n_genes())?;
    check::finite_vector("desired", request.desired.as_slice().into())?;
    let sums = request.expression.axis_iter(Axis(0)).into_par_iter().all(|row| row.sum().is_finite());
    if sums { Ok(()) } else { check::finite("expression", request.expression) }
}

/// One propagation step of all blocks.
fn step(
    model: &RegulatoryModel,
    reach: &Reach,
    options: &Options,
    signals: &Signals<'_>,
    ranges: &[(f64, f64)],
    states: &mut [State],
    watched: &Watched<'_>,
) -> Result<()> {
    let blocks = &model.layout.blocks;
    let changed: Vec<Vec<bool>> =
        states.par_iter_mut().zip(blocks).map(|(state, block)| state.sense(block, signals)).collect();
    let anywhere: Vec<bool> =
        (0..reach.moving.members.len()).map(|slot| changed.iter().any(|c| c[slot])).collect();
    let plan = Plan::new(model, reach, &reach.active(&anywhere, &anywhere));
    let work = (states.par_iter_mut(), blocks, &changed);
    work.into_par_iter().try_for_each_init(
        || (Product::default(), plain::Scratch::new(model)),
        |(product, scratch), (state, block, changed)| {
            let mut next = vec![[0.0; WIDTH]; state.delta.len()];
            let mut write = |t: usize, lanes: &Lanes| {
                reach.moving.place(model.targets[t].gene).into_iter().for_each(|slot| next[slot] = *lanes);
            };
            let slope = &options.slope;
            if changed.contains(&true) && !options.plain {
                let values = Differential { state, signals, scale: slope.scale };
                product.compute(model, block, &plan, &values);
                product.read(model, &mut write);
            }
            if changed.contains(&true) {
                let targets = match options.plain {
                    true => (0..model.targets.len()).collect(),
                    false => plain::may_bind(model, &block.cells, reach, state, signals, slope, scratch),
                };
                let found =
                    plain::contract(model, &targets, &block.cells, reach, state, signals, slope, scratch);
                targets.iter().zip(&found).for_each(|(&t, lanes)| write(t, lanes));
            }
            state.follow(block, reach, options, signals);
            state.delta = next;
            bounds::pin_and_clip(state, ranges, options.rules.exempt_pinned);
            watched.one_done()
        },
    )
}

/// Simulated expression and change on the full gene axis.
///
/// The change is stored column by column: the columns that cannot change are never touched, which spares
/// the operating system most of its pages.
fn result(
    model: &RegulatoryModel,
    reach: &Reach,
    request: &Request<'_>,
    states: &[State],
) -> (Array2<f64>, Array2<f64>) {
    let simulated = simulated(model, reach, request, |block, slot, lane| states[block].simulated(slot, lane));
    let mut delta = Array2::zeros(request.expression.raw_dim().f());
    delta.axis_iter_mut(Axis(1)).into_par_iter().enumerate().for_each(|(gene, mut column)| {
        let Some(slot) = reach.moving.place(gene) else { return };
        for (value, &(block, lane)) in column.iter_mut().zip(&model.layout.places) {
            *value = states[block as usize].delta[slot][lane as usize];
        }
    });
    (simulated, delta)
}

/// Expression on the full gene axis when gene `slot` of a lane of a block has the value
/// `value(block, slot, lane)`; perturbed entries have the value requested.
fn simulated(
    model: &RegulatoryModel,
    reach: &Reach,
    request: &Request<'_>,
    value: impl Fn(usize, usize, usize) -> f64 + Sync,
) -> Array2<f64> {
    let mut simulated = Array2::zeros(request.expression.raw_dim());
    let places = &model.layout.places;
    let rows = (simulated.axis_iter_mut(Axis(0)), request.expression.axis_iter(Axis(0)), places);
    rows.into_par_iter().enumerate().for_each(|(cell, (mut simulated, observed, &(block, lane)))| {
        simulated.assign(&observed);
        for (slot, &gene) in reach.moving.members.iter().enumerate() {
            simulated[gene] = value(block as usize, slot, lane as usize);
        }
        for (j, &gene) in request.targets.iter().enumerate() {
            if request.cells[[cell, j]] {
                simulated[gene] = request.desired[j];
            }
        }
    });
    simulated
}
