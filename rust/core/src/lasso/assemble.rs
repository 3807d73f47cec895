//! Second moments of every target of a batch in one cluster: shared columns once, the others per target.

use super::design::ClusterTable;
use super::moments::Moments;
use super::plan::{OWN, Plan};
use super::single::take_mean;
use super::syrk::{PANEL, Packed, ROWS};
use rayon::prelude::*;
use std::ops::Range;

/// Products of the shared columns with each other, with the targets that have no other column, and with one.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    means: Vec<f64>,
    stride: usize,
    /// Row of each target in the blocks, or a mark.
    target_row: Vec<usize>,
    /// Row of the constant column.
    ones_row: usize,
    /// One block per set of cells: rows shared columns, targets, ones; columns shared columns.
    blocks: Vec<Vec<f64>>,
}

/// Target values of a cluster, centered.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) values: Vec<f64>,
    pub(crate) mean: f64,
}

impl Target {
    pub(crate) fn new(mut values: Vec<f64>) -> Self {
        let mean = take_mean(&mut values);
        Self { values, mean }
    }
}

/// Moments of one target: one entry per set of cells, measured from the means of the cluster.
#[derive(Debug)]
pub(crate) struct TargetMoments {
    pub(crate) means: Vec<f64>,
    pub(crate) sets: Vec<Moments>,
}

impl Shared {
    /// Multiply the shared columns in the cells of `table`, cut into `sets` (consecutive ranges of its cells).
    /// `rows` are the targets whose products are wanted here. `go_on` is asked between blocks of cells.
    pub(crate) fn new(
        plan: &Plan,
        table: &ClusterTable,
        targets: &[Target],
        rows: &[usize],
        sets: &[Range<usize>],
        go_on: &(dyn Fn() -> bool + Sync),
    ) -> Option<Self> {
        let n_shared = plan.shared.len();
        let means: Vec<f64> = plan.shared.par_iter().map(|&id| mean_of(table, plan, id)).collect();
        let stride = n_shared.div_ceil(PANEL) * PANEL;
        let n_rows = n_shared + rows.len() + 1;
        let mut target_row = vec![OWN; targets.len()];
        rows.iter().enumerate().for_each(|(k, &t)| target_row[t] = n_shared + k);
        let mut packed = Packed::new(n_rows);
        let mut blocks = Vec::with_capacity(sets.len());
        for set in sets {
            let mut block = vec![0.0; n_rows.div_ceil(PANEL) * PANEL * stride];
            for start in set.clone().step_by(ROWS) {
                if !go_on() {
                    return None;
                }
                let end = (start + ROWS).min(set.end);
                packed.pack(end - start, |j, out| {
                    if j < n_shared {
                        table.fill(plan.unique[plan.shared[j]], start, out);
                        out.iter_mut().for_each(|v| *v -= means[j]);
                    } else if j < n_rows - 1 {
                        out.copy_from_slice(&targets[rows[j - n_shared]].values[start..end]);
                    } else {
                        out.fill(if j == n_rows - 1 { 1.0 } else { 0.0 });
                    }
                });
                block.par_chunks_mut((PANEL * stride).max(1)).enumerate().for_each(|(j, out)| {
                    packed.accumulate(j, 0, (j + 1).min(stride / PANEL), out);
                });
            }
            blocks.push(block);
        }
        Some(Self { means, stride, target_row, ones_row: n_rows - 1, blocks })
    }

    fn product(&self, set: usize, row: usize, column: usize) -> f64 {
        self.blocks[set][row * self.stride + column]
    }
}

fn mean_of(table: &ClusterTable, plan: &Plan, id: usize) -> f64 {
    let mut values = vec![0.0; table.n_cells()];
    table.fill(plan.unique[id], 0, &mut values);
    take_mean(&mut values)
}

/// Products of the columns of one target that are not shared.
struct Own {
    /// Packed position of each column of the target.
    position: Vec<usize>,
    /// Packed positions below this have a row.
    n_rows: usize,
    stride: usize,
    blocks: Vec<Vec<f64>>,
    y: usize,
    ones: usize,
}

