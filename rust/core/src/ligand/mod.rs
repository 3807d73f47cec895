//! Ligand received by every cell under a Gaussian kernel.

use crate::check;
use crate::error::Result;
use crate::watch::Watch;
use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis};
use rayon::prelude::*;

/// Plan of a received-ligand computation on fixed coordinates, reusable for every expression.
#[derive(Debug, Clone)]
pub struct ReceivedPlan {
    xy: Array2<f64>,
    samples: Option<Array1<i64>>,
    radius: f64,
}

impl ReceivedPlan {
    /// Plan for cells at `xy` (cells x dimensions).
    ///
    /// # Errors
    /// When coordinates are not finite or the radius is not positive.
    pub fn new(xy: ArrayView2<f64>, samples: Option<ArrayView1<i64>>, radius: f64) -> Result<Self> {
        check::finite("xy", xy)?;
        check::radius(radius)?;
        Ok(Self { xy: xy.to_owned(), samples: samples.map(|s| s.to_owned()), radius })
    }

    /// Received amount of each ligand at each cell (cells x ligands).
    ///
    /// # Errors
    /// When the rows disagree with the plan.
    pub fn apply(&self, ligands: ArrayView2<f64>, scale: f64, _watch: &dyn Watch) -> Result<Array2<f64>> {
        check::same_rows("xy", self.xy.nrows(), "ligands", ligands.nrows())?;
        let (n, weight) = (self.xy.nrows() as f64, -0.5 / (self.radius * self.radius));
        let mut out = Array2::zeros(ligands.raw_dim());
        out.axis_iter_mut(Axis(0)).into_par_iter().enumerate().for_each(|(i, mut row)| {
            let here = self.xy.row(i);
            for (j, (there, amount)) in self.xy.outer_iter().zip(ligands.outer_iter()).enumerate() {
                if self.samples.as_ref().is_some_and(|s| s[i] != s[j]) {
                    continue;
                }
                let d2: f64 = here.iter().zip(there).map(|(a, b)| (a - b) * (a - b)).sum();
                row.scaled_add(scale / n * (weight * d2).exp(), &amount);
            }
        });
        Ok(out)
    }
}
