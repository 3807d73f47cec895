//! Cells sorted into square buckets, with the neighbors of every bucket as runs of consecutive cells.

use super::kernel::Coordinates;
use std::ops::Range;

/// Bucket side in units of the reach: two buckets in each direction then cover every pair within reach.
/// The excess over 1/2 outweighs the rounding of the bucket numbers.
const SIDE: f64 = 0.5 + 1e-9;

/// Points in bucket order. Memory is proportional to the points, however far an outlier lies.
#[derive(Debug)]
pub(super) struct Buckets {
    /// Position in the input of each sorted point.
    pub(super) order: Vec<usize>,
    /// The points of each bucket.
    pub(super) members: Vec<Range<usize>>,
    /// The points that can be within reach of each bucket, as runs.
    pub(super) neighbors: Vec<Vec<Range<usize>>>,
}

impl Buckets {
    /// Sort `points` for a finite `reach`.
    pub(super) fn new(points: &Coordinates, reach: f64) -> Self {
        let lowest = points.0.each_ref().map(|axis| axis.iter().copied().fold(f64::INFINITY, f64::min));
        let side = reach * SIDE;
        let key = |i: usize| -> [i64; 3] {
            let point = points.at(i);
            // The last axis of the key runs fastest: x for two dimensions would serve as well as y.
            [0, 2, 1].map(|a| ((point[a] - lowest[a]) / side).floor() as i64)
        };
        let mut sorted: Vec<([i64; 3], usize)> = (0..points.len()).map(|i| (key(i), i)).collect();
        sorted.sort_unstable();
        let mut keys: Vec<[i64; 3]> = Vec::new();
        let mut starts = Vec::new();
        for (at, (key, _)) in sorted.iter().enumerate() {
            if keys.last() != Some(key) {
                keys.push(*key);
                starts.push(at);
            }
        }
        starts.push(points.len());
        let members: Vec<Range<usize>> = starts.windows(2).map(|pair| pair[0]..pair[1]).collect();
        let neighbors = neighbor_runs(&keys, &starts);
        Self { order: sorted.into_iter().map(|(_, i)| i).collect(), members, neighbors }
    }
}

/// For each bucket the runs of points in the buckets at most two steps away on every axis.
///
/// Keys are sorted and the last axis runs fastest, so the buckets at a fixed offset on the other axes are
/// consecutive, and both ends of their run only move forward from one bucket to the next.
fn neighbor_runs(keys: &[[i64; 3]], starts: &[usize]) -> Vec<Vec<Range<usize>>> {
    let mut runs = vec![Vec::new(); keys.len()];
    let flat = keys.iter().all(|key| key[1] == 0);
    let depth = if flat { 0..=0 } else { -2..=2 };
    for (a, b) in (-2..=2).flat_map(|a| depth.clone().map(move |b| (a, b))) {
        let (mut low, mut high) = (0, 0);
        for (key, runs) in keys.iter().zip(&mut runs) {
            let row = [key[0] + a, key[1] + b];
            while low < keys.len() && keys[low] < [row[0], row[1], key[2] - 2] {
                low += 1;
            }
            while high < keys.len() && keys[high] <= [row[0], row[1], key[2] + 2] {
                high += 1;
            }
            if low < high {
                runs.push(starts[low]..starts[high]);
            }
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_within_reach_is_found_once() {
        for dims in [2, 3] {
            let mut points = Coordinates::default();
            for i in 0..150_u64 {
                let draw = |k: u64| ((i * 7919 + k * 104_729) % 1013) as f64 / 40.0;
                points.push([draw(1), draw(2), if dims == 3 { draw(3) } else { 0.0 }]);
            }
            points.push([1e7, -1e7, 0.0]);
            let buckets = Buckets::new(&points, 3.0);
            let mut seen = vec![0; 151 * 151];
            for (members, runs) in buckets.members.iter().zip(&buckets.neighbors) {
                for i in members.clone() {
                    for j in runs.iter().cloned().flatten() {
                        seen[buckets.order[i] * 151 + buckets.order[j]] += 1;
                    }
                }
            }
            for i in 0..151 {
                for j in 0..151 {
                    let (p, q) = (points.at(i), points.at(j));
                    let square: f64 = p.iter().zip(q).map(|(a, b)| (a - b) * (a - b)).sum();
                    let count = seen[i * 151 + j];
                    assert!(count == 1 || (count == 0 && square > 9.0), "{i} {j} {count}");
                }
            }
        }
    }
}
