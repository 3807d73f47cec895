//! Counting noise of the columns: products that its covariance adds to the Gram matrix.
//!
//! Column `j` carries the noise of one gene with the standard deviation `e_ij` in cell `i`; columns of the
//! same gene share it. So `sum_i e_ij e_ik` is what noise adds to the product of the columns `j` and `k` of one
//! gene, and nothing to the product of columns of different genes.

use crate::lasso::design::{ClusterTable, Column, Signals};
use crate::lasso::quadratic::dot;
use ndarray::ArrayView2;
use std::collections::BTreeMap;
use std::ops::Range;

/// Largest share of the variance of a column that is taken for noise.
const LARGEST_SHARE: f64 = 0.6;

/// Products of the noise of the columns of one target in one type, cut like its cells into sets.
#[derive(Debug, Clone)]
pub(crate) struct Noise {
    /// Columns of each noisy gene.
    blocks: Vec<Vec<usize>>,
    /// Factor on the noise of each column that keeps it at most [`LARGEST_SHARE`] of the variance.
    cap: Vec<f64>,
    /// Per set the products of the columns inside each block, block after block.
    sets: Vec<Vec<f64>>,
    total: Vec<f64>,
}

impl Noise {
    /// Noise from the deviations of each column over the cells, `variances` being those of the columns.
    ///
    /// A negative gene means that the column is free of noise. `None` when all columns are.
    pub(crate) fn new(
        genes: &[i64],
        deviations: &[Vec<f64>],
        variances: &[f64],
        sets: &[Range<usize>],
    ) -> Option<Self> {
        let noisy = |j: &usize| genes[*j] >= 0 && deviations[*j].iter().any(|&e| e != 0.0);
        let mut members: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
        (0..genes.len()).filter(noisy).for_each(|j| members.entry(genes[j]).or_default().push(j));
        if members.is_empty() {
            return None;
        }
        let blocks: Vec<Vec<usize>> = members.into_values().collect();
        let products = |cells: &Range<usize>| {
            let mut out = Vec::new();
            for block in &blocks {
                for &j in block {
                    let left = &deviations[j][cells.clone()];
                    out.extend(block.iter().map(|&k| dot::<false>(left, &deviations[k][cells.clone()])));
                }
            }
            out
        };
        let sets: Vec<Vec<f64>> = sets.iter().map(products).collect();
        let mut total = vec![0.0; sets.first().map_or(0, Vec::len)];
        sets.iter().for_each(|set| total.iter_mut().zip(set).for_each(|(t, s)| *t += s));
        let mut noise = Self { blocks, cap: vec![0.0; genes.len()], sets, total };
        noise.limit(variances, deviations.first().map_or(0, Vec::len));
        Some(noise)
    }

    fn limit(&mut self, variances: &[f64], n_cells: usize) {
        let mut at = 0;
        for block in &self.blocks {
            for (i, &j) in block.iter().enumerate() {
                let share = self.total[at + i * block.len() + i] / (n_cells as f64 * variances[j]);
                self.cap[j] = if share > LARGEST_SHARE { (LARGEST_SHARE / share).sqrt() } else { 1.0 };
            }
            at += block.len() * block.len();
        }
    }

    /// Take the noise of all cells but those of the set `hold` out of the Gram `a` of the columns `order` times
    /// `factors` over `n` cells, row by row.
    pub(crate) fn subtract(
        &self,
        hold: Option<usize>,
        order: &[usize],
        factors: &[f64],
        n: usize,
        a: &mut [f64],
    ) {
        let p = order.len();
        let by: Vec<f64> = factors.iter().zip(order).map(|(f, &j)| f * self.cap[j]).collect();
        let mut position = vec![None; self.cap.len()];
        order.iter().enumerate().for_each(|(k, &j)| position[j] = Some(k));
        let mut at = 0;
        for block in &self.blocks {
            for &j in block {
                for &k in block {
                    let (Some(j), Some(k)) = (position[j], position[k]) else {
                        at += 1;
                        continue;
                    };
                    let held = hold.and_then(|s| self.sets.get(s)).map_or(0.0, |set| set[at]);
                    a[j * p + k] -= by[j] * by[k] * (self.total[at] - held) / n as f64;
                    at += 1;
                }
            }
        }
    }
}

