//! The grid approximation of the published programs, kept to reproduce their numbers.
//!
//! Anchors on a square grid of spacing `h = factor * sigma` around the bounding box of the cells receive the
//! exact sum; cells take the bilinear interpolation of the four anchors around them. One pass over the
//! cells per anchor, as published; anchors that no cell looks at are skipped.

use super::kernel::{Coordinates, Shape};
use super::meter::Meter;
use super::output::OutputRows;
use super::{Columns, Job};
use crate::simd::fma;
use crate::widest;
use rayon::prelude::*;

/// Cells between two looks at the wish to stop.
const STRIDE: usize = 4096;

/// Plan of the anchor grid.
#[derive(Debug)]
pub(super) struct Anchors {
    shape: Shape,
    points: Coordinates,
    rows: Vec<usize>,
    /// Position of each anchor that some cell looks at.
    anchors: Vec<[f64; 2]>,
    /// The four anchors of each cell and their weights.
    corners: Vec<[(u32, f64); 4]>,
    error: f64,
}

impl Anchors {
    /// The grid, or nothing when it would have at least as many anchors as there are cells.
    pub(super) fn new(points: &Coordinates, rows: &[usize], shape: Shape, factor: f64) -> Option<Self> {
        let h = factor * shape.sigma;
        let axis = |a: usize| {
            let (lowest, highest) = points.extent(a);
            let (start, end) = (lowest - h, highest + h);
            (start, ((end - start) / h).ceil() + 1.0)
        };
        let ((x0, nx), (y0, ny)) = (axis(0), axis(1));
        if nx * ny >= points.len() as f64 {
            return None;
        }
        let (nx, ny) = (nx as usize, ny as usize);
        let corner = |i: usize| {
            let [x, y, _] = points.at(i);
            let (u, v) = ((x - x0) / h, (y - y0) / h);
            let (a, b) = ((u as usize).min(nx - 1), (v as usize).min(ny - 1));
            let (fu, fv) = (u - a as f64, v - b as f64);
            let (right, up) = ((a + 1).min(nx - 1), (b + 1).min(ny - 1));
            [
                (b * nx + a, (1.0 - fu) * (1.0 - fv)),
                (b * nx + right, fu * (1.0 - fv)),
                (up * nx + a, (1.0 - fu) * fv),
                (up * nx + right, fu * fv),
            ]
        };
        let corners: Vec<[(usize, f64); 4]> = (0..points.len()).map(corner).collect();
        let mut used = vec![false; nx * ny];
        corners.iter().flatten().for_each(|(anchor, _)| used[*anchor] = true);
        let mut number = vec![0_u32; nx * ny];
        let mut anchors = Vec::new();
        for anchor in (0..nx * ny).filter(|a| used[*a]) {
            number[anchor] = anchors.len() as u32;
            anchors.push([x0 + (anchor % nx) as f64 * h, y0 + (anchor / nx) as f64 * h]);
        }
        let corners = corners.iter().map(|four| four.map(|(a, weight)| (number[a], weight))).collect();
        // Bilinear interpolation: h^2 / 8 of the second derivative, at most 1 / sigma^2, on each axis;
        // a kernel with an edge jumps there by its weight.
        let jump = if shape.reach.is_finite() { shape.weight(shape.reach) } else { 0.0 };
        let error = factor * factor / 4.0 + jump;
        Some(Self { shape, points: points.clone(), rows: rows.to_vec(), anchors, corners, error })
    }

    /// Bound on the error, in units of `scale * mean |ligand|`.
    pub(super) fn error_bound(&self) -> f64 {
        self.error
    }

    /// Steps that one pass reports.
    pub(super) fn steps(&self) -> usize {
        self.anchors.len() * self.rows.len()
    }

    /// Write every row of the plan once, for the given columns.
    pub(super) fn apply(&self, job: Job<'_>, columns: Columns, out: &OutputRows<'_>, meter: &Meter<'_>) {
        let factor = job.scale / self.rows.len() as f64;
        let mut values = vec![0.0; self.anchors.len() * columns.count];
        values.par_chunks_mut(columns.count).zip(&self.anchors).for_each(|(sum, anchor)| {
            if meter.running() {
                self.sum_at(*anchor, job, columns, sum, meter);
            }
            sum.iter_mut().for_each(|value| *value *= factor);
        });
        if !meter.running() {
            return;
        }
        self.rows.par_iter().zip(&self.corners).with_min_len(256).for_each(|(row, corners)| {
            let interpolate = |out: &mut [f64]| {
                out.fill(0.0);
                for (anchor, weight) in corners {
                    let start = *anchor as usize * columns.count;
                    add_scaled(out, *weight, &values[start..start + columns.count]);
                }
            };
            // SAFETY: every row of the caller's matrix is in one engine, once.
            unsafe { out.write(*row, columns, interpolate) };
        });
    }

    fn sum_at(&self, at: [f64; 2], job: Job<'_>, columns: Columns, sum: &mut [f64], meter: &Meter<'_>) {
        let exponent = -0.5 / (self.shape.sigma * self.shape.sigma);
        for (k, rows) in self.rows.chunks(STRIDE).enumerate() {
            for (c, row) in rows.iter().enumerate() {
                let [x, y, _] = self.points.at(k * STRIDE + c);
                let square = (x - at[0]) * (x - at[0]) + (y - at[1]) * (y - at[1]);
                if square.sqrt() <= self.shape.reach {
                    add_scaled(sum, (exponent * square).exp(), columns.of(job.row(*row)));
                }
            }
            if !meter.advance(rows.len()) {
                return;
            }
        }
    }
}

widest! {
    /// sum += weight * row
    fn add_scaled(sum: &mut [f64], weight: f64, row: &[f64]) {
        for (s, r) in sum.iter_mut().zip(row) {
            *s = fma::<FMA>(weight, *r, *s);
        }
    }
}
