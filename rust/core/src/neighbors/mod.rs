//! Neighbors of cells: exact, with ties broken by index.

mod group;
mod knn;
#[cfg(test)]
mod tests;

pub use knn::{Neighbors, nearest_neighbors};
