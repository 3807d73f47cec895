//! Sums of expression over the cells of a group, without densifying.

use crate::check;
use crate::error::Result;
use crate::matrix::{Matrix, Position, Value};
use crate::wilcoxon::Groups;
use ndarray::{Array2, ArrayViewMut1, Axis};
use rayon::prelude::*;

/// What is summed for a value x.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transform {
    /// x
    Identity,
    /// exp(x) - 1
    Expm1,
    /// log(1 + x)
    Log1p,
}

impl Transform {
    fn apply(self, x: f64) -> f64 {
        match self {
            Self::Identity => x,
            Self::Expm1 => x.exp_m1(),
            Self::Log1p => x.ln_1p(),
        }
    }
}

/// Sums over the cells of each group.
#[derive(Debug, Clone)]
pub struct GroupSums {
    /// Groups x genes.
    pub sums: Array2<f64>,
    /// Groups x genes: some cell differs from the first cell of the group.
    pub varies: Array2<bool>,
    /// Cells per group.
    pub sizes: Vec<u64>,
}

/// Sum a function of the expression over the cells of each group, in the order of the cells.
///
/// Cost O(stored values) time, O(groups x genes) memory.
///
/// # Errors
/// [`crate::Error::Rows`], [`crate::Error::Shape`], [`crate::Error::Index`], [`crate::Error::NotFinite`] for bad input.
pub fn group_sums<V: Value, I: Position>(
    matrix: &Matrix<V, I>,
    codes: &[i64],
    n_groups: usize,
    transform: Transform,
) -> Result<GroupSums> {
    check::same_rows("X", matrix.n_rows(), "groups", codes.len())?;
    matrix.check()?;
    let groups = Groups::new(codes, n_groups)?;
    let shape = (n_groups, matrix.n_columns());
    let (mut sums, mut varies) = (Array2::zeros(shape), Array2::from_elem(shape, false));
    let axis = Axis(usize::from(matrix.by_columns()));
    let lines = sums.axis_iter_mut(axis).into_par_iter().zip(varies.axis_iter_mut(axis).into_par_iter());
    lines.enumerate().for_each(|(at, (sums, varies))| {
        if matrix.by_columns() {
            gene(matrix, &groups, at, transform, sums, varies);
        } else {
            group(matrix, groups.cells(at), transform, sums, varies);
        }
    });
    Ok(GroupSums { sums, varies, sizes: groups.sizes })
}

/// Sums of one group over all genes.
fn group<V: Value, I: Position>(
    matrix: &Matrix<V, I>,
    cells: &[usize],
    transform: Transform,
    mut sums: ArrayViewMut1<f64>,
    mut varies: ArrayViewMut1<bool>,
) {
    let mut first = vec![V::ZERO; sums.len()];
    let mut same = vec![0usize; sums.len()];
    for (at, &cell) in cells.iter().enumerate() {
        matrix.each_in_row(cell, |gene, value| {
            sums[gene] += transform.apply(value.to_f64());
            if at == 0 {
                first[gene] = value;
            }
            if first[gene] == V::ZERO {
                varies[gene] = true;
            } else {
                same[gene] += usize::from(value == first[gene]);
            }
        });
    }
    for (gene, varies) in varies.iter_mut().enumerate() {
        *varies |= first[gene] != V::ZERO && same[gene] != cells.len();
    }
}

/// Sums of one gene over all groups.
fn gene<V: Value, I: Position>(
    matrix: &Matrix<V, I>,
    groups: &Groups,
    gene: usize,
    transform: Transform,
    mut sums: ArrayViewMut1<f64>,
    mut varies: ArrayViewMut1<bool>,
) {
    let mut first = vec![V::ZERO; groups.len()];
    let mut same = vec![0u64; groups.len()];
    matrix.each_in_column(gene, |cell, value| {
        let Some(group) = groups.of_cell[cell].map(|group| group as usize) else { return };
        sums[group] += transform.apply(value.to_f64());
        if groups.cells(group)[0] == cell {
            first[group] = value;
        }
        if first[group] == V::ZERO {
            varies[group] = true;
        } else {
            same[group] += u64::from(value == first[group]);
        }
    });
    for group in 0..groups.len() {
        varies[group] |= first[group] != V::ZERO && same[group] != groups.sizes[group];
    }
}
