//! A faster solver of the same objective: colors of spots in turn, each spot solved exactly and overshot.
//!
//! Neighbors never have the same color, so the spots of one color move at the same time and the bits do not
//! depend on threads. At weak coupling nearly all work is inside the spots and a handful of sweeps is enough; at
//! strong coupling overshooting (successive over-relaxation) carries news across the tissue.

use super::spot::Spot;
use super::system::{System, TASK};
use crate::error::{Error, Result};
use crate::watch::Watch;
use rayon::prelude::*;

/// Spots of one color that are solved before their results are written back.
const BATCH: usize = TASK * 64;
/// Sweeps without overshoot, after which the types present are mostly known.
const PLAIN: usize = 3;
/// Overshoot to begin with at strong coupling, which the rate of the first sweeps then raises.
const BOLD: f64 = 1.8;
/// Sweeps over which a rate is measured.
const WINDOW: usize = 10;
/// Spots that are asked how strongly they are coupled.
const SAMPLE: usize = 512;

/// How the solver ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome {
    /// Sweeps over all spots.
    pub sweeps: usize,
    /// Residual of the optimality conditions at the end, see [`super::system::Quality`].
    pub residual: f64,
    /// The residual fell below the tolerance.
    pub converged: bool,
    /// Overshoot at the end.
    pub omega: f64,
    /// Colors of the graph.
    pub colors: usize,
}

/// Spots in groups without links inside a group: greedy in the order of the spots.
fn colors(system: &System) -> Vec<Vec<u32>> {
    let n = system.n_spots();
    let mut color = vec![usize::MAX; n];
    let mut groups: Vec<Vec<u32>> = Vec::new();
    let mut taken: Vec<usize> = Vec::new();
    for spot in 0..n {
        for &other in system.around(spot) {
            if let Some(mark) = taken.get_mut(color[other as usize]) {
                *mark = spot + 1;
            }
        }
        let free = taken.iter().position(|&mark| mark != spot + 1).unwrap_or(taken.len());
        if free == taken.len() {
            taken.push(0);
            groups.push(Vec::new());
        }
        color[spot] = free;
        groups[free].push(spot as u32);
    }
    groups
}

/// Largest overshoot worth trying for the strength of the coupling, from spots spread over the tissue.
///
/// In the direction that its own counts hold least, with `m` the smallest eigenvalue of the Gram matrix of the types
/// present, a spot follows the mean of its `n` neighbors by `mu = lambda n / (m + lambda n)`. With that rate per sweep
/// the best overshoot is `2 / (1 + sqrt(1 - mu^2))` (Young 1954).
fn overshoot(system: &System, beta: &[f64]) -> f64 {
    let step = system.n_spots().div_ceil(SAMPLE).max(1);
    let mut scratch = Spot::new(system);
    let mut rates: Vec<f64> = (0..system.n_spots())
        .step_by(step)
        .filter(|&spot| !system.around(spot).is_empty())
        .map(|spot| {
            let pull = system.pull(spot);
            pull / (pull + scratch.softest(system, &beta[spot * system.types..][..system.types]))
        })
        .filter(|rate| rate.is_finite())
        .collect();
    rates.sort_unstable_by(f64::total_cmp);
    let rate = rates.get(rates.len() * 3 / 4).copied().unwrap_or(0.0);
    2.0 / (1.0 + (1.0 - rate * rate).sqrt())
}

/// Overshoot for a residual that shrinks by `rate` per sweep at overshoot `omega` (Young's relation).
///
/// With the best overshoot, or more, the rate is `omega - 1` and the answer is `omega`.
fn raised(omega: f64, rate: f64) -> f64 {
    if rate >= 1.0 {
        return 1.0 + omega / 2.0;
    }
    let squared = ((rate + omega - 1.0) / omega).powi(2) / rate;
    2.0 / (1.0 + (1.0 - squared.min(1.0)).sqrt())
}

/// Solve in place from `beta` (spots x types, not negative) until the residual is at most `tol`.
///
/// # Errors
/// [`Error::Shape`] when `beta` does not fit, [`Error::Cancelled`] on request.
pub fn solve(
    system: &System,
    beta: &mut [f64],
    max_sweeps: usize,
    tol: f64,
    watch: &dyn Watch,
) -> Result<Outcome> {
    system.check_start(beta)?;
    let groups = colors(system);
    let unit = system.unit();
    let (mut omega, mut cap) = (1.0, 1.0);
    let (mut seen, mut last) = (f64::INFINITY, f64::INFINITY);
    let mut out = Outcome {
        sweeps: 0,
        residual: system.quality(beta)?.residual,
        converged: false,
        omega,
        colors: groups.len(),
    };
    let mut buffer = Vec::new();
    while out.residual > tol && out.sweeps < max_sweeps {
        if out.sweeps == PLAIN {
            cap = overshoot(system, beta);
            omega = cap.min(BOLD);
        } else if out.sweeps > PLAIN && (out.sweeps - PLAIN).is_multiple_of(WINDOW) {
            omega = raised(omega, (last / seen).powf(1.0 / WINDOW as f64)).clamp(omega, cap.max(omega));
            seen = last;
        }
        let mut worst = 0.0_f64;
        for spots in groups.iter().flat_map(|group| group.chunks(BATCH)) {
            worst = worst.max(update(system, beta, spots, (omega, 0.1 * tol * unit), &mut buffer));
        }
        out.sweeps += 1;
        last = worst;
        if out.sweeps == PLAIN + 1 {
            seen = worst;
        }
        // What the spots saw before they moved is an estimate; only the whole residual decides.
        if worst <= tol * unit || out.sweeps == max_sweeps {
            out.residual = system.quality(beta)?.residual;
        }
        if !watch.tick(out.sweeps, max_sweeps) {
            return Err(Error::Cancelled { done: out.sweeps, total: max_sweeps });
        }
    }
    (out.converged, out.omega) = (out.residual <= tol, omega);
    Ok(out)
}

/// Improve spots that are not linked to each other; returns the largest violation they had.
fn update(
    system: &System,
    beta: &mut [f64],
    spots: &[u32],
    (omega, enough): (f64, f64),
    buffer: &mut Vec<f64>,
) -> f64 {
    let types = system.types;
    buffer.resize(spots.len() * types, 0.0);
    let fixed: &[f64] = beta;
    let found: Vec<f64> = buffer
        .par_chunks_mut(TASK * types)
        .zip(spots.par_chunks(TASK))
        .map(|(new, spots)| {
            let (mut worst, mut scratch) = (0.0_f64, Spot::new(system));
            for (new, &spot) in new.chunks_exact_mut(types).zip(spots) {
                let spot = spot as usize;
                new.copy_from_slice(&fixed[spot * types..][..types]);
                let excess = scratch.look(system, spot, fixed);
                worst = worst.max(excess);
                if excess > enough {
                    let omega = if system.around(spot).is_empty() { 1.0 } else { omega };
                    scratch.improve(system, system.pull(spot), omega, new);
                }
            }
            worst
        })
        .collect();
    for (new, &spot) in buffer.chunks_exact(types).zip(spots) {
        beta[spot as usize * types..][..types].copy_from_slice(new);
    }
    found.into_iter().fold(0.0, f64::max)
}
