//! Kernels of cytoripple. Plain arrays in, plain arrays out: no file access, no logging, no Python.
//!
//! Every kernel gives bit-identical results for any number of threads: work is cut by the data, never by
//! the thread, and partial results are combined in a fixed order.

pub mod check;
pub mod deconv;
pub mod deconv_flash;
pub mod error;
pub mod gemm;
pub mod lasso;
pub mod ligand;
pub mod matrix;
pub mod neighbors;
pub mod parallel;
pub mod perturb;
pub mod poisson;
pub mod ripple;
pub mod rowstore;
pub mod screen;
pub mod simd;
pub mod splash;
pub mod watch;
pub mod wilcoxon;

pub use error::{Error, Result};
