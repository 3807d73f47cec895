//! Groups of cells that do not hear each other: other samples, or farther apart than the kernel reaches.

use ndarray::{ArrayView1, ArrayView2};
use std::collections::HashMap;

/// Cells of each sample, in the order of the first appearance; one group without labels.
pub fn by_sample(n: usize, samples: Option<ArrayView1<i64>>) -> Vec<Vec<usize>> {
    let Some(samples) = samples else { return vec![(0..n).collect()] };
    let mut place: HashMap<i64, usize> = HashMap::new();
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for (cell, label) in samples.iter().enumerate() {
        let at = *place.entry(*label).or_insert_with(|| {
            groups.push(Vec::new());
            groups.len() - 1
        });
        groups[at].push(cell);
    }
    groups
}

/// Split cells into groups that are more than `reach` apart: a far outlier gets a lattice of its own instead
/// of stretching that of the tissue.
pub fn by_reach(xy: ArrayView2<f64>, cells: &[usize], reach: f64) -> Vec<Vec<usize>> {
    let dims = xy.ncols();
    let key = |cell: usize| {
        let mut key = [0_i64; 3];
        for a in 0..dims {
            key[a] = (xy[[cell, a]] / reach).floor() as i64;
        }
        key
    };
    let mut boxes: Vec<[i64; 3]> = cells.iter().map(|&cell| key(cell)).collect();
    boxes.sort_unstable();
    boxes.dedup();
    let place: HashMap<[i64; 3], usize> = boxes.iter().enumerate().map(|(at, key)| (*key, at)).collect();
    let flat = if dims == 3 { 1 } else { 0 };
    let mut label = vec![usize::MAX; boxes.len()];
    let mut count = 0;
    for seed in 0..boxes.len() {
        if label[seed] != usize::MAX {
            continue;
        }
        label[seed] = count;
        let mut open = vec![seed];
        while let Some(at) = open.pop() {
            for (dx, dy, dz) in around(flat) {
                let near = [boxes[at][0] + dx, boxes[at][1] + dy, boxes[at][2] + dz];
                if let Some(&next) = place.get(&near)
                    && label[next] == usize::MAX
                {
                    label[next] = count;
                    open.push(next);
                }
            }
        }
        count += 1;
    }
    let mut groups = vec![Vec::new(); count];
    for &cell in cells {
        groups[label[place[&key(cell)]]].push(cell);
    }
    groups
}

fn around(flat: i64) -> impl Iterator<Item = (i64, i64, i64)> {
    (-1..=1).flat_map(move |x| (-1..=1).flat_map(move |y| (-flat..=flat).map(move |z| (x, y, z))))
}
