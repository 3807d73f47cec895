//! Equal rows of betas are kept once.
//!
//! A table that repeats the row of a cluster for each of its cells then costs no more than the table of the
//! clusters, takes the same path through the kernels, and gives the same bits.

use super::model::Target;
use ndarray::{Array2, ArrayView2, Axis};
use std::collections::HashMap;

/// Drop repeated rows of every target and return the maps that are left, one for all targets that agree.
pub(crate) fn share(targets: &mut [Target], maps: &[Vec<i64>]) -> Vec<Vec<i32>> {
    let mut known: HashMap<Vec<i32>, usize> = HashMap::new();
    let mut kept: Vec<Vec<i32>> = Vec::new();
    for target in targets {
        let (betas, map) = distinct(target.betas.view(), &maps[target.map]);
        target.betas = betas;
        target.map = *known.entry(map).or_insert_with_key(|map| {
            kept.push(map.clone());
            kept.len() - 1
        });
    }
    kept
}

/// One of each set of equal rows, numbered by the cell that uses it first, and the map to them.
fn distinct(betas: ArrayView2<f64>, map: &[i64]) -> (Array2<f64>, Vec<i32>) {
    let mut numbers: HashMap<Vec<u64>, i32> = HashMap::new();
    let mut number_of: Vec<Option<i32>> = vec![None; betas.nrows()];
    let mut kept = Vec::new();
    let map = map
        .iter()
        .map(|&row| {
            let Ok(row) = usize::try_from(row) else { return -1 };
            *number_of[row].get_or_insert_with(|| {
                let bits = betas.row(row).iter().map(|beta| beta.to_bits()).collect();
                *numbers.entry(bits).or_insert_with(|| {
                    kept.push(row);
                    kept.len() as i32 - 1
                })
            })
        })
        .collect();
    (betas.select(Axis(0), &kept), map)
}

#[cfg(test)]
mod tests {
    use super::distinct;
    use ndarray::array;

    #[test]
    fn a_row_per_cell_becomes_a_row_per_cluster() {
        let clusters = array![[1.0, 2.0], [3.0, 4.0]];
        let (betas, map) = distinct(clusters.view(), &[1, 0, -1, 1]);
        let cells = array![[3.0, 4.0], [1.0, 2.0], [0.0, 0.0], [3.0, 4.0]];
        let (same, same_map) = distinct(cells.view(), &[0, 1, -1, 3]);
        assert_eq!((&betas, &map), (&same, &same_map));
        assert_eq!(map, [0, 1, -1, 0]);
    }
}
