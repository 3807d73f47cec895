//! Terms of the models in one block of cells: their value at the current state minus that at the observed one.
//!
//! With `x` the expression, `e` the expression where it counts (above the threshold and not masked), `R` the
//! received ligand and `d` the difference between the two states, the change of a term is `d x` (a gene),
//! `R d e + e' d R` (a receptor) or `R d x + x' d R` (a regulator), where `R` is observed and `e'`, `x'` are
//! current. Each is exactly 0 where nothing changed.

use super::Request;
use super::features::{Feature, Reach, Values};
use super::layout::{Block, WIDTH};
use super::received::{Pair, Received};
use super::state::{Lanes, transposed};
use crate::simd::fma;
use crate::widest;

static ZEROS: Lanes = [0.0; WIDTH];
static ONES: Lanes = [1.0; WIDTH];

/// State of one block: rows of lanes along the axes of [`Reach`]. Lanes beyond the last cell stay 0.
pub(crate) struct Response {
    /// Cells of the block.
    pub n_cells: usize,
    /// Observed expression of the genes that can change.
    pub base: Vec<Lanes>,
    /// Their current expression.
    pub now: Vec<Lanes>,
    /// Observed expression of the partners of ligands.
    levels: Vec<Lanes>,
    /// Where they count as receptors, as factors; empty without a mask.
    open: Vec<Lanes>,
    /// Received ligands at the observed state.
    lr: Vec<Lanes>,
    tfl: Vec<Lanes>,
    /// Their change, for the ligands that are sent by genes that can change.
    sensed: Vec<[Lanes; 2]>,
    held: Vec<Held>,
}

/// Entries of one gene that keep the value requested.
struct Held {
    slot: usize,
    value: f64,
    cells: [bool; WIDTH],
}

impl Response {
    /// Observed state with the perturbed entries set.
    pub fn new(block: &Block, reach: &Reach, request: &Request<'_>, received: &Received<'_>) -> Self {
        let open = request.mask.map_or_else(Vec::new, |mask| {
            let factor = |&gene: &usize| {
                let mut lanes = ZEROS;
                let cells = block.cells.iter().map(|&cell| f64::from(u8::from(mask[[cell as usize, gene]])));
                lanes.iter_mut().zip(cells).for_each(|(lane, open)| *lane = open);
                lanes
            };
            reach.levels.members.iter().map(factor).collect()
        });
        let held = request.targets.iter().enumerate().filter_map(|(j, &gene)| {
            let mut cells = [false; WIDTH];
            cells.iter_mut().zip(&block.cells).for_each(|(h, &cell)| *h = request.cells[[cell as usize, j]]);
            reach.moving.place(gene).map(|slot| Held { slot, value: request.desired[j], cells })
        });
        let held: Vec<Held> = held.collect();
        let base = transposed(request.expression, &block.cells, &reach.moving.members);
        let mut now = base.clone();
        hold(&held, &mut now);
        let observed = |ligands: &[usize], pair| {
            ligands.iter().map(|&ligand| received.observed(&block.cells, ligand, pair)).collect()
        };
        Self {
            n_cells: block.cells.len(),
            base,
            now,
            levels: transposed(request.expression, &block.cells, &reach.levels.members),
            open,
            lr: observed(&reach.lr.members, Pair::Receptor),
            tfl: observed(&reach.tfl.members, Pair::Regulator),
            sensed: vec![[ZEROS; 2]; received.senders.moving.len()],
            held,
        }
    }

    /// Take over what is received; tells which genes differ from the observed state, and of which genes what
    /// is received does.
    pub fn sense(&mut self, block: &Block, received: &Received<'_>) -> (Vec<bool>, Vec<bool>) {
        let own = self.now.iter().zip(&self.base).map(|(now, base)| now != base).collect();
        let mut heard = vec![false; self.now.len()];
        for (tables, &(ligand, slot)) in self.sensed.iter_mut().zip(&received.senders.moving) {
            let pairs = [Pair::Receptor, Pair::Regulator];
            *tables = pairs.map(|pair| received.change(&block.cells, ligand, pair));
            heard[slot] = tables.as_flattened().iter().any(|&d| d != 0.0);
        }
        (own, heard)
    }

