//! Neighbor graphs of spots: symmetric, without loops, a function of the coordinates alone.

use super::tree::Tree;
use crate::check;
use crate::error::{Error, Result};
use ndarray::ArrayView2;
use rayon::prelude::*;

/// Places of the tree per task.
const TASK: usize = 1024;

/// Neighbors of every spot, ascending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Graph {
    /// Start of each spot's neighbors, one more than spots.
    pub indptr: Vec<i64>,
    /// Neighbors.
    pub indices: Vec<i32>,
}

impl Graph {
    fn from_rows(rows: &[Vec<i32>]) -> Self {
        let mut indptr = Vec::with_capacity(rows.len() + 1);
        indptr.push(0);
        let mut total = 0;
        for row in rows {
            total += row.len() as i64;
            indptr.push(total);
        }
        Self { indptr, indices: rows.concat() }
    }
}

fn tree(points: ArrayView2<f64>) -> Result<Tree> {
    check::finite("coordinates", points)?;
    if points.ncols() == 0 || i32::try_from(points.nrows()).is_err() {
        return Err(Error::Shape {
            name: "coordinates",
            found: format!("{} x {}", points.nrows(), points.ncols()),
            expected: "at least one column and fewer than 2^31 rows".to_string(),
        });
    }
    Ok(Tree::build(points))
}

/// Link every spot to its `k` nearest others (ties by index), in both directions.
///
/// Cost O(n log n) for points of few dimensions.
///
/// # Errors
/// [`Error::NotFinite`] or [`Error::Shape`] for bad coordinates.
pub fn nearest(points: ArrayView2<f64>, k: usize) -> Result<Graph> {
    let tree = tree(points)?;
    let n = points.nrows();
    let k = k.min(n.saturating_sub(1));
    let mut directed = vec![0_i32; n * k];
    if k > 0 {
        let by_place: Vec<Vec<i32>> = places(n, |place| {
            let mut found = Vec::with_capacity(k + 1);
            tree.nearest(place, k, &mut found);
            found.iter().map(|&(_, index)| index as i32).collect()
        });
        for (&spot, row) in tree.order.iter().zip(&by_place) {
            directed[spot * k..][..k].copy_from_slice(row);
        }
    }
    let mut rows: Vec<Vec<i32>> = directed.chunks_exact(k.max(1)).map(<[i32]>::to_vec).collect();
    rows.resize(n, Vec::new());
    for (spot, row) in directed.chunks_exact(k.max(1)).enumerate() {
        for &other in row {
            rows[other as usize].push(spot as i32);
        }
    }
    rows.par_iter_mut().for_each(|row| {
        row.sort_unstable();
        row.dedup();
    });
    Ok(Graph::from_rows(&rows))
}

/// Link all pairs of spots at most `radius` apart.
///
/// # Errors
/// [`Error::NotFinite`], [`Error::Shape`], [`Error::Radius`].
pub fn within(points: ArrayView2<f64>, radius: f64) -> Result<Graph> {
    if !(radius.is_finite() && radius >= 0.0) {
        return Err(Error::Radius(radius));
    }
    let tree = tree(points)?;
    let n = points.nrows();
    let by_place: Vec<Vec<i32>> = places(n, |place| {
        let mut found = Vec::new();
        tree.within(place, radius * radius, &mut found);
        let mut row: Vec<i32> = found.iter().map(|&index| index as i32).collect();
        row.sort_unstable();
        row
    });
    let mut rows = vec![Vec::new(); n];
    for (&spot, row) in tree.order.iter().zip(by_place) {
        rows[spot] = row;
    }
    Ok(Graph::from_rows(&rows))
}

/// Distance of every spot to its nearest other; infinite for a spot alone.
///
/// # Errors
/// [`Error::NotFinite`] or [`Error::Shape`] for bad coordinates.
pub fn nearest_distance(points: ArrayView2<f64>) -> Result<Vec<f64>> {
    let tree = tree(points)?;
    let by_place = places(points.nrows(), |place| {
        let mut found = Vec::with_capacity(2);
        tree.nearest(place, 1, &mut found);
        found.first().map_or(f64::INFINITY, |&(distance, _)| distance)
    });
    let mut out = vec![0.0; points.nrows()];
    for (&spot, distance) in tree.order.iter().zip(by_place) {
        out[spot] = distance;
    }
    Ok(out)
}

/// Answer for every place of the tree, in order.
fn places<T: Send>(n: usize, answer: impl Fn(usize) -> T + Send + Sync) -> Vec<T> {
    (0..n).into_par_iter().with_min_len(TASK.min(n.max(1))).map(answer).collect()
}
