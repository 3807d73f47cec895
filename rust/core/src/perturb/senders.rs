//! Ligands whose senders can change, and how far these have moved from the observed state.

use super::model::RegulatoryModel;
use crate::splash::filtered;
use ndarray::{Array2, ArrayView2, Axis};
use rayon::prelude::*;

/// Senders of the ligands whose gene can change. Tables: cells x these ligands.
pub(crate) struct Senders {
    /// The ligands, with the slot of their gene.
    pub moving: Vec<(usize, usize)>,
    first: Array2<f64>,
    last: Array2<f64>,
    open: Option<Array2<f64>>,
    min_expression: f64,
}

impl Senders {
    /// Senders of the observed state.
    pub fn new(
        model: &RegulatoryModel,
        moving: Vec<(usize, usize)>,
        expression: ArrayView2<f64>,
        mask: Option<ArrayView2<bool>>,
        min_expression: f64,
    ) -> Self {
        let ligands: Vec<usize> = moving.iter().map(|m| m.0).collect();
        let first = sent(model, &ligands, expression, min_expression);
        let open = mask.map(|mask| opened(model, &ligands, mask));
        Self { moving, last: first.clone(), first, open, min_expression }
    }

    /// Take over the state in which gene `slot` of a lane of a block has the expression
    /// `value(block, slot, lane)`; gives the positions in `moving` whose senders are not as they were.
    pub fn follow(
        &mut self,
        places: &[(u32, u32)],
        value: impl Fn(usize, usize, usize) -> f64 + Sync,
    ) -> Vec<usize> {
        let mut now = Array2::zeros(self.first.raw_dim());
        now.axis_iter_mut(Axis(0)).into_par_iter().zip(places).for_each(|(mut row, &(block, lane))| {
            for (sent, &(_, slot)) in row.iter_mut().zip(&self.moving) {
                *sent = filtered(value(block as usize, slot, lane as usize), self.min_expression);
            }
        });
        let changed = (0..self.moving.len()).filter(|&k| now.column(k) != self.last.column(k)).collect();
        self.last = now;
        changed
    }

    /// Change of some senders since the observed state; with a mask also the part of it that the mask leaves.
    pub fn moved(&self, places: &[usize]) -> (Array2<f64>, Option<Array2<f64>>) {
        let moved = self.last.select(Axis(1), places) - self.first.select(Axis(1), places);
        let kept = self.open.as_ref().map(|open| &moved * &open.select(Axis(1), places));
        (moved, kept)
    }

    /// Ligands at some positions of `moving`.
    pub fn ligands(&self, places: &[usize]) -> Vec<usize> {
        places.iter().map(|&k| self.moving[k].0).collect()
    }

    /// Position in `moving` of each of the genes that can change.
    pub fn by_slot(&self, n_slots: usize) -> Vec<Option<usize>> {
        let mut places = vec![None; n_slots];
        self.moving.iter().enumerate().for_each(|(place, &(_, slot))| places[slot] = Some(place));
        places
    }
}

/// What the senders of some ligands send, cells x these ligands.
pub(crate) fn sent(
    model: &RegulatoryModel,
    ligands: &[usize],
    expression: ArrayView2<f64>,
    min_expression: f64,
) -> Array2<f64> {
    let gene = |k: usize| model.ligand_genes[ligands[k]];
    Array2::from_shape_fn((expression.nrows(), ligands.len()), |(i, k)| {
        filtered(expression[[i, gene(k)]], min_expression)
    })
}

/// Mask of the senders of some ligands as factors, cells x these ligands.
pub(crate) fn opened(model: &RegulatoryModel, ligands: &[usize], mask: ArrayView2<bool>) -> Array2<f64> {
    let gene = |k: usize| model.ligand_genes[ligands[k]];
    Array2::from_shape_fn((mask.nrows(), ligands.len()), |(i, k)| f64::from(u8::from(mask[[i, gene(k)]])))
}
