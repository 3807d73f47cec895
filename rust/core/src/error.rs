//! What can go wrong in a kernel. Each message states the value found and the remedy.

/// Result of a kernel.
pub type Result<T> = std::result::Result<T, Error>;

/// Failure of a kernel, worded for the person who called it.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// Two inputs that must have one row per cell disagree.
    #[error(
        "{left} has {n_left} rows but {right} has {n_right}: both need one row per cell, in the same order"
    )]
    Rows {
        /// Name of the first input.
        left: &'static str,
        /// Its number of rows.
        n_left: usize,
        /// Name of the second input.
        right: &'static str,
        /// Its number of rows.
        n_right: usize,
    },
    /// An input has the wrong shape for another reason than its number of rows.
    #[error("{name}: {found}, expected {expected}")]
    Shape {
        /// Name of the input.
        name: &'static str,
        /// What was found.
        found: String,
        /// What was expected.
        expected: String,
    },
    /// A radius that is not a positive length.
    #[error("radius is {0}: give a positive length in the units of the coordinates")]
    Radius(f64),
    /// A parameter outside its range.
    #[error("{name} is {value}: {expected}")]
    Parameter {
        /// Name of the parameter.
        name: &'static str,
        /// Value found.
        value: String,
        /// Range allowed.
        expected: &'static str,
    },
    /// NaN or infinity where a finite number is needed.
    #[error("{name} has a value that is not finite ({value}) at row {row}: remove or replace it")]
    NotFinite {
        /// Name of the input.
        name: &'static str,
        /// First offending row.
        row: usize,
        /// The value.
        value: f64,
    },
    /// An index that points outside its array.
    #[error("{name} holds the index {index}, but there are only {len} entries")]
    Index {
        /// Name of the input.
        name: &'static str,
        /// The index found.
        index: i64,
        /// Number of entries it may address.
        len: usize,
    },
    /// The caller asked to stop.
    #[error("stopped on request after {done} of {total}")]
    Cancelled {
        /// Steps finished.
        done: usize,
        /// Steps planned.
        total: usize,
    },
    /// The requested number of threads could not be started.
    #[error("cannot start {0} threads: ask for fewer")]
    Threads(usize),
}
