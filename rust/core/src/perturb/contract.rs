//! Product of the features of a block with the betas its cells share.
//!
//! The change of a target is linear in the features of the cell, so a group of cells needs one matrix
//! product, features x betas, and the derivatives are never formed. Betas are packed once per model, eight
//! targets per panel, without the lines that are zero for all eight; a step then picks the lines whose
//! feature is not zero.

use super::features::{Feature, fill};
use super::layout::{Layout, WIDTH};
use super::model::{Target, Term};
use super::state::State;
use crate::gemm::{DEPTH, LANES, Pick, ROWS, Tile, multiply_picked};

/// Betas of eight targets in one group.
#[derive(Debug, Clone)]
pub(crate) struct Panel {
    /// Features with a beta that is not zero, ascending.
    features: Vec<u32>,
    /// Their betas.
    lines: Vec<[f64; ROWS]>,
}

/// Lines of a panel that a step uses, chunk of [`DEPTH`] features after chunk.
#[derive(Debug, Clone)]
pub(crate) struct Picked {
    picks: Vec<Pick>,
    ends: Vec<usize>,
}

/// Betas of the `shared` targets for every group.
pub(crate) fn pack(
    targets: &[Target],
    shared: &[usize],
    features: &[Term],
    layout: &Layout,
    maps: &[Vec<i32>],
) -> Vec<Vec<Panel>> {
    let place = |term: Term| features.partition_point(|&f| f < term);
    let places: Vec<Vec<Option<usize>>> =
        targets.iter().map(|target| target.terms.iter().map(|t| t.map(place)).collect()).collect();
    let mut line_of = vec![usize::MAX; features.len()];
    let mut panel = |cell: usize, eight: &[usize]| {
        let mut entries: Vec<(usize, usize, f64)> = Vec::new();
        for (row, &t) in eight.iter().enumerate() {
            let Ok(r) = usize::try_from(maps[targets[t].map][cell]) else { continue };
            let betas = targets[t].betas.row(r);
            let present = places[t].iter().zip(betas).filter_map(|(place, &b)| place.map(|p| (p, row, b)));
            entries.extend(present.filter(|&(_, _, b)| b != 0.0));
        }
        let mut used: Vec<u32> = entries.iter().map(|e| e.0 as u32).collect();
        used.sort_unstable();
        used.dedup();
        used.iter().enumerate().for_each(|(line, &feature)| line_of[feature as usize] = line);
        let mut lines = vec![[0.0; ROWS]; used.len()];
        entries.iter().for_each(|&(feature, row, beta)| lines[line_of[feature]][row] += beta);
        Panel { features: used, lines }
    };
    let groups = layout.representatives.iter();
    groups.map(|&cell| shared.chunks(ROWS).map(|eight| panel(cell as usize, eight)).collect()).collect()
}

/// Lines of every panel whose features are among `active` (ascending positions among the `n` of the model).
pub(crate) fn pick(panels: &[Panel], active: &[usize], n: usize) -> Vec<Picked> {
    let mut place = vec![usize::MAX; n];
    active.iter().enumerate().for_each(|(k, &feature)| place[feature] = k);
    let chunks = active.len().div_ceil(DEPTH);
    let of_panel = |panel: &Panel| {
        let mut picked = Picked { picks: Vec::new(), ends: vec![0; chunks] };
        for (line, &feature) in panel.features.iter().enumerate() {
            let k = place[feature as usize];
            if k != usize::MAX {
                picked.picks.push(Pick { left: line as u32, right: (k % DEPTH) as u32 });
                picked.ends[k / DEPTH] = picked.picks.len();
            }
        }
        for chunk in 1..chunks {
            picked.ends[chunk] = picked.ends[chunk].max(picked.ends[chunk - 1]);
        }
        picked
    };
    panels.iter().map(of_panel).collect()
}

/// Changes of the shared targets in one block.
#[derive(Debug, Default)]
pub(crate) struct Product {
    panels: usize,
    tiles: Vec<Tile>,
    features: Vec<[f64; LANES]>,
}

impl Product {
    /// Multiply the active features of a block with the betas of its group.
    pub fn compute(
        &mut self,
        betas: &[Panel],
        picked: &[Picked],
        active: &[Feature],
        state: &State,
        scale: f64,
    ) {
        self.panels = state.n_cells.div_ceil(LANES);
        self.tiles.clear();
        self.tiles.resize(betas.len() * self.panels, [[0.0; LANES]; ROWS]);
        self.features.resize(WIDTH / LANES * DEPTH, [0.0; LANES]);
        for (chunk, features) in active.chunks(DEPTH).enumerate() {
            fill(features, state, scale, self.panels, &mut self.features);
            for (p, (panel, picked)) in betas.iter().zip(picked).enumerate() {
                let first = if chunk == 0 { 0 } else { picked.ends[chunk - 1] };
                let picks = &picked.picks[first..picked.ends[chunk]];
                for cells in 0..self.panels {
                    let right = &self.features[cells * DEPTH..][..DEPTH];
                    multiply_picked(&panel.lines, right, picks, &mut self.tiles[p * self.panels + cells]);
                }
            }
        }
    }

    /// Write the changes of the `i`-th shared target.
    pub fn read(&self, i: usize, out: &mut [f64; WIDTH]) {
        let (chunks, _) = out.as_chunks_mut::<LANES>();
        for (panel, lanes) in chunks.iter_mut().enumerate().take(self.panels) {
            *lanes = self.tiles[i / ROWS * self.panels + panel][i % ROWS];
        }
    }
}
