//! Piecewise polynomials for the window, and Gauss-Legendre quadrature.

use super::lanes::{Lanes, Vector, on_widest};
use std::f64::consts::PI;

/// Highest degree tried; the windows need 7 to 17.
const HIGHEST_DEGREE: usize = 20;

/// One polynomial of `t - 1/2`, `t` in [0, 1], per node under a window.
#[derive(Debug, Clone)]
pub(super) struct Pieces {
    nodes: usize,
    /// For each power, highest first, one coefficient per node, four nodes at a time: `[nodes / 4][power]`.
    quads: Vec<Vec<[f64; 4]>>,
}

impl Pieces {
    /// Interpolate `value(node, t)` with the lowest degree whose error stays below `tolerance`.
    ///
    /// Evaluating polynomials takes a fifth of the time of square root and exponential, and reading stored
    /// weights costs more memory traffic than the ligands themselves when bins hold few cells.
    pub(super) fn fit(nodes: usize, tolerance: f64, value: impl Fn(usize, f64) -> f64) -> Self {
        let mut best = Self::interpolate(nodes, nodes, &value);
        let mut error = best.largest_error(nodes, &value);
        for degree in nodes + 1..=HIGHEST_DEGREE {
            if error <= tolerance {
                break;
            }
            let next = Self::interpolate(nodes, degree, &value);
            let next_error = next.largest_error(nodes, &value);
            if next_error < error {
                (best, error) = (next, next_error);
            }
        }
        best
    }

    fn interpolate(nodes: usize, degree: usize, value: &impl Fn(usize, f64) -> f64) -> Self {
        let n = degree + 1;
        let angle = |j: usize| PI * (j as f64 + 0.5) / n as f64;
        let mut quads = vec![vec![[0.0; 4]; n]; nodes.div_ceil(4)];
        for node in 0..nodes {
            let samples: Vec<f64> = (0..n).map(|j| value(node, 0.5 + 0.5 * angle(j).cos())).collect();
            let chebyshev: Vec<f64> = (0..n)
                .map(|k| {
                    let sum: f64 =
                        samples.iter().enumerate().map(|(j, s)| s * (k as f64 * angle(j)).cos()).sum();
                    sum * if k == 0 { 1.0 } else { 2.0 } / n as f64
                })
                .collect();
            for (quad, coefficient) in quads[node / 4].iter_mut().zip(monomials(&chebyshev).iter().rev()) {
                quad[node % 4] = *coefficient;
            }
        }
        Self { nodes, quads }
    }

    fn largest_error(&self, nodes: usize, value: &impl Fn(usize, f64) -> f64) -> f64 {
        let points = 64;
        let error = |i: usize| {
            let t = i as f64 / points as f64;
            let values = self.at(t);
            (0..nodes).map(|node| (values[node] - value(node, t)).abs()).fold(0.0, f64::max)
        };
        (0..=points).map(error).fold(0.0, f64::max)
    }

    /// Values at one offset, one per node.
    pub(super) fn at(&self, t: f64) -> Vec<f64> {
        let horner =
            |node: usize| self.quads[node / 4].iter().fold(0.0, |sum, quad| sum * (t - 0.5) + quad[node % 4]);
        (0..self.nodes).map(horner).collect()
    }

    /// Products of the values at eight points: `offsets` holds one unit per axis (2 or 3), `out` one unit
    /// per node of the square or cube, the last axis fastest.
    pub(super) fn products(&self, offsets: &[Lanes], out: &mut [Lanes]) {
        products(&self.quads, self.nodes, offsets, out);
    }
}

on_widest! {
    fn products(quads: &[Vec<[f64; 4]>], nodes: usize, offsets: &[Lanes], out: &mut [Lanes]) = products_any
}

/// Nodes of the widest window, rounded up to whole quads.
const MOST_NODES: usize = 16;

#[inline(always)]
fn products_any<V: Vector, const R: usize, const G: usize>(
    quads: &[Vec<[f64; 4]>],
    nodes: usize,
    offsets: &[Lanes],
    out: &mut [Lanes],
) {
    let mut values = [[Lanes::ZERO; MOST_NODES]; 3];
    match offsets {
        [a, b] => evaluate::<V, 2>(quads, [a, b], &mut values),
        [a, b, c] => evaluate::<V, 3>(quads, [a, c, b], &mut values),
        _ => return,
    }
    let middle = if offsets.len() == 3 { nodes } else { 1 };
    let mut runs = out.chunks_exact_mut(nodes);
    for first in &values[0][..nodes] {
        for second in &values[2][..middle] {
            let first = V::load(first);
            let both = if offsets.len() == 3 { first.mul(V::load(second)) } else { first };
            let Some(run) = runs.next() else { return };
            for (out, last) in run.iter_mut().zip(&values[1]) {
                both.mul(V::load(last)).store(out);
            }
        }
    }
}

