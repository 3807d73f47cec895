//! Mechanism of the benchmark tissue: saturating regulation with received ligands, iterated to its steady state.
//!
//! With `h_n(x) = x^n / (1 + x^n)` and `recv` the Gaussian-received ligand,
//!
//! ```text
//! u_ig = base_ig + sum_TF w (h_2(x_ik) - 1/2) + sum_LR v (h_1(recv_iL x_iR) - 1/2)
//!                + sum_TFL z (h_1(recv_iL) h_2(x_ik) - 1/4)
//! x_ig = 4 exp(eps_ig) / (1 + exp(-u_ig))
//! ```
//!
//! where the weights depend on the type of cell i. All genes are updated at once, 0.8 new + 0.2 old.

use crate::check;
use crate::error::{Error, Result};
use crate::ligand::ReceivedPlan;
use crate::watch::Watch;
use ndarray::{Array2, ArrayView1, ArrayView2, Axis, Zip};
use rayon::prelude::*;

const DAMPING: f64 = 0.8;
const TOLERANCE: f64 = 1e-5;
const MAX_ROUNDS: usize = 200;

/// Regulatory edges of one kind: who is regulated, by what, and how strongly in each type.
#[derive(Debug, Clone, Copy)]
pub struct Edges<'a> {
    /// Edges x 2 (gene, factor) for `tf`; edges x 3 (gene, ligand position, receptor or factor) otherwise.
    pub ends: ArrayView2<'a, i64>,
    /// Edges x types.
    pub weights: ArrayView2<'a, f64>,
}

/// Everything that determines the steady state of a tissue.
#[derive(Debug, Clone, Copy)]
pub struct Mechanism<'a> {
    /// Type of each cell.
    pub types: ArrayView1<'a, i64>,
    /// Cells x genes: input of each gene without regulators.
    pub base: ArrayView2<'a, f64>,
    /// Cells x genes: exogenous variation on the log scale.
    pub variation: ArrayView2<'a, f64>,
    /// Gene of each ligand position.
    pub ligand_genes: ArrayView1<'a, i64>,
    /// Transcription factor edges.
    pub tf: Edges<'a>,
    /// Ligand-receptor edges.
    pub lr: Edges<'a>,
    /// TF-ligand edges.
    pub tfl: Edges<'a>,
}

/// Kernel sums of the ligands that share a radius, and the factor that turns them into a received amount.
#[derive(Debug)]
pub struct Signal<'a> {
    /// Plan on the coordinates of the cells.
    pub plan: &'a ReceivedPlan,
    /// Ligand positions with this radius.
    pub ligands: Vec<usize>,
    /// Multiplies the plan's sums.
    pub scale: f64,
}

/// One gene held at a value in some cells.
#[derive(Debug, Clone, Copy)]
pub struct Held<'a> {
    /// The gene.
    pub gene: usize,
    /// Its value.
    pub value: f64,
    /// Which cells.
    pub cells: ArrayView1<'a, bool>,
}

/// Steady state (cells x genes) from `start`, with at most one gene held.
///
/// With a gene held, genes that it cannot reach along acting edges keep their value of `start`, which then has
/// to be a steady state without it.
///
/// # Errors
/// Shapes that disagree, indices out of range, or a stop asked through `watch`.
pub fn steady_state(
    mechanism: &Mechanism,
    signals: &[Signal],
    start: ArrayView2<f64>,
    held: Option<Held>,
    watch: &dyn Watch,
) -> Result<Array2<f64>> {
    validate(mechanism, signals, start, held)?;
    let mut state = start.to_owned();
    hold(&mut state, held);
    let reach = Reach::new(mechanism, held);
    let ceiling = mechanism.variation.mapv(|eps| 4.0 * eps.exp());
    let inner = Response::new(mechanism, &ceiling, &reach.inner);
    let mut received = Array2::zeros((state.nrows(), mechanism.ligand_genes.len()));
    receive(mechanism, signals, &state, &mut received, |_| true, watch)?;
    for round in 0..MAX_ROUNDS {
        if !watch.tick(round, MAX_ROUNDS) {
            return Err(Error::Cancelled { done: round, total: MAX_ROUNDS });
        }
        let change = inner.relax(&mut state, &received, held);
        receive(mechanism, signals, &state, &mut received, |gene| reach.inner[gene], watch)?;
        if change < TOLERANCE {
            break;
        }
    }
    Response::new(mechanism, &ceiling, &reach.ends).assign(&mut state, &received, held);
    Ok(state)
}

