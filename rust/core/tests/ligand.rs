//! Received ligands through the public interface: every method against the plain double loop.

use cytoripple_core::ligand::{Kernel, Method, ReceivedPlan, Settings};
use cytoripple_core::parallel::with_threads;
use cytoripple_core::watch::{Unwatched, Watch};
use cytoripple_core::{Error, Result};
use ndarray::{Array1, Array2, Axis, concatenate, s};
use proptest::prelude::*;

/// Repeatable numbers in [0, 1): the fractional parts of multiples of an irrational number, hashed.
fn uniform(rows: usize, columns: usize, seed: u64) -> Array2<f64> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(1);
    Array2::from_shape_simple_fn((rows, columns), || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1_u64 << 53) as f64
    })
}

fn oracle(xy: &Array2<f64>, ligands: &Array2<f64>, weight: impl Fn(f64) -> f64) -> Array2<f64> {
    let n = xy.nrows() as f64;
    let mut out = Array2::zeros(ligands.raw_dim());
    for (i, mut row) in out.outer_iter_mut().enumerate() {
        for (j, amount) in ligands.outer_iter().enumerate() {
            let d = (&xy.row(i) - &xy.row(j)).mapv(|v| v * v).sum().sqrt();
            row.scaled_add(weight(d) / n, &amount);
        }
    }
    out
}

fn gaussian(radius: f64) -> impl Fn(f64) -> f64 {
    move |d| (-0.5 * d * d / (radius * radius)).exp()
}

fn received(xy: &Array2<f64>, ligands: &Array2<f64>, settings: &Settings) -> Result<Array2<f64>> {
    ReceivedPlan::with_settings(xy.view(), None, settings)?.apply(ligands.view(), 1.0, &Unwatched)
}

fn mesh(radius: f64, rtol: f64) -> Settings {
    Settings { method: Method::Mesh, rtol, ..Settings::gaussian(radius) }
}

/// Largest difference relative to the largest value of each ligand.
fn error(got: &Array2<f64>, expected: &Array2<f64>) -> f64 {
    let mut worst = 0.0_f64;
    for (g, e) in got.axis_iter(Axis(1)).zip(expected.axis_iter(Axis(1))) {
        let largest = e.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
        worst = g.iter().zip(e).fold(worst, |m, (a, b)| m.max((a - b).abs() / largest.max(1e-300)));
    }
    worst
}

#[test]
fn the_mesh_keeps_every_tolerance_in_two_and_three_dimensions() {
    for dimensions in [2, 3] {
        let xy = uniform(700, dimensions, 5) * if dimensions == 2 { 100.0 } else { 40.0 };
        let ligands = uniform(700, 5, 9).mapv(|v| if v < 0.6 { 0.0 } else { (5.0 * v).exp() });
        let expected = oracle(&xy, &ligands, gaussian(9.0));
        for exponent in 3..=12 {
            let settings = mesh(9.0, 10.0_f64.powi(-exponent));
            let plan = ReceivedPlan::with_settings(xy.view(), None, &settings).unwrap();
            assert_eq!(plan.method(), Method::Mesh, "{settings:?}");
            let got = plan.apply(ligands.view(), 1.0, &Unwatched).unwrap();
            let worst = error(&got, &expected);
            assert!(worst <= settings.rtol, "{dimensions} dimensions, {}: {worst}", settings.rtol);
        }
    }
}

#[test]
fn direct_sums_agree_with_the_double_loop_for_each_kernel() {
    for dimensions in [2, 3] {
        let xy = uniform(300, dimensions, 1) * 50.0;
        let ligands = uniform(300, 19, 2) - 0.4;
        let sigma = 8.0 / (2.0 * 1000.0_f64.ln()).sqrt();
        let truncated = move |d: f64| if d <= 8.0 { gaussian(sigma)(d) } else { 0.0 };
        let cut = |d: f64| if d <= 5.0 { gaussian(8.0)(d) } else { 0.0 };
        let kernels: [(Kernel, Array2<f64>); 3] = [
            (Kernel::Gaussian, oracle(&xy, &ligands, gaussian(8.0))),
            (Kernel::GaussianTruncated, oracle(&xy, &ligands, truncated)),
            (Kernel::GaussianCutoff(5.0), oracle(&xy, &ligands, cut)),
        ];
        for (kernel, expected) in kernels {
            let settings = Settings { kernel, method: Method::Direct, ..Settings::gaussian(8.0) };
            let got = received(&xy, &ligands, &settings).unwrap();
            assert!((got - expected).iter().all(|d| d.abs() < 1e-15), "{kernel:?}");
        }
    }
}

