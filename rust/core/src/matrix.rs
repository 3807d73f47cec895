//! Expression as it is stored: dense in any memory order, or compressed by rows or by columns.
//!
//! Kernels read these views without converting or densifying them. Values are `f32` or `f64`.

use crate::error::{Error, Result};
use ndarray::ArrayView2;
use rayon::prelude::*;

/// Lines per task of the check.
const LINES: usize = 256;

/// Number type of an expression matrix.
pub trait Value: Copy + PartialEq + Send + Sync + 'static {
    /// Zero, which compressed matrices do not store.
    const ZERO: Self;
    /// The value, exactly.
    fn to_f64(self) -> f64;
    /// Neither NaN nor infinite.
    fn is_finite(self) -> bool;
}

impl Value for f32 {
    const ZERO: Self = 0.0;
    fn to_f64(self) -> f64 {
        f64::from(self)
    }
    fn is_finite(self) -> bool {
        f32::is_finite(self)
    }
}

impl Value for f64 {
    const ZERO: Self = 0.0;
    fn to_f64(self) -> f64 {
        self
    }
    fn is_finite(self) -> bool {
        f64::is_finite(self)
    }
}

/// Integer type of the positions in a compressed matrix.
pub trait Position: Copy + Send + Sync + 'static {
    /// The position, or `None` when it is negative.
    fn checked(self) -> Option<usize>;
    /// The position of a matrix that passed [`Compressed::check`].
    fn at(self) -> usize;
}

impl Position for i32 {
    fn checked(self) -> Option<usize> {
        usize::try_from(self).ok()
    }
    fn at(self) -> usize {
        self as usize
    }
}

impl Position for i64 {
    fn checked(self) -> Option<usize> {
        usize::try_from(self).ok()
    }
    fn at(self) -> usize {
        self as usize
    }
}

/// Compressed lines: rows of a CSR matrix or columns of a CSC matrix.
#[derive(Debug, Clone, Copy)]
pub struct Compressed<'a, V, I> {
    /// Length of a line.
    pub width: usize,
    /// Start of each line in the next two; one entry more than lines.
    pub starts: &'a [i64],
    /// Position of each stored value inside its line, strictly increasing there.
    pub indices: &'a [I],
    /// Stored values.
    pub data: &'a [V],
}

impl<'a, V: Value, I: Position> Compressed<'a, V, I> {
    /// Number of lines.
    #[must_use]
    pub fn lines(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    /// Range of the stored values of a line.
    #[must_use]
    pub fn range(&self, line: usize) -> std::ops::Range<usize> {
        self.starts[line] as usize..self.starts[line + 1] as usize
    }

    /// Positions and values of a line.
    pub fn line(&self, line: usize) -> impl Iterator<Item = (usize, V)> + use<'a, V, I> {
        let range = self.range(line);
        self.indices[range.clone()].iter().zip(&self.data[range]).map(|(index, value)| (index.at(), *value))
    }

    fn check(&self) -> Result<()> {
        let stored = self.data.len().min(self.indices.len());
        let rising = self.starts.windows(2).all(|pair| pair[0] <= pair[1]);
        let ends = (self.starts.first(), self.starts.last());
        let inside = matches!(ends, (Some(&first), Some(&last)) if first >= 0 && last as usize <= stored);
        if !(rising && inside) {
            let found = format!("row pointers from {:?} to {:?}", ends.0, ends.1);
            let expected = format!("rising pointers into {stored} stored values");
            return Err(Error::Shape { name: "X", found, expected });
        }
        let tasks = self.lines().div_ceil(LINES);
        (0..tasks)
            .into_par_iter()
            .map(|task| self.check_lines(task * LINES))
            .reduce_with(first)
            .unwrap_or(Ok(()))
    }

    fn check_lines(&self, start: usize) -> Result<()> {
        for line in start..self.lines().min(start + LINES) {
            let mut before = None;
            for entry in self.range(line) {
                let position = self.indices[entry].checked().filter(|at| *at < self.width);
                if position.is_none() || position <= before {
                    let found = format!("positions of line {line} are unsorted, repeated or too large");
                    let expected = format!("sorted positions below {}", self.width);
                    return Err(Error::Shape { name: "X", found, expected });
                }
                before = position;
                if !self.data[entry].is_finite() {
                    let value = self.data[entry].to_f64();
                    return Err(Error::NotFinite { name: "X", row: line, value });
                }
            }
        }
        Ok(())
    }
}

/// The failure that comes first in the order of the data.
fn first(left: Result<()>, right: Result<()>) -> Result<()> {
    left.and(right)
}

