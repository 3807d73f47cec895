//! The published solver: all spots at once from the previous iterate, one pass over the types per iteration.

use super::system::{System, TASK, add_product};
use crate::error::{Error, Result};
use crate::simd::fma;
use crate::watch::Watch;
use crate::widest;
use rayon::prelude::*;

/// When to stop.
#[derive(Debug, Clone, Copy)]
pub struct Stop {
    /// Largest number of iterations.
    pub max_iter: usize,
    /// Largest change of an entry, relative to the largest entry before.
    pub tol: f64,
    /// Record the objective at iterations 0, 10, 20, ... and the last.
    pub trace: bool,
}

/// How an iteration ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Iterations done.
    pub iterations: usize,
    /// Change of the last iteration, infinite when there was none.
    pub change: f64,
    /// The change fell below the tolerance.
    pub converged: bool,
    /// Objectives without the constant, when asked for.
    pub objectives: Vec<f64>,
}

/// Solve in place, starting from `beta` (spots x types, not negative).
///
/// Every spot reads only the previous iterate of its neighbors, so the bits do not depend on threads.
///
/// # Errors
/// [`Error::Shape`] when `beta` does not fit, [`Error::Cancelled`] on request.
pub fn solve(system: &System, beta: &mut Vec<f64>, stop: Stop, watch: &dyn Watch) -> Result<Outcome> {
    system.check_start(beta)?;
    let mut out =
        Outcome { iterations: 0, change: f64::INFINITY, converged: beta.is_empty(), objectives: Vec::new() };
    if beta.is_empty() {
        return Ok(out);
    }
    let mut new = vec![0.0; beta.len()];
    while out.iterations < stop.max_iter && !out.converged {
        let found: Vec<(f64, f64)> = new
            .par_chunks_mut(TASK * system.types)
            .enumerate()
            .map(|(task, new)| {
                let mut extremes = [0.0; 2];
                sweep(system, task * TASK, beta, new, &mut extremes);
                (extremes[0], extremes[1])
            })
            .collect();
        let change = found.iter().fold(0.0_f64, |a, b| a.max(b.0));
        let largest = found.iter().fold(0.0_f64, |a, b| a.max(b.1));
        std::mem::swap(beta, &mut new);
        out.change = change / (largest + 1e-10);
        out.converged = out.change < stop.tol;
        let last = out.converged || out.iterations + 1 == stop.max_iter;
        if stop.trace && (out.iterations.is_multiple_of(10) || last) {
            out.objectives.push(system.quality(beta)?.objective);
        }
        out.iterations += 1;
        if !watch.tick(out.iterations, stop.max_iter) {
            return Err(Error::Cancelled { done: out.iterations, total: stop.max_iter });
        }
    }
    Ok(out)
}

widest! {
    /// One pass over the types for the spots from `first`; largest change and largest old entry to `extremes`.
    fn sweep(system: &System, first: usize, old: &[f64], new: &mut [f64], extremes: &mut [f64; 2]) {
        let (types, padded) = (system.types, system.padded);
        let (mut target, mut product) = (vec![0.0; padded], vec![0.0; padded]);
        for (i, b) in new.chunks_exact_mut(types).enumerate() {
            let (spot, pull) = (first + i, system.pull(first + i));
            b.copy_from_slice(&old[spot * types..][..types]);
            system.target(spot, old, &mut target);
            add_product::<FMA>(&system.gram, b, &mut product);
            for kind in 0..types {
                let row = &system.gram[kind * padded..][..padded];
                let (g, before) = (row[kind], b[kind]);
                let free = target[kind] - product[kind] + g * before - system.rho;
                let after = if g + pull > 1e-10 { free.max(0.0) / (g + pull) } else { 0.0 };
                extremes[1] = extremes[1].max(before.abs());
                if after != before {
                    let step = after - before;
                    extremes[0] = extremes[0].max(step.abs());
                    b[kind] = after;
                    for (sum, &g) in product.iter_mut().zip(row) {
                        *sum = fma::<FMA>(step, g, *sum);
                    }
                }
            }
        }
    }
}
