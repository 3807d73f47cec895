use super::{Block, Graph, gene_sums, neighbor_graph};
use crate::parallel::with_threads;
use crate::watch::Unwatched;
use ndarray::{Array1, Array2};
use proptest::prelude::*;

/// Neighbors by sorting all distances.
fn plain(points: &Array2<f64>, section: &Array1<i64>, k: usize) -> Vec<Vec<u32>> {
    let n = points.nrows();
    let mut links = vec![std::collections::BTreeSet::new(); n];
    for i in 0..n {
        let mut list: Vec<(f64, usize)> = (0..n)
            .filter(|&j| j != i && section[i] == section[j])
            .map(|j| (points.row(i).iter().zip(points.row(j)).map(|(a, b)| (a - b) * (a - b)).sum(), j))
            .collect();
        list.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        for &(_, j) in list.iter().take(k) {
            links[i].insert(j as u32);
            links[j].insert(i as u32);
        }
    }
    links.into_iter().map(|set| set.into_iter().collect()).collect()
}

proptest! {
    #[test]
    fn the_graph_is_that_of_all_sorted_distances(
        n in 1_usize..120, dims in 1_usize..4, k in 0_usize..9, sections in 1_i64..4, seed in 1_u64..1000
    ) {
        let mut state = seed;
        let mut draw = |sides: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % sides
        };
        let points = Array2::from_shape_fn((n, dims), |_| draw(6) as f64 * 0.1);
        let section = Array1::from_shape_fn(n, |_| draw(sections as u64) as i64);
        let graph = neighbor_graph(points.view(), section.view(), k, &Unwatched).unwrap();
        for (spot, expected) in plain(&points, &section, k).iter().enumerate() {
            prop_assert_eq!(graph.of(spot), expected.as_slice());
        }
    }
}

#[test]
fn every_spot_has_one_wave_after_those_of_its_neighbors_before_it() {
    let points =
        Array2::from_shape_fn((900, 2), |(i, d)| if d == 0 { (i / 30) as f64 } else { (i % 30) as f64 });
    let graph = neighbor_graph(points.view(), Array1::zeros(900).view(), 6, &Unwatched).unwrap();
    let spots: Vec<i64> = (100..700).filter(|spot| spot % 7 != 0).collect();
    let mut wave_of = std::collections::BTreeMap::new();
    for (wave, rows) in graph.waves(&spots).iter().enumerate() {
        for &at in rows {
            assert!(wave_of.insert(spots[at], wave).is_none());
        }
    }
    assert_eq!(wave_of.len(), spots.len());
    for (&spot, &wave) in &wave_of {
        for other in graph.of(spot as usize).iter().map(|&other| i64::from(other)) {
            if let Some(&there) = wave_of.get(&other) {
                assert_eq!(other < spot, there < wave);
            }
        }
    }
}

#[test]
fn every_spot_has_one_color_of_few_and_no_neighbor_shares_it() {
    let points =
        Array2::from_shape_fn((900, 2), |(i, d)| if d == 0 { (i / 30) as f64 } else { (i % 30) as f64 });
    let graph = neighbor_graph(points.view(), Array1::zeros(900).view(), 6, &Unwatched).unwrap();
    let spots: Vec<i64> = (100..700).filter(|spot| spot % 7 != 0).collect();
    let colors = graph.colors(&spots);
    assert!(colors.len() <= 8, "{} colors", colors.len());
    let mut color_of = std::collections::BTreeMap::new();
    for (color, rows) in colors.iter().enumerate() {
        for &at in rows {
            assert!(color_of.insert(spots[at], color).is_none());
        }
    }
    assert_eq!(color_of.len(), spots.len());
    for (&spot, color) in &color_of {
        for other in graph.of(spot as usize).iter().map(|&other| i64::from(other)) {
            assert_ne!(color_of.get(&other), Some(color));
        }
    }
}

#[test]
fn bad_blocks_and_graphs_are_refused() {
    assert!(Block::new(&[0, 2], &[0, 1], &[1.0, 1.0], &[0, -1]).is_ok());
    assert!(Block::new(&[], &[], &[], &[0]).is_err());
    assert!(Block::new(&[0, 2, 1], &[0], &[1.0], &[0]).is_err());
    assert!(Block::new(&[0, 3], &[0, 1], &[1.0, 1.0], &[0, 1]).is_err());
    assert!(Block::new(&[0, 1], &[2], &[1.0], &[0, 1]).is_err());
    assert!(Graph::new(ndarray::aview1(&[0, 1]), ndarray::aview1(&[1])).is_err());
    assert!(Graph::new(ndarray::aview1(&[0, 2]), ndarray::aview1(&[0])).is_err());
}

#[test]
fn sums_are_the_same_for_any_number_of_threads_and_report_bad_values() {
    let starts: Vec<i64> = (0..=3000).map(|row| row * 2).collect();
    let columns: Vec<i32> = (0..6000).map(|at| at % 5).collect();
    let mut counts: Vec<f32> = (0..6000).map(|at| (at % 7) as f32 * 0.1).collect();
    let position = [2, -1, 0, 1, 3];
    let run = |counts: &[f32], threads| {
        let block = Block::new(&starts, &columns, counts, &position).unwrap();
        with_threads(threads, || gene_sums(&block, 4, &Unwatched)).unwrap()
    };
    assert_eq!(run(&counts, 1), run(&counts, 3));
    assert_eq!(run(&counts, 1).unusable, None);
    counts[4003] = f32::NAN;
    assert_eq!(run(&counts, 2).unusable.map(|bad| bad.0), Some(2001));
}
