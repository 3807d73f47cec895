//! Propagation of one step as a product: features of a cell times the coefficients of its cluster.
//!
//! The change of a term (see [`super::terms`]) belongs to the cell, not to the target, so it is computed once
//! per cell for the union of the terms of all targets. Targets with a row per cluster share a matrix per
//! cluster: packed where it is dense, a list of non-zeros where it is sparse. Cells are taken in cluster
//! order, in blocks whose size depends on nothing else, so sums are the same for any number of threads.

use super::model::{Model, Term};
use super::plain::{Derivative, is_allowed};
use super::terms::State;
use crate::error::{Error, Result};
use crate::gemm::{PackedRight, multiply};
use crate::simd::fma;
use crate::watch::Watch;
use crate::widest;
use ndarray::{Array2, ArrayView2, ArrayViewMut2, Axis};
use rayon::prelude::*;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Cells of one block.
const BLOCK: usize = 64;
/// A matrix with fewer non-zeros than this share is kept as a list of them.
const DENSE_SHARE: f64 = 0.2;
/// Targets with more rows than cells / this are propagated cell by cell.
const MIN_CELLS_PER_ROW: usize = 4;

/// How terms are scaled and limited.
#[derive(Debug, Clone, Copy)]
pub struct Scaling<'a> {
    /// Factor of the terms with a ligand.
    pub scale: f64,
    /// Largest absolute derivative of a target by a modulator.
    pub cap: Option<f64>,
    /// Per target: genes that may act as TFs, `None` for all.
    pub allowed: Option<&'a [Option<Vec<i64>>]>,
}

impl<'a> Scaling<'a> {
    fn of(&self, target: usize) -> Option<&'a [i64]> {
        self.allowed.and_then(|all| all.get(target)).and_then(|one| one.as_deref())
    }
}

/// Work list of a model, built once per call.
pub struct Contraction<'a> {
    model: &'a Model,
    scale: f64,
    groups: Vec<Group>,
    plain: Vec<Derivative<'a>>,
    plain_genes: Vec<usize>,
}

/// Targets that share a map of cells to rows.
struct Group {
    terms: Vec<Term>,
    genes: Vec<usize>,
    matrices: Vec<Matrix>,
    /// Cells in row order, and the blocks: matrix, range of `cells`.
    cells: Vec<usize>,
    blocks: Vec<(usize, std::ops::Range<usize>)>,
}

enum Matrix {
    Dense(PackedRight),
    /// Per target its non-zero terms.
    Sparse(Vec<Vec<(u32, f64)>>),
}

impl<'a> Contraction<'a> {
    /// Sort the targets into those with a row per cluster and those taken cell by cell.
    #[must_use]
    pub fn new(model: &'a Model, scaling: Scaling) -> Self {
        let mut shared: HashMap<*const Vec<i64>, usize> = HashMap::new();
        let mut members: Vec<Vec<usize>> = Vec::new();
        let (mut plain, mut plain_genes) = (Vec::new(), Vec::new());
        for (position, target) in model.targets.iter().enumerate() {
            let per_cell = target.betas.nrows() * MIN_CELLS_PER_ROW > model.n_cells;
            if per_cell || scaling.cap.is_some() {
                let allowed = scaling.of(position);
                plain.push(Derivative::new(model, position, scaling.scale, scaling.cap, allowed));
                plain_genes.push(target.gene);
                continue;
            }
            let group = *shared.entry(Arc::as_ptr(&target.rows)).or_insert_with(|| {
                members.push(Vec::new());
                members.len() - 1
            });
            members[group].push(position);
        }
        let groups = members.iter().map(|targets| Group::new(model, targets, scaling)).collect();
        Self { model, scale: scaling.scale, groups, plain, plain_genes }
    }

    /// Change of every target to first order; genes without a model get 0.
    ///
    /// # Errors
    /// [`Error::Cancelled`] when `watch` says so.
    pub fn step(&self, state: &State, watch: &dyn Watch, at: (usize, usize)) -> Result<Array2<f64>> {
        let mut next = Array2::zeros((self.model.n_cells, self.model.n_genes));
        for group in &self.groups {
            group.step(state, &self.model.ligand_genes, self.scale, next.view_mut(), watch, at)?;
        }
        if !self.plain.is_empty() {
            self.plain_step(state, next.view_mut(), watch, at)?;
        }
        Ok(next)
    }

