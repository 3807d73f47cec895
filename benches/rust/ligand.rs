//! Received ligands: each method at the tissue sizes of its choice.

#![allow(clippy::expect_used)] // a bench that cannot run must stop

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use cytoripple_core::ligand::{Kernel, Method, ReceivedPlan, Settings};
use cytoripple_core::parallel::with_threads;
use cytoripple_core::watch::Unwatched;
use ndarray::Array2;
use std::hint::black_box;

const LIGANDS: usize = 50;

/// Repeatable numbers in [0, 1).
fn uniform(rows: usize, columns: usize) -> Array2<f64> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    Array2::from_shape_simple_fn((rows, columns), || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1_u64 << 53) as f64
    })
}

/// One thread, one plan, `extent` in units of the radius.
fn apply(criterion: &mut Criterion, name: &str, cells: usize, extents: &[f64], settings: Settings) {
    let mut group = criterion.benchmark_group(format!("ligand/{name}/{cells}"));
    group.sample_size(10).throughput(Throughput::Elements((cells * LIGANDS) as u64));
    let ligands = uniform(cells, LIGANDS);
    let mut received = Array2::zeros(ligands.dim());
    for &extent in extents {
        let plan = ReceivedPlan::with_settings((uniform(cells, 2) * extent).view(), None, &settings);
        let plan = plan.expect("a valid plan");
        group.bench_function(BenchmarkId::from_parameter(extent), |bencher| {
            bencher.iter(|| {
                with_threads(1, || plan.apply_into(ligands.view(), 1.0, received.view_mut(), &Unwatched))
                    .expect("a finished pass");
                black_box(&received);
            });
        });
    }
    group.finish();
}

fn benches(criterion: &mut Criterion) {
    let gaussian = Settings::gaussian(1.0);
    let mesh = Settings { method: Method::Mesh, ..gaussian };
    apply(criterion, "mesh", 100_000, &[5.0, 20.0, 80.0], mesh);
    apply(criterion, "mesh", 10_000, &[10.0], mesh);
    apply(criterion, "direct", 5_000, &[10.0], Settings { method: Method::Direct, ..gaussian });
    let truncated = Settings { kernel: Kernel::GaussianTruncated, ..gaussian };
    apply(criterion, "truncated", 50_000, &[40.0], truncated);
    apply(criterion, "anchors", 10_000, &[5.0], Settings { method: Method::Anchors, ..gaussian });
}

criterion_group!(ligand, benches);
criterion_main!(ligand);
