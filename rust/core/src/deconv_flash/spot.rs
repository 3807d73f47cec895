//! One spot with its neighbors fixed: `min over b >= 0 of b' (G + d I) b / 2 - c' b`, solved exactly.
//!
//! The active-set method of Lawson and Hanson, started from the previous support, which is nearly always
//! right: then the answer costs one Cholesky factor of the few types present.

use super::system::{System, excess};

/// Scratch of one worker.
pub(super) struct Spot {
    pub(super) target: Vec<f64>,
    product: Vec<f64>,
    old: Vec<f64>,
    support: Vec<usize>,
    factor: Vec<f64>,
    solution: Vec<f64>,
    best: Vec<f64>,
}

impl Spot {
    pub(super) fn new(system: &System) -> Self {
        let (types, padded) = (system.types, system.padded);
        Self {
            target: vec![0.0; padded],
            product: vec![0.0; padded],
            old: vec![0.0; types],
            support: Vec::with_capacity(types),
            factor: vec![0.0; types * types],
            solution: vec![0.0; types],
            best: vec![0.0; types],
        }
    }

    /// Read the neighbors and tell how far the spot is from its own optimum.
    pub(super) fn look(&mut self, system: &System, spot: usize, beta: &[f64]) -> f64 {
        system.target(spot, beta, &mut self.target);
        for target in &mut self.target[..system.types] {
            *target -= system.rho;
        }
        let here = &beta[spot * system.types..][..system.types];
        self.multiply(system, here);
        let pull = system.pull(spot);
        let mut worst = 0.0_f64;
        for (kind, &b) in here.iter().enumerate() {
            let slope = self.product[kind] + pull * b - self.target[kind];
            worst = worst.max(excess(b, slope, system.diagonal(kind) + pull));
        }
        worst
    }

    /// Replace `b` by its optimum, overshot by `omega` where that lowers the objective too.
    pub(super) fn improve(&mut self, system: &System, pull: f64, omega: f64, b: &mut [f64]) {
        self.old.copy_from_slice(b);
        if !self.active_set(system, pull, b) {
            self.coordinates(system, pull, b);
        }
        if omega == 1.0 {
            return;
        }
        let old = std::mem::take(&mut self.old);
        let best = self.value(system, pull, b);
        let before = self.value(system, pull, &old);
        self.best.copy_from_slice(b);
        for (b, old) in b.iter_mut().zip(&old) {
            *b = (old + omega * (*b - old)).max(0.0);
        }
        // Without a bound in the way the overshoot keeps (omega - 1)^2 of the gain; a fiftieth must remain.
        if self.value(system, pull, b) - best > 0.98 * (before - best) {
            b.copy_from_slice(&self.best);
        }
        self.old = old;
    }

    /// Smallest eigenvalue of the Gram matrix of the types present in `b`, by inverse iteration; 0 when it has none.
    pub(super) fn softest(&mut self, system: &System, b: &[f64]) -> f64 {
        self.support.clear();
        self.support.extend((0..system.types).filter(|&kind| b[kind] > 0.0));
        self.target.fill(1.0);
        let mut value = 0.0;
        for _ in 0..12 {
            if self.support.is_empty() || !self.solve_support(system, 0.0) {
                return 0.0;
            }
            let length = self.solution[..self.support.len()].iter().map(|x| x * x).sum::<f64>().sqrt();
            let before = self.support.iter().map(|&kind| self.target[kind].powi(2)).sum::<f64>().sqrt();
            value = before / length;
            for (&kind, x) in self.support.iter().zip(&self.solution) {
                self.target[kind] = x / length;
            }
        }
        value
    }

    fn multiply(&mut self, system: &System, b: &[f64]) {
        self.product.fill(0.0);
        for (kind, &b) in b.iter().enumerate().filter(|(_, b)| **b != 0.0) {
            let row = &system.gram[kind * system.padded..][..system.padded];
            for (sum, &g) in self.product.iter_mut().zip(row) {
                *sum += b * g;
            }
        }
    }

    fn value(&mut self, system: &System, pull: f64, b: &[f64]) -> f64 {
        self.multiply(system, b);
        let terms = b.iter().zip(self.product.iter().zip(&self.target));
        terms.map(|(&b, (&p, &c))| b * (0.5 * (p + pull * b) - c)).sum()
    }

