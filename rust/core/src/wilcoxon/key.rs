//! Values with their group, packed into one integer that sorts like the value.

use crate::matrix::Value;

/// Below this length the radix passes cost more than a comparison sort.
const SHORT: usize = 192;
const BUCKETS: usize = 256;

/// A value whose order can be sorted as an integer, with the code of a group in the low 32 bits.
pub trait Ranked: Value {
    /// The packed integer.
    type Packed: Packed;
    /// Pack a value and a group code.
    fn pack(self, group: u32) -> Self::Packed;
}

/// An integer made by [`Ranked::pack`].
pub trait Packed: Copy + Ord + Send + Sync + Default {
    /// Bytes of the value part.
    const BYTES: usize;
    /// The packed zero of group 0: negative values lie below.
    const ZERO: Self;
    /// One byte of the value part, the lowest first.
    fn byte(self, place: usize) -> usize;
    /// Group code.
    fn group(self) -> usize;
    /// Whether both hold the same value.
    fn ties(self, other: Self) -> bool;
}

impl Ranked for f32 {
    type Packed = u64;
    fn pack(self, group: u32) -> u64 {
        let bits = self.to_bits();
        let ordered = if bits >> 31 == 1 { !bits } else { bits | 1 << 31 };
        u64::from(ordered) << 32 | u64::from(group)
    }
}

impl Ranked for f64 {
    type Packed = u128;
    fn pack(self, group: u32) -> u128 {
        let bits = self.to_bits();
        let ordered = if bits >> 63 == 1 { !bits } else { bits | 1 << 63 };
        u128::from(ordered) << 32 | u128::from(group)
    }
}

impl Packed for u64 {
    const BYTES: usize = 4;
    const ZERO: Self = 1 << 63;
    fn byte(self, place: usize) -> usize {
        (self >> (32 + 8 * place)) as usize & 0xff
    }
    fn group(self) -> usize {
        (self & 0xffff_ffff) as usize
    }
    fn ties(self, other: Self) -> bool {
        (self ^ other) >> 32 == 0
    }
}

impl Packed for u128 {
    const BYTES: usize = 8;
    const ZERO: Self = 1 << 95;
    fn byte(self, place: usize) -> usize {
        (self >> (32 + 8 * place)) as usize & 0xff
    }
    fn group(self) -> usize {
        (self & 0xffff_ffff) as usize
    }
    fn ties(self, other: Self) -> bool {
        (self ^ other) >> 32 == 0
    }
}

/// Sort by value, by one pass per byte that differs; `spare` is scratch.
pub fn sort<P: Packed>(items: &mut Vec<P>, spare: &mut Vec<P>) {
    if items.len() < SHORT {
        items.sort_unstable();
        return;
    }
    let mut counts = [[0u32; BUCKETS]; 8];
    for item in items.iter() {
        for place in 0..P::BYTES {
            counts[place][item.byte(place)] += 1;
        }
    }
    spare.resize(items.len(), P::default());
    for (place, count) in counts.iter().enumerate().take(P::BYTES) {
        if count[items[0].byte(place)] as usize == items.len() {
            continue; // the same byte everywhere
        }
        let mut next = [0u32; BUCKETS];
        for bucket in 1..BUCKETS {
            next[bucket] = next[bucket - 1] + count[bucket - 1];
        }
        for item in items.iter() {
            let slot = &mut next[item.byte(place)];
            spare[*slot as usize] = *item;
            *slot += 1;
        }
        std::mem::swap(items, spare);
    }
}

#[cfg(test)]
mod tests {
    use super::{Packed, Ranked, sort};
    use proptest::prelude::*;

    fn sorted<V: Ranked + PartialOrd>(values: &[V]) {
        let mut packed: Vec<_> = values.iter().enumerate().map(|(at, v)| v.pack(at as u32)).collect();
        sort(&mut packed, &mut Vec::new());
        let order: Vec<V> = packed.iter().map(|item| values[item.group()]).collect();
        assert!(order.windows(2).all(|pair| pair[0] <= pair[1]));
        for (pair, item) in order.windows(2).zip(packed.windows(2)) {
            assert_eq!(pair[0] == pair[1], item[0].ties(item[1]));
        }
        assert!(order.iter().zip(&packed).all(|(v, item)| (v.to_f64() < 0.0) == (*item < V::Packed::ZERO)));
    }

    proptest! {
        #[test]
        fn values_of_both_signs_come_out_in_order(
            mut values in proptest::collection::vec(-1e30f64..1e30, 1..600),
            repeats in 1..50usize,
        ) {
            let copied = values.len().min(repeats);
            values.extend_from_within(..copied);
            values.retain(|v| *v != 0.0);
            sorted(&values);
            let single: Vec<f32> = values.iter().map(|v| (*v * 1e-20) as f32).filter(|v| *v != 0.0).collect();
            sorted(&single);
        }
    }
}