impl Own {
    /// Order of packing: own columns, target, ones, shared columns; the first three kinds have rows.
    fn new(
        plan: &Plan,
        t: usize,
        own: &[usize],
        table: &ClusterTable,
        target: &Target,
        means: &[f64],
        sets: &[Range<usize>],
    ) -> Self {
        let ids = &plan.targets[t];
        let shared: Vec<usize> = (0..ids.len()).filter(|&k| plan.rank[ids[k]] != OWN).collect();
        let (y, ones) = (own.len(), own.len() + 1);
        let mut position = vec![0; ids.len()];
        own.iter().enumerate().for_each(|(at, &k)| position[k] = at);
        shared.iter().enumerate().for_each(|(at, &k)| position[k] = ones + 1 + at);
        let n_packed = ones + 1 + shared.len();
        let row_panels = (ones + 1).div_ceil(PANEL);
        let panels = n_packed.div_ceil(PANEL);
        let stride = panels * PANEL;
        let mut packed = Packed::new(n_packed);
        let mut values = vec![0.0; ROWS];
        let mut blocks = Vec::with_capacity(sets.len());
        for set in sets {
            let mut block = vec![0.0; row_panels * PANEL * stride];
            for start in set.clone().step_by(ROWS) {
                let end = (start + ROWS).min(set.end);
                let values = &mut values[..end - start];
                packed.start(end - start);
                for (k, &id) in ids.iter().enumerate() {
                    table.fill(plan.unique[id], start, values);
                    values.iter_mut().for_each(|v| *v -= means[k]);
                    packed.set(position[k], values);
                }
                packed.set(y, &target.values[start..end]);
                values.fill(1.0);
                packed.set(ones, values);
                for (j, out) in block.chunks_mut(PANEL * stride).enumerate() {
                    packed.accumulate(j, 0, j + 1, out);
                    packed.accumulate(j, row_panels, panels, out);
                }
            }
            blocks.push(block);
        }
        Self { position, n_rows: row_panels * PANEL, stride, blocks, y, ones }
    }

    /// Product of two packed positions of which at least one has a row.
    fn product(&self, set: usize, a: usize, b: usize) -> f64 {
        let (row, column) = if a.max(b) < self.n_rows { (a.max(b), a.min(b)) } else { (a.min(b), a.max(b)) };
        self.blocks[set][row * self.stride + column]
    }
}

/// Moments of target `t` in each of `sets`.
pub(crate) fn target_moments(
    plan: &Plan,
    t: usize,
    table: &ClusterTable,
    target: &Target,
    shared: &Shared,
    sets: &[Range<usize>],
) -> TargetMoments {
    let ids = &plan.targets[t];
    let own = plan.own(t);
    let means: Vec<f64> = ids
        .iter()
        .map(|&id| if plan.rank[id] == OWN { mean_of(table, plan, id) } else { shared.means[plan.rank[id]] })
        .collect();
    let products = (!own.is_empty()).then(|| Own::new(plan, t, &own, table, target, &means, sets));
    let ranks: Vec<usize> = ids.iter().map(|&id| plan.rank[id]).collect();
    let gather = |(s, set): (usize, &Range<usize>)| {
        let values = &target.values[set.clone()];
        let mut out = Moments::zeros(ids.len());
        out.n = set.len();
        out.y = values.iter().sum();
        out.yy = values.iter().map(|v| v * v).sum();
        for i in 0..ids.len() {
            for j in 0..=i {
                let product = match &products {
                    Some(own) if ranks[i] == OWN || ranks[j] == OWN => {
                        own.product(s, own.position[i], own.position[j])
                    }
                    _ => shared.product(s, ranks[i].max(ranks[j]), ranks[i].min(ranks[j])),
                };
                out.xx[i * ids.len() + j] = product;
                out.xx[j * ids.len() + i] = product;
            }
            (out.x[i], out.xy[i]) = match &products {
                Some(own) => {
                    (own.product(s, own.ones, own.position[i]), own.product(s, own.y, own.position[i]))
                }
                None => (
                    shared.product(s, shared.ones_row, ranks[i]),
                    shared.product(s, shared.target_row[t], ranks[i]),
                ),
            };
        }
        out
    };
    let sets = sets.iter().enumerate().map(gather).collect();
    TargetMoments { means, sets }
}
