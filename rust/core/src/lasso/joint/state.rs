//! A point of the joint problem: coefficients of one column in all types lie next to each other.

use crate::lasso::gram::Gram;
use crate::lasso::groups::Block;
use crate::lasso::quadratic::{Quadratic, axpy, dot};

/// Steps of the one-dimensional equation of a group; it is monotone and takes one when all types agree.
const STEPS: usize = 30;

/// Smooth part of the joint problem, `sum_c (v_c' G_c v_c / 2 - b_c' v_c)`, at a current point.
///
/// Position `j * types + c` is column `j` in type `c`; `G` couples columns inside a type only.
#[derive(Debug)]
pub struct JointState<'a> {
    grams: &'a [Gram],
    /// `b_c - G_c v_c`, type after type, padded.
    rest: Vec<f64>,
    stride: usize,
    columns: usize,
    linear: Vec<f64>,
    diagonal: Vec<f64>,
    null: f64,
    pull: Vec<f64>,
}

impl<'a> JointState<'a> {
    /// Point at zero of the problem with one Gram per type, all with the same columns.
    #[must_use]
    pub fn new(grams: &'a [Gram]) -> Self {
        let (stride, columns) = grams.first().map_or((0, 0), |gram| (gram.stride(), gram.len()));
        let positions = || (0..columns).flat_map(|j| grams.iter().map(move |gram| (gram, j)));
        let mut state = Self {
            grams,
            rest: vec![0.0; stride * grams.len()],
            stride,
            columns,
            linear: positions().map(|(gram, j)| gram.xy[j]).collect(),
            diagonal: positions().map(|(gram, j)| gram.diagonal()[j]).collect(),
            null: grams.iter().map(|gram| gram.yy).sum(),
            pull: vec![0.0; grams.len()],
        };
        for (rest, gram) in state.rest.chunks_exact_mut(stride.max(1)).zip(grams) {
            rest[..columns].copy_from_slice(&gram.xy);
        }
        state
    }

    fn types(&self) -> usize {
        self.grams.len()
    }

    /// `G_c w_c` of every type: `out` is padded, type after type.
    fn products(&self, w: &[f64], out: &mut [f64]) {
        let mut own = vec![0.0; self.columns];
        for (c, (out, gram)) in out.chunks_exact_mut(self.stride.max(1)).zip(self.grams).enumerate() {
            own.iter_mut().zip(w[c..].iter().step_by(self.grams.len())).for_each(|(o, w)| *o = *w);
            gram.times(&own, out);
        }
    }
}

