//! The 1-D window that carries cells onto a lattice, and the lattice operator that undoes its blur.
//!
//! Lengths are in units of sigma. The window is the exponential of a semicircle (Barnett, Magland and
//! af Klinteberg, "A parallel nonuniform fast Fourier transform library based on an exponential of
//! semicircle kernel", SIAM J. Sci. Comput. 41, 2019): `exp(beta (sqrt(1 - z^2) - 1))`, `z = 2 x / (w h)`.

use super::polynomial::{Pieces, gauss_legendre};
use std::f64::consts::PI;

/// A choice of window: number of nodes, node spacing and shape.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Row {
    /// Error of the 1-D kernel that this choice promises.
    pub(super) error: f64,
    /// Nodes under the window.
    pub(super) width: usize,
    /// Node spacing in units of sigma.
    pub(super) spacing: f64,
    /// Exponent per node.
    shape: f64,
}

const fn row(error: f64, width: usize, spacing: f64, shape: f64) -> Row {
    Row { error, width, spacing, shape }
}

/// Window parameters, found by a search over the shape at each width and spacing.
///
/// Two entries per tolerance: in `d` dimensions the error of the product kernel is `d` times that of one
/// axis. The narrower window of tolerance 1e-6 needs 15 times the nodes and pays where bins hold many cells.
pub(super) const TABLE: [Row; 21] = [
    row(1.0e-3, 4, 0.66, 2.35),
    row(4.8e-4, 4, 0.50, 2.55),
    row(3.2e-4, 4, 0.40, 2.60),
    row(4.7e-5, 5, 0.50, 2.45),
    row(2.7e-5, 5, 0.40, 2.65),
    row(4.0e-6, 6, 0.47, 2.45),
    row(3.0e-6, 6, 0.44, 2.50),
    row(4.8e-7, 7, 0.47, 2.40),
    row(4.5e-7, 6, 0.12, 2.90),
    row(3.1e-7, 7, 0.44, 2.45),
    row(4.6e-8, 8, 0.45, 2.35),
    row(2.7e-8, 8, 0.40, 2.50),
    row(4.0e-9, 9, 0.41, 2.40),
    row(3.1e-9, 9, 0.40, 2.45),
    row(3.8e-10, 10, 0.40, 2.35),
    row(1.8e-10, 10, 0.36, 2.50),
    row(2.3e-11, 11, 0.36, 2.45),
    row(3.0e-12, 12, 0.36, 2.40),
    row(4.7e-13, 12, 0.30, 2.55),
    row(1.8e-13, 13, 0.33, 2.45),
    row(3.0e-14, 14, 0.33, 2.40),
];

/// Midpoint nodes of the frequency integral: it is exact for lags below twice this number.
const FREQUENCIES: usize = 384;
/// Offsets inside a bin at which the error of the kernel is measured.
const OFFSETS: usize = 33;

/// A window with its lattice operator and its measured error.
#[derive(Debug, Clone)]
pub(super) struct Window {
    pub(super) width: usize,
    pub(super) spacing: f64,
    /// Window value at each node under the window, as polynomials of the offset in the bin.
    pub(super) pieces: Pieces,
    /// Coefficients of the symmetric lattice operator by lag, cut where they stop to matter.
    pub(super) operator: Vec<f64>,
    /// Largest error of the 1-D kernel over pairs of offsets and all lags.
    pub(super) error: f64,
}

impl Window {
    /// The window of one table row, prepared for the relative tolerance `rtol`.
    pub(super) fn new(row: Row, rtol: f64) -> Self {
        let (half, beta) = (0.5 * row.width as f64, row.shape * row.width as f64);
        let phi = |x: f64| {
            let square = (1.0 - (x / half) * (x / half)).max(0.0);
            (beta * (square.sqrt() - 1.0)).exp()
        };
        // Node a of a bin lies at a - w/2 + 1 spacings from the bin's start, for odd and even w alike.
        let pieces = Pieces::fit(row.width, 0.01 * rtol, |node, t| phi(t - node as f64 + half - 1.0));
        let operator = lattice_operator(&phi, row, 0.01 * rtol);
        let mut window =
            Self { width: row.width, spacing: row.spacing, pieces, operator, error: f64::INFINITY };
        window.error = window.measured_error();
        window
    }

