//! Small matrix products and exponentials in registers: the inner loops of the mesh and of the direct sums.

use crate::simd::fma;

/// Columns of a tile are padded to a multiple of this, the doubles of one wide register.
pub const LANES: usize = 8;

/// `columns` rounded up to whole registers.
pub fn padded(columns: usize) -> usize {
    columns.div_ceil(LANES) * LANES
}

/// Left factor of a product, read as `data[row * row_step + k * k_step]`.
#[derive(Debug, Clone, Copy)]
pub struct Left<'a> {
    /// Entries.
    pub data: &'a [f64],
    /// Distance between rows.
    pub row_step: usize,
    /// Distance between entries of one row.
    pub k_step: usize,
}

crate::widest! {
    /// `c[i, :] += sum_k a[i, k] b[k, :]` for `m` rows, `depth` terms and `n` columns (a multiple of 8).
    pub fn accumulate(m: usize, n: usize, depth: usize, a: Left, b: &[f64], c: &mut [f64]) {
        let mut row = 0;
        while row < m {
            let rows = (m - row).min(8);
            let a = Left { data: &a.data[row * a.row_step..], ..a };
            let c = &mut c[row * n..(row + rows) * n];
            match rows {
                8 => strip::<FMA, 8>(n, depth, a, b, c),
                7 => strip::<FMA, 7>(n, depth, a, b, c),
                6 => strip::<FMA, 6>(n, depth, a, b, c),
                5 => strip::<FMA, 5>(n, depth, a, b, c),
                4 => strip::<FMA, 4>(n, depth, a, b, c),
                3 => strip::<FMA, 3>(n, depth, a, b, c),
                2 => strip::<FMA, 2>(n, depth, a, b, c),
                _ => strip::<FMA, 1>(n, depth, a, b, c),
            }
            row += rows;
        }
    }
}

#[inline(always)]
fn strip<const FMA: bool, const M: usize>(n: usize, depth: usize, a: Left, b: &[f64], c: &mut [f64]) {
    let mut column = 0;
    while column + 2 * LANES <= n {
        block::<FMA, M, { 2 * LANES }>(n, depth, a, b, c, column);
        column += 2 * LANES;
    }
    if column < n {
        block::<FMA, M, LANES>(n, depth, a, b, c, column);
    }
}

#[inline(always)]
fn block<const FMA: bool, const M: usize, const W: usize>(
    n: usize,
    depth: usize,
    a: Left,
    b: &[f64],
    c: &mut [f64],
    column: usize,
) {
    let mut sum = [[0.0; W]; M];
    for k in 0..depth {
        let Some(line) = b[k * n + column..].first_chunk::<W>() else { return };
        for (i, sum) in sum.iter_mut().enumerate() {
            let weight = a.data[i * a.row_step + k * a.k_step];
            for (s, x) in sum.iter_mut().zip(line) {
                *s = fma::<FMA>(weight, *x, *s);
            }
        }
    }
    for (i, sum) in sum.iter().enumerate() {
        for (c, s) in c[i * n + column..].iter_mut().zip(sum) {
            *c += s;
        }
    }
}

crate::widest! {
    /// Replace each entry x, which must not be positive, by exp(x) to about 1 unit in the last place.
    pub fn exp_in_place(values: &mut [f64]) {
        for x in values.iter_mut() {
            *x = exp::<FMA>(*x);
        }
    }
}

/// exp(x) for x <= 0 without branches: x = k ln 2 + r, a polynomial in r, and k added to the exponent.
#[inline(always)]
fn exp<const FMA: bool>(x: f64) -> f64 {
    const MAGIC: f64 = 6_755_399_441_055_744.0; // 1.5 * 2^52: adding it rounds to an integer
    const LN2_HIGH: f64 = 6.931_471_803_691_238e-1;
    const LN2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    const TERMS: [f64; 14] = [
        1.0,
        1.0,
        1.0 / 2.0,
        1.0 / 6.0,
        1.0 / 24.0,
        1.0 / 120.0,
        1.0 / 720.0,
        1.0 / 5_040.0,
        1.0 / 40_320.0,
        1.0 / 362_880.0,
        1.0 / 3_628_800.0,
        1.0 / 39_916_800.0,
        1.0 / 479_001_600.0,
        1.0 / 6_227_020_800.0,
    ];
    let x = x.max(-708.0);
    let shifted = fma::<FMA>(x, std::f64::consts::LOG2_E, MAGIC);
    let k = shifted - MAGIC;
    let r = fma::<FMA>(-k, LN2_LOW, fma::<FMA>(-k, LN2_HIGH, x));
    let mut sum = TERMS[13];
    for term in TERMS[..13].iter().rev() {
        sum = fma::<FMA>(sum, r, *term);
    }
    let power = f64::from_bits((shifted.to_bits() << 52).wrapping_add(1023 << 52));
    sum * power
}

#[cfg(test)]
mod tests {
    use super::{Left, accumulate, exp_in_place, padded};

    #[test]
    fn the_product_agrees_with_the_plain_loops_for_every_remainder() {
        for (m, columns, depth) in [(1, 1, 1), (7, 50, 3), (8, 16, 49), (19, 23, 10), (49, 56, 5)] {
            let n = padded(columns);
            let a: Vec<f64> = (0..m * depth).map(|i| (i as f64 * 0.37).sin()).collect();
            let b: Vec<f64> = (0..depth * n).map(|i| (i as f64 * 0.11).cos()).collect();
            let mut c = vec![0.5; m * n];
            accumulate(m, n, depth, Left { data: &a, row_step: depth, k_step: 1 }, &b, &mut c);
            for i in 0..m {
                for j in 0..n {
                    let plain: f64 = (0..depth).map(|k| a[i * depth + k] * b[k * n + j]).sum();
                    assert!((c[i * n + j] - 0.5 - plain).abs() < 1e-13);
                }
            }
        }
    }

    #[test]
    fn the_exponential_is_good_to_the_last_places() {
        let mut values: Vec<f64> = (0..20_000).map(|i| -f64::from(i) * 0.0351).collect();
        let exact: Vec<f64> = values.iter().map(|x| x.exp()).collect();
        exp_in_place(&mut values);
        for (x, e) in values.iter().zip(exact) {
            assert!((x - e).abs() <= 4.0 * f64::EPSILON * e, "{x:e} {e:e}");
        }
    }
}
