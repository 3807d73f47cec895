//! Two small matrix products on registers: everything heavy in this module is one of them.

use super::lanes::{Lanes, Vector, on_widest};

/// Source rows of a product: `inner` consecutive rows of `groups` lane groups from each base row.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    pub(super) values: &'a [Lanes],
    pub(super) groups: usize,
    pub(super) bases: &'a [usize],
    pub(super) inner: usize,
}

on_widest! {
    /// `out[r] += sum_k weights[k][r] * row k`, for the first `count` (at most 8) rows r of `out`.
    fn accumulate(out: &mut [Lanes], count: usize, weights: &[Lanes], rows: Rows<'_>) = accumulate_any
}

on_widest! {
    /// `nodes[targets[n]] += sum_c weights[block of c][n][c] * row c`: the transposed product.
    ///
    /// `cells` holds consecutive rows, `weights` one run of `targets.len()` units per block of 8 cells.
    fn scatter(nodes: &mut [Lanes], targets: &[usize], weights: &[Lanes], cells: &[Lanes], groups: usize)
        = scatter_any
}

/// Call `$call!(count, ...)` with the count as a literal, at most `$most`.
macro_rules! by_count {
    ($count:expr, $most:ident, $call:ident, $($args:tt)*) => {
        match $count {
            8 if $most == 8 => $call!(8, $($args)*),
            7 if $most == 8 => $call!(7, $($args)*),
            6 if $most == 8 => $call!(6, $($args)*),
            5 if $most == 8 => $call!(5, $($args)*),
            4 => $call!(4, $($args)*),
            3 => $call!(3, $($args)*),
            2 => $call!(2, $($args)*),
            _ => $call!(1, $($args)*),
        }
    };
}

#[inline(always)]
fn accumulate_any<V: Vector, const R: usize, const G: usize>(
    out: &mut [Lanes],
    count: usize,
    weights: &[Lanes],
    rows: Rows<'_>,
) {
    accumulate_rows::<V, R, G, 0>(out, count.min(R), weights, rows);
    if R == 4 && count > R {
        accumulate_rows::<V, R, G, 4>(out, count - R, weights, rows);
    }
}

/// The rows `FIRST..FIRST + count` of [`accumulate`].
#[inline(always)]
fn accumulate_rows<V: Vector, const R: usize, const G: usize, const FIRST: usize>(
    out: &mut [Lanes],
    count: usize,
    weights: &[Lanes],
    rows: Rows<'_>,
) {
    macro_rules! step {
        ($r:literal, $g:tt, $group:expr) => {
            accumulate_block::<V, $r, { $g }, FIRST>(out, $group, weights, rows)
        };
    }
    let mut group = 0;
    while group + G <= rows.groups {
        by_count!(count, R, step, G, group);
        group += G;
    }
    while group < rows.groups {
        by_count!(count, R, step, 1, group);
        group += 1;
    }
}

#[inline(always)]
fn accumulate_block<V: Vector, const R: usize, const G: usize, const FIRST: usize>(
    out: &mut [Lanes],
    group: usize,
    weights: &[Lanes],
    rows: Rows<'_>,
) {
    let mut sum = [[V::splat(0.0); G]; R];
    let mut weights = weights.iter();
    'rows: for base in rows.bases {
        let Some(tail) = rows.values.get(base * rows.groups + group..) else { break };
        for row in tail.chunks(rows.groups).take(rows.inner) {
            let (Some(row), Some(weight)) = (row.get(..G), weights.next()) else { break 'rows };
            let mut lanes = [V::splat(0.0); G];
            for g in 0..G {
                lanes[g] = V::load(&row[g]);
            }
            for r in 0..R {
                let w = V::splat(weight.0[FIRST + r]);
                for g in 0..G {
                    sum[r][g] = lanes[g].fma(w, sum[r][g]);
                }
            }
        }
    }
    // Plain indices: an iterator over `sum` would keep it in memory during the loop above.
    for r in 0..R {
        let at = (FIRST + r) * rows.groups + group;
        let Some(out) = out.get_mut(at..at + G) else { return };
        for g in 0..G {
            sum[r][g].add(V::load(&out[g])).store(&mut out[g]);
        }
    }
}

#[inline(always)]
fn scatter_any<V: Vector, const R: usize, const G: usize>(
    nodes: &mut [Lanes],
    targets: &[usize],
    weights: &[Lanes],
    cells: &[Lanes],
    groups: usize,
) {
    macro_rules! step {
        ($r:literal, $g:tt, $group:expr, $first:expr) => {
            scatter_block::<V, $r, { $g }>(nodes, targets, $first, $group, weights, cells, groups)
        };
    }
    let mut group = 0;
    while group < groups {
        let g = if group + G <= groups { G } else { 1 };
        let mut first = 0;
        while first < targets.len() {
            let r = (targets.len() - first).min(R);
            if g == G {
                by_count!(r, R, step, G, group, first);
            } else {
                by_count!(r, R, step, 1, group, first);
            }
            first += r;
        }
        group += g;
    }
}

#[inline(always)]
fn scatter_block<V: Vector, const R: usize, const G: usize>(
    nodes: &mut [Lanes],
    targets: &[usize],
    first: usize,
    group: usize,
    weights: &[Lanes],
    cells: &[Lanes],
    groups: usize,
) {
    let at: [usize; R] = std::array::from_fn(|r| targets[first + r] * groups + group);
    let mut sum = [[V::splat(0.0); G]; R];
    for r in 0..R {
        let Some(node) = nodes.get(at[r]..at[r] + G) else { return };
        for g in 0..G {
            sum[r][g] = V::load(&node[g]);
        }
    }
    for (cells, weights) in cells.chunks(Lanes::WIDTH * groups).zip(weights.chunks_exact(targets.len())) {
        let Some(weights) = weights.get(first..first + R) else { break };
        for (c, cell) in cells.chunks_exact(groups).enumerate() {
            let Some(cell) = cell.get(group..group + G) else { break };
            let mut lanes = [V::splat(0.0); G];
            for g in 0..G {
                lanes[g] = V::load(&cell[g]);
            }
            for r in 0..R {
                let w = V::splat(weights[r].0[c & 7]);
                for g in 0..G {
                    sum[r][g] = lanes[g].fma(w, sum[r][g]);
                }
            }
        }
    }
    for r in 0..R {
        let Some(node) = nodes.get_mut(at[r]..at[r] + G) else { return };
        for g in 0..G {
            sum[r][g].store(&mut node[g]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::lanes::Plain;
    use super::*;

    fn filled(n: usize, seed: f64) -> Vec<Lanes> {
        (0..n).map(|i| Lanes(std::array::from_fn(|l| ((i * 8 + l) as f64 * seed).sin()))).collect()
    }

    #[test]
    fn accumulate_is_the_plain_double_loop() {
        for groups in [1, 2, 3, 4, 7] {
            for count in 1..=8 {
                let (bases, inner) = ([5, 0, 11], 4);
                let values = filled(20 * groups, 0.37);
                let weights = filled(12, 0.71);
                let mut out = filled(count * groups, 0.11);
                let mut expected = out.clone();
                for (k, w) in weights.iter().enumerate() {
                    let row = bases[k / inner] + k % inner;
                    for r in 0..count {
                        for g in 0..groups {
                            for l in 0..8 {
                                expected[r * groups + g].0[l] += w.0[r] * values[row * groups + g].0[l];
                            }
                        }
                    }
                }
                let rows = Rows { values: &values, groups, bases: &bases, inner };
                let start = out.clone();
                accumulate(&mut out, count, &weights, rows);
                close(&out, &expected);
                out.copy_from_slice(&start);
                accumulate_any::<Plain, 4, 1>(&mut out, count, &weights, rows);
                close(&out, &expected);
            }
        }
    }

    #[test]
    fn scatter_is_the_plain_double_loop() {
        for groups in [1, 3, 5, 7] {
            for cells in [1, 7, 8, 19] {
                let targets = [3, 0, 9, 4, 8, 7, 1, 2, 5, 10];
                let rows = filled(cells * groups, 0.23);
                let weights = filled(targets.len() * cells.div_ceil(8), 0.59);
                let mut nodes = filled(11 * groups, 0.31);
                let mut expected = nodes.clone();
                for c in 0..cells {
                    for (n, node) in targets.iter().enumerate() {
                        let w = weights[(c / 8) * targets.len() + n].0[c % 8];
                        for g in 0..groups {
                            for l in 0..8 {
                                expected[node * groups + g].0[l] += w * rows[c * groups + g].0[l];
                            }
                        }
                    }
                }
                let start = nodes.clone();
                scatter(&mut nodes, &targets, &weights, &rows, groups);
                close(&nodes, &expected);
                nodes.copy_from_slice(&start);
                scatter_any::<Plain, 4, 1>(&mut nodes, &targets, &weights, &rows, groups);
                close(&nodes, &expected);
            }
        }
    }

    fn close(left: &[Lanes], right: &[Lanes]) {
        for (a, b) in left.iter().zip(right) {
            for l in 0..8 {
                assert!((a.0[l] - b.0[l]).abs() < 1e-13, "{} {}", a.0[l], b.0[l]);
            }
        }
    }
}
