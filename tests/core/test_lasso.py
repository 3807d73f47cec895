"""Properties of the sparse group lasso."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cytoripple._errors import InputError
from cytoripple.kernels.lasso import SOLVERS, SparseGroupLasso, sparse_group_lasso
from tests.oracles import lasso as oracle

Problem = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]


def problem(seed: int, n: int = 60, p: int = 12, *, loose: bool = True) -> Problem:
    """Make a random design with columns of very different size and up to four groups."""
    rng = np.random.default_rng(seed)
    groups = rng.integers(-1 if loose else 0, 4, size=p)
    scales = 10.0 ** rng.uniform(-2, 0.5, size=p)
    x = (rng.normal(size=(n, p)) + 0.4 * rng.normal(size=(n, 1))) * scales + rng.normal(size=p)
    w = rng.normal(size=p) * (rng.random(p) < 0.5) / scales
    return x, x @ w + rng.normal(size=n) + 3, groups


seeds = st.integers(0, 10_000)
shapes = st.sampled_from([(60, 12), (15, 30), (9, 9), (40, 1), (2, 5)])
penalties = st.sampled_from([(0.1, 0.05), (0.3, 0.0), (0.0, 0.2), (1e-4, 1e-5), (0.02, 0.4)])


def value(x: Any, y: Any, groups: Any, fit: SparseGroupLasso, penalty: tuple[float, float]) -> float:
    weights = oracle.weights_of(groups, penalty[0])
    return oracle.objective(x, y, fit.coef, fit.intercept, groups, weights, penalty[1])


@settings(max_examples=25, deadline=None)
@given(seed=seeds, shape=shapes, penalty=penalties)
def test_no_point_found_by_the_oracle_is_better(
    seed: int, shape: tuple[int, int], penalty: tuple[float, float]
) -> None:
    """Plain proximal gradient on the data never beats the solver, and the gap covers the difference."""
    x, y, groups = problem(seed, *shape)
    fit = sparse_group_lasso(x, y, groups, group_reg=penalty[0], l1_reg=penalty[1])
    weights = oracle.weights_of(groups, penalty[0])
    w, b = oracle.fit(x, y, groups, weights, penalty[1], n_iter=500)
    other = oracle.objective(x, y, w, b, groups, weights, penalty[1])
    assert fit.objective == pytest.approx(value(x, y, groups, fit, penalty), rel=1e-10, abs=1e-12)
    assert fit.converged
    assert fit.objective <= other * (1 + 1e-9) + 1e-12
    rounding = np.finfo(float).eps ** 2 * float(y @ y)  # an exact fit leaves the square of a rounding
    assert fit.objective - fit.gap <= other * (1 + 1e-12) + rounding


@settings(max_examples=30, deadline=None)
@given(seed=seeds, shape=shapes, penalty=penalties, intercept=st.booleans())
def test_the_conditions_of_the_optimum_hold(
    seed: int, shape: tuple[int, int], penalty: tuple[float, float], intercept: bool
) -> None:
    """Zero groups are within their weight, the others are stationary, and the fit says by how much."""
    x, y, groups = problem(seed, *shape)
    group_reg, l1 = penalty
    fit = sparse_group_lasso(x, y, groups, group_reg=group_reg, l1_reg=l1, fit_intercept=intercept, tol=1e-9)
    residual = y - x @ fit.coef - fit.intercept
    gradient = (x - (x.mean(0) if intercept else 0)).T @ residual / len(y)
    size = np.abs(
        (x - (x.mean(0) if intercept else 0)).T @ (y - (y.mean() if intercept else 0)) / len(y)
    ).max()
    worst = 0.0
    weights = {g: oracle.weights_of(groups, group_reg).get(g, 0.0) for g in np.unique(groups)}
    for g, weight in weights.items():
        a, w = gradient[groups == g], fit.coef[groups == g]
        if not w.any():
            worst = max(worst, float(np.linalg.norm(oracle.soft(a, l1))) - weight)
            continue
        pull = a - l1 * np.sign(w) - weight * w / np.linalg.norm(w)
        worst = max(worst, float(np.where(w == 0, np.abs(oracle.soft(a, l1)), np.abs(pull)).max()))
    assert worst <= 1e-4 * size
    assert fit.kkt_residual == pytest.approx(max(worst, 0.0), abs=1e-9 * size)
    assert fit.converged
    assert fit.gap <= 1e-9 * max(fit.objective, float(y @ y) / len(y))


@pytest.mark.parametrize("tol", [1e-6, 1e-9])
@pytest.mark.parametrize(
    ("seed", "shape", "penalty", "intercept"),
    [
        (8, (2, 5), (1e-4, 1e-5), False),
        (11, (9, 9), (1e-4, 1e-5), False),
        (7, (9, 9), (0.0, 1e-5), False),
        (1, (9, 9), (1e-5, 0.0), False),
        (5, (9, 9), (1e-6, 1e-7), False),
        (3, (15, 30), (1e-4, 1e-5), True),
        (23, (15, 30), (1e-4, 1e-5), False),
        (1, (15, 30), (0.0, 1e-5), False),
        (0, (15, 30), (1e-6, 1e-7), True),
        (9, (5, 40), (1e-6, 1e-7), True),
        (7, (12, 14), (1e-4, 1e-5), False),
        (12, (12, 14), (1e-6, 1e-7), True),
        (0, (12, 14), (1e-5, 0.0), True),
        (9, (60, 12), (1e-6, 1e-7), False),
    ],
)
def test_nearly_interpolating_fits_converge(
    seed: int, shape: tuple[int, int], penalty: tuple[float, float], intercept: bool, tol: float
) -> None:
    """Flat valleys and columns that are combinations of others end far below the allowed iterations."""
    x, y, groups = problem(seed, *shape)
    fit = sparse_group_lasso(
        x, y, groups, group_reg=penalty[0], l1_reg=penalty[1], fit_intercept=intercept, tol=tol
    )
    assert fit.converged
    assert fit.n_iter < 2500
    center = x.mean(0), y.mean()
    null = float(np.mean((y - center[1] * intercept) ** 2))
    assert fit.gap <= max(1.01 * tol * fit.objective, 1e-11 * null)
    weights = oracle.weights_of(groups, penalty[0])
    w, b = oracle.fit(x, y, groups, weights, penalty[1], intercept=intercept, n_iter=2000)
    other = oracle.objective(x, y, w, b, groups, weights, penalty[1])
    assert fit.objective <= other * (1 + 1e-9)
    assert value(x, y, groups, fit, penalty) == pytest.approx(fit.objective, rel=1e-9)


@settings(max_examples=20, deadline=None)
@given(seed=seeds, solver=st.sampled_from(["descent", "fista"]))
def test_the_gap_is_an_upper_bound_at_any_iterate(seed: int, solver: str) -> None:
    """After one iteration as after many, the optimum is not further away than the gap says."""
    x, y, groups = problem(seed)
    best = sparse_group_lasso(x, y, groups, group_reg=0.05, l1_reg=0.02, tol=1e-10).objective
    start = np.random.default_rng(seed).normal(size=x.shape[1])
    for max_iter in (1, 2, 5):
        fit = sparse_group_lasso(
            x,
            y,
            groups,
            group_reg=0.05,
            l1_reg=0.02,
            solver=solver,
            max_iter=max_iter,
            warm_start=start,  # type: ignore[arg-type]
        )
        assert fit.objective - best <= fit.gap * (1 + 1e-9) + 1e-12
        assert fit.gap >= 0


@settings(max_examples=20, deadline=None)
@given(seed=seeds, max_iter=st.integers(1, 6))
def test_the_objective_never_exceeds_that_of_the_start(seed: int, max_iter: int) -> None:
    """Coordinate descent goes down from wherever it starts."""
    x, y, groups = problem(seed)
    start = np.random.default_rng(seed + 1).normal(size=x.shape[1])
    weights = oracle.weights_of(groups, 0.05)
    b = float(y.mean() - x.mean(0) @ start)
    at_start = oracle.objective(x, y, start, b, groups, weights, 0.02)
    fit = sparse_group_lasso(x, y, groups, group_reg=0.05, l1_reg=0.02, max_iter=max_iter, warm_start=start)
    assert fit.objective < at_start
    assert fit.n_iter <= max_iter


def test_above_the_largest_penalty_everything_is_zero() -> None:
    """Just above `lambda_max` a group leaves, just below it enters."""
    x, y, groups = problem(4, loose=False)
    edge = sparse_group_lasso(x, y, groups, group_reg=1e9, l1_reg=0.05).lambda_max
    assert edge.shape == np.unique(groups).shape
    top = float(edge.max())
    assert not sparse_group_lasso(x, y, groups, group_reg=top * (1 + 1e-9), l1_reg=0.05).coef.any()
    below = sparse_group_lasso(x, y, groups, group_reg=top * 0.99, l1_reg=0.05)
    assert set(groups[below.coef != 0]) == {np.unique(groups)[edge.argmax()]}
    assert below.intercept == pytest.approx(y.mean() - x.mean(0) @ below.coef)


@settings(max_examples=20, deadline=None)
@given(seed=seeds)
def test_the_order_of_columns_and_cells_does_not_matter(seed: int) -> None:
    """Permuted input, permuted answer."""
    x, y, groups = problem(seed)
    rng = np.random.default_rng(seed)
    columns, rows = rng.permutation(x.shape[1]), rng.permutation(len(y))
    once = sparse_group_lasso(x, y, groups, group_reg=0.05, l1_reg=0.02)
    again = sparse_group_lasso(x[rows][:, columns], y[rows], groups[columns], group_reg=0.05, l1_reg=0.02)
    np.testing.assert_allclose(
        again.coef, once.coef[columns], rtol=0, atol=1e-8 * np.abs(once.coef).max(initial=1)
    )
    assert again.objective == pytest.approx(once.objective, rel=1e-12)


@settings(max_examples=20, deadline=None)
@given(seed=seeds, factor=st.sampled_from([1e-6, 0.5, 1e5]))
def test_scaling_target_and_penalties_scales_the_answer(seed: int, factor: float) -> None:
    """The problem has no unit of its own."""
    x, y, groups = problem(seed)
    once = sparse_group_lasso(x, y, groups, group_reg=0.05, l1_reg=0.02)
    again = sparse_group_lasso(x, y * factor, groups, group_reg=0.05 * factor, l1_reg=0.02 * factor)
    np.testing.assert_allclose(again.coef, factor * once.coef, rtol=1e-7, atol=1e-9 * factor)
    far = sparse_group_lasso(x / factor, y, groups, group_reg=0.05 / factor, l1_reg=0.02 / factor)
    np.testing.assert_allclose(far.coef, factor * once.coef, rtol=1e-7, atol=1e-9 * factor)


def test_l1_alone_is_the_lasso() -> None:
    """Without group penalty the labels are irrelevant and each column obeys the lasso's condition."""
    x, y, groups = problem(7)
    fit = sparse_group_lasso(x, y, groups, group_reg=0.0, l1_reg=0.1)
    plain = sparse_group_lasso(x, y, np.full(x.shape[1], -1), group_reg=5.0, l1_reg=0.1)
    np.testing.assert_allclose(plain.coef, fit.coef, rtol=0, atol=1e-10 * np.abs(fit.coef).max())
    w, b = oracle.fit(x, y, groups, {}, 0.1)
    reached = oracle.objective(x, y, w, b, groups, {}, 0.1)
    assert fit.objective <= reached * (1 + 1e-12)
    gradient = (x - x.mean(0)).T @ (y - x @ fit.coef - fit.intercept) / len(y)
    assert np.abs(gradient).max() <= 0.1 * (1 + 1e-9)
    np.testing.assert_allclose(gradient[fit.coef != 0], 0.1 * np.sign(fit.coef[fit.coef != 0]), rtol=1e-8)


