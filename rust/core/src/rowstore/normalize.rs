//! `log1p(x * target / sum of the row)` with few logarithms.

use super::gather::Value;

/// Counts up to this are looked up: they are nearly all there are, and a row repeats each many times.
const SMALL: usize = 64;

/// Scale of one row and its logarithms so far.
pub struct RowScale {
    factor: f64,
    small: [f32; SMALL],
}

impl RowScale {
    /// Scale a row whose counts sum to `sum` to `target`. An empty row stays zero.
    pub fn new(sum: f64, target: f64) -> Self {
        let factor = if sum > 0.0 { target / sum } else { 0.0 };
        Self { factor, small: [f32::NAN; SMALL] }
    }

    /// `log1p(count * factor)`, computed in double precision.
    #[inline]
    pub fn log1p<V: Value>(&mut self, count: V) -> f32 {
        let exact = |count: V, factor: f64| (count.get() * factor).ln_1p() as f32;
        let Some(known) = self.small.get_mut(count.whole()) else {
            return exact(count, self.factor);
        };
        if known.is_nan() {
            *known = exact(count, self.factor);
        }
        *known
    }
}
