//! exp(digamma(x)) of many values at once, without a logarithm.

use crate::simd::fma;
use crate::widest;

/// Values are raised by this many units before the series is used.
const SHIFT: usize = 6;

/// Series of exp(digamma(x)) - x in powers of 1/x.
const SERIES: [f64; 8] = [
    -1.0 / 2.0,
    1.0 / 24.0,
    1.0 / 48.0,
    23.0 / 5760.0,
    -17.0 / 3840.0,
    -10_099.0 / 2_903_040.0,
    2501.0 / 1_161_216.0,
    795_697.0 / 199_065_600.0,
];

widest! {
    /// Replace every positive value x by exp(digamma(x)), relative error below 1e-7.
    ///
    /// With y = x + 6: digamma(x) = digamma(y) - sum of 1/(x + i) for i below 6, and that sum is one quotient of polynomials.
    pub(super) fn exp_digamma(values: &mut [f64]) {
        const LANES: usize = 8;
        let (chunks, rest) = values.as_chunks_mut::<LANES>();
        for chunk in chunks {
            replace::<FMA, LANES>(chunk);
        }
        for value in rest.as_chunks_mut::<1>().0 {
            replace::<FMA, 1>(value);
        }
    }
}

#[inline(always)]
fn replace<const FMA: bool, const N: usize>(values: &mut [f64; N]) {
    for value in values {
        let x = *value;
        // Numerator and denominator of the sum of 1/(x + i), one term at a time.
        let (mut top, mut bottom) = (1.0, x);
        for i in 1..SHIFT {
            let term = x + i as f64;
            top = fma::<FMA>(top, term, bottom);
            bottom *= term;
        }
        let (y, inverse) = (x + SHIFT as f64, 1.0 / (x + SHIFT as f64));
        let mut series = SERIES[SERIES.len() - 1];
        for &term in SERIES[..SERIES.len() - 1].iter().rev() {
            series = fma::<FMA>(series, inverse, term);
        }
        *value = (y + series) * exp_negative::<FMA>(top / bottom);
    }
}

/// exp(-x) for x >= 0; below 1e-300 it is about 1e-300.
#[inline(always)]
fn exp_negative<const FMA: bool>(x: f64) -> f64 {
    const SHIFTER: f64 = 6_755_399_441_055_744.0; // 1.5 x 2^52: adding it leaves the nearest whole number in the low bits
    let scaled = -x.min(690.0) * std::f64::consts::LOG2_E;
    let whole = scaled + SHIFTER;
    let rest = (scaled - (whole - SHIFTER)) * std::f64::consts::LN_2;
    let mut power = 1.0 / 3_628_800.0;
    for factorial in [362_880.0, 40_320.0, 5040.0, 720.0, 120.0, 24.0, 6.0, 2.0, 1.0, 1.0] {
        power = fma::<FMA>(power, rest, 1.0 / factorial);
    }
    let exponent = whole.to_bits().wrapping_sub(SHIFTER.to_bits()).wrapping_add(1023);
    power * f64::from_bits(exponent << 52)
}

#[cfg(test)]
mod tests {
    use super::exp_digamma;
    use approx::assert_relative_eq;

    /// Values from tables of the digamma function.
    #[test]
    fn known_values_are_met() {
        let euler = 0.577_215_664_901_532_9;
        let known = [
            (1.0, -euler),
            (0.5, -euler - 2.0 * std::f64::consts::LN_2),
            (2.0, 1.0 - euler),
            (10.0, 2.251_752_589_066_721),
            (0.01, -100.560_885_457_868_68),
            (1000.0, 6.907_255_195_648_812),
        ];
        for (x, digamma) in known {
            let mut values = vec![x; 11];
            exp_digamma(&mut values);
            for value in values {
                assert_relative_eq!(value.ln(), digamma, epsilon = 1e-7, max_relative = 1e-8);
            }
        }
    }
}
