//! A k-d tree that answers with ties in the order of the points.

use ndarray::ArrayView2;

/// Points per leaf.
const LEAF: usize = 12;

struct Node {
    start: usize,
    end: usize,
    /// Second child; the first one is the next node. 0 marks a leaf.
    right: usize,
    /// Smallest index below this node: decides whether an equal distance can still win.
    least: usize,
}

/// Points sorted into boxes.
pub(super) struct Tree {
    dims: usize,
    nodes: Vec<Node>,
    /// Nodes x 2 x dimensions: smallest and largest coordinate.
    boxes: Vec<f64>,
    /// Index of the point at each place.
    pub(super) order: Vec<usize>,
    /// Coordinates in that order.
    points: Vec<f64>,
}

impl Tree {
    /// Cost O(n log n).
    pub(super) fn build(points: ArrayView2<f64>) -> Self {
        let dims = points.ncols();
        let mut tree = Self {
            dims,
            nodes: Vec::new(),
            boxes: Vec::new(),
            order: (0..points.nrows()).collect(),
            points: Vec::with_capacity(points.len()),
        };
        let mut order = std::mem::take(&mut tree.order);
        if !order.is_empty() {
            tree.split(points, &mut order, 0);
        }
        for &index in &order {
            tree.points.extend(points.row(index));
        }
        tree.order = order;
        tree
    }

    fn split(&mut self, points: ArrayView2<f64>, order: &mut [usize], start: usize) {
        let this = self.nodes.len();
        let least = order.iter().copied().min().unwrap_or(0);
        self.nodes.push(Node { start, end: start + order.len(), right: 0, least });
        let mut widest = (0, -1.0);
        let (mut low, mut high) = (vec![f64::INFINITY; self.dims], vec![f64::NEG_INFINITY; self.dims]);
        for dim in 0..self.dims {
            for &index in order.iter() {
                low[dim] = low[dim].min(points[[index, dim]]);
                high[dim] = high[dim].max(points[[index, dim]]);
            }
            if high[dim] - low[dim] > widest.1 {
                widest = (dim, high[dim] - low[dim]);
            }
        }
        self.boxes.extend(low);
        self.boxes.extend(high);
        if order.len() <= LEAF {
            return;
        }
        let (middle, dim) = (order.len() / 2, widest.0);
        order.select_nth_unstable_by(middle, |&a, &b| {
            points[[a, dim]].total_cmp(&points[[b, dim]]).then(a.cmp(&b))
        });
        let (left, right) = order.split_at_mut(middle);
        self.split(points, left, start);
        self.nodes[this].right = self.nodes.len();
        self.split(points, right, start + middle);
    }

    /// Coordinates of the point at a place.
    pub(super) fn at(&self, place: usize) -> &[f64] {
        &self.points[place * self.dims..][..self.dims]
    }

    /// Squared distance from a point to the box of a node.
    fn gap(&self, node: usize, here: &[f64]) -> f64 {
        let (low, high) = self.boxes[node * 2 * self.dims..][..2 * self.dims].split_at(self.dims);
        let mut squared = 0.0;
        for ((x, low), high) in here.iter().zip(low).zip(high) {
            let outside = (low - x).max(x - high).max(0.0);
            squared += outside * outside;
        }
        squared
    }

    fn squared(&self, place: usize, here: &[f64]) -> f64 {
        self.at(place).iter().zip(here).map(|(a, b)| (a - b) * (a - b)).sum()
    }

    /// The `k` nearest others of the point at `place`, as (distance, index), nearest first, ties by index.
    ///
    /// Distances are compared after the root, which makes most ties of a lattice equal in spite of rounding.
    pub(super) fn nearest(&self, place: usize, k: usize, found: &mut Vec<(f64, usize)>) {
        found.clear();
        if k > 0 {
            self.nearest_below(0, place, k, found);
        }
    }

    fn nearest_below(&self, node: usize, place: usize, k: usize, found: &mut Vec<(f64, usize)>) {
        let Node { start, end, right, .. } = self.nodes[node];
        let here = self.at(place);
        if right == 0 {
            for other in (start..end).filter(|&other| other != place) {
                let new = (self.squared(other, here).sqrt(), self.order[other]);
                let at = found.partition_point(|old| *old < new);
                if at < k {
                    found.truncate(k - 1);
                    found.insert(at, new);
                }
            }
            return;
        }
        let mut children = [node + 1, right].map(|child| (self.gap(child, here).sqrt(), child));
        if children[1].0 < children[0].0 {
            children.swap(0, 1);
        }
        for (gap, child) in children {
            let full = found.len() == k;
            if !full || found.last().is_some_and(|worst| (gap, self.nodes[child].least) < *worst) {
                self.nearest_below(child, place, k, found);
            }
        }
    }

    /// Indices of all other points within a squared distance, in no order.
    pub(super) fn within(&self, place: usize, squared: f64, found: &mut Vec<usize>) {
        found.clear();
        let here = self.at(place);
        let mut open = vec![0];
        while let Some(node) = open.pop() {
            if self.nodes.is_empty() || self.gap(node, here) > squared {
                continue;
            }
            let Node { start, end, right, .. } = self.nodes[node];
            if right > 0 {
                open.extend([node + 1, right]);
                continue;
            }
            for other in (start..end).filter(|&other| other != place) {
                if self.squared(other, here) <= squared {
                    found.push(self.order[other]);
                }
            }
        }
    }
}
