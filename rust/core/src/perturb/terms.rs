//! State of a cell during a step, and what the terms of the model make of it.

use super::model::Term;
use ndarray::{ArrayView1, ArrayView2, Axis};

/// Matrices of one step, one row per cell.
#[derive(Debug, Clone, Copy)]
pub struct State<'a> {
    /// Filtered expression, cells x genes.
    pub expression: ArrayView2<'a, f64>,
    /// Received ligands of ligand-receptor pairs, cells x ligands.
    pub received: ArrayView2<'a, f64>,
    /// Received ligands of ligand-TF pairs, cells x ligands.
    pub received_tfl: ArrayView2<'a, f64>,
    /// Change of each gene; for ligand genes the change of the received amount.
    pub delta: ArrayView2<'a, f64>,
}

/// One row of a [`State`].
#[derive(Debug, Clone, Copy)]
pub struct Cell<'a> {
    expression: ArrayView1<'a, f64>,
    received: ArrayView1<'a, f64>,
    received_tfl: ArrayView1<'a, f64>,
    delta: ArrayView1<'a, f64>,
}

impl<'a> State<'a> {
    /// The matrices' rows of one cell.
    #[must_use]
    pub fn cell(&self, cell: usize) -> Cell<'a> {
        Cell {
            expression: self.expression.index_axis_move(Axis(0), cell),
            received: self.received.index_axis_move(Axis(0), cell),
            received_tfl: self.received_tfl.index_axis_move(Axis(0), cell),
            delta: self.delta.index_axis_move(Axis(0), cell),
        }
    }
}

/// Derivative of a term with unit coefficient: by its gene or ligand gene, and by its second gene.
pub struct Slopes {
    /// By the first end (the gene, or the ligand's gene).
    pub first: f64,
    /// By the second end (receptor or TF); 0 for a single gene.
    pub second: f64,
}

impl Cell<'_> {
    /// Derivatives of a term at the state of this cell; `scale` multiplies those with a ligand.
    #[must_use]
    pub fn slopes(&self, term: Term, scale: f64) -> Slopes {
        match term {
            Term::Gene(_) => Slopes { first: 1.0, second: 0.0 },
            Term::LigandReceptor(ligand, receptor) => {
                let bound = self.expression[receptor];
                let heard = if bound > 0.0 { self.received[ligand] * scale } else { 0.0 };
                Slopes { first: bound * scale, second: heard }
            }
            Term::LigandTf(ligand, tf) => {
                Slopes { first: self.expression[tf] * scale, second: self.received_tfl[ligand] * scale }
            }
        }
    }

    /// First-order change of a term with unit coefficient.
    #[must_use]
    pub fn change(&self, term: Term, ligand_genes: &[usize], scale: f64) -> f64 {
        let slopes = self.slopes(term, scale);
        match term {
            Term::Gene(gene) => self.delta[gene],
            Term::LigandReceptor(ligand, second) | Term::LigandTf(ligand, second) => {
                slopes.second * self.delta[second] + slopes.first * self.delta[ligand_genes[ligand]]
            }
        }
    }

    /// Change of one gene.
    #[must_use]
    pub fn delta(&self, gene: usize) -> f64 {
        self.delta[gene]
    }
}
