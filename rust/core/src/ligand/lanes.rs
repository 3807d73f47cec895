//! Eight doubles at a time: the storage unit of the blocked kernels and its registers.
//!
//! The register-blocked kernels of [`super::panel`] keep up to 24 vectors of partial sums alive. Left to
//! automatic vectorization the compiler spills them and reaches less than half of the speed of the explicit
//! vectors below (13 against 29 Gflop/s on AVX-512), hence the intrinsics.

use crate::widest;

/// Eight consecutive doubles on one cache line.
#[repr(C, align(64))]
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Lanes(pub(super) [f64; 8]);

impl Lanes {
    /// Number of doubles in one unit.
    pub(super) const WIDTH: usize = 8;
    /// Eight zeros.
    pub(super) const ZERO: Self = Self([0.0; 8]);
}

widest! {
    /// Copy `row` into `lanes` and fill the rest with zeros.
    pub(super) fn pad(row: &[f64], lanes: &mut [Lanes]) {
        let (whole, rest) = row.as_chunks::<8>();
        for (lane, values) in lanes.iter_mut().zip(whole) {
            lane.0 = *values;
        }
        if let Some(lane) = lanes.get_mut(whole.len()) {
            let mut last = [0.0; 8];
            for (value, v) in last.iter_mut().zip(rest) {
                *value = *v;
            }
            lane.0 = last;
        }
    }
}

widest! {
    /// Copy `lanes` into `row`, each value raised to at least `floor`.
    pub(super) fn unpad(lanes: &[Lanes], row: &mut [f64], floor: f64) {
        let (whole, rest) = row.as_chunks_mut::<8>();
        for (values, lane) in whole.iter_mut().zip(lanes) {
            for l in 0..8 {
                values[l] = if lane.0[l] < floor { floor } else { lane.0[l] };
            }
        }
        if let Some(lane) = lanes.get(whole.len()) {
            for (value, v) in rest.iter_mut().zip(&lane.0) {
                *value = if *v < floor { floor } else { *v };
            }
        }
    }
}

/// Ask for the cache lines of a row that is read soon. Random rows of a large matrix otherwise cost a
/// memory latency each, half of the time of the spreading.
#[inline(always)]
pub(super) fn prefetch(row: &[f64]) {
    #[cfg(target_arch = "x86_64")]
    for line in row.chunks(Lanes::WIDTH) {
        // SAFETY: a hint; the address lies inside a borrowed slice.
        unsafe {
            std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(line.as_ptr().cast())
        };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = row;
}

/// Ask for a cache line that is written soon, wherever it lies.
#[inline(always)]
pub(super) fn prefetch_to_write(line: *const f64) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint; it never faults.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_ET0 }>(line.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = line;
}

/// Eight doubles in registers of one instruction set.
pub(super) trait Vector: Copy {
    fn splat(value: f64) -> Self;
    fn load(from: &Lanes) -> Self;
    fn store(self, to: &mut Lanes);
    fn add(self, other: Self) -> Self;
    fn mul(self, other: Self) -> Self;
    /// `self * factor + sum`
    fn fma(self, factor: Self, sum: Self) -> Self;
}

/// The baseline of the target: written for automatic vectorization.
#[derive(Clone, Copy)]
pub(super) struct Plain(Lanes);

