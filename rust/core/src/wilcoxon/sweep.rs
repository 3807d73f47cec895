//! One pass over the sorted values of a gene gives the statistic and the ties of every group.
//!
//! With r_less cells of the reference below a value and r at it, a cell of a group with that value adds
//! r_less + r/2 to U. Everything is counted in integers (twice U, cubes in 128 bits), so no order of
//! summation matters. Zeros are never stored: they are one block of ties between negative and positive.

use super::key::Packed;

/// What the values of one gene add up to, per group; group 0 is the reference.
#[derive(Debug, Clone)]
pub struct Tally {
    /// Stored values.
    pub nonzero: Vec<u64>,
    /// Twice the statistic U.
    pub twice_u: Vec<u64>,
    /// Σ (t³ - t) over the blocks of equal values.
    pub ties: Vec<u128>,
    count: Vec<u64>,
    touched: Vec<usize>,
    below: u64,
    shared: u128,
}

/// t³ - t.
fn cube(t: u64) -> u128 {
    let t = u128::from(t);
    t * t * t - t
}

impl Tally {
    /// Room for `n_groups` groups.
    #[must_use]
    pub fn new(n_groups: usize) -> Self {
        Self {
            nonzero: vec![0; n_groups],
            twice_u: vec![0; n_groups],
            ties: vec![0; n_groups],
            count: vec![0; n_groups],
            touched: Vec::with_capacity(n_groups),
            below: 0,
            shared: 0,
        }
    }

    /// Forget the last gene.
    pub fn clear(&mut self) {
        self.nonzero.fill(0);
        self.twice_u.fill(0);
        self.ties.fill(0);
        self.below = 0;
        self.shared = 0;
    }

    /// Compare every group with group 0, or with all other cells when `REST`.
    ///
    /// `sorted` are the nonzero values, `nonzero` already holds how many each group has.
    pub fn sweep<P: Packed, const REST: bool>(&mut self, sorted: &[P], sizes: &[u64]) {
        let split = sorted.partition_point(|item| *item < P::ZERO);
        self.blocks::<P, REST>(&sorted[..split]);
        self.touched.clear();
        for (group, size) in sizes.iter().enumerate() {
            self.count[group] = size - self.nonzero[group];
            self.touched.push(group);
        }
        self.close_block::<REST>();
        self.blocks::<P, REST>(&sorted[split..]);
        for (group, size) in sizes.iter().enumerate() {
            self.ties[group] += self.shared;
            if REST {
                self.twice_u[group] -= size * (size + 1); // so far twice the sum of ranks
            }
        }
    }

    fn blocks<P: Packed, const REST: bool>(&mut self, mut rest: &[P]) {
        while let Some(&head) = rest.first() {
            let length = 1 + rest[1..].iter().take_while(|item| item.ties(head)).count();
            if length == 1 {
                let group = head.group();
                if REST {
                    self.twice_u[group] += 2 * self.below + 2;
                    self.below += 1;
                } else if group == 0 {
                    self.below += 1;
                } else {
                    self.twice_u[group] += 2 * self.below;
                }
            } else {
                self.touched.clear();
                for group in rest[..length].iter().map(|item| item.group()) {
                    if self.count[group] == 0 {
                        self.touched.push(group);
                    }
                    self.count[group] += 1;
                }
                self.close_block::<REST>();
            }
            rest = &rest[length..];
        }
    }

    /// Account for a block of equal values, counted per touched group.
    fn close_block<const REST: bool>(&mut self) {
        let own = self.count[0];
        let total: u64 = self.touched.iter().map(|group| self.count[*group]).sum();
        for at in 0..self.touched.len() {
            let group = self.touched[at];
            let count = std::mem::take(&mut self.count[group]);
            if REST {
                self.twice_u[group] += count * (2 * self.below + total + 1);
            } else if group > 0 {
                self.twice_u[group] += count * (2 * self.below + own);
                self.ties[group] += cube(own + count) - cube(own);
            }
        }
        let block = if REST { total } else { own };
        self.shared += cube(block);
        self.below += block;
    }
}
