"""Sparse group lasso across cell types on plain arrays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cytoripple import _core
from cytoripple._errors import InputError
from cytoripple.kernels import _check
from cytoripple.kernels._batch import share_of
from cytoripple.kernels.lasso import iterations, raising, thread_count


@dataclass(frozen=True)
class ColumnNoise:
    """Counting noise of the columns of a design.

    Attributes
    ----------
    sd
        Standard deviation of the noise of every entry, cells x columns, in the units of the column.
    source
        The gene whose noise each column carries, whole numbers, shape (columns,). Columns with the same
        number share their noise, a negative number marks a column without noise.
    """

    sd: ArrayLike
    source: ArrayLike


@dataclass(frozen=True)
class JointSparseGroupLasso:
    """Solution of a joint sparse group lasso; ``coef, intercept, gap = fit`` unpacks the first three.

    Attributes
    ----------
    coef
        Coefficient of every raw column in every type, (types, columns), types by ascending label.
    intercept
        Intercept for the raw columns, (types,).
    gap
        Duality gap: the objective is at most this far above its minimum.
    objective
        Value of the objective at the solution, for columns and targets of unit variance in each type. With
        noise taken out of the Gram matrices it may be below 0.
    n_iter
        Sweeps over the columns.
    converged
        False when the sweeps were used up.
    lambda_max
        Smallest `kappa` at which the model is empty.
    types
        Label of each row of `coef`.
    """

    coef: NDArray[np.float64]
    intercept: NDArray[np.float64]
    gap: float
    objective: float
    n_iter: int
    converged: bool
    lambda_max: float
    types: NDArray[np.int64]

    def __iter__(self) -> Iterator[Any]:
        """Coefficients, intercepts, gap."""
        return iter((self.coef, self.intercept, self.gap))


def joint_sparse_group_lasso(
    X: ArrayLike,
    y: ArrayLike,
    types: ArrayLike,
    *,
    kappa: float,
    l1_share: float = 0.1,
    noise: ColumnNoise | None = None,
    tol: float = 1e-8,
    max_iter: int | None = None,
    threads: int = 0,
) -> JointSparseGroupLasso:
    """Fit one target in all cell types together, one column being one group across the types.

    Inside each type `c`, with ``n_c`` of the ``n`` cells, columns and target are centered and divided by
    their standard deviations. With ``G_c = Z'Z / n_c``, ``q_c = Z'y / n_c`` and ``v_jc = sqrt(n_c / n)
    w_jc``, the objective is ``sum_c n_c / n (w_c' G_c w_c / 2 - q_c' w_c + 1 / 2) + lam sum_j ((1 - a)
    sqrt(K) |v_j|_2 + a |v_j|_1)`` with ``lam = kappa sqrt(2 log(max(p, 2)) / n)``, ``a = l1_share`` and `K`
    types. A type with few cells can join a group, but hardly open one.

    Parameters
    ----------
    X
        Cells x columns, any real dtype; used as float64.
    y
        Target per cell.
    types
        Type of each cell, whole numbers. Types with fewer than 10 cells get an intercept only and do not
        count in the objective.
    kappa
        Multiplier of the noise level, above 0.
    l1_share
        Share of the L1 penalty, 0 to 1; with 1 the types are fitted on their own.
    noise
        Counting noise of the columns. Its covariance is subtracted from ``Z'Z``: ``sum_i e_ij e_ik`` for
        columns of the same gene, with `e` scaled to at most 60 % of the variance of a column, and
        eigenvalues of ``G_c`` below 0.05 are raised to it. Types without any noise are left as they are.
        Of more than 400 columns only those in the uncorrected model, or whose gradient there is at least
        half of what brings a column in, are kept and corrected: at most 200, the nearest ones.
    tol
        Duality gap allowed relative to the objective. The fit then goes on to rounding level with Newton
        steps where the solution is unique.
    max_iter
        Largest number of sweeps; ``None`` for 10,000.
    threads
        Worker threads, 0 for all cores. The result does not depend on it.

    Returns
    -------
    JointSparseGroupLasso
        Coefficients for the raw columns, with the certificate. Columns that are constant in a type have the
        coefficient 0 there.

    Raises
    ------
    InputError
        Shapes disagree, a value is NaN or infinite, a standard deviation is negative, or a setting is
        outside its range.

    References
    ----------
    Simon, Friedman, Hastie, Tibshirani (2013), A sparse-group lasso. Loh and Wainwright (2012),
    High-dimensional regression with noisy and missing data.

    Examples
    --------
    >>> import numpy as np
    >>> from cytoripple.kernels import joint_sparse_group_lasso
    >>> X = np.random.default_rng(0).normal(size=(60, 3))
    >>> types = np.repeat([0, 1], 30)
    >>> fit = joint_sparse_group_lasso(X, X[:, 0] * np.where(types, 2, 1), types, kappa=1e-3)
    >>> np.abs(fit.coef.round(1))
    array([[1., 0., 0.],
           [2., 0., 0.]])
    """
    x = _check.real("X", X, ndim=2)
    target = _check.real("y", y, ndim=1)
    if target.shape[0] != x.shape[0]:
        raise InputError(f"y has {target.shape[0]} entries but X has {x.shape[0]} rows: give one per cell")
    labels = _check.integers("types", types, length=x.shape[0])
    present, codes = np.unique(labels, return_inverse=True)
    found = raising(
        lambda: _core.joint_sparse_group_lasso(
            x,
            target,
            codes.astype(np.int64),
            len(present),
            _check.positive("kappa", kappa),
            share_of("l1_share", l1_share),
            None if noise is None else _noise(noise, x.shape),
            _check.positive("tol", tol, what="a positive number, e.g. 1e-8"),
            iterations(max_iter),
            threads=thread_count(threads),
        )
    )
    return JointSparseGroupLasso(*found, present)


def _noise(noise: ColumnNoise, shape: tuple[int, ...]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    sd = _check.real("noise.sd", noise.sd, ndim=2)
    if sd.shape != shape:
        raise InputError(f"noise.sd has shape {sd.shape} but X has {shape}: give one value per entry of X")
    if sd.size and sd.min() < 0:
        raise InputError(f"noise.sd has the negative value {sd.min()}: give standard deviations")
    return sd, _check.integers("noise.source", noise.source, length=shape[1])
