//! Cell types of spots by the published objective.

use crate::convert;
use cytoripple_core::Result;
use cytoripple_core::deconv_flash::counts::{Count, Position};
use cytoripple_core::deconv_flash::jacobi::Stop;
use cytoripple_core::deconv_flash::moments::Moments;
use cytoripple_core::deconv_flash::project::{Basis, Projection, Transform, project};
use cytoripple_core::deconv_flash::{Counts, System, graph, jacobi, sor};
use cytoripple_core::watch::Watch;
use numpy::{IntoPyArray, PyArray1, PyArray2, PyReadonlyArray1, PyReadonlyArray2};
use numpy::{PyArrayMethods, PyReadwriteArray2, PyUntypedArrayMethods};
use pyo3::prelude::*;

type Vector<'py> = Bound<'py, PyArray1<f64>>;
type Matrix<'py> = Bound<'py, PyArray2<f64>>;
type Links<'py> = (Bound<'py, PyArray1<i64>>, Bound<'py, PyArray1<i32>>);

/// Stored counts of any supported type.
#[derive(FromPyObject)]
enum Values<'py> {
    F32(PyReadonlyArray1<'py, f32>),
    F64(PyReadonlyArray1<'py, f64>),
    I32(PyReadonlyArray1<'py, i32>),
    I64(PyReadonlyArray1<'py, i64>),
}

/// Genes and row starts, both of one type.
#[derive(FromPyObject)]
enum Positions<'py> {
    I32(PyReadonlyArray1<'py, i32>, PyReadonlyArray1<'py, i32>),
    I64(PyReadonlyArray1<'py, i64>, PyReadonlyArray1<'py, i64>),
}

/// What to do with counts whatever their types are.
trait Pass: Send {
    type Out: Send;
    fn run<T: Count, I: Position>(self, counts: &Counts<T, I>, watch: &dyn Watch) -> Result<Self::Out>;
}

/// Run a pass over counts with the types they have.
fn over<P: Pass>(
    py: Python<'_>,
    (values, positions, n_genes): (&Values, &Positions, usize),
    (threads, progress): (usize, Option<Py<PyAny>>),
    pass: P,
) -> PyResult<P::Out> {
    macro_rules! go {
        ($data:expr, $indices:expr, $indptr:expr) => {{
            let (data, indices, indptr) = ($data.as_slice()?, $indices.as_slice()?, $indptr.as_slice()?);
            convert::run(py, threads, progress, |watch| {
                pass.run(&Counts::new(data, indices, indptr, n_genes)?, watch)
            })
        }};
    }
    use Positions as P;
    use Values as V;
    match (values, positions) {
        (V::F32(data), P::I32(indices, indptr)) => go!(data, indices, indptr),
        (V::F32(data), P::I64(indices, indptr)) => go!(data, indices, indptr),
        (V::F64(data), P::I32(indices, indptr)) => go!(data, indices, indptr),
        (V::F64(data), P::I64(indices, indptr)) => go!(data, indices, indptr),
        (V::I32(data), P::I32(indices, indptr)) => go!(data, indices, indptr),
        (V::I32(data), P::I64(indices, indptr)) => go!(data, indices, indptr),
        (V::I64(data), P::I32(indices, indptr)) => go!(data, indices, indptr),
        (V::I64(data), P::I64(indices, indptr)) => go!(data, indices, indptr),
    }
}

struct See(Moments);

impl Pass for See {
    type Out = Moments;
    fn run<T: Count, I: Position>(mut self, counts: &Counts<T, I>, watch: &dyn Watch) -> Result<Moments> {
        self.0.see(counts, watch)?;
        Ok(self.0)
    }
}

/// Add spots to the sums per gene.
#[pyfunction]
#[pyo3(signature = (data, positions, sums, *, threads = 0, progress = None))]
fn flash_moments(
    py: Python<'_>,
    data: Values,
    positions: Positions,
    mut sums: PyReadwriteArray2<f64>,
    threads: usize,
    progress: Option<Py<PyAny>>,
) -> PyResult<()> {
    let mut rows = sums.as_array_mut();
    let read = |row: usize| rows.row(row).to_vec();
    let seen = Moments { log_sum: read(0), log_square: read(1), sum: read(2) };
    let new = over(py, (&data, &positions, rows.ncols()), (threads, progress), See(seen))?;
    for (mut row, values) in rows.outer_iter_mut().zip([new.log_sum, new.log_square, new.sum]) {
        row.iter_mut().zip(values).for_each(|(to, from)| *to = from);
    }
    Ok(())
}

impl Pass for &Projection<'_> {
    type Out = (numpy::ndarray::Array2<f64>, numpy::ndarray::Array1<f64>);
    fn run<T: Count, I: Position>(self, counts: &Counts<T, I>, watch: &dyn Watch) -> Result<Self::Out> {
        project(counts, self, watch)
    }
}

/// Projected counts and squared lengths of spots.
#[pyfunction]
#[pyo3(signature = (data, positions, column, map, weight, *, factor, bucket, width, threads = 0, progress = None))]
#[allow(clippy::too_many_arguments, reason = "a flat signature keeps the border free of objects")]
fn flash_project<'py>(
    py: Python<'py>,
    data: Values,
    positions: Positions,
    column: PyReadonlyArray1<'py, i64>,
    map: PyReadonlyArray2<'py, f64>,
    weight: PyReadonlyArray1<'py, f64>,
    factor: Option<PyReadonlyArray1<'py, f64>>,
    bucket: Option<PyReadonlyArray1<'py, i64>>,
    width: usize,
    threads: usize,
    progress: Option<Py<PyAny>>,
) -> PyResult<(Matrix<'py>, Vector<'py>)> {
    let (column, weight) = (column.as_slice()?, weight.as_slice()?);
    let factor = factor.as_ref().map(|factor| factor.as_slice()).transpose()?;
    let bucket = bucket.as_ref().map(|bucket| bucket.as_slice()).transpose()?;
    let projection = Projection {
        column,
        transform: factor.map_or(Transform::LogCpm, Transform::Scale),
        basis: bucket.map_or(Basis::Weights(weight), |bucket| Basis::Sketch { bucket, value: weight, width }),
        map: map.as_array(),
    };
    let (h, norms) = over(py, (&data, &positions, column.len()), (threads, progress), &projection)?;
    Ok((h.into_pyarray(py), norms.into_pyarray(py)))
}