/// Cells x genes.
#[derive(Debug, Clone, Copy)]
pub enum Matrix<'a, V, I> {
    /// Every value, in any memory order.
    Dense(ArrayView2<'a, V>),
    /// Nonzero values of each cell.
    Rows(Compressed<'a, V, I>),
    /// Nonzero values of each gene.
    Columns(Compressed<'a, V, I>),
}

impl<V: Value, I: Position> Matrix<'_, V, I> {
    /// Number of cells.
    #[must_use]
    pub fn n_rows(&self) -> usize {
        match self {
            Self::Dense(values) => values.nrows(),
            Self::Rows(rows) => rows.lines(),
            Self::Columns(columns) => columns.width,
        }
    }

    /// Number of genes.
    #[must_use]
    pub fn n_columns(&self) -> usize {
        match self {
            Self::Dense(values) => values.ncols(),
            Self::Rows(rows) => rows.width,
            Self::Columns(columns) => columns.lines(),
        }
    }

    /// Whether the values of a gene, not those of a cell, lie side by side.
    #[must_use]
    pub fn by_columns(&self) -> bool {
        match self {
            Self::Dense(values) => {
                values.nrows() > 1 && values.strides()[0].abs() < values.strides()[1].abs()
            }
            Self::Rows(_) => false,
            Self::Columns(_) => true,
        }
    }

    /// Check structure and values; every kernel does this once.
    ///
    /// # Errors
    /// [`Error::Shape`] for broken pointers or positions, [`Error::NotFinite`] for NaN and infinity.
    pub fn check(&self) -> Result<()> {
        let (Self::Rows(lines) | Self::Columns(lines)) = self else { return self.check_dense() };
        lines.check().map_err(|error| match error {
            // A line of a compressed matrix by columns is a gene: the row is the position inside it.
            Error::NotFinite { name, row, value } if matches!(self, Self::Columns(_)) => {
                let at = lines.range(row).find(|entry| !lines.data[*entry].is_finite());
                Error::NotFinite { name, row: at.map_or(0, |entry| lines.indices[entry].at()), value }
            }
            other => other,
        })
    }

    fn check_dense(&self) -> Result<()> {
        let Self::Dense(values) = self else { return Ok(()) };
        let tasks = values.nrows().div_ceil(LINES);
        let check = |task: usize| {
            for row in task * LINES..values.nrows().min((task + 1) * LINES) {
                if let Some(value) = values.row(row).iter().find(|value| !value.is_finite()) {
                    return Err(Error::NotFinite { name: "X", row, value: value.to_f64() });
                }
            }
            Ok(())
        };
        (0..tasks).into_par_iter().map(check).reduce_with(first).unwrap_or(Ok(()))
    }

    /// Visit the nonzero values of a cell in the order of the genes.
    pub fn each_in_row(&self, row: usize, mut visit: impl FnMut(usize, V)) {
        match self {
            Self::Dense(values) => {
                values
                    .row(row)
                    .iter()
                    .enumerate()
                    .filter(|(_, v)| **v != V::ZERO)
                    .for_each(|(g, v)| visit(g, *v));
            }
            Self::Rows(rows) => rows.line(row).filter(|(_, v)| *v != V::ZERO).for_each(|(g, v)| visit(g, v)),
            Self::Columns(columns) => {
                for gene in 0..columns.lines() {
                    let range = columns.range(gene);
                    let found = columns.indices[range.clone()].binary_search_by(|index| index.at().cmp(&row));
                    if let Ok(at) = found {
                        let value = columns.data[range.start + at];
                        if value != V::ZERO {
                            visit(gene, value);
                        }
                    }
                }
            }
        }
    }

    /// Visit the nonzero values of a gene in the order of the cells; not for matrices compressed by rows.
    pub fn each_in_column(&self, gene: usize, mut visit: impl FnMut(usize, V)) {
        match self {
            Self::Dense(values) => {
                values
                    .column(gene)
                    .iter()
                    .enumerate()
                    .filter(|(_, v)| **v != V::ZERO)
                    .for_each(|(cell, v)| visit(cell, *v));
            }
            Self::Columns(columns) => {
                columns.line(gene).filter(|(_, v)| *v != V::ZERO).for_each(|(cell, v)| visit(cell, v));
            }
            Self::Rows(rows) => {
                for cell in 0..rows.lines() {
                    let range = rows.range(cell);
                    let found = rows.indices[range.clone()].binary_search_by(|index| index.at().cmp(&gene));
                    if let Ok(at) = found {
                        let value = rows.data[range.start + at];
                        if value != V::ZERO {
                            visit(cell, value);
                        }
                    }
                }
            }
        }
    }
}
