//! The problem in the form the solvers read: Gram matrix, projected counts, graph, penalties.

use crate::check;
use crate::error::{Error, Result};
use crate::simd::fma;
use crate::widest;
use ndarray::ArrayView2;
use rayon::prelude::*;

/// Spots per task. Sums over spots are made per task and added in order.
pub(super) const TASK: usize = 512;
const LANES: usize = 8;

/// Graph-regularized non-negative least squares, ready to be solved.
pub struct System<'a> {
    /// Types x types, rows padded with zeros to a multiple of the vector length.
    pub(super) gram: Vec<f64>,
    pub(super) padded: usize,
    pub(super) types: usize,
    pub(super) h: &'a [f64],
    pub(super) indptr: &'a [i64],
    pub(super) neighbors: &'a [i32],
    pub(super) lambda: f64,
    pub(super) rho: f64,
}

/// Value of the objective without the constant, and how far the optimality conditions are from holding.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quality {
    /// Objective minus half the squared length of all represented spots.
    pub objective: f64,
    /// `max |min((G_kk + lambda degree) beta, gradient)| / max |H|`: 0 exactly at the optimum.
    pub residual: f64,
}

impl<'a> System<'a> {
    /// Check and borrow.
    ///
    /// * `gram`: types x types, symmetric positive semidefinite.
    /// * `h`: spots x types.
    /// * `indptr`, `neighbors`: symmetric graph without loops.
    /// * `lambda`, `rho`: penalties of the objective, not negative.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::Index`], [`Error::NotFinite`], [`Error::Parameter`].
    pub fn new(
        gram: ArrayView2<f64>,
        h: ArrayView2<'a, f64>,
        (indptr, neighbors): (&'a [i64], &'a [i32]),
        lambda: f64,
        rho: f64,
    ) -> Result<Self> {
        let types = h.ncols();
        check::finite("gram", gram)?;
        check::finite("H", h)?;
        let wrong = |name, found: String, expected: String| Error::Shape { name, found, expected };
        if types == 0 || gram.dim() != (types, types) {
            return Err(wrong(
                "gram",
                format!("{:?}", gram.dim()),
                format!("{types} x {types}, at least one type"),
            ));
        }
        let rises = indptr.windows(2).all(|pair| 0 <= pair[0] && pair[0] <= pair[1]);
        if indptr.len() != h.nrows() + 1 || !rises || indptr[h.nrows()] != neighbors.len() as i64 {
            return Err(wrong("graph", format!("{} row starts", indptr.len()), "one row per spot".into()));
        }
        check::indices("graph", neighbors.iter().map(|&spot| i64::from(spot)), h.nrows())?;
        for (name, value) in [("lambda", lambda), ("rho", rho)] {
            if !(value.is_finite() && value >= 0.0) {
                let expected = "give a number that is not negative";
                return Err(Error::Parameter { name, value: value.to_string(), expected });
            }
        }
        let found = "strided rows".to_string();
        let h = h.to_slice().ok_or_else(|| wrong("H", found, "rows one after the other".into()))?;
        let padded = types.div_ceil(LANES) * LANES;
        let mut rows = vec![0.0; types * padded];
        for (row, out) in gram.outer_iter().zip(rows.chunks_exact_mut(padded.max(1))) {
            row.iter().zip(out).for_each(|(value, out)| *out = *value);
        }
        Ok(Self { gram: rows, padded, types, h, indptr, neighbors, lambda, rho })
    }

    /// Number of spots.
    pub fn n_spots(&self) -> usize {
        self.indptr.len() - 1
    }

