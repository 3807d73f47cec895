//! How a kernel tells its caller how far it is, and learns that it should stop.

/// Observer of a long computation. Called from worker threads.
pub trait Watch: Sync {
    /// Report `done` of `total` steps; `false` asks the kernel to stop soon.
    fn tick(&self, done: usize, total: usize) -> bool;
}

/// Observer that neither shows nor stops anything.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unwatched;

impl Watch for Unwatched {
    fn tick(&self, _done: usize, _total: usize) -> bool {
        true
    }
}
