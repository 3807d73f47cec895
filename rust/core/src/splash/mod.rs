//! Derivatives of the modeled expression of a target with respect to its modulators ("splash").
//!
//! With `E` the filtered expression, `RL` and `RT` the received ligands of ligand-receptor and TF-ligand
//! pairs, and `s` the scale factor, cell `i` adds
//!
//! * `b * RL[i, L] * s` to the receptor of a ligand-receptor pair where `E[i, receptor] > 0`,
//! * `b * E[i, receptor] * s` to its ligand,
//! * `b * E[i, regulator] * s` to the ligand of a TF-ligand pair,
//! * `b` to a TF,
//! * `b * RT[i, L] * s` to the regulator of a TF-ligand pair.
//!
//! Contributions to one gene are summed, then the sum is clamped to the cap.

use crate::check;
use crate::error::{Error, Result};
use crate::perturb::{RegulatoryModel, Term, Watched};
use crate::watch::Watch;
use ndarray::{Array2, ArrayView2, Axis};
use rayon::prelude::*;

/// Cells per parallel task.
const CHUNK: usize = 256;

/// What multiplies a coefficient in a derivative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Weight {
    /// 1: expression of a TF.
    One,
    /// Received ligand where the receptor is expressed.
    Sensed { ligand: u32, receptor: u32 },
    /// Expression of the partner of a ligand.
    Level { gene: u32 },
    /// Received ligand of a TF-ligand pair.
    Signal { ligand: u32 },
}

/// One contribution to the derivative towards one gene.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part {
    pub gene: u32,
    pub column: u32,
    pub weight: Weight,
}

/// State of one cell that the derivatives depend on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cell<'a> {
    pub expression: &'a [f64],
    pub received: &'a [f64],
    pub received_tfl: &'a [f64],
}

impl Cell<'_> {
    fn weight(&self, weight: Weight, scale: f64) -> f64 {
        match weight {
            Weight::One => 1.0,
            Weight::Sensed { ligand, receptor } if self.expression[receptor as usize] > 0.0 => {
                self.received[ligand as usize] * scale
            }
            Weight::Sensed { .. } => 0.0,
            Weight::Level { gene } => self.expression[gene as usize] * scale,
            Weight::Signal { ligand } => self.received_tfl[ligand as usize] * scale,
        }
    }
}

/// Contributions to the derivatives of one target, sorted by the gene they go to and by what they are, so
/// that sums do not depend on the order of the columns.
#[derive(Debug, Clone)]
pub(crate) struct Derivatives {
    parts: Vec<Part>,
}

impl Derivatives {
    pub(crate) fn new(terms: &[Option<Term>], ligand_genes: &[usize]) -> Self {
        let mut parts = Vec::new();
        for (column, term) in terms.iter().enumerate() {
            let mut add = |gene: u32, weight| parts.push(Part { gene, column: column as u32, weight });
            match *term {
                None => {}
                Some(Term::Gene(gene)) => add(gene, Weight::One),
                Some(Term::LigandReceptor { ligand, receptor }) => {
                    add(receptor, Weight::Sensed { ligand, receptor });
                    add(ligand_genes[ligand as usize] as u32, Weight::Level { gene: receptor });
                }
                Some(Term::TfLigand { ligand, regulator }) => {
                    add(ligand_genes[ligand as usize] as u32, Weight::Level { gene: regulator });
                    add(regulator, Weight::Signal { ligand });
                }
            }
        }
        parts.sort_by_key(|part| (part.gene, part.weight));
        Self { parts }
    }

    /// Contributions, those to one gene together.
    pub(crate) fn by_gene(&self) -> impl Iterator<Item = (usize, &[Part])> {
        self.parts.chunk_by(|a, b| a.gene == b.gene).map(|parts| (parts[0].gene as usize, parts))
    }

    /// Call `use_it(gene, derivative)` for every modulator of one cell.
    pub(crate) fn evaluate(
        &self,
        betas: &[f64],
        cell: Cell<'_>,
        settings: &Slope,
        mut use_it: impl FnMut(usize, f64),
    ) {
        for (gene, parts) in self.by_gene() {
            let sum: f64 =
                parts.iter().map(|p| betas[p.column as usize] * cell.weight(p.weight, settings.scale)).sum();
            use_it(gene, settings.clamp(sum));
        }
    }
}

