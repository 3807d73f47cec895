//! One block of rows of a count matrix, and the rates of genes in types.

use crate::check;
use crate::error::{Error, Result};
use ndarray::ArrayView2;

/// Rows whose partial sums are added up by one task; part of the result's definition, not of the machine.
pub(super) const CHUNK: usize = 512;

/// Rows of a sparse count matrix (CSR) and the position of each of its columns among the genes used.
#[derive(Debug, Clone, Copy)]
pub struct Block<'a> {
    starts: &'a [i64],
    columns: &'a [i32],
    counts: &'a [f32],
    position: &'a [i32],
}

impl<'a> Block<'a> {
    /// Check and wrap the arrays.
    ///
    /// * `starts`: rows + 1 ascending offsets; only their differences from the first one matter.
    /// * `columns`, `counts`: column and value of each stored entry.
    /// * `position`: gene of each column, -1 for a column that is left out.
    ///
    /// # Errors
    /// [`Error::Shape`] for inconsistent offsets or lengths, [`Error::Index`] for a column out of range.
    pub fn new(
        starts: &'a [i64],
        columns: &'a [i32],
        counts: &'a [f32],
        position: &'a [i32],
    ) -> Result<Self> {
        let bad = |found: String, expected: &str| {
            Err(Error::Shape { name: "counts", found, expected: expected.to_string() })
        };
        let (Some(&first), Some(&last)) = (starts.first(), starts.last()) else {
            return bad("no offsets".into(), "one more offset than rows");
        };
        if starts.windows(2).any(|pair| pair[1] < pair[0]) {
            return bad("descending offsets".into(), "ascending offsets");
        }
        if columns.len() != counts.len() || usize::try_from(last - first) != Ok(columns.len()) {
            let found = format!("{} columns, {} values", columns.len(), counts.len());
            return bad(found, "as many of both as the offsets say");
        }
        // Negative ones are large as unsigned numbers. The largest is found first, which is faster than a look at each.
        let largest = columns.iter().fold(0, |largest, &column| largest.max(column.cast_unsigned()));
        if largest as usize >= position.len() {
            check::indices("columns", columns.iter().map(|&column| i64::from(column)), position.len())?;
        }
        Ok(Self { starts, columns, counts, position })
    }

    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.starts.len() - 1
    }

    /// Columns and values stored for a row.
    pub(super) fn stored(&self, row: usize) -> (&'a [i32], &'a [f32]) {
        let range =
            (self.starts[row] - self.starts[0]) as usize..(self.starts[row + 1] - self.starts[0]) as usize;
        (&self.columns[range.clone()], &self.counts[range])
    }

    /// Gene of each column, negative for none.
    pub(super) fn position(&self) -> &'a [i32] {
        self.position
    }

    /// Gene and value of every stored entry of a row that belongs to a gene and is not 0.
    pub(super) fn row(&self, row: usize) -> impl Iterator<Item = (usize, f32)> + '_ {
        let (columns, counts) = self.stored(row);
        columns.iter().zip(counts).filter_map(|(&column, &count)| {
            usize::try_from(self.position[column as usize])
                .ok()
                .filter(|_| count != 0.0)
                .map(|gene| (gene, count))
        })
    }

    /// Genes and values of a row, for loops that pass over them more than once.
    pub(super) fn gather(&self, row: usize, entries: &mut Vec<(u32, f32)>) {
        let (columns, counts) = self.stored(row);
        entries.clear();
        entries.resize(columns.len(), (0, 0.0));
        let mut found = 0;
        for (&column, &count) in columns.iter().zip(counts) {
            let gene = self.position[column as usize];
            // Written always and kept when it counts, which cannot be foreseen by the processor.
            entries[found] = (gene.cast_unsigned(), count);
            found += usize::from((gene >= 0) & (count != 0.0));
        }
        entries.truncate(found);
    }
}

/// A genes x types table with one short line per gene, as the passes read it.
#[derive(Debug, Clone)]
pub struct Rates {
    types: usize,
    width: usize,
    values: Vec<f32>,
}

/// Types are padded to this many values.
const LINE: usize = 8;

impl Rates {
    /// Copy a types x genes matrix.
    #[must_use]
    pub fn new(matrix: ArrayView2<f64>) -> Self {
        let (types, genes) = matrix.dim();
        let width = types.next_multiple_of(LINE);
        let mut values = vec![0.0; genes * width];
        for (kind, row) in matrix.outer_iter().enumerate() {
            for (gene, &rate) in row.iter().enumerate() {
                values[gene * width + kind] = rate as f32;
            }
        }
        Self { types, width, values }
    }

    /// Number of types.
    #[must_use]
    pub fn types(&self) -> usize {
        self.types
    }

    /// Number of genes.
    #[must_use]
    pub fn genes(&self) -> usize {
        self.values.len().checked_div(self.width).unwrap_or(0)
    }

    /// Number of values per line.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// All lines.
    pub(super) fn values(&self) -> &[f32] {
        &self.values
    }

    /// Rates of one gene.
    pub(super) fn line(&self, gene: usize) -> &[f32] {
        &self.values[gene * self.width..][..self.width]
    }
}
