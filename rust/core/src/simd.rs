//! One source, three instruction sets.
//!
//! A wheel is built for the oldest x86-64 processor, so the compiler may use 16-byte vectors only. A loop
//! that a bench shows to gain from wider ones is written once as an `#[inline(always)]` function and
//! compiled three times; the widest set of the running machine is chosen at the call. One machine always
//! takes the same path, so results stay reproducible there.

/// Define `fn $name($args) $body` so that it runs compiled for AVX-512, AVX2 with FMA, or the baseline.
///
/// Inside the body, `f64::mul_add` becomes one fused instruction on the wide paths; on the baseline it is a
/// library call, so bodies use [`fma`](crate::simd::fma) with the constant `FMA` that the macro provides.
#[macro_export]
macro_rules! widest {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $body:block) => {
        $(#[$meta])*
        $vis fn $name($($arg: $ty),*) {
            #[inline(always)]
            fn generic<const FMA: bool>($($arg: $ty),*) $body
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx2,fma")]
                fn avx512($($arg: $ty),*) { generic::<true>($($arg),*) }
                #[target_feature(enable = "avx2,fma")]
                fn avx2($($arg: $ty),*) { generic::<true>($($arg),*) }
                if is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512dq")
                {
                    // SAFETY: the three features were just detected on this machine.
                    return unsafe { avx512($($arg),*) };
                }
                if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                    // SAFETY: both features were just detected on this machine.
                    return unsafe { avx2($($arg),*) };
                }
            }
            generic::<false>($($arg),*)
        }
    };
}

/// `a * b + c`, fused when `FMA` says that the instruction exists.
#[inline(always)]
pub fn fma<const FMA: bool>(a: f64, b: f64, c: f64) -> f64 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

#[cfg(test)]
mod tests {
    use super::fma;

    widest! {
        /// y += a * x
        fn axpy(y: &mut [f64], a: f64, x: &[f64]) {
            for (y, x) in y.iter_mut().zip(x) {
                *y = fma::<FMA>(a, *x, *y);
            }
        }
    }

    #[test]
    fn the_widest_path_agrees_with_plain_arithmetic() {
        let x: Vec<f64> = (0..37).map(|i| f64::from(i) * 0.5).collect();
        let mut y = vec![1.0; 37];
        axpy(&mut y, 2.0, &x);
        for (i, v) in y.iter().enumerate() {
            assert_eq!(*v, 1.0 + i as f64);
        }
    }
}
