//! Received ligands during a perturbation: baseline once, then only the ligands that changed.

use super::features::Reach;
use super::model::RegulatoryModel;
use super::state::State;
use crate::check;
use crate::error::{Error, Result};
use crate::ligand::ReceivedPlan;
use crate::splash::filtered;
use crate::watch::Watch;
use ndarray::{Array2, ArrayView2, Axis};
use rayon::prelude::*;

/// Linear map from senders to what every cell receives (cells x ligands).
pub trait Receive: Sync {
    /// Received amount of each ligand, `scale` times the mean over the senders.
    ///
    /// # Errors
    /// When the rows do not fit or the caller stops the work.
    fn receive(&self, senders: ArrayView2<f64>, scale: f64, watch: &dyn Watch) -> Result<Array2<f64>>;
}

impl Receive for ReceivedPlan {
    fn receive(&self, senders: ArrayView2<f64>, scale: f64, watch: &dyn Watch) -> Result<Array2<f64>> {
        self.apply(senders, scale, watch)
    }
}

/// Ligands that travel under one plan.
#[derive(Clone)]
pub struct Signal<'a> {
    /// How they travel.
    pub plan: &'a dyn Receive,
    /// Positions on the ligand axis.
    pub ligands: Vec<i64>,
}

/// How the ligands of a model travel and in which pairs they act.
#[derive(Clone)]
pub struct Ligands<'a> {
    /// Plans; a ligand in none is received by nobody.
    pub signals: &'a [Signal<'a>],
    /// Multiplies every received amount.
    pub scale: f64,
    /// Ligands of ligand-receptor pairs.
    pub lr: &'a [bool],
    /// Ligands of TF-ligand pairs.
    pub tfl: &'a [bool],
}

impl Ligands<'_> {
    /// Check flags and positions against the model.
    ///
    /// # Errors
    /// When a length or position does not fit, or a ligand is in two plans.
    pub(crate) fn check(&self, n_ligands: usize) -> Result<()> {
        for (name, flags) in [("lr_ligands", self.lr), ("tfl_ligands", self.tfl)] {
            if flags.len() != n_ligands {
                let (found, expected) = (flags.len().to_string(), format!("{n_ligands}, one per ligand"));
                return Err(Error::Shape { name, found, expected });
            }
        }
        let all = self.signals.iter().flat_map(|s| s.ligands.iter().copied());
        super::model::distinct("positions of the signals", all, n_ligands).map(|_| ())?;
        if self.scale.is_finite() {
            return Ok(());
        }
        let expected = "give a finite number";
        Err(Error::Parameter { name: "scale_factor", value: self.scale.to_string(), expected })
    }

    /// Write what is received of `ligands`, the columns of `senders`, to their columns of `out`.
    fn receive(
        &self,
        ligands: &[usize],
        senders: &Array2<f64>,
        out: &mut Array2<f64>,
        watch: &dyn Watch,
    ) -> Result<()> {
        for signal in self.signals {
            let own: Vec<usize> =
                (0..ligands.len()).filter(|&k| signal.ligands.contains(&(ligands[k] as i64))).collect();
            if own.is_empty() {
                continue;
            }
            let received = signal.plan.receive(senders.select(Axis(1), &own).view(), self.scale, watch)?;
            check::same_rows("expression", senders.nrows(), "a received-ligand plan", received.nrows())?;
            for (column, &k) in received.columns().into_iter().zip(&own) {
                out.column_mut(ligands[k]).assign(&column);
            }
        }
        Ok(())
    }
}

/// Received ligands of the unperturbed tissue and how they have changed since. All tables: cells x ligands.
pub(crate) struct Signals<'a> {
    ligands: &'a Ligands<'a>,
    /// Table of the ligand-receptor pairs where a mask makes it differ from the other.
    lr: Option<Array2<f64>>,
    tfl: Array2<f64>,
    /// Change of the received amount since the baseline.
    pub change: Array2<f64>,
    /// Ligands whose gene can change, with the slot of the gene.
    pub moving: Vec<(usize, usize)>,
    /// Position in `moving` of every gene that can change.
    pub sensed_at: Vec<Option<usize>>,
    first: Array2<f64>,
    last: Array2<f64>,
    open: Option<Array2<f64>>,
    min_expression: f64,
}

