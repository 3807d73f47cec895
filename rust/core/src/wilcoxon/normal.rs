//! The normal tail, accurate relative to its own size down to the smallest number.
//!
//! Rational approximations of W. J. Cody, Math. Comp. 23 (1969) 631, each for one range of the argument.

use std::f64::consts::FRAC_1_SQRT_2;

const ONE_OVER_SQRT_PI: f64 = 0.564_189_583_547_756_3;

/// erf(x) / x on |x| <= 0.46875, in x².
const CENTER: ([f64; 5], [f64; 5]) = (
    [
        1.857_777_061_846_031_5e-1,
        3.161_123_743_870_565_6,
        1.138_641_541_510_501_6e2,
        3.774_852_376_853_02e2,
        3.209_377_589_138_469_5e3,
    ],
    [
        1.0,
        2.360_129_095_234_412e1,
        2.440_246_379_344_441_7e2,
        1.282_616_526_077_372_3e3,
        2.844_236_833_439_171e3,
    ],
);

/// erfc(x) exp(x²) on 0.46875 to 4, in x.
const MIDDLE: ([f64; 9], [f64; 9]) = (
    [
        2.153_115_354_744_038_5e-8,
        5.641_884_969_886_701e-1,
        8.883_149_794_388_376,
        6.611_919_063_714_163e1,
        2.986_351_381_974_001e2,
        8.819_522_212_417_69e2,
        1.712_047_612_634_070_6e3,
        2.051_078_377_826_071_5e3,
        1.230_339_354_797_997_2e3,
    ],
    [
        1.0,
        1.574_492_611_070_983_5e1,
        1.176_939_508_913_125e2,
        5.371_811_018_620_099e2,
        1.621_389_574_566_690_2e3,
        3.290_799_235_733_459_6e3,
        4.362_619_090_143_247e3,
        3.439_367_674_143_721_6e3,
        1.230_339_354_803_749_4e3,
    ],
);

/// Correction of the leading term of the tail above 4, in 1/x².
const TAIL: ([f64; 6], [f64; 6]) = (
    [
        1.631_538_713_730_209_8e-2,
        3.053_266_349_612_323_4e-1,
        3.603_448_999_498_044_4e-1,
        1.257_817_261_112_292_5e-1,
        1.608_378_514_874_228e-2,
        6.587_491_615_298_378e-4,
    ],
    [
        1.0,
        2.568_520_192_289_822,
        1.872_952_849_923_467,
        5.279_051_029_514_284e-1,
        6.051_834_131_244_132e-2,
        2.335_204_976_268_691_8e-3,
    ],
);

fn ratio<const N: usize>(coefficients: &([f64; N], [f64; N]), x: f64) -> f64 {
    let value = |terms: &[f64; N]| terms.iter().fold(0.0, |sum, term| sum * x + term);
    value(&coefficients.0) / value(&coefficients.1)
}

/// exp(-x²) whose relative error does not grow with x²: the square is split where it is exact.
fn gauss(x: f64) -> f64 {
    let near = (x * 16.0).trunc() / 16.0;
    (-near * near).exp() * (-(x - near) * (x + near)).exp()
}

/// Complementary error function.
#[must_use]
pub fn erfc(x: f64) -> f64 {
    let size = x.abs();
    let upper = if size <= 0.46875 {
        return 1.0 - x * ratio(&CENTER, x * x);
    } else if size <= 4.0 {
        gauss(size) * ratio(&MIDDLE, size)
    } else if size < 27.3 {
        let inverse = 1.0 / (size * size);
        gauss(size) * (ONE_OVER_SQRT_PI - inverse * ratio(&TAIL, inverse)) / size
    } else {
        0.0
    };
    if x < 0.0 { 2.0 - upper } else { upper }
}

/// Two-sided p-value of a standardized deviation, at most 1.
#[must_use]
pub fn two_sided(z: f64) -> f64 {
    erfc(z * FRAC_1_SQRT_2).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::erfc;

    /// erf(x) = 2/√π exp(-x²) Σ 2^n x^(2n+1) / (2n+1)!!: all terms positive.
    fn series(x: f64) -> f64 {
        let (mut term, mut sum) = (x, x);
        for n in 1..200 {
            term *= 2.0 * x * x / f64::from(2 * n + 1);
            sum += term;
        }
        1.0 - 2.0 * super::ONE_OVER_SQRT_PI * (-x * x).exp() * sum
    }

    /// Continued fraction of the tail, from its far end.
    fn fraction(x: f64) -> f64 {
        let mut below = x;
        for k in (1..400).rev() {
            below = x + f64::from(k) * 0.5 / below;
        }
        super::gauss(x) * super::ONE_OVER_SQRT_PI / below
    }

    #[test]
    fn the_three_ranges_agree_with_the_series_and_the_continued_fraction() {
        for step in -60..=40 {
            let x = f64::from(step) * 0.05;
            let expected = if x < 0.0 { 2.0 - series(-x) } else { series(x) };
            assert!((erfc(x) / expected - 1.0).abs() < 1e-13, "{x}");
        }
        for step in 20..=260 {
            let x = f64::from(step) * 0.1;
            assert!((erfc(x) / fraction(x) - 1.0).abs() < 2e-15, "{x}: {} {}", erfc(x), fraction(x));
        }
    }

    #[test]
    fn the_far_tail_has_its_digits() {
        // 40-digit values: erfc(5) = 1.5374597944280348502e-12, erfc(20) = 5.3958656116079009289e-176.
        assert!((erfc(5.0) / 1.537_459_794_428_035e-12 - 1.0).abs() < 1e-15);
        assert!((erfc(20.0) / 5.395_865_611_607_901e-176 - 1.0).abs() < 1e-15);
        assert_eq!(erfc(40.0), 0.0);
        assert_eq!(erfc(-40.0), 2.0);
    }
}