def test_groups_alone_enter_and_leave_as_a_whole() -> None:
    """With only the group penalty every group is all zero or all nonzero."""
    x, y, groups = problem(8, loose=False)
    coef = sparse_group_lasso(x, y, groups, group_reg=0.4, l1_reg=0.0).coef
    states = {bool(coef[groups == g].all()) if coef[groups == g].any() else None for g in np.unique(groups)}
    assert states == {True, None}


@pytest.mark.parametrize("shape", [(60, 12), (10, 25)])
def test_columns_without_any_penalty_are_regressed_out(shape: tuple[int, int]) -> None:
    """The residual is orthogonal to them, and the gap still certifies the optimum."""
    x, y, groups = problem(9, *shape)
    groups[:3] = -1
    x = np.column_stack([x, x[:, 0] + x[:, 1]])  # a combination of unpenalized columns
    groups = np.append(groups, -1)
    fit = sparse_group_lasso(x, y, groups, group_reg=0.2, l1_reg=0.0)
    residual = y - x @ fit.coef - fit.intercept
    free = x[:, groups == -1] - x[:, groups == -1].mean(0)
    assert np.abs(free.T @ residual).max() <= 1e-8 * np.abs(free).max() * np.abs(y).max() * len(y)
    assert fit.gap <= 1e-8 * max(fit.objective, 1e-6)


