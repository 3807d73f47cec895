//! Nearest points of a plane or a volume, ties by index.

use crate::watch::Watch;
use ndarray::ArrayView2;

/// Points of a leaf.
const LEAF: usize = 12;
/// Ranges of more points are split only after a look at whether to stop.
const PATIENCE: usize = 1 << 14;

/// A balanced tree over some of the points: each range of `spots` is split at its middle.
pub(super) struct KdTree {
    spots: Vec<u32>,
    /// Copy of the points in the order of `spots`.
    points: Vec<f64>,
    dims: usize,
    /// Inner nodes in the order of a depth-first walk.
    splits: Vec<Split>,
}

struct Split {
    dim: usize,
    value: f64,
    /// Position of the node of the upper half; that of the lower half comes next.
    upper: usize,
}

struct Search<'a> {
    here: &'a [f64],
    spot: u32,
    k: usize,
    /// Squared distance and index, ascending, at most k.
    best: Vec<(f64, u32)>,
    /// Squared distance to the box of the current node along each dimension.
    away: Vec<f64>,
}

impl KdTree {
    /// Build over the given points. When `watch` asks to stop the tree is not complete.
    pub(super) fn build(points: ArrayView2<f64>, mut spots: Vec<u32>, watch: &dyn Watch) -> Self {
        let mut splits = Vec::new();
        split(points, &mut spots, &mut splits, watch);
        let rows = spots.iter().flat_map(|&spot| points.row(spot as usize).to_vec()).collect();
        Self { spots, points: rows, dims: points.ncols(), splits }
    }

    /// The points in the order of the tree: near in the list, near in space.
    pub(super) fn spots(&self) -> &[u32] {
        &self.spots
    }

    /// The `k` nearest other points of a point, nearest first.
    pub(super) fn nearest(&self, points: ArrayView2<f64>, spot: usize, k: usize) -> Vec<u32> {
        let here = points.row(spot).to_vec();
        let mut search = Search {
            here: &here,
            spot: spot as u32,
            k,
            best: Vec::with_capacity(k + 1),
            away: vec![0.0; self.dims],
        };
        if k > 0 {
            self.walk(0, self.spots.len(), 0, &mut search);
        }
        search.best.into_iter().map(|(_, spot)| spot).collect()
    }

    fn walk(&self, low: usize, high: usize, node: usize, search: &mut Search) {
        if high - low <= LEAF {
            for at in low..high {
                let point = &self.points[at * self.dims..][..self.dims];
                let squared = point.iter().zip(search.here).map(|(a, b)| (a - b) * (a - b)).sum();
                search.offer(squared, self.spots[at]);
            }
            return;
        }
        let middle = low + (high - low) / 2;
        let Split { dim, value, upper } = self.splits[node];
        let offset = search.here[dim] - value;
        let near_left = offset < 0.0;
        let go = |first: bool, search: &mut Search| {
            if first == near_left {
                self.walk(low, middle, node + 1, search)
            } else {
                self.walk(middle, high, upper, search)
            }
        };
        go(true, search);
        let before = std::mem::replace(&mut search.away[dim], offset * offset);
        // Rounding of the sum must not hide an equally near point with a smaller index.
        if search.away.iter().sum::<f64>() * (1.0 - 1e-12) <= search.limit() {
            go(false, search);
        }
        search.away[dim] = before;
    }
}

impl Search<'_> {
    fn limit(&self) -> f64 {
        if self.best.len() < self.k { f64::INFINITY } else { self.best[self.k - 1].0 }
    }

    fn offer(&mut self, squared: f64, spot: u32) {
        if spot == self.spot || squared > self.limit() {
            return;
        }
        let at = self.best.partition_point(|&(d, s)| d < squared || (d == squared && s < spot));
        self.best.insert(at, (squared, spot));
        self.best.truncate(self.k);
    }
}

fn split(points: ArrayView2<f64>, spots: &mut [u32], splits: &mut Vec<Split>, watch: &dyn Watch) {
    if spots.len() <= LEAF || (spots.len() > PATIENCE && !watch.tick(0, points.nrows())) {
        return;
    }
    let width = |dim: usize| {
        let values = spots.iter().map(|&spot| points[[spot as usize, dim]]);
        let (low, high) =
            values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
        high - low
    };
    let dim = (0..points.ncols()).fold(0, |best, dim| if width(dim) > width(best) { dim } else { best });
    let key = |spot: u32| points[[spot as usize, dim]];
    let middle = spots.len() / 2;
    spots.select_nth_unstable_by(middle, |&a, &b| key(a).total_cmp(&key(b)).then(a.cmp(&b)));
    let node = splits.len();
    splits.push(Split { dim, value: key(spots[middle]), upper: 0 });
    let (lower, upper) = spots.split_at_mut(middle);
    split(points, lower, splits, watch);
    splits[node].upper = splits.len();
    split(points, upper, splits, watch);
}
