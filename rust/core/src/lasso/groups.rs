//! Groups of columns and the penalties on them.

use crate::error::{Error, Result};
use std::collections::BTreeMap;

/// How a group weight grows with the number of columns of the group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScaleReg {
    /// Times the square root of the group size (Simon et al., 2013).
    GroupSize,
    /// Divided by the square root of the group size.
    InverseGroupSize,
    /// Independent of the size.
    Constant,
}

impl ScaleReg {
    /// Weight of a group of `size` columns per unit of penalty.
    #[must_use]
    pub fn factor(self, size: usize) -> f64 {
        match self {
            Self::GroupSize => (size as f64).sqrt(),
            Self::InverseGroupSize => 1.0 / (size as f64).sqrt(),
            Self::Constant => 1.0,
        }
    }
}

/// Penalty on the Euclidean norm of each group.
#[derive(Debug, Clone, PartialEq)]
pub enum GroupReg {
    /// One number for all groups, scaled with their size.
    Scaled(f64, ScaleReg),
    /// One weight per group label in ascending order, used as it is.
    Given(Vec<f64>),
}

impl GroupReg {
    /// Penalties must be finite and not negative, and a vector must have one entry per group.
    ///
    /// # Errors
    /// [`Error::Parameter`] or [`Error::Shape`].
    pub fn check(&self, n_groups: usize) -> Result<()> {
        let values = match self {
            Self::Scaled(value, _) => std::slice::from_ref(value),
            Self::Given(values) => {
                if values.len() != n_groups {
                    return Err(Error::Shape {
                        name: "group_reg",
                        found: format!("{} values", values.len()),
                        expected: format!("one per group label >= 0, which are {n_groups}"),
                    });
                }
                values
            }
        };
        values.iter().try_for_each(|&value| not_negative("group_reg", value))
    }

    fn factor(&self, size: usize) -> f64 {
        match self {
            Self::Scaled(_, scale) => scale.factor(size),
            Self::Given(_) => 1.0,
        }
    }

    fn weight(&self, rank: usize, size: usize) -> f64 {
        match self {
            Self::Scaled(value, scale) => value * scale.factor(size),
            Self::Given(values) => values[rank],
        }
    }
}

/// A penalty must be finite and not negative.
///
/// # Errors
/// [`Error::Parameter`] otherwise.
pub fn not_negative(name: &'static str, value: f64) -> Result<()> {
    if value.is_finite() && value >= 0.0 {
        return Ok(());
    }
    Err(Error::Parameter { name, value: value.to_string(), expected: "give a finite number, 0 or more" })
}

/// Columns `start..end` of the reordered problem that share one group penalty.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Block {
    /// First position.
    pub start: usize,
    /// One past the last position.
    pub end: usize,
    /// Weight of the Euclidean norm; 0 for columns without a group.
    pub weight: f64,
    /// Rank of the group label, `None` for columns without a group.
    pub rank: Option<usize>,
    /// Weight per unit of penalty.
    pub factor: f64,
}

/// Penalty of a problem whose columns are ordered block by block.
#[derive(Debug, Clone, PartialEq)]
pub struct Penalty {
    /// Weight of the absolute values.
    pub l1: f64,
    /// Blocks in the order of the columns.
    pub blocks: Vec<Block>,
}

impl Penalty {
    /// `l1 * ||w||_1 + sum_g weight_g * ||w_g||_2`.
    #[must_use]
    pub fn value(&self, w: &[f64]) -> f64 {
        let absolute: f64 = w.iter().map(|w| w.abs()).sum();
        let norms: f64 = self.blocks.iter().map(|b| b.weight * norm(&w[b.start..b.end])).sum();
        self.l1 * absolute + norms
    }

    /// The same penalty with every weight multiplied by `factor`.
    #[must_use]
    pub fn scaled(&self, factor: f64) -> Self {
        let blocks = self.blocks.iter().map(|b| Block { weight: factor * b.weight, ..*b }).collect();
        Self { l1: factor * self.l1, blocks }
    }
}

/// Euclidean norm.
#[must_use]
pub fn norm(w: &[f64]) -> f64 {
    w.iter().map(|w| w * w).sum::<f64>().sqrt()
}

