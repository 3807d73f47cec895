//! Received ligands along a simulation. Only ligands whose expression changed are computed again.

use super::{LrSource, Model, Settings};
use crate::error::Result;
use crate::ligand::ReceivedPlan;
use crate::watch::Watch;
use ndarray::{Array2, ArrayView2, Axis, Zip};

/// A plan and the ligand positions it serves.
#[derive(Debug, Clone, Copy)]
pub struct Signal<'a> {
    /// Plan on the coordinates of the cells.
    pub plan: &'a ReceivedPlan,
    /// Positions on the ligand axis.
    pub positions: &'a [usize],
}

/// Expression of the ligands and what is received of it, cells x ligand positions.
struct Table {
    sent: Array2<f64>,
    received: Array2<f64>,
}

/// Baseline and present signals.
pub struct Signals<'a> {
    model: &'a Model,
    /// Ligand-receptor table; `None` for the other when both are the same.
    lr: Table,
    tfl: Option<Table>,
    baseline_lr: Array2<f64>,
    baseline_tfl: Array2<f64>,
    baseline: Array2<f64>,
    source: Array2<f64>,
}

impl<'a> Signals<'a> {
    /// Signals of the unperturbed tissue.
    ///
    /// # Errors
    /// When a plan fails or `watch` asks to stop.
    pub fn new(
        model: &'a Model,
        settings: &Settings,
        expression: ArrayView2<f64>,
        watch: &dyn Watch,
    ) -> Result<Self> {
        let lr = Table::new(settings, sent(model, expression, settings, true), watch)?;
        let tfl = match settings.mask {
            Some(_) => Some(Table::new(settings, sent(model, expression, settings, false), watch)?),
            None => None,
        };
        let mut signals = Self {
            model,
            lr,
            tfl,
            baseline_lr: Array2::zeros((0, 0)),
            baseline_tfl: Array2::zeros((0, 0)),
            baseline: Array2::zeros((0, 0)),
            source: Array2::zeros((0, 0)),
        };
        signals.baseline_lr = only(&signals.lr.received, settings.lr_ligands);
        signals.baseline_tfl = only(&signals.of_tfl().received, settings.tfl_ligands);
        signals.baseline = larger(&signals.baseline_lr, &signals.baseline_tfl);
        signals.source = match settings.rules.lr_source {
            LrSource::Baseline => signals.baseline.clone(),
            LrSource::Evolving => signals.baseline_lr.clone(),
        };
        Ok(signals)
    }

    /// Received ligands of ligand-TF pairs at baseline.
    pub fn baseline_tfl(&self) -> ArrayView2<'_, f64> {
        self.baseline_tfl.view()
    }

    /// Move to `expression`: the source of this step's derivatives, and the change of the received ligands.
    ///
    /// # Errors
    /// When a plan fails or `watch` asks to stop.
    pub fn advance(
        &mut self,
        settings: &Settings,
        expression: ArrayView2<f64>,
        watch: &dyn Watch,
    ) -> Result<(Array2<f64>, Array2<f64>)> {
        self.lr.update(settings, sent(self.model, expression, settings, true), watch)?;
        if let Some(tfl) = &mut self.tfl {
            tfl.update(settings, sent(self.model, expression, settings, false), watch)?;
        }
        let lr = only(&self.lr.received, settings.lr_ligands);
        let tfl = only(&self.of_tfl().received, settings.tfl_ligands);
        let now = larger(&lr, &tfl);
        let change = &now - &self.baseline;
        let used = match settings.rules.lr_source {
            LrSource::Baseline => self.source.clone(),
            LrSource::Evolving => std::mem::replace(&mut self.source, now),
        };
        Ok((used, change))
    }

    fn of_tfl(&self) -> &Table {
        self.tfl.as_ref().unwrap_or(&self.lr)
    }
}

impl Table {
    fn new(settings: &Settings, sent: Array2<f64>, watch: &dyn Watch) -> Result<Self> {
        let mut received = Array2::zeros(sent.raw_dim());
        let all: Vec<bool> = vec![true; sent.ncols()];
        receive(settings, &sent, &all, &mut received, watch)?;
        Ok(Self { sent, received })
    }

    fn update(&mut self, settings: &Settings, sent: Array2<f64>, watch: &dyn Watch) -> Result<()> {
        let changed: Vec<bool> =
            sent.axis_iter(Axis(1)).zip(self.sent.axis_iter(Axis(1))).map(|(new, old)| new != old).collect();
        receive(settings, &sent, &changed, &mut self.received, watch)?;
        self.sent = sent;
        Ok(())
    }
}

fn receive(
    settings: &Settings,
    sent: &Array2<f64>,
    wanted: &[bool],
    received: &mut Array2<f64>,
    watch: &dyn Watch,
) -> Result<()> {
    for signal in settings.signals {
        let columns: Vec<usize> = signal.positions.iter().copied().filter(|&p| wanted[p]).collect();
        if columns.is_empty() {
            continue;
        }
        let block = sent.select(Axis(1), &columns);
        let part = signal.plan.apply(block.view(), settings.scale_factor, watch)?;
        for (&column, values) in columns.iter().zip(part.axis_iter(Axis(1))) {
            received.column_mut(column).assign(&values);
        }
    }
    Ok(())
}

/// Filtered expression of the ligands; the mask restricts the senders of ligand-receptor pairs only.
fn sent(model: &Model, expression: ArrayView2<f64>, settings: &Settings, masked: bool) -> Array2<f64> {
    let minimum = settings.rules.min_expression;
    let mut block = expression.select(Axis(1), &model.ligand_genes);
    block.mapv_inplace(|x| if x > minimum { x } else { 0.0 });
    if let (true, Some(mask)) = (masked, settings.mask) {
        Zip::from(&mut block).and(&mask.select(Axis(1), &model.ligand_genes)).for_each(|x, &open| {
            if !open {
                *x = 0.0;
            }
        });
    }
    block
}

/// Columns that take part, others 0.
fn only(received: &Array2<f64>, used: &[bool]) -> Array2<f64> {
    let mut out = received.clone();
    for (mut column, &used) in out.axis_iter_mut(Axis(1)).zip(used) {
        if !used {
            column.fill(0.0);
        }
    }
    out
}

fn larger(a: &Array2<f64>, b: &Array2<f64>) -> Array2<f64> {
    let mut out = a.clone();
    Zip::from(&mut out).and(b).for_each(|a, &b| *a = a.max(b));
    out
}
