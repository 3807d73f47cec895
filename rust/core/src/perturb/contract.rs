//! Product of the features of a block with the betas of its cells.
//!
//! The change of a target is linear in the features of the cell, so a group of cells that share their betas
//! needs one matrix product, features x betas, and the derivatives are never formed. Shared betas are packed
//! once per model, eight targets per panel, without the lines that are zero for all eight; a step then picks
//! the lines whose feature is not zero. Targets with betas of their own in every cell take the same features
//! times one row of betas per cell.

use super::features::{Feature, Reach, Values, fill};
use super::layout::{Block, Layout, WIDTH};
use super::model::{RegulatoryModel, Target, Term};
use super::state::Lanes;
use crate::gemm::{DEPTH, LANES, Pick, ROWS, Tile, multiply_picked};
use rayon::prelude::*;

/// Betas of eight targets in one group.
#[derive(Debug, Clone)]
pub(crate) struct Panel {
    /// Features with a beta that is not zero, ascending.
    features: Vec<u32>,
    /// Their betas.
    lines: Vec<[f64; ROWS]>,
}

/// Lines of a panel, or columns of a target, that a step uses, chunk of [`DEPTH`] features after chunk.
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

/// Columns of the targets in `own` with the features they multiply, ascending by feature.
pub(crate) fn columns(targets: &[Target], own: &[usize], features: &[Term]) -> Vec<Vec<(u32, u32)>> {
    let of_target = |&t: &usize| {
        let terms = targets[t].terms.iter().enumerate();
        let mut columns: Vec<(u32, u32)> = terms
            .filter_map(|(column, term)| {
                term.map(|term| (column as u32, features.partition_point(|&f| f < term) as u32))
            })
            .collect();
        columns.sort_unstable_by_key(|&(column, feature)| (feature, column));
        columns
    };
    own.iter().map(of_target).collect()
}

/// What a step multiplies: features that are not zero, and the betas that meet them.
pub(crate) struct Plan {
    features: Vec<Feature>,
    /// Lines of every panel of every group.
    shared: Vec<Vec<Picked>>,
    /// Columns of every target with betas of its own.
    own: Vec<Picked>,
}

impl Plan {
    /// Plan of a step in which only the features at `active` among the model's have a value.
    pub fn new(model: &RegulatoryModel, reach: &Reach, active: &[usize]) -> Self {
        let mut place = vec![usize::MAX; model.features.len()];
        active.iter().enumerate().for_each(|(k, &feature)| place[feature] = k);
        let chunks = active.len().div_ceil(DEPTH);
        let pick = |entries: &mut dyn Iterator<Item = (u32, u32)>| {
            let mut picked = Picked { picks: Vec::new(), ends: vec![0; chunks] };
            for (left, feature) in entries {
                let k = place[feature as usize];
                if k != usize::MAX {
                    picked.picks.push(Pick { left, right: (k % DEPTH) as u32 });
                    picked.ends[k / DEPTH] = picked.picks.len();
                }
            }
            for chunk in 1..chunks {
                picked.ends[chunk] = picked.ends[chunk].max(picked.ends[chunk - 1]);
            }
            picked
        };
        let lines =
            |panel: &Panel| pick(&mut panel.features.iter().zip(0..).map(|(&feature, line)| (line, feature)));
        let shared = model.panels.par_iter().map(|panels| panels.iter().map(lines).collect()).collect();
        let own = model.own_columns.iter().map(|columns| pick(&mut columns.iter().copied())).collect();
        let features = active.iter().filter_map(|&f| reach.features[f]).collect();
        Self { features, shared, own }
    }
}

impl Picked {
    fn chunk(&self, chunk: usize) -> &[Pick] {
        let first = if chunk == 0 { 0 } else { self.ends[chunk - 1] };
        &self.picks[first..self.ends[chunk]]
    }
}

/// Changes of the targets in one block.
#[derive(Debug, Default)]
pub(crate) struct Product {
    panels: usize,
    tiles: Vec<Tile>,
    own: Vec<Lanes>,
    features: Vec<[f64; LANES]>,
}

impl Product {
    /// Multiply the features of a block with the betas of its cells.
    pub fn compute(&mut self, model: &RegulatoryModel, block: &Block, plan: &Plan, values: &impl Values) {
        let (betas, picked) = (&model.panels[block.group], &plan.shared[block.group]);
        self.panels = block.cells.len().div_ceil(LANES);
        self.tiles.clear();
        self.tiles.resize(betas.len() * self.panels, [[0.0; LANES]; ROWS]);
        self.own.clear();
        self.own.resize(model.own.len(), [0.0; WIDTH]);
        self.features.resize(WIDTH / LANES * DEPTH, [0.0; LANES]);
        for (chunk, features) in plan.features.chunks(DEPTH).enumerate() {
            fill(features, values, self.panels, &mut self.features);
            for (p, (panel, picked)) in betas.iter().zip(picked).enumerate() {
                for cells in 0..self.panels {
                    let right = &self.features[cells * DEPTH..][..DEPTH];
                    let tile = &mut self.tiles[p * self.panels + cells];
                    multiply_picked(&panel.lines, right, picked.chunk(chunk), tile);
                }
            }
            for ((&t, picked), out) in model.own.iter().zip(&plan.own).zip(&mut self.own) {
                for (lane, &cell) in block.cells.iter().enumerate() {
                    let (betas, values) =
                        (model.betas_at(t, cell as usize), &self.features[lane / LANES * DEPTH..]);
                    if !betas.is_empty() {
                        let product =
                            |p: &Pick| betas[p.left as usize] * values[p.right as usize][lane % LANES];
                        out[lane] += picked.chunk(chunk).iter().map(product).sum::<f64>();
                    }
                }
            }
        }
    }

    /// Hand the changes of every target to `write(target, lanes)`.
    pub fn read(&self, model: &RegulatoryModel, mut write: impl FnMut(usize, &Lanes)) {
        for (i, &t) in model.shared.iter().enumerate() {
            let mut lanes = [0.0; WIDTH];
            let (chunks, _) = lanes.as_chunks_mut::<LANES>();
            for (panel, out) in chunks.iter_mut().enumerate().take(self.panels) {
                *out = self.tiles[i / ROWS * self.panels + panel][i % ROWS];
            }
            write(t, &lanes);
        }
        model.own.iter().zip(&self.own).for_each(|(&t, lanes)| write(t, lanes));
    }
}
