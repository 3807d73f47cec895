use super::*;
use crate::error::Error;
use ndarray::Array2;
use proptest::prelude::*;

type Entries = (Vec<i64>, Vec<u16>, Vec<u16>);

fn compress(dense: &Array2<u16>) -> Entries {
    let (mut indptr, mut indices, mut data) = (vec![0], vec![], vec![]);
    for row in dense.outer_iter() {
        for (column, &value) in row.iter().enumerate().filter(|(_, value)| **value > 0) {
            indices.push(column as u16);
            data.push(value);
        }
        indptr.push(data.len() as i64);
    }
    (indptr, indices, data)
}

fn view<'a>(entries: &'a Entries, n_columns: usize) -> Csr<'a, u16, u16> {
    Csr { indptr: Offsets::Wide(&entries.0), indices: &entries.1, data: &entries.2, n_columns }
}

/// The definition, one value at a time.
fn plain(dense: &Array2<u16>, rows: &[i64], map: &[i32], width: usize, target: Option<f64>) -> Array2<f32> {
    let mut out = Array2::zeros((rows.len(), width));
    for (i, &row) in rows.iter().enumerate() {
        let line = dense.row(row as usize);
        let sum: f64 = line.iter().map(|&v| f64::from(v)).sum();
        for to in 0..width {
            let count: f64 =
                map.iter().zip(line).filter(|(m, _)| **m == to as i32).map(|(_, v)| f64::from(*v)).sum();
            out[[i, to]] = match target {
                Some(target) if sum > 0.0 => (count * (target / sum)).ln_1p() as f32,
                Some(_) => 0.0,
                None => count as f32,
            };
        }
    }
    out
}

fn case() -> impl Strategy<Value = (Array2<u16>, Vec<i64>, Vec<i32>, usize)> {
    (1usize..6, 1usize..8, 1usize..6).prop_flat_map(|(n, g, width)| {
        let values =
            prop::collection::vec(prop_oneof![Just(0u16), 1u16..5, 60u16..70, Just(65535u16)], n * g);
        let rows = prop::collection::vec(0..n as i64, 0..9);
        let map = prop::collection::vec(-1i32..width as i32, g);
        (values, rows, map, Just(width)).prop_map(move |(values, rows, map, width)| {
            (Array2::from_shape_vec((n, g), values).unwrap(), rows, map, width)
        })
    })
}

proptest! {
    #[test]
    fn gather_is_its_definition((dense, rows, map, width) in case(), normalized in any::<bool>()) {
        let entries = compress(&dense);
        let target = normalized.then_some(1e4);
        let mut out = Array2::from_elem((rows.len(), width), f32::NAN);
        let columns = Columns::Map(&map);
        gather_rows(&view(&entries, dense.ncols()), &rows, columns, target, out.view_mut()).unwrap();
        prop_assert_eq!(out, plain(&dense, &rows, &map, width, target));
    }
}

#[test]
fn threads_do_not_change_a_bit() {
    let dense = Array2::from_shape_fn((700, 500), |(i, j)| ((i * 31 + j * 17) % 7).saturating_sub(4) as u16);
    let entries = compress(&dense);
    let rows: Vec<i64> = (0..700).rev().collect();
    let run = |threads| {
        crate::parallel::with_threads(threads, || {
            let mut out = Array2::zeros((700, 500));
            gather_rows(&view(&entries, 500), &rows, Columns::Same, Some(1e4), out.view_mut())?;
            Ok(out)
        })
        .unwrap()
    };
    assert_eq!(run(1), run(3));
}

#[test]
fn damage_is_found() {
    let dense = Array2::from_elem((2, 3), 1u16);
    let entries = compress(&dense);
    let gather = |entries: &Entries, rows: &[i64], columns: Columns<'_>, width: usize| {
        let mut out = Array2::zeros((rows.len(), width));
        gather_rows(&view(entries, 3), rows, columns, None, out.view_mut())
    };
    assert!(matches!(gather(&entries, &[2], Columns::Same, 3), Err(Error::Index { .. })));
    assert!(matches!(gather(&entries, &[-1], Columns::Same, 3), Err(Error::Index { .. })));
    assert!(matches!(gather(&entries, &[0], Columns::Same, 2), Err(Error::Shape { .. })));
    assert!(matches!(gather(&entries, &[0], Columns::Map(&[0, 1]), 3), Err(Error::Shape { .. })));
    assert!(matches!(gather(&entries, &[0], Columns::Map(&[0, 1, 9]), 3), Err(Error::Index { .. })));
    let (indptr, indices, data) = entries.clone();
    let short = (indptr.clone(), indices[..4].to_vec(), data[..4].to_vec());
    assert!(matches!(gather(&short, &[1], Columns::Same, 3), Err(Error::Shape { .. })));
    assert!(gather(&short, &[0], Columns::Same, 3).is_ok());
    let wild = (indptr, vec![0, 1, 7, 0, 1, 2], data.clone());
    assert!(matches!(gather(&wild, &[0], Columns::Same, 3), Err(Error::Shape { .. })));
    let falling = (vec![0, 5, 3], indices, data);
    assert!(matches!(gather(&falling, &[1], Columns::Same, 3), Err(Error::Shape { .. })));
}
