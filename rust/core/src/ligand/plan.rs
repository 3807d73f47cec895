//! Plan of a received-ligand computation: everything that depends on the coordinates, reusable for any expression.

use super::anchors::Anchors;
use super::direct::Direct;
use super::mesh::Mesh;
use super::tile::padded;
use super::window::{WINDOWS, Window};
use super::{Kernel, Method, groups};
use crate::check;
use crate::error::{Error, Result};
use crate::watch::Watch;
use ndarray::{Array2, ArrayView1, ArrayView2, Axis};
use rayon::prelude::*;
use std::collections::HashMap;

/// More nodes than this per cell are not worth a lattice.
const MAX_NODES_PER_CELL: f64 = 64.0;
/// Ligands are taken in blocks of this many, so that a tile of nodes stays in the second cache.
const LIGAND_BLOCK: usize = 256;
/// Cost of one exponential, in multiply-adds.
const EXP_COST: f64 = 8.0;

/// What a plan is made for.
#[derive(Debug, Clone, Copy)]
pub struct PlanSettings {
    /// Weight by distance.
    pub kernel: Kernel,
    /// How to sum.
    pub method: Method,
    /// Error of the mesh relative to the largest value of a ligand, and drop tolerance of direct sums.
    pub rtol: f64,
    /// Spacing of the anchor grid in standard deviations.
    pub factor: f64,
    /// Number of ligands the choice of the method is made for.
    pub n_ligands: usize,
}

/// Immutable; the coordinates are sorted and all weights tabulated once.
#[derive(Debug, Clone)]
pub struct ReceivedPlan {
    n: usize,
    samples: Vec<Sample>,
    error: f64,
}

#[derive(Debug, Clone)]
struct Sample {
    cells: usize,
    parts: Vec<Part>,
}

#[derive(Debug, Clone)]
enum Part {
    Direct(Direct),
    Mesh(Mesh),
    Anchors { anchors: Anchors, cells: Vec<usize>, xy: Array2<f64> },
}

impl ReceivedPlan {
    /// Plan for cells at `xy` (cells x 2 or 3); cells with different `samples` never hear each other.
    ///
    /// # Errors
    /// Coordinates that are not finite, a radius that is not positive, or parameters out of range.
    pub fn new(
        xy: ArrayView2<f64>,
        samples: Option<ArrayView1<i64>>,
        settings: PlanSettings,
    ) -> Result<Self> {
        validate(xy, samples, settings)?;
        let mut plan = Self { n: xy.nrows(), samples: Vec::new(), error: 0.0 };
        let mut windows = Windows::default();
        for cells in groups::by_sample(xy.nrows(), samples) {
            let mut parts = Vec::new();
            let n = cells.len();
            if settings.method == Method::Anchors {
                parts.push(anchor_part(xy, cells, settings));
            } else {
                // beyond this distance a weight is below the tolerance
                let reach = reach(settings);
                for group in groups::by_reach(xy, &cells, reach) {
                    let (part, error) = choose(xy, &group, settings, reach, &mut windows);
                    plan.error = plan.error.max(error);
                    parts.push(part);
                }
            }
            plan.samples.push(Sample { cells: n, parts });
        }
        Ok(plan)
    }

    /// Number of cells.
    #[must_use]
    pub fn n_cells(&self) -> usize {
        self.n
    }

    /// Bound on the absolute error, as a multiple of `scale` times the mean absolute expression of a ligand.
    #[must_use]
    pub fn error_bound(&self) -> f64 {
        self.error
    }

    /// Name of the method in use; `"mesh"` when any part of the tissue uses it.
    #[must_use]
    pub fn method(&self) -> &'static str {
        let parts = || self.samples.iter().flat_map(|s| &s.parts);
        if parts().any(|p| matches!(p, Part::Mesh(_))) {
            "mesh"
        } else if parts().any(|p| matches!(p, Part::Anchors { .. })) {
            "anchors"
        } else {
            "direct"
        }
    }

    /// Received amount of each ligand at each cell (cells x ligands).
    ///
    /// # Errors
    /// When the rows disagree with the plan, or `watch` asks to stop.
    pub fn apply(&self, ligands: ArrayView2<f64>, scale: f64, watch: &dyn Watch) -> Result<Array2<f64>> {
        check::same_rows("xy", self.n, "ligands", ligands.nrows())?;
        let mut out = Array2::zeros(ligands.raw_dim());
        for first in (0..ligands.ncols()).step_by(LIGAND_BLOCK) {
            let last = (first + LIGAND_BLOCK).min(ligands.ncols());
            let columns = ndarray::s![.., first..last];
            let block = ligands.slice(columns);
            for sample in &self.samples {
                let factor = scale / sample.cells as f64;
                for part in &sample.parts {
                    part.add(block, factor, out.slice_mut(columns), watch)?;
                }
            }
        }
        // the window's error may push the tail of a non-negative signal below zero
        if self.error > 0.0 && scale >= 0.0 && ligands.iter().all(|&e| e >= 0.0) {
            out.par_mapv_inplace(|r| r.max(0.0));
        }
        Ok(out)
    }
}