/// Deviation of the noise of the genes that columns use, in the cells of one cluster.
#[derive(Debug)]
pub(crate) struct NoiseTable {
    genes: BTreeMap<usize, Vec<f64>>,
    /// The same times the factor on receptors, when there is one.
    receptors: BTreeMap<usize, Vec<f64>>,
}

impl NoiseTable {
    /// Gather `variance` (cells x genes) in the cells `rows`.
    pub(crate) fn new(
        signals: &Signals<'_>,
        variance: ArrayView2<'_, f32>,
        rows: &[usize],
        columns: &[Column],
    ) -> Self {
        let (mut genes, mut receptors) = (BTreeMap::new(), BTreeMap::new());
        let deviation = |row: usize, gene: usize| f64::from(variance[[row, gene]]).sqrt();
        for column in columns {
            match (*column, signals.receptor_mask) {
                (Column::LigandReceptor(_, gene), Some(mask)) => {
                    let masked = |&row: &usize| deviation(row, gene) * mask[[row, gene]];
                    receptors.entry(gene).or_insert_with(|| rows.iter().map(masked).collect());
                }
                (column, _) => {
                    let plain = |&row: &usize| deviation(row, gene_of(column));
                    genes.entry(gene_of(column)).or_insert_with(|| rows.iter().map(plain).collect());
                }
            }
        }
        Self { genes, receptors }
    }

    /// Noise of the columns of one target; received signals count as free of noise.
    pub(crate) fn of(
        &self,
        table: &ClusterTable,
        columns: &[Column],
        variances: &[f64],
        sets: &[Range<usize>],
    ) -> Option<Noise> {
        let genes: Vec<i64> = columns.iter().map(|&column| gene_of(column) as i64).collect();
        let deviations: Vec<Vec<f64>> = columns.iter().map(|&column| self.deviation(table, column)).collect();
        Noise::new(&genes, &deviations, variances, sets)
    }

    fn deviation(&self, table: &ClusterTable, column: Column) -> Vec<f64> {
        let gene = gene_of(column);
        let own = match column {
            Column::LigandReceptor(..) => self.receptors.get(&gene).or_else(|| self.genes.get(&gene)),
            _ => self.genes.get(&gene),
        };
        match (own, table.signal(column)) {
            (Some(own), Some(signal)) => own.iter().zip(signal).map(|(e, signal)| e * signal).collect(),
            (Some(own), None) => own.clone(),
            (None, _) => vec![0.0; table.n_cells()],
        }
    }
}

/// The gene whose counting noise a column carries.
fn gene_of(column: Column) -> usize {
    match column {
        Column::Gene(gene) | Column::LigandReceptor(_, gene) | Column::LigandRegulator(_, gene) => gene,
    }
}

#[cfg(test)]
mod tests {
    use super::Noise;

    #[test]
    fn no_column_loses_more_than_the_largest_share() {
        let deviations = vec![vec![3.0; 4], vec![0.1; 4], vec![0.0; 4]];
        let noise =
            Noise::new(&[5, 5, 2], &deviations, &[1.0, 1.0, 1.0], std::slice::from_ref(&(0..4))).unwrap();
        let mut a = vec![0.0; 9];
        noise.subtract(None, &[0, 1, 2], &[1.0; 3], 4, &mut a);
        approx::assert_relative_eq!(a[0], -0.6, epsilon = 1e-12);
        approx::assert_relative_eq!(a[4], -0.01, epsilon = 1e-12);
        approx::assert_relative_eq!(a[1], -0.1 * 0.6f64.sqrt(), epsilon = 1e-12);
        assert_eq!(a[8], 0.0);
    }

    #[test]
    fn columns_without_noise_need_no_correction() {
        assert!(
            Noise::new(&[0, -1], &[vec![0.0; 3], vec![1.0; 3]], &[1.0, 1.0], std::slice::from_ref(&(0..3)))
                .is_none()
        );
    }
}
