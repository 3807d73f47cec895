//! Second moments of every target of a batch in one cluster: shared columns once, the others per target.

use super::design::ClusterTable;
use super::moments::Moments;
use super::plan::{OWN, Plan};
use super::quadratic::{LANES as PANEL, sum};
use super::single::take_mean;
use super::syrk::{Packed, ROWS};
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
            mirror(&mut block, n_shared, stride);
            blocks.push(block);
        }
        Some(Self { means, stride, target_row, ones_row: n_rows - 1, blocks })
    }

    fn row(&self, set: usize, row: usize) -> &[f64] {
        &self.blocks[set][row * self.stride..(row + 1) * self.stride]
    }
}

/// Fill the upper half of the leading `n` rows and columns from the lower one.
fn mirror(block: &mut [f64], n: usize, stride: usize) {
    for i in 0..n {
        for j in 0..i {
            block[j * stride + i] = block[i * stride + j];
        }
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
    let ranks: Vec<usize> = plan.targets[t].iter().map(|&id| plan.rank[id]).collect();
    let own = plan.own(t);
    let mean = |(&id, &rank): (&usize, &usize)| {
        if rank == OWN { mean_of(table, plan, id) } else { shared.means[rank] }
    };
    let means: Vec<f64> = plan.targets[t].iter().zip(&ranks).map(mean).collect();
    let own = (!own.is_empty()).then(|| Own::new(plan, t, &own, table, target, &means, sets));
    let gather = Gather { pieces: pieces(&ranks), ranks, shared, own, target_row: shared.target_row.get(t) };
    let sets = sets.iter().enumerate().map(|(s, set)| gather.moments(s, &target.values[set.clone()]));
    TargetMoments { means, sets: sets.collect() }
}

/// Neighboring columns of a target that come from one place.
#[derive(Debug, Clone, Copy)]
enum Piece {
    /// So many shared columns from this rank on.
    Shared(usize, usize),
    /// The target's own column at this position.
    Own(usize),
}

fn pieces(ranks: &[usize]) -> Vec<Piece> {
    let mut out: Vec<Piece> = Vec::new();
    for (k, &rank) in ranks.iter().enumerate() {
        match out.last_mut() {
            _ if rank == OWN => out.push(Piece::Own(k)),
            Some(Piece::Shared(first, count)) if *first + *count == rank => *count += 1,
            _ => out.push(Piece::Shared(rank, 1)),
        }
    }
    out
}

/// Where the products of one target are.
struct Gather<'a> {
    ranks: Vec<usize>,
    pieces: Vec<Piece>,
    shared: &'a Shared,
    own: Option<Own>,
    target_row: Option<&'a usize>,
}

impl Gather<'_> {
    fn moments(&self, set: usize, target: &[f64]) -> Moments {
        let p = self.ranks.len();
        let mut out = Moments::zeros(0);
        out.n = target.len();
        out.y = sum(target);
        out.yy = target.iter().map(|v| v * v).sum();
        out.xx.reserve_exact(p * p);
        for (i, &rank) in self.ranks.iter().enumerate() {
            match &self.own {
                Some(own) if rank == OWN => {
                    out.xx.extend((0..p).map(|j| own.product(set, own.position[i], own.position[j])));
                }
                own => self.extend_row(set, i, self.shared.row(set, rank), own.as_ref(), &mut out.xx),
            }
        }
        match (&self.own, self.target_row) {
            (Some(own), _) => {
                out.x = own.position.iter().map(|&at| own.product(set, own.ones, at)).collect();
                out.xy = own.position.iter().map(|&at| own.product(set, own.y, at)).collect();
            }
            (None, Some(&row)) if p > 0 => {
                let (ones, y) = (self.shared.row(set, self.shared.ones_row), self.shared.row(set, row));
                out.x = self.ranks.iter().map(|&rank| ones[rank]).collect();
                out.xy = self.ranks.iter().map(|&rank| y[rank]).collect();
            }
            _ => {}
        }
        out
    }

    /// Append the products of the shared column `i`, whose row among the shared ones is `row`.
    fn extend_row(&self, set: usize, i: usize, row: &[f64], own: Option<&Own>, out: &mut Vec<f64>) {
        for piece in &self.pieces {
            match (*piece, own) {
                (Piece::Shared(first, count), _) => out.extend_from_slice(&row[first..first + count]),
                (Piece::Own(k), Some(own)) => out.push(own.product(set, own.position[k], own.position[i])),
                (Piece::Own(_), None) => {}
            }
        }
    }
}
