//! Rank-sum tests, and what else a perturbation screen is judged by.

use crate::convert;
use crate::expression::{Expression, unknown};
use crate::on_matrix;
use cytoripple_core::screen::{self, Metric, Transform};
use cytoripple_core::wilcoxon::{self, Approximation, Comparison};
use numpy::{IntoPyArray, PyArray1, PyArray2, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::prelude::*;

type Tested<'py> = (Bound<'py, PyArray2<f64>>, Bound<'py, PyArray2<f64>>, Bound<'py, PyArray2<f64>>);
type Summed<'py> = (Bound<'py, PyArray2<f64>>, Bound<'py, PyArray2<bool>>, Bound<'py, PyArray1<u64>>);

/// Statistic, score and p-value of every group and gene.
#[pyfunction]
#[pyo3(signature = (expression, codes, n_groups, *, rest, tie_correct, continuity, threads=0, progress=None))]
fn rank_sums<'py>(
    py: Python<'py>,
    expression: Expression<'py>,
    codes: PyReadonlyArray1<'py, i64>,
    n_groups: usize,
    rest: bool,
    tie_correct: bool,
    continuity: bool,
    threads: usize,
    progress: Option<Py<PyAny>>,
) -> PyResult<Tested<'py>> {
    let codes = codes.as_slice()?;
    let comparison = if rest { Comparison::Rest } else { Comparison::Reference };
    let approximation = Approximation { tie_correct, continuity };
    let found = on_matrix!(&expression, matrix => convert::run(py, threads, progress, |watch| {
        wilcoxon::rank_sums(matrix, codes, n_groups, comparison, approximation, watch)
    }))?;
    let (statistic, score) = (found.statistic.into_pyarray(py), found.score.into_pyarray(py));
    Ok((statistic, score, found.p_value.into_pyarray(py)))
}

/// Sums, whether values vary, and sizes of the groups.
#[pyfunction]
#[pyo3(signature = (expression, codes, n_groups, *, transform, threads=0))]
fn group_sums<'py>(
    py: Python<'py>,
    expression: Expression<'py>,
    codes: PyReadonlyArray1<'py, i64>,
    n_groups: usize,
    transform: &str,
    threads: usize,
) -> PyResult<Summed<'py>> {
    let codes = codes.as_slice()?;
    let transform = match transform {
        "identity" => Transform::Identity,
        "expm1" => Transform::Expm1,
        "log1p" => Transform::Log1p,
        other => return Err(unknown("transform", other)),
    };
    let found = on_matrix!(&expression, matrix => convert::run(py, threads, None, |_| {
        screen::group_sums(matrix, codes, n_groups, transform)
    }))?;
    Ok((found.sums.into_pyarray(py), found.varies.into_pyarray(py), found.sizes.into_pyarray(py)))
}

/// Energy distance of every group but the first to the first.
#[pyfunction]
#[pyo3(signature = (expression, codes, n_groups, *, threads=0, progress=None))]
fn energy_distances<'py>(
    py: Python<'py>,
    expression: Expression<'py>,
    codes: PyReadonlyArray1<'py, i64>,
    n_groups: usize,
    threads: usize,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyArray1<f64>>> {
    let codes = codes.as_slice()?;
    let found = on_matrix!(&expression, matrix => convert::run(py, threads, progress, |watch| {
        screen::energy_distances(matrix, codes, n_groups, watch)
    }))?;
    Ok(found.into_pyarray(py))
}

/// Distance of every predicted effect to every measured effect.
#[pyfunction]
#[pyo3(signature = (predicted, measured, skip, *, metric, threads=0))]
fn effect_distances<'py>(
    py: Python<'py>,
    predicted: PyReadonlyArray2<'py, f64>,
    measured: PyReadonlyArray2<'py, f64>,
    skip: PyReadonlyArray1<'py, i64>,
    metric: &str,
    threads: usize,
) -> PyResult<Bound<'py, PyArray2<f64>>> {
    let metric = match metric {
        "l1" => Metric::L1,
        "l2" => Metric::L2,
        "cosine" => Metric::Cosine,
        other => return Err(unknown("metric", other)),
    };
    let (predicted, measured, skip) = (predicted.as_array(), measured.as_array(), skip.as_slice()?);
    let found =
        convert::run(py, threads, None, |_| screen::effect_distances(predicted, measured, skip, metric))?;
    Ok(found.into_pyarray(py))
}

/// Add the functions of this file to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(rank_sums, module)?)?;
    module.add_function(wrap_pyfunction!(group_sums, module)?)?;
    module.add_function(wrap_pyfunction!(energy_distances, module)?)?;
    module.add_function(wrap_pyfunction!(effect_distances, module)?)
}
