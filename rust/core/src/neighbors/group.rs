//! The cells of one group, laid out for the distance kernel.

use crate::simd::fma;
use crate::widest;
use ndarray::{ArrayView1, ArrayView2};

/// Queries per register block. With [`LANES`] it fills the registers of AVX2 and keeps AVX-512 busy.
pub(super) const ROWS: usize = 6;
/// Candidates per panel.
pub(super) const LANES: usize = 8;

/// Cells that may be neighbors of each other, centered on their mean and packed in panels.
pub(super) struct Group {
    /// Cell of each member, ascending.
    pub(super) cells: Vec<usize>,
    /// Squared length of each centered member; infinite in the lanes behind the last member.
    pub(super) norms: Vec<f64>,
    /// Panels x dimensions x [`LANES`].
    panels: Vec<f64>,
    dims: usize,
}

impl Group {
    /// Pack the given cells. Centering keeps the cancellation in |a|² - 2ab + |b|² small.
    pub(super) fn pack(points: ArrayView2<f64>, cells: Vec<usize>) -> Self {
        let dims = points.ncols();
        let mut mean = vec![0.0; dims];
        for &cell in &cells {
            for (sum, value) in mean.iter_mut().zip(points.row(cell)) {
                *sum += value / cells.len() as f64;
            }
        }
        let n_panels = cells.len().div_ceil(LANES);
        let mut panels = vec![0.0; n_panels * dims * LANES];
        let mut norms = vec![f64::INFINITY; n_panels * LANES];
        for (member, &cell) in cells.iter().enumerate() {
            let (panel, lane) = (member / LANES, member % LANES);
            norms[member] = 0.0;
            for (dim, (value, center)) in points.row(cell).iter().zip(&mean).enumerate() {
                let centered = value - center;
                panels[(panel * dims + dim) * LANES + lane] = centered;
                norms[member] += centered * centered;
            }
        }
        Self { cells, norms, panels, dims }
    }

    /// Largest difference between a squared distance of the kernel and the true one.
    ///
    /// Every sum of `dims` products is off by at most `dims` units in the last place of the sum of absolute
    /// products, which is at most |a|² + |b|²; centering adds a few units.
    pub(super) fn rounding(&self) -> f64 {
        let largest = self.norms[..self.cells.len()].iter().fold(0.0_f64, |a, &b| a.max(b));
        4.0 * (self.dims as f64 + 8.0) * f64::EPSILON * largest
    }

    /// Copy the members `first..first + ROWS` into `block` (dimensions x [`ROWS`]); zero behind the last one.
    pub(super) fn block(&self, first: usize, block: &mut [f64]) {
        block.fill(0.0);
        for row in 0..ROWS.min(self.cells.len() - first) {
            let (panel, lane) = ((first + row) / LANES, (first + row) % LANES);
            for dim in 0..self.dims {
                block[dim * ROWS + row] = self.panels[(panel * self.dims + dim) * LANES + lane];
            }
        }
    }

    /// |b|² - 2ab of the block's members `a` and the candidates `b` of `n_panels` panels from `first`.
    pub(super) fn offsets(
        &self,
        block: &[f64],
        first: usize,
        n_panels: usize,
        out: &mut [f64],
        low: &mut [f64],
    ) {
        let panels = &self.panels[first * self.dims * LANES..][..n_panels * self.dims * LANES];
        let norms = &self.norms[first * LANES..][..n_panels * LANES];
        offsets(block, panels, norms, out, low);
    }
}

/// Members of every group in ascending order; cells with a negative group belong to none.
pub(super) fn members(n: usize, groups: Option<ArrayView1<i64>>) -> Vec<Vec<usize>> {
    let Some(groups) = groups else { return vec![(0..n).collect()] };
    let mut by_group = std::collections::BTreeMap::<i64, Vec<usize>>::new();
    for (cell, &group) in groups.iter().enumerate().filter(|&(_, &group)| group >= 0) {
        by_group.entry(group).or_default().push(cell);
    }
    by_group.into_values().collect()
}

widest! {
    /// `out[panel, row, lane] = norms[panel, lane] - 2 block[:, row] · panels[panel, :, lane]`, and in
    /// `low[panel, row]` the smallest of a panel, so that most panels need no second look.
    fn offsets(block: &[f64], panels: &[f64], norms: &[f64], out: &mut [f64], low: &mut [f64]) {
        let (block, _) = block.as_chunks::<ROWS>();
        let (panels, _) = panels.as_chunks::<LANES>();
        let (norms, _) = norms.as_chunks::<LANES>();
        let (out, _) = out.as_chunks_mut::<LANES>();
        let low = low.chunks_exact_mut(ROWS);
        let panels = panels.chunks_exact(block.len()).zip(norms);
        for ((panel, norms), (out, low)) in panels.zip(out.chunks_exact_mut(ROWS).zip(low)) {
            let mut sums = [[0.0; LANES]; ROWS];
            for (a, b) in block.iter().zip(panel) {
                for row in 0..ROWS {
                    for lane in 0..LANES {
                        sums[row][lane] = fma::<FMA>(a[row], b[lane], sums[row][lane]);
                    }
                }
            }
            for row in 0..ROWS {
                for lane in 0..LANES {
                    out[row][lane] = fma::<FMA>(-2.0, sums[row][lane], norms[lane]);
                }
                let mut smallest = out[row];
                for half in [LANES / 2, LANES / 4, LANES / 8] {
                    for lane in 0..half {
                        let (a, b) = (smallest[lane], smallest[lane + half]);
                        smallest[lane] = if b < a { b } else { a };
                    }
                }
                low[row] = smallest[0];
            }
        }
    }
}