#[test]
fn serial_sections_are_summed_exactly_along_the_third_axis() {
    let mut xyz = uniform(600, 3, 3) * 60.0;
    xyz.column_mut(2).mapv_inplace(|z| (z / 20.0).floor() * 7.5);
    let ligands = uniform(600, 9, 4);
    let expected = oracle(&xyz, &ligands, gaussian(6.0));
    let got = received(&xyz, &ligands, &mesh(6.0, 1e-6)).unwrap();
    assert!(error(&got, &expected) < 1e-6);
}

#[test]
fn outliers_and_separate_pieces_cost_nothing_and_change_nothing() {
    let mut xy = uniform(900, 2, 6) * 80.0;
    xy.slice_mut(s![400..800, ..]).mapv_inplace(|v| v + 1e6);
    for (k, mut row) in xy.slice_mut(s![800.., ..]).outer_iter_mut().enumerate() {
        row[0] -= 1e9 * (k as f64 + 1.0);
    }
    let ligands = uniform(900, 3, 7);
    let expected = oracle(&xy, &ligands, gaussian(10.0));
    for method in [Method::Mesh, Method::Auto] {
        let settings = Settings { method, ..Settings::gaussian(10.0) };
        let got = received(&xy, &ligands, &settings).unwrap();
        assert!(error(&got, &expected) < 1e-6, "{method:?}");
    }
}

#[test]
fn a_thin_diagonal_does_not_fill_its_bounding_box() {
    let mut xy = uniform(2000, 2, 8);
    for (i, mut row) in xy.outer_iter_mut().enumerate() {
        row += 3.0 * i as f64;
    }
    let ligands = uniform(2000, 2, 9);
    let expected = oracle(&xy, &ligands, gaussian(1.0));
    let got = received(&xy, &ligands, &mesh(1.0, 1e-6)).unwrap();
    assert!(error(&got, &expected) < 1e-6);
}

#[test]
fn samples_equal_separate_runs() {
    let xy = uniform(500, 2, 10) * 40.0;
    let ligands = uniform(500, 11, 11);
    let samples = Array1::from_shape_fn(500, |i| [7, -2, 7, 0][i % 4]);
    for method in [Method::Direct, Method::Mesh, Method::Anchors] {
        let settings = Settings { method, ..Settings::gaussian(20.0) };
        let plan = ReceivedPlan::with_settings(xy.view(), Some(samples.view()), &settings).unwrap();
        let together = plan.apply(ligands.view(), 2.0, &Unwatched).unwrap();
        for sample in [7, -2, 0] {
            let rows: Vec<usize> = (0..500).filter(|i| samples[*i] == sample).collect();
            let alone = ReceivedPlan::with_settings(xy.select(Axis(0), &rows).view(), None, &settings)
                .unwrap()
                .apply(ligands.select(Axis(0), &rows).view(), 2.0, &Unwatched)
                .unwrap();
            assert_eq!(together.select(Axis(0), &rows), alone, "{method:?}");
        }
    }
}

#[test]
fn threads_do_not_change_a_bit() {
    let xy = uniform(6000, 2, 12) * 100.0;
    let ligands = uniform(6000, 13, 13);
    // Few strips, many strips, cell lists, anchors.
    for (method, radius) in
        [(Method::Mesh, 20.0), (Method::Mesh, 1.5), (Method::Direct, 3.0), (Method::Anchors, 20.0)]
    {
        let settings = Settings { method, ..Settings::gaussian(radius) };
        let one = with_threads(1, || received(&xy, &ligands, &settings)).unwrap();
        for threads in [2, 3] {
            assert_eq!(one, with_threads(threads, || received(&xy, &ligands, &settings)).unwrap());
        }
    }
}

#[test]
fn many_ligands_are_handled_in_blocks() {
    let xy = uniform(200, 2, 14) * 30.0;
    let ligands = uniform(200, 1030, 15);
    for method in [Method::Direct, Method::Mesh, Method::Anchors] {
        let settings = Settings { method, ..Settings::gaussian(40.0) };
        let all = received(&xy, &ligands, &settings).unwrap();
        let some = received(&xy, &ligands.slice(s![.., 700..703]).to_owned(), &settings).unwrap();
        assert!(error(&all.slice(s![.., 700..703]).to_owned(), &some) < 1e-14);
    }
}

