//! The plan of a received-ligand computation: which method handles which cells.

use super::anchors::Anchors;
use super::direct::Direct;
use super::kernel::{Coordinates, Kernel, Shape};
use super::mesh::Mesh;
use super::meter::Meter;
use super::output::OutputRows;
use super::pieces;
use super::{Columns, Job};
use crate::error::{Error, Result};
use crate::simd::fma;
use crate::watch::Watch;
use crate::{check, widest};
use ndarray::{Array2, ArrayView1, ArrayView2, ArrayViewMut2};
use rayon::prelude::*;

/// How the sum over cells is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Mesh or direct, whichever needs fewer operations at the wanted accuracy.
    Auto,
    /// Every pair of cells, exactly.
    Direct,
    /// Lattice with a controlled error; kernel `Gaussian` only.
    Mesh,
    /// Bilinear interpolation of a coarse grid, as the published programs do; two dimensions only.
    Anchors,
}

/// What a plan is made for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Shape of the signal.
    pub kernel: Kernel,
    /// Way of computing.
    pub method: Method,
    /// Radius in the units of the coordinates.
    pub radius: f64,
    /// Error allowed, relative to the largest value of each ligand (1e-13 to 1e-2).
    pub rtol: f64,
    /// Spacing of the anchors in units of the kernel's sigma.
    pub factor: f64,
    /// Number of ligands the plan expects: enters the choice of the method.
    pub n_ligands: usize,
}

impl Settings {
    /// Gaussian kernel, method chosen by cost, relative error 1e-6.
    pub fn gaussian(radius: f64) -> Self {
        Self {
            kernel: Kernel::Gaussian,
            method: Method::Auto,
            radius,
            rtol: 1e-6,
            factor: 0.5,
            n_ligands: 50,
        }
    }

    fn check(&self, dimensions: usize) -> Result<Shape> {
        check::radius(self.radius)?;
        if !(1e-13..=1e-2).contains(&self.rtol) {
            return Err(parameter("rtol", self.rtol, "give a relative error from 1e-13 to 1e-2"));
        }
        if !(self.factor.is_finite() && self.factor > 0.0) {
            return Err(parameter("factor", self.factor, "give a positive anchor spacing in units of sigma"));
        }
        if self.method == Method::Mesh && self.kernel != Kernel::Gaussian {
            let expected = "the mesh needs kernel gaussian: the others jump at their edge, use direct";
            return Err(Error::Parameter { name: "method", value: "mesh".into(), expected });
        }
        if self.method == Method::Anchors && dimensions != 2 {
            let expected = "anchors exist in two dimensions only: use mesh or direct";
            return Err(Error::Parameter { name: "method", value: "anchors".into(), expected });
        }
        self.kernel.shape(self.radius)
    }
}

fn parameter(name: &'static str, value: f64, expected: &'static str) -> Error {
    Error::Parameter { name, value: value.to_string(), expected }
}

/// One method at work on some of the cells.
#[derive(Debug)]
pub(super) enum Engine {
    Direct(Direct),
    Mesh(Mesh),
    Anchors(Anchors),
}

/// Plan of a received-ligand computation on fixed coordinates, reusable for every expression.
#[derive(Debug)]
pub struct ReceivedPlan {
    cells: usize,
    engines: Vec<Engine>,
    method: Method,
    error_bound: f64,
}

impl ReceivedPlan {
    /// Exact Gaussian sum over all pairs of cells at `xy` (cells x dimensions) within each sample.
    ///
    /// # Errors
    /// As [`ReceivedPlan::with_settings`].
    pub fn new(xy: ArrayView2<f64>, samples: Option<ArrayView1<i64>>, radius: f64) -> Result<Self> {
        Self::with_settings(xy, samples, &Settings { method: Method::Direct, ..Settings::gaussian(radius) })
    }

