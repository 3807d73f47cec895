//! Default solver: cyclic coordinate descent with exact one-dimensional steps.
//!
//! The steps are invariant to the scale of each column, which matters because columns made of received
//! signals are 10 to 1000 times smaller than expression columns. A group is first tested for being zero as a
//! whole and, when it is not, started by one block step, since single coordinates cannot leave zero.

use super::data_space::DataState;
use super::gap::{Certificate, StopRule, certificate, dual_norm};
use super::gram::GramState;
use super::groups::{Block, Penalty};
use super::joint::JointState;
use super::newton::{Reached, newton};
use super::prox::{smallest, soft, soft_norm};
use super::proximal::proximal;
use super::quadratic::Quadratic;
use super::{Control, Outcome};
use crate::widest;

/// Least number of sweeps over the support before Newton steps take over.
const PATIENCE: usize = 6;

/// Runs of Newton steps kept short, because the support is still changing; later ones go on for longer.
const EASY: usize = 4;

/// Full sweeps, of which each has sweeps over the support after it, before proximal steps take over.
const CRAWLING: usize = 20;

/// Runs of proximal steps that do not halve the gap before a tiny one is taken for the rounding level.
const FUTILE: usize = 3;

/// Ratio of neighboring penalties on the way to a small one.
const FALL: f64 = 0.2;

/// Relative change at which the one-dimensional step stops; its error is of the order of the square.
const EXACT: f64 = 1e-7;

/// The same for sweeps over the support, which only prepare the next full sweep.
const ROUGH: f64 = 1e-3;

/// Largest `G_jj d^2` of a full sweep, relative to the objective of zeros, after which a polished fit is left.
const RESTED: f64 = 1e-24;

/// Rounds of Newton steps and full sweeps that polish a finished fit.
const POLISH_ROUNDS: usize = 10;

/// An empty group whose pull was less than this share of what moves it rests until the next look.
const CALM: f64 = 0.9;

/// The same at the start: the strong rule for a penalty that is 0.77 times the one before (Tibshirani et al., 2012).
const NEAR: f64 = 0.7;

/// One run of the solver on one problem.
pub(crate) struct Descent<'a> {
    penalty: &'a Penalty,
    w: &'a mut [f64],
    control: Control,
    n_iter: usize,
    newton_runs: usize,
    looks: usize,
    futile: usize,
    primal: f64,
    stage: Stage,
    outcome: Option<Outcome>,
    /// Negative gradient at the last look at the certificate.
    scratch: Vec<f64>,
    /// Positions of the blocks that full sweeps visit.
    awake: Vec<usize>,
}

/// Phase of the run after each full sweep.
enum Stage {
    Solving,
    Polishing { rounds: usize, reached: Reached, rule: StopRule },
}

impl<'a> Descent<'a> {
    pub(crate) fn new(penalty: &'a Penalty, w: &'a mut [f64], control: Control) -> Self {
        Self {
            penalty,
            w,
            control,
            n_iter: 0,
            newton_runs: 0,
            looks: 0,
            futile: 0,
            primal: 0.0,
            stage: Stage::Solving,
            outcome: None,
            scratch: Vec::new(),
            awake: (0..penalty.blocks.len()).collect(),
        }
    }

    fn wake_all(&mut self) {
        self.awake = (0..self.penalty.blocks.len()).collect();
    }

    /// Start with the negative gradient at `w`, when it is known.
    fn knowing(mut self, descent: &mut Vec<f64>) -> Self {
        if descent.len() == self.w.len() {
            self.scratch = std::mem::take(descent);
            self.wake(NEAR);
        }
        self
    }

    /// Let the groups rest that are empty and whose pull is less than `share` of what moves them.
    ///
    /// The gradient of all columns is at hand at every look, so that a group that is to enter later on is seen
    /// by the next look.
    fn wake(&mut self, share: f64) {
        self.awake.clear();
        for (at, block) in self.penalty.blocks.iter().enumerate() {
            let range = block.start..block.end;
            let empty = self.w[range.clone()].iter().all(|&w| w == 0.0);
            if !empty || soft_norm(&self.scratch[range], share * self.penalty.l1) > share * block.weight {
                self.awake.push(at);
            }
        }
    }