    /// Number of lags on each side that the lattice operator reaches.
    pub(super) fn band(&self) -> usize {
        self.operator.len() - 1
    }

    /// Coefficient at one lag, 0 beyond the band.
    pub(super) fn coefficient(&self, lag: usize) -> f64 {
        self.operator.get(lag).copied().unwrap_or(0.0)
    }

    /// Largest difference between the Gaussian and its lattice form over offsets and lags.
    fn measured_error(&self) -> f64 {
        let (w, lags) = (self.width, self.band() + 2 * self.width);
        let offset = |i: usize| i as f64 / OFFSETS as f64;
        let weights: Vec<Vec<f64>> = (0..OFFSETS).map(|i| self.pieces.at(offset(i))).collect();
        let mut worst = 0.0_f64;
        for (j, right) in weights.iter().enumerate() {
            // What a unit source at bin 0 leaves on nodes 0 .. lags + w.
            let spread: Vec<f64> = (0..lags + w)
                .map(|node| {
                    right.iter().enumerate().map(|(b, v)| v * self.coefficient(node.abs_diff(b))).sum()
                })
                .collect();
            for (i, left) in weights.iter().enumerate() {
                for lag in 0..lags {
                    let approximate: f64 = left.iter().zip(&spread[lag..]).map(|(u, v)| u * v).sum();
                    let distance = (lag as f64 + offset(i) - offset(j)) * self.spacing;
                    worst = worst.max((approximate - (-0.5 * distance * distance).exp()).abs());
                }
            }
        }
        worst
    }
}

/// Coefficients `g_m` such that `sum_ab phi(x - a) g_(a-b) phi(y - b)` is the Gaussian of `x - y`.
fn lattice_operator(phi: &dyn Fn(f64) -> f64, row: Row, tolerance: f64) -> Vec<f64> {
    let h = row.spacing;
    let half = 0.5 * row.width as f64;
    let quadrature = gauss_legendre(96);
    let step = PI / FREQUENCIES as f64; // of k h
    let spectrum: Vec<f64> = (0..FREQUENCIES)
        .map(|j| {
            let angle = (j as f64 + 0.5) * step;
            let transform: f64 = quadrature
                .iter()
                .map(|&(x, weight)| weight * half * phi(half * x) * (angle * half * x).cos())
                .sum::<f64>()
                * h;
            let k = angle / h;
            (2.0 * PI).sqrt() * (-0.5 * k * k).exp() * h / (transform * transform)
        })
        .collect();
    let coefficient = |lag: usize| -> f64 {
        let sum: f64 =
            spectrum.iter().enumerate().map(|(j, s)| s * (lag as f64 * (j as f64 + 0.5) * step).cos()).sum();
        sum / FREQUENCIES as f64
    };
    // The Gaussian is below 1e-17 at nine sigma and the window adds less than its width.
    let lags = (9.0 / h).ceil() as usize + row.width;
    let mut operator: Vec<f64> = (0..=lags).map(coefficient).collect();
    let largest = operator.iter().fold(0.0_f64, |m, g| m.max(g.abs()));
    let kept = operator.iter().rposition(|g| g.abs() > tolerance * largest).unwrap_or(0);
    operator.truncate(kept + 1);
    operator
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_keeps_its_promise() {
        for row in TABLE {
            let window = Window::new(row, 2.0 * row.error);
            assert!(window.error <= row.error, "{row:?}: {}", window.error);
            assert!(window.band() < 2 * FREQUENCIES);
        }
    }

    #[test]
    fn the_default_needs_few_lags() {
        let window = Window::new(TABLE[7], 1e-6);
        assert!((15..=30).contains(&window.band()), "{}", window.band());
    }
}
