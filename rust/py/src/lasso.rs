//! Sparse group lasso. Documented for users in `_core.pyi` and `cytoripple.kernels`.

use crate::convert::{run, to_py};
use cytoripple_core::Error;
use cytoripple_core::lasso::{self, GroupReg, ScaleReg, Settings, Solver};
use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::prelude::*;

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
    let scale = match scale {
        "given" => return Ok(GroupReg::Given(values)),
        "group_size" => ScaleReg::GroupSize,
        "inverse_group_size" => ScaleReg::InverseGroupSize,
        "none" => ScaleReg::Constant,
        _ => return Err(unknown("scale_reg", scale, "one of group_size, inverse_group_size, none")),
    };
    Ok(GroupReg::Scaled(values.first().copied().unwrap_or(f64::NAN), scale))
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

/// Add the functions of this area to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(sparse_group_lasso, module)?)
}
