//! The gather itself.

use super::normalize::RowScale;
use crate::error::{Error, Result};
use ndarray::{ArrayViewMut2, Axis};
use rayon::prelude::*;

/// Gathers with fewer output values than this run in the calling thread: waking others would cost more.
const SERIAL: usize = 1 << 18;

/// Whether a gather of `n_values` output values runs in the calling thread.
pub fn is_small(n_values: usize) -> bool {
    n_values < SERIAL
}

/// Column index of a stored entry.
pub trait Index: Copy + Send + Sync {
    /// As an array index; a negative number becomes one that is out of range.
    fn get(self) -> usize;
}

/// Stored entry.
pub trait Value: Copy + Send + Sync {
    /// In double precision.
    fn get(self) -> f64;
    /// The whole number it is, anything out of reach if it is none.
    fn whole(self) -> usize;
    /// Sum in double precision, exact for whole numbers.
    fn sum(values: &[Self]) -> f64;
}

macro_rules! index {
    ($($kind:ty),*) => {$(impl Index for $kind {
        #[inline]
        fn get(self) -> usize {
            self as usize // sign extension makes a negative index huge
        }
    })*};
}
macro_rules! count {
    ($($kind:ty),*) => {$(impl Value for $kind {
        #[inline]
        fn get(self) -> f64 {
            f64::from(self)
        }
        #[inline]
        fn whole(self) -> usize {
            self as usize
        }
        fn sum(values: &[Self]) -> f64 {
            values.iter().map(|&value| u64::from(value)).sum::<u64>() as f64 // integers add in wide registers
        }
    })*};
}
macro_rules! real {
    ($($kind:ty),*) => {$(impl Value for $kind {
        #[inline]
        fn get(self) -> f64 {
            f64::from(self)
        }
        #[inline]
        fn whole(self) -> usize {
            let whole = self as usize; // saturates; a negative number becomes 0, which is not equal to it
            if whole as $kind == self { whole } else { usize::MAX }
        }
        fn sum(values: &[Self]) -> f64 {
            values.iter().map(|&value| f64::from(value)).sum()
        }
    })*};
}
index!(u16, u32, i32, i64);
count!(u16, u32);
real!(f32, f64);

/// Starts of the rows, as wide as the owner of the matrix made them.
#[derive(Debug, Clone, Copy)]
pub enum Offsets<'a> {
    /// 32 bits.
    Narrow(&'a [i32]),
    /// 64 bits.
    Wide(&'a [i64]),
}

impl Offsets<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Narrow(starts) => starts.len(),
            Self::Wide(starts) => starts.len(),
        }
    }

    fn get(&self, row: usize) -> i64 {
        match self {
            Self::Narrow(starts) => i64::from(starts[row]),
            Self::Wide(starts) => starts[row],
        }
    }
}

/// A borrowed matrix in compressed rows. It is not scanned: only the rows of a gather are checked.
#[derive(Debug, Clone, Copy)]
pub struct Csr<'a, I, V> {
    /// Row starts, rows + 1.
    pub indptr: Offsets<'a>,
    /// Column of every entry.
    pub indices: &'a [I],
    /// Value of every entry.
    pub data: &'a [V],
    /// Number of columns.
    pub n_columns: usize,
}

impl<'a, I: Index, V: Value> Csr<'a, I, V> {
    fn row(&self, row: i64) -> Result<(&'a [I], &'a [V])> {
        let n_rows = self.indptr.len().saturating_sub(1);
        let at = usize::try_from(row).ok().filter(|&at| at < n_rows).ok_or(Error::Index {
            name: "rows",
            index: row,
            len: n_rows,
        })?;
        let (start, stop) = (self.indptr.get(at), self.indptr.get(at + 1));
        let range = match (usize::try_from(start), usize::try_from(stop)) {
            (Ok(start), Ok(stop)) if start <= stop => start..stop,
            _ => return Err(damaged(row, format!("it starts at entry {start} and stops at {stop}"))),
        };
        match (self.indices.get(range.clone()), self.data.get(range)) {
            (Some(indices), Some(data)) => Ok((indices, data)),
            _ => {
                let held = self.indices.len().min(self.data.len());
                Err(damaged(row, format!("it stops at entry {stop}, but only {held} are stored")))
            }
        }
    }
}

fn damaged(row: i64, found: String) -> Error {
    Error::Shape {
        name: "matrix",
        found: format!("row {row} is damaged: {found}"),
        expected: "row starts that rise and fit the entries".into(),
    }
}

