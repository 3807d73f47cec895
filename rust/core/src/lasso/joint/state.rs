//! A point of the joint problem: coefficients of one column in all types lie next to each other.

use crate::lasso::gram::Gram;
use crate::lasso::groups::Block;
use crate::lasso::quadratic::{LANES, Quadratic, axpy, dot, registers_dot, rows_combined, rows_times};
use std::borrow::Cow;

/// Steps of the one-dimensional equation of a group; it is monotone and takes one when all types agree.
const STEPS: usize = 30;

/// Smooth part of one type, `v' G v / 2 - b' v`.
#[derive(Debug, Clone)]
pub enum TypeForm {
    /// Products of all pairs of columns.
    Gram(Gram),
    /// Columns of which there are more than cells.
    Data(Columns),
}

/// Columns `a_j` with `G = a' a` and their products with the target.
#[derive(Debug, Clone)]
pub struct Columns {
    /// Each padded with zeros to whole registers.
    values: Vec<f64>,
    stride: usize,
    xy: Vec<f64>,
    yy: f64,
    diagonal: Vec<f64>,
}

impl Columns {
    /// Columns one after the other, each as long as `y`.
    #[must_use]
    pub fn new(columns: &[f64], y: &[f64]) -> Self {
        let (cells, stride) = (y.len(), y.len().next_multiple_of(LANES));
        let p = columns.len() / cells.max(1);
        let mut values = vec![0.0; p * stride];
        for (to, from) in values.chunks_exact_mut(stride.max(1)).zip(columns.chunks_exact(cells.max(1))) {
            to[..cells].copy_from_slice(from);
        }
        let column = |j: usize| &columns[j * cells..(j + 1) * cells];
        Self {
            xy: (0..p).map(|j| dot::<false>(column(j), y)).collect(),
            yy: dot::<false>(y, y),
            diagonal: (0..p).map(|j| dot::<false>(column(j), column(j))).collect(),
            values,
            stride,
        }
    }

    #[inline(always)]
    fn column(&self, j: usize) -> &[f64] {
        &self.values[j * self.stride..(j + 1) * self.stride]
    }
}

impl TypeForm {
    /// `b`.
    pub(crate) fn linear(&self) -> &[f64] {
        match self {
            Self::Gram(gram) => &gram.xy,
            Self::Data(data) => &data.xy,
        }
    }

    fn diagonal(&self) -> &[f64] {
        match self {
            Self::Gram(gram) => gram.diagonal(),
            Self::Data(data) => &data.diagonal,
        }
    }

    /// Variance of the target.
    pub(crate) fn null(&self) -> f64 {
        match self {
            Self::Gram(gram) => gram.yy,
            Self::Data(data) => data.yy,
        }
    }
}

/// A type at the current point.
#[derive(Debug)]
pub(super) struct Local<'a> {
    form: &'a TypeForm,
    /// `b - G v` for a Gram, the fitted values `sum_j v_j a_j` for columns; padded.
    place: Vec<f64>,
}

impl<'a> Local<'a> {
    pub(super) fn new(form: &'a TypeForm) -> Self {
        let mut local = Self { form, place: Vec::new() };
        local.put(&vec![0.0; form.linear().len()]);
        local
    }

    /// Entry `j` of `b - G v`.
    #[inline(always)]
    fn pull<const FMA: bool>(&self, j: usize) -> f64 {
        match self.form {
            TypeForm::Gram(_) => self.place[j],
            TypeForm::Data(data) => data.xy[j] - registers_dot::<FMA>(data.column(j), &self.place),
        }
    }

    /// All entries of `b - G v`.
    pub(super) fn pulls(&self) -> Cow<'_, [f64]> {
        match self.form {
            TypeForm::Gram(gram) => Cow::Borrowed(&self.place[..gram.xy.len()]),
            TypeForm::Data(data) => {
                let mut out = vec![0.0; data.xy.len()];
                rows_times(&data.values, &self.place, &mut out);
                out.iter_mut().zip(&data.xy).for_each(|(out, b)| *out = b - *out);
                Cow::Owned(out)
            }
        }
    }

    #[inline(always)]
    fn step<const FMA: bool>(&mut self, j: usize, change: f64) {
        match self.form {
            TypeForm::Gram(gram) => axpy::<FMA>(&mut self.place, -change, gram.padded_row(j)),
            TypeForm::Data(data) => axpy::<FMA>(&mut self.place, change, data.column(j)),
        }
    }

    pub(super) fn put(&mut self, v: &[f64]) {
        match self.form {
            TypeForm::Gram(gram) => {
                self.place.resize(gram.stride(), 0.0);
                gram.times(v, &mut self.place);
                self.place.iter_mut().zip(&gram.xy).for_each(|(r, b)| *r = b - *r);
            }
            TypeForm::Data(data) => {
                self.place.resize(data.stride, 0.0);
                rows_combined(&data.values, v, &mut self.place);
            }
        }
    }
}

