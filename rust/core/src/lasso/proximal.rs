//! Proximal point steps, each solved by a semismooth Newton method: for problems on which sweeps crawl.
//!
//! A step from `w` minimizes `f(u) + Omega(u) + sum_j (u_j - w_j)^2 / (2 reach_j)`. Its dual in the scaled residual
//! is smooth with the piecewise smooth gradient `X (prox(w + reach a) - u)`, where `a` is the negative gradient of `f`
//! at the `u` whose residual is the dual point. The Newton system of the dual lives on the support of the proximal
//! point, is never singular, and its steps change the support as they need, so that neither a flat valley nor
//! a column that is a combination of others slows it down. Longer reaches make the outer steps as fast as
//! wanted (Zhang, Zhang, Sun & Toh, 2020, "An efficient Hessian based algorithm for solving large-scale sparse
//! group Lasso problems").

use super::Control;
use super::gap::certificate_from;
use super::groups::Penalty;
use super::newton::Local;
use super::prox::{prox_block, soft};
use super::quadratic::{Quadratic, dot};

/// Reach of the first step in units of the inverse curvature of a column, and its growth.
const REACH: f64 = 1e2;
const GROWTH: f64 = 10.0;

/// Number of proximal steps; after the last one the reach times the rounding of the gradient is all that moves.
const STEPS: i32 = 8;

/// Most Newton steps within one proximal step.
const INNER: usize = 40;

/// Improve `w` until the gap is within the tolerance or rounding is reached; the objective never rises.
///
/// Returns the number of Newton steps, at most `control.max_iter`. `quadratic` ends placed at `w`.
pub(crate) fn proximal<Q: Quadratic>(
    quadratic: &mut Q,
    penalty: &Penalty,
    w: &mut [f64],
    control: Control,
) -> usize {
    let scale = curvatures(quadratic.diagonal(), penalty);
    let mut run = Run::new(penalty, control, w);
    let mut anchor = w.to_vec();
    for power in 0..STEPS {
        let reach: Vec<f64> = scale.iter().map(|d| REACH * GROWTH.powi(power) / d).collect();
        let (next, done) = run.solve(quadratic, &Dual { penalty, anchor: &anchor, reach: &reach });
        if done || run.steps >= control.max_iter {
            break;
        }
        anchor = next;
    }
    w.copy_from_slice(&run.best);
    quadratic.place(w);
    run.steps
}

/// Curvature of each column; one number for the columns that share a group norm.
fn curvatures(diagonal: &[f64], penalty: &Penalty) -> Vec<f64> {
    let mut out = diagonal.to_vec();
    for block in penalty.blocks.iter().filter(|block| block.weight > 0.0) {
        let part = &mut out[block.start..block.end];
        let mean = part.iter().sum::<f64>() / part.len() as f64;
        part.fill(mean);
    }
    out.iter_mut().filter(|d| **d == 0.0).for_each(|d| *d = 1.0);
    out
}

/// Subproblem of one proximal step.
struct Dual<'a> {
    penalty: &'a Penalty,
    anchor: &'a [f64],
    reach: &'a [f64],
}

/// Dual point given by the residual of `u`.
struct Point {
    u: Vec<f64>,
    descent: Vec<f64>,
    moments: (f64, f64),
    /// Dual objective, to be minimized.
    value: f64,
    /// `prox(anchor + reach descent)`.
    image: Vec<f64>,
}

impl Dual<'_> {
    fn point<Q: Quadratic>(&self, quadratic: &mut Q, u: Vec<f64>) -> Point {
        quadratic.place(&u);
        let mut descent = vec![0.0; u.len()];
        quadratic.descent(&mut descent);
        let moments = quadratic.moments(&u);
        let pairs = self.anchor.iter().zip(self.reach).zip(&descent);
        let mut image: Vec<f64> = pairs.map(|((w, r), a)| w + r * a).collect();
        for block in &self.penalty.blocks {
            let (part, reach) = (&mut image[block.start..block.end], &self.reach[block.start..block.end]);
            if block.weight > 0.0 {
                prox_block(part, self.penalty.l1 * reach[0], block.weight * reach[0]);
            } else {
                part.iter_mut().zip(reach).for_each(|(v, r)| *v = soft(*v, self.penalty.l1 * r));
            }
        }
        let smooth: f64 = image.iter().zip(self.reach).map(|(p, r)| 0.5 * p * p / r).sum();
        Point { value: 0.5 * moments.0 - moments.1 + smooth, u, descent, moments, image }
    }
}

