//! State of one block of cells on the compact axes of a perturbation.

use super::bounds::{LrSource, Pin, Pinned};
use super::features::Reach;
use super::layout::{Block, WIDTH};
use super::signals::Signals;
use super::{Options, Request};
use crate::splash::filtered;
use ndarray::ArrayView2;

/// One value per cell of a block; lanes beyond the last cell stay 0.
pub(crate) type Lanes = [f64; WIDTH];

/// State of one block: rows of lanes along the axes of [`Reach`].
#[derive(Debug)]
pub(crate) struct State {
    /// Cells of the block.
    pub n_cells: usize,
    /// Observed expression of the genes that can change.
    pub base: Vec<Lanes>,
    /// Their change.
    pub delta: Vec<Lanes>,
    /// Change of what is received of the ligands among them.
    pub sensed: Vec<Lanes>,
    /// Filtered, masked expression of the state one step before.
    pub levels: Vec<Lanes>,
    /// Received ligands of ligand-receptor terms.
    pub lr: Vec<Lanes>,
    /// Received ligands of TF-ligand terms.
    pub tfl: Vec<Lanes>,
    /// Requested changes.
    pub pinned: Vec<Pinned>,
    /// Mask of the levels, as factors; empty without a mask.
    open: Vec<Lanes>,
}

impl State {
    /// State before the first step.
    pub fn new(
        block: &Block,
        reach: &Reach,
        request: &Request<'_>,
        options: &Options,
        signals: &Signals<'_>,
    ) -> Self {
        let gather = |value: &dyn Fn(usize) -> f64| {
            let mut lanes = [0.0; WIDTH];
            lanes.iter_mut().zip(&block.cells).for_each(|(out, &cell)| *out = value(cell as usize));
            lanes
        };
        let open: Vec<Lanes> = request.mask.map_or_else(Vec::new, |mask| {
            let factor = |gene: usize| gather(&|cell| f64::from(u8::from(mask[[cell, gene]])));
            reach.levels.members.iter().map(|&gene| factor(gene)).collect()
        });
        let base = transposed(request.expression, &block.cells, &reach.moving.members);
        let mut delta = vec![[0.0; WIDTH]; base.len()];
        let mut pinned = Vec::new();
        for (j, &gene) in request.targets.iter().enumerate() {
            let Some(slot) = reach.moving.place(gene) else { continue };
            let mut held = [false; WIDTH];
            held.iter_mut().zip(&block.cells).for_each(|(h, &cell)| *h = request.cells[[cell as usize, j]]);
            let change: Lanes =
                std::array::from_fn(|l| if held[l] { request.desired[j] - base[slot][l] } else { 0.0 });
            delta[slot] = change;
            if options.rules.pin == Pin::Nonzero {
                held = std::array::from_fn(|l| change[l] != 0.0);
            }
            pinned.push(Pinned { slot, change, held });
        }
        let mut levels = transposed(request.expression, &block.cells, &reach.levels.members);
        levels.iter_mut().flatten().for_each(|x| *x = filtered(*x, options.rules.min_expression));
        close(&mut levels, &open);
        let source = |cell, ligand| match options.rules.lr_source {
            LrSource::Baseline => signals.current(cell, ligand),
            LrSource::Evolving => signals.lr_table(cell, ligand),
        };
        let lr = reach.lr.members.iter().map(|&ligand| gather(&|cell| source(cell, ligand))).collect();
        let tfl = reach.tfl.members.iter().map(|&l| gather(&|cell| signals.tfl_table(cell, l))).collect();
        let sensed = vec![[0.0; WIDTH]; signals.senders.moving.len()];
        Self { n_cells: block.cells.len(), base, delta, sensed, levels, lr, tfl, pinned, open }
    }

    /// Simulated expression of a gene that can change.
    pub fn simulated(&self, slot: usize, lane: usize) -> f64 {
        self.base[slot][lane] + self.delta[slot][lane]
    }

    /// Take over the received changes; tells which genes have a change in the block as the model sees it.
    pub fn sense(&mut self, block: &Block, signals: &Signals<'_>) -> Vec<bool> {
        for (lanes, &(ligand, _)) in self.sensed.iter_mut().zip(&signals.senders.moving) {
            for (lane, &cell) in lanes.iter_mut().zip(&block.cells) {
                *lane = signals.change[[cell as usize, ligand]];
            }
        }
        (0..self.delta.len()).map(|slot| self.change(slot, signals).iter().any(|&d| d != 0.0)).collect()
    }

    /// Change of a gene as the model sees it: what is received of a ligand, else its own.
    pub fn change(&self, slot: usize, signals: &Signals<'_>) -> &Lanes {
        match signals.sensed_at[slot] {
            Some(place) => &self.sensed[place],
            None => &self.delta[slot],
        }
    }

    /// Move what the derivatives depend on to the current state, before the changes of the next one are set.
    pub fn follow(&mut self, block: &Block, reach: &Reach, options: &Options, signals: &Signals<'_>) {
        for (place, &gene) in reach.levels.members.iter().enumerate() {
            let Some(slot) = reach.moving.place(gene) else { continue };
            for lane in 0..WIDTH {
                self.levels[place][lane] = filtered(self.simulated(slot, lane), options.rules.min_expression);
            }
            if let Some(open) = self.open.get(place) {
                self.levels[place].iter_mut().zip(open).for_each(|(x, o)| *x *= o);
            }
        }
        if options.rules.lr_source == LrSource::Evolving {
            for (lanes, &ligand) in self.lr.iter_mut().zip(&reach.lr.members) {
                for (value, &cell) in lanes.iter_mut().zip(&block.cells) {
                    *value = signals.current(cell as usize, ligand);
                }
            }
        }
    }
}

/// Lanes of some columns of a table, cell by cell in small groups so that both sides are read in order.
pub(crate) fn transposed(table: ArrayView2<f64>, cells: &[u32], columns: &[usize]) -> Vec<Lanes> {
    const GROUP: usize = 8;
    let mut out = vec![[0.0; WIDTH]; columns.len()];
    for (group, cells) in cells.chunks(GROUP).enumerate() {
        let mut rows = [table.row(cells[0] as usize); GROUP];
        rows.iter_mut().zip(cells).for_each(|(row, &cell)| *row = table.row(cell as usize));
        for (lanes, &column) in out.iter_mut().zip(columns) {
            let lanes = &mut lanes[group * GROUP..][..cells.len()];
            lanes.iter_mut().zip(&rows).for_each(|(lane, row)| *lane = row[column]);
        }
    }
    out
}

fn close(levels: &mut [Lanes], open: &[Lanes]) {
    for (levels, open) in levels.iter_mut().zip(open) {
        levels.iter_mut().zip(open).for_each(|(x, o)| *x *= o);
    }
}
