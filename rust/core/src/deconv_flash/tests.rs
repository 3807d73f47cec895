//! Small problems with known answers.

use super::system::System;
use super::{graph, jacobi, sor};
use crate::watch::Unwatched;
use ndarray::{Array2, array};
use proptest::prelude::*;

fn chain(n: i64) -> (Vec<i64>, Vec<i32>) {
    let mut indptr = vec![0];
    let mut neighbors = Vec::new();
    for spot in 0..n {
        neighbors.extend([spot - 1, spot + 1].iter().filter(|&&s| s >= 0 && s < n).map(|&s| s as i32));
        indptr.push(neighbors.len() as i64);
    }
    (indptr, neighbors)
}

fn brute_nearest(points: &Array2<f64>, k: usize) -> Vec<Vec<i32>> {
    let n = points.nrows();
    let mut rows = vec![std::collections::BTreeSet::new(); n];
    for i in 0..n {
        let mut all: Vec<(f64, usize)> = (0..n)
            .filter(|&j| j != i)
            .map(|j| {
                let pairs = points.row(i).into_iter().zip(points.row(j));
                (pairs.map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt(), j)
            })
            .collect();
        all.sort_by(|a, b| a.partial_cmp(b).unwrap());
        for &(_, j) in all.iter().take(k) {
            rows[i].insert(j as i32);
            rows[j].insert(i as i32);
        }
    }
    rows.into_iter().map(|row| row.into_iter().collect()).collect()
}

proptest! {
    #[test]
    fn nearest_neighbors_agree_with_all_pairs_also_on_ties(
        raw in prop::collection::vec(0..6_i32, 3..240), k in 1..9_usize,
    ) {
        let points = Array2::from_shape_fn((raw.len() / 3, 3), |(i, j)| f64::from(raw[3 * i + j]));
        let found = graph::nearest(points.view(), k).unwrap();
        for (i, row) in brute_nearest(&points, k).iter().enumerate() {
            let span = found.indptr[i] as usize..found.indptr[i + 1] as usize;
            prop_assert_eq!(&found.indices[span], &row[..]);
        }
    }

    #[test]
    fn both_solvers_agree(values in prop::collection::vec(0.0..1.0_f64, 64), lambda in 0.0..3.0_f64) {
        let x = Array2::from_shape_fn((4, 8), |(i, j)| values[i * 8 + j] + f64::from(u8::from(i == j)));
        let h = Array2::from_shape_fn((8, 4), |(i, j)| values[32 + i * 4 + j] * 3.0 - 0.5);
        let gram = x.dot(&x.t());
        let (indptr, neighbors) = chain(8);
        let system = System::new(gram.view(), h.view(), (&indptr, &neighbors), lambda, 0.01).unwrap();
        let mut slow = vec![0.25; 32];
        let stop = jacobi::Stop { max_iter: 50_000, tol: 1e-13, trace: false };
        jacobi::solve(&system, &mut slow, stop, &Unwatched).unwrap();
        let mut fast = vec![0.25; 32];
        let out = sor::solve(&system, &mut fast, 10_000, 1e-12, &Unwatched).unwrap();
        prop_assert!(out.converged);
        for (a, b) in slow.iter().zip(&fast) {
            prop_assert!((a - b).abs() < 1e-8, "{} {}", a, b);
        }
    }
}

#[test]
fn one_type_is_a_ridge_with_a_bound() {
    let (gram, h) = (array![[2.0]], array![[4.0], [-1.0]]);
    let (indptr, neighbors) = (vec![0, 0, 0], vec![]);
    let system = System::new(gram.view(), h.view(), (&indptr, &neighbors), 7.0, 1.0).unwrap();
    let mut beta = vec![1.0; 2];
    let out = sor::solve(&system, &mut beta, 10, 1e-12, &Unwatched).unwrap();
    assert!(out.converged && out.sweeps <= 2);
    assert!((beta[0] - 1.5).abs() < 1e-15 && beta[1] == 0.0);
}

#[test]
fn equal_types_without_a_graph_still_end_at_an_optimum() {
    let (gram, h) = (array![[1.0, 1.0], [1.0, 1.0]], array![[2.0, 2.0]]);
    let (indptr, neighbors) = (vec![0, 0], vec![]);
    let system = System::new(gram.view(), h.view(), (&indptr, &neighbors), 1.0, 0.0).unwrap();
    let mut beta = vec![0.5; 2];
    let out = sor::solve(&system, &mut beta, 10, 1e-10, &Unwatched).unwrap();
    assert!(out.converged);
    assert!((beta[0] + beta[1] - 2.0).abs() < 1e-9);
}

#[test]
fn equal_points_are_linked_in_order_without_looking_at_all_pairs() {
    let points = Array2::<f64>::zeros((20_000, 2));
    let found = graph::nearest(points.view(), 2).unwrap();
    assert_eq!(found.indices[found.indptr[19_999] as usize..], [0, 1]);
}
