//! The anchor grid of earlier tools: exact sums at the nodes of a coarse grid, bilinear in between.
//!
//! Kept to reproduce their results. Its error is about factor^2 / 8 per axis, against any accuracy of the mesh.

use super::Kernel;
use ndarray::{Array2, ArrayView2, Axis};
use rayon::prelude::*;

/// Grid of anchors over the bounding box, padded by one spacing.
#[derive(Debug, Clone)]
pub struct Anchors {
    origin: [f64; 2],
    nodes: [usize; 2],
    spacing: f64,
    kernel: Kernel,
}

impl Anchors {
    /// Grid with spacing `factor` standard deviations; `None` when it would have as many anchors as cells.
    pub fn new(xy: ArrayView2<f64>, kernel: Kernel, factor: f64) -> Option<Self> {
        let spacing = factor * kernel.sigma;
        let (mut origin, mut nodes) = ([0.0; 2], [0; 2]);
        for a in 0..2 {
            let column = xy.column(a);
            let low = column.fold(f64::INFINITY, |m, &x| m.min(x)) - spacing;
            let high = column.fold(f64::NEG_INFINITY, |m, &x| m.max(x)) + spacing;
            origin[a] = low;
            nodes[a] = ((high - low) / spacing).ceil() as usize + 1;
        }
        let total = nodes[0].checked_mul(nodes[1])?;
        (total < xy.nrows()).then_some(Self { origin, nodes, spacing, kernel })
    }

    /// Interpolated sums, cells x ligands.
    pub fn apply(&self, xy: ArrayView2<f64>, values: ArrayView2<f64>) -> Array2<f64> {
        let at_anchors = self.sums(xy, values);
        let [nx, ny] = self.nodes;
        let mut out = Array2::zeros(values.raw_dim());
        out.axis_iter_mut(Axis(0)).into_par_iter().enumerate().for_each(|(i, mut row)| {
            let u = (xy[[i, 0]] - self.origin[0]) / self.spacing;
            let v = (xy[[i, 1]] - self.origin[1]) / self.spacing;
            let (a, b) = (u.floor() as usize, v.floor() as usize);
            let (fu, fv) = (u - a as f64, v - b as f64);
            let (right, up) = ((a + 1).min(nx - 1), (b + 1).min(ny - 1));
            row.scaled_add((1.0 - fu) * (1.0 - fv), &at_anchors.row(b * nx + a));
            row.scaled_add(fu * (1.0 - fv), &at_anchors.row(b * nx + right));
            row.scaled_add((1.0 - fu) * fv, &at_anchors.row(up * nx + a));
            row.scaled_add(fu * fv, &at_anchors.row(up * nx + right));
        });
        out
    }

    fn sums(&self, xy: ArrayView2<f64>, values: ArrayView2<f64>) -> Array2<f64> {
        let [nx, ny] = self.nodes;
        let (slope, limit) = (-0.5 / (self.kernel.sigma * self.kernel.sigma), self.kernel.cutoff);
        let mut sums = Array2::zeros((nx * ny, values.ncols()));
        sums.axis_iter_mut(Axis(0)).into_par_iter().enumerate().for_each(|(node, mut row)| {
            let x = self.origin[0] + (node % nx) as f64 * self.spacing;
            let y = self.origin[1] + (node / nx) as f64 * self.spacing;
            for (cell, value) in xy.outer_iter().zip(values.outer_iter()) {
                let d2 = (x - cell[0]).powi(2) + (y - cell[1]).powi(2);
                if d2 <= limit * limit {
                    row.scaled_add((slope * d2).exp(), &value);
                }
            }
        });
        sums
    }
}
