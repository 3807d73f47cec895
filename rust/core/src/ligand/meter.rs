//! Progress of one call, shared by its workers, and the wish to stop.

use crate::error::{Error, Result};
use crate::watch::Watch;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Counts finished steps of a known total and remembers that the caller asked to stop.
pub(super) struct Meter<'a> {
    watch: &'a dyn Watch,
    total: usize,
    done: AtomicUsize,
    stopped: AtomicBool,
}

impl<'a> Meter<'a> {
    pub(super) fn new(watch: &'a dyn Watch, total: usize) -> Self {
        Self { watch, total, done: AtomicUsize::new(0), stopped: AtomicBool::new(false) }
    }

    /// Report `steps` more; `false` means that the caller wants to stop.
    pub(super) fn advance(&self, steps: usize) -> bool {
        let done = self.done.fetch_add(steps, Ordering::Relaxed) + steps;
        if !self.watch.tick(done.min(self.total), self.total) {
            self.stopped.store(true, Ordering::Relaxed);
        }
        self.running()
    }

    /// Whether nobody asked to stop so far.
    pub(super) fn running(&self) -> bool {
        !self.stopped.load(Ordering::Relaxed)
    }

    /// The error that ends a stopped computation.
    pub(super) fn check(&self) -> Result<()> {
        if self.running() {
            return Ok(());
        }
        Err(Error::Cancelled { done: self.done.load(Ordering::Relaxed).min(self.total), total: self.total })
    }
}