/// Smooth part of the joint problem, `sum_c (v_c' G_c v_c / 2 - b_c' v_c)`, at a current point.
///
/// Position `j * types + c` is column `j` in type `c`; `G` couples columns inside a type only.
#[derive(Debug)]
pub struct JointState<'a> {
    locals: Vec<Local<'a>>,
    columns: usize,
    linear: Vec<f64>,
    diagonal: Vec<f64>,
    null: f64,
    pull: Vec<f64>,
}

impl<'a> JointState<'a> {
    /// Point at zero of the problem with one form per type, all with the same columns.
    #[must_use]
    pub fn new(forms: &'a [TypeForm]) -> Self {
        let columns = forms.first().map_or(0, |form| form.linear().len());
        let positions = || (0..columns).flat_map(|j| forms.iter().map(move |form| (form, j)));
        Self {
            locals: forms.iter().map(Local::new).collect(),
            columns,
            linear: positions().map(|(form, j)| form.linear()[j]).collect(),
            diagonal: positions().map(|(form, j)| form.diagonal()[j]).collect(),
            null: forms.iter().map(TypeForm::null).sum(),
            pull: vec![0.0; forms.len()],
        }
    }

    #[inline(always)]
    fn types(&self) -> usize {
        self.locals.len()
    }

    /// The coefficients of type `c`.
    fn own(&self, w: &[f64], c: usize) -> Vec<f64> {
        w[c..].iter().step_by(self.types()).copied().collect()
    }
}

impl Quadratic for JointState<'_> {
    #[inline(always)]
    fn len(&self) -> usize {
        self.linear.len()
    }

    #[inline(always)]
    fn diagonal(&self) -> &[f64] {
        &self.diagonal
    }

    fn linear(&self) -> &[f64] {
        &self.linear
    }

    #[inline(always)]
    fn null(&self) -> f64 {
        self.null
    }

    #[inline(always)]
    fn descent_of<const FMA: bool>(&self, j: usize) -> f64 {
        self.locals[j % self.types()].pull::<FMA>(j / self.types())
    }

    #[inline(always)]
    fn descent_without<const FMA: bool>(&mut self, start: usize, w: &[f64], out: &mut [f64]) {
        for (k, (out, w)) in out.iter_mut().zip(w).enumerate() {
            *out = self.descent_of::<FMA>(start + k) + self.diagonal[start + k] * w;
        }
    }

    #[inline(always)]
    fn step<const FMA: bool>(&mut self, j: usize, change: f64) {
        let types = self.types();
        self.locals[j % types].step::<FMA>(j / types, change);
    }

    fn place(&mut self, w: &[f64]) {
        if self.columns == 0 {
            return;
        }
        for c in 0..self.types() {
            let own = self.own(w, c);
            self.locals[c].put(&own);
        }
    }

    fn places_fast(&self) -> bool {
        self.locals.iter().any(|local| matches!(local.form, TypeForm::Data(_)))
    }

    fn descent(&self, out: &mut [f64]) {
        if self.columns == 0 {
            return;
        }
        for (c, local) in self.locals.iter().enumerate() {
            let pulls = local.pulls();
            out[c..].iter_mut().step_by(self.types()).zip(&*pulls).for_each(|(out, pull)| *out = *pull);
        }
    }

    fn moments(&self, w: &[f64]) -> (f64, f64) {
        let mut descent = vec![0.0; w.len()];
        self.descent(&mut descent);
        let (bw, rw) = (dot::<false>(&self.linear, w), dot::<false>(&descent, w));
        ((self.null - bw - rw).max(0.0), self.null - bw)
    }

    fn product(&self, w: &[f64], out: &mut [f64]) {
        if self.columns == 0 {
            return;
        }
        for c in 0..self.types() {
            let mut at = Local { form: self.locals[c].form, place: Vec::new() };
            at.put(&self.own(w, c));
            let pulls = at.pulls();
            let parts = at.form.linear().iter().zip(&*pulls).map(|(b, pull)| b - pull);
            out[c..].iter_mut().step_by(self.types()).zip(parts).for_each(|(out, part)| *out = part);
        }
    }

    fn row(&self, j: usize, columns: &[usize], out: &mut [f64]) {
        let types = self.types();
        let (column, c) = (j / types, j % types);
        let entry = |k: usize| match self.locals[c].form {
            TypeForm::Gram(gram) => gram.row(column)[k],
            TypeForm::Data(data) => registers_dot::<false>(data.column(column), data.column(k)),
        };
        for (out, &k) in out.iter_mut().zip(columns) {
            *out = if k % types == c { entry(k / types) } else { 0.0 };
        }
    }

    #[inline(always)]
    fn minimize_block<const FMA: bool>(&mut self, block: &Block, l1: f64, w: &mut [f64]) -> Option<f64> {
        let column = block.start / self.types();
        let w = &mut w[block.start..block.end];
        let curvatures = &self.diagonal[block.start..block.end];
        let mut square = 0.0;
        for (c, pull) in self.pull.iter_mut().enumerate() {
            let full = self.locals[c].pull::<FMA>(column) + curvatures[c] * w[c];
            let size = (full.abs() - l1).max(0.0);
            square += size * size;
            *pull = size.copysign(full);
        }
        let length = if square > block.weight * block.weight {
            length(&self.pull, curvatures, block.weight)
        } else {
            0.0
        };
        let mut moved = 0.0f64;
        for c in 0..w.len() {
            let h = curvatures[c];
            // With the length t of the group, `h v + weight v / t = pull`.
            let new = if length > 0.0 && h > 0.0 {
                self.pull[c] * length / (h * length + block.weight)
            } else {
                0.0
            };
            let change = new - w[c];
            if change != 0.0 {
                w[c] = new;
                moved = moved.max(h * change * change);
                self.locals[c].step::<FMA>(column, change);
            }
        }
        Some(moved)
    }

    fn step_price(&self, support: usize) -> usize {
        // Grams and columns of all types stay in the second-level cache: sweeps are fast.
        let width = self.locals.iter().map(|local| local.place.len()).max().unwrap_or(1);
        support * support / (10 * width.max(1))
    }
}

