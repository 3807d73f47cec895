//! Result rows written by many workers, each row by one of them.

use super::Columns;
use super::lanes::{Lanes, prefetch_to_write};
use ndarray::ArrayViewMut2;
use std::marker::PhantomData;

/// Rows of a result that workers fill in any order.
///
/// The engines compute cells in spatial order and the result wants them in the caller's order. Collecting
/// the rows first and permuting them afterwards moves every value twice more, a third of the time of the
/// mesh method.
pub(super) struct OutputRows<'a> {
    start: *mut f64,
    rows: usize,
    columns: usize,
    array: PhantomData<&'a mut f64>,
}

// SAFETY: the pointer is only used through `write`, whose callers hand every row to one worker at a time.
unsafe impl Sync for OutputRows<'_> {}

impl<'a> OutputRows<'a> {
    /// Borrow a matrix, or nothing when its layout is not standard (row-major).
    pub(super) fn new(mut array: ArrayViewMut2<'a, f64>) -> Option<Self> {
        let (rows, columns) = array.dim();
        let start = array.as_slice_mut()?.as_mut_ptr();
        Some(Self { start, rows, columns, array: PhantomData })
    }

    /// Announce that a row is written soon.
    #[inline(always)]
    pub(super) fn announce(&self, row: usize, columns: Columns) {
        assert!(row < self.rows && columns.first + columns.count <= self.columns);
        for line in (0..columns.count).step_by(Lanes::WIDTH) {
            // SAFETY: inside the array by the assertion.
            prefetch_to_write(unsafe { self.start.add(row * self.columns + columns.first + line) });
        }
    }

    /// Let `fill` write some columns of one row.
    ///
    /// # Safety
    /// No other call for the same row may run at the same time.
    pub(super) unsafe fn write(&self, row: usize, columns: Columns, fill: impl FnOnce(&mut [f64])) {
        let Columns { first, count } = columns;
        assert!(row < self.rows && first + count <= self.columns);
        // SAFETY: inside the array by the assertion; the caller keeps other workers off this row.
        fill(unsafe { std::slice::from_raw_parts_mut(self.start.add(row * self.columns + first), count) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;
    use rayon::prelude::*;

    #[test]
    fn every_row_is_written_once_by_some_worker() {
        let mut array = Array2::zeros((64, 5));
        let rows = OutputRows::new(array.view_mut()).unwrap();
        (0..64_usize).into_par_iter().for_each(|i| {
            let row = (i * 37) % 64;
            // SAFETY: 37 is odd, so every row appears once.
            unsafe { rows.write(row, Columns { first: 1, count: 3 }, |out| out.fill(row as f64)) };
        });
        for (i, row) in array.outer_iter().enumerate() {
            assert_eq!(row.to_vec(), vec![0.0, i as f64, i as f64, i as f64, 0.0]);
        }
    }
}
