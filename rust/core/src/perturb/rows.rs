//! Numbering of the rows of betas, so that equal rows have one number.
//!
//! A table with one row per cell that repeats the rows of the clusters then costs no more than the table of
//! the clusters, and gives the same bits.

use crate::check;
use crate::error::Result;
use ndarray::{Array2, ArrayView2, Axis};
use std::collections::HashMap;

/// Row maps as given, and the distinct ones they lead to. Rows are numbered by the cell that uses them first.
pub(crate) struct RowMaps<'a> {
    given: &'a [Vec<i64>],
    numbered: HashMap<Vec<i32>, usize>,
    /// Map of a given one when all rows of the betas differ, so that the betas need no second look.
    plain: Vec<Option<usize>>,
}

impl<'a> RowMaps<'a> {
    pub fn new(given: &'a [Vec<i64>]) -> Self {
        Self { given, numbered: HashMap::new(), plain: vec![None; given.len()] }
    }

    /// Distinct rows of `betas` in the order of their first use, and the position of the map that leads to
    /// them.
    pub fn number(&mut self, betas: ArrayView2<f64>, map: usize) -> Result<(Array2<f64>, usize)> {
        check::indices("map of a target", [map as i64], self.given.len())?;
        let rows = &self.given[map];
        check::indices("rows of a target", rows.iter().copied().filter(|&row| row != -1), betas.nrows())?;
        let (kept, number) = first_uses(rows, betas);
        let selected = betas.select(Axis(0), &kept);
        let repeats = number.iter().flatten().count() > kept.len();
        if let (false, Some(known)) = (repeats, self.plain[map]) {
            return Ok((selected, known));
        }
        let numbered =
            rows.iter().map(|&row| usize::try_from(row).ok().and_then(|r| number[r]).unwrap_or(-1));
        let next = self.numbered.len();
        let place = *self.numbered.entry(numbered.collect()).or_insert(next);
        if !repeats {
            self.plain[map] = Some(place);
        }
        Ok((selected, place))
    }

    /// The distinct maps in the order of their positions.
    pub fn finish(self) -> Vec<Vec<i32>> {
        let mut maps: Vec<(usize, Vec<i32>)> =
            self.numbered.into_iter().map(|(map, place)| (place, map)).collect();
        maps.sort_unstable();
        maps.into_iter().map(|(_, map)| map).collect()
    }
}

/// Rows of `betas` that are used, without repeats, and the number of every row that is used.
fn first_uses(rows: &[i64], betas: ArrayView2<f64>) -> (Vec<usize>, Vec<Option<i32>>) {
    let mut known: HashMap<Vec<u64>, i32> = HashMap::new();
    let mut number = vec![None; betas.nrows()];
    let mut kept = Vec::new();
    for row in rows.iter().filter_map(|&row| usize::try_from(row).ok()) {
        if number[row].is_none() {
            let bits = betas.row(row).iter().map(|b| b.to_bits()).collect();
            number[row] = Some(*known.entry(bits).or_insert_with(|| {
                kept.push(row);
                kept.len() as i32 - 1
            }));
        }
    }
    (kept, number)
}
