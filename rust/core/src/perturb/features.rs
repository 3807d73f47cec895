//! Terms of a cell that the perturbation can reach, on compact axes, and their values in a block.
//!
//! Only genes that are modeled or perturbed ever change, so a term counts only if one of its members is such
//! a gene. With `d` the change of a gene, `e` the filtered expression and `R` the received ligand, the terms
//! are `d` (a TF), `s ([e > 0] R d_receptor + e d_ligand)` and `s (e d_ligand + R d_regulator)`.

use super::layout::WIDTH;
use super::model::{RegulatoryModel, Term};
use super::signals::Signals;
use super::state::{Lanes, State};
use crate::gemm::{DEPTH, LANES};
use crate::simd::fma;
use crate::widest;

/// No position on a compact axis.
const NONE: u32 = u32::MAX;

/// A compact axis: members in the order of the full axis.
#[derive(Debug, Clone)]
pub(crate) struct Axis {
    /// Members of the compact axis.
    pub members: Vec<usize>,
    places: Vec<u32>,
}

impl Axis {
    fn new(wanted: &[bool]) -> Self {
        let members: Vec<usize> = (0..wanted.len()).filter(|&i| wanted[i]).collect();
        let mut places = vec![NONE; wanted.len()];
        for (place, &member) in members.iter().enumerate() {
            places[member] = place as u32;
        }
        Self { members, places }
    }

    /// Place of a member of the full axis.
    pub fn place(&self, member: usize) -> Option<usize> {
        Some(self.places[member]).filter(|&p| p != NONE).map(|p| p as usize)
    }
}

/// A term on compact axes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Feature {
    /// Change of a gene.
    Change { slot: usize },
    /// Product of a received ligand and the expression of its partner.
    Product {
        /// Place of the partner on the axis of levels.
        level: usize,
        /// Place of the ligand on its table and slot of the partner, when the partner can change.
        partner: Option<(usize, usize)>,
        /// Slot of the ligand's gene, when it can change.
        ligand: Option<usize>,
        /// The partner is a receptor: counts only where it is expressed, and uses the table of its pairs.
        receptor: bool,
    },
}

/// Compact axes of one perturbation.
#[derive(Debug, Clone)]
pub(crate) struct Reach {
    /// Genes that can change.
    pub moving: Axis,
    /// Genes whose expression a term needs.
    pub levels: Axis,
    /// Ligands whose received amount a ligand-receptor term needs.
    pub lr: Axis,
    /// Ligands whose received amount a TF-ligand term needs.
    pub tfl: Axis,
    /// Terms that can change; `None` for the others. In the order of the model's features.
    pub features: Vec<Option<Feature>>,
}

impl Reach {
    /// What a perturbation of `perturbed` can reach.
    pub fn new(model: &RegulatoryModel, perturbed: &[usize]) -> Self {
        let mut moving = vec![false; model.n_genes];
        model.targets.iter().map(|t| t.gene).chain(perturbed.iter().copied()).for_each(|g| moving[g] = true);
        let mut levels = vec![false; model.n_genes];
        let (mut lr, mut tfl) = (vec![false; model.n_ligands()], vec![false; model.n_ligands()]);
        for &feature in &model.features {
            let Some((ligand, partner, receptor)) = members(feature) else { continue };
            levels[partner] |= moving[partner] || moving[model.ligand_genes[ligand]];
            let table = if receptor { &mut lr } else { &mut tfl };
            table[ligand] |= moving[partner];
        }
        let axes = [Axis::new(&moving), Axis::new(&levels), Axis::new(&lr), Axis::new(&tfl)];
        let [moving, levels, lr, tfl] = axes;
        let features = model.features.iter().map(|&term| {
            let Some((ligand, partner, receptor)) = members(term) else {
                let Term::Gene(gene) = term else { return None };
                return moving.place(gene as usize).map(|slot| Feature::Change { slot });
            };
            let slot = moving.place(model.ligand_genes[ligand]);
            let table = if receptor { &lr } else { &tfl };
            let sensed = moving.place(partner).and_then(|p| table.place(ligand).map(|place| (place, p)));
            let product = |level| Feature::Product { level, partner: sensed, ligand: slot, receptor };
            levels.place(partner).filter(|_| slot.is_some() || sensed.is_some()).map(product)
        });
        let features = features.collect();
        Self { moving, levels, lr, tfl, features }
    }

