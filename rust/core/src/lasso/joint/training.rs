//! The training cells of one type: second moments, or rows where there are more columns than cells.

use super::state::{Columns, TypeForm};
use crate::lasso::gram::Gram;
use crate::lasso::moments::Moments;
use crate::lasso::quadratic::{dot, rows_times};
use crate::lasso::single::{Centered, take_mean};
use crate::lasso::source::{Source, outside};
use crate::lasso::syrk;
use std::borrow::Cow;
use std::ops::Range;

/// Training cells of one type, measured from the means of all its cells.
pub(crate) enum Training<'a> {
    Moments { moments: Cow<'a, Moments>, live: Vec<bool> },
    Rows { centered: Centered, y: Vec<f64>, mean_y: f64 },
}

impl<'a> Training<'a> {
    /// `moments` are those of all cells of `source`, or of a part.
    pub(crate) fn of_moments(source: &Source<'_>, moments: Cow<'a, Moments>) -> Self {
        let live = source.live(&moments);
        Self::Moments { moments, live }
    }

    /// Columns one after the other, without the rows of `hold`; `means` were taken out of them.
    pub(crate) fn of_rows(means: &[f64], columns: &[f64], y: &[f64], hold: Option<&Range<usize>>) -> Self {
        let keep = |values: &[f64]| hold.map_or_else(|| values.to_vec(), |range| outside(values, range));
        let mut kept_y = keep(y);
        let mean_y = take_mean(&mut kept_y);
        let kept: Vec<f64> = columns.chunks_exact(y.len().max(1)).flat_map(keep).collect();
        let centered = Centered::new(kept, kept_y.len(), true, Some(means));
        Self::Rows { centered, y: kept_y, mean_y }
    }

    /// Number of cells.
    pub(crate) fn n(&self) -> usize {
        match self {
            Self::Moments { moments, .. } => moments.n,
            Self::Rows { y, .. } => y.len(),
        }
    }

    pub(crate) fn mean(&self, j: usize) -> f64 {
        match self {
            Self::Moments { moments, .. } => moments.mean(j),
            Self::Rows { centered, .. } => centered.means[j],
        }
    }

    pub(crate) fn mean_y(&self) -> f64 {
        match self {
            Self::Moments { moments, .. } => moments.mean_y(),
            Self::Rows { mean_y, .. } => *mean_y,
        }
    }

    /// Variance of column `j`; `None` when it is rounding only.
    pub(crate) fn variance(&self, j: usize) -> Option<f64> {
        match self {
            Self::Moments { moments, live } => live[j].then(|| moments.variance(j)),
            Self::Rows { centered, y, .. } => {
                let column = &centered.columns[j * y.len()..(j + 1) * y.len()];
                centered.live[j].then(|| dot::<false>(column, column) / y.len() as f64)
            }
        }
    }

    pub(crate) fn variance_y(&self) -> f64 {
        match self {
            Self::Moments { moments, .. } => moments.variance_y(),
            Self::Rows { y, .. } => dot::<false>(y, y) / y.len() as f64,
        }
    }

    /// Smooth part of the problem with the columns `order` times `factors`, and the target times `factor_y`.
    pub(crate) fn form(&self, order: &[usize], factors: &[f64], factor_y: f64) -> TypeForm {
        match self {
            Self::Moments { moments, .. } => TypeForm::Gram(moments.gram(order, factors, factor_y)),
            Self::Rows { .. } => {
                let (columns, y) = self.scaled(order, factors, factor_y);
                TypeForm::Data(Columns::new(&columns, &y))
            }
        }
    }

    /// Gram of the same columns.
    pub(crate) fn gram(&self, order: &[usize], factors: &[f64], factor_y: f64) -> Gram {
        if let Self::Moments { moments, .. } = self {
            return moments.gram(order, factors, factor_y);
        }
        let (columns, y) = self.scaled(order, factors, factor_y);
        let p = order.len();
        let xx = syrk::gram(&columns, y.len(), p);
        let mut xy = vec![0.0; p];
        rows_times(&columns, &y, &mut xy);
        Gram::new(xy, dot::<false>(&y, &y), |j, rows| rows.extend_from_slice(&xx[j * p..(j + 1) * p]))
    }

    /// Columns and target with `G = columns^T columns`.
    fn scaled(&self, order: &[usize], factors: &[f64], factor_y: f64) -> (Vec<f64>, Vec<f64>) {
        let Self::Rows { centered, y, .. } = self else { return (Vec::new(), Vec::new()) };
        let n = y.len();
        let root = 1.0 / (n as f64).sqrt();
        let column = |(&j, &by): (&usize, &f64)| {
            centered.columns[j * n..(j + 1) * n].iter().map(move |v| v * by * root)
        };
        let columns = order.iter().zip(factors).flat_map(column).collect();
        (columns, y.iter().map(|v| v * factor_y * root).collect())
    }
}
