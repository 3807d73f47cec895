"""Fits of many targets in all clusters, sharing what their designs have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cytoripple import _core
from cytoripple._errors import InputError
from cytoripple._progress import Progress
from cytoripple.kernels import _check
from cytoripple.kernels._batch import (
    BatchArrays,
    BatchFit,
    DesignArrays,
    batch_arrays,
    callback,
    expression_arrays,
    labels,
    not_nan,
    penalty_of,
    share_of,
)
from cytoripple.kernels.lasso import (
    SCALES,
    SOLVERS,
    ScaleReg,
    Solver,
    iterations,
    one_of,
    raising,
    thread_count,
)

__all__ = ["BatchFit", "SpatialDesign"]


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
        dense, sparse, shape = expression_arrays(expression)
        signals = _check.real("received", received, ndim=2)
        tfl = signals if received_tfl is None else _check.real("received_tfl", received_tfl, ndim=2)
        mask = None if receptor_mask is None else _check.real("receptor_mask", receptor_mask, ndim=2)
        for name, rows in (("received", signals.shape[0]), ("received_tfl", tfl.shape[0])):
            if rows != shape[0]:
                raise InputError(f"{name} has {rows} rows but expression has {shape[0]}: give one per cell")
        self.n_cells, self.n_genes = shape
        self._design = DesignArrays(
            dense,
            sparse,
            shape[1],
            signals,
            tfl,
            mask,
            not_nan("min_expression", min_expression),
            labels("clusters", clusters, shape[0], n_clusters),
            int(n_clusters),
            None if folds is None else labels("folds", folds, shape[0], n_folds),
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
        penalty, standardize = penalty_of(group_reg, l1_reg, kappa, l1_share)
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
                progress=callback(progress, "fit"),
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
        grid = self._grid(kappas)
        batch = self._batch(y, indptr, columns, column_mask)
        return raising(
            lambda: _core.validation_errors(
                self._design,
                batch,
                grid,
                share_of("l1_share", l1_share),
                _check.positive("tol", tol, what="a positive number, e.g. 1e-4"),
                threads=thread_count(threads),
                progress=callback(progress, "validation"),
            )
        )

    def fit_joint(
        self,
        y: ArrayLike,
        indptr: ArrayLike,
        columns: ArrayLike,
        *,
        kappa: float,
        path: Sequence[float] = (),
        l1_share: float = 0.1,
        dense_share: float = 0.0,
        noise_variance: ArrayLike | None = None,
        tol: float = 1e-8,
        column_mask: ArrayLike | None = None,
        threads: int = 0,
        progress: Progress | None = None,
    ) -> BatchFit:
        """Fit every target in all clusters together, one column being one group across the clusters.

        The objective is that of `joint_sparse_group_lasso`. Clusters with fewer than 10 cells get an
        intercept only and do not count. A column that varies in the training cells of a cluster less than a
        tenth of what it varies over all cells is scaled by that tenth: a signal that reaches hardly a cell
        would otherwise get a coefficient without limit. Memory beside that of the design, per thread: 8
        bytes x columns of a target squared x clusters x (folds + 2), or 8 bytes x columns x cells in
        clusters with fewer cells than columns.

        Parameters
        ----------
        y, indptr, columns, column_mask, threads
            As in `fit`; the kind of a column is not used as a group.
        kappa
            Multiplier of the noise level ``sqrt(2 log(max(p, 2)) / n)``, `n` cells in all clusters.
        path
            Falling multipliers above `kappa`, through which the fit is approached: they give ``entry``.
        l1_share
            Share of the L1 penalty, 0 to 1.
        dense_share
            Share of a ridge in the coefficients, 0 to 1: all columns of the same Gram matrices, penalty 3 on
            columns of unit variance, each cluster for itself. A target whose sparse model is empty keeps it.
        noise_variance
            Variance of the counting noise of `expression`, cells x genes, used as float32 (see
            `counting_noise_variance`). Its covariance is taken out of the Gram matrices of the columns.
            Received signals average many cells and count as free of noise. Of more than 400 columns, at
            most 200 are kept and corrected: those in the uncorrected model or near it.
        tol
            Duality gap allowed relative to the objective; the fit then goes on to rounding level.
        progress
            Observer of the stage ``"fit"``; one step is one target.

        Returns
        -------
        BatchFit
            `objective`, `gap`, `n_iter`, `converged` and `lambda_max` (a `kappa`) are those of the sparse
            problem, repeated for every cluster that takes part. With folds, every fit with a coefficient is
            repeated without each fold, corrected for noise or not as the fit itself, and the fold is
            predicted; an empty one has the score 0.

        Raises
        ------
        InputError
            Shapes disagree, a value is NaN, infinite or a negative variance, an index or a setting is
            outside its range.
        """
        batch = self._batch(y, indptr, columns, column_mask)
        variance = None if noise_variance is None else self._variance(noise_variance)
        found = raising(
            lambda: _core.fit_joint(
                self._design,
                batch,
                _check.positive("kappa", kappa),
                [float(step) for step in path],
                (share_of("l1_share", l1_share), share_of("dense_share", dense_share)),
                variance,
                _check.positive("tol", tol, what="a positive number, e.g. 1e-8"),
                threads=thread_count(threads),
                progress=callback(progress, "fit"),
            )
        )
        return BatchFit(**found)

    def joint_validation_errors(
        self,
        y: ArrayLike,
        indptr: ArrayLike,
        columns: ArrayLike,
        kappas: ArrayLike,
        *,
        l1_share: float = 0.1,
        tol: float = 1e-4,
        column_mask: ArrayLike | None = None,
        threads: int = 0,
        progress: Progress | None = None,
    ) -> NDArray[np.float64]:
        """Squared errors of held-out cells along a path of penalties of joint fits.

        Fits and errors are those of columns as they are: validation on Grams without their noise is
        misleading, because the error of a held-out cell contains the noise of its columns.

        Parameters
        ----------
        y, indptr, columns, l1_share, column_mask, threads
            As in `fit_joint`.
        kappas, tol, progress
            As in `validation_errors`.

        Returns
        -------
        Targets x multipliers: squared errors in units of the variance of the target in its cluster, summed
        over held-out cells and clusters. Clusters in which the target is constant add nothing.

        Raises
        ------
        InputError
            The design has no folds, or as in `fit_joint`.
        """
        grid = self._grid(kappas)
        batch = self._batch(y, indptr, columns, column_mask)
        return raising(
            lambda: _core.joint_validation_errors(
                self._design,
                batch,
                grid,
                share_of("l1_share", l1_share),
                _check.positive("tol", tol, what="a positive number, e.g. 1e-4"),
                threads=thread_count(threads),
                progress=callback(progress, "validation"),
            )
        )

    def _grid(self, kappas: ArrayLike) -> NDArray[np.float64]:
        if self._design.folds is None:
            raise InputError("the design has no folds: give folds= and n_folds= to SpatialDesign")
        grid = _check.real("kappas", kappas, ndim=1)
        if not (grid > 0).all():
            raise InputError(f"kappas has the value {grid.min()}: give positive numbers")
        return grid

    def _variance(self, values: ArrayLike) -> NDArray[np.float32]:
        array = np.ascontiguousarray(values, dtype=np.float32)
        expected = (self.n_cells, self.n_genes)
        if array.shape != expected:
            raise InputError(f"noise_variance has shape {array.shape}: expected {expected}, as expression")
        return array

    def _batch(
        self, y: ArrayLike, indptr: ArrayLike, columns: ArrayLike, column_mask: ArrayLike | None
    ) -> BatchArrays:
        return batch_arrays(self.n_cells, self._design.n_clusters, y, indptr, columns, column_mask)