impl<'a> Signals<'a> {
    /// Baseline of the ligands that a perturbation needs. The mask closes senders of the ligand-receptor
    /// table only.
    pub fn new(
        ligands: &'a Ligands<'a>,
        model: &RegulatoryModel,
        reach: &Reach,
        expression: ArrayView2<f64>,
        mask: Option<ArrayView2<bool>>,
        min_expression: f64,
        watch: &dyn Watch,
    ) -> Result<Self> {
        let acts = |l: usize| ligands.lr[l] || ligands.tfl[l];
        let slot = |l: usize| reach.moving.place(model.ligand_genes[l]).filter(|_| acts(l));
        let moving: Vec<(usize, usize)> =
            (0..model.n_ligands()).filter_map(|l| slot(l).map(|s| (l, s))).collect();
        let needed: Vec<usize> = (0..model.n_ligands())
            .filter(|&l| {
                let both = mask.is_some() && slot(l).is_some() && ligands.lr[l] && ligands.tfl[l];
                both || reach.lr.place(l).is_some() || reach.tfl.place(l).is_some()
            })
            .collect();
        let senders = |list: &[usize]| {
            let gene = |k: usize| model.ligand_genes[list[k]];
            let level = |(i, k)| filtered(expression[[i, gene(k)]], min_expression);
            Array2::from_shape_fn((expression.nrows(), list.len()), level)
        };
        let shape = (expression.nrows(), model.n_ligands());
        let mut tfl = Array2::zeros(shape);
        ligands.receive(&needed, &senders(&needed), &mut tfl, watch)?;
        let opened = |list: &[usize]| {
            let gene = |k: usize| model.ligand_genes[list[k]];
            mask.map(|m| {
                Array2::from_shape_fn((shape.0, list.len()), |(i, k)| f64::from(u8::from(m[[i, gene(k)]])))
            })
        };
        let lr = match opened(&needed) {
            None => None,
            Some(open) => {
                let mut lr = Array2::zeros(shape);
                ligands.receive(&needed, &(senders(&needed) * open), &mut lr, watch)?;
                Some(lr)
            }
        };
        let movers: Vec<usize> = moving.iter().map(|m| m.0).collect();
        let first = senders(&movers);
        let (last, open) = (first.clone(), opened(&movers));
        let mut sensed_at = vec![None; reach.moving.members.len()];
        moving.iter().enumerate().for_each(|(place, &(_, slot))| sensed_at[slot] = Some(place));
        let change = Array2::zeros(shape);
        Ok(Self { ligands, lr, tfl, change, moving, sensed_at, first, last, open, min_expression })
    }

    /// Received amount at baseline: of the table in which the ligand acts, the larger where it acts in both.
    fn baseline(&self, cell: usize, ligand: usize) -> f64 {
        match (self.ligands.lr[ligand], self.ligands.tfl[ligand]) {
            (true, true) => self.lr_table(cell, ligand).max(self.tfl_table(cell, ligand)),
            (true, false) => self.lr_table(cell, ligand),
            (false, _) => self.tfl_table(cell, ligand),
        }
    }

    /// Received amount of the ligand-receptor table at baseline.
    pub fn lr_table(&self, cell: usize, ligand: usize) -> f64 {
        let table = self.lr.as_ref().unwrap_or(&self.tfl);
        if self.ligands.lr[ligand] { table[[cell, ligand]] } else { 0.0 }
    }

    /// Received amount of the TF-ligand table at baseline.
    pub fn tfl_table(&self, cell: usize, ligand: usize) -> f64 {
        if self.ligands.tfl[ligand] { self.tfl[[cell, ligand]] } else { 0.0 }
    }

    /// Received amount of the current state, both tables combined.
    pub fn current(&self, cell: usize, ligand: usize) -> f64 {
        self.baseline(cell, ligand) + self.change[[cell, ligand]]
    }

    /// Follow the senders to the state of the blocks; only ligands whose senders changed are received again.
    ///
    /// The received amount is linear in the senders, so its change is received from the change of the
    /// senders since the baseline: no rounding builds up over the steps.
    pub fn update(&mut self, states: &[State], places: &[(u32, u32)], watch: &dyn Watch) -> Result<()> {
        let mut now = Array2::zeros(self.first.raw_dim());
        now.axis_iter_mut(Axis(0)).into_par_iter().zip(places).for_each(|(mut row, &(block, lane))| {
            for (value, &(_, slot)) in row.iter_mut().zip(&self.moving) {
                *value = filtered(states[block as usize].simulated(slot, lane as usize), self.min_expression);
            }
        });
        let changed: Vec<usize> =
            (0..self.moving.len()).filter(|&k| now.column(k) != self.last.column(k)).collect();
        if changed.is_empty() {
            return Ok(());
        }
        let moved = (&now - &self.first).select(Axis(1), &changed);
        let ligands: Vec<usize> = changed.iter().map(|&k| self.moving[k].0).collect();
        let mut tfl = Array2::zeros(self.change.raw_dim());
        self.ligands.receive(&ligands, &moved, &mut tfl, watch)?;
        let lr = match &self.open {
            None => None,
            Some(open) => {
                let mut lr = Array2::zeros(self.change.raw_dim());
                self.ligands.receive(&ligands, &(moved * open.select(Axis(1), &changed)), &mut lr, watch)?;
                Some(lr)
            }
        };
        for &ligand in &ligands {
            for cell in 0..self.change.nrows() {
                self.change[[cell, ligand]] = self.combined(cell, ligand, lr.as_ref(), &tfl);
            }
        }
        self.last = now;
        Ok(())
    }

    fn combined(&self, cell: usize, ligand: usize, lr: Option<&Array2<f64>>, tfl: &Array2<f64>) -> f64 {
        let (at, acts) = ([cell, ligand], (self.ligands.lr[ligand], self.ligands.tfl[ligand]));
        match (acts, lr) {
            ((false, false), _) => 0.0,
            ((true, true), Some(lr)) => {
                let (lr, tfl) = (self.lr_table(cell, ligand) + lr[at], self.tfl[at] + tfl[at]);
                lr.max(tfl) - self.baseline(cell, ligand)
            }
            ((true, false), Some(lr)) => lr[at],
            _ => tfl[at],
        }
    }
}
