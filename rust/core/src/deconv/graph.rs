//! Which spots are neighbors, and an order of visits that is parallel and yet that of the index.

use super::kdtree::KdTree;
use crate::check;
use crate::error::{Error, Result};
use crate::watch::Watch;
use ndarray::{ArrayView1, ArrayView2};
use rayon::prelude::*;

/// Spots between two looks at whether to stop.
const PATIENCE: usize = 1 << 14;

/// Neighbors of every spot: symmetric, without self.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Graph {
    starts: Vec<usize>,
    others: Vec<u32>,
}

impl Graph {
    /// Check and wrap a graph in compressed rows.
    ///
    /// # Errors
    /// [`Error::Shape`] for inconsistent offsets, [`Error::Index`] for a neighbor out of range.
    pub fn new(starts: ArrayView1<i64>, others: ArrayView1<i64>) -> Result<Self> {
        let ascending = starts.iter().zip(starts.iter().skip(1)).all(|(a, b)| a <= b);
        let whole = starts.first() == Some(&0) && starts.last() == Some(&(others.len() as i64));
        if !(ascending && whole) {
            let (found, expected) =
                (format!("offsets that do not cover {} neighbors", others.len()), "ascending offsets".into());
            return Err(Error::Shape { name: "graph", found, expected });
        }
        check::indices("graph", others.iter().copied(), starts.len() - 1)?;
        let starts = starts.iter().map(|&start| start as usize).collect();
        Ok(Self { starts, others: others.iter().map(|&other| other as u32).collect() })
    }

    /// Number of spots.
    #[must_use]
    pub fn spots(&self) -> usize {
        self.starts.len() - 1
    }

    /// Neighbors of one spot.
    #[must_use]
    pub fn of(&self, spot: usize) -> &[u32] {
        &self.others[self.starts[spot]..self.starts[spot + 1]]
    }

    /// Offsets and neighbors.
    #[must_use]
    pub fn parts(&self) -> (&[usize], &[u32]) {
        (&self.starts, &self.others)
    }

    /// The graph without the edges of some spots.
    #[must_use]
    pub fn without(&self, removed: ArrayView1<bool>) -> Self {
        let mut starts = vec![0];
        let mut others = Vec::with_capacity(self.others.len());
        for spot in 0..self.spots() {
            if !removed[spot] {
                others.extend(self.of(spot).iter().filter(|&&other| !removed[other as usize]));
            }
            starts.push(others.len());
        }
        Self { starts, others }
    }

    /// Positions in `spots` (ascending) of the neighbors of the one at `at` that stand before it.
    fn before<'a>(&'a self, spots: &'a [i64], at: usize) -> impl Iterator<Item = usize> + 'a {
        let spot = spots[at];
        let others = self.of(spot as usize).iter().map(|&other| i64::from(other));
        others.filter(move |&other| spots[0] <= other && other < spot).filter_map(move |other| {
            // In a block of consecutive spots the position is a difference.
            let guess = (other - spots[0]) as usize;
            let found = || spots[..at].binary_search(&other).ok();
            if spots.get(guess) == Some(&other) { Some(guess) } else { found() }
        })
    }

    /// Positions in `spots` (ascending) of the spots of each wave.
    ///
    /// A spot belongs to the first wave after those of its neighbors with a smaller index. No two neighbors share
    /// a wave, so a wave can be visited in parallel, and waves in order give exactly what spots in order give.
    pub(super) fn waves(&self, spots: &[i64]) -> Vec<Vec<usize>> {
        let mut wave_of = vec![0; spots.len()];
        let mut waves: Vec<Vec<usize>> = Vec::new();
        for at in 0..spots.len() {
            let wave = self.before(spots, at).map(|other| wave_of[other] + 1).max().unwrap_or(0);
            if wave == waves.len() {
                waves.push(Vec::new());
            }
            wave_of[at] = wave;
            waves[wave].push(at);
        }
        waves
    }

    /// Positions in `spots` (ascending) of the spots of each color; no two neighbors share one.
    ///
    /// Spots take, in their order, the first color that is free. There are few colors however long the waves are.
    pub(super) fn colors(&self, spots: &[i64]) -> Vec<Vec<usize>> {
        let mut color_of = vec![0; spots.len()];
        let mut colors: Vec<Vec<usize>> = Vec::new();
        // Last spot that found the color taken.
        let mut taken: Vec<Option<usize>> = Vec::new();
        for at in 0..spots.len() {
            self.before(spots, at).for_each(|other| taken[color_of[other]] = Some(at));
            let free = taken.iter().position(|&last| last != Some(at));
            let color = free.unwrap_or(taken.len());
            if free.is_none() {
                taken.push(None);
                colors.push(Vec::new());
            }
            color_of[at] = color;
            colors[color].push(at);
        }
        colors
    }
}

/// Link every spot with its `k` nearest in the same section (ties by index), in both directions.
///
/// * `points`: spots x dimensions, finite.
/// * `section`: section of every spot.
///
/// Cost O(spots log spots) time and O(spots k) memory.
///
/// # Errors
/// [`Error::NotFinite`], [`Error::Rows`] for bad input, [`Error::Cancelled`] on request.
pub fn neighbor_graph(
    points: ArrayView2<f64>,
    section: ArrayView1<i64>,
    k: usize,
    watch: &dyn Watch,
) -> Result<Graph> {
    check::finite("coords", points)?;
    check::same_rows("coords", points.nrows(), "sections", section.len())?;
    let mut members = std::collections::BTreeMap::<i64, Vec<u32>>::new();
    for (spot, &section) in section.iter().enumerate() {
        members.entry(section).or_default().push(spot as u32);
    }
    let mut nearest = vec![Vec::new(); points.nrows()];
    let mut done = 0;
    for spots in members.into_values() {
        let tree = KdTree::build(points, spots, watch);
        for queries in tree.spots().to_vec().chunks(1 << 14) {
            if !watch.tick(done, points.nrows()) {
                return Err(Error::Cancelled { done, total: points.nrows() });
            }
            let found: Vec<Vec<u32>> =
                queries.par_iter().map(|&spot| tree.nearest(points, spot as usize, k)).collect();
            queries.iter().zip(found).for_each(|(&spot, list)| nearest[spot as usize] = list);
            done += queries.len();
        }
    }
    symmetric(&nearest, watch)
}

/// Union of the directed links and their reverses, ascending.
fn symmetric(nearest: &[Vec<u32>], watch: &dyn Watch) -> Result<Graph> {
    let total = nearest.len();
    let go_on = |done: usize| {
        let stop = done.is_multiple_of(PATIENCE) && !watch.tick(done, total);
        if stop { Err(Error::Cancelled { done, total }) } else { Ok(()) }
    };
    let mut links: Vec<Vec<u32>> = nearest.to_vec();
    for (spot, list) in nearest.iter().enumerate() {
        go_on(spot)?;
        list.iter().for_each(|&other| links[other as usize].push(spot as u32));
    }
    let mut starts = vec![0];
    let mut others = Vec::new();
    for (spot, mut list) in links.into_iter().enumerate() {
        go_on(spot)?;
        list.sort_unstable();
        list.dedup();
        others.extend(list);
        starts.push(others.len());
    }
    Ok(Graph { starts, others })
}
