//! Spreading of the ligands onto the nodes, in parallel without races and in a fixed order.

use super::lanes::{Lanes, pad, prefetch};
use super::lattice::{Block, Lattice};
use super::mesh::Stencils;
use super::meter::Meter;
use super::panel::scatter;
use super::{Columns, Job};
use rayon::prelude::*;

/// From this many strips on, every second strip is spread at the same time straight into the grid;
/// with fewer, parts of the cells get nodes of their own, which are added up afterwards.
const STRIPS: usize = 16;
/// Parts of the cells when the grid is small.
const PARTS: usize = 16;
/// Lane groups of weights and of cells held at a time: 16 KiB each, the first cache level.
const SCRATCH: usize = 512;

/// Cells whose ligands are asked for ahead of their use: their rows fit into the first cache level.
const AHEAD: usize = 32;

/// Spreads blocks of cells onto planes of nodes.
pub(super) struct Spreader<'a> {
    pub(super) lattice: &'a Lattice,
    pub(super) stencils: &'a Stencils,
    pub(super) job: Job<'a>,
    pub(super) columns: Columns,
    pub(super) meter: &'a Meter<'a>,
}

/// Buffers of one worker.
#[derive(Default)]
struct Scratch {
    cells: Vec<Lanes>,
    weights: Vec<Lanes>,
    targets: Vec<usize>,
}

impl Spreader<'_> {
    /// Node values of all cells, node by node.
    pub(super) fn spread(&self) -> Vec<Lanes> {
        let groups = self.columns.groups();
        let mut grid = vec![Lanes::ZERO; self.lattice.size() * groups];
        let height = self.lattice.widths[0];
        if self.lattice.nodes[0] / height >= STRIPS {
            let plane = height * self.lattice.plane() * groups;
            self.spread_strips(&mut grid, 0, height);
            self.spread_strips(&mut grid[plane..], 1, height);
        } else {
            self.spread_parts(&mut grid);
        }
        grid
    }

    /// Every second strip of `height` planes of bins, from strip `parity` on, into `grid` that starts there.
    ///
    /// A strip touches `height + width - 1` planes of nodes, fewer than two strips, so none share a node.
    fn spread_strips(&self, grid: &mut [Lanes], parity: usize, height: usize) {
        let chunk = 2 * height * self.lattice.plane() * self.columns.groups();
        grid.par_chunks_mut(chunk).enumerate().for_each_init(Scratch::default, |scratch, (k, nodes)| {
            let first = (2 * k + parity) * height;
            let blocks = &self.lattice.blocks;
            let start = blocks.partition_point(|block| block.plane < first);
            let end = blocks.partition_point(|block| block.plane < first + height);
            self.spread_blocks(&blocks[start..end], nodes, first, scratch);
        });
    }

    /// Equal parts of the cells onto planes of their own, then all parts added in order.
    fn spread_parts(&self, grid: &mut [Lanes]) {
        let blocks = &self.lattice.blocks;
        let plane = self.lattice.plane() * self.columns.groups();
        let size = blocks.len().div_ceil(PARTS).max(64);
        let parts: Vec<(usize, Vec<Lanes>)> = blocks
            .par_chunks(size)
            .map(|part| {
                let (first, last) = (part[0].plane, part[part.len() - 1].plane);
                let mut nodes = vec![Lanes::ZERO; (last - first + self.lattice.widths[0]) * plane];
                self.spread_blocks(part, &mut nodes, first, &mut Scratch::default());
                (first, nodes)
            })
            .collect();
        grid.par_chunks_mut(plane).enumerate().for_each(|(at, nodes)| {
            for (first, part) in &parts {
                let Some(part) = at.checked_sub(*first).and_then(|k| part.get(k * plane..(k + 1) * plane))
                else {
                    continue;
                };
                for (node, add) in nodes.iter_mut().zip(part) {
                    for (value, a) in node.0.iter_mut().zip(add.0) {
                        *value += a;
                    }
                }
            }
        });
    }

    /// Add blocks, sorted by bin, to `nodes`, whose first plane is `first_plane`.
    fn spread_blocks(
        &self,
        blocks: &[Block],
        nodes: &mut [Lanes],
        first_plane: usize,
        scratch: &mut Scratch,
    ) {
        let groups = self.columns.groups();
        let stencil = self.lattice.stencil();
        let most = (SCRATCH / stencil).min(SCRATCH / (Lanes::WIDTH * groups)).max(1);
        let base = first_plane * self.lattice.plane();
        let last = blocks.last().map_or(0, |block| block.first + block.count);
        let mut asked = blocks.first().map_or(0, |block| block.first);
        let mut rest = blocks;
        let mut steps = 0;
        while let Some(first) = rest.first().filter(|_| self.meter.running()) {
            let run = rest.iter().take(most).take_while(|block| block.node == first.node).count();
            let (now, later) = rest.split_at(run);
            rest = later;
            let cells: usize = now.iter().map(|block| block.count).sum();
            scratch.cells.resize(cells * groups, Lanes::ZERO);
            scratch.weights.resize(run * stencil, Lanes::ZERO);
            let rows = &self.lattice.rows[first.first..first.first + cells];
            for (row, lanes) in rows.iter().zip(scratch.cells.chunks_mut(groups)) {
                pad(self.columns.of(self.job.row(*row)), lanes);
            }
            for (block, weights) in now.iter().zip(scratch.weights.chunks_mut(stencil)) {
                self.stencils.weights(self.lattice, block, weights);
            }
            // Rows are asked for once, ahead of the product that hides the wait for them.
            let soon = last.min(first.first + cells + AHEAD);
            if asked < soon {
                let rows = &self.lattice.rows[asked..soon];
                rows.iter().for_each(|row| prefetch(self.columns.of(self.job.row(*row))));
                asked = soon;
            }
            scratch.targets.clear();
            scratch.targets.extend(self.stencils.nodes.iter().map(|node| first.node - base + node));
            scatter(nodes, &scratch.targets, &scratch.weights, &scratch.cells, groups);
            steps += cells * stencil;
            if steps > 1 << 20 {
                if !self.meter.advance(steps) {
                    return;
                }
                steps = 0;
            }
        }
        self.meter.advance(steps);
    }
}
