//! One target with explicit columns.

use super::fit::{Mix, fit_joint_source};
use super::noise::Noise;
use super::problem::{JointSource, LEAST_CELLS, TypeSource};
use crate::check;
use crate::error::{Error, Result};
use crate::lasso::assemble::Target;
use crate::lasso::moments::Moments;
use crate::lasso::quadratic::{dot, rows_times, sum};
use crate::lasso::regularization::{check_kappa, check_share};
use crate::lasso::single::{not_too_large, take_mean};
use crate::lasso::source::{Cells, Source};
use crate::lasso::{Settings, syrk};
use ndarray::{Array2, ArrayView1, ArrayView2};

/// One joint problem.
#[derive(Debug, Clone, Copy)]
pub struct JointInput<'a> {
    /// Cells x columns.
    pub x: ArrayView2<'a, f64>,
    /// Target per cell.
    pub y: ArrayView1<'a, f64>,
    /// Type of each cell.
    pub types: &'a [i64],
    /// Number of types.
    pub n_types: usize,
    /// Multiplier of the noise level.
    pub kappa: f64,
    /// Share of the L1 penalty.
    pub l1_share: f64,
    /// Standard deviation of the noise of each entry of `x`, and the noisy gene of each column (negative: none).
    pub noise: Option<(ArrayView2<'a, f64>, &'a [i64])>,
}

/// Solution with its certificate.
#[derive(Debug, Clone)]
pub struct JointFit {
    /// Types x columns, for the raw columns.
    pub coef: Array2<f64>,
    /// Intercept of each type for the raw columns.
    pub intercept: Vec<f64>,
    /// Objective on the scale that is penalized.
    pub objective: f64,
    /// Upper bound of the distance of the objective to its minimum.
    pub gap: f64,
    /// Sweeps.
    pub n_iter: usize,
    /// False when the sweeps were used up.
    pub converged: bool,
    /// Smallest multiplier that leaves the model empty.
    pub lambda_max: f64,
}

/// Fit one target in all types together.
///
/// # Errors
/// When shapes disagree, a value is not finite or too large to be squared, or a setting is outside its range.
pub fn fit(input: &JointInput<'_>, settings: Settings) -> Result<JointFit> {
    let checked = settings.check()?;
    check_input(input)?;
    let p = input.x.ncols();
    let groups = vec![0; p];
    let types: Vec<TypeSource<'_>> = (0..input.n_types).map(|c| type_source(input, c, &groups)).collect();
    let mix = Mix { l1_share: input.l1_share, dense_share: 0.0 };
    let fitted = fit_joint_source(&JointSource::new(types), 0, &[input.kappa], mix, checked.control);
    let coef = Array2::from_shape_fn((input.n_types, p), |(c, j)| fitted.models[c].beta[j]);
    Ok(JointFit {
        coef,
        intercept: fitted.intercept,
        objective: fitted.outcome.primal,
        gap: fitted.outcome.gap,
        n_iter: fitted.outcome.n_iter,
        converged: fitted.outcome.rule.converged(),
        lambda_max: fitted.lambda_max,
    })
}

fn check_input(input: &JointInput<'_>) -> Result<()> {
    check::finite("X", input.x)?;
    check::finite_vector("y", input.y)?;
    not_too_large("X", input.x.iter())?;
    not_too_large("y", input.y.iter())?;
    check::same_rows("X", input.x.nrows(), "y", input.y.len())?;
    check::same_rows("X", input.x.nrows(), "types", input.types.len())?;
    check::indices("types", input.types.iter().copied(), input.n_types)?;
    check_kappa(input.kappa)?;
    check_share("l1_share", input.l1_share)?;
    let Some((sd, source)) = input.noise else { return Ok(()) };
    check::finite("noise", sd)?;
    if sd.dim() != input.x.dim() || source.len() != input.x.ncols() {
        return Err(Error::Shape {
            name: "noise",
            found: format!("shape {} x {} with {} sources", sd.nrows(), sd.ncols(), source.len()),
            expected: format!("{} x {}, as X, with a source per column", input.x.nrows(), input.x.ncols()),
        });
    }
    Ok(())
}

fn type_source<'a>(input: &JointInput<'_>, c: usize, groups: &'a [i64]) -> TypeSource<'a> {
    let rows: Vec<usize> = (0..input.types.len()).filter(|&i| input.types[i] == c as i64).collect();
    let (n, p) = (rows.len(), groups.len());
    let target = Target::new(rows.iter().map(|&i| input.y[i]).collect());
    let allowed = vec![true; p];
    if n < LEAST_CELLS {
        let columns = vec![0.0; n * p];
        let source = Source::from_rows(groups, allowed, &target, columns, std::slice::from_ref(&(0..n)));
        return TypeSource { source, set_of_fold: Vec::new(), noise: None };
    }
    let mut columns: Vec<f64> = (0..p).flat_map(|j| rows.iter().map(move |&i| input.x[[i, j]])).collect();
    let source = if n > p {
        let means = columns.chunks_exact_mut(n).map(take_mean).collect();
        let total = moments(&columns, &target.values);
        let cells = Cells::Moments { total, sets: Vec::new() };
        Source { groups, allowed, means, mean_y: target.mean, cells }
    } else {
        Source::from_rows(groups, allowed, &target, columns, std::slice::from_ref(&(0..n)))
    };
    let variances: Vec<f64> = (0..p).map(|j| source.variance(j)).collect();
    let noise = input.noise.and_then(|(sd, genes)| {
        let deviations: Vec<Vec<f64>> = (0..p).map(|j| rows.iter().map(|&i| sd[[i, j]]).collect()).collect();
        Noise::new(genes, &deviations, &variances, std::slice::from_ref(&(0..n)))
    });
    TypeSource { source, set_of_fold: Vec::new(), noise }
}

/// Moments of centered columns, one after the other.
fn moments(columns: &[f64], y: &[f64]) -> Moments {
    let n = y.len();
    let p = columns.len() / n;
    let mut xy = vec![0.0; p];
    rows_times(columns, y, &mut xy);
    Moments {
        n,
        x: columns.chunks_exact(n).map(sum).collect(),
        y: sum(y),
        xx: syrk::gram(columns, n, p),
        xy,
        yy: dot::<false>(y, y),
    }
}
