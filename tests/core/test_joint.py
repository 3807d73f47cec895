"""Joint sparse group lasso across cell types: optimality, certificate, invariances, noise correction."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import cytoripple as ct
from cytoripple._errors import InputError
from cytoripple.kernels import ColumnNoise, joint_sparse_group_lasso, sparse_group_lasso
from tests.oracles import joint as oracle

Problem = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]
seeds = st.integers(0, 10_000)
shapes = st.sampled_from([((60, 40, 25), 12), ((30, 30), 40), ((80,), 7), ((25, 18, 14, 30, 12), 20)])
penalties = st.sampled_from([(0.5, 0.1), (0.1, 0.1), (0.02, 0.1), (0.3, 0.0), (0.2, 1.0), (0.05, 0.6)])


def problem(seed: int, sizes: tuple[int, ...] = (60, 40, 25), p: int = 12) -> Problem:
    """Make columns of very different size whose wiring is partly shared by the types."""
    rng = np.random.default_rng(seed)
    n = sum(sizes)
    scales = 10.0 ** rng.uniform(-3, 1, size=p)
    x = (rng.normal(size=(n, p)) + 0.7 * rng.normal(size=(n, 1))) * scales + rng.normal(size=p)
    types = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    w = rng.normal(size=p) * (rng.random(p) < 0.4) / scales
    active = rng.random((len(sizes), p)) < 0.7
    y = np.einsum("ij,ij->i", x, (active * w)[types]) + rng.normal(size=n) + types
    return x, y, types


def noise_of(
    seed: int, x: NDArray[np.float64], share: float
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Make noise that is about `share` of the variance of the columns, with a few columns per gene."""
    rng = np.random.default_rng(seed + 1)
    sd = x.std(0) * np.sqrt(share) * rng.uniform(0.6, 1.4, size=x.shape)
    return sd, rng.integers(-1, max(x.shape[1] // 2, 1), size=x.shape[1])


@settings(max_examples=40, deadline=None)
@given(seed=seeds, shape=shapes, penalty=penalties, noisy=st.booleans())
def test_the_conditions_of_the_optimum_hold(
    seed: int, shape: tuple[tuple[int, ...], int], penalty: tuple[float, float], noisy: bool
) -> None:
    """Zero groups are within their weight, the others are stationary, in an independent NumPy check."""
    x, y, types = problem(seed, *shape)
    kappa, a = penalty
    sd, source = noise_of(seed, x, 0.3)
    noise = ColumnNoise(sd, source) if noisy else None
    fit = joint_sparse_group_lasso(x, y, types, kappa=kappa, l1_share=a, noise=noise)
    explicit = oracle.problem(x, y, types, sd=sd * (source >= 0) if noisy else None, source=source)
    v = explicit.scaled(fit.coef)
    assert fit.converged
    assert 0 <= fit.gap <= 1e-8 * max(fit.objective, 1)
    assert explicit.violation(v, kappa, a) <= 2e-5
    assert fit.objective == pytest.approx(explicit.objective(v, kappa, a), rel=1e-8, abs=1e-9)
    means = np.array([[*x[types == c].mean(0), y[types == c].mean()] for c in range(len(shape[0]))])
    expected = means[:, -1] - (fit.coef * means[:, :-1]).sum(1)
    np.testing.assert_allclose(fit.intercept, expected, rtol=1e-8, atol=1e-8)


@settings(max_examples=25, deadline=None)
@given(seed=seeds, penalty=penalties, noisy=st.booleans(), max_iter=st.integers(1, 4))
def test_the_gap_bounds_the_distance_from_the_optimum_at_any_iterate(
    seed: int, penalty: tuple[float, float], noisy: bool, max_iter: int
) -> None:
    """After one sweep as after many, with and without noise taken out of the Grams."""
    x, y, types = problem(seed, (30, 25, 20), 18)
    kappa, a = penalty
    sd, source = noise_of(seed, x, 0.5)
    options: dict[str, Any] = {
        "kappa": kappa,
        "l1_share": a,
        "noise": ColumnNoise(sd, source) if noisy else None,
    }
    best = joint_sparse_group_lasso(x, y, types, **options, tol=1e-10)
    early = joint_sparse_group_lasso(x, y, types, **options, max_iter=max_iter)
    assert early.objective - best.objective <= early.gap + 1e-12
    assert early.objective >= best.objective - 1e-12
    explicit = oracle.problem(x, y, types, sd=sd * (source >= 0) if noisy else None, source=source)
    other = explicit.objective(explicit.descend(kappa, a, 200), kappa, a)
    assert best.objective - best.gap <= other + 1e-9
    assert early.objective - early.gap <= other + 1e-9


def test_one_type_without_group_penalty_is_the_lasso() -> None:
    """K = 1 and a = 1 leave the absolute values only."""
    x, y, _ = problem(3, (80,), 15)
    kappa = 0.3
    fit = joint_sparse_group_lasso(x, y, np.zeros(80, dtype=int), kappa=kappa, l1_share=1.0)
    sd, lam = x.std(0), kappa * np.sqrt(2 * np.log(15) / 80)
    alone = sparse_group_lasso(
        x / sd, y / y.std(), np.zeros(15, dtype=int), group_reg=0.0, l1_reg=lam, tol=1e-10
    )
    np.testing.assert_allclose(fit.coef[0] * sd / y.std(), alone.coef, atol=1e-9)
    assert fit.intercept[0] == pytest.approx(alone.intercept * y.std(), rel=1e-8)
    assert fit.objective == pytest.approx(alone.objective, rel=1e-9)
    assert (alone.coef != 0).any() and (alone.coef == 0).any()


def test_without_group_penalty_the_types_are_fitted_on_their_own() -> None:
    """With a = 1 there is one lasso per type, at lambda over the root of its share of the cells."""
    x, y, types = problem(8)
    kappa = 0.25
    fit = joint_sparse_group_lasso(x, y, types, kappa=kappa, l1_share=1.0)
    for c in range(3):
        xc, yc = x[types == c], y[types == c]
        lam = kappa * np.sqrt(2 * np.log(12) / len(y)) / np.sqrt(len(yc) / len(y))
        alone = sparse_group_lasso(
            xc / xc.std(0), yc / yc.std(), np.zeros(12, dtype=int), group_reg=0.0, l1_reg=lam, tol=1e-10
        )
        np.testing.assert_allclose(fit.coef[c] * xc.std(0) / yc.std(), alone.coef, atol=1e-9)


@settings(max_examples=15, deadline=None)
@given(seed=seeds, noisy=st.booleans())
def test_order_and_scale_of_columns_do_not_matter(seed: int, noisy: bool) -> None:
    """Permuted columns give permuted coefficients, scaled ones the inverse factor."""
    x, y, types = problem(seed)
    sd, source = noise_of(seed, x, 0.3)
    rng = np.random.default_rng(seed)
    order, factor = rng.permutation(12), 10.0 ** rng.uniform(-6, 6, size=12)
    noise = (ColumnNoise(sd, source), ColumnNoise((sd * factor)[:, order], source[order]))
    fit = joint_sparse_group_lasso(x, y, types, kappa=0.1, noise=noise[0] if noisy else None)
    other = joint_sparse_group_lasso(
        (x * factor)[:, order], y, types, kappa=0.1, noise=noise[1] if noisy else None
    )
    expected = (fit.coef / factor)[:, order]
    np.testing.assert_allclose(other.coef, expected, rtol=1e-6, atol=1e-8 * np.abs(expected).max())


def test_dead_columns_and_constant_targets_get_zeros() -> None:
    """A column without variation in a type has no coefficient there, and may have one elsewhere."""
    x, y, types = problem(5)
    y = y + 3 * x[:, 2] / x[:, 2].std()
    x[:, 1] = 4.2
    x[types == 0, 2] = 0.7
    y[types == 1] = 1.5
    fit = joint_sparse_group_lasso(x, y, types, kappa=0.02)
    assert not fit.coef[:, 1].any()
    assert fit.coef[0, 2] == 0 and fit.coef[2, 2] != 0
    assert not fit.coef[1].any() and fit.intercept[1] == pytest.approx(1.5)
    explicit = oracle.problem(x, y, types)
    assert explicit.violation(explicit.scaled(fit.coef), 0.02, 0.1) <= 1e-5


def test_above_lambda_max_the_model_is_empty() -> None:
    """A little above nothing is left, a little below something is."""
    x, y, types = problem(2)
    edge = joint_sparse_group_lasso(x, y, types, kappa=1.0).lambda_max
    assert not joint_sparse_group_lasso(x, y, types, kappa=edge * 1.0001).coef.any()
    assert joint_sparse_group_lasso(x, y, types, kappa=edge * 0.999).coef.any()


def test_a_type_with_few_cells_gets_an_intercept_only() -> None:
    """Nine cells are left out of the objective: the other types are fitted as if they were not there."""
    x, y, types = problem(4, (60, 40, 9))
    fit = joint_sparse_group_lasso(x, y, types, kappa=0.1)
    rest = types < 2
    without = joint_sparse_group_lasso(x[rest], y[rest], types[rest], kappa=0.1)
    assert not fit.coef[2].any() and fit.intercept[2] == pytest.approx(y[types == 2].mean())
    np.testing.assert_array_equal(fit.coef[:2], without.coef)
    np.testing.assert_array_equal(fit.types, [0, 1, 2])


def test_no_noise_reproduces_the_uncorrected_fit_exactly() -> None:
    """Deviations of zero, and columns without a noisy gene, change no bit; threads do not either."""
    x, y, types = problem(6)
    plain = joint_sparse_group_lasso(x, y, types, kappa=0.1)
    zero = ColumnNoise(np.zeros_like(x), np.zeros(12, dtype=int))
    clean = ColumnNoise(np.ones_like(x), np.full(12, -1))
    for noise, threads in ((zero, 1), (clean, 2), (None, 2)):
        fit = joint_sparse_group_lasso(x, y, types, kappa=0.1, noise=noise, threads=threads)
        np.testing.assert_array_equal(fit.coef, plain.coef)
        np.testing.assert_array_equal(fit.intercept, plain.intercept)
    coef, intercept, gap = plain
    assert coef is plain.coef and intercept is plain.intercept and gap == plain.gap


def test_noise_larger_than_the_variance_is_capped_and_the_gram_stays_positive() -> None:
    """On few shallow cells the estimated noise exceeds the variance: uncapped, the Gram is indefinite."""
    x, y, types = problem(9, (38, 45), 30)
    sd, source = noise_of(9, x, 1.5)
    source = np.arange(30) // 2
    raw = oracle.problem(x, y, types, sd=sd, source=source, cap=np.inf, floor=-np.inf)
    capped = oracle.problem(x, y, types, sd=sd, source=source, floor=-np.inf)
    assert min(np.linalg.eigvalsh(g).min() for g in raw.grams) < -0.5
    assert (
        min(np.diag(g).min() for g in raw.grams)
        < 0
        < 0.4 - 1e-9
        <= min(np.diag(g).min() for g in capped.grams)
    )
    assert min(np.linalg.eigvalsh(g).min() for g in capped.grams) < 0  # the floor is needed as well
    fit = joint_sparse_group_lasso(x, y, types, kappa=0.05, noise=ColumnNoise(sd, source))
    safe = oracle.problem(x, y, types, sd=sd, source=source)
    v = safe.scaled(fit.coef)
    assert fit.converged and safe.violation(v, 0.05, 0.1) < 1e-5
    # With eigenvalues of at least 0.05 the coefficients cannot run away.
    assert np.linalg.norm(v) <= np.linalg.norm(safe.b) / 0.05


def test_correction_undoes_the_attenuation_of_noisy_columns() -> None:
    """Coefficients of a column with known noise come back to those of the clean column."""
    rng = np.random.default_rng(0)
    clean = rng.normal(size=(4000, 3))
    y, types = clean @ [1.0, -0.5, 0.0] + 0.3 * rng.normal(size=4000), np.arange(4000) % 2
    sd = np.full(clean.shape, 0.6)
    noisy = clean + sd * rng.normal(size=clean.shape)
    noise = ColumnNoise(sd, np.arange(3))
    shrunk = joint_sparse_group_lasso(noisy, y, types, kappa=1e-3).coef
    found = joint_sparse_group_lasso(noisy, y, types, kappa=1e-3, noise=noise).coef
    np.testing.assert_allclose(found, [[1.0, -0.5, 0.0]] * 2, atol=0.06)
    assert np.abs(shrunk[:, 0]).max() < 0.8


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kappa": 0.0}, "kappa"),
        ({"kappa": np.nan}, "kappa"),
        ({"l1_share": 1.2}, "l1_share"),
        ({"l1_share": -0.1}, "l1_share"),
        ({"tol": 0}, "tol"),
        ({"threads": -1}, "threads"),
        ({"types": np.zeros(3, dtype=int)}, "types has 3 entries"),
        ({"types": np.full(125, 0.5)}, "whole numbers"),
        ({"y": np.zeros(4)}, "y has 4 entries"),
        ({"y": np.full(125, np.nan)}, "NaN"),
        ({"X": np.zeros(5)}, "dimensions"),
        ({"noise": ColumnNoise(np.ones((125, 3)), np.zeros(12, dtype=int))}, "noise.sd has shape"),
        ({"noise": ColumnNoise(-np.ones((125, 12)), np.zeros(12, dtype=int))}, "negative"),
        ({"noise": ColumnNoise(np.ones((125, 12)), np.zeros(2, dtype=int))}, "noise.source"),
    ],
)
def test_bad_input_is_named(change: dict[str, Any], message: str) -> None:
    """Every argument that cannot be used is named before any work."""
    x, y, types = problem(1)
    arguments: dict[str, Any] = {"X": x, "y": y, "types": types, "kappa": 0.1} | change
    with pytest.raises(InputError, match=message):
        joint_sparse_group_lasso(**arguments)


