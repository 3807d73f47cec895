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
        split(table, types + 1, active, share, ratio, sums);
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

/// One step: `ratio = counts / (share · lines + background)`, `sums[a] = lines[active[a]] · ratio`.
///
/// `active` and `share` are padded to whole groups of types.
fn split(table: &Table, width: usize, active: &[usize], share: &[f32], ratio: &mut [Tile], sums: &mut [f64]) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512f") {
        // SAFETY: the feature was just detected on this machine.
        return unsafe { wide::split(table, width, active, share, ratio, sums) };
    }
    split_any(table.lines, width, table.background, table.counts, active, share, ratio, sums);
}

/// The step in registers of 16 values. Left to the compiler, the sums of the second half go through memory in some
/// builds, which doubles the time of a fit.
#[cfg(target_arch = "x86_64")]
mod wide {
    use super::{GROUP, LANES, Table, Tile, total};
    use std::arch::x86_64::{
        __m512, _mm512_add_ps, _mm512_div_ps, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_set1_ps,
        _mm512_setzero_ps, _mm512_storeu_ps,
    };

    #[target_feature(enable = "avx512f")]
    fn load(values: &[f32; LANES]) -> __m512 {
        // SAFETY: 16 values can be read behind the reference.
        unsafe { _mm512_loadu_ps(values.as_ptr()) }
    }

    #[target_feature(enable = "avx512f")]
    fn store(to: &mut [f32; LANES], values: __m512) {
        // SAFETY: 16 values can be written behind the reference.
        unsafe { _mm512_storeu_ps(to.as_mut_ptr(), values) }
    }

    #[target_feature(enable = "avx512f")]
    pub(super) fn split(
        table: &Table,
        width: usize,
        active: &[usize],
        share: &[f32],
        ratio: &mut [Tile],
        sums: &mut [f64],
    ) {
        let tiles = table.lines.chunks_exact(width).zip(table.background).zip(table.counts);
        for (((lines, background), counts), ratio) in tiles.zip(ratio.iter_mut()) {
            let (mut low, mut high) = (load(&background[0]), load(&background[1]));
            for (&kind, &share) in active.iter().zip(share) {
                let (line, share) = (&lines[kind], _mm512_set1_ps(share));
                low = _mm512_fmadd_ps(share, load(&line[0]), low);
                high = _mm512_fmadd_ps(share, load(&line[1]), high);
            }
            store(&mut ratio[0], _mm512_div_ps(load(&counts[0]), low));
            store(&mut ratio[1], _mm512_div_ps(load(&counts[1]), high));
        }
        let groups = active.as_chunks::<GROUP>().0.iter().zip(sums.as_chunks_mut::<GROUP>().0);
        for (&[a, b, c, d], sums) in groups {
            let zero = _mm512_setzero_ps();
            let [mut a0, mut b0, mut c0, mut d0] = [zero; GROUP];
            let [mut a1, mut b1, mut c1, mut d1] = [zero; GROUP];
            for (lines, ratio) in table.lines.chunks_exact(width).zip(ratio.iter()) {
                let (low, high) = (load(&ratio[0]), load(&ratio[1]));
                a0 = _mm512_fmadd_ps(load(&lines[a][0]), low, a0);
                b0 = _mm512_fmadd_ps(load(&lines[b][0]), low, b0);
                c0 = _mm512_fmadd_ps(load(&lines[c][0]), low, c0);
                d0 = _mm512_fmadd_ps(load(&lines[d][0]), low, d0);
                a1 = _mm512_fmadd_ps(load(&lines[a][1]), high, a1);
                b1 = _mm512_fmadd_ps(load(&lines[b][1]), high, b1);
                c1 = _mm512_fmadd_ps(load(&lines[c][1]), high, c1);
                d1 = _mm512_fmadd_ps(load(&lines[d][1]), high, d1);
            }
            let mut lanes = [0.0; LANES];
            for (sum, (low, high)) in sums.iter_mut().zip([(a0, a1), (b0, b1), (c0, c1), (d0, d1)]) {
                store(&mut lanes, _mm512_add_ps(low, high));
                *sum = total(&lanes);
            }
        }
    }
}

widest! {
    /// [`split`] on any machine.
    fn split_any(
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

#[cfg(test)]
mod tests {
    use super::{GROUP, TILE, Table, filled, place, split, split_any};

    #[test]
    fn both_ways_to_split_counts_agree_with_plain_sums() {
        let (genes, types) = (3 * TILE, 6);
        let rate = |gene: usize, kind: usize| ((gene * 7 + kind * 13) % 11) as f32 * 0.1;
        let mut lines = vec![filled(0.0); 3 * (types + 1)];
        let (mut counts, background) = (vec![filled(0.0); 3], vec![filled(0.5); 3]);
        for gene in 0..genes {
            let (tile, half, lane) = place(gene);
            counts[tile][half][lane] = (gene % 5) as f32;
            (0..types).for_each(|kind| lines[tile * (types + 1) + kind][half][lane] = rate(gene, kind));
        }
        let table = Table { lines: &lines, background: &background, counts: &counts };
        let (active, share) =
            ([0, 2, 3, 5, 1, types, types, types], [0.3, 0.1, 0.2, 0.2, 0.2, 0.0, 0.0, 0.0]);
        let (mut ratio, mut sums) = (vec![filled(0.0); 3], vec![0.0; 2 * GROUP]);
        let mut others = sums.clone();
        split(&table, types + 1, &active, &share, &mut ratio, &mut sums);
        split_any(&lines, types + 1, &background, &counts, &active, &share, &mut ratio, &mut others);
        for (at, (&sum, &other)) in sums.iter().zip(&others).enumerate() {
            let line = |gene: usize, kind: usize| if kind < types { rate(gene, kind) } else { 0.0 };
            let expected: f32 = (0..genes)
                .map(|gene| {
                    let fitted: f32 =
                        active.iter().zip(&share).map(|(&kind, share)| share * line(gene, kind)).sum();
                    line(gene, active[at]) * (gene % 5) as f32 / (0.5 + fitted)
                })
                .sum();
            assert!((sum - f64::from(expected)).abs() <= 1e-4 * f64::from(expected), "{sum} {expected}");
            assert!((sum - other).abs() <= 1e-5 * other, "{sum} {other}");
        }
    }
}
