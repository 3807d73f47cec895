//! A perturbation and its ripple: pinned changes run through regulation and received signals, step by step.

pub mod contract;
pub mod model;
pub mod plain;
pub mod rules;
mod signals;
pub mod terms;

pub use contract::Scaling;
pub use model::{Model, TargetTable, Term};
pub use rules::{Clip, LrSource, Pin, Rules};
pub use signals::Signal;

use crate::check;
use crate::error::{Error, Result};
use crate::watch::Watch;
use contract::Contraction;
use ndarray::{Array2, ArrayView1, ArrayView2, Axis, Zip};
use rayon::prelude::*;
use signals::Signals;
use terms::State;

/// What is set where.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Perturbed genes.
    pub genes: &'a [usize],
    /// Value of each.
    pub desired: ArrayView1<'a, f64>,
    /// Cells x perturbed genes.
    pub cells: ArrayView2<'a, bool>,
}

/// Everything else a simulation needs.
#[derive(Debug, Clone, Copy)]
pub struct Settings<'a> {
    /// Plans of the received ligands and the positions they serve; other positions receive 0.
    pub signals: &'a [Signal<'a>],
    /// Factor on received ligands.
    pub scale_factor: f64,
    /// Positions that take part in ligand-receptor pairs.
    pub lr_ligands: &'a [bool],
    /// Positions that take part in ligand-TF pairs.
    pub tfl_ligands: &'a [bool],
    /// Rules of the preset.
    pub rules: Rules,
    /// Steps.
    pub n_propagation: usize,
    /// Scaling of the coefficients.
    pub scaling: Scaling<'a>,
    /// Cells x genes that may signal; `None` for all.
    pub mask: Option<ArrayView2<'a, bool>>,
}

/// Simulated expression and its change inside the loop, both cells x genes.
pub struct Outcome {
    /// Expression after the perturbation, the perturbed cells at their value.
    pub simulated: Array2<f64>,
    /// Change after the last step, before the perturbed cells are set.
    pub delta: Array2<f64>,
}

/// Run the perturbation.
///
/// # Errors
/// Shapes that disagree, indices out of range, or a stop asked through `watch`.
pub fn perturb(
    model: &Model,
    expression: ArrayView2<f64>,
    request: &Request,
    settings: &Settings,
    watch: &dyn Watch,
) -> Result<Outcome> {
    validate(model, expression, request, settings)?;
    let input = asked_change(expression, request);
    let pinned = pinned(&input, request, settings.rules.pin);
    let (low, high) = rules::bounds(settings.rules.clip, expression, request.genes, request.desired);
    let contraction = Contraction::new(model, settings.scaling);
    let mut signals = Signals::new(model, settings, expression, watch)?;
    let mut delta = input.clone();
    let mut before = expression.to_owned();
    for step in 0..settings.n_propagation {
        let at = (step, settings.n_propagation);
        if !watch.tick(at.0, at.1) {
            return Err(Error::Cancelled { done: at.0, total: at.1 });
        }
        let filtered = filter(before.view(), settings.rules.min_expression, settings.mask);
        before = &expression + &delta;
        let (source, change) = signals.advance(settings, before.view(), watch)?;
        for (&gene, column) in model.ligand_genes.iter().zip(change.axis_iter(Axis(1))) {
            delta.column_mut(gene).assign(&column);
        }
        let state = State {
            expression: filtered.view(),
            received: source.view(),
            received_tfl: signals.baseline_tfl(),
            delta: delta.view(),
        };
        delta = contraction.step(&state, watch, at)?;
        confine(&mut delta, expression, &input, &pinned, &low, &high, settings.rules.exempt_pinned);
    }
    let mut simulated = &expression + &delta;
    for (at, &gene) in request.genes.iter().enumerate() {
        Zip::from(simulated.column_mut(gene)).and(request.cells.column(at)).for_each(|x, &inside| {
            if inside {
                *x = request.desired[at];
            }
        });
    }
    Ok(Outcome { simulated, delta })
}