/// The length `t > 0` of a group, with `sum_c (pull_c / (h_c t + weight))^2 = 1`.
///
/// One over the root of the left side is concave and rising in `t`, and a straight line when all `h` agree, so
/// Newton's method from below stays below (the secular equation of Moré and Sorensen, 1983).
#[inline(always)]
fn length(pull: &[f64], curvatures: &[f64], weight: f64) -> f64 {
    let largest = curvatures.iter().fold(0.0f64, |a, &b| a.max(b));
    let norm = pull.iter().map(|s| s * s).sum::<f64>().sqrt();
    if weight == 0.0 {
        // Without group penalty any length does: it cancels.
        return 1.0;
    }
    let mut t = ((norm - weight) / largest).max(0.0);
    for _ in 0..STEPS {
        let (mut square, mut slope) = (0.0, 0.0);
        for (s, h) in pull.iter().zip(curvatures) {
            let by = 1.0 / (h * t + weight);
            let part = s * by;
            square += part * part;
            slope += part * part * h * by;
        }
        let root = square.sqrt();
        let step = square * (root - 1.0) / slope;
        if !step.is_finite() {
            break;
        }
        t += step;
        if step.abs() <= 1e-15 * t {
            break;
        }
    }
    t.max(0.0)
}

#[cfg(test)]
mod tests {
    use super::length;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_length_solves_its_equation(
            parts in prop::collection::vec((-3.0..3.0f64, 0.05..1.0f64), 1..7),
            weight in 1e-6..2.0f64,
        ) {
            let (pull, h): (Vec<f64>, Vec<f64>) = parts.into_iter().unzip();
            prop_assume!(pull.iter().map(|s| s * s).sum::<f64>().sqrt() > weight * (1.0 + 1e-6));
            let t = length(&pull, &h, weight);
            let v: Vec<f64> = pull.iter().zip(&h).map(|(s, h)| s * t / (h * t + weight)).collect();
            let norm = v.iter().map(|v| v * v).sum::<f64>().sqrt();
            for ((s, h), v) in pull.iter().zip(&h).zip(&v) {
                prop_assert!((h * v + weight * v / norm - s).abs() < 1e-9 * (1.0 + s.abs()));
            }
        }
    }
}
