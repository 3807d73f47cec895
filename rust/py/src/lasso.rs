//! Sparse group lasso. Documented for users in `_core.pyi` and `cytoripple.kernels`.

use crate::convert::{run, to_py};
use cytoripple_core::Error;
use cytoripple_core::lasso::batch::{self, BatchFit, Partition, Targets};
use cytoripple_core::lasso::design::{Expression, Signals};
use cytoripple_core::lasso::{self, GroupReg, Regularization, ScaleReg, Settings, Solver};
use numpy::{IntoPyArray, PyArray1, PyArray2, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::prelude::*;
use pyo3::types::PyDict;

type SingleFit<'py> =
    (Bound<'py, PyArray1<f64>>, f64, f64, f64, usize, bool, &'static str, f64, Bound<'py, PyArray1<f64>>);

fn solver_named(name: &str) -> Result<Solver, Error> {
    match name {
        "descent" => Ok(Solver::Descent),
        "fista" => Ok(Solver::Fista),
        "reference" => Ok(Solver::Reference),
        _ => Err(unknown("solver", name, "one of descent, fista, reference")),
    }
}

/// `given` marks a vector of weights that are used as they are.
fn group_reg(values: Vec<f64>, scale: &str) -> Result<GroupReg, Error> {
    if scale == "given" {
        return Ok(GroupReg::Given(values));
    }
    Ok(GroupReg::Scaled(values.first().copied().unwrap_or(f64::NAN), scale_named(scale)?))
}

fn scale_named(name: &str) -> Result<ScaleReg, Error> {
    match name {
        "group_size" => Ok(ScaleReg::GroupSize),
        "inverse_group_size" => Ok(ScaleReg::InverseGroupSize),
        "none" => Ok(ScaleReg::Constant),
        _ => Err(unknown("scale_reg", name, "one of group_size, inverse_group_size, none")),
    }
}

fn unknown(name: &'static str, value: &str, expected: &'static str) -> Error {
    Error::Parameter { name, value: value.into(), expected }
}

#[pyfunction]
#[pyo3(signature = (x, y, groups, group_reg, scale_reg, l1_reg, fit_intercept, tol, solver, max_iter, warm_start, *, threads = 0))]
fn sparse_group_lasso<'py>(
    py: Python<'py>,
    x: PyReadonlyArray2<'py, f64>,
    y: PyReadonlyArray1<'py, f64>,
    groups: PyReadonlyArray1<'py, i64>,
    group_reg: PyReadonlyArray1<'py, f64>,
    scale_reg: &str,
    l1_reg: f64,
    fit_intercept: bool,
    tol: f64,
    solver: &str,
    max_iter: Option<usize>,
    warm_start: Option<PyReadonlyArray1<'py, f64>>,
    threads: usize,
) -> PyResult<SingleFit<'py>> {
    let settings = Settings { solver: solver_named(solver).map_err(to_py)?, tol, max_iter, polish: true };
    let problem = lasso::Problem {
        x: x.as_array(),
        y: y.as_array(),
        groups: groups.as_slice()?,
        group_reg: self::group_reg(group_reg.as_array().to_vec(), scale_reg).map_err(to_py)?,
        l1_reg,
        fit_intercept,
        warm_start: warm_start.as_ref().map(|w| w.as_slice()).transpose()?,
    };
    let fit = run(py, threads, None, |_| lasso::fit(&problem, settings))?;
    Ok((
        fit.coef.into_pyarray(py),
        fit.intercept,
        fit.objective,
        fit.gap,
        fit.n_iter,
        fit.rule.converged(),
        fit.rule.name(),
        fit.kkt_residual,
        fit.lambda_max.into_pyarray(py),
    ))
}

/// Row starts, genes and values of a CSR matrix.
type Csr<'py> = (PyReadonlyArray1<'py, i64>, PyReadonlyArray1<'py, i64>, PyReadonlyArray1<'py, f64>);

/// What columns are made of and which cell belongs where; lent for one call.
#[derive(FromPyObject)]
pub(crate) struct Design<'py> {
    dense: Option<PyReadonlyArray2<'py, f64>>,
    sparse: Option<Csr<'py>>,
    n_genes: usize,
    received: PyReadonlyArray2<'py, f64>,
    received_tfl: PyReadonlyArray2<'py, f64>,
    receptor_mask: Option<PyReadonlyArray2<'py, f64>>,
    min_expression: f64,
    clusters: PyReadonlyArray1<'py, i64>,
    n_clusters: usize,
    folds: Option<PyReadonlyArray1<'py, i64>>,
    n_folds: usize,
}

