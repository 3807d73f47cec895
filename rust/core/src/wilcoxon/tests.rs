//! Rank sums against counting all pairs, and equal bits for every storage and number of threads.

use super::{Approximation, Comparison, RankSums, rank_sums};
use crate::matrix::{Compressed, Matrix};
use crate::parallel::with_threads;
use crate::watch::{Unwatched, Watch};
use crate::{Error, Result};
use ndarray::{Array2, ShapeBuilder};
use proptest::prelude::*;

const PLAIN: Approximation = Approximation { tie_correct: true, continuity: true };

fn tested(x: &Matrix<f32, i32>, codes: &[i64], groups: usize, comparison: Comparison) -> Result<RankSums> {
    rank_sums(x, codes, groups, comparison, PLAIN, &Unwatched)
}

/// Pointers, positions and values of the lines of a matrix.
fn compressed(lines: &Array2<f32>) -> (Vec<i64>, Vec<i32>, Vec<f32>) {
    let (mut starts, mut indices, mut data) = (vec![0], Vec::new(), Vec::new());
    for line in lines.outer_iter() {
        for (at, value) in line.iter().enumerate().filter(|(_, value)| **value != 0.0) {
            indices.push(at as i32);
            data.push(*value);
        }
        starts.push(indices.len() as i64);
    }
    (starts, indices, data)
}

proptest! {
    #[test]
    fn the_statistic_counts_pairs(
        (cells, values, codes) in (2usize..60).prop_flat_map(|cells| (
            Just(cells),
            proptest::collection::vec(-3i8..4, cells * 3),
            proptest::collection::vec(-1i64..3, cells),
        )),
    ) {
        let mut codes = codes;
        for (group, code) in codes.iter_mut().take(3).enumerate() {
            *code = group as i64;
        }
        prop_assume!(cells >= 3);
        let x = Array2::from_shape_fn((cells, 3), |(i, g)| f32::from(values[i * 3 + g]));
        let member = |code: i64, group: i64| code == group;
        for comparison in [Comparison::Reference, Comparison::Rest] {
            let found = tested(&Matrix::Dense(x.view()), &codes, 3, comparison).unwrap();
            let skipped = i64::from(comparison == Comparison::Reference);
            for row in 0..found.statistic.nrows() {
                let group = row as i64 + skipped;
                for gene in 0..3 {
                    let mut pairs = 0.0;
                    for i in (0..cells).filter(|i| member(codes[*i], group)) {
                        let other = |j: &usize| match comparison {
                            Comparison::Reference => codes[*j] == 0,
                            Comparison::Rest => codes[*j] >= 0 && codes[*j] != group,
                        };
                        for j in (0..cells).filter(other) {
                            pairs += f64::from(u8::from(x[[i, gene]] > x[[j, gene]]));
                            pairs += 0.5 * f64::from(u8::from(x[[i, gene]] == x[[j, gene]]));
                        }
                    }
                    prop_assert_eq!(found.statistic[[row, gene]], pairs);
                }
            }
        }
    }
}

#[test]
fn storage_and_threads_give_equal_bits() {
    let x = Array2::from_shape_fn((1300, 37), |(i, g)| {
        let value = (i * 7919 + g * 104_729 + i * g) % 97;
        if value < 60 { 0.0 } else { value as f32 * 0.37 - 25.0 }
    });
    let codes: Vec<i64> = (0..1300).map(|i| if i < 700 { 0 } else { (i % 5) as i64 - 1 }).collect();
    let columns = x.t().to_owned();
    let (rows, by_gene) = (compressed(&x), compressed(&columns));
    let mut turned = Array2::zeros(x.raw_dim().f());
    turned.assign(&x);
    let forms = [
        Matrix::Dense(x.view()),
        Matrix::Dense(turned.view()),
        Matrix::Rows(Compressed { width: 37, starts: &rows.0, indices: &rows.1, data: &rows.2 }),
        Matrix::Columns(Compressed {
            width: 1300,
            starts: &by_gene.0,
            indices: &by_gene.1,
            data: &by_gene.2,
        }),
    ];
    let expected = tested(&forms[0], &codes, 4, Comparison::Reference).unwrap();
    for form in &forms {
        for threads in [1, 2, 5] {
            let found = with_threads(threads, || tested(form, &codes, 4, Comparison::Reference)).unwrap();
            assert_eq!(found.p_value, expected.p_value);
            assert_eq!(found.statistic, expected.statistic);
            assert_eq!(found.score, expected.score);
        }
    }
}

#[test]
fn broken_input_is_told_apart() {
    let x = Array2::from_elem((3, 2), 1.0f32);
    let dense = Matrix::Dense(x.view());
    assert!(matches!(tested(&dense, &[0, 1], 2, Comparison::Reference), Err(Error::Rows { .. })));
    assert!(matches!(tested(&dense, &[0, 1, 5], 2, Comparison::Reference), Err(Error::Index { .. })));
    assert!(matches!(tested(&dense, &[0, 0, 0], 2, Comparison::Reference), Err(Error::Shape { .. })));
    let nan = Array2::from_shape_fn((3, 2), |(i, _)| if i == 2 { f32::NAN } else { 1.0 });
    let found = tested(&Matrix::Dense(nan.view()), &[0, 1, 1], 2, Comparison::Reference);
    assert!(matches!(found, Err(Error::NotFinite { row: 2, .. })));
    for (starts, indices) in
        [([0, 2, 1], [0, 1]), ([0, 1, 2], [0, 7]), ([0, 2, 2], [1, 0]), ([0, 1, 9], [0, 1])]
    {
        let rows = Compressed { width: 2, starts: &starts, indices: &indices, data: &[1.0f32, 2.0] };
        let found = tested(&Matrix::Rows(rows), &[0, 1], 2, Comparison::Reference);
        assert!(matches!(found, Err(Error::Shape { .. })), "{starts:?} {indices:?}");
    }
}

struct Stop;

impl Watch for Stop {
    fn tick(&self, _done: usize, _total: usize) -> bool {
        false
    }
}

#[test]
fn a_stop_is_obeyed() {
    let x = Array2::from_elem((4, 50), 1.0f32);
    let dense = Matrix::<f32, i32>::Dense(x.view());
    let found = rank_sums(&dense, &[0, 0, 1, 1], 2, Comparison::Reference, PLAIN, &Stop);
    assert!(matches!(found, Err(Error::Cancelled { .. })));
}
