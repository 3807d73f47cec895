//! One problem: check, center, order by group, solve, certify on the data.

use super::data_space::Data;
use super::fista::Reference;
use super::form::Form;
use super::gap::{StopRule, certificate_from, kkt_residual};
use super::gram::Gram;
use super::groups::{GroupReg, Layout, Penalty};
use super::prox::soft_norm;
use super::quadratic::{axpy, dot, rows_times, sum};
use super::{Outcome, Settings, Solver, syrk};
use crate::check;
use crate::error::{Error, Result};
use ndarray::{ArrayView1, ArrayView2};

/// A column whose standard deviation is below this share of its root mean square is constant.
pub(crate) const CONSTANT: f64 = 1e-12;

/// Squares of larger numbers come too near the end of the range of float64.
const LARGEST: f64 = 1e140;

/// One sparse group lasso problem.
#[derive(Debug, Clone)]
pub struct Problem<'a> {
    /// Cells x columns.
    pub x: ArrayView2<'a, f64>,
    /// Target per cell.
    pub y: ArrayView1<'a, f64>,
    /// Group label per column; negative labels carry no group penalty.
    pub groups: &'a [i64],
    /// Penalty on the group norms.
    pub group_reg: GroupReg,
    /// Penalty on the absolute values.
    pub l1_reg: f64,
    /// Fit a free intercept.
    pub fit_intercept: bool,
    /// Coefficients to start from; zeros otherwise.
    pub warm_start: Option<&'a [f64]>,
}

/// Solution with its certificate.
#[derive(Debug, Clone)]
pub struct Fit {
    /// Coefficient per column of the input.
    pub coef: Vec<f64>,
    /// Intercept for columns that are not centered.
    pub intercept: f64,
    /// Objective at the solution.
    pub objective: f64,
    /// Upper bound of the distance of the objective to its minimum.
    pub gap: f64,
    /// Sweeps or iterations.
    pub n_iter: usize,
    /// Rule that ended the fit.
    pub rule: StopRule,
    /// Largest violation of the optimality conditions.
    pub kkt_residual: f64,
    /// For each group the smallest penalty that makes it zero when it is alone in the model.
    pub lambda_max: Vec<f64>,
}

/// Columns one after the other with their means taken out.
pub(crate) struct Centered {
    pub(crate) columns: Vec<f64>,
    pub(crate) means: Vec<f64>,
    pub(crate) live: Vec<bool>,
}

impl Centered {
    /// Center the columns; a column without variation is marked dead. `base` are means that were taken out
    /// before.
    pub(crate) fn new(mut columns: Vec<f64>, n: usize, center: bool, base: Option<&[f64]>) -> Self {
        let p = columns.len() / n.max(1);
        let (mut means, mut live) = (Vec::with_capacity(p), Vec::with_capacity(p));
        for (j, column) in columns.chunks_exact_mut(n.max(1)).enumerate() {
            let before = base.map_or(0.0, |means| means[j]);
            let raw = dot::<false>(column, column) + n as f64 * before * before;
            let mean = if center { take_mean(column) } else { 0.0 };
            let left = dot::<false>(column, column);
            means.push(mean);
            live.push(left > CONSTANT * CONSTANT * raw && left > 1e-200);
        }
        Self { columns, means, live }
    }
}

/// Subtract the mean, correcting the rounding of the first pass in a second one. Returns the mean.
pub(crate) fn take_mean(values: &mut [f64]) -> f64 {
    let n = values.len().max(1) as f64;
    let mut total = 0.0;
    for _ in 0..2 {
        let mean = sum(values) / n;
        values.iter_mut().for_each(|v| *v -= mean);
        total += mean;
    }
    total
}

/// Fit one problem.
///
/// # Errors
/// When shapes disagree, a value is not finite or too large to be squared, or a penalty or setting is outside
/// its range.
pub fn fit(problem: &Problem<'_>, settings: Settings) -> Result<Fit> {
    let checked = settings.check()?;
    check_problem(problem)?;
    let (n, p) = problem.x.dim();
    let centered = Centered::new(transposed(problem.x), n, problem.fit_intercept, None);
    let mut y = problem.y.to_vec();
    let mean_y = if problem.fit_intercept { take_mean(&mut y) } else { 0.0 };
    let is_reference = checked.solver == Solver::Reference;
    let layout =
        Layout::new(problem.groups, &centered.live, &problem.group_reg, problem.l1_reg, is_reference)?;
    let columns = ordered(&centered.columns, n, &layout.order);
    let mut w: Vec<f64> =
        layout.order.iter().map(|&c| problem.warm_start.map_or(0.0, |start| start[c])).collect();
    let means: Vec<f64> = layout.order.iter().map(|&c| mean_of(problem, &centered, c)).collect();
    let setup = Reference { mean_y: problem.fit_intercept.then_some(mean_y), means: &means };
    let m = layout.penalized;
    let form = if n > p {
        Form::Gram(gram_of(&columns, &y))
    } else {
        Form::Data(Data::new(columns.clone(), y.clone()))
    };
    let (form, gone) = form.reduce(m);
    let (outcome, intercept) = form.solve(&layout.penalty, &mut w[..m], checked, &setup);
    let free = gone.coefficients(&w[..m]);
    w[m..].copy_from_slice(&free);
    let offset = intercept.map_or(0.0, |b| b - mean_y);
    let lambda_max = lambda_max(&layout, form.linear());
    let mut found = certify(&columns, &y, &layout, &w, offset, outcome);
    let mut coef = vec![0.0; p];
    for (&column, &value) in layout.order.iter().zip(&w) {
        coef[column] = if value.is_finite() { value } else { 0.0 };
    }
    let used: f64 = coef.iter().zip(&centered.means).map(|(w, m)| w * m).sum();
    found.intercept = if problem.fit_intercept { mean_y + offset - used } else { 0.0 };
    Ok(Fit { coef, lambda_max, ..found })
}