    /// Look at the certificate after a sweep over all groups that do not rest, whose largest `G_jj d^2` was `moved`.
    ///
    /// `Some(true)` asks for sweeps over the support, `Some(false)` for another full sweep, `None` ends.
    fn judge<Q: Quadratic>(&mut self, quadratic: &mut Q, moved: f64) -> Option<bool> {
        let null = quadratic.null();
        if let Stage::Polishing { rounds, reached, rule } = self.stage {
            let settled = reached == Reached::Stuck || moved <= RESTED * null;
            if settled || rounds >= POLISH_ROUNDS || self.n_iter >= self.control.max_iter {
                quadratic.place(self.w);
                let found = certificate(quadratic, self.penalty, self.w, &mut self.scratch);
                return self.end(found, rule);
            }
            let reached = newton(quadratic, self.penalty, self.w, 6);
            self.stage = Stage::Polishing { rounds: rounds + 1, reached, rule };
            return Some(false);
        }
        let placed = quadratic.places_fast();
        if placed {
            quadratic.place(self.w);
        }
        let mut found = certificate(quadratic, self.penalty, self.w, &mut self.scratch);
        // Groups that rest have not been asked.
        let rested = moved <= 1e-31 * null;
        let mut stationary = rested && self.awake.len() == self.penalty.blocks.len();
        let last = stationary || self.n_iter >= self.control.max_iter;
        if !placed && (last || found.rule(self.control.tol, null).is_some()) {
            quadratic.place(self.w);
            found = certificate(quadratic, self.penalty, self.w, &mut self.scratch);
        }
        let mut rule = found.rule(self.control.tol, null);
        self.looks += 1;
        if rule.is_none()
            && !stationary
            && self.looks.is_multiple_of(CRAWLING)
            && self.n_iter < self.control.max_iter
        {
            let left = Control { max_iter: self.control.max_iter - self.n_iter, ..self.control };
            self.n_iter += proximal(quadratic, self.penalty, self.w, left);
            let before = found;
            quadratic.place(self.w);
            found = certificate(quadratic, self.penalty, self.w, &mut self.scratch);
            rule = found.rule(self.control.tol, null);
            self.futile = if found.gap < 0.5 * before.gap { 0 } else { self.futile + 1 };
            stationary = self.futile >= FUTILE && found.gap <= 1e-11 * null;
        }
        self.primal = found.primal;
        if rested || rule.is_some() {
            self.wake_all()
        } else {
            self.wake(CALM)
        };
        let room = self.n_iter < self.control.max_iter;
        if let (Some(rule), true) = (rule, self.control.polish && room && moved > RESTED * null) {
            let reached = newton(quadratic, self.penalty, self.w, 6);
            self.stage = Stage::Polishing { rounds: 1, reached, rule };
            return Some(false);
        }
        match rule {
            Some(rule) => self.end(found, rule),
            None if stationary => self.end(found, StopRule::Stationary),
            None if !room => self.end(found, StopRule::MaxIter),
            None => Some(true),
        }
    }

    fn end(&mut self, found: Certificate, rule: StopRule) -> Option<bool> {
        self.outcome = Some(Outcome { primal: found.primal, gap: found.gap, n_iter: self.n_iter, rule });
        None
    }

    fn finish(self) -> Outcome {
        let unfinished =
            Outcome { primal: self.primal, gap: f64::INFINITY, n_iter: self.n_iter, rule: StopRule::MaxIter };
        self.outcome.unwrap_or(unfinished)
    }
}

widest! {
    fn run_gram(state: &mut GramState<'_>, run: &mut Descent<'_>) {
        descend::<FMA, _>(state, run);
    }
}

widest! {
    fn run_data(state: &mut DataState<'_>, run: &mut Descent<'_>) {
        descend::<FMA, _>(state, run);
    }
}