/// Best point so far and the effort spent.
struct Run<'a> {
    penalty: &'a Penalty,
    control: Control,
    best: Vec<f64>,
    primal: f64,
    gap: f64,
    steps: usize,
}

impl<'a> Run<'a> {
    fn new(penalty: &'a Penalty, control: Control, w: &[f64]) -> Self {
        let (primal, gap) = (f64::INFINITY, f64::INFINITY);
        Self { penalty, control, best: w.to_vec(), primal, gap, steps: 0 }
    }

    /// Remember `point` if it is the best; true when its gap is within the tolerance.
    fn record(&mut self, point: &Point, null: f64) -> bool {
        let found = certificate_from(&point.descent, point.moments, self.penalty, &point.u);
        let done = found.rule(self.control.tol, null).is_some();
        let level = 1e-15 * null;
        let lower = found.primal < self.primal - level;
        if done || lower || (found.primal <= self.primal + level && found.gap < self.gap) {
            self.best.copy_from_slice(&point.u);
            (self.primal, self.gap) = (found.primal, found.gap);
        }
        done
    }

    /// Solve one subproblem; the second value is true when the whole problem is solved.
    fn solve<Q: Quadratic>(&mut self, quadratic: &mut Q, dual: &Dual<'_>) -> (Vec<f64>, bool) {
        let null = quadratic.null();
        let mut here = dual.point(quadratic, dual.anchor.to_vec());
        let mut last = f64::INFINITY;
        for _ in 0..INNER {
            if self.record(&here, null) {
                return (here.u, true);
            }
            let mut ahead = vec![0.0; here.u.len()];
            quadratic.place(&here.image);
            quadratic.descent(&mut ahead);
            let apart: Vec<f64> = here.descent.iter().zip(&ahead).map(|(a, b)| b - a).collect();
            // ||X (image - u)||^2 / n, the squared length of the dual gradient.
            let error: f64 = here.image.iter().zip(&here.u).zip(&apart).map(|((p, u), d)| (u - p) * d).sum();
            let moved: f64 = (here.u.iter().zip(dual.anchor).zip(dual.reach))
                .map(|((u, w), r)| (u - w) * (u - w) / r)
                .sum();
            // Rounding shows in an error that no longer falls as that of Newton's method does, or explodes.
            let rounding = (error <= 1e-16 * null && error > 0.1 * last) || error > 1e2 * last;
            if error <= 1e-4 * moved || error <= 1e-28 * null || rounding {
                break;
            }
            last = error;
            let Some(target) = newton_point(quadratic, self.penalty, &here, &apart, dual.reach) else {
                break;
            };
            self.steps += 1;
            let Some(next) = search(quadratic, dual, &here, target, &apart) else { break };
            here = next;
            if self.steps >= self.control.max_iter {
                break;
            }
        }
        let done = self.record(&here, null);
        (here.u, done)
    }
}

/// Where the full Newton step leads: the proximal point plus the solution of
/// `(G + bends + 1 / reach) d = a(image) - a(u)` on its support.
fn newton_point<Q: Quadratic>(
    quadratic: &mut Q,
    penalty: &Penalty,
    here: &Point,
    apart: &[f64],
    reach: &[f64],
) -> Option<Vec<f64>> {
    let support: Vec<usize> = (0..here.image.len()).filter(|&j| here.image[j] != 0.0).collect();
    let mut target = here.image.clone();
    if support.is_empty() {
        return Some(target);
    }
    let mut local = Local::new(quadratic, penalty, &here.image, &support, &here.descent);
    local.slope = support.iter().map(|&j| apart[j]).collect();
    local.add_ridge(support.iter().map(|&j| 1.0 / reach[j]));
    let (direction, _) = local.direction(quadratic, &support)?;
    for (&j, d) in support.iter().zip(&direction) {
        target[j] += d;
    }
    Some(target)
}

/// Halve the step to `target` until the dual objective falls.
fn search<Q: Quadratic>(
    quadratic: &mut Q,
    dual: &Dual<'_>,
    here: &Point,
    target: Vec<f64>,
    apart: &[f64],
) -> Option<Point> {
    let change: Vec<f64> = target.iter().zip(&here.u).map(|(t, u)| t - u).collect();
    let slope = dot::<false>(&change, apart).min(0.0);
    let rounding = 1e-14 * quadratic.null();
    let mut length = 1.0;
    let mut candidate = target;
    for _ in 0..30 {
        let next = dual.point(quadratic, candidate);
        if next.value <= here.value + 1e-4 * length * slope + rounding {
            return Some(next);
        }
        length *= 0.5;
        candidate = here.u.iter().zip(&change).map(|(u, d)| u + length * d).collect();
    }
    None
}
