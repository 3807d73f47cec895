//! Small non-negative least squares from the normal equations, by block principal pivoting.
//!
//! Kim and Park (2011), Fast nonnegative matrix factorization: an active-set-like method and comparisons.

/// min 1/2 x'Gx - h'x over x >= 0, for one G and many h.
pub(super) struct Nnls {
    size: usize,
    gram: Vec<f64>,
    /// Cholesky factor of the whole matrix, from which every problem starts.
    whole: Vec<f64>,
    factor: Vec<f64>,
    passive: Vec<usize>,
    free: Vec<bool>,
    dual: Vec<f64>,
    bad: Vec<usize>,
}

/// Full exchanges without progress before single ones, which always end, take over.
const PATIENCE: usize = 3;
/// Share of the largest diagonal entry added to the diagonal, so that like types do not break the factor.
const RIDGE: f64 = 1e-12;

impl Nnls {
    /// Prepare for a `size` x `size` matrix.
    pub(super) fn new(gram: &[f64], size: usize) -> Self {
        let mut gram = gram.to_vec();
        let largest = (0..size).map(|i| gram[i * size + i]).fold(0.0, f64::max);
        (0..size).for_each(|i| gram[i * size + i] += RIDGE * largest + f64::MIN_POSITIVE);
        let mut whole = vec![0.0; size * size];
        factorize(&gram, size, &(0..size).collect::<Vec<_>>(), &mut whole);
        Self {
            size,
            gram,
            whole,
            factor: vec![0.0; size * size],
            passive: vec![],
            free: vec![true; size],
            dual: vec![0.0; size],
            bad: vec![],
        }
    }

    /// Write the solution into `x`.
    pub(super) fn solve(&mut self, h: &[f64], x: &mut [f64]) {
        self.free.fill(true);
        let tiny = 1e-12 * h.iter().fold(0.0_f64, |a, b| a.max(b.abs()));
        let (mut fewest, mut patience) = (self.size + 1, PATIENCE);
        for _ in 0..10 * self.size + 20 {
            self.solve_passive(h, x);
            self.collect_bad(h, x, tiny);
            let Some(&last) = self.bad.last() else { break };
            if self.bad.len() < fewest {
                (fewest, patience) = (self.bad.len(), PATIENCE);
            } else if patience > 0 {
                patience -= 1;
            } else {
                self.bad = vec![last];
            }
            for &i in &self.bad {
                self.free[i] = !self.free[i];
            }
        }
        x.iter_mut().for_each(|x| *x = x.max(0.0));
    }

    /// Entries that violate x >= 0 or gradient >= 0.
    fn collect_bad(&mut self, h: &[f64], x: &[f64], tiny: f64) {
        self.bad.clear();
        for i in 0..self.size {
            self.dual[i] = -h[i];
            for &j in &self.passive {
                self.dual[i] += self.gram[i * self.size + j] * x[j];
            }
            if if self.free[i] { x[i] < 0.0 } else { self.dual[i] < -tiny } {
                self.bad.push(i);
            }
        }
    }

    /// Solve the equations of the free entries by Cholesky; the others are 0.
    fn solve_passive(&mut self, h: &[f64], x: &mut [f64]) {
        let n = self.size;
        self.passive.clear();
        self.passive.extend((0..n).filter(|&i| self.free[i]));
        let factor = if self.passive.len() == n {
            &self.whole
        } else {
            factorize(&self.gram, n, &self.passive, &mut self.factor);
            &self.factor
        };
        x.fill(0.0);
        for (a, &i) in self.passive.iter().enumerate() {
            let known = self.passive[..a].iter().zip(&factor[a * n..]).map(|(&j, v)| v * x[j]);
            x[i] = (h[i] - known.sum::<f64>()) / factor[a * n + a];
        }
        for a in (0..self.passive.len()).rev() {
            let i = self.passive[a];
            x[i] /= factor[a * n + a];
            for b in 0..a {
                x[self.passive[b]] -= factor[a * n + b] * x[i];
            }
        }
    }
}

/// Cholesky factor of some rows and columns, in rows of `n`.
fn factorize(gram: &[f64], n: usize, rows: &[usize], factor: &mut [f64]) {
    for (a, &i) in rows.iter().enumerate() {
        let (upper, row) = factor.split_at_mut(a * n);
        for (b, &j) in rows[..a].iter().enumerate() {
            let other = &upper[b * n..][..=b];
            let known = row[..b].iter().zip(other).map(|(u, v)| u * v);
            row[b] = (gram[i * n + j] - known.sum::<f64>()) / other[b];
        }
        let known = row[..a].iter().map(|v| v * v);
        row[a] = (gram[i * n + i] - known.sum::<f64>()).max(f64::MIN_POSITIVE).sqrt();
    }
}

#[cfg(test)]
mod tests {
    use super::Nnls;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_solution_meets_the_optimality_conditions(
            size in 1_usize..12, values in proptest::collection::vec(-1.0_f64..1.0, 12 * 16 + 12)
        ) {
            let rows = 16;
            let design = |i: usize, r: usize| values[i * rows + r];
            let mut gram = vec![0.0; size * size];
            for i in 0..size {
                for j in 0..size {
                    gram[i * size + j] = (0..rows).map(|r| design(i, r) * design(j, r)).sum();
                }
            }
            let h = &values[12 * rows..12 * rows + size];
            let mut x = vec![0.0; size];
            Nnls::new(&gram, size).solve(h, &mut x);
            for i in 0..size {
                let gradient: f64 = (0..size).map(|j| gram[i * size + j] * x[j]).sum::<f64>() - h[i];
                prop_assert!(x[i] >= 0.0);
                prop_assert!(gradient > -1e-7 && (x[i] == 0.0 || gradient.abs() < 1e-7), "{i}: {gradient}");
            }
        }
    }

    #[test]
    fn two_equal_columns_share_what_one_would_get() {
        let mut x = [0.0; 2];
        Nnls::new(&[1.0, 1.0, 1.0, 1.0], 2).solve(&[1.0, 1.0], &mut x);
        assert!((x[0] + x[1] - 1.0).abs() < 1e-6);
    }
}
