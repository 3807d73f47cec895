//! Newton steps on the support: quadratic convergence once the signs are right.

use super::cholesky::{Factored, System};
use super::groups::{Penalty, norm};
use super::low_rank::{self, Bend};
use super::quadratic::Quadratic;

/// Largest support for which a dense factorization is worth its cubic cost.
const LARGEST_SUPPORT: usize = 1500;

/// The same where the Hessian is singular without the bends of the groups: there sweeps alone do better.
const LARGEST_SINGULAR: usize = 300;

/// Predicted decrease, relative to the objective of zeros, from which on a factor is kept for the next step.
const SETTLED: f64 = 1e-6;

/// Share of the predicted decrease of the step before that one with its factor may have.
const WORTH: f64 = 1e-2;

/// What a run of Newton steps reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reached {
    /// The predicted decrease is at rounding level: the point is optimal for its support.
    Optimum,
    /// Steps were made, more would help.
    Progress,
    /// The Hessian is singular or no step lowers the objective.
    Stuck,
}

/// At most `steps` Newton steps on the nonzero coefficients.
///
/// The Hessian is `G_AA + sum_g weight_g / ||w_g|| (I - u u^T)` with `u = w_g / ||w_g||`. Near the optimum it
/// hardly changes, and its factor serves for further steps as long as they pay. The objective never rises;
/// `quadratic` ends placed at `w`.
pub fn newton<Q: Quadratic>(quadratic: &mut Q, penalty: &Penalty, w: &mut [f64], steps: usize) -> Reached {
    let null = quadratic.null();
    let mut descent = vec![0.0; w.len()];
    let mut kept: Option<(Vec<usize>, Factored)> = None;
    let mut before = f64::INFINITY;
    let mut left = steps;
    quadratic.place(w);
    loop {
        let support: Vec<usize> = (0..w.len()).filter(|&j| w[j] != 0.0).collect();
        if support.is_empty() {
            return Reached::Optimum;
        }
        quadratic.descent(&mut descent);
        let local = Local::new(quadratic, penalty, w, &support, &descent);
        let old = kept.take().filter(|(of, _)| *of == support);
        let reused = old.is_some();
        let (direction, factored) = match old {
            Some((_, factored)) => {
                let mut direction = local.slope.clone();
                factored.solve(&mut direction);
                (direction, Some(factored))
            }
            None if left == 0 => return Reached::Progress,
            None => {
                left -= 1;
                match local.direction(quadratic, &support) {
                    Some(found) => found,
                    None => return Reached::Stuck,
                }
            }
        };
        let decrement: f64 = direction.iter().zip(&local.slope).map(|(d, s)| d * s).sum();
        let pays = decrement <= WORTH * before;
        if reused && !pays {
            continue;
        }
        let pulls = support.iter().zip(&direction).map(|(&j, d)| descent[j] * d);
        let line = Line { support: &support, direction: &direction, smooth_slope: -pulls.sum::<f64>() };
        if !search(quadratic, penalty, w, &line) {
            if reused {
                continue;
            }
            return Reached::Stuck;
        }
        if decrement <= 1e-26 * null {
            return Reached::Optimum;
        }
        before = decrement;
        kept = factored.filter(|_| decrement <= SETTLED * null).map(|f| (support, f));
    }
}

/// Second-order model of the objective on the support.
///
/// The norm of a group adds `bend (I - u u^T)` to the Hessian, `u` being `unit` on the group.
pub(crate) struct Local {
    pub(crate) slope: Vec<f64>,
    diagonal: Vec<f64>,
    bend: Vec<f64>,
    /// Further entries of the diagonal.
    ridge: Vec<f64>,
    unit: Vec<f64>,
    /// For each position one past the last one of the same group.
    end: Vec<usize>,
}

impl Local {
    pub(crate) fn new<Q: Quadratic>(
        quadratic: &Q,
        penalty: &Penalty,
        w: &[f64],
        support: &[usize],
        descent: &[f64],
    ) -> Self {
        let mut local = Self {
            slope: support.iter().map(|&j| descent[j] - penalty.l1 * w[j].signum()).collect(),
            diagonal: support.iter().map(|&j| quadratic.diagonal()[j]).collect(),
            bend: vec![0.0; support.len()],
            ridge: vec![0.0; support.len()],
            unit: vec![0.0; support.len()],
            end: vec![0; support.len()],
        };
        for block in &penalty.blocks {
            let first = support.partition_point(|&j| j < block.start);
            let last = support.partition_point(|&j| j < block.end);
            let size = norm(&w[block.start..block.end]);
            for i in first..last {
                let u = w[support[i]] / size;
                local.bend[i] = block.weight / size;
                local.unit[i] = u;
                local.end[i] = last;
                local.slope[i] -= block.weight * u;
                local.diagonal[i] += local.bend[i] * (1.0 - u * u);
            }
        }
        local
    }

    /// Add to the diagonal of the Hessian.
    pub(crate) fn add_ridge(&mut self, ridge: impl Iterator<Item = f64>) {
        self.ridge = ridge.collect();
        self.diagonal.iter_mut().zip(&self.ridge).for_each(|(d, r)| *d += r);
    }