    /// False when a factor breaks down or the support does not settle.
    fn active_set(&mut self, system: &System, pull: f64, b: &mut [f64]) -> bool {
        let largest = self.target[..system.types].iter().fold(0.0_f64, |a, c| a.max(c.abs()));
        self.support.clear();
        self.support.extend((0..system.types).filter(|&kind| b[kind] > 0.0));
        for _ in 0..3 * system.types + 10 {
            if !self.solve_support(system, pull) {
                return false;
            }
            if self.step(b) {
                continue;
            }
            self.multiply(system, b);
            let slopes = (0..system.types)
                .filter(|&kind| b[kind] == 0.0)
                .map(|kind| (self.product[kind] - self.target[kind], kind));
            match slopes.min_by(|a, b| a.0.total_cmp(&b.0)) {
                Some((slope, kind)) if slope < -1e-13 * largest => {
                    let at = self.support.partition_point(|&other| other < kind);
                    self.support.insert(at, kind);
                }
                _ => return true,
            }
        }
        false
    }

    /// Go to the solution on the support, or to the first bound on the way; true when a bound was met.
    fn step(&mut self, b: &mut [f64]) -> bool {
        let mut share = 1.0_f64;
        let mut first = None;
        for (&kind, &x) in self.support.iter().zip(&self.solution) {
            if x <= 0.0 {
                let to_bound = if b[kind] > x { b[kind] / (b[kind] - x) } else { 0.0 };
                if first.is_none() || to_bound < share {
                    (share, first) = (to_bound, Some(kind));
                }
            }
        }
        for (&kind, &x) in self.support.iter().zip(&self.solution) {
            b[kind] = if first.is_none() { x } else { (b[kind] + share * (x - b[kind])).max(0.0) };
        }
        let Some(first) = first else { return false };
        b[first] = 0.0;
        self.support.retain(|&kind| b[kind] > 0.0);
        true
    }

    /// Cholesky solution of the unconstrained problem on the support.
    fn solve_support(&mut self, system: &System, pull: f64) -> bool {
        let m = self.support.len();
        for (i, &kind) in self.support.iter().enumerate() {
            let (done, row) = self.factor.split_at_mut(i * m);
            let row = &mut row[..m];
            let gram = &system.gram[kind * system.padded..][..system.padded];
            let mut x = self.target[kind];
            for (j, &other) in self.support[..i].iter().enumerate() {
                let above = &done[j * m..][..m];
                let sum: f64 = row[..j].iter().zip(&above[..j]).map(|(a, b)| a * b).sum();
                row[j] = (gram[other] - sum) * above[j];
                x -= row[j] * self.solution[j];
            }
            let squared: f64 = row[..i].iter().map(|a| a * a).sum();
            let pivot = gram[kind] + pull - squared;
            if pivot <= 1e-13 * (gram[kind] + pull) {
                return false;
            }
            row[i] = 1.0 / pivot.sqrt(); // the diagonal is kept inverted
            self.solution[i] = x * row[i];
        }
        for i in (0..m).rev() {
            let mut x = self.solution[i];
            for j in i + 1..m {
                x -= self.factor[j * m + i] * self.solution[j];
            }
            self.solution[i] = x * self.factor[i * m + i];
        }
        true
    }

    /// Coordinate descent for a Gram matrix without an inverse on the support: equal or dependent types.
    fn coordinates(&mut self, system: &System, pull: f64, b: &mut [f64]) {
        self.multiply(system, b);
        for _ in 0..50 {
            let mut moved = false;
            for kind in 0..system.types {
                let row = &system.gram[kind * system.padded..][..system.padded];
                let curvature = row[kind] + pull;
                let free = self.target[kind] - self.product[kind] + row[kind] * b[kind];
                let after = if curvature > 1e-10 { free.max(0.0) / curvature } else { 0.0 };
                let step = after - b[kind];
                moved |= step.abs() > 1e-12 * after.max(b[kind]);
                b[kind] = after;
                for (sum, &g) in self.product.iter_mut().zip(row) {
                    *sum += step * g;
                }
            }
            if !moved {
                return;
            }
        }
    }
}