#[test]
fn nothing_negative_comes_out_of_nothing_negative() {
    let xy = uniform(800, 2, 16) * 100.0;
    let ligands = uniform(800, 4, 17).mapv(|v| if v < 0.99 { 0.0 } else { v });
    let got = received(&xy, &ligands, &mesh(3.0, 1e-3)).unwrap();
    assert!(got.iter().all(|v| *v >= 0.0));
}

#[test]
fn a_request_to_stop_ends_every_method() {
    struct Impatient;
    impl Watch for Impatient {
        fn tick(&self, _done: usize, _total: usize) -> bool {
            false
        }
    }
    let (xy, ligands) = (uniform(3000, 2, 18) * 50.0, uniform(3000, 2, 19));
    for method in [Method::Direct, Method::Mesh, Method::Anchors] {
        let settings = Settings { method, ..Settings::gaussian(10.0) };
        let plan = ReceivedPlan::with_settings(xy.view(), None, &settings).unwrap();
        let outcome = plan.apply(ligands.view(), 1.0, &Impatient);
        assert!(matches!(outcome, Err(Error::Cancelled { .. })), "{method:?}");
    }
}

#[test]
fn bad_settings_and_values_are_refused_by_name() {
    let (xy, ligands) = (uniform(5, 2, 20), uniform(5, 2, 21));
    let refused = |settings: Settings| received(&xy, &ligands, &settings).unwrap_err().to_string();
    assert!(refused(Settings::gaussian(0.0)).contains("radius"));
    assert!(refused(Settings::gaussian(1e-15)).contains("units"));
    assert!(refused(mesh(1.0, 0.1)).contains("rtol"));
    assert!(refused(Settings { factor: -1.0, ..mesh(1.0, 1e-6) }).contains("factor"));
    assert!(refused(Settings { kernel: Kernel::GaussianTruncated, ..mesh(1.0, 1e-6) }).contains("mesh"));
    assert!(
        refused(Settings { kernel: Kernel::GaussianCutoff(0.0), ..Settings::gaussian(1.0) })
            .contains("cutoff")
    );
    let plan = ReceivedPlan::new(xy.view(), None, 1.0).unwrap();
    assert!(plan.apply(uniform(4, 2, 1).view(), 1.0, &Unwatched).is_err());
    let mut bad = ligands.clone();
    bad[[3, 1]] = f64::NAN;
    assert!(plan.apply(bad.view(), 1.0, &Unwatched).unwrap_err().to_string().contains("row 3"));
    assert!(plan.apply(ligands.view(), f64::INFINITY, &Unwatched).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn mesh_and_direct_agree_on_any_tissue(
        cells in 1_usize..120,
        dimensions in 2_usize..4,
        extent in 0.0_f64..60.0,
        radius in 0.5_f64..30.0,
        exponent in 3_i32..13,
        seed in 0_u64..1000,
    ) {
        let mut xy = uniform(cells, dimensions, seed) * extent;
        let first = xy.slice(s![..cells.div_ceil(3), ..]).to_owned();
        xy = concatenate![Axis(0), xy, first]; // duplicated coordinates
        let ligands = uniform(xy.nrows(), 3, seed + 1) - 0.3;
        let rtol = 10.0_f64.powi(-exponent);
        let exact = Settings { method: Method::Direct, ..Settings::gaussian(radius) };
        let expected = received(&xy, &ligands, &exact).unwrap();
        let plan = ReceivedPlan::with_settings(xy.view(), None, &mesh(radius, rtol)).unwrap();
        let got = plan.apply(ligands.view(), 1.0, &Unwatched).unwrap();
        let means = ligands.mapv(f64::abs).mean_axis(Axis(0)).unwrap();
        for (row, truth) in got.outer_iter().zip(expected.outer_iter()) {
            for l in 0..3 {
                prop_assert!((row[l] - truth[l]).abs() <= (plan.error_bound() + 1e-14) * means[l]);
            }
        }
    }

    #[test]
    fn the_mesh_is_symmetric(seed in 0_u64..1000, radius in 1.0_f64..20.0) {
        let xy = uniform(90, 2, seed) * 40.0;
        let pair = uniform(90, 2, seed + 7) - 0.5;
        let image = received(&xy, &pair, &mesh(radius, 1e-3)).unwrap();
        let left = pair.column(0).dot(&image.column(1));
        let right = pair.column(1).dot(&image.column(0));
        prop_assert!((left - right).abs() <= 1e-14 * pair.dot(&pair.t()).diag().sum());
    }
}
