//! The columns of a batch of targets in the cells of one cluster.
//!
//! A column is an expression column or the product of a received signal and an expression column. Products are
//! formed block by block when they are needed and never kept for the whole tissue.

use crate::check;
use crate::error::{Error, Result};
use ndarray::{ArrayView1, ArrayView2};
use rayon::prelude::*;
use std::collections::BTreeMap;

/// One column of a design matrix, by positions on the gene and the ligand axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Column {
    /// Expression of a regulator or extra modulator.
    Gene(usize),
    /// Received ligand times its receptor where that is expressed.
    LigandReceptor(usize, usize),
    /// Received ligand times a regulator.
    LigandRegulator(usize, usize),
}

impl Column {
    /// Column from `(kind, first, second)`: kind 0 and 3 `(gene, -1)`, 1 `(ligand, receptor gene)`,
    /// 2 `(ligand, regulator gene)`.
    ///
    /// # Errors
    /// [`Error::Index`] or [`Error::Parameter`] for an entry that addresses nothing.
    pub fn parse(row: ArrayView1<i64>, n_genes: usize, n_ligands: usize) -> Result<Self> {
        let (kind, first, second) = (row[0], row[1], row[2]);
        let gene = |index: i64| position("columns (gene)", index, n_genes);
        let ligand = |index: i64| position("columns (ligand)", index, n_ligands);
        match kind {
            0 | 3 => Ok(Self::Gene(gene(first)?)),
            1 => Ok(Self::LigandReceptor(ligand(first)?, gene(second)?)),
            2 => Ok(Self::LigandRegulator(ligand(first)?, gene(second)?)),
            _ => Err(Error::Parameter {
                name: "columns (kind)",
                value: kind.to_string(),
                expected: "0 regulator, 1 ligand-receptor, 2 ligand-regulator or 3 extra",
            }),
        }
    }
}

fn position(name: &'static str, index: i64, len: usize) -> Result<usize> {
    usize::try_from(index).ok().filter(|&i| i < len).ok_or(Error::Index { name, index, len })
}

/// Expression of the genes that columns use, cells x genes.
#[derive(Debug, Clone, Copy)]
pub enum Expression<'a> {
    /// Every entry stored.
    Dense(ArrayView2<'a, f64>),
    /// Compressed rows with sorted indices without duplicates.
    Sparse {
        /// Start of each row in `indices` and `data`; one entry more than there are cells.
        indptr: &'a [i64],
        /// Gene of each entry.
        indices: &'a [i64],
        /// Value of each entry.
        data: &'a [f64],
        /// Number of genes.
        n_genes: usize,
    },
}

impl Expression<'_> {
    /// Number of cells.
    #[must_use]
    pub fn n_cells(&self) -> usize {
        match self {
            Self::Dense(values) => values.nrows(),
            Self::Sparse { indptr, .. } => indptr.len().saturating_sub(1),
        }
    }

    /// Number of genes.
    #[must_use]
    pub fn n_genes(&self) -> usize {
        match self {
            Self::Dense(values) => values.ncols(),
            Self::Sparse { n_genes, .. } => *n_genes,
        }
    }

    fn check(&self) -> Result<()> {
        match self {
            Self::Dense(values) => {
                check::finite("expression", *values)?;
                super::single::not_too_large("expression", values.iter())
            }
            Self::Sparse { indptr, indices, data, n_genes } => {
                check::indices("expression (indices)", indices.iter().copied(), *n_genes)?;
                check::indices("expression (indptr)", indptr.iter().copied(), indices.len() + 1)?;
                let ordered = indptr.windows(2).all(|w| w[0] <= w[1]);
                let whole = indptr.first() == Some(&0) && indptr.last() == Some(&(indices.len() as i64));
                if !(ordered && whole && indices.len() == data.len()) {
                    let found = "row starts that do not fit the entries".to_string();
                    let expected = "a CSR matrix with sorted indices".to_string();
                    return Err(Error::Shape { name: "expression", found, expected });
                }
                check::finite_vector("expression", ArrayView1::from(*data))?;
                super::single::not_too_large("expression", data.iter())
            }
        }
    }
}

