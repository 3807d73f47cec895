//! Accelerated proximal gradient (FISTA) with backtracking and adaptive restart.
//!
//! Beck & Teboulle (2009); restart of O'Donoghue & Candes (2015): momentum is dropped when
//! `<z - x+, x+ - x> > 0`. The reference mode repeats a published implementation that compares this inner
//! product with the loss instead, iterates on the intercept too, and stops on the change of the iterate.

use super::gap::{StopRule, certificate};
use super::groups::Penalty;
use super::prox::prox_block;
use super::quadratic::{Quadratic, dot};
use super::{Control, Outcome};

/// Iterations between two looks at the duality gap.
const CHECK_EVERY: usize = 10;

/// Minimize from the start in `w`, which becomes the solution.
pub(crate) fn fista<Q: Quadratic>(
    quadratic: &mut Q,
    penalty: &Penalty,
    w: &mut [f64],
    control: Control,
) -> Outcome {
    let p = w.len();
    let mut lipschitz = largest_eigenvalue(p, |v, out| quadratic.product(v, out)).max(f64::MIN_POSITIVE);
    let mut here = Point::new(w.to_vec(), |v, out| quadratic.product(v, out));
    let mut look = here.clone();
    let mut momentum = 1.0f64;
    let mut scratch = Vec::new();
    let mut n_iter = 0;
    loop {
        if n_iter % CHECK_EVERY == 0 || n_iter >= control.max_iter {
            quadratic.place(&here.x);
            let found = certificate(quadratic, penalty, &here.x, &mut scratch);
            let rule = found.rule(control.tol, quadratic.null());
            if rule.is_some() || n_iter >= control.max_iter {
                w.copy_from_slice(&here.x);
                let rule = rule.unwrap_or(StopRule::MaxIter);
                return Outcome { primal: found.primal, gap: found.gap, n_iter, rule };
            }
        }
        let mut next = advance(quadratic, penalty, &look, lipschitz);
        if restart_product(&look.x, &next.x, &here.x) > 0.0 {
            momentum = 1.0;
            look = here.clone();
            next = advance(quadratic, penalty, &look, lipschitz);
        }
        while curvature(&look, &next) > lipschitz * (1.0 + 1e-12) * distance2(&look.x, &next.x) {
            lipschitz *= 2.0;
            next = advance(quadratic, penalty, &look, lipschitz);
        }
        let grown = 0.5 * (1.0 + (1.0 + 4.0 * momentum * momentum).sqrt());
        look = Point::between(&here, &next, (momentum - 1.0) / grown);
        momentum = grown;
        here = next;
        n_iter += 1;
    }
}

/// A vector with its product by `G`; linear combinations need no new product.
#[derive(Clone)]
struct Point {
    x: Vec<f64>,
    gx: Vec<f64>,
}

impl Point {
    fn new(x: Vec<f64>, product: impl Fn(&[f64], &mut [f64])) -> Self {
        let mut gx = vec![0.0; x.len()];
        product(&x, &mut gx);
        Self { x, gx }
    }

    /// `next + factor * (next - last)`.
    fn between(last: &Self, next: &Self, factor: f64) -> Self {
        let mix = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| b + factor * (b - a)).collect();
        Self { x: mix(&last.x, &next.x), gx: mix(&last.gx, &next.gx) }
    }
}

/// Proximal gradient step of length `1 / lipschitz` from `look`.
fn advance<Q: Quadratic>(quadratic: &Q, penalty: &Penalty, look: &Point, lipschitz: f64) -> Point {
    let linear = quadratic.linear();
    let mut x: Vec<f64> = Vec::with_capacity(look.x.len());
    for ((x0, gx), q) in look.x.iter().zip(&look.gx).zip(linear) {
        x.push(x0 - (gx - q) / lipschitz);
    }
    for block in &penalty.blocks {
        prox_block(&mut x[block.start..block.end], penalty.l1 / lipschitz, block.weight / lipschitz);
    }
    Point::new(x, |v, out| quadratic.product(v, out))
}

/// `<z - x+, x+ - x>`.
fn restart_product(z: &[f64], next: &[f64], last: &[f64]) -> f64 {
    z.iter().zip(next).zip(last).map(|((z, n), x)| (z - n) * (n - x)).sum()
}

/// `d^T G d` of the move `d` from `a` to `b`: exact form of the backtracking test for a quadratic loss.
fn curvature(a: &Point, b: &Point) -> f64 {
    let pairs = a.x.iter().zip(&b.x).zip(a.gx.iter().zip(&b.gx));
    pairs.map(|((x0, x1), (g0, g1))| (x1 - x0) * (g1 - g0)).sum()
}

