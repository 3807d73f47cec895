//! Window that spreads cells onto a uniform lattice, and the lattice coefficients that turn two windows
//! into a Gaussian.
//!
//! The window is the exponential of a semicircle, `phi(z) = exp(beta (sqrt(1 - z^2) - 1))` on |z| < 1, whose
//! Fourier transform is nearly concentrated below the lattice frequency (Barnett, Magland and af Klinteberg
//! 2019). Lengths are in units of the Gaussian's standard deviation.

use std::f64::consts::PI;

/// Number of nodes under the window, lattice spacing and shape, ordered from cheap to accurate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window {
    /// Nodes under the window on each axis.
    pub width: usize,
    /// Lattice spacing over standard deviation.
    pub spacing: f64,
    /// Shape parameter over width.
    pub shape: f64,
    /// Largest error of the one-dimensional kernel, relative to its peak.
    pub error: f64,
}

/// Windows by falling error; several rows may serve one accuracy at different densities of cells.
pub const WINDOWS: [Window; 11] = [
    row(4, 0.66, 2.35, 9.7e-4),
    row(5, 0.60, 2.30, 8.5e-5),
    row(6, 0.55, 2.30, 7.4e-6),
    row(7, 0.495, 2.35, 7.1e-7),
    row(6, 0.25, 2.80, 7.8e-7),
    row(8, 0.48, 2.30, 8.3e-8),
    row(9, 0.44, 2.30, 6.7e-9),
    row(10, 0.42, 2.30, 7.7e-10),
    row(10, 0.33, 2.55, 7.9e-11),
    row(12, 0.30, 2.55, 4.5e-13),
    row(14, 0.28, 2.50, 1e-14),
];

const fn row(width: usize, spacing: f64, shape: f64, error: f64) -> Window {
    Window { width, spacing, shape, error }
}

const K_NODES: usize = 384;

impl Window {
    /// Weights of the nodes under the window for a point at fraction `t` of its bin.
    #[inline]
    pub fn weights(&self, t: f64, out: &mut [f64]) {
        let beta = self.shape * self.width as f64;
        let half = 0.5 * self.width as f64;
        // an odd window is centered on the bin, an even one on its left node
        let start = if self.width % 2 == 0 { t + half - 1.0 } else { t - 0.5 + (half - 0.5) };
        for (a, weight) in out.iter_mut().enumerate() {
            let z = (start - a as f64) / half;
            let inside = 1.0 - z * z;
            *weight = if inside > 0.0 { (beta * (inside.sqrt() - 1.0)).exp() } else { 0.0 };
        }
    }

    /// Symmetric Toeplitz coefficients g_0, g_1, ... up to the lag beyond which they fall below `cut`
    /// times the largest one, never more than the quadrature resolves.
    pub fn lattice(&self, cut: f64) -> Vec<f64> {
        let h = self.spacing;
        let transform: Vec<f64> = (0..K_NODES)
            .map(|j| {
                let k = (j as f64 + 0.5) * PI / (K_NODES as f64 * h);
                let hat = self.transform(k);
                (2.0 * PI).sqrt() * (-0.5 * k * k).exp() * h / (hat * hat)
            })
            .collect();
        let coefficient = |m: usize| {
            let sum: f64 = transform
                .iter()
                .enumerate()
                .map(|(j, s)| (m as f64 * (j as f64 + 0.5) * PI / K_NODES as f64).cos() * s)
                .sum();
            sum / K_NODES as f64
        };
        let all: Vec<f64> = (0..K_NODES).map(coefficient).collect();
        let largest = all.iter().fold(0.0_f64, |m, g| m.max(g.abs()));
        let keep = all.iter().rposition(|g| g.abs() > cut * largest).unwrap_or(0);
        all[..=keep].to_vec()
    }

    /// Fourier transform of the window at `k`, by Gauss-Legendre quadrature.
    fn transform(&self, k: f64) -> f64 {
        let (beta, half) = (self.shape * self.width as f64, 0.5 * self.width as f64 * self.spacing);
        gauss_legendre_96()
            .iter()
            .map(|&(z, w)| w * half * (beta * ((1.0 - z * z).sqrt() - 1.0)).exp() * (k * half * z).cos())
            .sum()
    }

    /// Largest error of the one-dimensional kernel over offsets inside the bins and all lags.
    pub fn measured_error(&self, lattice: &[f64]) -> f64 {
        const STEPS: usize = 33;
        let w = self.width;
        let at = |step: usize| step as f64 / (STEPS - 1) as f64;
        let tables: Vec<Vec<f64>> = (0..STEPS)
            .map(|i| {
                let mut weights = vec![0.0; w];
                self.weights(at(i), &mut weights);
                weights
            })
            .collect();
        let reach = (lattice.len() + w) as i64;
        let g = |lag: i64| lattice.get(lag.unsigned_abs() as usize).copied().unwrap_or(0.0);
        let mut worst = 0.0_f64;
        for (i, left) in tables.iter().enumerate() {
            for (j, right) in tables.iter().enumerate() {
                // weights of the pair collapse onto their lag difference
                let mut by_lag = vec![0.0; 2 * w - 1];
                for (a, u) in left.iter().enumerate() {
                    for (b, v) in right.iter().enumerate() {
                        by_lag[a + w - 1 - b] += u * v;
                    }
                }
                for bins in 0..=reach {
                    let shift = bins as f64 + at(i) - at(j);
                    let exact = (-0.5 * (shift * self.spacing).powi(2)).exp();
                    let near: f64 =
                        by_lag.iter().enumerate().map(|(d, p)| p * g(bins + d as i64 - (w as i64 - 1))).sum();
                    worst = worst.max((near - exact).abs());
                }
            }
        }
        worst
    }
}

/// Nodes and weights on [-1, 1], by Newton's method on the Legendre polynomial of degree 96.
fn gauss_legendre_96() -> &'static [(f64, f64)] {
    use std::sync::OnceLock;
    static TABLE: OnceLock<Vec<(f64, f64)>> = OnceLock::new();
    TABLE.get_or_init(|| {
        const N: usize = 96;
        (0..N)
            .map(|i| {
                let mut x = (PI * (i as f64 + 0.75) / (N as f64 + 0.5)).cos();
                let mut slope = 1.0;
                for _ in 0..100 {
                    let (mut p0, mut p1) = (1.0, x);
                    for n in 2..=N {
                        let n = n as f64;
                        (p0, p1) = (p1, ((2.0 * n - 1.0) * x * p1 - (n - 1.0) * p0) / n);
                    }
                    slope = N as f64 * (x * p1 - p0) / (x * x - 1.0);
                    let step = p1 / slope;
                    x -= step;
                    if step.abs() < 1e-16 {
                        break;
                    }
                }
                (x, 2.0 / ((1.0 - x * x) * slope * slope))
            })
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::WINDOWS;

    #[test]
    fn every_window_keeps_the_error_it_promises() {
        for window in WINDOWS {
            let lattice = window.lattice(1e-3 * window.error);
            let error = window.measured_error(&lattice);
            assert!(error < 1.5 * window.error.max(2e-14), "{window:?}: measured {error:e}");
        }
    }
}