fn check_problem(problem: &Problem<'_>) -> Result<()> {
    let (n, p) = problem.x.dim();
    check::same_rows("X", n, "y", problem.y.len())?;
    if n == 0 {
        let expected = "at least one cell".to_string();
        return Err(Error::Shape { name: "X", found: "no rows".into(), expected });
    }
    let lengths =
        [("groups", Some(problem.groups.len())), ("warm_start", problem.warm_start.map(<[_]>::len))];
    for (name, length) in lengths {
        if let Some(length) = length.filter(|&length| length != p) {
            let (found, expected) = (format!("{length} entries"), format!("one per column of X, {p}"));
            return Err(Error::Shape { name, found, expected });
        }
    }
    check::finite("X", problem.x)?;
    check::finite_vector("y", problem.y)?;
    if let Some(start) = problem.warm_start {
        check::finite_vector("warm_start", ArrayView1::from(start))?;
    }
    not_too_large("X", problem.x.iter())?;
    not_too_large("y", problem.y.iter())
}

/// Refuse values whose squares would overflow.
pub(crate) fn not_too_large<'a>(name: &'static str, mut values: impl Iterator<Item = &'a f64>) -> Result<()> {
    match values.find(|v| v.abs() > LARGEST) {
        Some(v) => {
            let expected = "rescale it: squares of values above 1e140 overflow";
            Err(Error::Parameter { name, value: v.to_string(), expected })
        }
        None => Ok(()),
    }
}

fn transposed(x: ArrayView2<f64>) -> Vec<f64> {
    let (n, p) = x.dim();
    let mut columns = vec![0.0; n * p];
    for (i, row) in x.outer_iter().enumerate() {
        for (j, &value) in row.iter().enumerate() {
            columns[j * n + i] = value;
        }
    }
    columns
}

pub(crate) fn ordered(columns: &[f64], n: usize, order: &[usize]) -> Vec<f64> {
    let mut out = Vec::with_capacity(order.len() * n);
    for &column in order {
        out.extend_from_slice(&columns[column * n..(column + 1) * n]);
    }
    out
}

/// Mean of a raw column: what the reference's column of ones sees when nothing is centered.
fn mean_of(problem: &Problem<'_>, centered: &Centered, column: usize) -> f64 {
    if problem.fit_intercept {
        return centered.means[column];
    }
    problem.x.column(column).sum() / problem.x.nrows() as f64
}

fn gram_of(columns: &[f64], y: &[f64]) -> Gram {
    let n = y.len();
    let p = columns.len() / n;
    let xx = syrk::gram(columns, n, p);
    let mut xy = vec![0.0; p];
    rows_times(columns, y, &mut xy);
    xy.iter_mut().for_each(|v| *v /= n as f64);
    Gram::new(xy, dot::<false>(y, y) / n as f64, |i, rows| {
        rows.extend(xx[i * p..(i + 1) * p].iter().map(|v| v / n as f64));
    })
}

/// For each group `||S(q_g, l1)||_2` in units of the penalty; groups without a usable column have 0.
pub(crate) fn lambda_max(layout: &Layout, linear: &[f64]) -> Vec<f64> {
    let mut out = vec![0.0; layout.n_groups];
    for block in &layout.penalty.blocks {
        if let Some(rank) = block.rank {
            out[rank] = soft_norm(&linear[block.start..block.end], layout.penalty.l1) / block.factor;
        }
    }
    out
}

/// Objective, gap and residual of the conditions from the data, free of the rounding of the Gram matrix.
fn certify(columns: &[f64], y: &[f64], layout: &Layout, w: &[f64], offset: f64, outcome: Outcome) -> Fit {
    let n = y.len();
    let mut residual = y.to_vec();
    for (column, &w) in columns.chunks_exact(n).zip(w) {
        if w != 0.0 {
            axpy::<false>(&mut residual, -w, column);
        }
    }
    let m = layout.penalized;
    let mut descent = vec![0.0; m];
    rows_times(&columns[..m * n], &residual, &mut descent);
    descent.iter_mut().for_each(|v| *v /= n as f64);
    let moments = (dot::<false>(&residual, &residual) / n as f64, dot::<false>(y, &residual) / n as f64);
    let penalty: &Penalty = &layout.penalty;
    let found = certificate_from(&descent, moments, penalty, &w[..m]);
    // A wrong intercept adds half its square to both objective and gap.
    let extra = 0.5 * offset * offset;
    Fit {
        coef: Vec::new(),
        intercept: 0.0,
        objective: found.primal + extra,
        gap: found.gap + extra,
        n_iter: outcome.n_iter,
        rule: outcome.rule,
        kkt_residual: kkt_residual(&descent, penalty, &w[..m]).max(offset.abs()),
        lambda_max: Vec::new(),
    }
}
