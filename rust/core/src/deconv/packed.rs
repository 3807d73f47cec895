//! Weighted counts of many rows in little memory.

/// Bits of a 32-bit float that are dropped; 6 bits of exponent and 10 of the fraction are left.
const DROPPED: u32 = 13;
/// Kept exponents are those of 2^-23 to 2^40; this factor moves them to the bottom of the range of a 32-bit float.
const DOWN: f32 = f32::from_bits((127 - 103) << 23);
const UP: f32 = f32::from_bits((127 + 103) << 23);
/// Merged genes per mask.
const WORD: usize = u64::BITS as usize;

/// Weighted counts of some rows by merged gene, entries of 0 left out.
///
/// A bit per merged gene says whether it has an entry, and an entry takes 16 bits: it is rounded by at most 2^-11 of
/// its value, a hundredth of the Poisson noise of 400 counts.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct WeightedRows {
    /// Masks per row.
    words: usize,
    ends: Vec<usize>,
    masks: Vec<u64>,
    values: Vec<u16>,
}

impl WeightedRows {
    /// No rows yet, of `genes` merged genes.
    pub(super) fn new(genes: usize) -> Self {
        Self { words: genes.div_ceil(WORD), ..Self::default() }
    }

    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.ends.len()
    }

    /// Memory taken, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.ends.capacity() * size_of::<usize>()
            + self.masks.capacity() * size_of::<u64>()
            + self.values.capacity() * size_of::<u16>()
    }

    /// Append a row and leave `totals`, one per merged gene, at 0.
    pub(super) fn push(&mut self, totals: &mut [f32]) {
        let mut end = self.values.len();
        self.values.resize(end + totals.len(), 0);
        for totals in totals.chunks_mut(WORD) {
            let mut mask = 0;
            for (bit, total) in totals.iter_mut().enumerate() {
                let packed = pack(*total);
                // Written always and kept when it is not 0, which cannot be foreseen by the processor.
                self.values[end] = packed;
                end += usize::from(packed != 0);
                mask |= u64::from(packed != 0) << bit;
                *total = 0.0;
            }
            self.masks.push(mask);
        }
        self.values.truncate(end);
        self.ends.push(end);
    }

    /// All rows of some parts, in order.
    pub(super) fn concat(parts: &[Self], genes: usize) -> Self {
        let mut all = Self::new(genes);
        all.ends.reserve_exact(parts.iter().map(|part| part.ends.len()).sum());
        all.masks.reserve_exact(parts.iter().map(|part| part.masks.len()).sum());
        all.values.reserve_exact(parts.iter().map(|part| part.values.len()).sum());
        for part in parts {
            let shift = all.values.len();
            all.ends.extend(part.ends.iter().map(|&end| end + shift));
            all.masks.extend(&part.masks);
            all.values.extend(&part.values);
        }
        all
    }

    /// Entries of a row.
    pub(super) fn row(&self, row: usize) -> PackedRow<'_> {
        let first = if row == 0 { 0 } else { self.ends[row - 1] };
        PackedRow {
            masks: &self.masks[row * self.words..][..self.words],
            values: &self.values[first..self.ends[row]],
        }
    }
}

/// Entries of one row.
#[derive(Debug, Clone, Copy)]
pub(super) struct PackedRow<'a> {
    masks: &'a [u64],
    values: &'a [u16],
}

impl PackedRow<'_> {
    /// Number of entries.
    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    /// Call with merged gene and weighted count of every entry, ascending.
    #[inline(always)]
    pub(super) fn for_each(&self, mut visit: impl FnMut(usize, f32)) {
        let mut values = self.values.iter();
        for (word, &mask) in self.masks.iter().enumerate() {
            let mut left = mask;
            while left != 0 {
                let Some(&value) = values.next() else { return };
                visit(word * WORD + left.trailing_zeros() as usize, unpack(value));
                left &= left - 1;
            }
        }
    }
}

/// Nearest value of 16 bits; larger ones than 2^40 become the largest.
fn pack(value: f32) -> u16 {
    (((value * DOWN).to_bits() + (1 << (DROPPED - 1))) >> DROPPED).min(u32::from(u16::MAX)) as u16
}

fn unpack(packed: u16) -> f32 {
    f32::from_bits(u32::from(packed) << DROPPED) * UP
}

#[cfg(test)]
mod tests {
    use super::{WeightedRows, pack, unpack};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn rows_come_back_rounded(
            rows in proptest::collection::vec(
                proptest::collection::vec(prop_oneof![3 => Just(0.0_f32), 2 => 1e-6_f32..1e12], 130), 0..6
            )
        ) {
            let mut packed = WeightedRows::new(130);
            for row in &rows {
                let mut totals = row.clone();
                packed.push(&mut totals);
                prop_assert!(totals.iter().all(|&total| total == 0.0));
            }
            let twice = WeightedRows::concat(&[packed.clone(), packed], 130);
            prop_assert_eq!(twice.rows(), 2 * rows.len());
            for (at, row) in rows.iter().chain(&rows).enumerate() {
                let mut found = vec![0.0; 130];
                twice.row(at).for_each(|gene, count| found[gene] = count);
                prop_assert_eq!(twice.row(at).len(), row.iter().filter(|&&total| total > 0.0).count());
                for (&found, &total) in found.iter().zip(row) {
                    prop_assert!((found - total).abs() <= total / 2048.0, "{} {}", found, total);
                }
            }
        }
    }

    #[test]
    fn the_ends_of_the_range_are_kept() {
        assert_eq!(pack(0.0), 0);
        assert_eq!(unpack(pack(1.0)), 1.0);
        assert_eq!(unpack(pack(2.0_f32.powi(39))), 2.0_f32.powi(39));
        assert!(unpack(pack(f32::MAX)).is_finite());
        assert!(unpack(pack(f32::MAX)) > 1e12);
    }
}
