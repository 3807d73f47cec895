//! Energy distance of every group of cells to the reference.

use crate::check;
use crate::error::{Error, Result};
use crate::gemm::{PackedRight, multiply};
use crate::matrix::{Matrix, Position, Value};
use crate::watch::Watch;
use crate::wilcoxon::Groups;
use ndarray::{Array2, ArrayView1};
use rayon::prelude::*;

/// Cells of the left side per task.
const LEFT: usize = 64;
/// Cells of the right side in memory at a time.
const RIGHT: usize = 256;
/// Squared distances below this share of the squared norms are measured again without cancellation.
const NEAR: f64 = 1e-8;

/// 2 E|x - y| - E|x - x'| - E|y - y'| of the cells x of each group and the cells y of group 0.
///
/// The means run over all pairs, a cell with itself included. Group 0 has no entry in the result. Cost
/// O(cells x (reference + group) x genes) time; memory for a few hundred dense cells.
///
/// # Errors
/// [`Error::Rows`], [`Error::Shape`], [`Error::Index`], [`Error::NotFinite`] for bad input,
/// [`Error::Cancelled`] on request.
pub fn energy_distances<V: Value, I: Position>(
    matrix: &Matrix<V, I>,
    codes: &[i64],
    n_groups: usize,
    watch: &dyn Watch,
) -> Result<Vec<f64>> {
    check::same_rows("X", matrix.n_rows(), "groups", codes.len())?;
    matrix.check()?;
    let groups = Groups::new(codes, n_groups)?;
    let reference = groups.cells(0);
    let mut across = vec![0.0; groups.order.len()];
    for (step, right) in reference.chunks(RIGHT).enumerate() {
        add_distances(matrix, &groups.order, right, &mut across)?;
        if !watch.tick(step * RIGHT, reference.len()) {
            return Err(Error::Cancelled { done: step * RIGHT, total: reference.len() });
        }
    }
    let mean = |sums: &[f64], others: usize| sums.iter().sum::<f64>() / (sums.len() as f64 * others as f64);
    let to_reference =
        |group: usize| mean(&across[groups.starts[group]..groups.starts[group + 1]], reference.len());
    (1..n_groups)
        .map(|group| {
            let cells = groups.cells(group);
            let mut within = vec![0.0; cells.len()];
            for right in cells.chunks(RIGHT) {
                add_distances(matrix, cells, right, &mut within)?;
            }
            Ok(2.0 * to_reference(group) - mean(&within, cells.len()) - to_reference(0))
        })
        .collect()
}

/// Add to each entry the distances of a cell of `left` to all cells of `right`.
fn add_distances<V: Value, I: Position>(
    matrix: &Matrix<V, I>,
    left: &[usize],
    right: &[usize],
    sums: &mut [f64],
) -> Result<()> {
    let others = dense(matrix, right);
    let other_norms: Vec<f64> = others.outer_iter().map(|cell| cell.dot(&cell)).collect();
    let packed = PackedRight::new(others.t());
    let tasks = left.par_chunks(LEFT).zip(sums.par_chunks_mut(LEFT));
    tasks.try_for_each(|(cells, sums)| {
        let mine = dense(matrix, cells);
        let mut products = Array2::zeros((cells.len(), right.len()));
        multiply(mine.view(), &packed, products.view_mut(), false)?;
        for (row, cell) in mine.outer_iter().enumerate() {
            let norm = cell.dot(&cell);
            let mut total = 0.0;
            for (column, &other_norm) in other_norms.iter().enumerate() {
                let squared = norm + other_norm - 2.0 * products[[row, column]];
                let near = squared <= NEAR * (norm + other_norm);
                total += if near { exact(cell, others.row(column)) } else { squared.sqrt() };
            }
            sums[row] += total;
        }
        Ok(())
    })
}

fn exact(a: ArrayView1<f64>, b: ArrayView1<f64>) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt()
}

fn dense<V: Value, I: Position>(matrix: &Matrix<V, I>, cells: &[usize]) -> Array2<f64> {
    let mut out = Array2::zeros((cells.len(), matrix.n_columns()));
    for (mut line, &cell) in out.outer_iter_mut().zip(cells) {
        matrix.each_in_row(cell, |gene, value| line[gene] = value.to_f64());
    }
    out
}
