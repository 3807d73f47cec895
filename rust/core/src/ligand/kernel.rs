//! The three shapes of a ligand signal.

use super::lanes::Lanes;
use crate::error::{Error, Result};
use crate::{simd::fma, widest};

/// How a signal fades with distance; `r` is the radius.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kernel {
    /// `exp(-d^2 / (2 r^2))` at every distance.
    Gaussian,
    /// `exp(-d^2 / (2 s^2))` up to `d = r`, where it is 0.001, and 0 beyond: `s = r / sqrt(2 ln 1000)`.
    GaussianTruncated,
    /// `exp(-d^2 / (2 r^2))` up to the given distance and 0 beyond.
    GaussianCutoff(f64),
}

/// A kernel with its lengths: `exp(-d^2 / (2 sigma^2))` for `d <= reach`, else 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Shape {
    pub(super) sigma: f64,
    /// Infinite when every pair counts.
    pub(super) reach: f64,
}

impl Kernel {
    /// Lengths of the kernel for a radius that was checked.
    pub(super) fn shape(self, radius: f64) -> Result<Shape> {
        match self {
            Self::Gaussian => Ok(Shape { sigma: radius, reach: f64::INFINITY }),
            Self::GaussianTruncated => {
                Ok(Shape { sigma: radius / (2.0 * 1000.0_f64.ln()).sqrt(), reach: radius })
            }
            Self::GaussianCutoff(reach) if reach.is_finite() && reach > 0.0 => {
                Ok(Shape { sigma: radius, reach })
            }
            Self::GaussianCutoff(reach) => Err(Error::Parameter {
                name: "cutoff",
                value: reach.to_string(),
                expected: "give a positive length in the units of the coordinates",
            }),
        }
    }
}

impl Shape {
    /// The same kernel without pairs of weight below `tolerance`.
    pub(super) fn dropping(self, tolerance: f64) -> Self {
        Self { reach: self.reach.min(self.sigma * (-2.0 * tolerance.ln()).sqrt()), ..self }
    }

    /// Weight of one pair at distance `d`.
    pub(super) fn weight(self, d: f64) -> f64 {
        if d <= self.reach { (-0.5 * d * d / (self.sigma * self.sigma)).exp() } else { 0.0 }
    }
}

/// Eight points, one unit per coordinate.
pub(super) type Points = [Lanes; 3];

/// Coordinates of consecutive points, one run per axis; unused axes are 0.
#[derive(Debug, Clone, Default)]
pub(super) struct Coordinates(pub(super) [Vec<f64>; 3]);

