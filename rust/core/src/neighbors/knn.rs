//! The k nearest neighbors of every cell, by comparing all pairs of a group.
//!
//! In the 50 to 100 dimensions of principal components trees do not prune, so all squared distances are
//! computed in register blocks as |a|² - 2ab + |b|². Whatever lies within the rounding of that formula of
//! the k-th smallest is measured again as Σ (a - b)², and those exact distances decide.

use super::group::{Group, LANES, ROWS, members};
use crate::check;
use crate::error::{Error, Result};
use crate::watch::Watch;
use ndarray::{Array2, ArrayView1, ArrayView2};
use rayon::prelude::*;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Query blocks per task: the candidates of a tile stay in the cache while they are compared to all.
const BLOCKS: usize = 8;
/// Panels per tile of candidates: 512 cells, 400 KiB in 100 dimensions.
const TILE: usize = 64;

/// Neighbors of every cell, nearest first.
#[derive(Debug, Clone, PartialEq)]
pub struct Neighbors {
    /// Cells x k; -1 behind the last neighbor.
    pub indices: Array2<i64>,
    /// Cells x k, Euclidean; infinite behind the last neighbor.
    pub distances: Array2<f64>,
}

/// The `k` nearest other cells of every cell, ties by index.
///
/// * `points`: cells x dimensions, finite.
/// * `groups`: cells of different groups are never neighbors; a cell with a negative group has none.
///
/// Cost O(Σ group² x dimensions) time, O(cells x dimensions) memory.
///
/// # Errors
/// [`Error::NotFinite`], [`Error::Rows`], [`Error::Shape`] for bad input, [`Error::Parameter`] when `k` is 0 or the points are
/// too far apart for squares of distances, [`Error::Cancelled`] on request.
pub fn nearest_neighbors(
    points: ArrayView2<f64>,
    k: usize,
    groups: Option<ArrayView1<i64>>,
    watch: &dyn Watch,
) -> Result<Neighbors> {
    let n = points.nrows();
    check::finite("points", points)?;
    if let Some(groups) = groups {
        check::same_rows("points", n, "groups", groups.len())?;
    }
    if k == 0 {
        return Err(Error::Parameter {
            name: "k",
            value: k.to_string(),
            expected: "ask for at least 1 neighbor",
        });
    }
    if points.ncols() == 0 {
        let (found, expected) = ("no dimension".to_string(), "at least 1 column".to_string());
        return Err(Error::Shape { name: "points", found, expected });
    }
    let groups: Vec<Group> = members(n, groups).into_iter().map(|cells| Group::pack(points, cells)).collect();
    if let Some(group) = groups.iter().find(|group| !group.rounding().is_finite()) {
        return Err(Error::Parameter {
            name: "points",
            value: format!("{:e}", points[[group.cells[0], 0]]),
            expected: "squared distances overflow, use smaller units",
        });
    }
    let tasks: Vec<(&Group, usize)> = groups
        .iter()
        .flat_map(|group| (0..group.cells.len()).step_by(ROWS * BLOCKS).map(move |first| (group, first)))
        .collect();
    let found = search_all(points, k, &tasks, watch)?;
    let mut out = Neighbors {
        indices: Array2::from_elem((n, k), -1),
        distances: Array2::from_elem((n, k), f64::INFINITY),
    };
    for ((group, first), lists) in tasks.into_iter().zip(found) {
        for (&cell, list) in group.cells[first..].iter().zip(lists) {
            for (rank, (squared, neighbor)) in list.into_iter().enumerate() {
                out.indices[[cell, rank]] = neighbor as i64;
                out.distances[[cell, rank]] = squared.sqrt();
            }
        }
    }
    Ok(out)
}

/// Squared distance and index of each neighbor.
type List = Vec<(f64, usize)>;