/// Order of the usable columns in which every group is contiguous, and the penalty in that order.
#[derive(Debug, Clone)]
pub struct Layout {
    /// Column at each position; the last `order.len() - penalized` of them carry no penalty at all.
    pub order: Vec<usize>,
    /// Number of positions with a penalty.
    pub penalized: usize,
    /// Penalty of the first `penalized` positions.
    pub penalty: Penalty,
    /// Number of group labels, counting groups without a usable column.
    pub n_groups: usize,
}

impl Layout {
    /// Order the columns marked `live` by group label; negative labels carry no group penalty.
    ///
    /// The size of a group counts its dead columns too: they are columns of the design that happen to
    /// be constant in these cells. With `keep_unpenalized` columns without any penalty stay among the
    /// blocks.
    ///
    /// # Errors
    /// When a penalty is negative, not finite, or missing for a group.
    pub fn new(
        groups: &[i64],
        live: &[bool],
        reg: &GroupReg,
        l1: f64,
        keep_unpenalized: bool,
    ) -> Result<Self> {
        not_negative("l1_reg", l1)?;
        let mut members: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
        let mut loose = Vec::new();
        for (column, &group) in groups.iter().enumerate() {
            if group >= 0 {
                members.entry(group).or_default().push(column);
            } else {
                loose.push(column);
            }
        }
        reg.check(members.len())?;
        let n_groups = members.len();
        let mut layout = Self {
            order: Vec::with_capacity(groups.len()),
            penalized: 0,
            penalty: Penalty { l1, blocks: Vec::new() },
            n_groups,
        };
        let mut free = Vec::new();
        for (rank, columns) in members.into_values().enumerate() {
            let (weight, factor) = (reg.weight(rank, columns.len()), reg.factor(columns.len()));
            let columns = columns.into_iter().filter(|&c| live[c]).collect();
            layout.push(columns, weight, factor, Some(rank), keep_unpenalized, &mut free);
        }
        let loose = loose.into_iter().filter(|&c| live[c]).collect();
        layout.push(loose, 0.0, 0.0, None, keep_unpenalized, &mut free);
        layout.penalized = layout.order.len();
        layout.order.append(&mut free);
        Ok(layout)
    }

    fn push(
        &mut self,
        columns: Vec<usize>,
        weight: f64,
        factor: f64,
        rank: Option<usize>,
        keep: bool,
        free: &mut Vec<usize>,
    ) {
        if columns.is_empty() {
            return;
        }
        if weight == 0.0 && self.penalty.l1 == 0.0 && !keep {
            free.extend(columns);
            return;
        }
        let start = self.order.len();
        self.order.extend(columns);
        self.penalty.blocks.push(Block { start, end: self.order.len(), weight, rank, factor });
    }
}

#[cfg(test)]
mod tests {
    use super::{GroupReg, Layout, ScaleReg};

    #[test]
    fn groups_become_contiguous_and_loose_columns_come_last() {
        let reg = GroupReg::Scaled(2.0, ScaleReg::GroupSize);
        let layout = Layout::new(&[5, -1, 2, 5, 2, 5, 5], &[true; 7], &reg, 0.1, false).unwrap();
        assert_eq!(layout.order, [2, 4, 0, 3, 5, 6, 1]);
        let weights: Vec<f64> = layout.penalty.blocks.iter().map(|b| b.weight).collect();
        assert_eq!(weights, [2.0 * 2f64.sqrt(), 4.0, 0.0]);
        assert_eq!(layout.penalized, 7);
    }

    #[test]
    fn columns_without_any_penalty_are_set_apart() {
        let reg = GroupReg::Given(vec![0.0, 1.0]);
        let layout = Layout::new(&[1, 0, -1, 1], &[true, true, true, false], &reg, 0.0, false).unwrap();
        assert_eq!(layout.order, [0, 1, 2]);
        assert_eq!(layout.penalized, 1);
    }

    #[test]
    fn a_short_vector_of_penalties_is_refused() {
        let reg = GroupReg::Given(vec![1.0]);
        let error = Layout::new(&[0, 1], &[true; 2], &reg, 0.0, false).unwrap_err();
        assert!(error.to_string().contains("one per group label"));
    }
}
