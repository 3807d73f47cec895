use super::{Neighbors, nearest_neighbors};
use crate::error::Error;
use crate::parallel::with_threads;
use crate::watch::{Unwatched, Watch};
use ndarray::{Array1, Array2, array};
use proptest::prelude::*;

/// All distances of each cell, sorted.
fn plain(points: &Array2<f64>, k: usize, groups: &[i64]) -> Neighbors {
    let n = points.nrows();
    let mut out = Neighbors {
        indices: Array2::from_elem((n, k), -1),
        distances: Array2::from_elem((n, k), f64::INFINITY),
    };
    for i in (0..n).filter(|&i| groups[i] >= 0) {
        let mut list: Vec<(f64, usize)> = (0..n)
            .filter(|&j| j != i && groups[j] == groups[i])
            .map(|j| {
                let d2: f64 = points.row(i).iter().zip(points.row(j)).map(|(a, b)| (a - b) * (a - b)).sum();
                (d2, j)
            })
            .collect();
        list.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        for (rank, (d2, j)) in list.into_iter().take(k).enumerate() {
            out.indices[[i, rank]] = j as i64;
            out.distances[[i, rank]] = d2.sqrt();
        }
    }
    out
}

/// Repeatable points on a coarse lattice far from the origin: many exact ties and duplicates.
fn lattice(n: usize, dims: usize, seed: u64) -> Array2<f64> {
    let mut state = seed.wrapping_mul(2) + 1;
    Array2::from_shape_fn((n, dims), |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        1e6 + ((state >> 60) as f64) * 0.1
    })
}

proptest! {
    #[test]
    fn the_blocked_search_finds_what_sorting_all_distances_finds(
        n in 1_usize..90, dims in 1_usize..12, k in 1_usize..9, n_groups in 1_i64..4, seed in 0_u64..1000
    ) {
        let points = lattice(n, dims, seed);
        let groups: Vec<i64> = (0..n as i64).map(|i| (i * 7 + seed as i64) % (n_groups + 1) - 1).collect();
        let labels = Array1::from(groups.clone());
        let found = nearest_neighbors(points.view(), k, Some(labels.view()), &Unwatched).unwrap();
        prop_assert_eq!(found, plain(&points, k, &groups));
    }
}

#[test]
fn more_cells_than_a_tile_and_every_tie_at_once() {
    let mut points = lattice(1300, 3, 5);
    points.slice_mut(ndarray::s![..700, ..]).fill(1e6); // 700 cells in one place
    let found = nearest_neighbors(points.view(), 4, None, &Unwatched).unwrap();
    assert_eq!(found, plain(&points, 4, &vec![0; 1300]));
    assert_eq!(found.indices.row(0).to_vec(), vec![1, 2, 3, 4]);
}

#[test]
fn an_outlier_far_away_does_not_blur_the_others() {
    let mut points = lattice(200, 2, 9);
    points[[17, 0]] = 1e13;
    let found = nearest_neighbors(points.view(), 3, None, &Unwatched).unwrap();
    assert_eq!(found, plain(&points, 3, &vec![0; 200]));
}

#[test]
fn one_and_three_threads_agree_in_every_bit() {
    let points = lattice(700, 20, 3);
    let run =
        |threads| with_threads(threads, || nearest_neighbors(points.view(), 5, None, &Unwatched)).unwrap();
    assert_eq!(run(1), run(3));
}

#[test]
fn bad_input_and_a_stop_are_reported() {
    struct Stop;
    impl Watch for Stop {
        fn tick(&self, _done: usize, _total: usize) -> bool {
            false
        }
    }
    let points = array![[0.0, 1.0], [2.0, 3.0]];
    let call = |k| nearest_neighbors(points.view(), k, None, &Stop);
    assert!(matches!(call(0), Err(Error::Parameter { name: "k", .. })));
    assert!(matches!(call(1), Err(Error::Cancelled { .. })));
    let far = array![[1e200], [-1e200]];
    assert!(matches!(
        nearest_neighbors(far.view(), 1, None, &Unwatched),
        Err(Error::Parameter { name: "points", .. })
    ));
    let groups = array![0_i64];
    let short = nearest_neighbors(points.view(), 1, Some(groups.view()), &Unwatched);
    assert!(matches!(short, Err(Error::Rows { .. })));
    let none = Array2::<f64>::zeros((0, 2));
    assert_eq!(nearest_neighbors(none.view(), 2, None, &Unwatched).unwrap().indices.dim(), (0, 2));
    let flat = Array2::<f64>::zeros((3, 0));
    assert!(matches!(nearest_neighbors(flat.view(), 1, None, &Unwatched), Err(Error::Shape { .. })));
}
