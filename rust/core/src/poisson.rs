//! Variance that counting puts on log-normalized expression.

use crate::check;
use crate::error::{Error, Result};
use ndarray::{Array2, ArrayView1, ArrayView2, Axis, Zip};

/// Smallest and largest expected count; beyond them the variance of the nearest one is taken.
pub const RANGE: (f64, f64) = (1e-3, 80.0);

/// Largest count of the sum; at the largest mean the rest has the probability 1e-5.
const LARGEST_COUNT: usize = 120;

/// Tails of smaller probability are left out.
const TAIL: f64 = 1e-12;

/// `Var[log1p(f C)]` with `C` Poisson of each of `means` (cells x genes) and `f` the factor of the cell.
///
/// # Errors
/// When rows disagree or a value is not finite, or a factor is not positive.
pub fn log_variance(means: ArrayView2<f64>, factors: ArrayView1<f64>) -> Result<Array2<f32>> {
    check::same_rows("means", means.nrows(), "factors", factors.len())?;
    check::finite("means", means)?;
    check::finite_vector("factors", factors)?;
    if let Some(bad) = factors.iter().find(|f| **f <= 0.0) {
        let expected = "give a positive factor for every cell";
        return Err(Error::Parameter { name: "factors", value: bad.to_string(), expected });
    }
    let mut out = Array2::zeros(means.raw_dim());
    Zip::from(out.axis_iter_mut(Axis(0))).and(means.axis_iter(Axis(0))).and(factors).par_for_each(
        |mut out, means, &factor| {
            let logs: Vec<f64> = (0..=LARGEST_COUNT).map(|count| (factor * count as f64).ln_1p()).collect();
            out.iter_mut().zip(means).for_each(|(out, &mean)| *out = variance(mean, &logs) as f32);
        },
    );
    Ok(out)
}

/// Variance of `values[C]`, summed away from the most likely count, around its value.
///
/// The weights are relative to that of the most likely count, `w(C + 1) = w(C) m / (C + 1)`, so none is too small or
/// too large.
fn variance(mean: f64, values: &[f64]) -> f64 {
    let mean = mean.clamp(RANGE.0, RANGE.1);
    let mode = mean as usize;
    let center = values[mode];
    let (mut weights, mut first, mut second) = (1.0, 0.0, 0.0);
    let mut add = |weight: f64, value: f64| {
        let from = value - center;
        weights += weight;
        first += weight * from;
        second += weight * from * from;
    };
    let mut weight = 1.0;
    for (count, &value) in values.iter().enumerate().skip(mode + 1) {
        weight *= mean / count as f64;
        if weight < TAIL {
            break;
        }
        add(weight, value);
    }
    weight = 1.0;
    for count in (0..mode).rev() {
        weight *= (count + 1) as f64 / mean;
        if weight < TAIL {
            break;
        }
        add(weight, values[count]);
    }
    let shift = first / weights;
    (second / weights - shift * shift).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::variance;

    #[test]
    fn of_the_count_itself_it_is_the_mean() {
        let counts: Vec<f64> = (0..=120).map(f64::from).collect();
        for mean in [1e-3, 0.2, 1.0, 3.7, 20.0, 60.0] {
            approx::assert_relative_eq!(variance(mean, &counts), mean, max_relative = 1e-6);
        }
    }

    #[test]
    fn of_a_rare_count_it_is_that_of_a_coin() {
        let logs: Vec<f64> = (0..=120).map(|c| f64::from(c).ln_1p()).collect();
        let m: f64 = 1e-3;
        let (p0, p1, p2) = ((-m).exp(), m * (-m).exp(), 0.5 * m * m * (-m).exp());
        let mean = p1 * 2.0f64.ln() + p2 * 3.0f64.ln();
        let expected =
            p0 * mean.powi(2) + p1 * (2.0f64.ln() - mean).powi(2) + p2 * (3.0f64.ln() - mean).powi(2);
        approx::assert_relative_eq!(variance(m, &logs), expected, max_relative = 1e-6);
    }
}
