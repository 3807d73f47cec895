//! Sum over pairs: weights of 8 x 64 pairs at a time, then a register-blocked product with the ligands.

use super::buckets::Buckets;
use super::kernel::{Coordinates, Shape, pair_weights};
use super::lanes::{Lanes, pad};
use super::meter::Meter;
use super::output::OutputRows;
use super::panel::{Rows, accumulate};
use super::{Columns, Job};
use rayon::prelude::*;
use std::ops::Range;

/// Targets handled together: their sums and a chunk of sources stay in the first two cache levels.
const TARGETS: usize = 64;
/// Sources whose weights are held at a time.
const SOURCES: usize = 64;
/// Sources between two looks at the wish to stop.
const STRIDE: usize = 16 * SOURCES;

/// Exact sum over all pairs within reach.
#[derive(Debug)]
pub(super) struct Direct {
    shape: Shape,
    cells_in_sample: usize,
    /// Row of the caller's matrices of each sorted cell.
    rows: Vec<usize>,
    sorted: Coordinates,
    blocks: Vec<Block>,
    pairs: usize,
}

/// Consecutive sorted cells with the runs of cells they can hear.
#[derive(Debug)]
struct Block {
    targets: Range<usize>,
    sources: Vec<Range<usize>>,
}

impl Direct {
    /// Plan for the cells at `points`, found in `rows` of the caller's matrices.
    pub(super) fn new(points: &Coordinates, rows: &[usize], cells_in_sample: usize, shape: Shape) -> Self {
        if !shape.reach.is_finite() || points.widest_axis() <= shape.reach {
            let all = vec![Range { start: 0, end: points.len() }];
            let rows = rows.to_vec();
            return Self::sorted(
                points.clone(),
                rows,
                cells_in_sample,
                shape,
                &all,
                std::slice::from_ref(&all),
            );
        }
        let buckets = Buckets::new(points, shape.reach);
        let mut sorted = Coordinates::default();
        buckets.order.iter().for_each(|&i| sorted.push(points.at(i)));
        let rows = buckets.order.iter().map(|&i| rows[i]).collect();
        Self::sorted(sorted, rows, cells_in_sample, shape, &buckets.members, &buckets.neighbors)
    }

    fn sorted(
        sorted: Coordinates,
        rows: Vec<usize>,
        cells_in_sample: usize,
        shape: Shape,
        members: &[Range<usize>],
        neighbors: &[Vec<Range<usize>>],
    ) -> Self {
        let mut blocks = Vec::new();
        let mut pairs = 0;
        for (members, sources) in members.iter().zip(neighbors) {
            for start in members.clone().step_by(TARGETS) {
                let targets = start..members.end.min(start + TARGETS);
                pairs += targets.len() * sources.iter().map(Range::len).sum::<usize>();
                blocks.push(Block { targets, sources: sources.clone() });
            }
        }
        Self { shape, cells_in_sample, rows, sorted, blocks, pairs }
    }

    /// Steps that one pass over the ligands reports.
    pub(super) fn steps(&self) -> usize {
        self.pairs
    }

    /// Add nothing, write every row of the plan once, for the given columns.
    pub(super) fn apply(&self, job: Job<'_>, columns: Columns, out: &OutputRows<'_>, meter: &Meter<'_>) {
        let groups = columns.groups();
        let mut values = vec![Lanes::ZERO; self.rows.len() * groups];
        values.par_chunks_mut(groups).zip(&self.rows).with_min_len(256).for_each(|(lanes, &row)| {
            pad(columns.of(job.row(row)), lanes);
        });
        let factor = job.scale / self.cells_in_sample as f64;
        self.blocks.par_iter().for_each_init(Vec::new, |sums, block| {
            if !meter.running() {
                return;
            }
            sums.clear();
            sums.resize(block.targets.len() * groups, Lanes::ZERO);
            if !self.sum_block(block, &values, groups, sums, meter) {
                return;
            }
            for (row, sum) in self.rows[block.targets.clone()].iter().zip(sums.chunks(groups)) {
                // SAFETY: every row of the caller's matrix is in one block of one engine.
                unsafe { out.write(*row, columns, |out| scaled(sum, factor, out)) };
            }
        });
    }

    /// Weighted sums of the sources of a block; `false` when the caller asked to stop.
    fn sum_block(
        &self,
        block: &Block,
        values: &[Lanes],
        groups: usize,
        sums: &mut [Lanes],
        meter: &Meter<'_>,
    ) -> bool {
        let mut weights = [Lanes::ZERO; SOURCES];
        for run in &block.sources {
            for stride in run.clone().step_by(STRIDE) {
                let stride = stride..run.end.min(stride + STRIDE);
                for first in stride.clone().step_by(SOURCES) {
                    let weights = &mut weights[..SOURCES.min(stride.end - first)];
                    for (eight, sums) in sums.chunks_mut(Lanes::WIDTH * groups).enumerate() {
                        let count = sums.len() / groups;
                        let targets = self.sorted.eight(block.targets.start + eight * Lanes::WIDTH, count);
                        pair_weights(self.shape, &targets, &self.sorted, first, weights);
                        let rows = Rows { values, groups, bases: &[first], inner: weights.len() };
                        accumulate(sums, count, weights, rows);
                    }
                }
                if !meter.advance(stride.len() * block.targets.len()) {
                    return false;
                }
            }
        }
        true
    }
}

fn scaled(sum: &[Lanes], factor: f64, out: &mut [f64]) {
    for (values, lanes) in out.chunks_mut(Lanes::WIDTH).zip(sum) {
        for (value, lane) in values.iter_mut().zip(&lanes.0) {
            *value = lane * factor;
        }
    }
}