    /// Newton direction, with the factor of the Hessian if there is one; a singular Hessian is damped. `None` when
    /// it is too large.
    pub(crate) fn direction<Q: Quadratic>(
        &self,
        quadratic: &Q,
        support: &[usize],
    ) -> Option<(Vec<f64>, Option<Factored>)> {
        let mut largest = LARGEST_SUPPORT;
        if let Some((columns, cells)) = quadratic.short_columns(support) {
            let (bends, ridge) = (self.bends(), &self.ridge);
            let solved = low_rank::solve(&columns, cells, &bends, ridge, &self.unit, &self.slope);
            if let Some(direction) = solved {
                return Some((direction, None));
            }
            largest = LARGEST_SINGULAR;
        }
        if support.len() > largest {
            return None;
        }
        for damping in [0.0, 1e-9, 1e-6] {
            let system = System::new(&self.diagonal, damping, |i, row| {
                quadratic.row(support[i], &support[i..], row);
                let turn = self.bend[i] * self.unit[i];
                for (value, u) in row.iter_mut().zip(&self.unit[i..self.end[i]]) {
                    *value -= turn * u;
                }
                row[0] += self.bend[i] + self.ridge[i];
            });
            let Some(factored) = system.factored() else { continue };
            let mut direction = self.slope.clone();
            factored.solve(&mut direction);
            if direction.iter().all(|d| d.is_finite()) {
                return Some((direction, Some(factored)));
            }
        }
        None
    }

    /// The groups on the support.
    fn bends(&self) -> Vec<Bend> {
        let mut out: Vec<Bend> = Vec::new();
        let mut first = 0;
        while let Some(&last) = self.end.get(first) {
            out.push(Bend { first, last, bend: self.bend[first] });
            first = last;
        }
        out
    }
}

/// Move along `direction`; false, with everything restored, when that does not lower the objective.
///
/// Of the full step three forms are compared: coefficients that cross zero cross freely (right when the fit is
/// nearly least squares), stop there (right when the L1 penalty is strong), or the step ends at the crossing
/// that is best along the line (right when the Hessian is nearly singular). If all fail, the step is halved.
fn search<Q: Quadratic>(quadratic: &mut Q, penalty: &Penalty, w: &mut [f64], line: &Line<'_>) -> bool {
    let start = w.to_vec();
    let smooth = 0.5 * quadratic.moments(w).0;
    let limit = smooth + penalty.value(w) + 1e-15 * quadratic.null();
    let mut attempt = |w: &mut [f64], step: f64, clip: bool| {
        line.point(&start, step, clip, w);
        quadratic.place(w);
        0.5 * quadratic.moments(w).0
    };
    let smooth_ahead = attempt(w, 1.0, false);
    let mut best = (smooth_ahead + penalty.value(w), w.to_vec());
    let mut step = 1.0;
    if let Some(crossing) = line.best_crossing(&start, penalty, smooth_ahead - smooth, w) {
        step = crossing;
        for (length, clip) in [(1.0, true), (crossing, false)] {
            let value = attempt(w, length, clip) + penalty.value(w);
            if value < best.0 {
                best = (value, w.to_vec());
            }
        }
    }
    for _ in 0..5 {
        if best.0 <= limit {
            w.copy_from_slice(&best.1);
            quadratic.place(w);
            return true;
        }
        step *= 0.5;
        best = (attempt(w, step, true) + penalty.value(w), w.to_vec());
    }
    w.copy_from_slice(&start);
    quadratic.place(w);
    false
}

/// A direction on the support.
struct Line<'a> {
    support: &'a [usize],
    direction: &'a [f64],
    /// Slope of the smooth part at the start of the line.
    smooth_slope: f64,
}

impl Line<'_> {
    /// The point at `step`; with `clip` a coefficient that would cross zero stays there.
    fn point(&self, start: &[f64], step: f64, clip: bool, w: &mut [f64]) {
        for (&j, d) in self.support.iter().zip(self.direction) {
            let moved = start[j] + step * d;
            // Rounding must not leave the coefficient that reaches zero on either side of it.
            let at_zero = moved.abs() <= 1e-14 * start[j].abs();
            w[j] = if at_zero || (clip && moved * start[j] < 0.0) { 0.0 } else { moved };
        }
    }

    /// The step in 0..1 at which a coefficient reaches zero and, of these, the objective with free crossings
    /// is smallest; `rise` is the change of the smooth part over the whole line. The objective is convex
    /// along the line. `w` is scratch space.
    fn best_crossing(&self, start: &[f64], penalty: &Penalty, rise: f64, w: &mut [f64]) -> Option<f64> {
        let pairs = self.support.iter().zip(self.direction);
        let mut steps: Vec<f64> =
            pairs.map(|(&j, d)| -start[j] / d).filter(|t| (0.0..1.0).contains(t)).collect();
        steps.sort_unstable_by(f64::total_cmp);
        let bend = rise - self.smooth_slope;
        let mut value = |k: usize| {
            let t = steps[k];
            self.point(start, t, false, w);
            t * self.smooth_slope + t * t * bend + penalty.value(w)
        };
        let (mut low, mut high) = (0, steps.len().checked_sub(1)?);
        while low < high {
            let middle = (low + high) / 2;
            if value(middle) <= value(middle + 1) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        Some(steps[low])
    }
}