widest! {
    fn run_joint(state: &mut JointState<'_>, run: &mut Descent<'_>) {
        descend::<FMA, _>(state, run);
    }
}

/// Minimize jointly over types from the start in `w`, which becomes the solution.
///
/// `descent` is the negative gradient at the start, or empty when it is not known, and becomes that at the solution.
pub(crate) fn descend_joint(
    state: &mut JointState<'_>,
    penalty: &Penalty,
    w: &mut [f64],
    descent: &mut Vec<f64>,
    control: Control,
) -> Outcome {
    let mut run = Descent::new(penalty, w, control).knowing(descent);
    run_joint(state, &mut run);
    *descent = std::mem::take(&mut run.scratch);
    run.finish()
}

/// Minimize in Gram space from the start in `w`, which becomes the solution.
pub(crate) fn descend_gram(
    state: &mut GramState<'_>,
    penalty: &Penalty,
    w: &mut [f64],
    control: Control,
) -> Outcome {
    let mut run = Descent::new(penalty, w, control);
    run_gram(state, &mut run);
    run.finish()
}

/// Minimize on the data themselves from the start in `w`, which becomes the solution.
///
/// With fewer cells than columns a small penalty leaves many supports that fit nearly as well. From zero the
/// solution is therefore approached from the sparse side, along falling penalties.
pub(crate) fn descend_data(
    state: &mut DataState<'_>,
    penalty: &Penalty,
    w: &mut [f64],
    control: Control,
) -> Outcome {
    let mut before = 0;
    if w.iter().all(|&w| w == 0.0) {
        let on_the_way = Control { tol: control.tol.max(1e-3), polish: false, ..control };
        let mut scale = FALL * dual_norm(state.linear(), penalty);
        while scale > 1.0 && before < control.max_iter {
            let left = Control { max_iter: control.max_iter - before, ..on_the_way };
            before += one_run(state, &penalty.scaled(scale), w, left).n_iter;
            scale *= FALL;
        }
    }
    let left = Control { max_iter: control.max_iter.saturating_sub(before).max(1), ..control };
    let outcome = one_run(state, penalty, w, left);
    Outcome { n_iter: (before + outcome.n_iter).min(control.max_iter), ..outcome }
}

fn one_run(state: &mut DataState<'_>, penalty: &Penalty, w: &mut [f64], control: Control) -> Outcome {
    let mut run = Descent::new(penalty, w, control);
    run_data(state, &mut run);
    run.finish()
}

#[inline(always)]
fn descend<const FMA: bool, Q: Quadratic>(quadratic: &mut Q, run: &mut Descent<'_>) {
    quadratic.place(run.w);
    let mut z = vec![0.0; quadratic.len()];
    loop {
        let mut moved = 0.0f64;
        for &at in &run.awake {
            let block = &run.penalty.blocks[at];
            let change = visit_block::<FMA, Q>(quadratic, block, run.penalty.l1, run.w, &mut z);
            moved = moved.max(change);
        }
        run.n_iter += 1;
        match run.judge(quadratic, moved) {
            None => return,
            Some(true) => settle::<FMA, Q>(quadratic, run),
            Some(false) => {}
        }
    }
}

