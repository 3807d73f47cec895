//! Spots as mixtures of cell types: non-negative least squares with a smooth graph penalty.
//!
//! `min over B >= 0:  ||Y - B X||^2 / 2 + lambda / 2 * tr(B' (D - A) B) + rho * sum B`
//!
//! The counts enter only through `H = Y X'` and the squared length of every row of `Y`, so they are read in
//! two passes ([`moments`], [`project`](mod@project)) and never copied.

pub mod counts;
pub mod graph;
pub mod jacobi;
pub mod moments;
pub mod project;
pub mod sor;
mod spot;
pub mod system;
#[cfg(test)]
mod tests;
mod tree;

pub use counts::Counts;
pub use system::System;
