//! Derivatives term by term: the splash of a target, and propagation where coefficients differ per cell or
//! are capped. Also the oracle of the matrix form.

use super::model::{Model, Target, Term};
use super::terms::{Cell, State};
use ndarray::{Array2, ArrayViewMut1, Axis};
use rayon::prelude::*;
use std::collections::BTreeMap;

/// Terms of a target in the order of its modulator genes.
#[derive(Debug, Clone)]
pub struct Derivative<'a> {
    target: &'a Target,
    /// Distinct modulator genes, ascending.
    pub genes: Vec<usize>,
    /// Column of betas, term, slot of the first end, slot of the second end.
    terms: Vec<(usize, Term, usize, usize)>,
    scale: f64,
    cap: Option<f64>,
}

impl<'a> Derivative<'a> {
    /// Resolve the modulators; `allowed` restricts the genes that act as TFs by themselves.
    #[must_use]
    pub fn new(
        model: &'a Model,
        target: usize,
        scale: f64,
        cap: Option<f64>,
        allowed: Option<&[i64]>,
    ) -> Self {
        let target = &model.targets[target];
        let ends = |term: Term| match term {
            Term::Gene(gene) => (gene, gene),
            Term::LigandReceptor(ligand, second) | Term::LigandTf(ligand, second) => {
                (model.ligand_genes[ligand], second)
            }
        };
        let mut slots: BTreeMap<usize, usize> = BTreeMap::new();
        for &(_, term) in &target.terms {
            let (first, second) = ends(term);
            slots.insert(first, 0);
            slots.insert(second, 0);
        }
        for (slot, value) in slots.values_mut().enumerate() {
            *value = slot;
        }
        let terms = target
            .terms
            .iter()
            .filter(|(_, term)| is_allowed(*term, allowed))
            .map(|&(column, term)| {
                let (first, second) = ends(term);
                (column, term, slots[&first], slots[&second])
            })
            .collect();
        Self { target, genes: slots.into_keys().collect(), terms, scale, cap }
    }

    /// Derivative of the target by each modulator gene in one cell; scaled term by term, summed, then capped.
    pub fn of_cell(&self, cell: usize, state: &Cell, slopes: &mut [f64]) {
        slopes.fill(0.0);
        let Ok(row) = usize::try_from(self.target.rows[cell]) else { return };
        for &(column, term, first, second) in &self.terms {
            let beta = self.target.betas[[row, column]];
            let slope = state.slopes(term, self.scale);
            slopes[first] += beta * slope.first;
            slopes[second] += beta * slope.second;
        }
        if let Some(cap) = self.cap {
            for slope in slopes {
                *slope = slope.clamp(-cap, cap);
            }
        }
    }

    /// Change of the target in one cell to first order.
    pub fn change(&self, cell: usize, state: &Cell, slopes: &mut [f64]) -> f64 {
        self.of_cell(cell, state, slopes);
        self.genes.iter().zip(slopes).map(|(&gene, slope)| *slope * state.delta(gene)).sum()
    }
}

/// Whether a term may act: only single genes are restricted.
#[must_use]
pub fn is_allowed(term: Term, allowed: Option<&[i64]>) -> bool {
    match (term, allowed) {
        (Term::Gene(gene), Some(allowed)) => allowed.contains(&(gene as i64)),
        _ => true,
    }
}

/// Derivative of one target by the genes `modulators`, cells x modulators.
#[must_use]
pub fn splash(derivative: &Derivative, state: &State, modulators: &[usize]) -> Array2<f64> {
    let slots: Vec<Option<usize>> =
        modulators.iter().map(|g| derivative.genes.binary_search(g).ok()).collect();
    let mut out = Array2::zeros((state.expression.nrows(), modulators.len()));
    out.axis_iter_mut(Axis(0)).into_par_iter().enumerate().for_each_init(
        || vec![0.0; derivative.genes.len()],
        |slopes, (cell, mut row): (usize, ArrayViewMut1<f64>)| {
            derivative.of_cell(cell, &state.cell(cell), slopes);
            for (out, slot) in row.iter_mut().zip(&slots) {
                *out = slot.map_or(0.0, |slot| slopes[slot]);
            }
        },
    );
    out
}
