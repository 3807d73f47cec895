//! Coefficients of all targets, with every index checked once.

use crate::check;
use crate::error::{Error, Result};
use ndarray::{Array2, ArrayView1, ArrayView2};
use std::collections::HashMap;
use std::sync::Arc;

/// What one coefficient multiplies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Term {
    /// Expression of a gene.
    Gene(usize),
    /// Received ligand (position) times receptor (gene).
    LigandReceptor(usize, usize),
    /// Received ligand (position) times transcription factor (gene).
    LigandTf(usize, usize),
}

/// Coefficients of one target gene as the caller has them.
#[derive(Debug, Clone, Copy)]
pub struct TargetTable<'a> {
    /// Column of the target on the gene axis.
    pub gene: i64,
    /// Rows x (intercept, coefficients).
    pub betas: ArrayView2<'a, f64>,
    /// One line per coefficient: kind (0 or 3 gene, 1 ligand-receptor, 2 ligand-TF), first, second; -1 is missing.
    pub columns: ArrayView2<'a, i64>,
    /// Row of each cell, -1 for none.
    pub rows: ArrayView1<'a, i64>,
}

/// One target, on the axes of the model.
#[derive(Debug, Clone)]
pub struct Target {
    /// Gene of the target.
    pub gene: usize,
    /// Rows x terms, without the intercept.
    pub betas: Array2<f64>,
    /// Column of `betas` of each entry of `terms`.
    pub terms: Vec<(usize, Term)>,
    /// Row of each cell, negative for none; shared by targets with the same map.
    pub rows: Arc<Vec<i64>>,
}

/// All targets of a run.
#[derive(Debug, Clone)]
pub struct Model {
    /// Number of genes on the gene axis.
    pub n_genes: usize,
    /// Number of cells.
    pub n_cells: usize,
    /// Gene of each ligand position.
    pub ligand_genes: Vec<usize>,
    /// Targets in the order of the caller.
    pub targets: Vec<Target>,
}

impl Model {
    /// Check and take over the tables.
    ///
    /// # Errors
    /// An index out of range, or tables whose shapes disagree.
    pub fn new(
        tables: &[TargetTable],
        n_cells: usize,
        n_genes: usize,
        ligand_genes: ArrayView1<i64>,
    ) -> Result<Self> {
        check::indices("ligand_genes", ligand_genes.iter().copied(), n_genes)?;
        let mut maps: HashMap<Vec<i64>, Arc<Vec<i64>>> = HashMap::new();
        let mut targets = Vec::with_capacity(tables.len());
        for table in tables {
            targets.push(checked(table, n_cells, n_genes, ligand_genes.len(), &mut maps)?);
        }
        let ligand_genes = ligand_genes.iter().map(|&g| g as usize).collect();
        Ok(Self { n_genes, n_cells, ligand_genes, targets })
    }
}

fn checked(
    table: &TargetTable,
    n_cells: usize,
    n_genes: usize,
    n_ligands: usize,
    maps: &mut HashMap<Vec<i64>, Arc<Vec<i64>>>,
) -> Result<Target> {
    check::indices("target genes", [table.gene], n_genes)?;
    check::finite("betas", table.betas)?;
    check::same_rows("rows", table.rows.len(), "cells", n_cells)?;
    let columns = table.columns.nrows();
    if table.columns.ncols() != 3 || table.betas.ncols() != columns + 1 {
        return Err(Error::Shape {
            name: "betas",
            found: format!("{} columns for {columns} modulators", table.betas.ncols()),
            expected: "the intercept and one column per modulator".to_string(),
        });
    }
    check::indices("rows", table.rows.iter().copied().filter(|&r| r != -1), table.betas.nrows())?;
    let mut terms = Vec::with_capacity(columns);
    for (at, line) in table.columns.outer_iter().enumerate() {
        let (kind, first, second) = (line[0], line[1], line[2]);
        let first_len = if matches!(kind, 1 | 2) { n_ligands } else { n_genes };
        check::indices("columns", [first].into_iter().filter(|&i| i != -1), first_len)?;
        check::indices("columns", [second].into_iter().filter(|&i| i != -1), n_genes)?;
        let (a, b) = (usize::try_from(first).ok(), usize::try_from(second).ok());
        // with a missing end every part of the term is 0
        match (kind, a, b) {
            (0 | 3, Some(gene), _) => terms.push((at, Term::Gene(gene))),
            (1, Some(ligand), Some(receptor)) => terms.push((at, Term::LigandReceptor(ligand, receptor))),
            (2, Some(ligand), Some(tf)) => terms.push((at, Term::LigandTf(ligand, tf))),
            (0..=3, _, _) => {}
            _ => return Err(Error::Index { name: "column kinds", index: kind, len: 4 }),
        }
    }
    let (betas, rows) = distinct(table.betas.slice(ndarray::s![.., 1..]), table.rows);
    let rows = maps.entry(rows.clone()).or_insert_with(|| Arc::new(rows)).clone();
    Ok(Target { gene: table.gene as usize, betas, terms, rows })
}

/// Keep one of each set of equal rows: a table that repeats a row per cell costs no more than one per cluster,
/// and both give the same bits. Rows are numbered by the cell that uses them first.
fn distinct(betas: ArrayView2<f64>, rows: ArrayView1<i64>) -> (Array2<f64>, Vec<i64>) {
    let mut known: HashMap<Vec<u64>, i64> = HashMap::new();
    let mut number: Vec<Option<i64>> = vec![None; betas.nrows()];
    let mut kept = Vec::new();
    let mut map = Vec::with_capacity(rows.len());
    for &row in rows {
        let Ok(row) = usize::try_from(row) else {
            map.push(-1);
            continue;
        };
        let at = *number[row].get_or_insert_with(|| {
            let bits = betas.row(row).iter().map(|b| b.to_bits()).collect();
            *known.entry(bits).or_insert_with(|| {
                kept.push(row);
                kept.len() as i64 - 1
            })
        });
        map.push(at);
    }
    (betas.select(ndarray::Axis(0), &kept), map)
}
