//! A pool of exactly `threads` workers for the duration of one call.

use crate::error::{Error, Result};

/// Run `work` in a pool of `threads` workers; 0 takes every core of the machine.
///
/// # Errors
/// [`Error::Threads`] when the system refuses to start the workers, else whatever `work` returns.
pub fn with_threads<T: Send>(threads: usize, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let pool =
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().map_err(|_| Error::Threads(threads))?;
    pool.install(work)
}