fn search_all(
    points: ArrayView2<f64>,
    k: usize,
    tasks: &[(&Group, usize)],
    watch: &dyn Watch,
) -> Result<Vec<Vec<List>>> {
    let (done, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let search = |&(group, first): &(&Group, usize)| {
        if stop.load(Ordering::Relaxed) {
            return Vec::new();
        }
        let lists = search_task(points, k, group, first);
        if !watch.tick(done.fetch_add(1, Ordering::Relaxed) + 1, tasks.len()) {
            stop.store(true, Ordering::Relaxed);
        }
        lists
    };
    let found = tasks.par_iter().map(search).collect();
    if stop.into_inner() {
        return Err(Error::Cancelled { done: done.into_inner(), total: tasks.len() });
    }
    Ok(found)
}

/// Neighbors of the members `first..first + ROWS * BLOCKS` of a group.
fn search_task(points: ArrayView2<f64>, k: usize, group: &Group, first: usize) -> Vec<List> {
    let last = group.cells.len().min(first + ROWS * BLOCKS);
    let (size, slack) = (points.ncols() * ROWS, 2.0 * group.rounding());
    let mut blocks = vec![0.0; size * BLOCKS];
    for (block, start) in blocks.chunks_exact_mut(size).zip((first..last).step_by(ROWS)) {
        group.block(start, block);
    }
    let mut near: Vec<Nearest> =
        (first..last).map(|member| Nearest::new(k, slack, group.norms[member])).collect();
    let mut out = vec![0.0; TILE * ROWS * LANES];
    let mut low = vec![0.0; TILE * ROWS];
    let n_panels = group.norms.len() / LANES;
    for tile in (0..n_panels).step_by(TILE) {
        let width = TILE.min(n_panels - tile);
        for (b, near) in near.chunks_mut(ROWS).enumerate() {
            let block = &blocks[b * size..][..size];
            group.offsets(block, tile, width, &mut out, &mut low);
            for panel in 0..width {
                for (row, near) in near.iter_mut().enumerate() {
                    if low[panel * ROWS + row] <= near.limit {
                        let offsets = &out[(panel * ROWS + row) * LANES..][..LANES];
                        near.take(offsets, (tile + panel) * LANES, first + b * ROWS + row, group.cells.len());
                    }
                }
            }
        }
    }
    near.into_iter().enumerate().map(|(i, near)| near.decide(points, group, group.cells[first + i])).collect()
}

/// The candidates of one cell that can still be among its k nearest.
struct Nearest {
    k: usize,
    slack: f64,
    /// Candidates whose offset |b|² - 2ab is above this cannot be among the k nearest.
    limit: f64,
    candidates: Vec<(f64, usize)>,
    capacity: usize,
}

impl Nearest {
    fn new(k: usize, slack: f64, norm: f64) -> Self {
        // The offset is compared without |a|²; its own rounding is below one unit of |a|².
        let slack = slack + f64::EPSILON * norm;
        Self { k, slack, limit: f64::INFINITY, candidates: Vec::new(), capacity: 4 * k + 32 }
    }

    fn take(&mut self, offsets: &[f64], first: usize, this: usize, n_members: usize) {
        for (lane, &offset) in offsets.iter().enumerate() {
            let member = first + lane;
            if offset <= self.limit && member != this && member < n_members {
                self.candidates.push((offset, member));
            }
        }
        if self.candidates.len() > self.capacity {
            self.prune();
            self.capacity = (4 * self.k + 32).max(2 * self.candidates.len());
        }
    }

    fn prune(&mut self) {
        if self.candidates.len() <= self.k {
            return;
        }
        let (_, kth, _) = self.candidates.select_nth_unstable_by(self.k - 1, |a, b| a.0.total_cmp(&b.0));
        self.limit = kth.0 + self.slack;
        let limit = self.limit;
        self.candidates.retain(|candidate| candidate.0 <= limit);
    }

    fn decide(mut self, points: ArrayView2<f64>, group: &Group, cell: usize) -> List {
        self.prune();
        let here = points.row(cell);
        let mut list: List = self
            .candidates
            .iter()
            .map(|&(_, member)| {
                let other = group.cells[member];
                let squared = here.iter().zip(points.row(other)).map(|(a, b)| (a - b) * (a - b)).sum();
                (squared, other)
            })
            .collect();
        list.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        list.truncate(self.k);
        list
    }
}
