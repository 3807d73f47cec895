//! Result rows written by many workers, each row by one of them.

use ndarray::Array2;
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
    array: PhantomData<&'a mut Array2<f64>>,
}

// SAFETY: the pointer is only used through `write`, whose callers hand every row to one worker at a time.
unsafe impl Sync for OutputRows<'_> {}

impl<'a> OutputRows<'a> {
    /// Borrow a matrix in standard (row-major) layout.
    pub(super) fn new(array: &'a mut Array2<f64>) -> Self {
        debug_assert!(array.is_standard_layout());
        let (rows, columns) = array.dim();
        Self { start: array.as_mut_ptr(), rows, columns, array: PhantomData }
    }

    /// Let `fill` write the columns `first..first + width` of one row.
    ///
    /// # Safety
    /// No other call for the same row may run at the same time.
    pub(super) unsafe fn write(&self, row: usize, first: usize, width: usize, fill: impl FnOnce(&mut [f64])) {
        assert!(row < self.rows && first + width <= self.columns);
        // SAFETY: inside the array by the assertion; the caller keeps other workers off this row.
        fill(unsafe { std::slice::from_raw_parts_mut(self.start.add(row * self.columns + first), width) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rayon::prelude::*;

    #[test]
    fn every_row_is_written_once_by_some_worker() {
        let mut array = Array2::zeros((64, 5));
        let rows = OutputRows::new(&mut array);
        (0..64_usize).into_par_iter().for_each(|i| {
            let row = (i * 37) % 64;
            // SAFETY: 37 is odd, so every row appears once.
            unsafe { rows.write(row, 1, 3, |out| out.fill(row as f64)) };
        });
        for (i, row) in array.outer_iter().enumerate() {
            assert_eq!(row.to_vec(), vec![0.0, i as f64, i as f64, i as f64, 0.0]);
        }
    }
}
