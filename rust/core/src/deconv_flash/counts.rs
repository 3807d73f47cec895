//! Counts of spots as they lie in memory: sparse rows of any number type.

use crate::error::{Error, Result};

/// Rows per piece of work. Sums over rows are made piece by piece in this size, whoever cuts the rows, so that
/// their bits depend neither on the number of threads nor on how a caller streams the rows.
pub const PIECE: usize = 1024;

/// A count of any number type.
pub trait Count: Copy + Sync {
    /// The count as a float.
    fn value(self) -> f64;
}

/// A position of any integer type.
pub trait Position: Copy + Sync {
    /// The position; a negative one becomes larger than any length.
    fn at(self) -> usize;
}

macro_rules! count {
    ($($kind:ty),*) => { $(impl Count for $kind {
        #[inline(always)]
        fn value(self) -> f64 { self as f64 }
    })* };
}
count!(f32, f64, i32, i64);

macro_rules! position {
    ($($kind:ty),*) => { $(impl Position for $kind {
        #[inline(always)]
        fn at(self) -> usize { usize::try_from(self).unwrap_or(usize::MAX) }
    })* };
}
position!(i32, i64);

/// Compressed sparse rows, borrowed.
#[derive(Debug, Clone, Copy)]
pub struct Counts<'a, T, I> {
    data: &'a [T],
    indices: &'a [I],
    indptr: &'a [I],
    n_genes: usize,
}

impl<'a, T: Count, I: Position> Counts<'a, T, I> {
    /// Check and borrow the three arrays.
    ///
    /// # Errors
    /// [`Error::Shape`] when row starts do not fit the stored entries, [`Error::Index`] for a gene out of range.
    pub fn new(data: &'a [T], indices: &'a [I], indptr: &'a [I], n_genes: usize) -> Result<Self> {
        let rises = indptr.windows(2).all(|pair| pair[0].at() <= pair[1].at());
        let last = indptr.last().map(|end| end.at());
        if !rises || last != Some(data.len()) || indices.len() != data.len() {
            return Err(Error::Shape {
                name: "counts",
                found: format!("row starts that end at {last:?} for {} entries", data.len()),
                expected: "row starts that rise to the number of entries".to_string(),
            });
        }
        if let Some(index) = indices.iter().find(|index| index.at() >= n_genes) {
            let index = i64::try_from(index.at()).unwrap_or(-1);
            return Err(Error::Index { name: "counts", index, len: n_genes });
        }
        Ok(Self { data, indices, indptr, n_genes })
    }

    /// Number of spots.
    pub fn n_spots(&self) -> usize {
        self.indptr.len() - 1
    }

    /// Number of genes.
    pub fn n_genes(&self) -> usize {
        self.n_genes
    }

    /// Gene and count of every stored entry of a spot.
    #[inline(always)]
    pub fn row(&self, spot: usize) -> impl Iterator<Item = (usize, f64)> + use<'a, T, I> {
        let range = self.indptr[spot].at()..self.indptr[spot + 1].at();
        self.indices[range.clone()]
            .iter()
            .zip(&self.data[range])
            .map(|(gene, count)| (gene.at(), count.value()))
    }
}

/// `ln(1 + scale * count)` of one spot. Whole counts repeat, so each small one is computed once.
pub(super) struct LogCounts {
    scale: f64,
    known: [f64; 64],
}

impl LogCounts {
    pub(super) fn new() -> Self {
        Self { scale: 0.0, known: [f64::NAN; 64] }
    }

    /// Start a new spot.
    pub(super) fn reset(&mut self, scale: f64) {
        self.scale = scale;
        self.known.fill(f64::NAN);
    }

    #[inline(always)]
    pub(super) fn of(&mut self, count: f64) -> f64 {
        let whole = count as usize;
        if whole as f64 != count || whole >= self.known.len() {
            return (count * self.scale).ln_1p();
        }
        if self.known[whole].is_nan() {
            self.known[whole] = (count * self.scale).ln_1p();
        }
        self.known[whole]
    }
}
