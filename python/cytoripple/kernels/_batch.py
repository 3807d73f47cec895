"""Arrays of designs and batches as the native code reads them, and the checks at their entrance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cytoripple._errors import InputError
from cytoripple._progress import Progress
from cytoripple.kernels import _check
from cytoripple.kernels.lasso import not_negative


@dataclass(frozen=True)
class BatchFit:
    """Fits of T targets with P columns altogether in K clusters.

    Attributes
    ----------
    coef
        Coefficients of the raw columns, (P, K).
    intercept
        Intercepts for the raw columns, (T, K), as all that follow.
    r2
        Share of the variance explained in the cells of the fit; 0 where the target is constant.
    held_out_r2
        Share of the variance explained in held-out cells, around the mean of the training cells; NaN where
        no cell was held out.
    mse
        Mean squared residual.
    objective
        Objective, on the scale that is penalized.
    gap
        Duality gap on the same scale: the objective is at most this far above its minimum.
    n_iter
        Sweeps or iterations.
    converged
        False where the iterations were used up.
    lambda_max
        Smallest `group_reg` (or `kappa`) at which the model is empty.
    entry
        Largest multiplier of the path of a joint fit at which a column has a coefficient, (P,), 0 where it
        has none; None for other fits.
    """

    coef: NDArray[np.float64]
    intercept: NDArray[np.float64]
    r2: NDArray[np.float64]
    held_out_r2: NDArray[np.float64]
    mse: NDArray[np.float64]
    objective: NDArray[np.float64]
    gap: NDArray[np.float64]
    n_iter: NDArray[np.int64]
    converged: NDArray[np.bool_]
    lambda_max: NDArray[np.float64]
    entry: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class DesignArrays:
    """Arrays of a design as the native code reads them."""

    dense: NDArray[np.float64] | None
    sparse: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]] | None
    n_genes: int
    received: NDArray[np.float64]
    received_tfl: NDArray[np.float64]
    receptor_mask: NDArray[np.float64] | None
    min_expression: float
    clusters: NDArray[np.int64]
    n_clusters: int
    folds: NDArray[np.int64] | None
    n_folds: int


@dataclass(frozen=True)
class BatchArrays:
    """Arrays of a batch of targets as the native code reads them."""

    y: NDArray[np.float64]
    indptr: NDArray[np.int64]
    columns: NDArray[np.int64]
    column_mask: NDArray[np.bool_] | None


def batch_arrays(
    n_cells: int,
    n_clusters: int,
    y: ArrayLike,
    indptr: ArrayLike,
    columns: ArrayLike,
    column_mask: ArrayLike | None,
) -> BatchArrays:
    """Check the arrays of a batch against each other and the design."""
    target = _check.real("y", y, ndim=2)
    if target.shape[0] != n_cells:
        raise InputError(f"y has {target.shape[0]} rows but the design has {n_cells} cells")
    table = np.asarray(columns)
    if table.ndim != 2 or table.shape[1] != 3 or table.dtype.kind not in "iu":
        raise InputError(
            f"columns has shape {table.shape} and dtype {table.dtype}: expected whole numbers, "
            "one row (kind, first, second) per column"
        )
    mask = None
    if column_mask is not None:
        mask = np.ascontiguousarray(column_mask)
        if mask.dtype != np.bool_ or mask.shape != (table.shape[0], n_clusters):
            raise InputError(
                f"column_mask has shape {mask.shape} and dtype {mask.dtype}: expected bool of shape "
                f"{(table.shape[0], n_clusters)}, columns x clusters"
            )
    starts = _check.integers("indptr", indptr, length=target.shape[1] + 1)
    return BatchArrays(target, starts, np.ascontiguousarray(table, dtype=np.int64), mask)


def expression_arrays(
    expression: Any,
) -> tuple[
    NDArray[np.float64] | None,
    tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]] | None,
    tuple[int, int],
]:
    """Dense array, or row starts, genes and values of a sparse matrix, and the shape."""
    if not hasattr(expression, "tocsr"):
        dense = _check.real("expression", expression, ndim=2)
        return dense, None, (dense.shape[0], dense.shape[1])
    matrix = expression.tocsr()
    if not matrix.has_canonical_format:
        matrix = matrix.copy()
        matrix.sum_duplicates()
    data = _check.real("expression", matrix.data, ndim=1)
    starts = np.ascontiguousarray(matrix.indptr, dtype=np.int64)
    genes = np.ascontiguousarray(matrix.indices, dtype=np.int64)
    return None, (starts, genes, data), (int(matrix.shape[0]), int(matrix.shape[1]))


def labels(name: str, values: ArrayLike, n_cells: int, count: int) -> NDArray[np.int64]:
    labels = _check.integers(name, values, length=n_cells)
    if labels.size and (labels.min() < -1 or labels.max() >= count):
        raise InputError(
            f"{name} holds values from {labels.min()} to {labels.max()}: expected -1 to {int(count) - 1}, "
            f"or a larger n_{name}"
        )
    return labels


def penalty_of(
    group_reg: float | None, l1_reg: float | None, kappa: float | None, l1_share: float
) -> tuple[tuple[float, float], bool]:
    """Return the two numbers of the penalty and whether columns are standardized."""
    if kappa is not None:
        if group_reg is not None or l1_reg is not None:
            raise InputError("kappa replaces group_reg and l1_reg: leave those out, or leave kappa out")
        return (_check.positive("kappa", kappa), share_of("l1_share", l1_share)), True
    if group_reg is None or l1_reg is None:
        raise InputError("no penalty given: give group_reg and l1_reg, or kappa")
    return (not_negative("group_reg", group_reg), not_negative("l1_reg", l1_reg)), False


def share_of(name: str, value: float) -> float:
    share = not_negative(name, value)
    if share > 1:
        raise InputError(f"{name} is {value}: give a number from 0 to 1")
    return share


def not_nan(name: str, value: float) -> float:
    number = float(value)
    if np.isnan(number):
        raise InputError(f"{name} is NaN: give a number, or -inf to keep every value")
    return number


def callback(progress: Progress | None, what: str) -> Callable[[int, int], None] | None:
    if progress is None:
        return None
    return lambda done, total: progress.update(done, total, what)
