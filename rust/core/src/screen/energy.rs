//! Energy distance of every group of cells to the reference.
//!
//! |x - y|² = |x|² + |y|² - 2 x·y, where the products run over the nonzero genes of x only: cells y stand
//! side by side in panels, gene by gene. A stretch of genes of a panel stays in the first-level cache while
//! cells x pass.

use crate::check;
use crate::error::{Error, Result};
use crate::matrix::{Matrix, Position, Value};
use crate::simd::fma;
use crate::watch::Watch;
use crate::widest;
use crate::wilcoxon::Groups;
use rayon::prelude::*;

/// Cells x per task.
const LEFT: usize = 64;
/// Cells y in memory at a time.
const RIGHT: usize = 256;
/// Cells y side by side: their sums stay in vector registers.
const LANES: usize = 32;
/// Genes of a panel that pass at a time: 16 KiB.
const STRETCH: usize = 64;
/// Squared distances below this share of the squared norms are measured again without cancellation.
const NEAR: f64 = 1e-8;

/// 2 E|x - y| - E|x - x'| - E|y - y'| of the cells x of each group and the cells y of group 0.
///
/// The means run over all pairs, a cell with itself included. Group 0 has no entry in the result. Cost
/// O(nonzero values x (reference + group)) time; memory for a few hundred dense cells. A matrix compressed
/// by columns is searched for every cell: give rows.
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
        add_distances(matrix, &groups.order, right, &mut across);
        if !watch.tick(step * RIGHT, reference.len()) {
            return Err(Error::Cancelled { done: step * RIGHT, total: reference.len() });
        }
    }
    let mean = |sums: &[f64], others: usize| sums.iter().sum::<f64>() / (sums.len() as f64 * others as f64);
    let to_reference =
        |group: usize| mean(&across[groups.starts[group]..groups.starts[group + 1]], reference.len());
    let distance = |group: usize| {
        let cells = groups.cells(group);
        let mut within = vec![0.0; cells.len()];
        for right in cells.chunks(RIGHT) {
            add_distances(matrix, cells, right, &mut within);
        }
        2.0 * to_reference(group) - mean(&within, cells.len()) - to_reference(0)
    };
    Ok((1..n_groups).map(distance).collect())
}

/// Nonzero genes of a cell.
#[derive(Debug, Clone, PartialEq)]
struct Cell {
    genes: Vec<u32>,
    values: Vec<f64>,
    norm: f64,
}

impl Cell {
    fn read<V: Value, I: Position>(matrix: &Matrix<V, I>, row: usize) -> Self {
        let mut cell = Self { genes: Vec::new(), values: Vec::new(), norm: 0.0 };
        matrix.each_in_row(row, |gene, value| {
            cell.genes.push(gene as u32);
            cell.values.push(value.to_f64());
        });
        cell.norm = cell.values.iter().map(|value| value * value).sum();
        cell
    }

    /// Distance without cancellation.
    fn distance(&self, other: &Self) -> f64 {
        if self == other {
            return 0.0;
        }
        let (mut i, mut j, mut sum) = (0, 0, 0.0);
        while i < self.genes.len() || j < other.genes.len() {
            let mine = self.genes.get(i).copied().unwrap_or(u32::MAX);
            let theirs = other.genes.get(j).copied().unwrap_or(u32::MAX);
            let mut difference = 0.0;
            if mine <= theirs {
                difference += self.values[i];
                i += 1;
            }
            if theirs <= mine {
                difference -= other.values[j];
                j += 1;
            }
            sum += difference * difference;
        }
        sum.sqrt()
    }
}

widest! {
    /// Add the products of some genes of one cell with the cells of a panel.
    fn add_products(genes: &[u32], values: &[f64], panel: &[[f64; LANES]], out: &mut [f64; LANES]) {
        let mut sums = *out;
        for (&gene, &value) in genes.iter().zip(values) {
            let line = &panel[gene as usize];
            for lane in 0..LANES {
                sums[lane] = fma::<FMA>(value, line[lane], sums[lane]);
            }
        }
        *out = sums;
    }
}

