//! Which columns of a batch of targets are multiplied once for all of them.

use super::design::Column;
use crate::check;
use crate::error::{Error, Result};
use ndarray::{ArrayView1, ArrayView2};
use std::collections::HashMap;

/// Memory of the shared second moments.
const BUDGET: usize = 512 << 20;

/// Marks a column that is not shared.
pub(crate) const OWN: usize = usize::MAX;

/// Columns of all targets of a batch, each distinct one once.
#[derive(Debug)]
pub struct Plan {
    /// Distinct columns in the order of their first appearance.
    pub unique: Vec<Column>,
    /// For each target the positions of its columns in `unique`.
    pub targets: Vec<Vec<usize>>,
    /// Group label of each column of each target.
    pub groups: Vec<Vec<i64>>,
    /// Positions in `unique` of the shared columns.
    pub shared: Vec<usize>,
    /// For each distinct column its position in `shared`, or a mark.
    pub rank: Vec<usize>,
}

impl Plan {
    /// Read the columns of `indptr.len() - 1` targets and choose the shared ones for `copies` sets of moments.
    ///
    /// # Errors
    /// When `indptr` does not cut `columns` or a column addresses nothing.
    pub fn new(
        indptr: ArrayView1<i64>,
        columns: ArrayView2<i64>,
        n_genes: usize,
        n_ligands: usize,
        copies: usize,
    ) -> Result<Self> {
        check_indptr(indptr, columns)?;
        let mut seen: HashMap<Column, usize> = HashMap::new();
        let mut unique = Vec::new();
        let mut ids = Vec::with_capacity(columns.nrows());
        for row in columns.outer_iter() {
            let column = Column::parse(row, n_genes, n_ligands)?;
            let id = *seen.entry(column).or_insert_with(|| {
                unique.push(column);
                unique.len() - 1
            });
            ids.push(id);
        }
        let cut = |t: usize| indptr[t] as usize..indptr[t + 1] as usize;
        let n_targets = indptr.len() - 1;
        let targets: Vec<Vec<usize>> = (0..n_targets).map(|t| ids[cut(t)].to_vec()).collect();
        let groups = (0..n_targets).map(|t| cut(t).map(|row| columns[[row, 0]]).collect()).collect();
        let shared = choose_shared(unique.len(), &targets, copies);
        let mut rank = vec![OWN; unique.len()];
        shared.iter().enumerate().for_each(|(r, &id)| rank[id] = r);
        Ok(Self { unique, targets, groups, shared, rank })
    }

    /// Positions within target `t` of the columns that are not shared.
    #[must_use]
    pub fn own(&self, t: usize) -> Vec<usize> {
        let columns = &self.targets[t];
        (0..columns.len()).filter(|&k| self.rank[columns[k]] == OWN).collect()
    }
}

fn check_indptr(indptr: ArrayView1<i64>, columns: ArrayView2<i64>) -> Result<()> {
    let ends = indptr.first() == Some(&0) && indptr.last() == Some(&(columns.nrows() as i64));
    let ordered = indptr.iter().zip(indptr.iter().skip(1)).all(|(a, b)| a <= b);
    if columns.ncols() != 3 {
        return Err(Error::Shape {
            name: "columns",
            found: format!("{} entries per column", columns.ncols()),
            expected: "3: kind, first, second".into(),
        });
    }
    if !(ends && ordered) {
        let found = "numbers that do not cut the columns into targets".to_string();
        let expected = format!("rising numbers from 0 to {}", columns.nrows());
        return Err(Error::Shape { name: "indptr", found, expected });
    }
    check::indices("indptr", indptr.iter().copied(), columns.nrows() + 1)
}

/// Columns used often enough that multiplying them with each other once is cheaper than in every target.
///
/// With the columns used by at least `m` targets shared, the work per cell is `|S|^2 / 2` plus, for each
/// target, its `r` other columns times all of its `p` columns; the best `m` is taken.
fn choose_shared(n_unique: usize, targets: &[Vec<usize>], copies: usize) -> Vec<usize> {
    let mut uses = vec![0usize; n_unique];
    targets.iter().flatten().for_each(|&id| uses[id] += 1);
    let mut levels: Vec<usize> = uses.iter().copied().filter(|&u| u > 1).collect();
    levels.sort_unstable();
    levels.dedup();
    let step = levels.len().div_ceil(32).max(1);
    let mut best = (work(&uses, targets, usize::MAX), usize::MAX);
    for &level in levels.iter().step_by(step) {
        let size = uses.iter().filter(|&&u| u >= level).count();
        if size.saturating_mul(size).saturating_mul(8 * copies) <= BUDGET {
            best = best.min((work(&uses, targets, level), level));
        }
    }
    (0..n_unique).filter(|&id| uses[id] >= best.1).collect()
}

fn work(uses: &[usize], targets: &[Vec<usize>], level: usize) -> usize {
    let size = uses.iter().filter(|&&u| u >= level).count();
    let own = |columns: &Vec<usize>| {
        let r = columns.iter().filter(|&&id| uses[id] < level).count();
        r * columns.len() - r * r / 2
    };
    size * size / 2 + targets.iter().map(own).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::choose_shared;

    #[test]
    fn columns_of_many_targets_are_shared_and_rare_ones_are_not() {
        let targets: Vec<Vec<usize>> = (0..20).map(|t| (0..30).chain([30 + t]).collect()).collect();
        assert_eq!(choose_shared(50, &targets, 1), (0..30).collect::<Vec<_>>());
    }

    #[test]
    fn one_target_shares_nothing() {
        assert!(choose_shared(10, &[(0..10).collect()], 1).is_empty());
    }

    #[test]
    fn the_memory_budget_is_kept() {
        let targets = vec![(0..9000).collect::<Vec<_>>(); 2];
        assert!(choose_shared(9000, &targets, 1).is_empty());
    }
}