impl Quadratic for JointState<'_> {
    #[inline(always)]
    fn len(&self) -> usize {
        self.linear.len()
    }

    #[inline(always)]
    fn diagonal(&self) -> &[f64] {
        &self.diagonal
    }

    fn linear(&self) -> &[f64] {
        &self.linear
    }

    #[inline(always)]
    fn null(&self) -> f64 {
        self.null
    }

    #[inline(always)]
    fn descent_of<const FMA: bool>(&self, j: usize) -> f64 {
        self.rest[j % self.types() * self.stride + j / self.types()]
    }

    #[inline(always)]
    fn descent_without<const FMA: bool>(&mut self, start: usize, w: &[f64], out: &mut [f64]) {
        for (k, (out, w)) in out.iter_mut().zip(w).enumerate() {
            *out = self.descent_of::<FMA>(start + k) + self.diagonal[start + k] * w;
        }
    }

    #[inline(always)]
    fn step<const FMA: bool>(&mut self, j: usize, change: f64) {
        let (column, c) = (j / self.types(), j % self.types());
        let rest = &mut self.rest[c * self.stride..(c + 1) * self.stride];
        axpy::<FMA>(rest, -change, self.grams[c].padded_row(column));
    }

    fn place(&mut self, w: &[f64]) {
        let mut rest = std::mem::take(&mut self.rest);
        self.products(w, &mut rest);
        for (rest, gram) in rest.chunks_exact_mut(self.stride.max(1)).zip(self.grams) {
            rest.iter_mut().zip(&gram.xy).for_each(|(r, b)| *r = b - *r);
        }
        self.rest = rest;
    }

    fn descent(&self, out: &mut [f64]) {
        for (j, out) in out.chunks_exact_mut(self.types().max(1)).enumerate() {
            for (c, out) in out.iter_mut().enumerate() {
                *out = self.rest[c * self.stride + j];
            }
        }
    }

    fn moments(&self, w: &[f64]) -> (f64, f64) {
        let mut descent = vec![0.0; w.len()];
        self.descent(&mut descent);
        let (bw, rw) = (dot::<false>(&self.linear, w), dot::<false>(&descent, w));
        ((self.null - bw - rw).max(0.0), self.null - bw)
    }

    fn product(&self, w: &[f64], out: &mut [f64]) {
        let mut padded = vec![0.0; self.rest.len()];
        self.products(w, &mut padded);
        for (j, out) in out.chunks_exact_mut(self.types().max(1)).enumerate() {
            for (c, out) in out.iter_mut().enumerate() {
                *out = padded[c * self.stride + j];
            }
        }
    }

    fn row(&self, j: usize, columns: &[usize], out: &mut [f64]) {
        let types = self.types();
        let c = j % types;
        let row = self.grams[c].padded_row(j / types);
        for (out, &k) in out.iter_mut().zip(columns) {
            *out = if k % types == c { row[k / types] } else { 0.0 };
        }
    }

    #[inline(always)]
    fn minimize_block<const FMA: bool>(&mut self, block: &Block, l1: f64, w: &mut [f64]) -> Option<f64> {
        let (stride, column) = (self.stride, block.start / self.types());
        let w = &mut w[block.start..block.end];
        let curvatures = &self.diagonal[block.start..block.end];
        let mut square = 0.0;
        for (c, pull) in self.pull.iter_mut().enumerate() {
            let full = self.rest[c * stride + column] + curvatures[c] * w[c];
            let size = (full.abs() - l1).max(0.0);
            square += size * size;
            *pull = size.copysign(full);
        }
        let length = if square > block.weight * block.weight {
            length(&self.pull, curvatures, block.weight)
        } else {
            0.0
        };
        let mut moved = 0.0f64;
        for c in 0..w.len() {
            let h = curvatures[c];
            // With the length t of the group, `h v + weight v / t = pull`.
            let new = if length > 0.0 && h > 0.0 {
                self.pull[c] * length / (h * length + block.weight)
            } else {
                0.0
            };
            let change = new - w[c];
            if change != 0.0 {
                w[c] = new;
                moved = moved.max(h * change * change);
                axpy::<FMA>(
                    &mut self.rest[c * stride..(c + 1) * stride],
                    -change,
                    self.grams[c].padded_row(column),
                );
            }
        }
        Some(moved)
    }

    fn step_price(&self, support: usize) -> usize {
        // The Grams of all types stay in the second-level cache: sweeps are fast.
        support * support / (10 * self.columns.max(1))
    }
}

/// The length `t > 0` of a group, with `sum_c (pull_c / (h_c t + weight))^2 = 1`.
///
/// One over the root of the left side is concave and rising in `t`, and a straight line when all `h` agree, so
/// Newton's method from below stays below (the secular equation of Moré and Sorensen, 1983).
#[inline(always)]
fn length(pull: &[f64], curvatures: &[f64], weight: f64) -> f64 {
    let largest = curvatures.iter().fold(0.0f64, |a, &b| a.max(b));
    let norm = pull.iter().map(|s| s * s).sum::<f64>().sqrt();
    if weight == 0.0 {
        // Without group penalty any length does: it cancels.
        return 1.0;
    }
    let mut t = ((norm - weight) / largest).max(0.0);
    for _ in 0..STEPS {
        let (mut square, mut slope) = (0.0, 0.0);
        for (s, h) in pull.iter().zip(curvatures) {
            let by = 1.0 / (h * t + weight);
            let part = s * by;
            square += part * part;
            slope += part * part * h * by;
        }
        let root = square.sqrt();
        let step = square * (root - 1.0) / slope;
        if !step.is_finite() {
            break;
        }
        t += step;
        if step.abs() <= 1e-15 * t {
            break;
        }
    }
    t.max(0.0)
}

#[cfg(test)]
mod tests {
    use super::length;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_length_solves_its_equation(
            parts in prop::collection::vec((-3.0..3.0f64, 0.05..1.0f64), 1..7),
            weight in 1e-6..2.0f64,
        ) {
            let (pull, h): (Vec<f64>, Vec<f64>) = parts.into_iter().unzip();
            prop_assume!(pull.iter().map(|s| s * s).sum::<f64>().sqrt() > weight * (1.0 + 1e-6));
            let t = length(&pull, &h, weight);
            let v: Vec<f64> = pull.iter().zip(&h).map(|(s, h)| s * t / (h * t + weight)).collect();
            let norm = v.iter().map(|v| v * v).sum::<f64>().sqrt();
            for ((s, h), v) in pull.iter().zip(&h).zip(&v) {
                prop_assert!((h * v + weight * v / norm - s).abs() < 1e-9 * (1.0 + s.abs()));
            }
        }
    }
}
