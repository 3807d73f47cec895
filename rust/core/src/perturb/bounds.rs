//! Rules of a propagation step: which entries are pinned, where values are clipped, and the presets.

use super::Request;
use super::state::{Lanes, State};
use crate::error::{Error, Result};

/// Received ligands that enter the derivatives of ligand-receptor pairs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LrSource {
    /// Those of the unperturbed tissue, larger of the two tables, in every step.
    Baseline,
    /// Those of the state one step before.
    Evolving,
}

/// Entries that are set back to the requested change after every step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pin {
    /// Where the requested change is not zero.
    Nonzero,
    /// Every selected cell of a perturbed gene.
    Selected,
}

/// Range of the simulated expression of a gene.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clip {
    /// From the smallest to the largest value observed.
    Observed,
    /// From 0 to the largest value observed.
    ZeroObserved,
    /// From 0 to the larger of the largest value observed and the value requested.
    ZeroDesired,
}

/// Rules of a propagation step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rules {
    /// Received ligands in the derivatives of ligand-receptor pairs.
    pub lr_source: LrSource,
    /// Entries set back after every step.
    pub pin: Pin,
    /// Range of the simulated expression.
    pub clip: Clip,
    /// Pinned entries are not clipped.
    pub exempt_pinned: bool,
    /// Expression at or below this counts as none.
    pub min_expression: f64,
}

impl Rules {
    /// Read the rules by name.
    ///
    /// # Errors
    /// [`Error::Parameter`] naming the rule that is unknown.
    pub fn new(
        lr_source: &str,
        pin: &str,
        clip: &str,
        exempt_pinned: bool,
        min_expression: f64,
    ) -> Result<Self> {
        let unknown = |name, value: &str, expected| Error::Parameter { name, value: value.into(), expected };
        if !(min_expression.is_finite() && min_expression >= 0.0) {
            return Err(unknown(
                "min_expression",
                &min_expression.to_string(),
                "give a number of at least 0",
            ));
        }
        Ok(Self {
            lr_source: match lr_source {
                "baseline" => LrSource::Baseline,
                "evolving" => LrSource::Evolving,
                _ => return Err(unknown("lr_source", lr_source, "use baseline or evolving")),
            },
            pin: match pin {
                "nonzero" => Pin::Nonzero,
                "selected" => Pin::Selected,
                _ => return Err(unknown("pin", pin, "use nonzero or selected")),
            },
            clip: match clip {
                "observed" => Clip::Observed,
                "zero_observed" => Clip::ZeroObserved,
                "zero_desired" => Clip::ZeroDesired,
                _ => return Err(unknown("clip", clip, "use observed, zero_observed or zero_desired")),
            },
            exempt_pinned,
            min_expression,
        })
    }
}

/// Smallest and largest simulated value of each gene that can change, from its values in every block and the
/// value it is set to.
pub(crate) fn ranges<'a, I: Iterator<Item = &'a [f64]>>(
    rule: Clip,
    genes: &[usize],
    observed: impl Fn(usize) -> I,
    request: &Request<'_>,
) -> Vec<(f64, f64)> {
    let desired = |gene| request.targets.iter().position(|&t| t == gene).map(|j| request.desired[j]);
    let range = |(slot, &gene): (usize, &usize)| {
        let bounds = (f64::INFINITY, f64::NEG_INFINITY);
        let (low, high) = observed(slot).flatten().fold(bounds, |(low, high), &x| (low.min(x), high.max(x)));
        match rule {
            Clip::Observed => (low, high),
            Clip::ZeroObserved => (0.0, high.max(0.0)),
            Clip::ZeroDesired => (0.0, high.max(0.0).max(desired(gene).unwrap_or(0.0))),
        }
    };
    genes.iter().enumerate().map(range).collect()
}

/// Requested change of one gene in one block.
#[derive(Debug, Clone)]
pub(crate) struct Pinned {
    pub slot: usize,
    pub change: Lanes,
    pub held: [bool; super::layout::WIDTH],
}

/// Set pinned entries back to the requested change and keep the simulated values in their ranges.
///
/// An entry without change stays as it is, so that values outside the range are not moved by doing nothing.
pub(crate) fn pin_and_clip(state: &mut State, ranges: &[(f64, f64)], exempt_pinned: bool) {
    pin(state);
    for ((delta, base), &(low, high)) in state.delta.iter_mut().zip(&state.base).zip(ranges) {
        for (d, x) in delta.iter_mut().zip(base) {
            *d = if *d == 0.0 { 0.0 } else { (x + *d).clamp(low, high) - x };
        }
    }
    if exempt_pinned {
        pin(state);
    }
}

fn pin(state: &mut State) {
    for pinned in &state.pinned {
        let delta = &mut state.delta[pinned.slot];
        for lane in 0..delta.len() {
            if pinned.held[lane] {
                delta[lane] = pinned.change[lane];
            }
        }
    }
}
