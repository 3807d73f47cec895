//! Order of the cells: groups that share their betas, cut into blocks.

use std::collections::HashMap;

/// Cells per block: eight registers' worth of lanes for the matrix product.
pub const WIDTH: usize = 128;

/// Cells of one group, at most [`WIDTH`].
#[derive(Debug, Clone)]
pub struct Block {
    /// Group of all cells of the block.
    pub group: usize,
    /// The cells, ascending.
    pub cells: Vec<u32>,
}

/// Partition of the cells. Depends on the row maps only.
#[derive(Debug, Clone)]
pub struct Layout {
    /// Blocks, group after group.
    pub blocks: Vec<Block>,
    /// One cell of each group, to look up what the group shares.
    pub representatives: Vec<u32>,
    /// Block and lane of every cell.
    pub places: Vec<(u32, u32)>,
}

impl Layout {
    /// Group the cells by the rows they use, map after map from the coarsest on; also tells which maps are
    /// constant on every group.
    ///
    /// A map that would leave fewer than 16 cells per group on average (one row per cell) is not followed.
    pub fn new(n_cells: usize, maps: &[Vec<i32>]) -> (Self, Vec<bool>) {
        let limit = (n_cells / 16).max(16);
        let mut sizes: Vec<(usize, usize)> =
            maps.iter().enumerate().map(|(m, map)| (count_distinct(map), m)).collect();
        sizes.sort_unstable();
        let (mut groups, mut grouped) = (vec![0u32; n_cells], vec![false; maps.len()]);
        for (size, m) in sizes {
            if size > limit {
                break;
            }
            let (refined, n_groups) = refine(&groups, &maps[m]);
            if n_groups <= limit {
                groups = refined;
                grouped[m] = true;
            }
        }
        (Self::from_groups(&groups), grouped)
    }

    fn from_groups(groups: &[u32]) -> Self {
        let n_groups = groups.iter().max().map_or(0, |&g| g as usize + 1);
        let mut members: Vec<Vec<u32>> = vec![Vec::new(); n_groups];
        for (cell, &group) in groups.iter().enumerate() {
            members[group as usize].push(cell as u32);
        }
        let representatives = members.iter().map(|cells| cells[0]).collect();
        let mut blocks = Vec::new();
        for (group, cells) in members.iter().enumerate() {
            blocks.extend(cells.chunks(WIDTH).map(|cells| Block { group, cells: cells.to_vec() }));
        }
        let mut places = vec![(0, 0); groups.len()];
        for (b, block) in blocks.iter().enumerate() {
            for (lane, &cell) in block.cells.iter().enumerate() {
                places[cell as usize] = (b as u32, lane as u32);
            }
        }
        Self { blocks, representatives, places }
    }
}

fn count_distinct(map: &[i32]) -> usize {
    let mut rows = map.to_vec();
    rows.sort_unstable();
    rows.dedup();
    rows.len()
}

/// Split every group by the rows of `map`; groups are numbered in the order of their first cells.
fn refine(groups: &[u32], map: &[i32]) -> (Vec<u32>, usize) {
    let mut numbers: HashMap<(u32, i32), u32> = HashMap::new();
    let refined = groups
        .iter()
        .zip(map)
        .map(|(&group, &row)| {
            let next = numbers.len() as u32;
            *numbers.entry((group, row)).or_insert(next)
        })
        .collect();
    (refined, numbers.len())
}

#[cfg(test)]
mod tests {
    use super::{Layout, WIDTH};

    #[test]
    fn cluster_maps_are_followed_and_cell_maps_are_not() {
        let clusters: Vec<i32> = (0..1000).map(|i| i % 3).collect();
        let half: Vec<i32> = (0..1000).map(|i| if i < 500 { -1 } else { 0 }).collect();
        let cells: Vec<i32> = (0..1000).collect();
        let (layout, grouped) = Layout::new(1000, &[cells, clusters.clone(), half.clone()]);
        assert_eq!(grouped, [false, true, true]);
        assert_eq!(layout.representatives.len(), 6);
        for (b, block) in layout.blocks.iter().enumerate() {
            assert!(!block.cells.is_empty() && block.cells.len() <= WIDTH);
            let first = block.cells[0] as usize;
            for (lane, &cell) in block.cells.iter().enumerate() {
                let cell = cell as usize;
                assert_eq!((clusters[cell], half[cell]), (clusters[first], half[first]));
                assert_eq!(layout.places[cell], (b as u32, lane as u32));
            }
        }
        assert_eq!(layout.blocks.iter().map(|b| b.cells.len()).sum::<usize>(), 1000);
    }
}
