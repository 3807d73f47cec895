//! Soft threshold and the proximal step of one group.

/// Move `x` towards zero by `t`, stopping there.
#[inline(always)]
#[must_use]
pub fn soft(x: f64, t: f64) -> f64 {
    if x > t {
        x - t
    } else if x < -t {
        x + t
    } else {
        0.0
    }
}

/// Euclidean norm of the soft-thresholded vector.
#[inline(always)]
#[must_use]
pub fn soft_norm(values: &[f64], t: f64) -> f64 {
    let mut sum = 0.0;
    for &value in values {
        let kept = soft(value, t);
        sum += kept * kept;
    }
    sum.sqrt()
}

/// Proximal step of `l1 * ||w||_1 + weight * ||w||_2` in place.
///
/// Thresholding first and shrinking by the norm that is left is exact for the sum of both penalties
/// (Yu, 2013, "On decomposing the proximal map").
pub fn prox_block(w: &mut [f64], l1: f64, weight: f64) {
    let norm = soft_norm(w, l1);
    let shrink = if norm > weight { 1.0 - weight / norm } else { 0.0 };
    for value in w {
        *value = shrink * soft(*value, l1);
    }
}

/// The `x >= 0` with `diagonal x + weight x / sqrt(x^2 + rest) = pull`, 0 when `pull <= 0`; `precision` is the relative change at which it
/// stops.
///
/// The left side is increasing and concave, so Newton's method approaches from below after its first step.
#[inline(always)]
pub(crate) fn smallest(pull: f64, diagonal: f64, weight: f64, rest: f64, old: f64, precision: f64) -> f64 {
    if pull <= 0.0 {
        return 0.0;
    }
    if weight == 0.0 {
        return pull / diagonal;
    }
    if rest == 0.0 {
        return (pull - weight).max(0.0) / diagonal;
    }
    // Near the end of a fit the old value is almost right; from zero one step of the fixed-point form.
    let mut x = if old == 0.0 { pull / (diagonal + weight / rest.sqrt()) } else { old.abs() };
    for _ in 0..20 {
        let square = x * x + rest;
        let root = square.sqrt();
        let excess = diagonal * x + weight * x / root - pull;
        let slope = diagonal + weight * rest / (square * root);
        let step = excess / slope;
        x = (x - step).max(0.0);
        if step.abs() <= precision * x {
            break;
        }
    }
    x
}

#[cfg(test)]
mod tests {
    use super::{prox_block, smallest, soft_norm};
    use proptest::prelude::*;

    fn objective(w: &[f64], v: &[f64], l1: f64, weight: f64) -> f64 {
        let fit: f64 = w.iter().zip(v).map(|(w, v)| (w - v) * (w - v)).sum();
        let norm = w.iter().map(|w| w * w).sum::<f64>().sqrt();
        0.5 * fit + l1 * w.iter().map(|w| w.abs()).sum::<f64>() + weight * norm
    }

    proptest! {
        #[test]
        fn no_nearby_point_is_better(
            v in prop::collection::vec(-3.0..3.0f64, 1..6),
            step in prop::collection::vec(-0.5..0.5f64, 6),
            l1 in 0.0..1.5f64,
            weight in 0.0..1.5f64,
        ) {
            let mut best = v.clone();
            prox_block(&mut best, l1, weight);
            let other: Vec<f64> = best.iter().zip(&step).map(|(b, s)| b + s).collect();
            prop_assert!(objective(&best, &v, l1, weight) <= objective(&other, &v, l1, weight) + 1e-12);
        }

        #[test]
        fn it_is_zero_exactly_when_the_thresholded_norm_is_within_the_weight(
            v in prop::collection::vec(-2.0..2.0f64, 1..6),
            l1 in 0.0..1.0f64,
            weight in 0.01..2.0f64,
        ) {
            let mut w = v.clone();
            prox_block(&mut w, l1, weight);
            prop_assert_eq!(w.iter().all(|&w| w == 0.0), soft_norm(&v, l1) <= weight);
        }

        #[test]
        fn the_one_dimensional_step_solves_its_equation(
            pull in 1e-6..10.0f64, diagonal in 1e-8..10.0f64, weight in 0.0..5.0f64, rest in 1e-12..10.0f64,
            old in -3.0..3.0f64,
        ) {
            let x = smallest(pull, diagonal, weight, rest, old, 1e-7);
            let left = diagonal * x + weight * x / (x * x + rest).sqrt();
            prop_assert!(x >= 0.0 && (left - pull).abs() <= 1e-10 * (pull + weight), "{x} {left} {pull}");
        }
    }
}