/// Values of all pieces on `N` axes. Four nodes of every axis at a time: a single chain of dependent
/// products would wait for its own latency.
#[inline(always)]
fn evaluate<V: Vector, const N: usize>(
    quads: &[Vec<[f64; 4]>],
    offsets: [&Lanes; N],
    values: &mut [[Lanes; MOST_NODES]; 3],
) {
    let mut t = [V::splat(-0.5); N];
    for axis in 0..N {
        t[axis] = V::load(offsets[axis]).add(t[axis]);
    }
    for (at, quad) in quads.iter().enumerate() {
        let mut sums = [[V::splat(0.0); 4]; N];
        for coefficients in quad {
            for node in 0..4 {
                let coefficient = V::splat(coefficients[node]);
                for axis in 0..N {
                    sums[axis][node] = sums[axis][node].fma(t[axis], coefficient);
                }
            }
        }
        for axis in 0..N {
            for node in 0..4 {
                sums[axis][node].store(&mut values[axis][(4 * at + node) % MOST_NODES]);
            }
        }
    }
}

/// Monomial coefficients in `t - 1/2` of a Chebyshev series in `x = 2 t - 1`, lowest first.
fn monomials(chebyshev: &[f64]) -> Vec<f64> {
    let n = chebyshev.len();
    let (mut before, mut current) = (vec![0.0; n], vec![0.0; n]);
    current[0] = 1.0; // T_0; T_1 = x, T_(k+1) = 2 x T_k - T_(k-1)
    let mut sum = vec![0.0; n];
    for (k, c) in chebyshev.iter().enumerate() {
        for (s, m) in sum.iter_mut().zip(&current) {
            *s += c * m;
        }
        let twice = if k == 0 { 1.0 } else { 2.0 };
        let mut next: Vec<f64> = before.iter().map(|b| -b).collect();
        for power in 1..n {
            next[power] += twice * current[power - 1];
        }
        (before, current) = (current, next);
    }
    sum.iter().enumerate().map(|(power, s)| s * 2.0_f64.powi(power as i32)).collect()
}

/// Nodes and weights of the `n`-point Gauss-Legendre rule on [-1, 1], by Newton's method.
pub(super) fn gauss_legendre(n: usize) -> Vec<(f64, f64)> {
    let legendre = |x: f64| {
        let (mut previous, mut current) = (1.0, x);
        for k in 2..=n {
            let k = k as f64;
            (previous, current) = (current, ((2.0 * k - 1.0) * x * current - (k - 1.0) * previous) / k);
        }
        (current, n as f64 * (x * current - previous) / (x * x - 1.0))
    };
    (0..n)
        .map(|i| {
            let mut x = (PI * (i as f64 + 0.75) / (n as f64 + 0.5)).cos();
            for _ in 0..8 {
                let (value, slope) = legendre(x);
                x -= value / slope;
            }
            let slope = legendre(x).1;
            (x, 2.0 / ((1.0 - x * x) * slope * slope))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quadrature_integrates_polynomials() {
        let rule = gauss_legendre(5);
        for power in 0..10 {
            let sum: f64 = rule.iter().map(|(x, w)| w * x.powi(power)).sum();
            let expected = if power % 2 == 0 { 2.0 / f64::from(power + 1) } else { 0.0 };
            assert!((sum - expected).abs() < 1e-14, "{power}: {sum}");
        }
    }

    #[test]
    fn pieces_follow_a_smooth_function() {
        let value = |node: usize, t: f64| (node as f64 + t).cos();
        let pieces = Pieces::fit(7, 1e-13, value);
        for axes in [2, 3] {
            let offsets: Vec<Lanes> =
                (0..axes).map(|a| Lanes(std::array::from_fn(|l| (l + a) as f64 / 10.0))).collect();
            let mut out = vec![Lanes::ZERO; 7_usize.pow(axes as u32)];
            pieces.products(&offsets, &mut out);
            for (flat, lanes) in out.iter().enumerate() {
                for l in 0..8 {
                    // The axes in the order of the offsets, the last fastest.
                    let expected: f64 = (0..axes)
                        .map(|a| {
                            let node = flat / 7_usize.pow((axes - 1 - a) as u32) % 7;
                            value(node, offsets[a].0[l])
                        })
                        .product();
                    assert!((lanes.0[l] - expected).abs() < 1e-12, "{axes} axes, {flat}");
                }
            }
        }
    }
}