def test_without_penalty_it_is_least_squares() -> None:
    """Everything unpenalized: one regression."""
    x, y, groups = problem(10)
    fit = sparse_group_lasso(x, y, groups, group_reg=0.0, l1_reg=0.0)
    best, *_ = np.linalg.lstsq(np.column_stack([np.ones(len(y)), x]), y, rcond=None)
    np.testing.assert_allclose(np.r_[fit.intercept, fit.coef], best, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("shape", [(60, 12), (10, 25)])
def test_dead_columns_have_exactly_zero(solver: Any, shape: tuple[int, int]) -> None:
    """Zero and constant columns change nothing but the size of their group."""
    x, y, groups = problem(11, *shape, loose=False)
    x[:, 2], x[:, 5], x[:, 7] = 0.0, 0.1, 1e6
    fit = sparse_group_lasso(x, y, groups, group_reg=0.05, l1_reg=0.02, solver=solver)
    np.testing.assert_array_equal(fit.coef[[2, 5, 7]], 0.0)
    kept = np.delete(np.arange(x.shape[1]), [2, 5, 7])
    weights = np.array([0.05 * np.sqrt((groups == g).sum()) for g in np.unique(groups)])
    alone = sparse_group_lasso(x[:, kept], y, groups[kept], group_reg=weights, l1_reg=0.02, solver=solver)
    np.testing.assert_allclose(fit.coef[kept], alone.coef, rtol=1e-6, atol=1e-8)


def test_float32_agrees_with_float64() -> None:
    """Single precision input is the same problem up to its rounding."""
    x, y, groups = problem(12)
    double = sparse_group_lasso(x, y, groups, group_reg=0.05, l1_reg=0.02)
    single = sparse_group_lasso(
        x.astype(np.float32), y.astype(np.float32), groups, group_reg=0.05, l1_reg=0.02
    )
    assert single.coef.dtype == np.float64
    np.testing.assert_allclose(single.coef, double.coef, rtol=0, atol=1e-5 * np.abs(double.coef).max())


@pytest.mark.parametrize("solver", SOLVERS)
def test_bits_do_not_depend_on_threads(solver: Any) -> None:
    """One, two and five threads."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(700, 300)), rng.normal(size=700)
    fits = [
        sparse_group_lasso(
            x, y, np.arange(300) % 7, group_reg=0.01, l1_reg=0.01, solver=solver, max_iter=50, threads=threads
        )
        for threads in (1, 2, 5)
    ]
    for other in fits[1:]:
        for item in fields(SparseGroupLasso):
            np.testing.assert_array_equal(getattr(other, item.name), getattr(fits[0], item.name))


@pytest.mark.parametrize("solver", ["descent", "fista"])
def test_a_warm_start_ends_at_the_same_answer(solver: Any) -> None:
    """Sooner, and nowhere else."""
    x, y, groups = problem(13)
    arguments: dict[str, Any] = {"group_reg": 0.05, "l1_reg": 0.02, "solver": solver, "tol": 1e-11}
    cold = sparse_group_lasso(x, y, groups, **arguments)
    warm = sparse_group_lasso(x, y, groups, **arguments, warm_start=cold.coef)
    assert warm.n_iter < cold.n_iter
    scale = np.abs(cold.coef).max()
    np.testing.assert_allclose(
        warm.coef, cold.coef, rtol=0, atol=(1e-9 if solver == "descent" else 1e-4) * scale
    )


@pytest.mark.parametrize(("n", "p"), [(1, 3), (2, 1), (5, 0)])
def test_the_smallest_problems_have_finite_answers(n: int, p: int) -> None:
    """One cell, one column, no column."""
    x, y = np.arange(n * p, dtype=float).reshape(n, p), np.arange(n) + 1.0
    for solver in SOLVERS:
        fit = sparse_group_lasso(x, y, np.zeros(p, dtype=int), group_reg=0.1, l1_reg=0.1, solver=solver)
        assert np.isfinite(np.r_[fit.coef, fit.intercept, fit.objective, fit.gap]).all()


def test_a_constant_target_has_an_intercept_only() -> None:
    """Nothing to explain, nothing explained."""
    x, _, groups = problem(14)
    fit = sparse_group_lasso(x, np.full(len(x), 0.3), groups, group_reg=1e-9, l1_reg=1e-9)
    assert not fit.coef.any()
    assert fit.intercept == pytest.approx(0.3, rel=1e-15)
    assert fit.converged


def test_running_out_of_iterations_is_said() -> None:
    """One sweep is not enough, and the result does not pretend."""
    x, y, groups = problem(15)
    fit = sparse_group_lasso(x, y, groups, group_reg=1e-3, l1_reg=1e-3, max_iter=1)
    assert (fit.converged, fit.stop_rule, fit.n_iter) == (False, "max_iter", 1)
    assert fit.gap > 1e-6 * fit.objective


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"X": np.full((60, 12), np.nan)}, "X has 720 values that are NaN"),
        ({"X": np.ones((60, 12), dtype=complex)}, "X has dtype complex128"),
        ({"X": np.ones((60, 12)) * 1e160}, "squares of values above 1e140 overflow"),
        ({"y": np.ones(59)}, "y has 59 entries but X has 60 rows"),
        ({"y": np.full(60, np.inf)}, "y has 60 values"),
        ({"groups": np.zeros(3)}, "groups has 3 entries: expected 12"),
        ({"groups": np.full(12, 0.5)}, "groups must hold whole numbers"),
        ({"group_reg": -0.1}, "group_reg is -0.1"),
        ({"group_reg": [0.1, 0.2]}, "group_reg has 2 values but groups has 3 labels"),
        ({"group_reg": [0.1, -0.2, 0.3]}, "negative value -0.2"),
        ({"l1_reg": np.inf}, "l1_reg is inf"),
        ({"l1_reg": "cv"}, "l1_reg is 'cv'"),
        ({"tol": 0.0}, "tol is 0.0"),
        ({"solver": "Descend"}, "nearest: 'descent'"),
        ({"scale_reg": "groupsize"}, "nearest: 'group_size'"),
        ({"max_iter": 1.5}, "max_iter is 1.5"),
        ({"warm_start": np.zeros(2)}, "warm_start has 2 entries"),
        ({"threads": -1}, "threads is -1"),
    ],
)
def test_wrong_input_is_named(change: dict[str, Any], message: str) -> None:
    """The message names the argument, what was found and what to give."""
    x, y, _ = problem(16)
    arguments = {"X": x, "y": y, "groups": np.arange(12) % 3, "group_reg": 0.1, "l1_reg": 0.1} | change
    with pytest.raises(InputError, match=message):
        sparse_group_lasso(**arguments)
