//! Which cells are compared with which.

use crate::error::{Error, Result};

/// What a group is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// The cells of group 0.
    Reference,
    /// All other cells that have a group.
    Rest,
}

/// Cells sorted by group.
#[derive(Debug, Clone)]
pub struct Groups {
    /// Group of each cell, `None` for a cell that is left out.
    pub of_cell: Vec<Option<u32>>,
    /// Cells of all groups, one group after the other, in the order of the data inside a group.
    pub order: Vec<usize>,
    /// Start of each group in `order`; one entry more than groups.
    pub starts: Vec<usize>,
    /// Cells per group.
    pub sizes: Vec<u64>,
}

impl Groups {
    /// Sort the cells; a negative code leaves a cell out.
    ///
    /// # Errors
    /// [`Error::Index`] for a code that is too large, [`Error::Shape`] when a group has no cell.
    pub fn new(codes: &[i64], n_groups: usize) -> Result<Self> {
        let mut sizes = vec![0u64; n_groups];
        let mut of_cell = Vec::with_capacity(codes.len());
        for &code in codes {
            let group = u32::try_from(code).ok();
            if let Some(group) = group {
                let Some(size) = sizes.get_mut(group as usize) else {
                    return Err(Error::Index { name: "groups", index: code, len: n_groups });
                };
                *size += 1;
            }
            of_cell.push(group);
        }
        if let Some(empty) = sizes.iter().position(|size| *size == 0) {
            let (found, expected) = (format!("group {empty} has no cell"), "at least 1 cell".to_string());
            return Err(Error::Shape { name: "groups", found, expected });
        }
        let mut starts = vec![0usize; n_groups + 1];
        for group in 0..n_groups {
            starts[group + 1] = starts[group] + sizes[group] as usize;
        }
        let (mut next, mut order) = (starts.clone(), vec![0; starts[n_groups]]);
        for (cell, group) in of_cell.iter().enumerate() {
            if let Some(group) = group {
                order[next[*group as usize]] = cell;
                next[*group as usize] += 1;
            }
        }
        Ok(Self { of_cell, order, starts, sizes })
    }

    /// Number of groups.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sizes.len()
    }

    /// Whether there is no group at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sizes.is_empty()
    }

    /// Cells of a group.
    #[must_use]
    pub fn cells(&self, group: usize) -> &[usize] {
        &self.order[self.starts[group]..self.starts[group + 1]]
    }
}
