//! Expression matrices of NumPy and SciPy as views for the kernels.

use cytoripple_core::matrix::{Compressed, Matrix, Position, Value};
use numpy::{Element, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

/// Arrays of one matrix, borrowed from Python for the length of a call.
pub enum Arrays<'py, V: Element, I: Element> {
    Dense(PyReadonlyArray2<'py, V>),
    Compressed {
        by_columns: bool,
        width: usize,
        starts: PyReadonlyArray1<'py, i64>,
        indices: PyReadonlyArray1<'py, I>,
        data: PyReadonlyArray1<'py, V>,
    },
}

impl<V: Element + Value, I: Element + Position> Arrays<'_, V, I> {
    /// View of the matrix.
    pub fn view(&self) -> PyResult<Matrix<'_, V, I>> {
        Ok(match self {
            Self::Dense(values) => Matrix::Dense(values.as_array()),
            Self::Compressed { by_columns, width, starts, indices, data } => {
                let (starts, indices, data) = (starts.as_slice()?, indices.as_slice()?, data.as_slice()?);
                let lines = Compressed { width: *width, starts, indices, data };
                if *by_columns { Matrix::Columns(lines) } else { Matrix::Rows(lines) }
            }
        })
    }
}

/// A matrix of one of the number types that the kernels are compiled for.
pub enum Expression<'py> {
    /// `f32` values, `i32` positions.
    Single(Arrays<'py, f32, i32>),
    /// `f32` values, `i64` positions.
    SingleLong(Arrays<'py, f32, i64>),
    /// `f64` values, `i32` positions.
    Double(Arrays<'py, f64, i32>),
    /// `f64` values, `i64` positions.
    DoubleLong(Arrays<'py, f64, i64>),
}

/// Run an expression on the view of a matrix, whatever its number types.
#[macro_export]
macro_rules! on_matrix {
    ($expression:expr, $matrix:ident => $body:expr) => {
        match $expression {
            $crate::expression::Expression::Single(arrays) => {
                let $matrix = &arrays.view()?;
                $body
            }
            $crate::expression::Expression::SingleLong(arrays) => {
                let $matrix = &arrays.view()?;
                $body
            }
            $crate::expression::Expression::Double(arrays) => {
                let $matrix = &arrays.view()?;
                $body
            }
            $crate::expression::Expression::DoubleLong(arrays) => {
                let $matrix = &arrays.view()?;
                $body
            }
        }
    };
}

impl<'py> FromPyObject<'_, 'py> for Expression<'py> {
    type Error = PyErr;

    /// From `(values,)`, or `(by_columns, width, starts, indices, data)`.
    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let parts = object.cast::<PyTuple>()?;
        if parts.len() == 1 {
            let values = parts.get_item(0)?;
            if let Ok(values) = values.extract() {
                return Ok(Self::Single(Arrays::Dense(values)));
            }
            return Ok(Self::Double(Arrays::Dense(values.extract()?)));
        }
        let (by_columns, width, starts, indices, data): (
            bool,
            usize,
            _,
            Bound<'py, PyAny>,
            Bound<'py, PyAny>,
        ) = parts.extract()?;
        macro_rules! compressed {
            () => {
                Arrays::Compressed {
                    by_columns,
                    width,
                    starts,
                    indices: indices.extract()?,
                    data: data.extract()?,
                }
            };
        }
        let single = data.extract::<PyReadonlyArray1<'py, f32>>().is_ok();
        let long = indices.extract::<PyReadonlyArray1<'py, i64>>().is_ok();
        Ok(match (single, long) {
            (true, false) => Self::Single(compressed!()),
            (true, true) => Self::SingleLong(compressed!()),
            (false, false) => Self::Double(compressed!()),
            (false, true) => Self::DoubleLong(compressed!()),
        })
    }
}

/// A word that is none of the known ones; Python checks the words before.
pub fn unknown(name: &str, value: &str) -> PyErr {
    PyTypeError::new_err(format!("{name} is {value:?}"))
}
