"""Received ligands: agreement with the definition, properties, errors."""

from __future__ import annotations

import _thread
import threading
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from cytoripple._errors import CytorippleError, InputError
from cytoripple.kernels.ligands import ReceivedPlan, Verification, received_ligands
from tests.oracles import ligands as oracle

Array = NDArray[np.float64]
METHODS = ("auto", "direct", "mesh")


def tissue(
    n: int, dimensions: int, seed: int, *, extent: float = 100.0, ligands: int = 5
) -> tuple[Array, Array]:
    """Uniform cells with sparse log-normal ligands."""
    rng = np.random.default_rng(seed)
    values = rng.lognormal(0.0, 1.0, (n, ligands)) * (rng.random((n, ligands)) < 0.4)
    return rng.uniform(0.0, extent, (n, dimensions)), values


def error(got: Array, exact: Array) -> float:
    """Largest error relative to the largest value of each ligand."""
    return float((np.abs(got - exact) / np.abs(exact).max(axis=0)).max())


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("kernel", ["gaussian", "gaussian_truncated", "gaussian_cutoff"])
def test_direct_sum_is_the_definition(kernel: Any, dimensions: int) -> None:
    """All pairs for a large radius, cell lists for a small one."""
    xy, values = tissue(400, dimensions, 1)
    for radius in (4.0, 150.0):
        cutoff = 0.7 * radius if kernel == "gaussian_cutoff" else None
        exact = oracle.received(xy, values, kernel, radius, cutoff)
        for method in ("direct", "auto") if kernel != "gaussian" else ("direct",):
            got = received_ligands(xy, values, radius=radius, kernel=kernel, method=method, cutoff=cutoff)
            np.testing.assert_allclose(got, exact, rtol=1e-12, atol=1e-16)


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("exponent", range(3, 13))
def test_mesh_honors_the_tolerance(exponent: int, dimensions: int) -> None:
    xy, values = tissue(500, dimensions, exponent, extent=60.0)
    rtol = 10.0**-exponent
    plan = ReceivedPlan(xy, radius=8.0, method="mesh", rtol=rtol)
    got = plan.apply(values)
    exact = oracle.received(xy, values, "gaussian", 8.0)
    assert plan.method == "mesh"
    assert error(got, exact) <= rtol
    assert (np.abs(got - exact) <= plan.error_bound * values.mean(axis=0) + 1e-15).all()


def test_one_sender_is_received_within_the_tolerance() -> None:
    """The hardest case of a relative tolerance: the error of one pair against its own peak."""
    xy, _ = tissue(2000, 2, 3, extent=30.0)
    values = np.zeros((2000, 8))
    values[np.arange(8) * 100, np.arange(8)] = 1.0
    got = received_ligands(xy, values, radius=2.0, method="mesh", rtol=1e-5)
    assert error(got, oracle.received(xy, values, "gaussian", 2.0)) <= 1e-5


def test_anchors_are_the_bilinear_interpolation_of_a_grid() -> None:
    xy, values = tissue(900, 2, 4)
    for factor in (0.3, 0.5, 1.0):
        got = received_ligands(xy, values, radius=20.0, method="anchors", factor=factor)
        np.testing.assert_allclose(got, oracle.anchors(xy, values, 20.0, factor), rtol=0, atol=1e-14)
    plan = ReceivedPlan(xy, radius=20.0, method="anchors")
    deviation = np.abs(plan.apply(values) - oracle.received(xy, values, "gaussian", 20.0))
    assert (deviation <= plan.error_bound * values.mean(axis=0)).all()


def test_anchors_fall_back_to_the_exact_sum_when_the_grid_has_no_fewer_points_than_cells() -> None:
    xy, values = tissue(50, 2, 5)
    exact = received_ligands(xy, values, radius=5.0, method="direct")
    np.testing.assert_array_equal(received_ligands(xy, values, radius=5.0, method="anchors"), exact)


