//! Progress of parallel tasks, and the stop that the caller may ask for.

use crate::error::{Error, Result};
use crate::watch::Watch;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts finished tasks for a [`Watch`]. Handed to another kernel it passes a stop on, but not the kernel's
/// own progress.
pub(crate) struct Watched<'a> {
    watch: &'a dyn Watch,
    done: AtomicUsize,
    total: usize,
}

impl<'a> Watched<'a> {
    pub fn new(watch: &'a dyn Watch, total: usize) -> Self {
        Self { watch, done: AtomicUsize::new(0), total }
    }

    /// Report one more task; fails when the caller wants to stop.
    pub fn one_done(&self) -> Result<()> {
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        if self.watch.tick(done, self.total) {
            return Ok(());
        }
        Err(Error::Cancelled { done, total: self.total })
    }
}

impl Watch for Watched<'_> {
    fn tick(&self, _done: usize, _total: usize) -> bool {
        self.watch.tick(self.done.load(Ordering::Relaxed), self.total)
    }
}
