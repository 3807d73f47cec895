//! What a perturbation screen is judged by: means of groups, retrieval of effects, energy distances.

mod energy;
mod means;
mod retrieval;

pub use energy::energy_distances;
pub use means::{GroupSums, Transform, group_sums};
pub use retrieval::{Metric, effect_distances};
