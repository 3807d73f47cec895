//! How far a point is from the optimum: the duality gap and the violation of the optimality conditions.
//!
//! With the residual `r` of a point and any scalar `t`, `theta = t r` is dual feasible when
//! `||S(|t| X_g^T r / n, l1)||_2 <= weight_g` for every group, and then
//! `D = t (y^T r)/n - t^2 ||r||^2 / (2n)` bounds the optimum from below
//! (Ndiaye et al., 2016, "Gap safe screening rules for sparse-group lasso").

use super::groups::{Penalty, norm};
use super::prox::{soft, soft_norm};
use super::quadratic::Quadratic;

/// Objective at a point and the gap to a lower bound of the optimum.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Certificate {
    /// Objective at the point.
    pub primal: f64,
    /// `primal` minus a lower bound of the smallest objective; never negative.
    pub gap: f64,
}

/// Which rule ended a fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopRule {
    /// The gap fell below `tol` times the objective.
    RelativeGap,
    /// The gap fell below `tol / 1000` times the objective of the empty model: the rule for fits whose
    /// objective is nearly zero.
    NullGap,
    /// A whole sweep changed nothing beyond rounding.
    Stationary,
    /// The relative change of the iterate fell below `tol` (reference solver only).
    IterateChange,
    /// The allowed number of iterations was used up.
    MaxIter,
}

impl StopRule {
    /// True for every rule except running out of iterations.
    #[must_use]
    pub fn converged(self) -> bool {
        self != Self::MaxIter
    }

    /// Name shown to the user.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::RelativeGap => "relative_gap",
            Self::NullGap => "null_gap",
            Self::Stationary => "stationary",
            Self::IterateChange => "iterate_change",
            Self::MaxIter => "max_iter",
        }
    }
}

impl Certificate {
    /// The rule that allows to stop here, if any. `null` is `||y||^2 / n`.
    #[must_use]
    pub fn rule(&self, tol: f64, null: f64) -> Option<StopRule> {
        if self.gap <= tol * self.primal {
            Some(StopRule::RelativeGap)
        } else if self.gap <= 1e-3 * tol * 0.5 * null {
            Some(StopRule::NullGap)
        } else {
            None
        }
    }
}

/// Certificate of the current point `w` of `quadratic`. `descent` is scratch space.
pub fn certificate<Q: Quadratic>(
    quadratic: &Q,
    penalty: &Penalty,
    w: &[f64],
    descent: &mut Vec<f64>,
) -> Certificate {
    descent.resize(w.len(), 0.0);
    quadratic.descent(descent);
    certificate_from(descent, quadratic.moments(w), penalty, w)
}

/// Certificate from the negative gradient `X^T r / n` and the moments `(||r||^2 / n, y^T r / n)`.
#[must_use]
pub fn certificate_from(descent: &[f64], moments: (f64, f64), penalty: &Penalty, w: &[f64]) -> Certificate {
    let (rr, yr) = moments;
    let primal = 0.5 * rr + penalty.value(w);
    let bound = 1.0 / dual_norm(descent, penalty).max(1e-300);
    let t = if rr > 0.0 { (yr / rr).clamp(-bound, bound) } else { 0.0 };
    let dual = t * yr - 0.5 * t * t * rr;
    Certificate { primal, gap: (primal - dual).max(0.0) }
}

/// Largest dual norm over the groups: `1 / dual_norm` is the largest feasible `|t|`.
#[must_use]
pub fn dual_norm(descent: &[f64], penalty: &Penalty) -> f64 {
    let mut sorted = Vec::new();
    let mut largest = 0.0f64;
    for block in &penalty.blocks {
        sorted.clear();
        sorted.extend(descent[block.start..block.end].iter().map(|a| a.abs()));
        largest = largest.max(block_dual_norm(&mut sorted, penalty.l1, block.weight));
    }
    largest
}

