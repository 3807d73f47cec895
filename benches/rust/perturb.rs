//! Propagation: the matrix product on its own, and one step of every way to propagate a change.

#![allow(missing_docs, clippy::unwrap_used)] // a bench has no reader of its documentation and may panic

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use cytoripple_core::gemm::{PackedRight, multiply};
use cytoripple_core::perturb::{
    Ligands, Options, RegulatoryModel, Request, Rounds, Rules, Signal, TargetInput, perturb, reevaluate,
};
use cytoripple_core::splash::Slope;
use cytoripple_core::watch::Unwatched;
use ndarray::Array2;
use std::hint::black_box;

const CELLS: usize = 10_000;
const CLUSTERS: i64 = 8;

/// Numbers without structure, the same in every run.
struct Draw(u64);

impl Draw {
    fn below(&mut self, n: usize) -> i64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((self.0 >> 33) as usize % n) as i64
    }

    fn unit(&mut self) -> f64 {
        self.below(1 << 30) as f64 / f64::from(1 << 30)
    }
}

fn product(c: &mut Criterion) {
    let mut group = c.benchmark_group("gemm");
    for (m, k, n) in [(256, 700, 512), (1024, 1024, 1024)] {
        let a = Array2::from_shape_fn((m, k), |(i, j)| ((i * 7 + j) % 13) as f64);
        let b = Array2::from_shape_fn((k, n), |(i, j)| ((i * 5 + j) % 11) as f64);
        let (packed, mut out) = (PackedRight::new(b.view()), Array2::zeros((m, n)));
        group.throughput(Throughput::Elements((2 * m * k * n) as u64));
        let name = format!("{m}x{k}x{n}");
        group.bench_function(BenchmarkId::new("own", &name), |bench| {
            bench.iter(|| multiply(black_box(a.view()), &packed, out.view_mut(), false).unwrap());
        });
        group.bench_function(BenchmarkId::new("matrixmultiply", &name), |bench| {
            bench.iter(|| ndarray::linalg::general_mat_mul(1.0, black_box(&a), &b, 0.0, &mut out));
        });
    }
    group.finish();
}

/// Every gene is a target; 30 TFs, 40 ligand-receptor and 20 TF-ligand pairs each, from pools of 300.
fn model(genes: usize) -> (RegulatoryModel, Array2<f64>) {
    let mut draw = Draw(1);
    let ligands: Vec<i64> = (0..30.min(genes as i64)).collect();
    let mut pool = |kind: i64| -> Vec<[i64; 3]> {
        let pair = |draw: &mut Draw| [kind, draw.below(ligands.len()), draw.below(genes)];
        (0..300).map(|_| if kind == 0 { [0, draw.below(genes), -1] } else { pair(&mut draw) }).collect()
    };
    let pools = [(30, pool(0)), (40, pool(1)), (20, pool(2))];
    let tables: Vec<(Array2<f64>, Array2<i64>)> = (0..genes)
        .map(|_| {
            let columns: Vec<i64> = pools
                .iter()
                .flat_map(|(count, pool)| {
                    (0..*count).map(|_| pool[draw.below(300) as usize]).collect::<Vec<_>>()
                })
                .flatten()
                .collect();
            let betas = Array2::from_shape_fn((CLUSTERS as usize, 91), |_| draw.unit() * 0.02 - 0.01);
            (betas, Array2::from_shape_vec((90, 3), columns).unwrap())
        })
        .collect();
    let inputs: Vec<TargetInput<'_>> = tables
        .iter()
        .enumerate()
        .map(|(gene, (betas, columns))| TargetInput {
            gene: gene as i64,
            betas: betas.view(),
            columns: columns.view(),
            map: 0,
        })
        .collect();
    let map = (0..CELLS).map(|_| draw.below(CLUSTERS as usize)).collect();
    let model = RegulatoryModel::new(genes, &ligands, vec![map], &inputs).unwrap();
    (model, Array2::from_shape_fn((CELLS, genes), |_| draw.unit() * 3.0))
}

fn propagation(c: &mut Criterion) {
    let mut group = c.benchmark_group("propagation_step");
    group.sample_size(10);
    for genes in [50, 500] {
        let (model, expression) = model(genes);
        let signals: [Signal<'_>; 0] = [];
        let flags = vec![true; model.n_ligands()];
        let ligands = Ligands { signals: &signals, scale: 1.0, lr: &flags, tfl: &flags };
        let cells = Array2::from_elem((CELLS, genes / 2), true);
        let request = Request {
            expression: expression.view(),
            targets: (0..genes / 2).collect(),
            desired: vec![1.0; genes / 2],
            cells: cells.view(),
            mask: None,
        };
        let rules = Rules::new("evolving", "selected", "zero_desired", true, 1e-9).unwrap();
        let slope = Slope { scale: 1.0, cap: None };
        for (name, plain) in [("linear", false), ("linear_plain", true)] {
            let options = Options { rules, n_propagation: 1, slope, plain };
            group.bench_function(BenchmarkId::new(name, genes), |bench| {
                bench.iter(|| perturb(&model, black_box(&request), &ligands, &options, &Unwatched).unwrap());
            });
        }
        let rounds = Rounds { limit: 1, share: 1.0, tolerance: 0.0, min_expression: 1e-9, scale: 1.0 };
        group.bench_function(BenchmarkId::new("reevaluate", genes), |bench| {
            bench.iter(|| reevaluate(&model, black_box(&request), &ligands, &rounds, &Unwatched).unwrap());
        });
    }
    group.finish();
}

criterion_group!(benches, product, propagation);
criterion_main!(benches);
