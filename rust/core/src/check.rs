//! Checks shared by the entrances of the kernels.

use crate::error::{Error, Result};
use ndarray::{ArrayView1, ArrayView2};

/// Both inputs need one row per cell.
///
/// # Errors
/// [`Error::Rows`] when they disagree.
pub fn same_rows(left: &'static str, n_left: usize, right: &'static str, n_right: usize) -> Result<()> {
    if n_left == n_right { Ok(()) } else { Err(Error::Rows { left, n_left, right, n_right }) }
}

/// Every entry of a matrix must be a finite number.
///
/// # Errors
/// [`Error::NotFinite`] naming the first offending row.
pub fn finite(name: &'static str, values: ArrayView2<f64>) -> Result<()> {
    for (row, line) in values.outer_iter().enumerate() {
        finite_row(name, row, line)?;
    }
    Ok(())
}

/// Every entry of a vector must be a finite number.
///
/// # Errors
/// [`Error::NotFinite`] naming the first offending entry.
pub fn finite_vector(name: &'static str, values: ArrayView1<f64>) -> Result<()> {
    match values.iter().position(|v| !v.is_finite()) {
        Some(row) => Err(Error::NotFinite { name, row, value: values[row] }),
        None => Ok(()),
    }
}

fn finite_row(name: &'static str, row: usize, line: ArrayView1<f64>) -> Result<()> {
    match line.iter().find(|v| !v.is_finite()) {
        Some(&value) => Err(Error::NotFinite { name, row, value }),
        None => Ok(()),
    }
}

/// A radius must be a positive, finite length.
///
/// # Errors
/// [`Error::Radius`] otherwise.
pub fn radius(value: f64) -> Result<()> {
    if value.is_finite() && value > 0.0 { Ok(()) } else { Err(Error::Radius(value)) }
}

/// Every index must address one of `len` entries.
///
/// # Errors
/// [`Error::Index`] naming the first offending index.
pub fn indices(name: &'static str, values: impl IntoIterator<Item = i64>, len: usize) -> Result<()> {
    for index in values {
        if usize::try_from(index).map_or(true, |i| i >= len) {
            return Err(Error::Index { name, index, len });
        }
    }
    Ok(())
}