/// What the columns of every target are made of.
#[derive(Debug, Clone, Copy)]
pub struct Signals<'a> {
    /// Cells x genes.
    pub expression: Expression<'a>,
    /// Received ligands of ligand-receptor columns, cells x ligands.
    pub received: ArrayView2<'a, f64>,
    /// Received ligands of ligand-regulator columns, cells x ligands.
    pub received_tfl: ArrayView2<'a, f64>,
    /// Factor on receptors, cells x genes.
    pub receptor_mask: Option<ArrayView2<'a, f64>>,
    /// A receptor counts where its expression is above this.
    pub min_expression: f64,
}

impl Signals<'_> {
    /// Check shapes and every value. Do it once; the fits check shapes only.
    ///
    /// # Errors
    /// When rows or columns disagree, a value is not finite or too large, or the sparse matrix is malformed.
    pub fn check(&self) -> Result<()> {
        self.check_shapes()?;
        self.expression.check()?;
        for (name, values) in [("received", self.received), ("received_tfl", self.received_tfl)] {
            check::finite(name, values)?;
            super::single::not_too_large(name, values.iter())?;
        }
        self.receptor_mask.map_or(Ok(()), |mask| check::finite("receptor_mask", mask))
    }

    pub(crate) fn check_shapes(&self) -> Result<()> {
        let n = self.expression.n_cells();
        check::same_rows("expression", n, "received", self.received.nrows())?;
        same_shape("received_tfl", self.received_tfl.dim(), self.received.dim())?;
        match self.receptor_mask {
            Some(mask) => same_shape("receptor_mask", mask.dim(), (n, self.expression.n_genes())),
            None => Ok(()),
        }
    }
}

fn same_shape(name: &'static str, found: (usize, usize), expected: (usize, usize)) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    Err(Error::Shape {
        name,
        found: format!("shape {} x {}", found.0, found.1),
        expected: format!("{} x {}", expected.0, expected.1),
    })
}

/// Factors of the columns in the cells of one cluster, one after the other.
#[derive(Debug)]
pub struct ClusterTable {
    n_cells: usize,
    genes: Slots,
    receptors: Slots,
    received: Slots,
    received_tfl: Slots,
}

/// Values of some positions of an axis, each over all cells of the cluster.
#[derive(Debug)]
struct Slots {
    slot: BTreeMap<usize, usize>,
    values: Vec<f64>,
}

impl Slots {
    fn dense(used: impl Iterator<Item = usize>, rows: &[usize], source: ArrayView2<f64>) -> Self {
        let mut slots = Self::empty(used, rows.len());
        let order: Vec<usize> = slots.slot.keys().copied().collect();
        slots.values.par_chunks_mut((8 * rows.len()).max(1)).zip(order.par_chunks(8)).for_each(
            |(values, positions)| {
                for (i, &row) in rows.iter().enumerate() {
                    for (k, &position) in positions.iter().enumerate() {
                        values[k * rows.len() + i] = source[[row, position]];
                    }
                }
            },
        );
        slots
    }

    fn expression(used: impl Iterator<Item = usize>, rows: &[usize], source: Expression<'_>) -> Self {
        let (indptr, indices, data, n_genes) = match source {
            Expression::Dense(values) => return Self::dense(used, rows, values),
            Expression::Sparse { indptr, indices, data, n_genes } => (indptr, indices, data, n_genes),
        };
        let mut slots = Self::empty(used, rows.len());
        let mut place = vec![usize::MAX; n_genes];
        slots.slot.iter().for_each(|(&gene, &slot)| place[gene] = slot);
        for (i, &row) in rows.iter().enumerate() {
            for entry in indptr[row] as usize..indptr[row + 1] as usize {
                let slot = place[indices[entry] as usize];
                if slot != usize::MAX {
                    slots.values[slot * rows.len() + i] = data[entry];
                }
            }
        }
        slots
    }

    fn empty(used: impl Iterator<Item = usize>, n_cells: usize) -> Self {
        let mut slot: BTreeMap<usize, usize> = used.map(|position| (position, 0)).collect();
        slot.values_mut().enumerate().for_each(|(k, slot)| *slot = k);
        let values = vec![0.0; slot.len() * n_cells];
        Self { slot, values }
    }

    fn column(&self, position: usize, n_cells: usize) -> &[f64] {
        let slot = self.slot[&position];
        &self.values[slot * n_cells..(slot + 1) * n_cells]
    }
}

