//! The inner loop: how the counts of one spot are split among the types.

use super::digamma::exp_digamma;
use crate::widest;

/// Genes that are computed together: one register of the widest set.
pub(super) const LANES: usize = 16;
/// Genes per tile; tables are padded to whole tiles.
pub(super) const TILE: usize = 2 * LANES;
/// Types whose sums are kept in registers together.
const GROUP: usize = 4;
/// Shares below this take no part in a step: their counts would be below a hundredth of a count.
const NEGLIGIBLE: f64 = 1e-9;
/// Prior plus counts at which a share is 0.
const NOTHING: f64 = 1e-3;
/// Length of a long step. Plain steps shrink an error by factors from 0 to 1; a plain and a long one together by
/// (1 - x)(1 - LONG x) for x from 0 to 1, which lies between -0.57 and 1: errors that are slow to go go faster and
/// none grows.
const LONG: f64 = 4.0;
/// Part of a share that a long step leaves at least.
const LEFT: f64 = 0.1;

/// Values of the genes of one tile.
pub(super) type Tile = [[f32; LANES]; 2];

/// A tile with one value everywhere.
pub(super) const fn filled(value: f32) -> Tile {
    [[value; LANES]; 2]
}

/// Tile, half and lane of a gene.
pub(super) fn place(gene: usize) -> (usize, usize, usize) {
    (gene / TILE, gene % TILE / LANES, gene % LANES)
}

/// Shapes of the genes of one spot, or of all genes, tile by tile.
pub(super) struct Table<'a> {
    /// Tiles x (types + 1): the last line of each tile is 0.
    pub(super) lines: &'a [Tile],
    /// Background of each gene; 1 behind the last one.
    pub(super) background: &'a [Tile],
    /// Weighted counts of the spot; 0 behind the last gene.
    pub(super) counts: &'a [Tile],
}

/// Memory of one worker.
#[derive(Default)]
pub(super) struct Scratch {
    ratio: Vec<Tile>,
    active: Vec<usize>,
    share: Vec<f32>,
    sums: Vec<f64>,
    found: Vec<f64>,
    next: Vec<f64>,
}

/// Rules of the inner loop.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    pub(super) steps: usize,
    pub(super) tolerance: f64,
    /// Every second step goes [`LONG`] times as far.
    pub(super) long: bool,
}

/// Move the shares `z` (sum 1) of a spot to the posterior mean under the prior counts `alpha`.
pub(super) fn fit_spot(table: &Table, alpha: &[f64], z: &mut [f64], rules: Rules, scratch: &mut Scratch) {
    let Scratch { ratio, active, share, sums, found, next } = scratch;
    let types = z.len();
    ratio.resize(table.counts.len(), filled(0.0));
    found.resize(types, 0.0);
    next.resize(types, 0.0);
    for step in 0..rules.steps {
        active.clear();
        active.extend((0..types).filter(|&kind| z[kind] > NEGLIGIBLE));
        let n_active = active.len();
        active.resize(n_active.next_multiple_of(GROUP), types);
        share.clear();
        share.extend(active.iter().map(|&kind| if kind < types { z[kind] as f32 } else { 0.0 }));
        sums.clear();
        sums.resize(active.len(), 0.0);
        split(table.lines, types + 1, table.background, table.counts, active, share, ratio, sums);
        found.fill(0.0);
        for (&kind, &sum) in active[..n_active].iter().zip(sums.iter()) {
            found[kind] = z[kind] * sum;
        }
        for kind in 0..types {
            next[kind] = (found[kind] + alpha[kind]).max(NOTHING);
        }
        exp_digamma(next);
        let mut total = 0.0;
        for kind in 0..types {
            if found[kind] + alpha[kind] <= NOTHING {
                next[kind] = 0.0;
            }
            total += next[kind];
        }
        let scale = if total > 0.0 { 1.0 / total } else { 0.0 };
        let mut change = 0.0_f64;
        for kind in 0..types {
            next[kind] *= scale;
            change = change.max((next[kind] - z[kind]).abs());
        }
        if change < rules.tolerance {
            break;
        }
        if rules.long && step % 2 == 1 {
            stride(z, next);
        } else {
            z.copy_from_slice(next);
        }
    }
    let total: f64 = found.iter().zip(alpha).map(|(n, a)| n + a).sum();
    for kind in 0..types {
        z[kind] = (found[kind] + alpha[kind]) / total;
    }
}

/// Move shares [`LONG`] times as far as to `next`, to no less than [`LEFT`] of it.
fn stride(z: &mut [f64], next: &[f64]) {
    let mut total = 0.0;
    for (z, &next) in z.iter_mut().zip(next) {
        *z = (*z + LONG * (next - *z)).max(LEFT * next);
        total += *z;
    }
    z.iter_mut().for_each(|z| *z /= total);
}

widest! {
    /// One step: `ratio = counts / (share · lines + background)`, `sums[a] = lines[active[a]] · ratio`.
    ///
    /// Loops run over positions and short fixed arrays, so that accumulators stay in registers.
    fn split(
        lines: &[Tile],
        width: usize,
        background: &[Tile],
        counts: &[Tile],
        active: &[usize],
        share: &[f32],
        ratio: &mut [Tile],
        sums: &mut [f64],
    ) {
        for tile in 0..counts.len() {
            let lines = &lines[tile * width..][..width];
            let [mut low, mut high] = background[tile];
            for (kinds, shares) in active.as_chunks::<GROUP>().0.iter().zip(share.as_chunks::<GROUP>().0) {
                for a in 0..GROUP {
                    let [first, second] = &lines[kinds[a]];
                    for lane in 0..LANES {
                        low[lane] = fma32::<FMA>(shares[a], first[lane], low[lane]);
                    }
                    for lane in 0..LANES {
                        high[lane] = fma32::<FMA>(shares[a], second[lane], high[lane]);
                    }
                }
            }
            ratio[tile] = [divided(&counts[tile][0], &low), divided(&counts[tile][1], &high)];
        }
        for group in 0..active.len() / GROUP {
            let mut totals = [[0.0; LANES]; GROUP];
            let kinds = [0, 1, 2, 3].map(|a| active[group * GROUP + a]);
            for tile in 0..counts.len() {
                let lines = &lines[tile * width..][..width];
                let [low, high] = &ratio[tile];
                for a in 0..GROUP {
                    let [first, second] = &lines[kinds[a]];
                    for lane in 0..LANES {
                        let sum = fma32::<FMA>(first[lane], low[lane], totals[a][lane]);
                        totals[a][lane] = fma32::<FMA>(second[lane], high[lane], sum);
                    }
                }
            }
            for a in 0..GROUP {
                sums[group * GROUP + a] = total(&totals[a]);
            }
        }
    }
}

#[inline(always)]
fn divided(counts: &[f32; LANES], rate: &[f32; LANES]) -> [f32; LANES] {
    let mut out = [0.0; LANES];
    for lane in 0..LANES {
        out[lane] = counts[lane] / rate[lane];
    }
    out
}

/// Sum of the lanes in f64, as a tree.
#[inline(always)]
fn total(values: &[f32; LANES]) -> f64 {
    let mut lanes = [0.0_f64; LANES / 2];
    for lane in 0..LANES / 2 {
        lanes[lane] = f64::from(values[lane]) + f64::from(values[lane + LANES / 2]);
    }
    let [a, b, c, d, e, f, g, h] = lanes;
    ((a + e) + (b + f)) + ((c + g) + (d + h))
}

#[inline(always)]
fn fma32<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}