/// The `alpha` with `||S(u / alpha, l1)||_2 = weight`, for absolute values `u`, which are sorted here.
///
/// With the `k` largest entries above the threshold, `t = 1 / alpha` is the larger root of
/// `S2 t^2 - 2 l1 S1 t + k l1^2 - weight^2 = 0`, where S1 and S2 sum these entries and their squares.
#[must_use]
pub fn block_dual_norm(u: &mut [f64], l1: f64, weight: f64) -> f64 {
    if l1 == 0.0 {
        return norm(u) / weight;
    }
    u.sort_unstable_by(|a, b| b.total_cmp(a));
    let Some(&top) = u.first() else { return 0.0 };
    if top == 0.0 {
        return 0.0;
    }
    if weight == 0.0 {
        return top / l1;
    }
    // Entries divided by the largest one keep the squares in range.
    let (mut s1, mut s2) = (0.0, 0.0);
    let mut root = 0.0;
    for k in 0..u.len() {
        let value = u[k] / top;
        s1 += value;
        s2 += value * value;
        let count = (k + 1) as f64;
        let next = u.get(k + 1).map_or(0.0, |&v| v / top);
        let enters = if next > 0.0 { l1 / next } else { f64::INFINITY };
        // Squared thresholded norm at the point where entry k + 1 would start to count.
        let there = if enters.is_finite() {
            s2 * enters * enters - 2.0 * l1 * s1 * enters + count * l1 * l1
        } else {
            f64::INFINITY
        };
        if there >= weight * weight {
            let discriminant = (l1 * s1).powi(2) - s2 * (count * l1 * l1 - weight * weight);
            root = (l1 * s1 + discriminant.max(0.0).sqrt()) / s2;
            break;
        }
    }
    top / root
}

/// Largest absolute violation of the optimality conditions at `w` with the negative gradient `descent`.
#[must_use]
pub fn kkt_residual(descent: &[f64], penalty: &Penalty, w: &[f64]) -> f64 {
    let mut worst = 0.0f64;
    for block in &penalty.blocks {
        let (a, w) = (&descent[block.start..block.end], &w[block.start..block.end]);
        let size = norm(w);
        if size == 0.0 {
            worst = worst.max(soft_norm(a, penalty.l1) - block.weight);
            continue;
        }
        for (&a, &w) in a.iter().zip(w) {
            let violation = if w == 0.0 {
                soft(a, penalty.l1).abs()
            } else {
                (a - penalty.l1 * w.signum() - block.weight * w / size).abs()
            };
            worst = worst.max(violation);
        }
    }
    worst
}

#[cfg(test)]
mod tests {
    use super::{block_dual_norm, certificate_from};
    use crate::lasso::groups::{Block, Penalty};
    use crate::lasso::prox::soft_norm;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn at_the_dual_norm_the_constraint_is_tight(
            u in prop::collection::vec(0.0..5.0f64, 1..8),
            l1 in 1e-6..2.0f64,
            weight in 1e-6..2.0f64,
        ) {
            prop_assume!(u.iter().any(|&v| v > 1e-6));
            let alpha = block_dual_norm(&mut u.clone(), l1, weight);
            let scaled: Vec<f64> = u.iter().map(|v| v / alpha).collect();
            let reached = soft_norm(&scaled, l1);
            prop_assert!((reached - weight).abs() <= 1e-9 * (weight + l1), "{reached} {weight}");
        }

        #[test]
        fn the_gap_bounds_the_distance_to_the_optimum(
            x in -2.0..2.0f64, y in -2.0..2.0f64, w in -2.0..2.0f64, l1 in 0.01..1.0f64, weight in 0.01..1.0f64,
        ) {
            // One observation and one column: the optimum is a soft threshold.
            prop_assume!(x.abs() > 0.1);
            let penalty = Penalty {
                l1,
                blocks: vec![Block { start: 0, end: 1, weight, rank: Some(0), factor: 1.0 }],
            };
            let value = |w: f64| 0.5 * (y - x * w).powi(2) + (l1 + weight) * w.abs();
            let r = y - x * w;
            let found = certificate_from(&[x * r], (r * r, y * r), &penalty, &[w]);
            let best = super::soft(x * y, l1 + weight) / (x * x);
            prop_assert!((found.primal - value(w)).abs() < 1e-12);
            prop_assert!(found.gap >= value(w) - value(best) - 1e-12);
        }
    }

    #[test]
    fn without_l1_it_is_the_norm_over_the_weight() {
        assert_eq!(block_dual_norm(&mut [3.0, 4.0], 0.0, 2.0), 2.5);
    }

    #[test]
    fn without_group_weight_it_is_the_largest_entry_over_l1() {
        assert_eq!(block_dual_norm(&mut [3.0, 4.0], 2.0, 0.0), 2.0);
    }
}