    fn plain_step(
        &self,
        state: &State,
        mut next: ArrayViewMut2<f64>,
        watch: &dyn Watch,
        (done, total): (usize, usize),
    ) -> Result<()> {
        let most = self.plain.iter().map(|d| d.genes.len()).max().unwrap_or(0);
        next.axis_iter_mut(Axis(0)).into_par_iter().enumerate().try_for_each_init(
            || vec![0.0; most],
            |slopes, (cell, mut row)| {
                if cell % BLOCK == 0 && !watch.tick(done, total) {
                    return Err(Error::Cancelled { done, total });
                }
                let values = state.cell(cell);
                for (derivative, &gene) in self.plain.iter().zip(&self.plain_genes) {
                    row[gene] = derivative.change(cell, &values, &mut slopes[..derivative.genes.len()]);
                }
                Ok(())
            },
        )
    }
}

impl Group {
    fn new(model: &Model, targets: &[usize], scaling: Scaling) -> Self {
        let n_rows = targets.iter().map(|&t| model.targets[t].betas.nrows()).max().unwrap_or(0);
        let terms = union(model, targets, scaling);
        let index: HashMap<Term, usize> = terms.iter().enumerate().map(|(at, term)| (*term, at)).collect();
        // per row: target in the group, term, coefficient
        let mut entries: Vec<Vec<(usize, usize, f64)>> = vec![Vec::new(); n_rows];
        for (place, &position) in targets.iter().enumerate() {
            let target = &model.targets[position];
            for &(column, term) in &target.terms {
                if !is_allowed(term, scaling.of(position)) {
                    continue;
                }
                let Some(&at) = index.get(&term) else { continue };
                for (row, entry) in entries.iter_mut().enumerate().take(target.betas.nrows()) {
                    let beta = target.betas[[row, column]];
                    if beta != 0.0 {
                        entry.push((place, at, beta));
                    }
                }
            }
        }
        let matrices = entries.iter().map(|e| Matrix::new(e, terms.len(), targets.len())).collect();
        let rows = &model.targets[targets[0]].rows;
        let mut cells: Vec<usize> = (0..model.n_cells).filter(|&i| rows[i] >= 0).collect();
        cells.sort_by_key(|&i| (rows[i], i));
        let mut blocks = Vec::new();
        let mut start = 0;
        for run in cells.chunk_by(|&a, &b| rows[a] == rows[b]) {
            for first in (start..start + run.len()).step_by(BLOCK) {
                blocks.push((rows[run[0]] as usize, first..(first + BLOCK).min(start + run.len())));
            }
            start += run.len();
        }
        let genes = targets.iter().map(|&t| model.targets[t].gene).collect();
        Self { terms, genes, matrices, cells, blocks }
    }

