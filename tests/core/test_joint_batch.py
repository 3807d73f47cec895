"""Joint fits of many targets: the same answers as one explicit problem per target."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from numpy.typing import NDArray

from cytoripple._errors import InputError
from cytoripple.kernels import ColumnNoise, joint_sparse_group_lasso
from cytoripple.kernels.joint import JointSparseGroupLasso
from tests.core.test_training_kernel import Case, assert_same_bits, make, with_folds

KAPPA = 0.15


@pytest.fixture
def case() -> Case:
    """Three types, the last with fewer cells than columns, and four folds."""
    return with_folds(make(sizes=(150, 90, 14)))


def variance_of(case: Case, seed: int = 0) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    share = rng.uniform(0.1, 0.9, size=case.expression.shape)
    variance: NDArray[np.float32] = (share * case.expression.var(0)).astype(np.float32)
    return variance


def noise_of(case: Case, target: int, variance: NDArray[np.float32], cells: Any) -> ColumnNoise:
    """Make the deviations of the columns of a target by hand."""
    sd, genes = [], []
    tfl = case.options.get("received_tfl", case.received)
    mask = case.options.get("receptor_mask", np.ones_like(case.expression))
    for kind, first, second in case.tables[target].tolist():
        gene = first if kind in (0, 3) else second
        by = {0: 1.0, 3: 1.0, 1: case.received[:, first % 5] * mask[:, gene], 2: tfl[:, first % 5]}[kind]
        sd.append(by * np.sqrt(variance[:, gene].astype(np.float64)))
        genes.append(gene)
    return ColumnNoise(np.stack(sd, axis=1)[cells], np.array(genes))


def alone(
    case: Case, t: int, cells: NDArray[np.bool_], variance: NDArray[np.float32] | None
) -> JointSparseGroupLasso:
    noise = None if variance is None else noise_of(case, t, variance, cells)
    x, y = case.columns(t)[cells], case.y[cells, t]
    return joint_sparse_group_lasso(x, y, case.clusters[cells], kappa=KAPPA, noise=noise)


@pytest.mark.parametrize("noisy", [False, True])
@pytest.mark.parametrize("filtered", [False, True])
def test_every_fit_is_the_fit_of_its_explicit_design(case: Case, noisy: bool, filtered: bool) -> None:
    """Columns, standardization and noise of every target, with and without receptor filters."""
    if filtered:
        rng = np.random.default_rng(5)
        case.options = {
            "received_tfl": 2 * case.received[:, ::-1],
            "receptor_mask": rng.integers(0, 2, size=case.expression.shape).astype(float),
            "min_expression": 0.8,
        }
    variance = variance_of(case) if noisy else None
    y, indptr, columns = case.batch
    fit = case.design().fit_joint(y, indptr, columns, kappa=KAPPA, noise_variance=variance)
    inside = case.clusters >= 0
    for t in range(len(case.tables)):
        one = alone(case, t, inside, variance)
        # Equal columns share their coefficient in no unique way; what they predict is unique.
        found = case.columns(t) @ fit.coef[indptr[t] : indptr[t + 1]]
        np.testing.assert_allclose(found[inside], (case.columns(t) @ one.coef.T)[inside], atol=1e-6)
        np.testing.assert_allclose(fit.intercept[t], one.intercept, rtol=1e-6)
        np.testing.assert_allclose(fit.objective[t], one.objective, rtol=1e-8)
        np.testing.assert_allclose(fit.lambda_max[t], one.lambda_max, rtol=1e-8)
        for c in range(3):
            here = case.clusters == c
            residual = y[here, t] - case.columns(t)[here] @ one.coef[c] - one.intercept[c]
            assert fit.mse[t, c] == pytest.approx((residual**2).mean(), rel=1e-6)
            assert fit.r2[t, c] == pytest.approx(1 - fit.mse[t, c] / y[here, t].var(), abs=1e-6)
    assert fit.converged.all() and (fit.gap <= 1e-8).all()
    assert (fit.coef != 0).any()


def ridge(case: Case, t: int, c: int) -> NDArray[np.float64]:
    """Coefficients of a ridge on standardized columns of one type."""
    x, y = case.columns(t)[case.clusters == c], case.y[case.clusters == c, t]
    live = x.std(axis=0) > 1e-10
    sd = np.where(live, x.std(axis=0), 1.0)
    z = (x - x.mean(axis=0)) / sd * live
    found = np.linalg.solve(z.T @ z / len(y) + 3.0 * np.eye(len(sd)), z.T @ (y - y.mean()) / len(y))
    return np.asarray(found / sd, dtype=np.float64)


@pytest.mark.parametrize("share", [0.25, 1.0])
def test_the_dense_share_is_a_ridge_in_every_type(case: Case, share: float) -> None:
    """Also where a type has fewer cells than columns, and the certificate is that of the sparse part."""
    y, indptr, columns = case.batch
    sparse = case.design().fit_joint(y, indptr, columns, kappa=KAPPA)
    mixed = case.design().fit_joint(y, indptr, columns, kappa=KAPPA, dense_share=share)
    assert_same_bits(
        mixed, case.design().fit_joint(y, indptr, columns, kappa=KAPPA, dense_share=share, threads=1)
    )
    np.testing.assert_array_equal(mixed.objective, sparse.objective)
    np.testing.assert_array_equal(mixed.entry, sparse.entry)
    for t in range(len(case.tables)):
        rows = slice(indptr[t], indptr[t + 1])
        assert sparse.coef[rows].any()
        for c in range(3):
            expected = (1 - share) * sparse.coef[rows, c] + share * ridge(case, t, c)
            np.testing.assert_allclose(mixed.coef[rows, c], expected, atol=1e-8)
            x, cells = case.columns(t), case.clusters == c
            left = y[cells, t] - x[cells] @ mixed.coef[rows, c] - mixed.intercept[t, c]
            assert mixed.mse[t, c] == pytest.approx((left**2).mean(), rel=1e-6)
            assert abs(left.mean()) < 1e-8


def test_an_empty_model_gets_no_dense_share_and_a_share_is_at_most_one(case: Case) -> None:
    y, indptr, columns = case.batch
    empty = case.design().fit_joint(y, indptr, columns, kappa=50.0, dense_share=0.5)
    assert not empty.coef.any() and (empty.held_out_r2 == 0.0).all()
    with pytest.raises(InputError, match=r"dense_share is 1\.5"):
        case.design().fit_joint(y, indptr, columns, kappa=KAPPA, dense_share=1.5)


@pytest.mark.parametrize("noisy", [False, True])
def test_folds_are_predicted_by_fits_that_never_saw_them(case: Case, noisy: bool) -> None:
    """The score of held-out cells is that of explicit fits on the other cells, corrected as the final one.

    The cap on the noise of a column is computed once for all cells, so the comparison keeps below it.
    """
    case = with_folds(make(sizes=(150, 90, 60))) if noisy else case
    variance = 0.1 * variance_of(case) if noisy else None
    y, indptr, columns = case.batch
    fit = case.design().fit_joint(y, indptr, columns, kappa=KAPPA, noise_variance=variance)
    assert case.folds is not None
    for t in (0, 3):
        error, around = np.zeros(3), np.zeros(3)
        for fold in range(4):
            training = (case.clusters >= 0) & (case.folds != fold)
            one = alone(case, t, training, variance)
            for c in range(3):
                test = (case.clusters == c) & (case.folds == fold)
                predicted = case.columns(t)[test] @ one.coef[c] + one.intercept[c]
                error[c] += ((y[test, t] - predicted) ** 2).sum()
                around[c] += ((y[test, t] - y[training & (case.clusters == c), t].mean()) ** 2).sum()
        np.testing.assert_allclose(fit.held_out_r2[t], 1 - error / around, atol=1e-6)


def test_validation_errors_are_those_of_explicit_fits(case: Case) -> None:
    """Squared errors in units of the variance of the target, in any order of the grid."""
    y, indptr, columns = case.batch
    grid = [0.1, 1.0, 0.4]
    found = case.design().joint_validation_errors(y, indptr, columns, grid, tol=1e-9)
    assert case.folds is not None and found.shape == (len(case.tables), 3)
    t, expected = 2, np.zeros(3)
    for k, kappa in enumerate(grid):
        for fold in range(4):
            training = (case.clusters >= 0) & (case.folds != fold)
            x, labels = case.columns(t), case.clusters[training]
            one = joint_sparse_group_lasso(x[training], y[training, t], labels, kappa=kappa)
            for c in range(3):
                test = (case.clusters == c) & (case.folds == fold)
                left = y[test, t] - x[test] @ one.coef[c] - one.intercept[c]
                expected[k] += (left**2).sum() / y[case.clusters == c, t].var()
    np.testing.assert_allclose(found[t], expected, rtol=1e-6)


@pytest.mark.parametrize("noisy", [False, True])
def test_bits_do_not_depend_on_threads_or_the_batch(case: Case, noisy: bool) -> None:
    """One thread as two, all targets as one, dense as sparse."""
    variance = variance_of(case) if noisy else None
    y, indptr, columns = case.batch
    options: dict[str, Any] = {"kappa": KAPPA, "noise_variance": variance}
    full = case.design().fit_joint(y, indptr, columns, **options, threads=1)
    assert_same_bits(full, case.design().fit_joint(y, indptr, columns, **options, threads=2))
    sparse = case.design(scipy.sparse.csr_matrix(case.expression))
    assert_same_bits(full, sparse.fit_joint(y, indptr, columns, **options))
    grid = [1.0, 0.3, 0.1]
    errors = case.design().joint_validation_errors(y, indptr, columns, grid, threads=1)
    other = case.design().joint_validation_errors(y, indptr, columns, grid, threads=2)
    np.testing.assert_array_equal(errors, other)
    for t in (1, 4):
        one = case.only(t)
        fit = one.design().fit_joint(*one.batch, **options)
        np.testing.assert_array_equal(fit.coef, full.coef[indptr[t] : indptr[t + 1]])
        np.testing.assert_array_equal(fit.held_out_r2[0], full.held_out_r2[t])
        np.testing.assert_array_equal(one.design().joint_validation_errors(*one.batch, grid)[0], errors[t])


def test_no_noise_reproduces_the_uncorrected_fit_exactly(case: Case) -> None:
    """A variance of zero changes no bit."""
    y, indptr, columns = case.batch
    zero = np.zeros(case.expression.shape, dtype=np.float32)
    plain = case.design().fit_joint(y, indptr, columns, kappa=KAPPA)
    assert_same_bits(plain, case.design().fit_joint(y, indptr, columns, kappa=KAPPA, noise_variance=zero))
    noisy = case.design().fit_joint(y, indptr, columns, kappa=KAPPA, noise_variance=variance_of(case))
    assert np.abs(noisy.coef - plain.coef).max() > 0.01 * np.abs(plain.coef).max()


def test_masked_columns_are_zero_and_count_in_the_penalty(case: Case) -> None:
    """A column that does not count in a type is a constant there."""
    y, indptr, columns = case.batch
    mask = np.random.default_rng(1).random((len(columns), 3)) < 0.7
    fit = case.design().fit_joint(y, indptr, columns, kappa=KAPPA, column_mask=mask)
    assert not fit.coef[~mask].any()
    x = case.columns(0).copy()
    inside = case.clusters >= 0
    for c in range(3):
        x[np.ix_(case.clusters == c, ~mask[: indptr[1], c])] = 0.0
    one = joint_sparse_group_lasso(x[inside], y[inside, 0], case.clusters[inside], kappa=KAPPA)
    np.testing.assert_allclose(fit.coef[: indptr[1]].T, one.coef, atol=1e-6 * np.abs(one.coef).max())


def test_small_types_empty_types_and_whole_folds() -> None:
    """Types below ten cells have an intercept, empty ones zero; a whole type as a fold predicts nothing."""
    case = make(sizes=(60, 9, 30))
    case.folds = np.where(case.clusters == 2, 0, np.arange(len(case.y)) % 3)
    case.clusters = np.where(case.clusters == 2, 3, case.clusters)  # type 2 is empty now
    y, indptr, columns = case.batch
    fit = case.design().fit_joint(y, indptr, columns, kappa=KAPPA)
    assert not fit.coef[:, [1, 2]].any() and fit.coef[:, 0].any() and fit.coef[:, 3].any()
    assert fit.intercept[0, 1] == pytest.approx(y[case.clusters == 1, 0].mean())
    assert (fit.intercept[:, 2] == 0).all()
    assert np.isfinite(fit.held_out_r2[:, :2]).all() and np.isnan(fit.held_out_r2[:, 2:]).all()
    errors = case.design().joint_validation_errors(y, indptr, columns, [0.5, 0.1])
    assert np.isfinite(errors).all() and (errors > 0).all()


def test_a_signal_that_hardly_reaches_the_training_cells_is_harmless(case: Case) -> None:
    """A column that is next to nothing but for one fold must not get a coefficient without limit."""
    assert case.folds is not None
    reached = case.folds == 2
    case.received[:, 0] = np.where(reached, case.received[:, 0], 1e-4 * case.received[:, 0])
    y, indptr, columns = case.batch
    fit = case.design().fit_joint(y, indptr, columns, kappa=KAPPA)
    assert fit.held_out_r2[:, :2].min() > -1
    errors = case.design().joint_validation_errors(y, indptr, columns, [1.0, KAPPA])
    assert (errors.max(axis=1) < 10 * errors.min(axis=1)).all()


def test_targets_without_columns_get_intercepts(case: Case) -> None:
    """An empty list of columns is a model of means."""
    empty = replace(case, tables=[np.zeros((0, 3), dtype=np.int64)] * 2, y=case.y[:, :2])
    fit = empty.design().fit_joint(*empty.batch, kappa=KAPPA)
    assert fit.coef.shape == (0, 3)
    assert fit.intercept[1, 0] == pytest.approx(case.y[case.clusters == 0, 1].mean())
    np.testing.assert_allclose(fit.held_out_r2, 0, atol=1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kappa": -1.0}, "kappa"),
        ({"l1_share": 2.0}, "l1_share"),
        ({"tol": np.inf}, "tol"),
        ({"noise_variance": np.zeros((3, 2), dtype=np.float32)}, "noise_variance has shape"),
        ({"noise_variance": "nan"}, "noise_variance"),
        ({"noise_variance": "negative"}, "noise_variance"),
        ({"column_mask": np.ones((2, 2), dtype=bool)}, "column_mask"),
    ],
)
def test_bad_input_is_named(case: Case, change: dict[str, Any], message: str) -> None:
    """Every argument that cannot be used is named."""
    y, indptr, columns = case.batch
    values = {"nan": np.nan, "negative": -1.0}
    for name, value in change.items():
        if isinstance(value, str):
            change = {name: np.full(case.expression.shape, values[value], dtype=np.float32)}
    with pytest.raises(InputError, match=message):
        case.design().fit_joint(y, indptr, columns, **({"kappa": KAPPA} | change))


def test_validation_needs_folds_and_positive_multipliers(case: Case) -> None:
    """Without folds there is nothing to validate on."""
    y, indptr, columns = case.batch
    with pytest.raises(InputError, match="kappas"):
        case.design().joint_validation_errors(y, indptr, columns, [0.1, 0.0])
    with pytest.raises(InputError, match="no folds"):
        replace(case, folds=None).design().joint_validation_errors(y, indptr, columns, [0.1])