fn distance2(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

/// Largest eigenvalue of a symmetric positive semidefinite map by power iteration from a fixed start.
pub(crate) fn largest_eigenvalue(p: usize, mut product: impl FnMut(&[f64], &mut [f64])) -> f64 {
    // Irregular positive entries: no eigenvector of a structured matrix is orthogonal to them.
    let mut v: Vec<f64> = (1..=p).map(|j| 1.0 + (j as f64 * 0.618_033_988_749_894_9).fract()).collect();
    let mut image = vec![0.0; p];
    let mut best = 0.0f64;
    for _ in 0..20_000 {
        let size = dot::<false>(&v, &v).sqrt();
        if size == 0.0 || !size.is_finite() {
            break;
        }
        v.iter_mut().for_each(|v| *v /= size);
        product(&v, &mut image);
        let value = dot::<false>(&v, &image);
        let settled = value - best <= 1e-15 * value;
        best = best.max(value);
        if settled {
            break;
        }
        std::mem::swap(&mut v, &mut image);
    }
    best
}

/// What the reference solver needs beyond the centered problem.
pub(crate) struct Reference<'a> {
    /// Mean of the target when an intercept is fitted.
    pub mean_y: Option<f64>,
    /// Means of the columns of the problem when no intercept is fitted, for the step size only: the
    /// reference always measures the matrix with a column of ones.
    pub means: &'a [f64],
}

/// The published scheme, iteration for iteration. Returns the outcome and, when one is fitted, the
/// intercept of the centered problem.
pub(crate) fn reference<Q: Quadratic>(
    quadratic: &mut Q,
    penalty: &Penalty,
    w: &mut [f64],
    control: Control,
    setup: &Reference<'_>,
) -> (Outcome, Option<f64>) {
    let mut lipschitz = 1.5 * augmented_eigenvalue(quadratic, setup);
    let mut here = (0.0, Point::new(w.to_vec(), |v, out| quadratic.product(v, out)));
    let mut look = here.clone();
    let mut momentum = 1.0f64;
    let mut rule = StopRule::MaxIter;
    let mut n_iter = 0;
    while n_iter < control.max_iter {
        n_iter += 1;
        let step = |look: &(f64, Point), lipschitz: f64| {
            let intercept = setup.mean_y.map_or(0.0, |mean| look.0 - (look.0 - mean) / lipschitz);
            (intercept, advance(quadratic, penalty, &look.1, lipschitz))
        };
        let mut next = step(&look, lipschitz);
        let product =
            restart_product(&look.1.x, &next.1.x, &here.1.x) + (look.0 - next.0) * (next.0 - here.0);
        if product > loss(quadratic, setup, &here) {
            momentum = 1.0;
            look = here.clone();
            next = step(&look, lipschitz);
        }
        loop {
            let shift = (next.0 - look.0) * (next.0 - look.0);
            let bend = curvature(&look.1, &next.1) + shift;
            if bend <= lipschitz * (1.0 + 1e-12) * (distance2(&look.1.x, &next.1.x) + shift) {
                break;
            }
            lipschitz *= 2.0;
            next = step(&look, lipschitz);
        }
        let moved = (distance2(&here.1.x, &next.1.x) + (next.0 - here.0).powi(2)).sqrt();
        let size = (dot::<false>(&next.1.x, &next.1.x) + next.0 * next.0).sqrt();
        let grown = 0.5 * (1.0 + (1.0 + 4.0 * momentum * momentum).sqrt());
        let factor = (momentum - 1.0) / grown;
        look = (next.0 + factor * (next.0 - here.0), Point::between(&here.1, &next.1, factor));
        momentum = grown;
        here = next;
        if moved / (size + 1e-16) < control.tol {
            rule = StopRule::IterateChange;
            break;
        }
    }
    w.copy_from_slice(&here.1.x);
    quadratic.place(w);
    let found = certificate(quadratic, penalty, w, &mut Vec::new());
    (Outcome { primal: found.primal, gap: found.gap, n_iter, rule }, setup.mean_y.map(|_| here.0))
}

/// Loss of intercept and coefficients on the target as it is, not centered.
fn loss<Q: Quadratic>(quadratic: &Q, setup: &Reference<'_>, at: &(f64, Point)) -> f64 {
    let (x, gx) = (&at.1.x, &at.1.gx);
    let linear = dot::<false>(quadratic.linear(), x);
    let offset = setup.mean_y.map_or(0.0, |mean| (at.0 - mean) * (at.0 - mean));
    0.5 * (quadratic.null() + offset + dot::<false>(x, gx)) - linear
}

fn augmented_eigenvalue<Q: Quadratic>(quadratic: &Q, setup: &Reference<'_>) -> f64 {
    let p = quadratic.len();
    if setup.mean_y.is_some() {
        return largest_eigenvalue(p, |v, out| quadratic.product(v, out)).max(1.0);
    }
    largest_eigenvalue(p + 1, |v, out| {
        quadratic.product(&v[1..], &mut out[1..]);
        out[0] = v[0] + dot::<false>(setup.means, &v[1..]);
        for (out, mean) in out[1..].iter_mut().zip(setup.means) {
            *out += v[0] * mean;
        }
    })
}