/// Expression above `minimum` where the mask allows it, else 0.
#[must_use]
pub fn filter(expression: ArrayView2<f64>, minimum: f64, mask: Option<ArrayView2<bool>>) -> Array2<f64> {
    let mut out = expression.mapv(|x| if x > minimum { x } else { 0.0 });
    if let Some(mask) = mask {
        Zip::from(&mut out).and(mask).for_each(|x, &open| {
            if !open {
                *x = 0.0;
            }
        });
    }
    out
}

fn asked_change(expression: ArrayView2<f64>, request: &Request) -> Array2<f64> {
    let mut change = Array2::zeros(expression.raw_dim());
    for (at, &gene) in request.genes.iter().enumerate() {
        for cell in 0..expression.nrows() {
            if request.cells[[cell, at]] {
                change[[cell, gene]] = request.desired[at] - expression[[cell, gene]];
            }
        }
    }
    change
}

/// Cells x genes entries that keep the change asked for.
fn pinned(input: &Array2<f64>, request: &Request, pin: Pin) -> Vec<(usize, Vec<usize>)> {
    request
        .genes
        .iter()
        .enumerate()
        .map(|(at, &gene)| {
            let keep = |&cell: &usize| {
                request.cells[[cell, at]] && (pin == Pin::Selected || input[[cell, gene]] != 0.0)
            };
            (gene, (0..input.nrows()).filter(keep).collect())
        })
        .collect()
}

/// Pin, clip to the bounds of each gene, and pin again where pinned entries are exempt.
fn confine(
    delta: &mut Array2<f64>,
    expression: ArrayView2<f64>,
    input: &Array2<f64>,
    pinned: &[(usize, Vec<usize>)],
    low: &ndarray::Array1<f64>,
    high: &ndarray::Array1<f64>,
    exempt: bool,
) {
    let pin = |delta: &mut Array2<f64>| {
        for (gene, cells) in pinned {
            for &cell in cells {
                delta[[cell, *gene]] = input[[cell, *gene]];
            }
        }
    };
    pin(delta);
    delta.axis_iter_mut(Axis(0)).into_par_iter().zip(expression.axis_iter(Axis(0))).for_each(|(mut d, x)| {
        Zip::from(&mut d).and(&x).and(low).and(high).for_each(|d, &x, &low, &high| {
            // an unchanged entry stays exactly unchanged: (x + d) - x is not d in floating point
            let moved = x + *d;
            if moved < low {
                *d = low - x;
            } else if moved > high {
                *d = high - x;
            }
        });
    });
    if exempt {
        pin(delta);
    }
}

fn validate(
    model: &Model,
    expression: ArrayView2<f64>,
    request: &Request,
    settings: &Settings,
) -> Result<()> {
    let expected = (model.n_cells, model.n_genes);
    let shape = |name, dim: (usize, usize), expected: (usize, usize)| {
        let (found, expected) = (format!("shape {dim:?}"), format!("{expected:?}"));
        Err(Error::Shape { name, found, expected })
    };
    if expression.dim() != expected {
        return shape("expression", expression.dim(), expected);
    }
    check::finite("expression", expression)?;
    check::indices("targets", request.genes.iter().map(|&g| g as i64), model.n_genes)?;
    check::finite_vector("desired", request.desired)?;
    if request.cells.dim() != (model.n_cells, request.genes.len())
        || request.desired.len() != request.genes.len()
    {
        return shape("cells", request.cells.dim(), (model.n_cells, request.genes.len()));
    }
    if let Some(mask) = settings.mask
        && mask.dim() != expected
    {
        return shape("mask", mask.dim(), expected);
    }
    let ligands = model.ligand_genes.len();
    for (name, flags) in [("lr_ligands", settings.lr_ligands), ("tfl_ligands", settings.tfl_ligands)] {
        check::same_rows(name, flags.len(), "ligand_genes", ligands)?;
    }
    for signal in settings.signals {
        check::indices("signals", signal.positions.iter().map(|&p| p as i64), ligands)?;
        check::same_rows("expression", model.n_cells, "the cells of a signal plan", signal.plan.cells())?;
    }
    Ok(())
}