    pub(super) fn around(&self, spot: usize) -> &'a [i32] {
        &self.neighbors[self.indptr[spot] as usize..self.indptr[spot + 1] as usize]
    }

    /// `lambda * degree`, what the graph adds to every diagonal entry of a spot.
    pub(super) fn pull(&self, spot: usize) -> f64 {
        self.lambda * self.around(spot).len() as f64
    }

    pub(super) fn diagonal(&self, kind: usize) -> f64 {
        self.gram[kind * self.padded + kind]
    }

    /// `target = H + lambda * sum of the neighbors' beta`, padded.
    pub(super) fn target(&self, spot: usize, beta: &[f64], target: &mut [f64]) {
        let types = self.types;
        target.fill(0.0);
        for &other in self.around(spot) {
            for (sum, value) in target.iter_mut().zip(&beta[other as usize * types..][..types]) {
                *sum += value;
            }
        }
        for (sum, h) in target.iter_mut().zip(&self.h[spot * types..][..types]) {
            *sum = h + self.lambda * *sum;
        }
    }

    pub(super) fn check_start(&self, beta: &[f64]) -> Result<()> {
        if beta.len() == self.h.len() {
            return Ok(());
        }
        let (found, expected) = (format!("{} entries", beta.len()), format!("{}", self.h.len()));
        Err(Error::Shape { name: "start", found, expected })
    }

    /// Largest entry of `|H|`: the unit of the residual.
    pub(super) fn unit(&self) -> f64 {
        let largest = self.h.par_chunks(1 << 16).map(|h| h.iter().fold(0.0_f64, |a, b| a.max(b.abs())));
        largest.reduce(|| 0.0, f64::max).max(f64::MIN_POSITIVE)
    }

    /// Objective and optimality of `beta` (spots x types).
    ///
    /// # Errors
    /// [`Error::Shape`] when `beta` does not fit.
    pub fn quality(&self, beta: &[f64]) -> Result<Quality> {
        self.check_start(beta)?;
        let starts: Vec<usize> = (0..self.n_spots()).step_by(TASK).collect();
        let found: Vec<(f64, f64)> =
            starts.into_par_iter().map(|start| self.quality_of_task(start, beta)).collect();
        let (mut objective, mut residual) = (0.0, 0.0_f64);
        for (value, worst) in found {
            objective += value;
            residual = residual.max(worst);
        }
        Ok(Quality { objective, residual: residual / self.unit() })
    }

    fn quality_of_task(&self, start: usize, beta: &[f64]) -> (f64, f64) {
        let (mut objective, mut worst) = (0.0, 0.0_f64);
        let (mut target, mut product) = (vec![0.0; self.padded], vec![0.0; self.padded]);
        for spot in start..self.n_spots().min(start + TASK) {
            let here = &beta[spot * self.types..][..self.types];
            self.target(spot, beta, &mut target);
            multiply(&self.gram, here, &mut product);
            let pull = self.pull(spot);
            for (kind, (&b, (&t, &p))) in here.iter().zip(target.iter().zip(&product)).enumerate() {
                let h = self.h[spot * self.types + kind];
                // The sum over directed edges counts every edge twice: half of beta (degree beta - sum) per spot.
                objective += b * (0.5 * (p + pull * b - (t - h)) - h) + self.rho * b.abs();
                worst = worst.max(excess(b, p + pull * b - t + self.rho, self.diagonal(kind) + pull));
            }
        }
        (objective, worst)
    }
}

/// Violation of optimality of one coordinate: 0 when it is free with no slope, or 0 with an upward slope.
#[inline(always)]
pub(super) fn excess(beta: f64, slope: f64, curvature: f64) -> f64 {
    (curvature * beta).min(slope).abs()
}

widest! {
    /// `product = G b`, over the positive entries of `b`; rows of `gram` are as long as `product`.
    fn multiply(gram: &[f64], b: &[f64], product: &mut [f64]) {
        add_product::<FMA>(gram, b, product);
    }
}

/// `product = G b` inside code that is compiled for the widest instructions.
#[inline(always)]
pub(super) fn add_product<const FMA: bool>(gram: &[f64], b: &[f64], product: &mut [f64]) {
    product.fill(0.0);
    for (row, &b) in gram.chunks_exact(product.len().max(1)).zip(b) {
        if b != 0.0 {
            for (sum, &g) in product.iter_mut().zip(row) {
                *sum = fma::<FMA>(b, g, *sum);
            }
        }
    }
}
