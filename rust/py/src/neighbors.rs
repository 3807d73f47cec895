//! Neighbors of cells.

use crate::convert;
use cytoripple_core::neighbors;
use numpy::{IntoPyArray, PyArray2, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::prelude::*;

type Found<'py> = (Bound<'py, PyArray2<i64>>, Bound<'py, PyArray2<f64>>);

/// Indices and distances of the k nearest other cells, inside groups.
#[pyfunction]
#[pyo3(signature = (points, k, groups=None, threads=0, progress=None))]
fn nearest_neighbors<'py>(
    py: Python<'py>,
    points: PyReadonlyArray2<'py, f64>,
    k: usize,
    groups: Option<PyReadonlyArray1<'py, i64>>,
    threads: usize,
    progress: Option<Py<PyAny>>,
) -> PyResult<Found<'py>> {
    let points = points.as_array();
    let groups = groups.as_ref().map(|groups| groups.as_array());
    let found =
        convert::run(py, threads, progress, |watch| neighbors::nearest_neighbors(points, k, groups, watch))?;
    Ok((found.indices.into_pyarray(py), found.distances.into_pyarray(py)))
}

/// Add the functions of this file to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(nearest_neighbors, module)?)
}