/// Sweep over the support until it rests, with Newton steps when that takes long.
#[inline(always)]
fn settle<const FMA: bool, Q: Quadratic>(quadratic: &mut Q, run: &mut Descent<'_>) {
    let support: Vec<usize> = (0..run.w.len()).filter(|&j| run.w[j] != 0.0).collect();
    // Where the certificate was not met at this limit, the next one is finer.
    let finer = 0.1f64.powi(run.looks.saturating_sub(1).min(8) as i32);
    let limit = finer * 1e-3 * run.control.tol * run.primal / run.w.len() as f64;
    let floor = 1e-31 * quadratic.null();
    let patience = PATIENCE.max(quadratic.step_price(support.len()));
    let mut sweeps = 0;
    // The last sweep allowed is a full one.
    while run.n_iter + 1 < run.control.max_iter {
        let mut moved = 0.0f64;
        let mut first = 0;
        for block in &run.penalty.blocks {
            let last = first + support[first..].partition_point(|&j| j < block.end);
            if last == first {
                continue;
            }
            if let Some(change) = quadratic.minimize_block::<FMA>(block, run.penalty.l1, run.w) {
                moved = moved.max(change);
                first = last;
                continue;
            }
            let change = coordinates::<FMA, Q>(
                quadratic,
                block,
                run.penalty.l1,
                run.w,
                support[first..last].iter().copied(),
                ROUGH,
            );
            moved = moved.max(change);
            first = last;
        }
        run.n_iter += 1;
        sweeps += 1;
        if moved <= limit || moved <= floor {
            return;
        }
        if sweeps % patience == 0 {
            run.newton_runs += 1;
            let steps = if run.newton_runs <= EASY { 2 } else { 12 };
            if newton(quadratic, run.penalty, run.w, steps) != Reached::Stuck {
                return;
            }
        }
        if sweeps >= 100.max(patience) {
            return;
        }
    }
}

/// Zero test, activation, then one step per coordinate. Returns the largest `G_jj d^2`.
#[inline(always)]
fn visit_block<const FMA: bool, Q: Quadratic>(
    quadratic: &mut Q,
    block: &Block,
    l1: f64,
    w: &mut [f64],
    z: &mut [f64],
) -> f64 {
    if let Some(moved) = quadratic.minimize_block::<FMA>(block, l1, w) {
        return moved;
    }
    let mut moved = 0.0f64;
    if block.weight > 0.0 {
        let range = block.start..block.end;
        let z = &mut z[range.clone()];
        quadratic.descent_without::<FMA>(block.start, &w[range.clone()], z);
        let norm = soft_norm(z, l1);
        let empty = w[range.clone()].iter().all(|&w| w == 0.0);
        if norm <= block.weight {
            for j in range {
                if w[j] != 0.0 {
                    moved = moved.max(change::<FMA, Q>(quadratic, w, j, 0.0));
                }
            }
            return moved;
        }
        if empty {
            let trace: f64 = quadratic.diagonal()[range.clone()].iter().sum();
            let shrink = (1.0 - block.weight / norm) / trace;
            for j in range {
                let value = shrink * soft(z[j - block.start], l1);
                if value != 0.0 {
                    moved = moved.max(change::<FMA, Q>(quadratic, w, j, value));
                }
            }
        }
    }
    moved.max(coordinates::<FMA, Q>(quadratic, block, l1, w, block.start..block.end, EXACT))
}

/// One exact step for each of `positions`, all in `block`. Returns the largest `G_jj d^2`.
#[inline(always)]
fn coordinates<const FMA: bool, Q: Quadratic>(
    quadratic: &mut Q,
    block: &Block,
    l1: f64,
    w: &mut [f64],
    positions: impl Iterator<Item = usize>,
    precision: f64,
) -> f64 {
    let mut square: f64 = w[block.start..block.end].iter().map(|w| w * w).sum();
    let mut moved = 0.0f64;
    for j in positions {
        let (old, diagonal) = (w[j], quadratic.diagonal()[j]);
        let pull = quadratic.descent_of::<FMA>(j) + diagonal * old;
        let rest = (square - old * old).max(0.0);
        let size = smallest(pull.abs() - l1, diagonal, block.weight, rest, old, precision);
        let new = if pull < 0.0 { -size } else { size };
        if new != old {
            moved = moved.max(change::<FMA, Q>(quadratic, w, j, new));
            square = rest + new * new;
        }
    }
    moved
}

/// Set `w[j]`; returns `G_jj d^2`.
#[inline(always)]
fn change<const FMA: bool, Q: Quadratic>(quadratic: &mut Q, w: &mut [f64], j: usize, value: f64) -> f64 {
    let d = value - w[j];
    w[j] = value;
    quadratic.step::<FMA>(j, d);
    quadratic.diagonal()[j] * d * d
}
