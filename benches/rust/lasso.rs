//! Sparse group lasso: Gram matrix, one fit, and a batch. Time per element is printed by criterion.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use cytoripple_core::lasso::groups::ScaleReg;
use cytoripple_core::lasso::{GroupReg, Problem, Settings, Solver, fit, syrk};
use ndarray::{Array1, Array2};
use std::hint::black_box;

/// Reproducible numbers in -1..1 without a generator as a dependency.
fn noise(count: usize, seed: u64) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..count)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
        })
        .collect()
}

/// Correlated columns, one in ten with an effect.
fn problem(n: usize, p: usize) -> (Array2<f64>, Array1<f64>, Vec<i64>) {
    let common = noise(n, 1);
    let mut x = Array2::from_shape_fn((n, p), |_| 0.0);
    let values = noise(n * p, 2);
    x.indexed_iter_mut().for_each(|((i, j), v)| *v = values[i * p + j] + 0.5 * common[i]);
    let rest = noise(n, 3);
    let y = Array1::from_shape_fn(n, |i| (0..p).step_by(10).map(|j| x[[i, j]]).sum::<f64>() * 0.3 + rest[i]);
    (x, y, (0..p).map(|j| (3 * j / p) as i64).collect())
}

fn gram(c: &mut Criterion) {
    let mut group = c.benchmark_group("lasso/gram");
    for (n, p) in [(2000, 180), (2000, 720)] {
        let columns = noise(n * p, 5);
        group.throughput(Throughput::Elements((n * p * (p + 1)) as u64)); // flop
        group.bench_function(format!("{n}x{p}"), |b| b.iter(|| syrk::gram(black_box(&columns), n, p)));
    }
    group.finish();
}

fn single(c: &mut Criterion) {
    let mut group = c.benchmark_group("lasso/fit");
    for (n, p) in [(2000, 180), (100, 260)] {
        let (x, y, groups) = problem(n, p);
        for (solver, name) in [(Solver::Descent, "descent"), (Solver::Fista, "fista")] {
            let noise_level = (2.0 * (p as f64).ln() / n as f64).sqrt();
            let problem = Problem {
                x: x.view(),
                y: y.view(),
                groups: &groups,
                group_reg: GroupReg::Scaled(0.1 * noise_level, ScaleReg::GroupSize),
                l1_reg: 0.1 * noise_level,
                fit_intercept: true,
                warm_start: None,
            };
            let settings = Settings { solver, tol: 1e-6, max_iter: None, polish: false };
            group.bench_function(format!("{name}/{n}x{p}"), |b| {
                b.iter(|| fit(black_box(&problem), settings).map(|f| f.gap))
            });
        }
    }
    group.finish();
}

criterion_group!(benches, gram, single);
criterion_main!(benches);