impl ClusterTable {
    /// Gather what `columns` need in the cells `rows`.
    ///
    /// Memory: 8 bytes x cells of the cluster x distinct genes and ligands of the columns.
    #[must_use]
    pub fn new(signals: &Signals<'_>, rows: &[usize], columns: &[Column]) -> Self {
        let genes = columns.iter().filter_map(|c| match *c {
            Column::Gene(gene) | Column::LigandRegulator(_, gene) => Some(gene),
            Column::LigandReceptor(..) => None,
        });
        let receptors = columns.iter().filter_map(|c| match *c {
            Column::LigandReceptor(_, gene) => Some(gene),
            _ => None,
        });
        let ligands = columns.iter().filter_map(|c| match *c {
            Column::LigandReceptor(ligand, _) => Some(ligand),
            _ => None,
        });
        let tfl = columns.iter().filter_map(|c| match *c {
            Column::LigandRegulator(ligand, _) => Some(ligand),
            _ => None,
        });
        let mut table = Self {
            n_cells: rows.len(),
            genes: Slots::expression(genes, rows, signals.expression),
            receptors: Slots::expression(receptors, rows, signals.expression),
            received: Slots::dense(ligands, rows, signals.received),
            received_tfl: Slots::dense(tfl, rows, signals.received_tfl),
        };
        table.filter_receptors(signals, rows);
        table
    }

    fn filter_receptors(&mut self, signals: &Signals<'_>, rows: &[usize]) {
        for (&gene, &slot) in &self.receptors.slot {
            let values = &mut self.receptors.values[slot * rows.len()..(slot + 1) * rows.len()];
            for (value, &row) in values.iter_mut().zip(rows) {
                let factor = signals.receptor_mask.map_or(1.0, |mask| mask[[row, gene]]);
                *value = if *value > signals.min_expression { *value * factor } else { 0.0 };
            }
        }
    }

    /// Number of cells.
    #[must_use]
    pub fn n_cells(&self) -> usize {
        self.n_cells
    }

    /// What `column` multiplies expression by, when it does.
    pub(crate) fn signal(&self, column: Column) -> Option<&[f64]> {
        match column {
            Column::Gene(_) => None,
            Column::LigandReceptor(ligand, _) => Some(self.received.column(ligand, self.n_cells)),
            Column::LigandRegulator(ligand, _) => Some(self.received_tfl.column(ligand, self.n_cells)),
        }
    }

    /// Values of `column` in the cells `start..start + out.len()` of the cluster.
    pub fn fill(&self, column: Column, start: usize, out: &mut [f64]) {
        let n = self.n_cells;
        let range = start..start + out.len();
        let (left, right) = match column {
            Column::Gene(gene) => {
                out.copy_from_slice(&self.genes.column(gene, n)[range]);
                return;
            }
            Column::LigandReceptor(ligand, gene) => {
                (self.received.column(ligand, n), self.receptors.column(gene, n))
            }
            Column::LigandRegulator(ligand, gene) => {
                (self.received_tfl.column(ligand, n), self.genes.column(gene, n))
            }
        };
        for ((out, left), right) in out.iter_mut().zip(&left[range.clone()]).zip(&right[range]) {
            *out = left * right;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ClusterTable, Column, Expression, Signals};
    use ndarray::array;

    #[test]
    fn dense_and_sparse_expression_give_the_same_columns() {
        let dense = array![[0.0, 2.0], [3.0, 0.0], [0.5, 4.0]];
        let received = array![[1.0], [2.0], [3.0]];
        let sparse = Expression::Sparse {
            indptr: &[0, 1, 2, 4],
            indices: &[1, 0, 0, 1],
            data: &[2.0, 3.0, 0.5, 4.0],
            n_genes: 2,
        };
        let columns = [Column::Gene(0), Column::LigandReceptor(0, 1), Column::LigandRegulator(0, 0)];
        for expression in [Expression::Dense(dense.view()), sparse] {
            let signals = Signals {
                expression,
                received: received.view(),
                received_tfl: received.view(),
                receptor_mask: None,
                min_expression: 2.0,
            };
            signals.check().unwrap();
            let table = ClusterTable::new(&signals, &[2, 0], &columns);
            let mut found = Vec::new();
            for column in columns {
                let mut out = [0.0; 2];
                table.fill(column, 0, &mut out);
                found.push(out);
            }
            assert_eq!(found, [[0.5, 0.0], [12.0, 0.0], [1.5, 0.0]]);
        }
    }
}
