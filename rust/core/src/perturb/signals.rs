//! Received ligands during a perturbation: baseline once, then only the ligands that changed.

use super::features::Reach;
use super::model::RegulatoryModel;
use super::senders::{Senders, opened, sent};
use super::state::State;
use crate::check;
use crate::error::{Error, Result};
use crate::ligand::ReceivedPlan;
use crate::watch::Watch;
use ndarray::{Array2, ArrayView2, Axis};

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
    pub(crate) fn receive(
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
    /// Ligands whose gene can change, and what they send.
    pub senders: Senders,
    /// Position among the senders of every gene that can change.
    pub sensed_at: Vec<Option<usize>>,
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
        let senders = sent(model, &needed, expression, min_expression);
        let shape = (expression.nrows(), model.n_ligands());
        let mut tfl = Array2::zeros(shape);
        ligands.receive(&needed, &senders, &mut tfl, watch)?;
        let lr = match mask {
            None => None,
            Some(mask) => {
                let mut lr = Array2::zeros(shape);
                ligands.receive(&needed, &(senders * opened(model, &needed, mask)), &mut lr, watch)?;
                Some(lr)
            }
        };
        let senders = Senders::new(model, moving, expression, mask, min_expression);
        let sensed_at = senders.by_slot(reach.moving.members.len());
        Ok(Self { ligands, lr, tfl, change: Array2::zeros(shape), senders, sensed_at })
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
        let changed = self.senders.follow(places, |block, slot, lane| states[block].simulated(slot, lane));
        if changed.is_empty() {
            return Ok(());
        }
        let ligands = self.senders.ligands(&changed);
        let (moved, kept) = self.senders.moved(&changed);
        let mut tfl = Array2::zeros(self.change.raw_dim());
        self.ligands.receive(&ligands, &moved, &mut tfl, watch)?;
        let lr = match kept {
            None => None,
            Some(kept) => {
                let mut lr = Array2::zeros(self.change.raw_dim());
                self.ligands.receive(&ligands, &kept, &mut lr, watch)?;
                Some(lr)
            }
        };
        for &ligand in &ligands {
            for cell in 0..self.change.nrows() {
                self.change[[cell, ligand]] = self.combined(cell, ligand, lr.as_ref(), &tfl);
            }
        }
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
