//! Turning rows into columns, a bounded number of genes at a time.
//!
//! The cells of a group are cut into chunks. For a block of genes each chunk writes its nonzero values
//! gene by gene into a slab of its own; a gene is then the same stretch of every slab. A cursor per cell
//! remembers where the next block starts, so every stored value is read once.

use super::groups::Groups;
use crate::matrix::{Compressed, Matrix, Position, Value};
use ndarray::{ArrayView2, s};
use rayon::prelude::*;
use std::ops::Range;

/// Largest number of cells in a chunk: its slab stays in the cache of a core.
const CHUNK: usize = 512;
/// Stored values in memory at a time, over all slabs.
const BUDGET: usize = 1 << 25;
/// Largest number of genes in a block.
const WIDTH: usize = 2048;

/// A stretch of cells of one group, with its values for the current block of genes.
#[derive(Debug, Clone)]
pub struct Slab<V> {
    /// Group of the cells.
    pub group: u32,
    cells: Range<usize>,
    cursors: Vec<usize>,
    starts: Vec<u32>,
    values: Vec<V>,
}

impl<V: Value> Slab<V> {
    /// Values of a gene, counted from the first of the block.
    pub fn gene(&self, gene: usize) -> &[V] {
        &self.values[self.starts[gene] as usize..self.starts[gene + 1] as usize]
    }

    fn fill_dense(&mut self, values: &ArrayView2<V>, order: &[usize], genes: &Range<usize>) {
        let part = values.slice(s![.., genes.clone()]);
        self.starts.clear();
        self.starts.resize(genes.len() + 1, 0);
        for &cell in &order[self.cells.clone()] {
            for (gene, value) in part.row(cell).iter().enumerate() {
                self.starts[gene] += u32::from(*value != V::ZERO);
            }
        }
        self.reserve();
        for &cell in &order[self.cells.clone()] {
            for (gene, value) in part.row(cell).iter().enumerate() {
                if *value != V::ZERO {
                    self.starts[gene] -= 1;
                    self.values[self.starts[gene] as usize] = *value;
                }
            }
        }
    }

    fn fill_rows<I: Position>(&mut self, rows: &Compressed<V, I>, order: &[usize], genes: &Range<usize>) {
        self.starts.clear();
        self.starts.resize(genes.len() + 1, 0);
        if self.cursors.is_empty() {
            self.cursors.extend(order[self.cells.clone()].iter().map(|cell| rows.range(*cell).start));
        }
        for (&cell, &cursor) in order[self.cells.clone()].iter().zip(&self.cursors) {
            for (index, value) in inside(rows, cursor..rows.range(cell).end, genes.end) {
                self.starts[index - genes.start] += u32::from(value != V::ZERO);
            }
        }
        self.reserve();
        for (&cell, cursor) in order[self.cells.clone()].iter().zip(&mut self.cursors) {
            for (index, value) in inside(rows, *cursor..rows.range(cell).end, genes.end) {
                *cursor += 1;
                if value != V::ZERO {
                    let start = &mut self.starts[index - genes.start];
                    *start -= 1;
                    self.values[*start as usize] = value;
                }
            }
        }
    }

    /// Turn counts into ends: filling backward makes them the starts.
    fn reserve(&mut self) {
        let mut total = 0;
        for start in &mut self.starts {
            total += *start;
            *start = total;
        }
        self.values.resize(total as usize, V::ZERO);
    }
}

fn inside<V: Value, I: Position>(
    rows: &Compressed<'_, V, I>,
    entries: Range<usize>,
    end: usize,
) -> impl Iterator<Item = (usize, V)> {
    let (indices, data) = (&rows.indices[entries.clone()], &rows.data[entries]);
    indices.iter().zip(data).map(|(index, value)| (index.at(), *value)).take_while(move |(at, _)| *at < end)
}

/// The chunks of all groups, still empty.
pub fn chunks<V: Value>(groups: &Groups) -> Vec<Slab<V>> {
    let mut slabs = Vec::new();
    for group in 0..groups.len() {
        let (start, end) = (groups.starts[group], groups.starts[group + 1]);
        for first in (start..end).step_by(CHUNK) {
            slabs.push(Slab {
                group: group as u32,
                cells: first..end.min(first + CHUNK),
                cursors: Vec::new(),
                starts: Vec::new(),
                values: Vec::new(),
            });
        }
    }
    slabs
}

/// Number of genes whose values fit into memory at a time.
pub fn width<V: Value, I: Position>(matrix: &Matrix<V, I>) -> usize {
    let per_gene = match matrix {
        Matrix::Rows(rows) => rows.data.len() / rows.width.max(1),
        Matrix::Dense(_) | Matrix::Columns(_) => matrix.n_rows(),
    };
    (BUDGET / per_gene.max(1)).clamp(16, WIDTH)
}

/// Move the slabs to a block of genes, which must follow the block before.
pub fn fill<V: Value, I: Position>(
    slabs: &mut [Slab<V>],
    matrix: &Matrix<V, I>,
    groups: &Groups,
    genes: &Range<usize>,
) {
    slabs.par_iter_mut().for_each(|slab| match matrix {
        Matrix::Dense(values) => slab.fill_dense(values, &groups.order, genes),
        Matrix::Rows(rows) => slab.fill_rows(rows, &groups.order, genes),
        Matrix::Columns(_) => {}
    });
}