    fn step(
        &self,
        state: &State,
        ligand_genes: &[usize],
        scale: f64,
        mut next: ArrayViewMut2<f64>,
        watch: &dyn Watch,
        (done, total): (usize, usize),
    ) -> Result<()> {
        let width = self.genes.len();
        let mut changes = vec![0.0; self.cells.len() * width];
        let mut parts = Vec::with_capacity(self.blocks.len());
        let mut rest = changes.as_mut_slice();
        for (matrix, range) in &self.blocks {
            let (part, tail) = rest.split_at_mut(range.len() * width);
            parts.push((&self.matrices[*matrix], range.clone(), part));
            rest = tail;
        }
        let seen = AtomicUsize::new(0);
        parts.into_par_iter().try_for_each_init(
            || vec![0.0; self.terms.len() * BLOCK],
            |features, (matrix, range, part)| {
                if seen.fetch_add(1, Ordering::Relaxed) % 16 == 0 && !watch.tick(done, total) {
                    return Err(Error::Cancelled { done, total });
                }
                let cells = &self.cells[range];
                match matrix {
                    Matrix::Dense(packed) => {
                        let features = &mut features[..cells.len() * self.terms.len()];
                        for (line, &cell) in features.chunks_exact_mut(self.terms.len().max(1)).zip(cells) {
                            let values = state.cell(cell);
                            for (f, term) in line.iter_mut().zip(&self.terms) {
                                *f = values.change(*term, ligand_genes, scale);
                            }
                        }
                        dense(features, cells.len(), packed, part, width)
                    }
                    Matrix::Sparse(lists) => {
                        for (lane, &cell) in cells.iter().enumerate() {
                            let values = state.cell(cell);
                            for (line, term) in features.chunks_exact_mut(BLOCK).zip(&self.terms) {
                                line[lane] = values.change(*term, ligand_genes, scale);
                            }
                        }
                        sparse(features, lists, part, width);
                        Ok(())
                    }
                }
            },
        )?;
        let mut position = vec![usize::MAX; next.nrows()];
        for (at, &cell) in self.cells.iter().enumerate() {
            position[cell] = at;
        }
        next.axis_iter_mut(Axis(0)).into_par_iter().zip(position).for_each(|(mut row, at)| {
            if at != usize::MAX {
                for (&gene, change) in self.genes.iter().zip(&changes[at * width..]) {
                    row[gene] = *change;
                }
            }
        });
        Ok(())
    }
}

/// Terms with a coefficient, in the order of terms: sums then run in the same order in every group.
fn union(model: &Model, targets: &[usize], scaling: Scaling) -> Vec<Term> {
    let mut terms: Vec<Term> = targets
        .iter()
        .flat_map(|&position| {
            let target = &model.targets[position];
            target.terms.iter().filter(move |(column, term)| {
                is_allowed(*term, scaling.of(position))
                    && target.betas.column(*column).iter().any(|&b| b != 0.0)
            })
        })
        .map(|(_, term)| *term)
        .collect();
    terms.sort_unstable();
    terms.dedup();
    terms
}

impl Matrix {
    fn new(entries: &[(usize, usize, f64)], n_terms: usize, n_targets: usize) -> Self {
        if entries.len() as f64 >= DENSE_SHARE * (n_terms * n_targets) as f64 {
            let mut dense = Array2::zeros((n_terms, n_targets));
            for &(target, term, beta) in entries {
                dense[[term, target]] += beta;
            }
            return Self::Dense(PackedRight::new(dense.view()));
        }
        let mut lists = vec![Vec::new(); n_targets];
        for &(target, term, beta) in entries {
            lists[target].push((term as u32, beta));
        }
        for list in &mut lists {
            list.sort_unstable_by_key(|(term, _)| *term);
        }
        Self::Sparse(lists)
    }
}

fn dense(features: &[f64], cells: usize, packed: &PackedRight, part: &mut [f64], width: usize) -> Result<()> {
    let terms = if cells == 0 { 0 } else { features.len() / cells };
    let shape = |_| Error::Shape {
        name: "features",
        found: format!("{} values", features.len()),
        expected: format!("{cells} cells"),
    };
    let left = ArrayView2::from_shape((cells, terms), features).map_err(shape)?;
    let out = ArrayViewMut2::from_shape((cells, width), part).map_err(shape)?;
    multiply(left, packed, out, false)
}

/// Changes of every target for the cells of one block, from features stored term by term.
fn sparse(features: &[f64], lists: &[Vec<(u32, f64)>], part: &mut [f64], width: usize) {
    let mut sum = [0.0; BLOCK];
    for (target, list) in lists.iter().enumerate() {
        if list.is_empty() {
            continue;
        }
        combine(features, list, &mut sum);
        for (line, s) in part.chunks_exact_mut(width).zip(&sum) {
            line[target] = *s;
        }
    }
}

widest! {
    /// `sum[cell] = sum_k beta_k feature_k[cell]` for one block of cells.
    fn combine(features: &[f64], list: &[(u32, f64)], sum: &mut [f64; BLOCK]) {
        sum.fill(0.0);
        for &(term, beta) in list {
            let first = term as usize * BLOCK;
            for (s, f) in sum.iter_mut().zip(&features[first..first + BLOCK]) {
                *s = fma::<FMA>(beta, *f, *s);
            }
        }
    }
}