impl Vector for Plain {
    #[inline(always)]
    fn splat(value: f64) -> Self {
        Self(Lanes([value; 8]))
    }
    #[inline(always)]
    fn load(from: &Lanes) -> Self {
        Self(*from)
    }
    #[inline(always)]
    fn store(self, to: &mut Lanes) {
        *to = self.0;
    }
    #[inline(always)]
    fn add(mut self, other: Self) -> Self {
        for (a, b) in self.0.0.iter_mut().zip(other.0.0) {
            *a += b;
        }
        self
    }
    #[inline(always)]
    fn mul(mut self, other: Self) -> Self {
        for (a, b) in self.0.0.iter_mut().zip(other.0.0) {
            *a *= b;
        }
        self
    }
    #[inline(always)]
    fn fma(self, factor: Self, mut sum: Self) -> Self {
        for ((s, a), b) in sum.0.0.iter_mut().zip(self.0.0).zip(factor.0.0) {
            // Every 64-bit ARM has the fused instruction; on plain x86-64 it would be a library call.
            *s = if cfg!(target_arch = "aarch64") { a.mul_add(b, *s) } else { a * b + *s };
        }
        sum
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) use x86::{Ymm, Zmm};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Lanes, Vector};
    use std::arch::x86_64::{
        __m256d, __m512d, _mm256_add_pd, _mm256_fmadd_pd, _mm256_load_pd, _mm256_mul_pd, _mm256_set1_pd,
        _mm256_store_pd, _mm512_add_pd, _mm512_fmadd_pd, _mm512_load_pd, _mm512_mul_pd, _mm512_set1_pd,
        _mm512_store_pd,
    };

    /// AVX-512. Used only inside functions entered after the features were detected.
    #[derive(Clone, Copy)]
    pub(in crate::ligand) struct Zmm(__m512d);

    impl Vector for Zmm {
        #[inline(always)]
        fn splat(value: f64) -> Self {
            // SAFETY: AVX-512F was detected before this type is used.
            Self(unsafe { _mm512_set1_pd(value) })
        }
        #[inline(always)]
        fn load(from: &Lanes) -> Self {
            // SAFETY: AVX-512F was detected; `Lanes` is 64 bytes aligned to 64.
            Self(unsafe { _mm512_load_pd(from.0.as_ptr()) })
        }
        #[inline(always)]
        fn store(self, to: &mut Lanes) {
            // SAFETY: AVX-512F was detected; `Lanes` is 64 bytes aligned to 64.
            unsafe { _mm512_store_pd(to.0.as_mut_ptr(), self.0) }
        }
        #[inline(always)]
        fn add(self, other: Self) -> Self {
            // SAFETY: AVX-512F was detected before this type is used.
            Self(unsafe { _mm512_add_pd(self.0, other.0) })
        }
        #[inline(always)]
        fn mul(self, other: Self) -> Self {
            // SAFETY: AVX-512F was detected before this type is used.
            Self(unsafe { _mm512_mul_pd(self.0, other.0) })
        }
        #[inline(always)]
        fn fma(self, factor: Self, sum: Self) -> Self {
            // SAFETY: AVX-512F was detected before this type is used.
            Self(unsafe { _mm512_fmadd_pd(self.0, factor.0, sum.0) })
        }
    }

    /// AVX2 with FMA, two registers. Used only inside functions entered after the features were detected.
    #[derive(Clone, Copy)]
    pub(in crate::ligand) struct Ymm(__m256d, __m256d);

    impl Vector for Ymm {
        #[inline(always)]
        fn splat(value: f64) -> Self {
            // SAFETY: AVX was detected before this type is used.
            let both = unsafe { _mm256_set1_pd(value) };
            Self(both, both)
        }
        #[inline(always)]
        fn load(from: &Lanes) -> Self {
            let (low, high) = from.0.split_at(4);
            // SAFETY: AVX was detected; each half is 32 bytes of a value aligned to 64.
            unsafe { Self(_mm256_load_pd(low.as_ptr()), _mm256_load_pd(high.as_ptr())) }
        }
        #[inline(always)]
        fn store(self, to: &mut Lanes) {
            let (low, high) = to.0.split_at_mut(4);
            // SAFETY: AVX was detected; each half is 32 bytes of a value aligned to 64.
            unsafe {
                _mm256_store_pd(low.as_mut_ptr(), self.0);
                _mm256_store_pd(high.as_mut_ptr(), self.1);
            }
        }
        #[inline(always)]
        fn add(self, other: Self) -> Self {
            // SAFETY: AVX was detected before this type is used.
            unsafe { Self(_mm256_add_pd(self.0, other.0), _mm256_add_pd(self.1, other.1)) }
        }
        #[inline(always)]
        fn mul(self, other: Self) -> Self {
            // SAFETY: AVX was detected before this type is used.
            unsafe { Self(_mm256_mul_pd(self.0, other.0), _mm256_mul_pd(self.1, other.1)) }
        }
        #[inline(always)]
        fn fma(self, factor: Self, sum: Self) -> Self {
            // SAFETY: FMA was detected before this type is used.
            unsafe {
                Self(_mm256_fmadd_pd(self.0, factor.0, sum.0), _mm256_fmadd_pd(self.1, factor.1, sum.1))
            }
        }
    }
}

/// Define `fn $name($args)` that runs the generic function `$generic::<vector, rows, groups>` compiled for
/// AVX-512 (24 sums of 8 lanes in registers), AVX2 (4 sums) or the baseline, whichever the machine has.
macro_rules! on_widest {
    ($(#[$meta:meta])* fn $name:ident($($arg:ident: $ty:ty),* $(,)?) = $generic:ident) => {
        $(#[$meta])*
        pub(super) fn $name($($arg: $ty),*) {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx2,fma")]
                fn avx512($($arg: $ty),*) { $generic::<$crate::ligand::lanes::Zmm, 8, 3>($($arg),*) }
                #[target_feature(enable = "avx2,fma")]
                fn avx2($($arg: $ty),*) { $generic::<$crate::ligand::lanes::Ymm, 4, 1>($($arg),*) }
                if is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512dq")
                {
                    // SAFETY: the features were just detected on this machine.
                    return unsafe { avx512($($arg),*) };
                }
                if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                    // SAFETY: the features were just detected on this machine.
                    return unsafe { avx2($($arg),*) };
                }
            }
            $generic::<$crate::ligand::lanes::Plain, 4, 1>($($arg),*)
        }
    };
}
pub(super) use on_widest;

#[cfg(test)]
mod tests {
    use super::*;

    fn one_step<V: Vector>() -> [f64; 8] {
        let mut out = Lanes::ZERO;
        let values = Lanes([0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5]);
        V::load(&values)
            .mul(V::splat(2.0))
            .fma(V::splat(3.0), V::splat(0.5))
            .add(V::splat(0.5))
            .store(&mut out);
        out.0
    }

    #[test]
    fn every_instruction_set_computes_the_same() {
        let expected = [4.0, 10.0, 16.0, 22.0, 28.0, 34.0, 40.0, 46.0];
        assert_eq!(one_step::<Plain>(), expected);
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                assert_eq!(one_step::<Ymm>(), expected);
            }
            if is_x86_feature_detected!("avx512f") {
                assert_eq!(one_step::<Zmm>(), expected);
            }
        }
    }

    #[test]
    fn padding_and_unpadding_keep_the_row() {
        let row: Vec<f64> = (0..13).map(|i| f64::from(i) - 3.0).collect();
        let mut lanes = vec![Lanes([9.0; 8]); 2];
        pad(&row, &mut lanes);
        assert_eq!(lanes[1].0[5..], [0.0; 3]);
        let mut back = vec![0.0; 13];
        unpad(&lanes, &mut back, f64::NEG_INFINITY);
        assert_eq!(back, row);
        unpad(&lanes, &mut back, 0.0);
        assert!(back.iter().zip(&row).all(|(b, r)| *b == r.max(0.0)));
    }
}
