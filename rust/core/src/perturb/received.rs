//! Received ligands of a re-evaluation: those of the observed state once, then the change of those that changed.

use super::features::Reach;
use super::model::RegulatoryModel;
use super::senders::{Senders, opened, sent};
use super::signals::Ligands;
use super::state::Lanes;
use crate::error::Result;
use crate::watch::Watch;
use ndarray::{Array2, ArrayView2};

/// Which product of a received ligand a table belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pair {
    /// Ligand and receptor.
    Receptor,
    /// Ligand and regulator.
    Regulator,
}

/// Received amounts of the observed state and their change since. All tables: cells x ligands.
pub(crate) struct Received<'a> {
    ligands: &'a Ligands<'a>,
    /// Ligands whose gene can change, and what they send.
    pub senders: Senders,
    /// Position among the senders of every gene that can change.
    pub sensed_at: Vec<Option<usize>>,
    plain: Table,
    /// What the mask leaves of the senders, for ligand-receptor pairs.
    masked: Option<Table>,
}

struct Table {
    observed: Array2<f64>,
    change: Array2<f64>,
}

impl<'a> Received<'a> {
    /// Received amounts of the observed state, of the ligands whose partners can change.
    pub fn new(
        ligands: &'a Ligands<'a>,
        model: &RegulatoryModel,
        reach: &Reach,
        expression: ArrayView2<f64>,
        mask: Option<ArrayView2<bool>>,
        min_expression: f64,
        watch: &dyn Watch,
    ) -> Result<Self> {
        let shape = (expression.nrows(), model.n_ligands());
        let table = |needed: &[usize], mask: Option<ArrayView2<bool>>| {
            let mut senders = sent(model, needed, expression, min_expression);
            if let Some(mask) = mask {
                senders *= &opened(model, needed, mask);
            }
            let mut observed = Array2::zeros(shape);
            ligands.receive(needed, &senders, &mut observed, watch)?;
            Ok(Table { observed, change: Array2::zeros(shape) })
        };
        let needs = |pair| (0..shape.1).filter(move |&l| place(reach, pair, l).is_some());
        let (lr, tfl) = (needs(Pair::Receptor), needs(Pair::Regulator));
        let (plain, masked) = match mask {
            Some(_) => (table(&tfl.collect::<Vec<_>>(), None)?, Some(table(&lr.collect::<Vec<_>>(), mask)?)),
            None => {
                let either: Vec<usize> = (0..shape.1)
                    .filter(|&l| reach.lr.place(l).is_some() || reach.tfl.place(l).is_some())
                    .collect();
                (table(&either, None)?, None)
            }
        };
        let slot = |l: usize| reach.moving.place(model.ligand_genes[l]).map(|slot| (l, slot));
        let moving = (0..shape.1).filter_map(slot).collect();
        let senders = Senders::new(model, moving, expression, mask, min_expression);
        let sensed_at = senders.by_slot(reach.moving.members.len());
        Ok(Self { ligands, senders, sensed_at, plain, masked })
    }

    /// Follow the senders to a state given by `value(block, slot, lane)`; only what changed is received again.
    ///
    /// The received amount is linear in the senders, so its change is received from the change of the
    /// senders since the observed state: no rounding builds up, and no change is exactly no change.
    pub fn update(
        &mut self,
        places: &[(u32, u32)],
        value: impl Fn(usize, usize, usize) -> f64 + Sync,
        watch: &dyn Watch,
    ) -> Result<()> {
        let changed = self.senders.follow(places, value);
        if changed.is_empty() {
            return Ok(());
        }
        let ligands = self.senders.ligands(&changed);
        let (moved, kept) = self.senders.moved(&changed);
        self.ligands.receive(&ligands, &moved, &mut self.plain.change, watch)?;
        if let (Some(table), Some(kept)) = (&mut self.masked, kept) {
            self.ligands.receive(&ligands, &kept, &mut table.change, watch)?;
        }
        Ok(())
    }

    /// Amount received at the observed state by the cells of a block.
    pub fn observed(&self, cells: &[u32], ligand: usize, pair: Pair) -> Lanes {
        self.gather(cells, ligand, pair, |table| &table.observed)
    }

    /// Its change since.
    pub fn change(&self, cells: &[u32], ligand: usize, pair: Pair) -> Lanes {
        self.gather(cells, ligand, pair, |table| &table.change)
    }

    fn gather(&self, cells: &[u32], ligand: usize, pair: Pair, of: fn(&Table) -> &Array2<f64>) -> Lanes {
        let mut lanes: Lanes = [0.0; super::layout::WIDTH];
        let (acts, table) = match pair {
            Pair::Receptor => (self.ligands.lr[ligand], self.masked.as_ref().unwrap_or(&self.plain)),
            Pair::Regulator => (self.ligands.tfl[ligand], &self.plain),
        };
        if acts {
            let column = of(table).column(ligand);
            lanes.iter_mut().zip(cells).for_each(|(lane, &cell)| *lane = column[cell as usize]);
        }
        lanes
    }
}

fn place(reach: &Reach, pair: Pair, ligand: usize) -> Option<usize> {
    match pair {
        Pair::Receptor => reach.lr.place(ligand),
        Pair::Regulator => reach.tfl.place(ligand),
    }
}
