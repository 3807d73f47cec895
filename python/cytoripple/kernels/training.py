"""Fits of many targets in all clusters, sharing what their designs have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cytoripple import _core
from cytoripple._errors import InputError
from cytoripple._progress import Progress
from cytoripple.kernels import _check
from cytoripple.kernels.lasso import (
    SCALES,
    SOLVERS,
    ScaleReg,
    Solver,
    iterations,
    not_negative,
    one_of,
    raising,
    thread_count,
)


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


@dataclass(frozen=True)
class _Design:
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
class _Batch:
    """Arrays of a batch of targets as the native code reads them."""

    y: NDArray[np.float64]
    indptr: NDArray[np.int64]
    columns: NDArray[np.int64]
    column_mask: NDArray[np.bool_] | None


class SpatialDesign:
    """What the design matrices of all targets are made of.

    A regulator column is raw expression, a ligand-receptor column is received ligand times the receptor
    where it is expressed, a ligand-regulator column is received ligand times raw expression.

    The fit of a target does not depend on the other targets of its batch, nor on the number of threads,
    bit for bit. Memory of a call: 8 bytes x cells of the largest cluster x (distinct genes and ligands of
    the batch), and at most 512 MB of products that targets share.

    Parameters
    ----------
    expression
        Cells x genes, dense or a SciPy CSR matrix: the genes that columns use.
    received
        Cells x ligands, received signal of every ligand that columns use.
    clusters
        Cluster of each cell, 0 to ``n_clusters - 1``; -1 leaves the cell out.
    n_clusters
        Number of clusters.
    received_tfl
        Received signal for ligand-regulator columns, by default `received`.
    receptor_mask
        Factor on receptors, cells x genes.
    min_expression
        A receptor counts where its expression is above this.
    folds
        Fold of each cell, 0 to ``n_folds - 1``; -1 for cells that are never held out.
    n_folds
        Number of folds.

    Raises
    ------
    InputError
        Shapes disagree, a value is NaN or infinite, or a label is outside its range.
    """

    def __init__(
        self,
        expression: Any,
        received: ArrayLike,
        *,
        clusters: ArrayLike,
        n_clusters: int,
        received_tfl: ArrayLike | None = None,
        receptor_mask: ArrayLike | None = None,
        min_expression: float = 1e-9,
        folds: ArrayLike | None = None,
        n_folds: int = 0,
    ) -> None:
        dense, sparse, shape = _expression(expression)
        signals = _check.real("received", received, ndim=2)
        tfl = signals if received_tfl is None else _check.real("received_tfl", received_tfl, ndim=2)
        mask = None if receptor_mask is None else _check.real("receptor_mask", receptor_mask, ndim=2)
        for name, rows in (("received", signals.shape[0]), ("received_tfl", tfl.shape[0])):
            if rows != shape[0]:
                raise InputError(f"{name} has {rows} rows but expression has {shape[0]}: give one per cell")
        self.n_cells, self.n_genes = shape
        self._design = _Design(
            dense,
            sparse,
            shape[1],
            signals,
            tfl,
            mask,
            _not_nan("min_expression", min_expression),
            _labels("clusters", clusters, shape[0], n_clusters),
            int(n_clusters),
            None if folds is None else _labels("folds", folds, shape[0], n_folds),
            int(n_folds),
        )
        raising(lambda: _core.check_design(self._design))

    def fit(
        self,
        y: ArrayLike,
        indptr: ArrayLike,
        columns: ArrayLike,
        *,
        group_reg: float | None = None,
        l1_reg: float | None = None,
        kappa: float | None = None,
        l1_share: float = 0.5,
        scale_reg: ScaleReg = "group_size",
        solver: Solver = "descent",
        tol: float = 1e-6,
        max_iter: int | None = None,
        column_mask: ArrayLike | None = None,
        threads: int = 0,
        progress: Progress | None = None,
    ) -> BatchFit:
        """Fit every target in every cluster.

        Clusters with fewer than two cells, and targets that are constant in a cluster, get an intercept
        only. Columns that are constant in a cluster get the coefficient 0 there.

        Parameters
        ----------
        y
            Cells x targets.
        indptr
            Where the columns of each target start, one entry more than there are targets.
        columns
            ``(kind, first, second)`` per column: ``(0, gene, -1)`` regulator, ``(1, ligand, receptor
            gene)``, ``(2, ligand, regulator gene)``, ``(3, gene, -1)`` extra modulator. The kind is also the
            group.
        group_reg, l1_reg
            Penalties on the coefficients of the raw columns, see `sparse_group_lasso`.
        kappa
            Instead of them: columns and target are scaled to unit variance in the cluster and penalized by
            ``lam = kappa * sqrt(2 log(max(p, 2)) / n)``, namely ``l1_share * lam`` on the absolute values
            and ``(1 - l1_share) * lam * sqrt(p_g)`` on the norm of a group of ``p_g`` columns. Coefficients
            are reported for the raw columns.
        l1_share
            Share of the L1 penalty, 0 to 1; used with `kappa`.
        scale_reg, solver, tol, max_iter
            As in `sparse_group_lasso`.
        column_mask
            Columns x clusters, False where a column counts as zero.
        threads
            Worker threads, 0 for all cores.
        progress
            Observer of the stage ``"fit"``; one step is one target in one cluster.

        Returns
        -------
        BatchFit
            Coefficients, scores and certificates. With folds, every fit is repeated without each fold, on
            the training cells alone and with the same penalty, and the fold is predicted.

        Raises
        ------
        InputError
            Shapes disagree, a value is NaN or infinite, an index or a setting is outside its range.
        """
        penalty, standardize = _penalty(group_reg, l1_reg, kappa, l1_share)
        batch = self._batch(y, indptr, columns, column_mask)
        found = raising(
            lambda: _core.fit_batch(
                self._design,
                batch,
                penalty,
                one_of("scale_reg", scale_reg, SCALES),
                standardize,
                _check.positive("tol", tol, what="a positive number, e.g. 1e-6"),
                one_of("solver", solver, SOLVERS),
                iterations(max_iter),
                threads=thread_count(threads),
                progress=_callback(progress, "fit"),
            )
        )
        return BatchFit(**found)

    def validation_errors(
        self,
        y: ArrayLike,
        indptr: ArrayLike,
        columns: ArrayLike,
        kappas: ArrayLike,
        *,
        l1_share: float = 0.5,
        tol: float = 1e-4,
        column_mask: ArrayLike | None = None,
        threads: int = 0,
        progress: Progress | None = None,
    ) -> NDArray[np.float64]:
        """Squared errors of held-out cells along a path of penalties.

        Each fold is left out in turn; the others are fitted from the largest to the smallest `kappa`, every
        fit starting at the one before.

        Parameters
        ----------
        y, indptr, columns, l1_share, column_mask, threads
            As in `fit`.
        kappas
            Multipliers, in any order.
        tol
            Duality gap allowed relative to the objective.
        progress
            Observer of the stage ``"validation"``.

        Returns
        -------
        Targets x multipliers: squared errors in units of the variance of the target in its cluster, summed
        over held-out cells and clusters. Clusters in which the target is constant add nothing.

        Raises
        ------
        InputError
            The design has no folds, or as in `fit`.
        """
        if self._design.folds is None:
            raise InputError("the design has no folds: give folds= and n_folds= to SpatialDesign")
        grid = _check.real("kappas", kappas, ndim=1)
        if not (grid > 0).all():
            raise InputError(f"kappas has the value {grid.min()}: give positive numbers")
        batch = self._batch(y, indptr, columns, column_mask)
        return raising(
            lambda: _core.validation_errors(
                self._design,
                batch,
                grid,
                _share(l1_share),
                _check.positive("tol", tol, what="a positive number, e.g. 1e-4"),
                threads=thread_count(threads),
                progress=_callback(progress, "validation"),
            )
        )

    def _batch(
        self, y: ArrayLike, indptr: ArrayLike, columns: ArrayLike, column_mask: ArrayLike | None
    ) -> _Batch:
        target = _check.real("y", y, ndim=2)
        if target.shape[0] != self.n_cells:
            raise InputError(f"y has {target.shape[0]} rows but the design has {self.n_cells} cells")
        table = np.asarray(columns)
        if table.ndim != 2 or table.shape[1] != 3 or table.dtype.kind not in "iu":
            raise InputError(
                f"columns has shape {table.shape} and dtype {table.dtype}: expected whole numbers, "
                "one row (kind, first, second) per column"
            )
        mask = None
        if column_mask is not None:
            mask = np.ascontiguousarray(column_mask)
            if mask.dtype != np.bool_ or mask.shape != (table.shape[0], self._design.n_clusters):
                raise InputError(
                    f"column_mask has shape {mask.shape} and dtype {mask.dtype}: expected bool of shape "
                    f"{(table.shape[0], self._design.n_clusters)}, columns x clusters"
                )
        starts = _check.integers("indptr", indptr, length=target.shape[1] + 1)
        return _Batch(target, starts, np.ascontiguousarray(table, dtype=np.int64), mask)


def _expression(
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


def _labels(name: str, values: ArrayLike, n_cells: int, count: int) -> NDArray[np.int64]:
    labels = _check.integers(name, values, length=n_cells)
    if labels.size and (labels.min() < -1 or labels.max() >= count):
        raise InputError(
            f"{name} holds values from {labels.min()} to {labels.max()}: expected -1 to {int(count) - 1}, "
            f"or a larger n_{name}"
        )
    return labels


def _penalty(
    group_reg: float | None, l1_reg: float | None, kappa: float | None, l1_share: float
) -> tuple[tuple[float, float], bool]:
    """Return the two numbers of the penalty and whether columns are standardized."""
    if kappa is not None:
        if group_reg is not None or l1_reg is not None:
            raise InputError("kappa replaces group_reg and l1_reg: leave those out, or leave kappa out")
        return (_check.positive("kappa", kappa), _share(l1_share)), True
    if group_reg is None or l1_reg is None:
        raise InputError("no penalty given: give group_reg and l1_reg, or kappa")
    return (not_negative("group_reg", group_reg), not_negative("l1_reg", l1_reg)), False


def _share(value: float) -> float:
    share = not_negative("l1_share", value)
    if share > 1:
        raise InputError(f"l1_share is {value}: give a number from 0 to 1")
    return share


def _not_nan(name: str, value: float) -> float:
    number = float(value)
    if np.isnan(number):
        raise InputError(f"{name} is NaN: give a number, or -inf to keep every value")
    return number


def _callback(progress: Progress | None, what: str) -> Callable[[int, int], None] | None:
    if progress is None:
        return None
    return lambda done, total: progress.update(done, total, what)