fn hold(state: &mut Array2<f64>, held: Option<Held>) {
    if let Some(held) = held {
        let mut column = state.column_mut(held.gene);
        Zip::from(&mut column).and(held.cells).for_each(|x, &inside| {
            if inside {
                *x = held.value;
            }
        });
    }
}

/// Kernel sums of the ligands whose gene is `wanted`.
fn receive(
    mechanism: &Mechanism,
    signals: &[Signal],
    state: &Array2<f64>,
    received: &mut Array2<f64>,
    wanted: impl Fn(usize) -> bool,
    watch: &dyn Watch,
) -> Result<()> {
    for signal in signals {
        let gene = |ligand: usize| mechanism.ligand_genes[ligand] as usize;
        let ligands: Vec<usize> = signal.ligands.iter().copied().filter(|&l| wanted(gene(l))).collect();
        if ligands.is_empty() {
            continue;
        }
        let genes: Vec<usize> = ligands.iter().map(|&l| gene(l)).collect();
        let part = signal.plan.apply(state.select(Axis(1), &genes).view(), signal.scale, watch)?;
        for (column, &ligand) in part.axis_iter(Axis(1)).zip(&ligands) {
            received.column_mut(ligand).assign(&column);
        }
    }
    Ok(())
}

/// Genes that may move: those that regulate others are iterated, the ends of the network follow once.
struct Reach {
    inner: Vec<bool>,
    ends: Vec<bool>,
}

impl Reach {
    fn new(mechanism: &Mechanism, held: Option<Held>) -> Self {
        let genes = mechanism.base.ncols();
        let mut targets = vec![Vec::new(); genes];
        for edges in [mechanism.tf, mechanism.lr, mechanism.tfl] {
            for edge in edges.acting().into_iter().flatten() {
                targets[edge.factor].push(edge.gene);
                if edges.ends.ncols() == 3 {
                    targets[mechanism.ligand_genes[edge.ligand] as usize].push(edge.gene);
                }
            }
        }
        let mut moves = vec![held.is_none(); genes];
        let mut open: Vec<usize> = held.iter().map(|held| held.gene).collect();
        while let Some(gene) = open.pop() {
            for &target in &targets[gene] {
                if !moves[target] {
                    moves[target] = true;
                    open.push(target);
                }
            }
        }
        let regulates = |gene: usize| !targets[gene].is_empty();
        Self {
            inner: (0..genes).map(|gene| moves[gene] && regulates(gene)).collect(),
            ends: (0..genes).map(|gene| moves[gene] && !regulates(gene)).collect(),
        }
    }
}

/// An edge that acts: who is regulated, the two factors (positions) and the weight.
#[derive(Debug, Clone, Copy)]
struct Edge {
    gene: usize,
    ligand: usize,
    factor: usize,
    weight: f64,
}

impl Edges<'_> {
    fn acting(&self) -> Vec<Vec<Edge>> {
        let last = self.ends.ncols() - 1;
        let edge = |end: ArrayView1<i64>, weight: f64| Edge {
            gene: end[0] as usize,
            ligand: if last == 2 { end[1] as usize } else { 0 },
            factor: end[last] as usize,
            weight,
        };
        self.weights
            .axis_iter(Axis(1))
            .map(|weights| {
                let pairs = self.ends.outer_iter().zip(weights);
                pairs.filter(|(_, w)| **w != 0.0).map(|(end, w)| edge(end, *w)).collect()
            })
            .collect()
    }
}

