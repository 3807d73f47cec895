//! Cells sorted into the bins of a node lattice, eight to a block.

use super::kernel::Coordinates;
use super::lanes::Lanes;
use super::window::Row;

/// What one axis of the lattice stands for.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Axis {
    /// No coordinate: one node.
    Single,
    /// A coordinate carried onto equally spaced nodes by the window.
    Smooth { coordinate: usize, lowest: f64, spacing: f64, bins: usize },
    /// A coordinate that takes few values, each a node of its own: serial sections.
    Sections { coordinate: usize, values: Vec<f64> },
}

impl Axis {
    /// Nodes along the axis under a window of `width` nodes.
    pub(super) fn nodes(&self, width: usize) -> usize {
        match self {
            Self::Single => 1,
            Self::Smooth { bins, .. } => bins + width - 1,
            Self::Sections { values, .. } => values.len(),
        }
    }

    /// Nodes that one cell touches along the axis.
    pub(super) fn width(&self, width: usize) -> usize {
        if matches!(self, Self::Smooth { .. }) { width } else { 1 }
    }

    fn bins(&self) -> usize {
        match self {
            Self::Smooth { bins, .. } => *bins,
            _ => self.nodes(1),
        }
    }

    /// Bin of a point and its offset inside the bin, in [0, 1].
    fn locate(&self, point: [f64; 3]) -> (usize, f64) {
        match self {
            Self::Single => (0, 0.0),
            Self::Smooth { coordinate, lowest, spacing, bins } => {
                let u = (point[*coordinate] - lowest) / spacing;
                let bin = (u as usize).min(bins - 1);
                (bin, u - bin as f64)
            }
            Self::Sections { coordinate, values } => {
                (values.partition_point(|v| *v < point[*coordinate]).min(values.len() - 1), 0.0)
            }
        }
    }
}

/// Axes for `points`: the longest first, so that it can be cut into strips, the shortest last.
///
/// The last of three coordinates becomes sections when it takes at most `2 w` values.
pub(super) fn axes(
    points: &Coordinates,
    dimensions: usize,
    sections: &[f64],
    row: Row,
    sigma: f64,
) -> [Axis; 3] {
    let spacing = row.spacing * sigma;
    let smooth = |coordinate: usize| {
        let (lowest, highest) = points.extent(coordinate);
        // As a float the number of bins cannot overflow; an absurd one is refused by the cost model.
        let bins = (((highest - lowest) / spacing).floor() + 1.0).min(1e15) as usize;
        Axis::Smooth { coordinate, lowest, spacing, bins }
    };
    let few = dimensions == 3 && !sections.is_empty() && sections.len() <= 2 * row.width;
    let mut smooth: Vec<Axis> = (0..if few { 2 } else { dimensions }).map(smooth).collect();
    smooth.sort_by_key(|axis| std::cmp::Reverse(axis.bins()));
    let last = smooth.pop().unwrap_or(Axis::Single);
    let middle = match smooth.len() {
        2 => smooth.pop().unwrap_or(Axis::Single),
        _ if few => Axis::Sections { coordinate: 2, values: sections.to_vec() },
        _ => Axis::Single,
    };
    [smooth.pop().unwrap_or(Axis::Single), middle, last]
}

/// Up to eight cells of one bin.
#[derive(Debug, Clone, Copy)]
pub(super) struct Block {
    /// Position among the blocks.
    pub(super) index: usize,
    /// Position of the first cell in the sorted order.
    pub(super) first: usize,
    pub(super) count: usize,
    /// Bin along the first axis.
    pub(super) plane: usize,
    /// Lowest node that the cells touch.
    pub(super) node: usize,
}

/// Cells in bin order.
#[derive(Debug)]
pub(super) struct Lattice {
    /// Nodes along each axis.
    pub(super) nodes: [usize; 3],
    /// Nodes along each axis that a cell touches.
    pub(super) widths: [usize; 3],
    pub(super) blocks: Vec<Block>,
    /// Row of the caller's matrices of each sorted cell.
    pub(super) rows: Vec<usize>,
    /// Offsets inside the bin, one unit per block and smooth axis.
    pub(super) offsets: Vec<Lanes>,
    /// Number of smooth axes.
    pub(super) smooth: usize,
}

impl Lattice {
    pub(super) fn new(points: &Coordinates, rows: &[usize], axes: &[Axis; 3], width: usize) -> Self {
        let nodes = axes.each_ref().map(|axis| axis.nodes(width));
        let widths = axes.each_ref().map(|axis| axis.width(width));
        let bins = axes.each_ref().map(Axis::bins);
        let smooth = widths.iter().filter(|w| **w > 1).count();
        let flat = |i: usize| {
            let at = axes.each_ref().map(|axis| axis.locate(points.at(i)).0);
            (at[0] * bins[1] + at[1]) * bins[2] + at[2]
        };
        let bin_of: Vec<usize> = (0..points.len()).map(flat).collect();
        let (order, starts) = counting_sort(&bin_of, bins.iter().product());
        let mut lattice = Self {
            nodes,
            widths,
            blocks: Vec::new(),
            rows: order.iter().map(|&i| rows[i]).collect(),
            offsets: Vec::new(),
            smooth,
        };
        for (bin, ends) in starts.windows(2).enumerate().filter(|(_, ends)| ends[0] < ends[1]) {
            let at = [bin / (bins[1] * bins[2]), bin / bins[2] % bins[1], bin % bins[2]];
            let node = (at[0] * nodes[1] + at[1]) * nodes[2] + at[2];
            for first in (ends[0]..ends[1]).step_by(Lanes::WIDTH) {
                let count = Lanes::WIDTH.min(ends[1] - first);
                let index = lattice.blocks.len();
                lattice.blocks.push(Block { index, first, count, plane: at[0], node });
                for axis in axes.iter().filter(|axis| axis.width(width) > 1) {
                    let mut offsets = Lanes::ZERO;
                    for (offset, &i) in offsets.0.iter_mut().zip(&order[first..first + count]) {
                        *offset = axis.locate(points.at(i)).1;
                    }
                    lattice.offsets.push(offsets);
                }
            }
        }
        lattice
    }

    /// Number of nodes a cell touches.
    pub(super) fn stencil(&self) -> usize {
        self.widths.iter().product()
    }

    /// Number of nodes.
    pub(super) fn size(&self) -> usize {
        self.nodes.iter().product()
    }

    /// Nodes of one plane across the first axis.
    pub(super) fn plane(&self) -> usize {
        self.nodes[1] * self.nodes[2]
    }
}

/// Stable order of `keys`, and where each of `n_keys` starts in it.
fn counting_sort(keys: &[usize], n_keys: usize) -> (Vec<usize>, Vec<usize>) {
    let mut starts = vec![0; n_keys + 1];
    for key in keys {
        starts[key + 1] += 1;
    }
    for key in 0..n_keys {
        starts[key + 1] += starts[key];
    }
    let mut next = starts.clone();
    let mut order = vec![0; keys.len()];
    for (i, key) in keys.iter().enumerate() {
        order[next[*key]] = i;
        next[*key] += 1;
    }
    (order, starts)
}