impl Design<'_> {
    pub(crate) fn signals(&self) -> PyResult<Signals<'_>> {
        let expression = match (&self.dense, &self.sparse) {
            (Some(values), _) => Expression::Dense(values.as_array()),
            (None, Some((indptr, indices, data))) => Expression::Sparse {
                indptr: indptr.as_slice()?,
                indices: indices.as_slice()?,
                data: data.as_slice()?,
                n_genes: self.n_genes,
            },
            (None, None) => return Err(to_py(unknown("expression", "missing", "dense or sparse"))),
        };
        Ok(Signals {
            expression,
            received: self.received.as_array(),
            received_tfl: self.received_tfl.as_array(),
            receptor_mask: self.receptor_mask.as_ref().map(|mask| mask.as_array()),
            min_expression: self.min_expression,
        })
    }

    pub(crate) fn partition(&self) -> PyResult<Partition<'_>> {
        Ok(Partition {
            clusters: self.clusters.as_slice()?,
            n_clusters: self.n_clusters,
            folds: self.folds.as_ref().map(|folds| folds.as_slice()).transpose()?,
            n_folds: self.n_folds,
        })
    }
}

/// Targets of a batch; lent for one call.
#[derive(FromPyObject)]
pub(crate) struct Batch<'py> {
    y: PyReadonlyArray2<'py, f64>,
    indptr: PyReadonlyArray1<'py, i64>,
    columns: PyReadonlyArray2<'py, i64>,
    column_mask: Option<PyReadonlyArray2<'py, bool>>,
}

impl Batch<'_> {
    pub(crate) fn targets(&self) -> Targets<'_> {
        Targets {
            y: self.y.as_array(),
            indptr: self.indptr.as_array(),
            columns: self.columns.as_array(),
            column_mask: self.column_mask.as_ref().map(|mask| mask.as_array()),
        }
    }
}

#[pyfunction]
fn check_design(py: Python<'_>, design: Design<'_>) -> PyResult<()> {
    let signals = design.signals()?;
    py.detach(|| signals.check()).map_err(to_py)
}

#[pyfunction]
#[pyo3(signature = (design, batch, penalty, scale_reg, standardize, tol, solver, max_iter, *, threads = 0, progress = None))]
fn fit_batch<'py>(
    py: Python<'py>,
    design: Design<'py>,
    batch: Batch<'py>,
    penalty: (f64, f64),
    scale_reg: &str,
    standardize: bool,
    tol: f64,
    solver: &str,
    max_iter: Option<usize>,
    threads: usize,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let regularization = if standardize {
        Regularization::Standardized { kappa: penalty.0, l1_share: penalty.1 }
    } else {
        let scale = scale_named(scale_reg).map_err(to_py)?;
        Regularization::Raw { group_reg: penalty.0, l1_reg: penalty.1, scale }
    };
    let settings = Settings { solver: solver_named(solver).map_err(to_py)?, tol, max_iter, polish: true };
    let (signals, partition, targets) = (design.signals()?, design.partition()?, batch.targets());
    let fit = run(py, threads, progress, |watch| {
        batch::fit(&signals, &partition, &targets, regularization, settings, watch)
    })?;
    to_dict(py, fit)
}

/// Fits by the names of `cytoripple.kernels.training.BatchFit`.
pub(crate) fn to_dict(py: Python<'_>, fit: BatchFit) -> PyResult<Bound<'_, PyDict>> {
    let out = PyDict::new(py);
    out.set_item("coef", fit.coef.into_pyarray(py))?;
    out.set_item("intercept", fit.intercept.into_pyarray(py))?;
    out.set_item("r2", fit.r2.into_pyarray(py))?;
    out.set_item("held_out_r2", fit.held_out_r2.into_pyarray(py))?;
    out.set_item("mse", fit.mse.into_pyarray(py))?;
    out.set_item("objective", fit.objective.into_pyarray(py))?;
    out.set_item("gap", fit.gap.into_pyarray(py))?;
    out.set_item("n_iter", fit.n_iter.into_pyarray(py))?;
    out.set_item("converged", fit.converged.into_pyarray(py))?;
    out.set_item("lambda_max", fit.lambda_max.into_pyarray(py))?;
    Ok(out)
}

#[pyfunction]
#[pyo3(signature = (design, batch, kappas, l1_share, tol, *, threads = 0, progress = None))]
fn validation_errors<'py>(
    py: Python<'py>,
    design: Design<'py>,
    batch: Batch<'py>,
    kappas: PyReadonlyArray1<'py, f64>,
    l1_share: f64,
    tol: f64,
    threads: usize,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyArray2<f64>>> {
    let settings = Settings { solver: Solver::Descent, tol, max_iter: None, polish: false };
    let (signals, partition, targets) = (design.signals()?, design.partition()?, batch.targets());
    let kappas = kappas.as_slice()?;
    let errors = run(py, threads, progress, |watch| {
        batch::validation_errors(&signals, &partition, &targets, kappas, l1_share, settings, watch)
    })?;
    Ok(errors.into_pyarray(py))
}

/// Add the functions of this area to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(sparse_group_lasso, module)?)?;
    module.add_function(wrap_pyfunction!(check_design, module)?)?;
    module.add_function(wrap_pyfunction!(fit_batch, module)?)?;
    module.add_function(wrap_pyfunction!(validation_errors, module)?)
}