/// Response of some genes to the state: acting edges of each type, in the order they were given.
struct Response<'a, 'm> {
    mechanism: &'a Mechanism<'m>,
    ceiling: &'a Array2<f64>,
    genes: Vec<usize>,
    factors: Vec<usize>,
    tf: Vec<Vec<Edge>>,
    lr: Vec<Vec<Edge>>,
    tfl: Vec<Vec<Edge>>,
}

impl<'a, 'm> Response<'a, 'm> {
    fn new(mechanism: &'a Mechanism<'m>, ceiling: &'a Array2<f64>, wanted: &[bool]) -> Self {
        let [tf, lr, tfl] = [mechanism.tf, mechanism.lr, mechanism.tfl].map(|edges| {
            let mut types = edges.acting();
            types.iter_mut().for_each(|edges| edges.retain(|edge| wanted[edge.gene]));
            types
        });
        let mut factors: Vec<usize> = tf.iter().chain(&tfl).flatten().map(|edge| edge.factor).collect();
        factors.sort_unstable();
        factors.dedup();
        let genes = (0..wanted.len()).filter(|&gene| wanted[gene]).collect();
        Self { mechanism, ceiling, genes, factors, tf, lr, tfl }
    }

    /// Move the genes most of the way to their response; the largest relative change of an entry.
    fn relax(&self, state: &mut Array2<f64>, received: &Array2<f64>, held: Option<Held>) -> f64 {
        let changes = self.respond(state, received, held, |x, response| {
            let step = DAMPING * (response - *x);
            let change = step.abs() / (1.0 + x.abs());
            *x += step;
            change
        });
        changes.into_iter().fold(0.0, f64::max)
    }

    /// Set the genes to their response.
    fn assign(&self, state: &mut Array2<f64>, received: &Array2<f64>, held: Option<Held>) {
        self.respond(state, received, held, |x, response| {
            *x = response;
            0.0
        });
    }

    /// Let `update` see every gene that is not held beside its response; the largest value it gave per cell.
    fn respond(
        &self,
        state: &mut Array2<f64>,
        received: &Array2<f64>,
        held: Option<Held>,
        update: impl Fn(&mut f64, f64) -> f64 + Sync,
    ) -> Vec<f64> {
        let width = state.ncols();
        let buffers = || (vec![0.0; width], vec![0.0; width]);
        let rows = state.axis_iter_mut(Axis(0)).into_par_iter().enumerate();
        rows.map_init(buffers, |(input, hill), (cell, mut x)| {
            self.sum_inputs(cell, x.view(), received.row(cell), input, hill);
            let fixed = held.filter(|held| held.cells[cell]).map(|held| held.gene);
            let mut largest = 0.0_f64;
            for &gene in self.genes.iter().filter(|&&gene| Some(gene) != fixed) {
                let response = self.ceiling[[cell, gene]] / (1.0 + (-input[gene]).exp());
                largest = largest.max(update(&mut x[gene], response));
            }
            largest
        })
        .collect()
    }

    fn sum_inputs(
        &self,
        cell: usize,
        x: ArrayView1<f64>,
        received: ArrayView1<f64>,
        input: &mut [f64],
        hill: &mut [f64],
    ) {
        let kind = self.mechanism.types[cell] as usize;
        for &gene in &self.genes {
            input[gene] = self.mechanism.base[[cell, gene]];
        }
        for &factor in &self.factors {
            hill[factor] = hill2(x[factor]);
        }
        for edge in &self.tf[kind] {
            input[edge.gene] += edge.weight * (hill[edge.factor] - 0.5);
        }
        for edge in &self.lr[kind] {
            input[edge.gene] += edge.weight * (hill1(received[edge.ligand] * x[edge.factor]) - 0.5);
        }
        for edge in &self.tfl[kind] {
            input[edge.gene] += edge.weight * (hill1(received[edge.ligand]) * hill[edge.factor] - 0.25);
        }
    }
}

fn hill1(x: f64) -> f64 {
    x / (1.0 + x)
}

fn hill2(x: f64) -> f64 {
    let square = x * x;
    square / (1.0 + square)
}

