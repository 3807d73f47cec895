//! Genes of like shape become one: fewer columns at almost no loss.

use crate::check;
use crate::error::{Error, Result};
use crate::simd::fma;
use crate::watch::Watch;
use crate::widest;
use ndarray::{Array2, ArrayView1, ArrayView2};
use rayon::prelude::*;

/// Rounds of assignment and averaging.
const ROUNDS: usize = 8;
/// Genes per task.
const TASK: usize = 256;

/// Group of every gene, 0 to at most `groups` - 1, by weighted k-means.
///
/// Centers start at the genes that are worst served by the centers before them, so there is no chance in it and the
/// order of the genes does not matter. Genes without weight take part in nothing but the last assignment.
///
/// * `points`: genes x dimensions.
/// * `weights`: one per gene, not negative.
///
/// # Errors
/// [`Error::Rows`] when there is not one weight per gene, [`Error::Cancelled`] on request.
pub fn merge_genes(
    points: ArrayView2<f64>,
    weights: ArrayView1<f64>,
    groups: usize,
    watch: &dyn Watch,
) -> Result<Vec<i64>> {
    check::same_rows("points", points.nrows(), "weights", weights.len())?;
    let heavy: Vec<usize> = (0..points.nrows()).filter(|&gene| weights[gene] > 0.0).collect();
    let mut centers = start(points, weights, &heavy, groups);
    for round in 0..ROUNDS {
        if !watch.tick(round, ROUNDS + 1) {
            return Err(Error::Cancelled { done: round, total: ROUNDS + 1 });
        }
        let group = assign(points, &heavy, &centers);
        let mut sums = Array2::<f64>::zeros(centers.raw_dim());
        let mut total = vec![0.0; centers.nrows()];
        for (&gene, &group) in heavy.iter().zip(&group) {
            sums.row_mut(group).scaled_add(weights[gene], &points.row(gene));
            total[group] += weights[gene];
        }
        for (group, &total) in total.iter().enumerate().filter(|&(_, &total)| total > 0.0) {
            centers.row_mut(group).assign(&(&sums.row(group) / total));
        }
    }
    let all: Vec<usize> = (0..points.nrows()).collect();
    Ok(assign(points, &all, &centers).into_iter().map(|group| group as i64).collect())
}

/// Each center is the gene with the largest weight times squared distance to the centers before it.
fn start(points: ArrayView2<f64>, weights: ArrayView1<f64>, heavy: &[usize], groups: usize) -> Array2<f64> {
    let mut left: Vec<f64> = heavy.iter().map(|&gene| weights[gene]).collect();
    let mut squared = vec![f64::INFINITY; heavy.len()];
    let mut chosen: Vec<usize> = Vec::new();
    while chosen.len() < groups.min(heavy.len()) {
        let worst = (0..heavy.len()).fold(0, |best, at| if left[at] > left[best] { at } else { best });
        if left[worst] <= 0.0 {
            break;
        }
        let center = points.row(heavy[worst]);
        chosen.push(heavy[worst]);
        for (at, &gene) in heavy.iter().enumerate() {
            let d2: f64 = points.row(gene).iter().zip(center).map(|(a, b)| (a - b) * (a - b)).sum();
            squared[at] = squared[at].min(d2);
            left[at] = weights[gene] * squared[at];
        }
    }
    if chosen.is_empty() {
        return Array2::zeros((1, points.ncols()));
    }
    points.select(ndarray::Axis(0), &chosen)
}

/// Nearest center of each gene; of equal ones the first.
fn assign(points: ArrayView2<f64>, genes: &[usize], centers: &Array2<f64>) -> Vec<usize> {
    let columns = centers.t().as_standard_layout().into_owned();
    let half: Vec<f64> = centers.outer_iter().map(|center| 0.5 * center.dot(&center)).collect();
    let parts: Vec<Vec<usize>> = genes
        .par_chunks(TASK)
        .map(|genes| {
            let mut score = vec![0.0; half.len()];
            let nearest = |&gene: &usize| {
                score.copy_from_slice(&half);
                for (&value, column) in points.row(gene).iter().zip(columns.outer_iter()) {
                    subtract(&mut score, value, column.as_slice().unwrap_or(&[]));
                }
                (0..score.len()).fold(0, |best, at| if score[at] < score[best] { at } else { best })
            };
            genes.iter().map(nearest).collect()
        })
        .collect();
    parts.concat()
}

widest! {
    /// score -= value * column
    fn subtract(score: &mut [f64], value: f64, column: &[f64]) {
        for (score, column) in score.iter_mut().zip(column) {
            *score = fma::<FMA>(-value, *column, *score);
        }
    }
}
