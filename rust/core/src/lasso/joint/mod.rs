//! Sparse group lasso over all types of a target together: one column is one group, with a coefficient per type.
//!
//! Columns and target are centered and scaled to unit variance inside each type. With `n_c` of the `n` cells in
//! type `c`, `G_c = Z^T Z / n_c`, `q_c = Z^T y / n_c`, `v_jc = sqrt(n_c / n) w_jc` and `b_c = sqrt(n_c / n) q_c`:
//!
//! ```text
//! minimize  P(v) = sum_c (v_c' G_c v_c / 2 - b_c' v_c) + yy / 2 + lambda sum_j ((1 - a) sqrt(K) |v_j|_2 + a |v_j|_1)
//! lambda = kappa sqrt(2 log(max(p, 2)) / n),   yy = sum_c n_c / n var(y_c)
//! ```
//!
//! The variable `v` makes a group weigh each type by its evidence: a type with few cells can join a group but
//! cannot open one. Inside a group `G` is diagonal, so the exact minimum over a group is one equation in its
//! length.
//!
//! # Certificate
//!
//! For any `u` for which `b - G u` is feasible (every group within the unit ball of the norm dual to the penalty)
//! the definition of that norm gives `penalty(v) >= (b - G u)' v`, and so
//!
//! ```text
//! P(v) >= yy / 2 + v' G v / 2 - u' G v >= yy / 2 - u' G u / 2            for every v.
//! ```
//!
//! At an iterate `v` the residual `r = b - G v`, scaled by `t` until it is feasible, belongs to
//! `G u = (1 - t) b + t G v`, that is `u = (1 - t) G^-1 b + t v` for a `b` in the range of `G`. With
//! `C = b' G^-1 b` the bound becomes `yy / 2 - C / 2 + t (C - b' v) - t^2 (C - 2 b' v + v' G v) / 2`. It falls with
//! growing `C`, so any larger `C` gives a bound too. For the Gram of data `yy >= C` (the variance that regression
//! explains is no more than the variance), and `C = yy` makes it the usual one with the residual norm
//! `yy - 2 b' v + v' G v`. A Gram from which noise was taken out is the Gram of some data, but not of data with
//! the observed target: there `C = max(yy, b' G^-1 b)` from the eigen-decomposition that raises its eigenvalues.
//! A `t` near 1 makes the bound independent of `C`, so nothing is lost at the optimum.

pub mod batch;
mod dense;
mod fit;
mod noise;
mod problem;
pub mod single;
mod state;
mod training;
mod walk;

pub(crate) use noise::NoiseTable;
pub(crate) use problem::{LEAST_CELLS, TypeSource};
pub use state::{Columns, JointState, TypeForm};