    /// Plan for cells at `xy` (cells x 2 or 3, any unit shared with the radius).
    ///
    /// Cells of different `samples` do not signal to each other, and each sample divides by its own number
    /// of cells.
    ///
    /// # Errors
    /// When a coordinate is not finite, a setting is outside its range, or the shapes disagree.
    pub fn with_settings(
        xy: ArrayView2<f64>,
        samples: Option<ArrayView1<i64>>,
        settings: &Settings,
    ) -> Result<Self> {
        let dimensions = xy.ncols();
        if !(2..=3).contains(&dimensions) {
            let expected = "2 or 3 columns, one per dimension".to_string();
            return Err(Error::Shape { name: "xy", found: format!("{dimensions} columns"), expected });
        }
        check::finite("xy", xy)?;
        let shape = settings.check(dimensions)?;
        let mut plan =
            Self { cells: xy.nrows(), engines: Vec::new(), method: Method::Direct, error_bound: 0.0 };
        for rows in rows_by_sample(xy.nrows(), samples)? {
            let mut points = Coordinates::default();
            for &row in &rows {
                points.push([xy[[row, 0]], xy[[row, 1]], if dimensions == 3 { xy[[row, 2]] } else { 0.0 }]);
            }
            if points.widest_axis() > 1e12 * shape.sigma {
                let expected = "it is below 1e-12 of the extent of the coordinates: check the units";
                return Err(parameter("radius", settings.radius, expected));
            }
            plan.add_sample(&points, &rows, dimensions, shape, settings);
        }
        Ok(plan)
    }

    fn add_sample(
        &mut self,
        points: &Coordinates,
        rows: &[usize],
        dimensions: usize,
        shape: Shape,
        settings: &Settings,
    ) {
        let exact = || Engine::Direct(Direct::new(points, rows, rows.len(), shape));
        match settings.method {
            Method::Anchors => match Anchors::new(points, rows, shape, settings.factor) {
                Some(anchors) => {
                    self.method = Method::Anchors;
                    self.error_bound = self.error_bound.max(anchors.error_bound());
                    self.engines.push(Engine::Anchors(anchors));
                }
                None => self.engines.push(exact()),
            },
            Method::Auto | Method::Mesh if !shape.reach.is_finite() => {
                let split = pieces::split(points, rows, dimensions, shape, settings);
                if split.engines.iter().any(|engine| matches!(engine, Engine::Mesh(_))) {
                    self.method = Method::Mesh;
                }
                self.error_bound = self.error_bound.max(split.error_bound);
                self.engines.extend(split.engines);
            }
            _ => self.engines.push(exact()),
        }
    }

    /// Number of cells the plan was made for.
    pub fn cells(&self) -> usize {
        self.cells
    }

    /// The method in use: `Mesh` as soon as it handles some of the cells, never `Auto`.
    pub fn method(&self) -> Method {
        self.method
    }

    /// Bound on the absolute error of every value, in units of `scale * mean |ligand|` of the sample.
    pub fn error_bound(&self) -> f64 {
        self.error_bound
    }

    /// Received amount of each ligand at each cell (cells x ligands).
    ///
    /// # Errors
    /// When the rows disagree with the plan, a value is not finite, or the caller asked to stop.
    pub fn apply(&self, ligands: ArrayView2<f64>, scale: f64, watch: &dyn Watch) -> Result<Array2<f64>> {
        let mut received = Array2::zeros(ligands.dim());
        self.apply_into(ligands, scale, received.view_mut(), watch)?;
        Ok(received)
    }

