//! Ligand received by every cell under a Gaussian kernel.
//!
//! `received[i, l] = scale / n * sum_j K(|x_i - x_j|) * ligand[j, l]`, the sum over the cells of the sample
//! of cell i (itself included) and n their number.

mod anchors;
mod direct;
mod groups;
mod mesh;
mod plan;
mod tile;
pub mod window;

pub use plan::{PlanSettings, ReceivedPlan};

/// How a weight falls with distance: `exp(-d^2 / (2 sigma^2))` up to `cutoff`, 0 beyond.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Kernel {
    /// Standard deviation, in units of the coordinates.
    pub sigma: f64,
    /// Largest distance with a weight; infinite for the plain Gaussian.
    pub cutoff: f64,
}

impl Kernel {
    /// The plain Gaussian.
    #[must_use]
    pub fn gaussian(radius: f64) -> Self {
        Self { sigma: radius, cutoff: f64::INFINITY }
    }

    /// Weight 0.001 at `radius`, and 0 beyond it.
    #[must_use]
    pub fn truncated(radius: f64) -> Self {
        Self { sigma: radius / (-2.0 * 0.001_f64.ln()).sqrt(), cutoff: radius }
    }
}

/// How the sums are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// The cheaper of direct and mesh.
    Auto,
    /// All pairs within reach.
    Direct,
    /// Spreading to a lattice, with an error bound.
    Mesh,
    /// The anchor grid of earlier tools.
    Anchors,
}
