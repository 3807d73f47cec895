"""Batched fits: the same answers as one explicit problem per target and cluster."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from numpy.typing import NDArray

from cytoripple._errors import InputError
from cytoripple.kernels.lasso import sparse_group_lasso
from cytoripple.kernels.training import BatchFit, SpatialDesign
from tests.oracles import lasso as oracle

RAW = {"group_reg": 0.02, "l1_reg": 0.01}


@dataclass
class Case:
    """A small tissue with three clusters, some cells left out, and a few targets."""

    expression: NDArray[np.float64]
    received: NDArray[np.float64]
    clusters: NDArray[np.int64]
    y: NDArray[np.float64]
    tables: list[NDArray[np.int64]]
    folds: NDArray[np.int64] | None = None
    options: dict[str, Any] = field(default_factory=dict)

    def design(self, expression: Any = None) -> SpatialDesign:
        n_folds = 0 if self.folds is None else int(self.folds.max()) + 1
        return SpatialDesign(
            self.expression if expression is None else expression,
            self.received,
            clusters=self.clusters,
            n_clusters=int(self.clusters.max()) + 1,
            folds=self.folds,
            n_folds=n_folds,
            **self.options,
        )

    @property
    def batch(self) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
        indptr = np.cumsum([0] + [len(table) for table in self.tables])
        return self.y, indptr, np.concatenate(self.tables)

    def only(self, target: int) -> Case:
        return replace(self, y=self.y[:, [target]], tables=[self.tables[target]])

    def columns(self, target: int) -> NDArray[np.float64]:
        arguments = (
            self.expression,
            self.received,
            self.options.get("received_tfl", self.received),
            self.options.get("receptor_mask", 1.0),
            self.options.get("min_expression", 1e-9),
        )
        made = [oracle.column(*row, *arguments) for row in self.tables[target].tolist()]
        return np.stack(made, axis=1)


def make(seed: int = 3, sizes: tuple[int, ...] = (150, 90, 12), n_targets: int = 5) -> Case:
    """Make a case whose last cluster has fewer cells than columns."""
    rng = np.random.default_rng(seed)
    n, genes, ligands = sum(sizes) + 7, 14, 5
    expression = rng.gamma(1.5, size=(n, genes)) * (rng.random((n, genes)) < 0.7)
    received = 1e-2 * rng.gamma(2.0, size=(n, ligands))
    clusters = rng.permutation(np.repeat([-1, *range(len(sizes))], [7, *sizes]))
    lr = [(1, i % ligands, 3 + i % 5) for i in range(8)]
    tables = []
    for t in range(n_targets):
        tf = [(0, int(g), -1) for g in rng.choice(genes, 5, replace=False)]
        tfl = [(2, int(rng.integers(ligands)), g) for _, g, _ in tf[:3]]
        tables.append(np.array(tf + lr[: 8 - t % 2] + tfl + [(3, t, -1)], dtype=np.int64))
    signal = 0.4 * expression[:, :n_targets] + 12 * received[:, [0]] * expression[:, [3]]
    y = signal + 0.5 * rng.normal(size=(n, n_targets))
    return Case(expression, received, clusters, y, tables)


@pytest.fixture
def case() -> Case:
    return make()


def with_folds(case: Case, n_folds: int = 4) -> Case:
    folds = np.random.default_rng(11).integers(-1, n_folds, size=len(case.y))
    return replace(case, folds=folds)


def assert_same_bits(a: BatchFit, b: BatchFit) -> None:
    for item in fields(BatchFit):
        np.testing.assert_array_equal(getattr(a, item.name), getattr(b, item.name), err_msg=item.name)


@pytest.mark.parametrize("filtered", [False, True])
def test_every_fit_is_the_fit_of_its_explicit_design(case: Case, filtered: bool) -> None:
    """Columns, groups and centering of every target and cluster, with and without receptor filters."""
    if filtered:
        rng = np.random.default_rng(5)
        case.options = {
            "received_tfl": 2 * case.received[:, ::-1],
            "receptor_mask": rng.integers(0, 2, size=case.expression.shape).astype(float),
            "min_expression": 0.8,
        }
    y, indptr, columns = case.batch
    fit = case.design().fit(y, indptr, columns, **RAW)
    for t, table in enumerate(case.tables):
        x = case.columns(t)
        for c in range(3):
            here = case.clusters == c
            alone = sparse_group_lasso(x[here], y[here, t], table[:, 0], **RAW)
            scale = np.abs(alone.coef).max()
            np.testing.assert_allclose(fit.coef[indptr[t] : indptr[t + 1], c], alone.coef, atol=1e-8 * scale)
            assert fit.intercept[t, c] == pytest.approx(alone.intercept, rel=1e-8)
            assert fit.objective[t, c] == pytest.approx(alone.objective, rel=1e-10)
            assert fit.lambda_max[t, c] == pytest.approx(alone.lambda_max.max(), rel=1e-9)
            residual = y[here, t] - x[here] @ alone.coef - alone.intercept
            assert fit.mse[t, c] == pytest.approx(residual @ residual / here.sum(), rel=1e-8)
            assert fit.r2[t, c] == pytest.approx(1 - fit.mse[t, c] / y[here, t].var(), rel=1e-8)
    assert fit.converged.all()
    assert np.isnan(fit.held_out_r2).all()


def test_standardized_penalties_are_those_of_unit_variance_columns(case: Case) -> None:
    """The penalty grows with the noise level and coefficients come back in raw units."""
    y, indptr, columns = case.batch
    kappa, share = 0.3, 0.25
    fit = case.design().fit(y, indptr, columns, kappa=kappa, l1_share=share)
    for t, table in enumerate(case.tables):
        for c in range(3):
            here = case.clusters == c
            x, target = case.columns(t)[here], y[here, t]
            sd = np.where(x.std(0) > 0, x.std(0), 1.0)
            lam = kappa * np.sqrt(2 * np.log(len(table)) / here.sum())
            alone = sparse_group_lasso(
                x / sd, target / target.std(), table[:, 0], group_reg=(1 - share) * lam, l1_reg=share * lam
            )
            expected = alone.coef * target.std() / sd
            found = fit.coef[indptr[t] : indptr[t + 1], c]
            np.testing.assert_allclose(found, expected, atol=1e-8 * np.abs(expected).max())
            assert fit.objective[t, c] == pytest.approx(alone.objective, rel=1e-10)


@pytest.mark.parametrize("penalty", [RAW, {"kappa": 0.2}])
def test_above_lambda_max_the_model_is_empty(case: Case, penalty: dict[str, float]) -> None:
    """`lambda_max` is the edge: a little above nothing is left, a little below something is."""
    case = case.only(0)
    design, batch = case.design(), case.batch
    edge = design.fit(*batch, **penalty).lambda_max[0, 0]
    name = "kappa" if "kappa" in penalty else "group_reg"
    assert not design.fit(*batch, **{**penalty, name: edge * 1.001}).coef[:, 0].any()
    assert design.fit(*batch, **{**penalty, name: edge * 0.98}).coef[:, 0].any()


@pytest.mark.parametrize("solver", ["descent", "fista", "reference"])
def test_sparse_and_dense_expression_give_the_same_bits(case: Case, solver: str) -> None:
    """The storage of the expression changes nothing."""
    case = with_folds(case)
    sparse = scipy.sparse.csr_matrix(case.expression)
    settings = {**RAW, "solver": solver, "max_iter": 200}
    dense_fit = case.design().fit(*case.batch, **settings)
    assert_same_bits(dense_fit, case.design(sparse).fit(*case.batch, **settings))


@pytest.mark.parametrize("penalty", [RAW, {"kappa": 0.2}])
def test_bits_do_not_depend_on_threads_or_on_the_batch(case: Case, penalty: dict[str, float]) -> None:
    """A target fitted alone on one thread equals the same target in a batch on three."""
    case = with_folds(make(sizes=(300, 140, 12)))
    together = case.design().fit(*case.batch, **penalty, threads=3)
    assert_same_bits(together, case.design().fit(*case.batch, **penalty, threads=1))
    y, indptr, columns = case.batch
    errors = case.design().validation_errors(y, indptr, columns, [0.5, 0.1], threads=2)
    for t in range(y.shape[1]):
        alone = case.only(t)
        fit = alone.design().fit(*alone.batch, **penalty, threads=1)
        np.testing.assert_array_equal(fit.coef, together.coef[indptr[t] : indptr[t + 1]])
        for name in ("intercept", "r2", "held_out_r2", "gap", "n_iter"):
            np.testing.assert_array_equal(getattr(fit, name)[0], getattr(together, name)[t])
        np.testing.assert_array_equal(
            alone.design().validation_errors(*alone.batch, [0.5, 0.1])[0], errors[t]
        )


@pytest.mark.parametrize("kappa", [None, 0.15])
def test_held_out_scores_are_those_of_explicit_refits(case: Case, kappa: float | None) -> None:
    """Each fold is predicted by a fit of the other cells; cells of fold -1 are always training cells."""
    case = with_folds(case)
    assert case.folds is not None
    y, indptr, columns = case.batch
    penalty = RAW if kappa is None else {"kappa": kappa}
    fit = case.design().fit(y, indptr, columns, **penalty)
    for t in range(y.shape[1]):
        for c in range(3):
            error = around = 0.0
            for fold in range(4):
                train = (case.clusters == c) & (case.folds != fold)
                test = (case.clusters == c) & (case.folds == fold)
                alone = replace(case.only(t), clusters=np.where(train, 0, -1), folds=None)
                refit = alone.design().fit(*alone.batch, **penalty)
                left = y[test, t] - case.columns(t)[test] @ refit.coef[:, 0] - refit.intercept[0, 0]
                error += left @ left
                around += ((y[test, t] - y[train, t].mean()) ** 2).sum()
            assert fit.held_out_r2[t, c] == pytest.approx(1 - error / around, rel=1e-6, abs=1e-7)


def test_the_path_error_is_the_sum_over_folds_and_clusters(case: Case) -> None:
    """Errors come in the order of the multipliers given and in units of the variance of the target."""
    case = with_folds(case)
    assert case.folds is not None
    y, indptr, columns = case.batch
    kappas = np.array([0.1, 2.0, 0.5])
    errors = case.design().validation_errors(y, indptr, columns, kappas, tol=1e-10)
    expected = np.zeros_like(errors)
    for c in range(3):
        variance = y[case.clusters == c].var(0)
        for fold in range(4):
            train = (case.clusters == c) & (case.folds != fold)
            test = (case.clusters == c) & (case.folds == fold)
            alone = replace(case, clusters=np.where(train, 0, -1), folds=None).design()
            for k, kappa in enumerate(kappas):
                refit = alone.fit(y, indptr, columns, kappa=float(kappa))
                for t in range(y.shape[1]):
                    coef = refit.coef[indptr[t] : indptr[t + 1], 0]
                    left = y[test, t] - case.columns(t)[test] @ coef - refit.intercept[t, 0]
                    expected[t, k] += left @ left / variance[t]
    np.testing.assert_allclose(errors, expected, rtol=1e-5)
    assert errors.argmin(axis=1).tolist() != [1] * y.shape[1], "the signal must beat the empty model"


def test_masked_columns_are_zero_columns(case: Case) -> None:
    """A masked column is 0 in that cluster but still counts for the size of its group."""
    case = case.only(0)
    y, indptr, columns = case.batch
    mask = np.ones((len(columns), 3), dtype=bool)
    mask[[0, 2], 1] = False
    fit = case.design().fit(y, indptr, columns, column_mask=mask, **RAW)
    here = case.clusters == 1
    x = case.columns(0)[here]
    x[:, [0, 2]] = 0.0
    alone = sparse_group_lasso(x, y[here, 0], columns[:, 0], **RAW)
    np.testing.assert_allclose(fit.coef[:, 1], alone.coef, atol=1e-8)
    np.testing.assert_array_equal(fit.coef[[0, 2], 1], 0.0)
    unmasked = case.design().fit(y, indptr, columns, **RAW)
    np.testing.assert_array_equal(fit.coef[:, [0, 2]], unmasked.coef[:, [0, 2]])


def test_tiny_clusters_and_constant_targets_get_an_intercept_only(case: Case) -> None:
    """No cell, one cell, or a target without variation: finite numbers, nothing fitted."""
    clusters = np.full(len(case.y), -1)
    clusters[0], clusters[10:60] = 1, 2
    y = case.y.copy()
    y[10:60, 2] = 1.7
    case = replace(case, clusters=clusters, y=y, folds=np.arange(len(y)) % 3)
    fit = case.design().fit(*case.batch, **RAW)
    indptr = case.batch[1]
    assert not fit.coef[:, :2].any()
    np.testing.assert_array_equal(fit.intercept[:, 0], 0.0)
    np.testing.assert_array_equal(fit.intercept[:, 1], y[0])
    assert not fit.coef[indptr[2] : indptr[3], 2].any()
    assert fit.intercept[2, 2] == pytest.approx(1.7)
    assert fit.r2[2, 2] == 0.0
    assert np.isnan(fit.held_out_r2[:, 0]).all()
    for item in fields(BatchFit):
        if item.name not in ("held_out_r2", "entry"):
            assert np.isfinite(getattr(fit, item.name)).all(), item.name


def test_columns_that_vary_in_one_fold_only_are_left_out_of_the_other_fits(case: Case) -> None:
    """A gene seen in a single cell is constant once that cell is held out."""
    here = np.flatnonzero(case.clusters == 0)
    case.expression[here, 0] = 0.0
    case.expression[here[0], 0] = 5.0
    case = with_folds(case)
    for penalty in (RAW, {"kappa": 0.01}):
        fit = case.design().fit(*case.batch, **penalty)
        assert np.isfinite(fit.held_out_r2[:, 0]).all()
        assert np.isfinite(fit.coef).all()


def test_a_target_without_columns_is_its_mean(case: Case) -> None:
    """Orphans are allowed in a batch."""
    case = replace(case.only(0), tables=[np.zeros((0, 3), dtype=np.int64)])
    fit = case.design().fit(*case.batch, kappa=0.5)
    for c in range(3):
        assert fit.intercept[0, c] == pytest.approx(case.y[case.clusters == c, 0].mean())
    np.testing.assert_array_equal(fit.r2, 0.0)


def test_progress_counts_targets_times_clusters(case: Case) -> None:
    """An observer that raises stops the work and its error arrives."""

    class Stop(Exception):
        pass

    class Observer:
        def update(self, done: int, total: int, what: str) -> None:
            assert (total, what) == (len(case.tables) * 3, "fit")
            raise Stop

        def close(self) -> None:
            pass

    big = make(sizes=(4000, 3000, 2000), n_targets=5)
    case = replace(big, tables=big.tables * 40, y=np.tile(big.y, 40))
    with pytest.raises(Stop):
        case.design().fit(*case.batch, **RAW, threads=1, progress=Observer())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"group_reg": -1.0}, "group_reg is -1"),
        ({"kappa": 1.0}, "kappa replaces"),
        ({"l1_reg": None}, "no penalty given"),
        ({"group_reg": None, "l1_reg": None, "kappa": 0.0}, "kappa is 0"),
        ({"solver": "decsent"}, "nearest: 'descent'"),
        ({"max_iter": 0}, "max_iter is 0"),
        ({"column_mask": np.ones((2, 2), dtype=bool)}, "columns x clusters"),
    ],
)
def test_wrong_settings_are_named(case: Case, change: dict[str, Any], message: str) -> None:
    """One sentence with the argument and what to give."""
    with pytest.raises(InputError, match=message):
        case.design().fit(*case.batch, **{**RAW, **change})


def test_wrong_arrays_are_named(case: Case) -> None:
    """Shapes, labels, indices and values that cannot be used."""
    y, indptr, columns = case.batch
    design = case.design()
    with pytest.raises(InputError, match="y has 3 rows"):
        design.fit(y[:3], indptr, columns, **RAW)
    with pytest.raises(InputError, match="indptr has"):
        design.fit(y, indptr[1:], columns, **RAW)
    with pytest.raises(InputError, match="indptr: numbers"):
        design.fit(y, indptr + 1, columns, **RAW)
    outside = columns.copy()
    outside[0, 1] = 99
    with pytest.raises(InputError, match="index 99"):
        design.fit(y, indptr, outside, **RAW)
    with pytest.raises(InputError, match="no folds"):
        design.validation_errors(y, indptr, columns, [1.0])
    bad = case.received.copy()
    bad[4, 1] = np.nan
    with pytest.raises(InputError, match="received has 1 values"):
        replace(case, received=bad).design()
    with pytest.raises(InputError, match="clusters holds values"):
        SpatialDesign(case.expression, case.received, clusters=case.clusters, n_clusters=2)
    with pytest.raises(InputError, match="rescale"):
        replace(case, expression=case.expression * 1e150).design()
