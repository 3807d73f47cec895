//! Bindings of the received-ligand plans.

use crate::convert::{run, to_py};
use cytoripple_core::Error;
use cytoripple_core::ligand::{Kernel, Method, PlanSettings, ReceivedPlan};
use numpy::{IntoPyArray, PyArray2, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::prelude::*;

/// Plan on fixed coordinates; the public, documented form is `cytoripple.kernels.ReceivedPlan`.
#[pyclass(name = "ReceivedPlan", frozen, module = "cytoripple._core")]
pub struct PyReceivedPlan {
    /// The native plan, shared with the kernels that receive ligands themselves.
    pub plan: ReceivedPlan,
}

#[pymethods]
impl PyReceivedPlan {
    #[new]
    #[pyo3(signature = (xy, sigma, cutoff, method, rtol, factor, samples=None, n_ligands=50, threads=0))]
    fn new(
        py: Python<'_>,
        xy: PyReadonlyArray2<'_, f64>,
        sigma: f64,
        cutoff: f64,
        method: &str,
        rtol: f64,
        factor: f64,
        samples: Option<PyReadonlyArray1<'_, i64>>,
        n_ligands: usize,
        threads: usize,
    ) -> PyResult<Self> {
        let (kernel, method) = (Kernel { sigma, cutoff }, named(method).map_err(to_py)?);
        let settings = PlanSettings { kernel, method, rtol, factor, n_ligands };
        let (xy, samples) = (xy.as_array(), samples.as_ref().map(|s| s.as_array()));
        let plan = run(py, threads, None, |_| ReceivedPlan::new(xy, samples, settings))?;
        Ok(Self { plan })
    }

    #[pyo3(signature = (ligands, scale=1.0, *, threads=0, progress=None))]
    fn apply<'py>(
        &self,
        py: Python<'py>,
        ligands: PyReadonlyArray2<'py, f64>,
        scale: f64,
        threads: usize,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyArray2<f64>>> {
        let ligands = ligands.as_array();
        Ok(run(py, threads, progress, |watch| self.plan.apply(ligands, scale, watch))?.into_pyarray(py))
    }

    #[getter]
    fn method(&self) -> &'static str {
        self.plan.method()
    }

    #[getter]
    fn error_bound(&self) -> f64 {
        self.plan.error_bound()
    }

    #[getter]
    fn n_cells(&self) -> usize {
        self.plan.n_cells()
    }
}

fn named(method: &str) -> Result<Method, Error> {
    match method {
        "auto" => Ok(Method::Auto),
        "direct" => Ok(Method::Direct),
        "mesh" => Ok(Method::Mesh),
        "anchors" => Ok(Method::Anchors),
        _ => Err(Error::Parameter {
            name: "method",
            value: method.to_string(),
            expected: "give auto, direct, mesh or anchors",
        }),
    }
}

/// Add the classes of this file to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PyReceivedPlan>()
}
