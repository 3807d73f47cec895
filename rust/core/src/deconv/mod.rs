//! Cell-type shares of spots from a single-cell reference, in passes over blocks of counts.
//!
//! No pass needs more than one block of rows at a time, so the counts may stay on disk; what is kept is one row of
//! shares per spot. The passes are [`gene_sums`] (depths and gene totals), [`first_fit`] (weighted
//! non-negative least squares), [`misfit`] (how far the counts scatter around a fit) and [`SpotFit::sweep`]
//! (weighted counts under a Dirichlet prior centered on the neighbors).

mod block;
mod digamma;
mod first;
mod graph;
mod kdtree;
mod kernel;
mod merge;
mod misfit;
mod nnls;
mod packed;
mod reference;
mod shapes;
mod spots;
mod stability;
mod sums;
#[cfg(test)]
mod tests;

pub use block::{Block, Rates};
pub use first::{FirstModel, first_fit};
pub use graph::{Graph, neighbor_graph};
pub use merge::merge_genes;
pub use misfit::{Misfit, misfit};
pub use packed::WeightedRows;
pub use reference::{ProfileSums, profile_sums};
pub use shapes::Shapes;
pub use spots::{Prior, SpotFit};
pub use stability::{Stability, stability};
pub use sums::{GeneSums, gene_sums};
