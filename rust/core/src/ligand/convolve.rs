//! The lattice operator along one axis, in place.

use super::lanes::Lanes;
use super::meter::Meter;
use super::panel::{Rows, accumulate};
use ndarray::{ArrayViewMut2, Axis};
use rayon::prelude::*;

/// Lane groups of the scratch copy of a panel: 192 KiB, inside the second cache level.
const PANEL: usize = 3072;

/// A symmetric operator between the nodes of one axis.
#[derive(Debug, Clone)]
pub(super) enum Mixing {
    /// Coefficients by lag: equally spaced nodes.
    Band(Vec<f64>),
    /// Full matrix, row by row: sections.
    Dense(Vec<f64>),
}

impl Mixing {
    /// Weights of the inputs `range` for eight consecutive outputs from `first`, times `factor`.
    fn weights(&self, first: usize, nodes: usize, factor: f64) -> (std::ops::Range<usize>, Vec<Lanes>) {
        let (low, high) = match self {
            Self::Band(operator) => {
                let band = operator.len() - 1;
                (first.saturating_sub(band), nodes.min(first + Lanes::WIDTH + band))
            }
            Self::Dense(_) => (0, nodes),
        };
        let weight = |input: usize, output: usize| match self {
            Self::Band(operator) => operator.get(input.abs_diff(output)).copied().unwrap_or(0.0),
            Self::Dense(matrix) if output < nodes => matrix[output * nodes + input],
            Self::Dense(_) => 0.0,
        };
        let lanes = |input: usize| Lanes(std::array::from_fn(|r| factor * weight(input, first + r)));
        (low..high, (low..high).map(lanes).collect())
    }
}

/// Apply `factor * mixing` along the middle axis of `grid`, laid out as outer x `nodes` x `inner`.
pub(super) fn convolve(
    grid: &mut [Lanes],
    nodes: usize,
    inner: usize,
    mixing: &Mixing,
    factor: f64,
    meter: &Meter<'_>,
) {
    let tables: Vec<_> =
        (0..nodes).step_by(Lanes::WIDTH).map(|first| mixing.weights(first, nodes, factor)).collect();
    let width = (PANEL / nodes / 3 * 3).clamp(3, inner.max(3));
    grid.par_chunks_mut(nodes * inner).for_each(|slab| {
        let Ok(slab) = ArrayViewMut2::from_shape((nodes, inner), slab) else { return };
        let mut slab = slab;
        slab.axis_chunks_iter_mut(Axis(1), width).into_par_iter().for_each_init(
            Vec::new,
            |scratch, panel| {
                if meter.running() {
                    convolve_panel(panel, &tables, scratch);
                }
            },
        );
    });
}

type Table = (std::ops::Range<usize>, Vec<Lanes>);

fn convolve_panel(mut panel: ArrayViewMut2<Lanes>, tables: &[Table], scratch: &mut Vec<Lanes>) {
    let (nodes, groups) = panel.dim();
    scratch.clear();
    panel.outer_iter().for_each(|row| scratch.extend(row.iter()));
    let mut sums = vec![Lanes::ZERO; Lanes::WIDTH * groups];
    for (first, (range, weights)) in (0..nodes).step_by(Lanes::WIDTH).zip(tables) {
        let count = Lanes::WIDTH.min(nodes - first);
        sums.fill(Lanes::ZERO);
        let rows = Rows { values: scratch, groups, bases: &[range.start], inner: range.len() };
        accumulate(&mut sums, count, weights, rows);
        for (r, sum) in sums.chunks(groups).take(count).enumerate() {
            for (to, from) in panel.row_mut(first + r).iter_mut().zip(sum) {
                *to = *from;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::Unwatched;

    #[test]
    fn a_band_and_its_full_matrix_do_the_same() {
        let operator = vec![2.0, -0.5, 0.25, 0.1];
        for (outer, nodes, inner) in [(1, 1, 1), (2, 5, 3), (1, 29, 40), (3, 8, 7)] {
            let start: Vec<Lanes> = (0..outer * nodes * inner)
                .map(|i| Lanes(std::array::from_fn(|l| ((i * 8 + l) as f64 * 0.3).sin())))
                .collect();
            let matrix = (0..nodes * nodes)
                .map(|k| operator.get((k / nodes).abs_diff(k % nodes)).copied().unwrap_or(0.0))
                .collect();
            let meter = Meter::new(&Unwatched, 1);
            let (mut band, mut dense) = (start.clone(), start.clone());
            convolve(&mut band, nodes, inner, &Mixing::Band(operator.clone()), 3.0, &meter);
            convolve(&mut dense, nodes, inner, &Mixing::Dense(matrix), 3.0, &meter);
            for o in 0..outer {
                for n in 0..nodes {
                    for i in 0..inner {
                        let at = |m: usize| (o * nodes + m) * inner + i;
                        let coefficient = |m: usize| operator.get(n.abs_diff(m)).copied().unwrap_or(0.0);
                        let expected: f64 =
                            (0..nodes).map(|m| 3.0 * coefficient(m) * start[at(m)].0[5]).sum();
                        assert!((band[at(n)].0[5] - expected).abs() < 1e-13);
                        assert!((dense[at(n)].0[5] - expected).abs() < 1e-13);
                    }
                }
            }
        }
    }
}