    /// Go to the next state, `share` of the way: the observed one plus `change`, within `ranges`, the
    /// perturbed entries at their value. Gives the largest step of an entry.
    pub fn advance(&mut self, mut change: Vec<Lanes>, ranges: &[(f64, f64)], share: f64) -> f64 {
        let rows = change.iter_mut().zip(self.base.iter().zip(&self.now)).zip(ranges);
        for ((next, (base, now)), &(low, high)) in rows {
            for lane in 0..WIDTH {
                // what does not change stays as it is, even outside its range
                let full = match next[lane] {
                    0.0 => base[lane],
                    change => (base[lane] + change).clamp(low, high),
                };
                next[lane] = if share == 1.0 { full } else { now[lane] + share * (full - now[lane]) };
            }
        }
        hold(&self.held, &mut change);
        let before = std::mem::replace(&mut self.now, change);
        let steps = self.now.as_flattened().iter().zip(before.as_flattened());
        steps.fold(0.0, |largest: f64, (now, before)| largest.max((now - before).abs()))
    }
}

fn hold(held: &[Held], state: &mut [Lanes]) {
    for held in held {
        let lanes = state[held.slot].iter_mut().zip(&held.cells);
        lanes.filter(|(_, holds)| **holds).for_each(|(value, _)| *value = held.value);
    }
}

/// Changes of the terms of a block since the observed state.
pub(crate) struct Changes<'a> {
    pub response: &'a Response,
    /// Position among the senders of every gene that can change.
    pub sensed_at: &'a [Option<usize>],
    /// Expression of a receptor at or below this counts as none.
    pub min_expression: f64,
    /// Multiplies the products.
    pub scale: f64,
}

impl Values for Changes<'_> {
    fn of<'a>(&'a self, feature: &Feature, space: &'a mut Lanes) -> &'a Lanes {
        let response = self.response;
        match *feature {
            Feature::Change { slot } => {
                let states = response.now[slot].iter().zip(&response.base[slot]);
                space.iter_mut().zip(states).for_each(|(out, (now, base))| *out = now - base);
            }
            Feature::Product { level, partner, ligand, receptor } => {
                let table = if receptor { &response.lr } else { &response.tfl };
                let (observed, partner) = match partner {
                    Some((place, slot)) => (&table[place], [&response.base[slot], &response.now[slot]]),
                    None => (&ZEROS, [&response.levels[level]; 2]),
                };
                let sensed = ligand.and_then(|slot| self.sensed_at[slot]);
                let sensed = sensed.map_or(&ZEROS, |place| &response.sensed[place][usize::from(!receptor)]);
                // training counts a receptor where it is expressed, and a regulator everywhere
                let (open, threshold) = match receptor {
                    true => (response.open.get(level).unwrap_or(&ONES), self.min_expression),
                    false => (&ONES, f64::NEG_INFINITY),
                };
                respond(partner, open, threshold, [observed, sensed], self.scale, space);
            }
        }
        space
    }
}

widest! {
    /// Change of a product: `partner` observed and now, `received` observed and its change.
    fn respond(
        partner: [&Lanes; 2],
        open: &Lanes,
        threshold: f64,
        received: [&Lanes; 2],
        scale: f64,
        out: &mut Lanes,
    ) {
        let ([base, now], [observed, sensed]) = (partner, received);
        for lane in 0..WIDTH {
            let before = if base[lane] > threshold { base[lane] * open[lane] } else { 0.0 };
            let after = if now[lane] > threshold { now[lane] * open[lane] } else { 0.0 };
            out[lane] = scale * fma::<FMA>(after, sensed[lane], observed[lane] * (after - before));
        }
    }
}
