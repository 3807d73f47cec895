//! The border between Python and the kernels: errors, threads, progress and Ctrl-C.

use cytoripple_core::watch::Watch;
use cytoripple_core::{Error, parallel};
use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyKeyboardInterrupt, PyValueError};
use pyo3::prelude::*;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

create_exception!(
    _core,
    CoreError,
    PyException,
    "A kernel failed for a reason that is not the input's fault."
);

/// How often Python's signals are looked at and the progress callback is called during a kernel.
const POLL: Duration = Duration::from_millis(50);

/// The one translation of kernel errors: input errors to `ValueError`, a stop to `KeyboardInterrupt`.
pub fn to_py(error: Error) -> PyErr {
    match error {
        Error::Cancelled { .. } => PyKeyboardInterrupt::new_err(error.to_string()),
        Error::Threads(_) => CoreError::new_err(error.to_string()),
        _ => PyValueError::new_err(error.to_string()),
    }
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    done: AtomicUsize,
    total: AtomicUsize,
}

impl Watch for Shared {
    fn tick(&self, done: usize, total: usize) -> bool {
        self.done.fetch_max(done, Ordering::Relaxed);
        self.total.store(total, Ordering::Relaxed);
        !self.stop.load(Ordering::Relaxed)
    }
}

/// Run a kernel without the interpreter lock in a pool of `threads` workers.
///
/// The calling thread waits and wakes every 50 ms to let Python handle signals and to call
/// `progress(done, total)`, which is also called at the end. Ctrl-C, or an exception from the callback, stops
/// the kernel at its next tick and is raised. A panic becomes `CoreError`.
pub fn run<T: Send>(
    py: Python<'_>,
    threads: usize,
    progress: Option<Py<PyAny>>,
    work: impl FnOnce(&dyn Watch) -> cytoripple_core::Result<T> + Send,
) -> PyResult<T> {
    let shared = Shared::default();
    let watch: &Shared = &shared;
    py.detach(|| {
        std::thread::scope(|scope| {
            let (finished, wait) = channel::<()>();
            let worker = scope.spawn(move || {
                let _finished = finished; // dropped at the end, also by a panic: wakes the waiting thread
                parallel::with_threads(threads, || work(watch))
            });
            let mut interrupt: Option<PyErr> = None;
            while let Err(RecvTimeoutError::Timeout) = wait.recv_timeout(POLL) {
                if interrupt.is_some() {
                    continue;
                }
                if let Err(error) = Python::attach(|py| poll(py, watch, progress.as_ref())) {
                    watch.stop.store(true, Ordering::Relaxed);
                    interrupt = Some(error);
                }
            }
            let outcome = worker.join();
            if let Some(error) = interrupt {
                return Err(error);
            }
            match outcome {
                Ok(Ok(result)) => Python::attach(|py| poll(py, watch, progress.as_ref())).map(|()| result),
                Ok(Err(error)) => Err(to_py(error)),
                Err(_) => {
                    Err(CoreError::new_err("internal error in a kernel: please report it with the input"))
                }
            }
        })
    })
}

fn poll(py: Python<'_>, watch: &Shared, progress: Option<&Py<PyAny>>) -> PyResult<()> {
    py.check_signals()?;
    if let Some(callback) = progress {
        let total = watch.total.load(Ordering::Relaxed);
        if total > 0 {
            callback.call1(py, (watch.done.load(Ordering::Relaxed), total))?;
        }
    }
    Ok(())
}