impl Part {
    fn add(
        &self,
        ligands: ArrayView2<f64>,
        factor: f64,
        out: ndarray::ArrayViewMut2<f64>,
        watch: &dyn Watch,
    ) -> Result<()> {
        if !watch.tick(0, 1) {
            return Err(Error::Cancelled { done: 0, total: 1 });
        }
        let n = padded(ligands.ncols());
        match self {
            Part::Direct(direct) => {
                let sums = direct.apply(&gather(ligands, &direct.cells, n), n, watch)?;
                scatter(&sums, n, &direct.cells, factor, out);
            }
            Part::Mesh(mesh) => {
                let sums = mesh.apply(&gather(ligands, &mesh.cells, n), n);
                scatter(&sums, n, &mesh.cells, factor, out);
            }
            Part::Anchors { anchors, cells, xy } => {
                let sums = anchors.apply(xy.view(), ligands.select(Axis(0), cells).view());
                let (flat, _) = sums.into_raw_vec_and_offset();
                scatter(&flat, ligands.ncols(), cells, factor, out);
            }
        }
        Ok(())
    }
}

/// Rows of `ligands` in the order of `cells`, padded with zeros to `n` columns.
fn gather(ligands: ArrayView2<f64>, cells: &[usize], n: usize) -> Vec<f64> {
    let mut rows = vec![0.0; cells.len() * n];
    rows.par_chunks_mut(n.max(1)).zip(cells).for_each(|(row, &cell)| {
        for (r, e) in row.iter_mut().zip(ligands.row(cell)) {
            *r = *e;
        }
    });
    rows
}

fn scatter(sums: &[f64], n: usize, cells: &[usize], factor: f64, mut out: ndarray::ArrayViewMut2<f64>) {
    if cells.len() == out.nrows() {
        let mut position = vec![0; cells.len()];
        for (at, &cell) in cells.iter().enumerate() {
            position[cell] = at;
        }
        out.axis_iter_mut(Axis(0)).into_par_iter().zip(position).for_each(|(mut row, at)| {
            for (r, s) in row.iter_mut().zip(&sums[at * n..]) {
                *r = factor * s;
            }
        });
        return;
    }
    for (at, &cell) in cells.iter().enumerate() {
        for (r, s) in out.row_mut(cell).iter_mut().zip(&sums[at * n..]) {
            *r = factor * s;
        }
    }
}

fn reach(settings: PlanSettings) -> f64 {
    let tolerance = if settings.method == Method::Direct { 1e-17 } else { 1e-2 * settings.rtol };
    settings.kernel.cutoff.min(settings.kernel.sigma * (-2.0 * tolerance.ln()).sqrt())
}

fn anchor_part(xy: ArrayView2<f64>, cells: Vec<usize>, settings: PlanSettings) -> Part {
    let own = xy.select(Axis(0), &cells);
    match Anchors::new(own.view(), settings.kernel, settings.factor) {
        Some(anchors) => Part::Anchors { anchors, cells, xy: own },
        None => Part::Direct(Direct::new(xy, &cells, settings.kernel, settings.kernel.cutoff)),
    }
}