/// Graph of the nearest neighbors (`k`) or of all pairs within `radius`: row starts and neighbors.
#[pyfunction]
#[pyo3(signature = (points, *, k = None, radius = None, threads = 0))]
fn flash_graph<'py>(
    py: Python<'py>,
    points: PyReadonlyArray2<'py, f64>,
    k: Option<usize>,
    radius: Option<f64>,
    threads: usize,
) -> PyResult<Links<'py>> {
    let points = points.as_array();
    let found = convert::run(py, threads, None, |_| match radius {
        Some(radius) => graph::within(points, radius),
        None => graph::nearest(points, k.unwrap_or(0)),
    })?;
    Ok((found.indptr.into_pyarray(py), found.indices.into_pyarray(py)))
}

/// Distance of every point to its nearest other.
#[pyfunction]
#[pyo3(signature = (points, *, threads = 0))]
fn flash_nearest_distance<'py>(
    py: Python<'py>,
    points: PyReadonlyArray2<'py, f64>,
    threads: usize,
) -> PyResult<Vector<'py>> {
    let points = points.as_array();
    Ok(convert::run(py, threads, None, |_| graph::nearest_distance(points))?.into_pyarray(py))
}

/// The problem as Python hands it over.
#[derive(FromPyObject)]
struct Problem<'py>(
    PyReadonlyArray2<'py, f64>,
    PyReadonlyArray2<'py, f64>,
    PyReadonlyArray1<'py, i64>,
    PyReadonlyArray1<'py, i32>,
    f64,
    f64,
);