    /// Which features are not zero when only the slots of `own` have a change of their own and only what is
    /// received of the slots of `received` changes, as positions among the model's.
    pub fn active(&self, own: &[bool], received: &[bool]) -> Vec<usize> {
        let lives = |feature: &Feature| match *feature {
            Feature::Change { slot } => own[slot],
            Feature::Product { partner, ligand, .. } => {
                partner.is_some_and(|(_, slot)| own[slot]) || ligand.is_some_and(|slot| received[slot])
            }
        };
        (0..self.features.len()).filter(|&f| self.features[f].as_ref().is_some_and(lives)).collect()
    }
}

/// Ligand, partner, and whether the partner is a receptor.
fn members(term: Term) -> Option<(usize, usize, bool)> {
    match term {
        Term::Gene(_) => None,
        Term::LigandReceptor { ligand, receptor } => Some((ligand as usize, receptor as usize, true)),
        Term::TfLigand { ligand, regulator } => Some((ligand as usize, regulator as usize, false)),
    }
}

/// Values of features in one block.
pub(crate) trait Values {
    /// Value of a feature in every cell; `space` is there to be used for it.
    fn of<'a>(&'a self, feature: &Feature, space: &'a mut Lanes) -> &'a Lanes;
}

/// Values of a chunk of features in a block, one panel of [`LANES`] cells after the other, each [`DEPTH`] lines.
pub(crate) fn fill(features: &[Feature], values: &impl Values, panels: usize, out: &mut [[f64; LANES]]) {
    let mut space = [0.0; WIDTH];
    for (k, feature) in features.iter().enumerate() {
        let (chunks, _) = values.of(feature, &mut space).as_chunks::<LANES>();
        for (panel, lanes) in chunks.iter().enumerate().take(panels) {
            out[panel * DEPTH + k] = *lanes;
        }
    }
}

/// Terms of a propagation of derivatives: derivative times change.
pub(crate) struct Differential<'a> {
    pub state: &'a State,
    pub signals: &'a Signals<'a>,
    pub scale: f64,
}

impl Values for Differential<'_> {
    fn of<'a>(&'a self, feature: &Feature, space: &'a mut Lanes) -> &'a Lanes {
        let (state, change) = (self.state, |slot| self.state.change(slot, self.signals));
        match *feature {
            Feature::Change { slot } => change(slot),
            Feature::Product { level, partner, ligand, receptor } => {
                let partner = partner.map(|(place, slot)| {
                    (if receptor { &state.lr[place] } else { &state.tfl[place] }, change(slot))
                });
                multiply(&state.levels[level], partner, ligand.map(change), receptor, self.scale, space);
                space
            }
        }
    }
}

widest! {
    fn multiply(
        level: &Lanes,
        partner: Option<(&Lanes, &Lanes)>,
        ligand: Option<&Lanes>,
        receptor: bool,
        scale: f64,
        out: &mut Lanes,
    ) {
        match partner {
            None => out.fill(0.0),
            Some((table, change)) => {
                for lane in 0..WIDTH {
                    let counts = !receptor || level[lane] > 0.0;
                    out[lane] = if counts { table[lane] * change[lane] * scale } else { 0.0 };
                }
            }
        }
        if let Some(change) = ligand {
            for lane in 0..WIDTH {
                out[lane] = fma::<FMA>(level[lane] * scale, change[lane], out[lane]);
            }
        }
    }
}
