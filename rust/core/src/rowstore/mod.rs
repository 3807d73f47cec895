//! Rows of a compressed matrix, made dense, mapped to other columns and normalized in one pass.
//!
//! Training on single-cell screens reads cells at random, thousands of times. The matrix stays compressed
//! and memory-mapped; a gather touches only the rows asked for and writes each output value once.

mod gather;
mod normalize;
#[cfg(test)]
mod tests;

pub use gather::{Columns, Csr, Index, Offsets, Value, gather_rows, is_small};