def test_anchor_spacing_follows_the_width_of_the_truncated_kernel() -> None:
    xy, values = tissue(3000, 2, 6, extent=40.0)
    sigma = 20.0 / np.sqrt(2 * np.log(1000.0))
    plan = ReceivedPlan(xy, radius=20.0, kernel="gaussian_truncated", method="anchors", factor=0.25)
    assert plan.method == "anchors"
    exact = oracle.received(xy, values, "gaussian_truncated", 20.0)
    assert error(plan.apply(values), exact) < 0.25**2 / 4 + 0.001
    assert sigma < 6.0


@pytest.mark.parametrize("method", METHODS)
@given(data=st.data(), n=st.integers(1, 25))
@settings(max_examples=15, deadline=None)
def test_received_follows_relabeling(method: Any, data: st.DataObject, n: int) -> None:
    """Renaming the cells renames the answer and changes nothing else, duplicated places included."""
    places = st.floats(-1e3, 1e3, allow_nan=False, width=32)
    xy = data.draw(arrays(np.float64, (n, 2), elements=places))
    values = data.draw(arrays(np.float64, (n, 3), elements=st.floats(0, 10)))
    order = np.array(data.draw(st.permutations(range(n))))
    once = received_ligands(xy, values, radius=50.0, method=method)
    again = received_ligands(xy[order], values[order], radius=50.0, method=method)
    np.testing.assert_allclose(again, once[order], rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(once, oracle.received(xy, values, "gaussian", 50.0), rtol=0, atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_translation_and_scaling(method: Any) -> None:
    xy, values = tissue(600, 2, 7)
    once = received_ligands(xy, values, radius=15.0, method=method)
    moved = received_ligands(xy + 1e4, values, radius=15.0, method=method)
    grown = received_ligands(1e3 * xy, values, radius=15e3, method=method)
    louder = received_ligands(xy, 3.0 * values, radius=15.0, method=method, scale=-0.5)
    tolerance = 1e-13 if method == "direct" else 2e-6 * once.max()
    np.testing.assert_allclose(moved, once, rtol=0, atol=tolerance)
    np.testing.assert_allclose(grown, once, rtol=0, atol=tolerance)
    np.testing.assert_allclose(louder, -1.5 * once, rtol=0, atol=1e-12)


@pytest.mark.parametrize("method", [*METHODS, "anchors"])
def test_nothing_sent_is_nothing_received(method: Any) -> None:
    xy, values = tissue(400, 2, 8)
    assert (received_ligands(xy, 0.0 * values, radius=30.0, method=method) == 0.0).all()
    assert (received_ligands(xy, values, radius=30.0, method=method, scale=0.0) == 0.0).all()
    assert received_ligands(xy, values[:, :0], radius=30.0, method=method).shape == (400, 0)


@pytest.mark.parametrize("method", [*METHODS, "anchors"])
def test_one_cell_hears_itself(method: Any) -> None:
    got = received_ligands([[3.0, -4.0]], [[2.0, 0.0, -1.0]], radius=10.0, method=method, scale=2.0)
    np.testing.assert_allclose(got, [[4.0, 0.0, -2.0]], rtol=1e-6)


def test_negative_values_are_allowed_and_positive_ones_stay_positive() -> None:
    xy, values = tissue(1500, 2, 9)
    assert (received_ligands(xy, values, radius=3.0, method="mesh", rtol=1e-3) >= 0.0).all()
    signed = received_ligands(xy, values - 5.0, radius=3.0, method="mesh", rtol=1e-8)
    np.testing.assert_allclose(signed, oracle.received(xy, values - 5.0, "gaussian", 3.0), rtol=0, atol=1e-7)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_the_mesh_is_a_symmetric_operator(dimensions: int) -> None:
    xy, _ = tissue(300, dimensions, 10)
    pair = np.random.default_rng(0).normal(size=(300, 2))
    image = received_ligands(xy, pair, radius=12.0, method="mesh", rtol=1e-3)
    assert pair[:, 0] @ image[:, 1] == pytest.approx(pair[:, 1] @ image[:, 0], rel=1e-11)


def test_far_outliers_cost_neither_time_nor_accuracy() -> None:
    xy, values = tissue(3000, 2, 11)
    xy[::300] = 10.0 ** np.arange(5, 15)[:, None] * [1.0, -1.0]
    xy[1500:2000] += 1e7  # a second section far away
    start = time.process_time()
    for method in ("mesh", "auto"):
        got = received_ligands(xy, values, radius=1e3 if method == "auto" else 300.0, method=method)
        exact = oracle.received(xy, values, "gaussian", 1e3 if method == "auto" else 300.0)
        assert error(got, exact) < 1e-6
    assert time.process_time() - start < 20.0


@pytest.mark.parametrize("method", [*METHODS, "anchors"])
def test_samples_equal_separate_runs(method: Any) -> None:
    xy, values = tissue(700, 2, 12)
    samples = np.arange(700) % 3 * 5 - 2
    together = received_ligands(xy, values, radius=25.0, method=method, samples=samples)
    for sample in np.unique(samples):
        own = samples == sample
        alone = received_ligands(xy[own], values[own], radius=25.0, method=method)
        np.testing.assert_array_equal(together[own], alone)


def test_each_ligand_has_its_own_radius() -> None:
    xy, values = tissue(300, 2, 13)
    radii = np.array([10.0, 40.0, 10.0, 25.0, 40.0])
    got = received_ligands(xy, values, radius=radii, method="direct")
    for k, r in enumerate(radii):
        np.testing.assert_allclose(
            got[:, [k]], oracle.received(xy, values[:, [k]], "gaussian", r), rtol=1e-12
        )


@pytest.mark.parametrize(
    ("method", "radius"), [("mesh", 20.0), ("mesh", 1.2), ("direct", 2.0), ("anchors", 20.0)]
)
def test_threads_do_not_change_a_bit(method: Any, radius: float) -> None:
    xy, values = tissue(4000, 2, 14, ligands=11)
    one = received_ligands(xy, values, radius=radius, method=method, threads=1)
    np.testing.assert_array_equal(received_ligands(xy, values, radius=radius, method=method, threads=2), one)


def test_auto_takes_the_mesh_for_dense_tissue_and_pairs_for_sparse() -> None:
    xy, _ = tissue(5000, 2, 15, extent=1000.0)
    assert ReceivedPlan(xy, radius=50.0).method == "mesh"
    assert ReceivedPlan(xy, radius=5.0).method == "direct"
    assert ReceivedPlan(xy, radius=50.0, kernel="gaussian_truncated").method == "direct"
    assert ReceivedPlan(xy, radius=50.0, kernel="gaussian_truncated").error_bound == 0.0


@pytest.mark.parametrize("kernel", ["gaussian", "gaussian_truncated"])
def test_verification_reports_the_error_of_some_rows(kernel: Any) -> None:
    xy, values = tissue(2000, 2, 16)
    samples = np.arange(2000) % 2
    radii = np.array([10.0, 20.0, 10.0, 10.0, 20.0])
    got, seen = received_ligands(xy, values, radius=radii, kernel=kernel, samples=samples, verify=20)
    assert isinstance(seen, Verification)
    assert len(np.unique(seen.rows)) == 20
    assert seen.max_rel_error <= 1e-6
    assert seen.max_abs_error <= 1e-6 * got.max()
    coarse, worse = received_ligands(xy, values, radius=30.0, method="anchors", verify=3000)
    exact = oracle.received(xy, values, "gaussian", 30.0)
    assert worse.max_abs_error == pytest.approx(np.abs(coarse - exact).max(), rel=1e-9)


def test_a_plan_serves_any_expression_and_scale() -> None:
    xy, values = tissue(800, 2, 17)
    plan = ReceivedPlan(xy, radius=30.0)
    np.testing.assert_array_equal(plan.apply(values), received_ligands(xy, values, radius=30.0))
    np.testing.assert_allclose(
        plan.apply(values[:, :2], scale=2.0), 2 * plan.apply(values)[:, :2], rtol=1e-12
    )
    assert plan.n_cells == 800


def test_inputs_of_any_number_type_and_layout_are_accepted() -> None:
    xy, values = tissue(200, 2, 18)
    expected = received_ligands(xy.astype(np.float32).astype(np.float64), np.round(values), radius=9.0)
    whole = np.asfortranarray(np.round(values).astype(np.int32))
    np.testing.assert_array_equal(received_ligands(xy.astype(np.float32), whole, radius=9.0), expected)


class Recorder:
    """Progress that remembers, and may raise."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.seen: list[tuple[int, int, str]] = []
        self.error = error

    def update(self, done: int, total: int, what: str) -> None:
        self.seen.append((done, total, what))
        if self.error is not None:
            raise self.error

    def close(self) -> None:
        """Nothing."""


def test_progress_is_reported_and_its_error_stops_the_work() -> None:
    xy, values = tissue(20_000, 2, 19, ligands=8)
    watch = Recorder(RuntimeError("enough"))
    with pytest.raises(RuntimeError, match="enough"):
        received_ligands(xy, values, radius=20.0, method="direct", progress=watch)
    done, total, what = watch.seen[0]
    assert 0 <= done < total
    assert what == "received ligands"


def test_ctrl_c_stops_all_pairs_of_a_large_tissue() -> None:
    xy, values = tissue(100_000, 2, 20, ligands=50)
    pressed: list[float] = []

    def press() -> None:
        pressed.append(time.monotonic())
        _thread.interrupt_main()

    timer = threading.Timer(0.5, press)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        received_ligands(xy, values, radius=20.0, method="direct")
    timer.join()
    assert time.monotonic() - pressed[0] < 5.0  # all pairs would take minutes


BAD: list[tuple[dict[str, Any], str]] = [
    ({"radius": 0.0}, "radius is 0.0: give a positive length"),
    ({"radius": float("nan")}, "radius is nan"),
    ({"radius": [1.0, 2.0]}, "radius has 2 entries but ligands has 3 columns"),
    ({"radius": [1.0, -2.0, 3.0]}, "radius is -2.0"),
    ({"radius": 1e-14}, "check the units"),
    ({"kernel": "gausian"}, "kernel is 'gausian'.*nearest: 'gaussian'"),
    ({"method": "mash"}, "method is 'mash'.*nearest: 'mesh'"),
    ({"rtol": 1e-14}, "rtol is 1e-14: give a relative error from 1e-13 to 1e-2"),
    ({"rtol": 0.1}, "rtol is 0.1"),
    ({"factor": 0.0}, "factor is 0.0"),
    ({"scale": float("inf")}, "scale is inf"),
    ({"threads": -1}, "threads is -1"),
    ({"verify": -1}, "verify is -1"),
    ({"kernel": "gaussian_cutoff"}, "needs cutoff"),
    ({"kernel": "gaussian_cutoff", "cutoff": -1.0}, "cutoff is -1.0"),
    ({"cutoff": 1.0}, "cutoff is 1.0, but kernel 'gaussian' has none"),
    ({"kernel": "gaussian_truncated", "method": "mesh"}, "method 'mesh' needs kernel 'gaussian'"),
    ({"xy": np.zeros((4, 4))}, "xy has 4 columns"),
    ({"xy": np.zeros(4)}, "xy has 1 dimensions"),
    ({"xy": np.zeros((0, 2)), "ligands": np.zeros((0, 3))}, "xy has no rows"),
    ({"xy": np.full((4, 2), np.nan)}, "xy has 8 values that are NaN"),
    ({"xy": np.zeros((5, 2))}, "ligands has 4 rows but xy has 5"),
    ({"xy": np.zeros((4, 3)), "method": "anchors"}, "method 'anchors' needs 2 dimensions"),
    ({"ligands": np.full((4, 3), np.inf)}, "ligands has a value that is not finite"),
    ({"ligands": np.array([["a"] * 3] * 4)}, "ligands has dtype"),
    ({"samples": [0, 1]}, "samples has 2 entries: expected 4"),
    ({"samples": [0.5, 1, 2, 3]}, "samples must hold whole numbers"),
]


@pytest.mark.parametrize(("change", "message"), BAD)
def test_bad_input_is_named(change: dict[str, Any], message: str) -> None:
    xy = np.arange(8.0).reshape(4, 2)
    arguments: dict[str, Any] = {"xy": xy, "ligands": np.ones((4, 3)), "radius": 1.0} | change
    with pytest.raises(InputError, match=message) as caught:
        received_ligands(arguments.pop("xy"), arguments.pop("ligands"), **arguments)
    assert isinstance(caught.value, CytorippleError)
    assert isinstance(caught.value, ValueError)
