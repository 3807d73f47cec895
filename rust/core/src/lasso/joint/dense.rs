//! A ridge on all columns of one type, which is mixed into the sparse model.

use super::state::{Local, TypeForm};

/// Penalty on columns of unit variance.
const RIDGE: f64 = 3.0;
/// Residual, as a share of the first one, at which the steps end.
const TOLERANCE: f64 = 1e-10;
/// Conjugate gradients need as many steps as the root of the condition number times a dozen; the ridge keeps
/// that below `p / RIDGE + 1`.
const STEPS: usize = 1000;

/// `(G + RIDGE I)^-1 b` by conjugate gradients; columns that do not count have 0.
pub(super) fn ridge(form: &TypeForm) -> Vec<f64> {
    let b = form.linear();
    let mut local = Local::new(form);
    let (mut x, mut residual, mut direction) = (vec![0.0; b.len()], b.to_vec(), b.to_vec());
    let mut size = square(&residual);
    let end = TOLERANCE * TOLERANCE * size;
    for _ in 0..STEPS {
        if size <= end {
            break;
        }
        local.put(&direction);
        let pulls = local.pulls();
        let image: Vec<f64> = (0..b.len()).map(|j| b[j] - pulls[j] + RIDGE * direction[j]).collect();
        let along: f64 = image.iter().zip(&direction).map(|(a, d)| a * d).sum();
        let step = size / along;
        for j in 0..b.len() {
            x[j] += step * direction[j];
            residual[j] -= step * image[j];
        }
        let next = square(&residual);
        let turn = next / size;
        direction.iter_mut().zip(&residual).for_each(|(d, r)| *d = r + turn * *d);
        size = next;
    }
    x
}

fn square(values: &[f64]) -> f64 {
    values.iter().map(|v| v * v).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lasso::gram::Gram;
    use crate::lasso::joint::Columns;

    const COLUMNS: [[f64; 4]; 3] = [[1.0, -1.0, 0.5, 0.0], [0.3, 0.4, -1.0, 2.0], [0.0; 4]];
    const Y: [f64; 4] = [1.0, 0.5, -2.0, 0.1];

    fn product(a: &[f64], b: &[f64]) -> f64 {
        a.iter().zip(b).map(|(a, b)| a * b).sum()
    }

    /// The normal equations hold, for products and for columns alike.
    #[test]
    fn ridge_solves_its_equations() {
        let xy = COLUMNS.iter().map(|x| product(x, &Y)).collect();
        let gram = Gram::new(xy, product(&Y, &Y), |j, row| {
            row.extend(COLUMNS.iter().map(|x| product(x, &COLUMNS[j])));
        });
        let data = Columns::new(COLUMNS.as_flattened(), &Y);
        for form in [TypeForm::Gram(gram), TypeForm::Data(data)] {
            let x = ridge(&form);
            let fitted: Vec<f64> = (0..4).map(|i| (0..3).map(|j| x[j] * COLUMNS[j][i]).sum()).collect();
            for j in 0..3 {
                let slope = product(&COLUMNS[j], &Y) - product(&COLUMNS[j], &fitted) - RIDGE * x[j];
                assert!(slope.abs() < 1e-9);
            }
            assert_eq!(x[2], 0.0);
        }
    }
}
