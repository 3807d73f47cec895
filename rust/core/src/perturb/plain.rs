//! Plain path: the derivatives of one target in one cell times the changes, summed on the spot.
//!
//! Used where the cap on a derivative may bind, and as the oracle of the product.

use super::features::Reach;
use super::layout::WIDTH;
use super::model::RegulatoryModel;
use super::signals::Signals;
use super::state::{Lanes, State};
use crate::splash::{Cell, Slope};

/// State of one cell on the full axes; entries that cannot matter stay 0.
#[derive(Debug)]
pub(crate) struct Scratch {
    levels: Vec<f64>,
    changes: Vec<f64>,
    received: Vec<f64>,
    received_tfl: Vec<f64>,
}

impl Scratch {
    pub fn new(model: &RegulatoryModel) -> Self {
        let (genes, ligands) = (vec![0.0; model.n_genes()], vec![0.0; model.n_ligands()]);
        Self { levels: genes.clone(), changes: genes, received: ligands.clone(), received_tfl: ligands }
    }

    /// Reduce every lane of a block to one number per gene and ligand.
    fn load(&mut self, reach: &Reach, state: &State, signals: &Signals<'_>, reduce: impl Fn(&Lanes) -> f64) {
        let put = |out: &mut Vec<f64>, members: &[usize], rows: &[Lanes]| {
            members.iter().zip(rows).for_each(|(&member, lanes)| out[member] = reduce(lanes));
        };
        put(&mut self.levels, &reach.levels.members, &state.levels);
        for (slot, &gene) in reach.moving.members.iter().enumerate() {
            self.changes[gene] = reduce(state.change(slot, signals));
        }
        put(&mut self.received, &reach.lr.members, &state.lr);
        put(&mut self.received_tfl, &reach.tfl.members, &state.tfl);
    }

    fn cell(&self) -> Cell<'_> {
        Cell { expression: &self.levels, received: &self.received, received_tfl: &self.received_tfl }
    }
}

/// Changes of `targets` in the cells of a block.
pub(crate) fn contract(
    model: &RegulatoryModel,
    targets: &[usize],
    cells: &[u32],
    reach: &Reach,
    state: &State,
    signals: &Signals<'_>,
    slope: &Slope,
    scratch: &mut Scratch,
) -> Vec<Lanes> {
    let mut out = vec![[0.0; WIDTH]; targets.len()];
    if targets.is_empty() {
        return out;
    }
    for (lane, &cell) in cells.iter().enumerate() {
        scratch.load(reach, state, signals, |lanes| lanes[lane]);
        for (&t, out) in targets.iter().zip(&mut out) {
            let betas = model.betas_at(t, cell as usize);
            if betas.is_empty() {
                continue;
            }
            let mut sum = 0.0;
            model.targets()[t].derivatives.evaluate(betas, scratch.cell(), slope, |gene, derivative| {
                sum += derivative * scratch.changes[gene];
            });
            out[lane] = sum;
        }
    }
    out
}

/// Targets of which a derivative may exceed the cap in some cell of a block.
///
/// Derivatives are bounded by the largest expression, received amount and betas of the block. Only those with
/// respect to genes that can change count.
pub(crate) fn may_bind(
    model: &RegulatoryModel,
    cells: &[u32],
    reach: &Reach,
    state: &State,
    signals: &Signals<'_>,
    slope: &Slope,
    scratch: &mut Scratch,
) -> Vec<usize> {
    let Some(cap) = slope.cap else { return Vec::new() };
    scratch.load(reach, state, signals, |lanes| lanes.iter().fold(0.0, |m: f64, v| m.max(v.abs())));
    let bound = Slope { scale: slope.scale.abs(), cap: None };
    let binds = |&t: &usize| {
        let shared = model.shared.binary_search(&t).is_ok();
        let mut sizes = vec![0.0f64; model.targets()[t].terms.len()];
        for &cell in if shared { &cells[..1] } else { cells } {
            sizes
                .iter_mut()
                .zip(model.betas_at(t, cell as usize))
                .for_each(|(size, b)| *size = size.max(b.abs()));
        }
        let mut largest = 0.0f64;
        model.targets()[t].derivatives.evaluate(&sizes, scratch.cell(), &bound, |gene, derivative| {
            if reach.moving.place(gene).is_some() {
                largest = largest.max(derivative);
            }
        });
        // the bound and the derivatives themselves are rounded
        largest > cap * (1.0 - 1e-9)
    };
    (0..model.targets().len()).filter(binds).collect()
}