fn validate(m: &Mechanism, signals: &[Signal], start: ArrayView2<f64>, held: Option<Held>) -> Result<()> {
    let (cells, genes) = m.base.dim();
    check::same_rows("base", cells, "types", m.types.len())?;
    for (name, array) in [("variation", m.variation), ("start", start)] {
        if array.dim() != (cells, genes) {
            let (found, expected) = (format!("shape {:?}", array.dim()), format!("{:?}", (cells, genes)));
            return Err(Error::Shape { name, found, expected });
        }
        check::finite(name, array)?;
    }
    check::finite("base", m.base)?;
    check::indices("ligand_genes", m.ligand_genes.iter().copied(), genes)?;
    let ligands = m.ligand_genes.len();
    for (name, edges, width) in [("tf edges", m.tf, 2), ("lr edges", m.lr, 3), ("tfl edges", m.tfl, 3)] {
        check::same_rows(name, edges.ends.nrows(), "their weights", edges.weights.nrows())?;
        check::indices("types", m.types.iter().copied(), edges.weights.ncols())?;
        if edges.ends.ncols() != width {
            let (found, expected) = (format!("{} columns", edges.ends.ncols()), width.to_string());
            return Err(Error::Shape { name, found, expected });
        }
        check::indices(name, edges.ends.column(0).iter().copied(), genes)?;
        check::indices(name, edges.ends.column(width - 1).iter().copied(), genes)?;
        if width == 3 {
            check::indices(name, edges.ends.column(1).iter().copied(), ligands)?;
        }
    }
    for signal in signals {
        check::indices("signal ligands", signal.ligands.iter().map(|&l| l as i64), ligands)?;
    }
    if let Some(held) = held {
        check::indices("held gene", [held.gene as i64], genes)?;
        check::same_rows("base", cells, "held cells", held.cells.len())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::Unwatched;
    use ndarray::{Array1, array};

    fn edges<'a>(ends: &'a Array2<i64>, weights: &'a Array2<f64>) -> Edges<'a> {
        Edges { ends: ends.view(), weights: weights.view() }
    }

    /// Gene 0 drives gene 1 in type 1 only; solve for the change of gene 1 when gene 0 is held at `value`.
    fn solve(value: Option<f64>) -> Result<Array2<f64>> {
        let (types, base) = (array![0_i64, 1], array![[-0.5, 0.25], [-0.5, 0.25]]);
        let (tf, tf_weights) = (array![[1_i64, 0]], array![[0.0, 2.0]]);
        let (none, no_weights) = (Array2::zeros((0, 3)), Array2::zeros((0, 2)));
        let (variation, ligands) = (Array2::zeros((2, 2)), Array1::zeros(0));
        let mechanism = Mechanism {
            types: types.view(),
            base: base.view(),
            variation: variation.view(),
            ligand_genes: ligands.view(),
            tf: edges(&tf, &tf_weights),
            lr: edges(&none, &no_weights),
            tfl: edges(&none, &no_weights),
        };
        let everywhere = array![true, true];
        let held = value.map(|value| Held { gene: 0, value, cells: everywhere.view() });
        steady_state(&mechanism, &[], Array2::ones((2, 2)).view(), held, &Unwatched)
    }

    fn logistic(u: f64) -> f64 {
        4.0 / (1.0 + (-u).exp())
    }

    #[test]
    fn a_chain_of_two_genes_settles_where_its_equations_say() {
        let (free, source) = (solve(None).unwrap(), logistic(-0.5));
        assert!((free[[0, 0]] - source).abs() < 1e-4);
        assert!((free[[0, 1]] - logistic(0.25)).abs() < 1e-4);
        assert!((free[[1, 1]] - logistic(0.25 + 2.0 * (hill2(source) - 0.5))).abs() < 1e-4);
        let held = solve(Some(3.0)).unwrap();
        assert_eq!((held[[0, 0]], held[[1, 0]]), (3.0, 3.0));
        assert!((held[[1, 1]] - logistic(0.25 + 2.0 * (0.9 - 0.5))).abs() < 1e-12);
    }
}