/// How derivatives are scaled and limited.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Slope {
    /// Multiplies every term except those of TFs.
    pub scale: f64,
    /// Largest size of a summed derivative, `None` for no limit.
    pub cap: Option<f64>,
}

impl Slope {
    /// Check the numbers.
    ///
    /// # Errors
    /// [`Error::Parameter`] when the scale is not finite or the cap is not above 0.
    pub fn check(self) -> Result<Self> {
        if !self.scale.is_finite() {
            let expected = "give a finite number";
            return Err(Error::Parameter {
                name: "beta_scale_factor",
                value: self.scale.to_string(),
                expected,
            });
        }
        match self.cap {
            Some(cap) if !(cap.is_finite() && cap > 0.0) => Err(Error::Parameter {
                name: "beta_cap",
                value: cap.to_string(),
                expected: "give a positive number, or none for no limit",
            }),
            _ => Ok(self),
        }
    }

    fn clamp(&self, derivative: f64) -> f64 {
        self.cap.map_or(derivative, |cap| derivative.clamp(-cap, cap))
    }
}

/// Expression as the model sees it: 0 unless above the threshold.
#[inline(always)]
#[must_use]
pub fn filtered(value: f64, min_expression: f64) -> f64 {
    if value > min_expression { value } else { 0.0 }
}

/// Derivatives of `target` with respect to `modulators` in every cell (cells x modulators).
///
/// * `expression`: cells x genes, filtered at `min_expression` here.
/// * `received`, `received_tfl`: cells x ligands of the ligand axis.
/// * `modulators`: genes; one that the target does not depend on has derivative 0.
///
/// Cost O(cells x coefficients of the target).
///
/// # Errors
/// When shapes or indices do not fit the model, an entry is not finite, or the caller stops the work.
pub fn splash(
    model: &RegulatoryModel,
    target: usize,
    expression: ArrayView2<f64>,
    received: [ArrayView2<f64>; 2],
    modulators: &[i64],
    slope: Slope,
    min_expression: f64,
    watch: &dyn Watch,
) -> Result<Array2<f64>> {
    let slope = slope.check()?;
    check::indices("target", [target as i64], model.targets().len())?;
    check::indices("modulators", modulators.iter().copied(), model.n_genes())?;
    shape("expression", expression, (model.n_cells(), model.n_genes()))?;
    for (name, table) in ["received", "received_tfl"].into_iter().zip(received) {
        shape(name, table, (model.n_cells(), model.n_ligands()))?;
    }
    let mut columns: Vec<Vec<usize>> = vec![Vec::new(); model.n_genes()];
    for (column, &gene) in modulators.iter().enumerate() {
        columns[gene as usize].push(column);
    }
    let watched = Watched::new(watch, model.n_cells().div_ceil(CHUNK));
    let mut out = Array2::zeros((model.n_cells(), modulators.len()));
    out.axis_chunks_iter_mut(Axis(0), CHUNK).into_par_iter().enumerate().try_for_each(
        |(chunk, mut rows)| {
            let mut level = vec![0.0; model.n_genes()];
            for (i, mut row) in rows.outer_iter_mut().enumerate() {
                let cell = chunk * CHUNK + i;
                let betas = model.betas_at(target, cell);
                if betas.is_empty() {
                    continue;
                }
                level
                    .iter_mut()
                    .zip(expression.row(cell))
                    .for_each(|(e, &x)| *e = filtered(x, min_expression));
                let (lr, tfl) = (received[0].row(cell).to_vec(), received[1].row(cell).to_vec());
                let state = Cell { expression: &level, received: &lr, received_tfl: &tfl };
                model.targets()[target].derivatives.evaluate(betas, state, &slope, |gene, derivative| {
                    columns[gene].iter().for_each(|&column| row[column] = derivative);
                });
            }
            watched.one_done()
        },
    )?;
    Ok(out)
}

fn shape(name: &'static str, array: ArrayView2<f64>, expected: (usize, usize)) -> Result<()> {
    if array.dim() == expected {
        return check::finite(name, array);
    }
    Err(Error::Shape { name, found: format!("{:?}", array.dim()), expected: format!("{expected:?}") })
}
