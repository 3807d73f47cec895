//! Bindings of received ligands.

use crate::convert::{run, to_py};
use cytoripple_core::ligand::{self, Kernel, Method, Settings};
use cytoripple_core::parallel::with_threads;
use numpy::{PyArray2, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// Plan of a received-ligand computation. Documented for users in `cytoripple.kernels`.
#[pyclass(frozen, name = "ReceivedPlan", module = "cytoripple._core")]
pub struct ReceivedPlan {
    /// The plan of the core crate, for kernels that take one.
    pub inner: ligand::ReceivedPlan,
}

#[pymethods]
impl ReceivedPlan {
    #[new]
    #[pyo3(signature = (xy, *, radius, kernel, method, rtol, factor, cutoff=None, samples=None, n_ligands=50, threads=0))]
    fn new(
        py: Python<'_>,
        xy: PyReadonlyArray2<'_, f64>,
        radius: f64,
        kernel: &str,
        method: &str,
        rtol: f64,
        factor: f64,
        cutoff: Option<f64>,
        samples: Option<PyReadonlyArray1<'_, i64>>,
        n_ligands: usize,
        threads: usize,
    ) -> PyResult<Self> {
        let (kernel, method) = (kernel_named(kernel, cutoff)?, method_named(method)?);
        let settings = Settings { kernel, method, radius, rtol, factor, n_ligands };
        let xy = xy.as_array();
        let samples = samples.as_ref().map(|samples| samples.as_array());
        let plan = || ligand::ReceivedPlan::with_settings(xy, samples, &settings);
        let inner = py.detach(|| with_threads(threads, plan)).map_err(to_py)?;
        Ok(Self { inner })
    }

    #[pyo3(signature = (ligands, *, scale=1.0, threads=0, progress=None))]
    fn apply<'py>(
        &self,
        py: Python<'py>,
        ligands: PyReadonlyArray2<'py, f64>,
        scale: f64,
        threads: usize,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyArray2<f64>>> {
        let ligands = ligands.as_array();
        // NumPy asks for huge pages, which the first touch of a large result gains much from.
        let out = PyArray2::zeros(py, ligands.dim(), false);
        let mut view = out.readwrite();
        let received = view.as_array_mut();
        run(py, threads, progress, |watch| self.inner.apply_into(ligands, scale, received, watch))?;
        drop(view);
        Ok(out)
    }

    #[getter]
    fn method(&self) -> &'static str {
        match self.inner.method() {
            Method::Mesh => "mesh",
            Method::Anchors => "anchors",
            Method::Auto | Method::Direct => "direct",
        }
    }

    #[getter]
    fn error_bound(&self) -> f64 {
        self.inner.error_bound()
    }

    #[getter]
    fn n_cells(&self) -> usize {
        self.inner.cells()
    }
}

fn kernel_named(name: &str, cutoff: Option<f64>) -> PyResult<Kernel> {
    match (name, cutoff) {
        ("gaussian", _) => Ok(Kernel::Gaussian),
        ("gaussian_truncated", _) => Ok(Kernel::GaussianTruncated),
        ("gaussian_cutoff", Some(cutoff)) => Ok(Kernel::GaussianCutoff(cutoff)),
        ("gaussian_cutoff", None) => Err(PyValueError::new_err("kernel gaussian_cutoff needs a cutoff")),
        _ => Err(PyValueError::new_err(format!("unknown kernel {name:?}"))),
    }
}

fn method_named(name: &str) -> PyResult<Method> {
    match name {
        "auto" => Ok(Method::Auto),
        "direct" => Ok(Method::Direct),
        "mesh" => Ok(Method::Mesh),
        "anchors" => Ok(Method::Anchors),
        _ => Err(PyValueError::new_err(format!("unknown method {name:?}"))),
    }
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<ReceivedPlan>()
}