/// Beta, iterations, last change, whether it converged, recorded objectives.
type Jacobi<'py> = (Matrix<'py>, usize, f64, bool, Vec<f64>);

/// The published solver.
#[pyfunction]
#[pyo3(signature = (problem, start, max_iter, tol, *, trace = false, threads = 0, progress = None))]
#[allow(clippy::too_many_arguments, reason = "a flat signature keeps the border free of objects")]
fn flash_jacobi<'py>(
    py: Python<'py>,
    problem: Problem<'py>,
    start: PyReadonlyArray2<'py, f64>,
    max_iter: usize,
    tol: f64,
    trace: bool,
    threads: usize,
    progress: Option<Py<PyAny>>,
) -> PyResult<Jacobi<'py>> {
    let mut beta = start.as_slice()?.to_vec();
    let Problem(gram, h, indptr, neighbors, lambda, rho) = &problem;
    let graph = (indptr.as_slice()?, neighbors.as_slice()?);
    let (gram, h) = (gram.as_array(), h.as_array());
    let out = convert::run(py, threads, progress, |watch| {
        let system = System::new(gram, h, graph, *lambda, *rho)?;
        jacobi::solve(&system, &mut beta, Stop { max_iter, tol, trace }, watch)
    })?;
    let beta = beta.into_pyarray(py).reshape([start.shape()[0], start.shape()[1]])?;
    Ok((beta, out.iterations, out.change, out.converged, out.objectives))
}

/// The faster solver, in place: sweeps, residual, whether it converged, overshoot, colors.
#[pyfunction]
#[pyo3(signature = (problem, beta, max_sweeps, tol, *, threads = 0, progress = None))]
fn flash_sor<'py>(
    py: Python<'py>,
    problem: Problem<'py>,
    mut beta: PyReadwriteArray2<'py, f64>,
    max_sweeps: usize,
    tol: f64,
    threads: usize,
    progress: Option<Py<PyAny>>,
) -> PyResult<(usize, f64, bool, f64, usize)> {
    let Problem(gram, h, indptr, neighbors, lambda, rho) = &problem;
    let graph = (indptr.as_slice()?, neighbors.as_slice()?);
    let (gram, h, beta) = (gram.as_array(), h.as_array(), beta.as_slice_mut()?);
    let out = convert::run(py, threads, progress, |watch| {
        let system = System::new(gram, h, graph, *lambda, *rho)?;
        sor::solve(&system, beta, max_sweeps, tol, watch)
    })?;
    Ok((out.sweeps, out.residual, out.converged, out.omega, out.colors))
}

/// Objective without the constant, and residual of the optimality conditions.
#[pyfunction]
#[pyo3(signature = (problem, beta, *, threads = 0))]
fn flash_quality<'py>(
    py: Python<'py>,
    problem: Problem<'py>,
    beta: PyReadonlyArray2<'py, f64>,
    threads: usize,
) -> PyResult<(f64, f64)> {
    let Problem(gram, h, indptr, neighbors, lambda, rho) = &problem;
    let graph = (indptr.as_slice()?, neighbors.as_slice()?);
    let (gram, h, beta) = (gram.as_array(), h.as_array(), beta.as_slice()?);
    let out = convert::run(py, threads, None, |_| System::new(gram, h, graph, *lambda, *rho)?.quality(beta))?;
    Ok((out.objective, out.residual))
}

/// Add the functions of this file to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(flash_moments, module)?)?;
    module.add_function(wrap_pyfunction!(flash_project, module)?)?;
    module.add_function(wrap_pyfunction!(flash_graph, module)?)?;
    module.add_function(wrap_pyfunction!(flash_nearest_distance, module)?)?;
    module.add_function(wrap_pyfunction!(flash_jacobi, module)?)?;
    module.add_function(wrap_pyfunction!(flash_sor, module)?)?;
    module.add_function(wrap_pyfunction!(flash_quality, module)?)
}
