//! What a propagation step does with sources, perturbed cells and bounds.

use ndarray::{Array1, ArrayView1, ArrayView2, Axis};

/// Received ligand that multiplies a receptor's change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LrSource {
    /// The baseline, larger of both tables, in every step.
    Baseline,
    /// The baseline of the ligand-receptor table in the first step, then that of the previous step.
    Evolving,
}

/// Entries that keep the change asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pin {
    /// Those where something changes.
    Nonzero,
    /// All selected cells.
    Selected,
}

/// Range of the simulated expression of a gene.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clip {
    /// Observed smallest to observed largest value.
    Observed,
    /// 0 to observed largest value.
    ZeroObserved,
    /// 0 to observed largest or desired value.
    ZeroDesired,
}

/// Rules of a preset.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rules {
    /// Which received ligand enters the derivative of a receptor.
    pub lr_source: LrSource,
    /// Which entries are pinned.
    pub pin: Pin,
    /// Range of each gene.
    pub clip: Clip,
    /// Pinned entries are never clipped.
    pub exempt_pinned: bool,
    /// Expression counts as absent unless above it.
    pub min_expression: f64,
}

/// Smallest and largest simulated value of each gene.
#[must_use]
pub fn bounds(
    rule: Clip,
    expression: ArrayView2<f64>,
    targets: &[usize],
    desired: ArrayView1<f64>,
) -> (Array1<f64>, Array1<f64>) {
    let mut low = expression.fold_axis(Axis(0), f64::INFINITY, |m, &x| m.min(x));
    let mut high = expression.fold_axis(Axis(0), f64::NEG_INFINITY, |m, &x| m.max(x));
    if rule != Clip::Observed {
        low.fill(0.0);
        high.mapv_inplace(|x| x.max(0.0));
    }
    if rule == Clip::ZeroDesired {
        for (&gene, &value) in targets.iter().zip(desired) {
            high[gene] = high[gene].max(value);
        }
    }
    (low, high)
}
