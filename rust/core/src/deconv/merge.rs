//! Genes of like shape become one: fewer columns at almost no loss.

use crate::check;
use crate::error::{Error, Result};
use crate::watch::Watch;
use crate::widest;
use ndarray::{Array2, ArrayView1, ArrayView2, Axis};
use rayon::prelude::*;

/// Rounds of assignment and averaging.
const ROUNDS: usize = 4;
/// Genes per task.
const TASK: usize = 256;
/// Centers that are scored together.
const LANES: usize = 16;

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
    let points = points.select(Axis(0), heavy);
    let padded = heavy.len().next_multiple_of(LANES);
    let mut columns = vec![0.0_f32; padded * points.ncols()];
    for ((gene, dim), &value) in points.indexed_iter() {
        columns[dim * padded + gene] = value as f32;
    }
    let weight: Vec<f32> = heavy.iter().map(|&gene| weights[gene] as f32).collect();
    let mut distance = vec![f32::INFINITY; padded];
    let mut chosen: Vec<usize> = Vec::new();
    while chosen.len() < groups.min(heavy.len()) {
        let left = weight.iter().zip(&distance).map(|(weight, distance)| weight * distance);
        let worst = left.enumerate().fold((0, 0.0), |best, one| if one.1 > best.1 { one } else { best });
        if worst.1 <= 0.0 {
            break;
        }
        chosen.push(worst.0);
        let center: Vec<f32> = points.row(worst.0).iter().map(|&value| value as f32).collect();
        shorten(&center, &columns, &mut distance);
    }
    if chosen.is_empty() { Array2::zeros((1, points.ncols())) } else { points.select(Axis(0), &chosen) }
}

/// Nearest center of each gene; of equal ones the first.
fn assign(points: ArrayView2<f64>, genes: &[usize], centers: &Array2<f64>) -> Vec<usize> {
    let padded = centers.nrows().next_multiple_of(LANES);
    let half = centers.outer_iter().map(|center| 0.5 * center.dot(&center) as f32);
    let half: Vec<f32> = half.chain(std::iter::repeat(f32::INFINITY)).take(padded).collect();
    let mut columns = vec![0.0; padded * centers.ncols()];
    for ((center, dim), &value) in centers.indexed_iter() {
        columns[dim * padded + center] = value as f32;
    }
    let parts: Vec<Vec<usize>> = genes
        .par_chunks(TASK)
        .map(|genes| {
            let (mut score, mut nearest) = (half.clone(), Vec::with_capacity(genes.len()));
            for &gene in genes {
                let point: Vec<f32> = points.row(gene).iter().map(|&value| value as f32).collect();
                score.copy_from_slice(&half);
                let mut least = f32::INFINITY;
                score_centers(&point, &columns, &mut score, &mut least);
                nearest.push(score.iter().position(|&score| score <= least).unwrap_or(0));
            }
            nearest
        })
        .collect();
    parts.concat()
}

widest! {
    /// distance = min(distance, squared distance of each gene to the center)
    fn shorten(center: &[f32], columns: &[f32], distance: &mut [f32]) {
        let padded = distance.len();
        for (part, distance) in distance.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
            let mut sum = [0.0_f32; LANES];
            for (dim, &value) in center.iter().enumerate() {
                let column = &columns[dim * padded + part * LANES..][..LANES];
                for lane in 0..LANES {
                    let gap = column[lane] - value;
                    sum[lane] = if FMA { gap.mul_add(gap, sum[lane]) } else { gap * gap + sum[lane] };
                }
            }
            for lane in 0..LANES {
                distance[lane] = if sum[lane] < distance[lane] { sum[lane] } else { distance[lane] };
            }
        }
    }
}

widest! {
    /// score -= point · columns, and the least of all scores.
    fn score_centers(point: &[f32], columns: &[f32], score: &mut [f32], least: &mut f32) {
        let padded = score.len();
        let mut low = [f32::INFINITY; LANES];
        for part in 0..padded / LANES {
            let mut sum = [0.0_f32; LANES];
            sum.copy_from_slice(&score[part * LANES..][..LANES]);
            for (dim, &value) in point.iter().enumerate() {
                let column = &columns[dim * padded + part * LANES..][..LANES];
                for lane in 0..LANES {
                    sum[lane] = if FMA {
                        (-value).mul_add(column[lane], sum[lane])
                    } else {
                        sum[lane] - value * column[lane]
                    };
                }
            }
            for lane in 0..LANES {
                low[lane] = if sum[lane] < low[lane] { sum[lane] } else { low[lane] };
            }
            score[part * LANES..][..LANES].copy_from_slice(&sum);
        }
        *least = low.iter().fold(f32::INFINITY, |a, &b| a.min(b));
    }
}