/// The cheaper method for one group of cells, with the error bound of the mesh.
fn choose(
    xy: ArrayView2<f64>,
    cells: &[usize],
    settings: PlanSettings,
    reach: f64,
    windows: &mut Windows,
) -> (Part, f64) {
    let truncated = settings.kernel.cutoff.is_finite();
    let mesh_allowed = !truncated && settings.method != Method::Direct;
    let best = if mesh_allowed { windows.best(xy, cells, settings) } else { None };
    if let Some((window, lattice, cost)) = best {
        let forced = settings.method == Method::Mesh;
        let direct = if forced { None } else { Some(Direct::new(xy, cells, settings.kernel, reach)) };
        let per_pair = 2.0 + EXP_COST / settings.n_ligands.max(1) as f64;
        match direct {
            Some(direct) if cells.len() as f64 * direct.mean_neighbors() * per_pair <= cost => {
                return (Part::Direct(direct), 0.0);
            }
            _ => {
                let error = windows.measured(window, &lattice);
                let bound = (1.0 + error).powi(xy.ncols() as i32) - 1.0;
                return (Part::Mesh(Mesh::new(xy, cells, settings.kernel.sigma, window, lattice)), bound);
            }
        }
    }
    (Part::Direct(Direct::new(xy, cells, settings.kernel, reach)), 0.0)
}

/// Lattice coefficients and measured errors, computed once per plan.
#[derive(Default)]
struct Windows {
    known: HashMap<(usize, u64), (Vec<f64>, f64)>,
}

impl Windows {
    /// Cheapest window that keeps the tolerance, with its cost; `None` when every lattice is too large.
    fn best(
        &mut self,
        xy: ArrayView2<f64>,
        cells: &[usize],
        settings: PlanSettings,
    ) -> Option<(Window, Vec<f64>, f64)> {
        let (n, dims) = (cells.len() as f64, xy.ncols());
        let mut ranked: Vec<(f64, Window)> = WINDOWS
            .iter()
            .filter(|window| window.error <= settings.rtol)
            .filter_map(|&window| {
                let nodes = Mesh::count_nodes(xy, cells, settings.kernel.sigma, window);
                if nodes > MAX_NODES_PER_CELL * n + 1e4 {
                    return None;
                }
                let band = (2.0 * (-2.0 * (1e-2 * settings.rtol).ln()).sqrt() / window.spacing).min(nodes);
                let spread = 4.0 * n * (window.width as f64).powi(dims as i32);
                Some((spread + 2.0 * nodes * band * dims as f64, window))
            })
            .collect();
        ranked.sort_by(|a, b| a.0.total_cmp(&b.0));
        for (cost, window) in ranked {
            let lattice = self.lattice(window, settings.rtol);
            if self.measured(window, &lattice) <= settings.rtol.max(1e-13) {
                return Some((window, lattice, cost));
            }
        }
        None
    }

    fn lattice(&mut self, window: Window, rtol: f64) -> Vec<f64> {
        let key = (window.width, window.spacing.to_bits());
        let (lattice, _) = self.known.entry(key).or_insert_with(|| {
            let lattice = window.lattice(1e-2 * rtol);
            let error = window.measured_error(&lattice);
            (lattice, error)
        });
        lattice.clone()
    }

    fn measured(&self, window: Window, lattice: &[f64]) -> f64 {
        let key = (window.width, window.spacing.to_bits());
        self.known.get(&key).map_or_else(|| window.measured_error(lattice), |(_, error)| *error)
    }
}

fn validate(xy: ArrayView2<f64>, samples: Option<ArrayView1<i64>>, settings: PlanSettings) -> Result<()> {
    check::finite("xy", xy)?;
    check::radius(settings.kernel.sigma)?;
    if !(2..=3).contains(&xy.ncols()) || (settings.method == Method::Anchors && xy.ncols() != 2) {
        let expected = if settings.method == Method::Anchors { "2" } else { "2 or 3" };
        let found = format!("{} columns", xy.ncols());
        return Err(Error::Shape { name: "xy", found, expected: expected.to_string() });
    }
    if let Some(samples) = samples {
        check::same_rows("xy", xy.nrows(), "samples", samples.len())?;
    }
    let parameter =
        |name, value: f64, expected| Err(Error::Parameter { name, value: value.to_string(), expected });
    if !(1e-13..=1e-2).contains(&settings.rtol) {
        return parameter("rtol", settings.rtol, "give a number from 1e-13 to 1e-2");
    }
    if !(settings.factor.is_finite() && settings.factor > 0.0) {
        return parameter("factor", settings.factor, "give a positive number, for example 0.5");
    }
    // bucket and node numbers are counted in integers: refuse coordinates that would overflow them
    let span = xy.iter().fold(0.0_f64, |m, x| m.max(x.abs()));
    if span / settings.kernel.sigma > 1e15 {
        return parameter("radius", settings.kernel.sigma, "it is too small for coordinates of this size");
    }
    Ok(())
}
