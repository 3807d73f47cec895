//! Distances of every predicted effect to every measured effect.

use crate::check;
use crate::error::{Error, Result};
use ndarray::{Array2, ArrayView2, Axis};
use rayon::prelude::*;

/// Sums kept side by side, so that the loop can use wide vectors and always adds in the same order.
const LANES: usize = 8;

/// Distance of two effects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    /// Σ |a - b|
    L1,
    /// sqrt(Σ (a - b)²)
    L2,
    /// 1 - Σ a b / (|a| |b|); NaN when one of them is zero.
    Cosine,
}

/// Distance of each row of `predicted` (rows x genes) to each row of `measured` (columns of the result).
///
/// `skip`: per row of `predicted` the gene that is left out, -1 for none.
///
/// Cost O(rows² x genes) time.
///
/// # Errors
/// [`Error::Rows`], [`Error::Shape`], [`Error::Index`], [`Error::NotFinite`] for bad input.
pub fn effect_distances(
    predicted: ArrayView2<f64>,
    measured: ArrayView2<f64>,
    skip: &[i64],
    metric: Metric,
) -> Result<Array2<f64>> {
    check::same_rows("predicted", predicted.nrows(), "skip", skip.len())?;
    if predicted.ncols() != measured.ncols() {
        let found = format!("{} genes", predicted.ncols());
        return Err(Error::Shape {
            name: "predicted",
            found,
            expected: format!("{} genes", measured.ncols()),
        });
    }
    check::indices("skip", skip.iter().copied().filter(|gene| *gene >= 0), predicted.ncols())?;
    check::finite("predicted", predicted)?;
    check::finite("measured", measured)?;
    let (predicted, measured) = (predicted.as_standard_layout(), measured.as_standard_layout());
    let mut out = Array2::zeros((predicted.nrows(), measured.nrows()));
    out.axis_iter_mut(Axis(0)).into_par_iter().enumerate().for_each(|(row, mut line)| {
        let mine = predicted.row(row);
        for (distance, other) in line.iter_mut().zip(measured.outer_iter()) {
            if let (Some(a), Some(b)) = (mine.as_slice(), other.as_slice()) {
                *distance = between(a, b, usize::try_from(skip[row]).ok(), metric);
            }
        }
    });
    Ok(out)
}

fn between(a: &[f64], b: &[f64], skip: Option<usize>, metric: Metric) -> f64 {
    match metric {
        Metric::L1 => sum(a, b, skip, |a, b| (a - b).abs()),
        Metric::L2 => sum(a, b, skip, |a, b| (a - b) * (a - b)).sqrt(),
        Metric::Cosine => {
            let (left, right) = (sum(a, a, skip, |a, b| a * b), sum(b, b, skip, |a, b| a * b));
            1.0 - sum(a, b, skip, |a, b| a * b) / (left.sqrt() * right.sqrt())
        }
    }
}

#[inline(always)]
fn sum(a: &[f64], b: &[f64], skip: Option<usize>, term: impl Fn(f64, f64) -> f64 + Copy) -> f64 {
    match skip {
        Some(gene) => stretch(&a[..gene], &b[..gene], term) + stretch(&a[gene + 1..], &b[gene + 1..], term),
        None => stretch(a, b, term),
    }
}

#[inline(always)]
fn stretch(a: &[f64], b: &[f64], term: impl Fn(f64, f64) -> f64) -> f64 {
    let mut lanes = [0.0; LANES];
    let (heads, tail) = a.as_chunks::<LANES>();
    let (others, other_tail) = b.as_chunks::<LANES>();
    for (a, b) in heads.iter().zip(others) {
        for lane in 0..LANES {
            lanes[lane] += term(a[lane], b[lane]);
        }
    }
    let rest: f64 = tail.iter().zip(other_tail).map(|(a, b)| term(*a, *b)).sum();
    lanes.iter().sum::<f64>() + rest
}