    /// As [`ReceivedPlan::apply`], into a row-major matrix of the caller, whose content is lost.
    ///
    /// # Errors
    /// As [`ReceivedPlan::apply`], and when `received` has another shape than `ligands` or is not row-major.
    pub fn apply_into(
        &self,
        ligands: ArrayView2<f64>,
        scale: f64,
        received: ArrayViewMut2<f64>,
        watch: &dyn Watch,
    ) -> Result<()> {
        check::same_rows("xy", self.cells, "ligands", ligands.nrows())?;
        if !scale.is_finite() {
            return Err(parameter("scale", scale, "give a finite number"));
        }
        let found = format!("shape {:?}", received.dim());
        let out = if received.dim() == ligands.dim() { OutputRows::new(received) } else { None };
        let Some(out) = out else {
            let expected = format!("shape {:?}, row-major", ligands.dim());
            return Err(Error::Shape { name: "received", found, expected });
        };
        let ligands = ligands.as_standard_layout();
        let negative = scan(ligands.view())?;
        let floor = if negative || scale < 0.0 { f64::NEG_INFINITY } else { 0.0 };
        let width = ligands.ncols();
        let job = Job { ligands: ligands.as_slice().unwrap_or_default(), width, scale, floor };
        let passes = |engine: &Engine| Columns::passes(width, engine.columns_per_pass(width));
        let total = self.engines.iter().map(|engine| engine.steps() * passes(engine).count()).sum();
        let meter = Meter::new(watch, total);
        for engine in &self.engines {
            for columns in passes(engine) {
                engine.apply(job, columns, &out, &meter);
                meter.check()?;
            }
        }
        Ok(())
    }
}

impl Engine {
    fn steps(&self) -> usize {
        match self {
            Self::Direct(direct) => direct.steps(),
            Self::Mesh(mesh) => mesh.steps(),
            Self::Anchors(anchors) => anchors.steps(),
        }
    }

    /// Columns per pass: what the caches and the memory of the lattice bear.
    fn columns_per_pass(&self, width: usize) -> usize {
        let cached = if width > 512 { 256 } else { width };
        match self {
            Self::Mesh(mesh) => cached.min(mesh.columns_per_pass()),
            Self::Direct(_) | Self::Anchors(_) => cached,
        }
    }

    fn apply(&self, job: Job<'_>, columns: Columns, out: &OutputRows<'_>, meter: &Meter<'_>) {
        match self {
            Self::Direct(direct) => direct.apply(job, columns, out, meter),
            Self::Mesh(mesh) => mesh.apply(job, columns, out, meter),
            Self::Anchors(anchors) => anchors.apply(job, columns, out, meter),
        }
    }
}

/// Rows of each sample, in the order of the sample numbers.
fn rows_by_sample(cells: usize, samples: Option<ArrayView1<i64>>) -> Result<Vec<Vec<usize>>> {
    let Some(samples) = samples else {
        return Ok(if cells == 0 { Vec::new() } else { vec![(0..cells).collect()] });
    };
    check::same_rows("xy", cells, "samples", samples.len())?;
    let mut groups = std::collections::BTreeMap::<i64, Vec<usize>>::new();
    for (row, sample) in samples.iter().enumerate() {
        groups.entry(*sample).or_default().push(row);
    }
    Ok(groups.into_values().collect())
}

/// Whether some value is negative.
///
/// # Errors
/// When some value is not finite.
fn scan(ligands: ArrayView2<f64>) -> Result<bool> {
    let values = ligands.as_slice().unwrap_or_default();
    let parts: Vec<[f64; 2]> = values
        .par_chunks(1 << 16)
        .map(|part| {
            let mut found = [0.0; 2];
            lowest_and_finite(part, &mut found);
            found
        })
        .collect();
    if parts.iter().any(|[_, zero]| zero.is_nan()) {
        check::finite("ligands", ligands)?;
    }
    Ok(parts.iter().any(|[lowest, _]| *lowest < 0.0))
}

widest! {
    /// Smallest value (at most 0), and a sum that is NaN exactly when some value is not finite.
    fn lowest_and_finite(values: &[f64], found: &mut [f64; 2]) {
        let (mut lowest, mut zero) = ([0.0; 32], [0.0; 32]);
        let (whole, rest) = values.as_chunks::<32>();
        for chunk in whole {
            for l in 0..32 {
                lowest[l] = if chunk[l] < lowest[l] { chunk[l] } else { lowest[l] };
                zero[l] = fma::<FMA>(chunk[l], 0.0, zero[l]);
            }
        }
        for (l, value) in rest.iter().enumerate() {
            lowest[l] = lowest[l].min(*value);
            zero[l] += value * 0.0;
        }
        *found = [lowest.iter().copied().fold(0.0, f64::min), zero.iter().sum()];
    }
}