def test_it_is_a_public_kernel() -> None:
    """The function is found where the documentation says."""
    assert ct.kernels.joint_sparse_group_lasso is joint_sparse_group_lasso


def test_of_many_columns_only_candidates_are_corrected() -> None:
    """Beyond 400 columns the correction is that of the columns near the uncorrected model, exactly."""
    rng = np.random.default_rng(12)
    n, p, kappa, a = 160, 450, 0.6, 0.1
    x = rng.normal(size=(n, p)) + 0.3 * rng.normal(size=(n, 1))
    types = np.arange(n) % 2
    y = x[:, :5].sum(1) + np.where(types, 1, -1) * x[:, 5] + rng.normal(size=n)
    sd, source = noise_of(12, x, 0.3)
    plain = oracle.problem(x, y, types)
    v = plain.scaled(joint_sparse_group_lasso(x, y, types, kappa=kappa).coef)
    pull = np.abs(plain.gradient(v))
    lam = plain.lam(kappa)
    near = np.linalg.norm(np.maximum(pull / 0.5 - lam * a, 0), axis=1) >= lam * (1 - a) * np.sqrt(2)
    assert 20 < near.sum() < 200
    fit = joint_sparse_group_lasso(x, y, types, kappa=kappa, noise=ColumnNoise(sd, source))
    assert fit.converged and not fit.coef[:, ~near].any()
    same_level = kappa * np.sqrt(np.log(p) / np.log(near.sum()))
    noise = ColumnNoise(sd[:, near], source[near])
    alone = joint_sparse_group_lasso(x[:, near], y, types, kappa=same_level, noise=noise)
    np.testing.assert_allclose(fit.coef[:, near], alone.coef, atol=1e-7)
    assert alone.coef.any()
    assert fit.lambda_max == pytest.approx(joint_sparse_group_lasso(x, y, types, kappa=kappa).lambda_max)