/// Where the columns of the matrix go.
#[derive(Debug, Clone, Copy)]
pub enum Columns<'a> {
    /// To themselves.
    Same,
    /// Column `c` to column `map[c]`; a negative number drops it. Columns that meet are added.
    Map(&'a [i32]),
}

/// Write `out[i, map[c]] = sum of matrix[rows[i], c]`, everything else zero.
///
/// With `target`, entries are counts and become `log1p(count * target / sum of the row)`, where the sum goes
/// over all columns of the matrix, also dropped ones. Columns that meet are then added as counts, before the
/// logarithm.
///
/// # Errors
/// [`Error::Index`] for a row, a column or a map entry out of range, [`Error::Shape`] when the shapes
/// disagree or the matrix is damaged in one of the rows.
pub fn gather_rows<I: Index, V: Value>(
    matrix: &Csr<'_, I, V>,
    rows: &[i64],
    columns: Columns<'_>,
    target: Option<f64>,
    mut out: ArrayViewMut2<'_, f32>,
) -> Result<()> {
    let meet = check(matrix, rows, columns, &out)?;
    let one = |(row, mut line): (&i64, ndarray::ArrayViewMut1<'_, f32>)| {
        let line = line.as_slice_mut().ok_or_else(|| shape("rows that are not contiguous", "C order"))?;
        gather_row(matrix, *row, columns, target, meet, line)
    };
    if is_small(out.len()) {
        return rows.iter().zip(out.outer_iter_mut()).try_for_each(one);
    }
    rows.par_iter().zip(out.axis_iter_mut(Axis(0)).into_par_iter()).try_for_each(one)
}

fn gather_row<I: Index, V: Value>(
    matrix: &Csr<'_, I, V>,
    row: i64,
    columns: Columns<'_>,
    target: Option<f64>,
    meet: bool,
    out: &mut [f32],
) -> Result<()> {
    let (indices, data) = matrix.row(row)?;
    out.fill(0.0);
    let mut scale = target.map(|target| RowScale::new(V::sum(data), target));
    let late = meet && scale.is_some();
    for (&index, &value) in indices.iter().zip(data) {
        let column = index.get();
        let to = match columns {
            Columns::Same => column,
            Columns::Map(map) => match map.get(column) {
                Some(&to) if to >= 0 => to as usize,
                Some(_) => continue,
                None => return Err(column_error(row, column, matrix.n_columns)),
            },
        };
        let Some(cell) = out.get_mut(to) else {
            return Err(column_error(row, column, matrix.n_columns));
        };
        *cell += match (&mut scale, late) {
            (Some(scale), false) => scale.log1p(value),
            _ => value.get() as f32,
        };
    }
    if let (Some(scale), true) = (&mut scale, late) {
        for cell in out.iter_mut().filter(|cell| **cell != 0.0) {
            *cell = scale.log1p(*cell);
        }
    }
    Ok(())
}

fn column_error(row: i64, column: usize, n_columns: usize) -> Error {
    damaged(row, format!("it names column {}, but there are {n_columns}", column as i64))
}

/// Check what can be checked without reading the matrix; true when two columns go to one.
fn check<I: Index, V: Value>(
    matrix: &Csr<'_, I, V>,
    rows: &[i64],
    columns: Columns<'_>,
    out: &ArrayViewMut2<'_, f32>,
) -> Result<bool> {
    if out.nrows() != rows.len() {
        return Err(Error::Rows { left: "rows", n_left: rows.len(), right: "out", n_right: out.nrows() });
    }
    let width = out.ncols();
    let Columns::Map(map) = columns else {
        let same = width == matrix.n_columns;
        return if same {
            Ok(false)
        } else {
            Err(shape(&format!("out has {width} columns"), &matrix.n_columns.to_string()))
        };
    };
    if map.len() != matrix.n_columns {
        return Err(shape(&format!("colmap has {} entries", map.len()), &matrix.n_columns.to_string()));
    }
    let mut seen = vec![false; width];
    let mut meet = false;
    for &to in map.iter().filter(|&&to| to >= 0) {
        let slot = seen.get_mut(to as usize).ok_or(Error::Index {
            name: "colmap",
            index: i64::from(to),
            len: width,
        })?;
        meet |= std::mem::replace(slot, true);
    }
    Ok(meet)
}

fn shape(found: &str, expected: &str) -> Error {
    Error::Shape { name: "gather", found: found.into(), expected: expected.into() }
}
