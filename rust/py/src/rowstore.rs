//! Rows of a compressed matrix.

use crate::convert::{run, to_py};
use cytoripple_core::Error;
use cytoripple_core::rowstore::{self, Columns, Csr, Index, Offsets, Value};
use numpy::{Element, PyReadonlyArray1, PyReadwriteArray2};
use pyo3::prelude::*;

#[derive(FromPyObject)]
enum Starts<'py> {
    Narrow(PyReadonlyArray1<'py, i32>),
    Wide(PyReadonlyArray1<'py, i64>),
}

#[derive(FromPyObject)]
enum Indices<'py> {
    U16(PyReadonlyArray1<'py, u16>),
    U32(PyReadonlyArray1<'py, u32>),
    I32(PyReadonlyArray1<'py, i32>),
    I64(PyReadonlyArray1<'py, i64>),
}

#[derive(FromPyObject)]
enum Data<'py> {
    U16(PyReadonlyArray1<'py, u16>),
    U32(PyReadonlyArray1<'py, u32>),
    F32(PyReadonlyArray1<'py, f32>),
    F64(PyReadonlyArray1<'py, f64>),
}

/// Everything of a call but the two arrays whose types vary.
struct Call<'py> {
    indptr: Starts<'py>,
    rows: PyReadonlyArray1<'py, i64>,
    colmap: Option<PyReadonlyArray1<'py, i32>>,
    n_columns: usize,
    target: Option<f64>,
    out: PyReadwriteArray2<'py, f32>,
    threads: usize,
}

impl<'py> Call<'py> {
    fn with_indices<V: Value + Element>(
        self,
        py: Python<'py>,
        indices: &Indices<'py>,
        data: &PyReadonlyArray1<'py, V>,
    ) -> PyResult<()> {
        match indices {
            Indices::U16(indices) => self.gather(py, indices, data),
            Indices::U32(indices) => self.gather(py, indices, data),
            Indices::I32(indices) => self.gather(py, indices, data),
            Indices::I64(indices) => self.gather(py, indices, data),
        }
    }

    fn gather<I: Index + Element, V: Value + Element>(
        mut self,
        py: Python<'py>,
        indices: &PyReadonlyArray1<'py, I>,
        data: &PyReadonlyArray1<'py, V>,
    ) -> PyResult<()> {
        let indptr = match &self.indptr {
            Starts::Narrow(starts) => Offsets::Narrow(starts.as_slice()?),
            Starts::Wide(starts) => Offsets::Wide(starts.as_slice()?),
        };
        let matrix =
            Csr { indptr, indices: indices.as_slice()?, data: data.as_slice()?, n_columns: self.n_columns };
        let rows = self.rows.as_slice()?;
        let columns = match &self.colmap {
            Some(map) => Columns::Map(map.as_slice()?),
            None => Columns::Same,
        };
        let (target, threads, out) = (self.target, self.threads, self.out.as_array_mut());
        if rowstore::is_small(out.len()) {
            // A pool and a watched thread take longer than such a gather.
            return py.detach(|| rowstore::gather_rows(&matrix, rows, columns, target, out)).map_err(to_py);
        }
        run(py, threads, None, |_| rowstore::gather_rows(&matrix, rows, columns, target, out))
    }
}

/// Rows of a CSR matrix into a dense array. Documented for users in `_core.pyi`.
#[pyfunction]
#[pyo3(signature = (indptr, indices, data, rows, out, *, n_columns, colmap = None, target = None, threads = 0))]
fn gather_rows<'py>(
    py: Python<'py>,
    indptr: Starts<'py>,
    indices: Indices<'py>,
    data: Data<'py>,
    rows: PyReadonlyArray1<'py, i64>,
    out: PyReadwriteArray2<'py, f32>,
    n_columns: usize,
    colmap: Option<PyReadonlyArray1<'py, i32>>,
    target: Option<f64>,
    threads: usize,
) -> PyResult<()> {
    if !out.as_array().is_standard_layout() {
        let (found, expected) = ("not contiguous".into(), "C order".into());
        return Err(to_py(Error::Shape { name: "out", found, expected }));
    }
    let call = Call { indptr, rows, colmap, n_columns, target, out, threads };
    match &data {
        Data::U16(data) => call.with_indices(py, &indices, data),
        Data::U32(data) => call.with_indices(py, &indices, data),
        Data::F32(data) => call.with_indices(py, &indices, data),
        Data::F64(data) => call.with_indices(py, &indices, data),
    }
}

/// Add the functions of this file to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(gather_rows, module)?)
}