impl Coordinates {
    pub(super) fn push(&mut self, point: [f64; 3]) {
        for (axis, value) in self.0.iter_mut().zip(point) {
            axis.push(value);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.0[0].len()
    }

    pub(super) fn at(&self, i: usize) -> [f64; 3] {
        [self.0[0][i], self.0[1][i], self.0[2][i]]
    }

    /// Smallest and largest coordinate on one axis.
    pub(super) fn extent(&self, axis: usize) -> (f64, f64) {
        let values = &self.0[axis];
        let lowest = values.iter().copied().fold(f64::INFINITY, f64::min);
        (lowest, values.iter().copied().fold(f64::NEG_INFINITY, f64::max))
    }

    /// Largest extent of the bounding box.
    pub(super) fn widest_axis(&self) -> f64 {
        [0, 1, 2].map(|axis| self.extent(axis)).iter().map(|(low, high)| high - low).fold(0.0, f64::max)
    }

    /// Up to eight points from `first`; missing ones repeat the last so that no infinity can arise.
    pub(super) fn eight(&self, first: usize, count: usize) -> Points {
        let mut points = [Lanes::ZERO; 3];
        for (lanes, axis) in points.iter_mut().zip(&self.0) {
            for (c, lane) in lanes.0.iter_mut().enumerate() {
                *lane = axis[first + c.min(count - 1)];
            }
        }
        points
    }
}

widest! {
    /// `out[k]` = weights of the eight `targets` for each source `first + k`.
    pub(super) fn pair_weights(
        shape: Shape,
        targets: &Points,
        sources: &Coordinates,
        first: usize,
        out: &mut [Lanes],
    ) {
        let factor = -0.5 / (shape.sigma * shape.sigma);
        let end = first + out.len();
        let [x, y, z] = &sources.0;
        let sources = x[first..end].iter().zip(&y[first..end]).zip(&z[first..end]);
        for (weights, ((x, y), z)) in out.iter_mut().zip(sources) {
            for lane in 0..8 {
                let (dx, dy, dz) = (targets[0].0[lane] - x, targets[1].0[lane] - y, targets[2].0[lane] - z);
                let square = fma::<FMA>(dz, dz, fma::<FMA>(dy, dy, dx * dx));
                let weight = exp_negative::<FMA>(factor * square);
                weights.0[lane] = if square.sqrt() <= shape.reach { weight } else { 0.0 };
            }
        }
    }
}

/// `exp(x)` for `x <= 0`, within 2 units of the last place; 0 below -708. Vectorizes, unlike the library's.
#[inline(always)]
fn exp_negative<const FMA: bool>(x: f64) -> f64 {
    const ROUND: f64 = 6_755_399_441_055_744.0; // 1.5 * 2^52: adding it rounds to a whole number
    const LN2_HIGH: f64 = 6.931_471_803_691_238e-1;
    const LN2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    let clamped = if x < -708.0 { -708.0 } else { x };
    let shifted = fma::<FMA>(clamped, std::f64::consts::LOG2_E, ROUND);
    let whole = shifted - ROUND;
    let rest = fma::<FMA>(whole, -LN2_LOW, fma::<FMA>(whole, -LN2_HIGH, clamped));
    let mut sum = INVERSE_FACTORIALS[13];
    for k in (0..13).rev() {
        sum = fma::<FMA>(sum, rest, INVERSE_FACTORIALS[k]);
    }
    let power = f64::from_bits((shifted.to_bits() << 52).wrapping_add(1.0_f64.to_bits()));
    if x < -708.0 { 0.0 } else { sum * power }
}

/// `1 / k!`: on |x| <= ln(2) / 2 the 14 terms leave less than 5e-18.
const INVERSE_FACTORIALS: [f64; 14] = {
    let mut table = [1.0; 14];
    let mut k = 1;
    while k < 14 {
        table[k] = table[k - 1] / k as f64;
        k += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponential_is_accurate_to_a_few_units_of_the_last_place() {
        for i in 0..200_000 {
            let x = -(f64::from(i) * 0.003_53);
            let (got, expected) = (exp_negative::<false>(x), x.exp());
            assert!(
                (got - expected).abs() <= 8.0 * f64::EPSILON * expected + 1e-307,
                "{x}: {got} {expected}"
            );
        }
        assert_eq!(exp_negative::<false>(0.0), 1.0);
        assert_eq!(exp_negative::<false>(-1e9), 0.0);
        assert_eq!(exp_negative::<false>(f64::NEG_INFINITY), 0.0);
    }

    #[test]
    fn weights_of_eight_targets_are_the_weights_of_each() {
        let mut sources = Coordinates::default();
        for i in 0..20 {
            sources.push([f64::from(i) * 3.0, f64::from(i % 5), 0.5 * f64::from(i % 3)]);
        }
        let shape = Shape { sigma: 7.0, reach: 20.0 };
        let targets = sources.eight(3, 5);
        let mut out = vec![Lanes::ZERO; 11];
        pair_weights(shape, &targets, &sources, 6, &mut out);
        for (k, weights) in out.iter().enumerate() {
            for lane in 0..8 {
                let (a, b) = (sources.at(3 + lane.min(4)), sources.at(6 + k));
                let d = a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt();
                assert!((weights.0[lane] - shape.weight(d)).abs() < 1e-15);
            }
        }
    }
}