/// Cells side by side, gene by gene; lanes without a cell are zero.
fn panel(cells: &[Cell], n_genes: usize) -> Vec<[f64; LANES]> {
    let mut lines = vec![[0.0; LANES]; n_genes];
    for (lane, cell) in cells.iter().enumerate() {
        for (&gene, &value) in cell.genes.iter().zip(&cell.values) {
            lines[gene as usize][lane] = value;
        }
    }
    lines
}

/// Products of all cells with all cells of a panel, each summed in the order of the genes.
fn multiply(cells: &[Cell], panel: &[[f64; LANES]], dots: &mut [[f64; LANES]]) {
    dots.fill([0.0; LANES]);
    let mut starts = vec![0; cells.len()];
    for end in (STRETCH..panel.len() + STRETCH).step_by(STRETCH) {
        for ((cell, start), dots) in cells.iter().zip(&mut starts).zip(dots.iter_mut()) {
            let (first, rest) = (*start, &cell.genes[*start..]);
            *start += rest.iter().take_while(|gene| (**gene as usize) < end).count();
            add_products(&cell.genes[first..*start], &cell.values[first..*start], panel, dots);
        }
    }
}

/// Add to each entry the distances of a cell of `left` to all cells of `right`.
fn add_distances<V: Value, I: Position>(
    matrix: &Matrix<V, I>,
    left: &[usize],
    right: &[usize],
    sums: &mut [f64],
) {
    let others: Vec<Cell> = right.par_iter().map(|row| Cell::read(matrix, *row)).collect();
    let panels: Vec<_> = others.par_chunks(LANES).map(|cells| panel(cells, matrix.n_columns())).collect();
    left.par_chunks(LEFT).zip(sums.par_chunks_mut(LEFT)).for_each(|(rows, sums)| {
        let cells: Vec<Cell> = rows.iter().map(|row| Cell::read(matrix, *row)).collect();
        let mut dots = vec![[0.0; LANES]; cells.len()];
        for (others, panel) in others.chunks(LANES).zip(&panels) {
            multiply(&cells, panel, &mut dots);
            for ((cell, dots), sum) in cells.iter().zip(&dots).zip(sums.iter_mut()) {
                for (other, dot) in others.iter().zip(dots) {
                    let squared = cell.norm + other.norm - 2.0 * dot;
                    let near = squared <= NEAR * (cell.norm + other.norm);
                    *sum += if near { cell.distance(other) } else { squared.sqrt() };
                }
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::energy_distances;
    use crate::matrix::Matrix;
    use crate::watch::Unwatched;
    use ndarray::Array2;

    fn distance(x: &Array2<f64>, i: usize, j: usize) -> f64 {
        (&x.row(i) - &x.row(j)).mapv(|d| d * d).sum().sqrt()
    }

    #[test]
    fn all_pairs_are_averaged() {
        let (n, genes) = (90, 7);
        let mut x = Array2::from_shape_fn((n, genes), |(i, g)| ((i * 31 + g * 17) % 11) as f64 * 0.3);
        x.mapv_inplace(|value| if value < 1.0 { 0.0 } else { value });
        let codes: Vec<i64> = (0..n as i64).map(|i| i % 3).collect();
        let found = energy_distances(&Matrix::<f64, i32>::Dense(x.view()), &codes, 3, &Unwatched).unwrap();
        let mean = |a: i64, b: i64| {
            let pairs: Vec<(usize, usize)> = (0..n)
                .flat_map(|i| (0..n).map(move |j| (i, j)))
                .filter(|(i, j)| codes[*i] == a && codes[*j] == b)
                .collect();
            pairs.iter().map(|(i, j)| distance(&x, *i, *j)).sum::<f64>() / pairs.len() as f64
        };
        for group in 1..3 {
            let expected = 2.0 * mean(group, 0) - mean(group, group) - mean(0, 0);
            assert!((found[group as usize - 1] - expected).abs() < 1e-12);
        }
    }

    #[test]
    fn nearly_equal_cells_keep_the_digits_of_their_distance() {
        let mut x = Array2::from_elem((4, 3), 1000.0);
        x[[1, 0]] += 1e-6;
        x[[3, 2]] = 0.0;
        let found = energy_distances(&Matrix::<f64, i32>::Dense(x.view()), &[0, 1, -1, -1], 2, &Unwatched);
        let expected = 2.0 * (x[[1, 0]] - 1000.0);
        assert_eq!(found.unwrap(), vec![expected]);
    }
}
