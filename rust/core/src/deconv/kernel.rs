//! The inner loop: how the counts of one spot are split among the types.

use super::digamma::exp_digamma;
use crate::widest;

/// Genes per tile; tables are padded to whole tiles.
pub(super) const TILE: usize = 32;
/// Types whose sums are kept in registers together.
const GROUP: usize = 4;
/// Shares below this take no part in a step: their counts would be below a hundredth of a count.
const NEGLIGIBLE: f64 = 1e-9;
/// Prior plus counts at which a share is 0.
const NOTHING: f64 = 1e-3;

/// Shapes of the genes of one spot, or of all genes: a line of genes per type.
pub(super) struct Table<'a> {
    /// Types x stride, then one line of zeros.
    pub(super) lines: &'a [f32],
    /// Genes per line, a multiple of [`TILE`].
    pub(super) stride: usize,
    /// Background of each gene; 1 behind the last one.
    pub(super) background: &'a [f32],
    /// Weighted counts of the spot; 0 behind the last gene.
    pub(super) counts: &'a [f32],
}

/// Memory of one worker.
#[derive(Default)]
pub(super) struct Scratch {
    ratio: Vec<f32>,
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
}

/// Move the shares `z` (sum 1) of a spot to the posterior mean under the prior counts `alpha`.
pub(super) fn fit_spot(table: &Table, alpha: &[f64], z: &mut [f64], rules: Rules, scratch: &mut Scratch) {
    let Scratch { ratio, active, share, sums, found, next } = scratch;
    let types = z.len();
    ratio.resize(table.stride, 0.0);
    found.resize(types, 0.0);
    next.resize(types, 0.0);
    for _ in 0..rules.steps {
        active.clear();
        active.extend((0..types).filter(|&kind| z[kind] > NEGLIGIBLE));
        let n_active = active.len();
        active.resize(n_active.next_multiple_of(GROUP), types);
        share.clear();
        share.extend(active.iter().map(|&kind| if kind < types { z[kind] as f32 } else { 0.0 }));
        sums.clear();
        sums.resize(active.len(), 0.0);
        split(table.lines, table.stride, table.background, table.counts, active, share, ratio, sums);
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
            let new = next[kind] * scale;
            change = change.max((new - z[kind]).abs());
            z[kind] = new;
        }
        if change < rules.tolerance {
            break;
        }
    }
    let total: f64 = found.iter().zip(alpha).map(|(n, a)| n + a).sum();
    for kind in 0..types {
        z[kind] = (found[kind] + alpha[kind]) / total;
    }
}

widest! {
    /// One step: `ratio = counts / (share · table + background)`, `sums[a] = table[active[a]] · ratio`.
    fn split(
        table: &[f32],
        stride: usize,
        background: &[f32],
        counts: &[f32],
        active: &[usize],
        share: &[f32],
        ratio: &mut [f32],
        sums: &mut [f64],
    ) {
        for tile in (0..stride).step_by(TILE) {
            let mut rate = [0.0_f32; TILE];
            rate.copy_from_slice(&background[tile..tile + TILE]);
            for (&kind, &share) in active.iter().zip(share) {
                let line = &table[kind * stride + tile..][..TILE];
                for lane in 0..TILE {
                    rate[lane] = fma32::<FMA>(share, line[lane], rate[lane]);
                }
            }
            let (counts, ratio) = (&counts[tile..][..TILE], &mut ratio[tile..][..TILE]);
            for lane in 0..TILE {
                ratio[lane] = counts[lane] / rate[lane];
            }
        }
        for (kinds, sums) in active.as_chunks::<GROUP>().0.iter().zip(sums.as_chunks_mut::<GROUP>().0) {
            let mut totals = [[0.0_f32; TILE]; GROUP];
            for tile in (0..stride).step_by(TILE) {
                let ratio = &ratio[tile..][..TILE];
                for (total, &kind) in totals.iter_mut().zip(kinds) {
                    let line = &table[kind * stride + tile..][..TILE];
                    for lane in 0..TILE {
                        total[lane] = fma32::<FMA>(line[lane], ratio[lane], total[lane]);
                    }
                }
            }
            for (sum, total) in sums.iter_mut().zip(&totals) {
                *sum = total.iter().map(|&lane| f64::from(lane)).sum();
            }
        }
    }
}

#[inline(always)]
fn fma32<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}
