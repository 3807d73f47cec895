//! Joint sparse group lasso and its noise model. Documented for users in `_core.pyi` and `cytoripple.kernels`.

use crate::convert::run;
use crate::lasso::{Batch, Design, to_dict};
use cytoripple_core::lasso::joint::batch::{self, JointPenalty};
use cytoripple_core::lasso::joint::single::{self, JointInput};
use cytoripple_core::lasso::{Settings, Solver};
use cytoripple_core::poisson;
use numpy::{IntoPyArray, PyArray1, PyArray2, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::prelude::*;
use pyo3::types::PyDict;

type JointFit<'py> = (Bound<'py, PyArray2<f64>>, Bound<'py, PyArray1<f64>>, f64, f64, usize, bool, f64);

fn descent(tol: f64, polish: bool) -> Settings {
    Settings { solver: Solver::Descent, tol, max_iter: None, polish }
}

#[pyfunction]
#[pyo3(signature = (x, y, types, n_types, kappa, l1_share, noise, tol, max_iter, *, threads = 0))]
fn joint_sparse_group_lasso<'py>(
    py: Python<'py>,
    x: PyReadonlyArray2<'py, f64>,
    y: PyReadonlyArray1<'py, f64>,
    types: PyReadonlyArray1<'py, i64>,
    n_types: usize,
    kappa: f64,
    l1_share: f64,
    noise: Option<(PyReadonlyArray2<'py, f64>, PyReadonlyArray1<'py, i64>)>,
    tol: f64,
    max_iter: Option<usize>,
    threads: usize,
) -> PyResult<JointFit<'py>> {
    let noise = match &noise {
        Some((sd, source)) => Some((sd.as_array(), source.as_slice()?)),
        None => None,
    };
    let (x, y, types) = (x.as_array(), y.as_array(), types.as_slice()?);
    let input = JointInput { x, y, types, n_types, kappa, l1_share, noise };
    let settings = Settings { max_iter, ..descent(tol, true) };
    let fit = run(py, threads, None, |_| single::fit(&input, settings))?;
    let (coef, intercept) = (fit.coef.into_pyarray(py), fit.intercept.into_pyarray(py));
    Ok((coef, intercept, fit.gap, fit.objective, fit.n_iter, fit.converged, fit.lambda_max))
}

#[pyfunction]
#[pyo3(signature = (design, batch, kappa, path, shares, noise_variance, tol, *, threads = 0, progress = None))]
fn fit_joint<'py>(
    py: Python<'py>,
    design: Design<'py>,
    batch: Batch<'py>,
    kappa: f64,
    path: Vec<f64>,
    shares: (f64, f64),
    noise_variance: Option<PyReadonlyArray2<'py, f32>>,
    tol: f64,
    threads: usize,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let (signals, partition, targets) = (design.signals()?, design.partition()?, batch.targets());
    let noise = noise_variance.as_ref().map(|v| v.as_array());
    let penalty = JointPenalty { kappa, l1_share: shares.0, dense_share: shares.1 };
    let (fit, entry) = run(py, threads, progress, |watch| {
        batch::fit(&signals, &partition, &targets, noise, penalty, &path, descent(tol, true), watch)
    })?;
    let out = to_dict(py, fit)?;
    out.set_item("entry", entry.into_pyarray(py))?;
    Ok(out)
}

#[pyfunction]
#[pyo3(signature = (design, batch, kappas, l1_share, tol, *, threads = 0, progress = None))]
fn joint_validation_errors<'py>(
    py: Python<'py>,
    design: Design<'py>,
    batch: Batch<'py>,
    kappas: PyReadonlyArray1<'py, f64>,
    l1_share: f64,
    tol: f64,
    threads: usize,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyArray2<f64>>> {
    let (signals, partition, targets) = (design.signals()?, design.partition()?, batch.targets());
    let kappas = kappas.as_slice()?;
    let errors = run(py, threads, progress, |watch| {
        let settings = descent(tol, false);
        batch::validation_errors(&signals, &partition, &targets, kappas, l1_share, settings, watch)
    })?;
    Ok(errors.into_pyarray(py))
}

#[pyfunction]
#[pyo3(signature = (means, factors, *, threads = 0))]
fn log_poisson_variance<'py>(
    py: Python<'py>,
    means: PyReadonlyArray2<'py, f64>,
    factors: PyReadonlyArray1<'py, f64>,
    threads: usize,
) -> PyResult<Bound<'py, PyArray2<f32>>> {
    let (means, factors) = (means.as_array(), factors.as_array());
    Ok(run(py, threads, None, |_| poisson::log_variance(means, factors))?.into_pyarray(py))
}

/// Add the functions of this area to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(joint_sparse_group_lasso, module)?)?;
    module.add_function(wrap_pyfunction!(fit_joint, module)?)?;
    module.add_function(wrap_pyfunction!(joint_validation_errors, module)?)?;
    module.add_function(wrap_pyfunction!(log_poisson_variance, module)?)
}
