"""Sparse group lasso on plain arrays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cytoripple import _core
from cytoripple._errors import InputError, did_you_mean
from cytoripple.kernels import _check

T = TypeVar("T")
Solver = Literal["descent", "fista", "reference"]
ScaleReg = Literal["group_size", "inverse_group_size", "none"]

SOLVERS: tuple[Solver, ...] = ("descent", "fista", "reference")
SCALES: tuple[ScaleReg, ...] = ("group_size", "inverse_group_size", "none")


@dataclass(frozen=True)
class SparseGroupLasso:
    """Solution of a sparse group lasso with its certificate.

    Attributes
    ----------
    coef
        Coefficient per column of `X`, shape (columns,).
    intercept
        Intercept for the columns as given (not centered); 0 without intercept.
    objective
        Value of the objective at the solution.
    gap
        Duality gap: the objective is at most this far above its minimum.
    n_iter
        Sweeps (``"descent"``) or iterations.
    converged
        False when the iterations were used up.
    stop_rule
        ``"relative_gap"``: gap at most `tol` times the objective. ``"null_gap"``: gap at most `tol` / 1000
        times the objective of the empty model. ``"stationary"``: a whole sweep changed nothing beyond
        rounding. ``"iterate_change"``: relative change of the iterate below `tol` (reference only).
        ``"max_iter"``: the iterations were used up.
    kkt_residual
        Largest absolute violation of the optimality conditions.
    lambda_max
        For each group label in ascending order, the smallest `group_reg` at which the group is zero when
        all other coefficients are.
    """

    coef: NDArray[np.float64]
    intercept: float
    objective: float
    gap: float
    n_iter: int
    converged: bool
    stop_rule: str
    kkt_residual: float
    lambda_max: NDArray[np.float64]


def sparse_group_lasso(
    X: ArrayLike,
    y: ArrayLike,
    groups: ArrayLike,
    *,
    group_reg: float | ArrayLike,
    l1_reg: float,
    scale_reg: ScaleReg = "group_size",
    fit_intercept: bool = True,
    tol: float = 1e-6,
    solver: Solver = "descent",
    max_iter: int | None = None,
    warm_start: ArrayLike | None = None,
    threads: int = 0,
) -> SparseGroupLasso:
    """Minimize a least-squares loss with an L1 and a group penalty.

    The objective is ``||y - b - X w||^2 / (2 n) + sum_g weight_g ||w_g||_2 + l1_reg ||w||_1`` with a free
    intercept ``b``. Columns that are constant get the coefficient 0. Columns without any penalty are
    regressed out first.

    Parameters
    ----------
    X
        Cells x columns, any real dtype; used as float64.
    y
        Target per cell.
    groups
        Group label per column, whole numbers. Columns with a negative label have no group penalty.
    group_reg
        One number, scaled as `scale_reg` says, or one weight per label >= 0 in ascending order, used as
        it is.
    l1_reg
        Weight of the absolute values, for every column.
    scale_reg
        A group of p columns is weighted by ``group_reg * sqrt(p)`` (``"group_size"``),
        ``group_reg / sqrt(p)`` (``"inverse_group_size"``) or ``group_reg`` (``"none"``).
    fit_intercept
        Without intercept nothing is centered.
    tol
        Duality gap allowed relative to the objective. ``"descent"`` then goes on to rounding level with
        Newton steps where the solution is unique. For ``"reference"`` the relative change of the iterate.
    solver
        ``"descent"``: coordinate descent with exact steps; ``"fista"``: accelerated proximal gradient with
        adaptive restart; ``"reference"``: the published scheme, iteration for iteration, with its restart
        test and stopping rule, usually ending before the optimum.
    max_iter
        Largest number of sweeps or iterations. ``None``: 10,000 sweeps, 50,000 FISTA iterations, 100
        reference iterations.
    warm_start
        Coefficients to start from, shape (columns,).
    threads
        Worker threads, 0 for all cores. The result does not depend on it.

    Returns
    -------
    SparseGroupLasso
        Coefficients and certificate.

    Raises
    ------
    InputError
        Shapes disagree, a value is NaN or infinite, a penalty is negative, a vector of penalties does not
        have one entry per group, or a name is unknown.

    References
    ----------
    Simon, Friedman, Hastie, Tibshirani (2013), A sparse-group lasso. Ndiaye, Fercoq, Gramfort, Salmon
    (2016), Gap safe screening rules for sparse-group lasso.

    Examples
    --------
    >>> import numpy as np
    >>> from cytoripple.kernels import sparse_group_lasso
    >>> X = np.random.default_rng(0).normal(size=(50, 4))
    >>> fit = sparse_group_lasso(X, X[:, 0] * 2, [0, 0, 1, 1], group_reg=0.01, l1_reg=0.01)
    >>> fit.coef.round(1)
    array([2., 0., 0., 0.])
    """
    x = _check.real("X", X, ndim=2)
    target = _check.real("y", y, ndim=1)
    if target.shape[0] != x.shape[0]:
        raise InputError(f"y has {target.shape[0]} entries but X has {x.shape[0]} rows: give one per cell")
    labels = _check.integers("groups", groups, length=x.shape[1])
    n_groups = np.unique(labels[labels >= 0]).shape[0]
    weights, scale = group_weights(group_reg, scale_reg, n_groups)
    start = None if warm_start is None else _check.real("warm_start", warm_start, ndim=1)
    if start is not None and start.shape[0] != x.shape[1]:
        raise InputError(f"warm_start has {start.shape[0]} entries but X has {x.shape[1]} columns")
    found = raising(
        lambda: _core.sparse_group_lasso(
            x,
            target,
            labels,
            weights,
            scale,
            not_negative("l1_reg", l1_reg),
            bool(fit_intercept),
            _check.positive("tol", tol, what="a positive number, e.g. 1e-6"),
            one_of("solver", solver, SOLVERS),
            iterations(max_iter),
            start,
            threads=thread_count(threads),
        )
    )
    return SparseGroupLasso(*found)


def group_weights(
    group_reg: float | ArrayLike, scale_reg: str, n_groups: int
) -> tuple[NDArray[np.float64], str]:
    """Return the penalties as a vector, with the name of their scaling (``"given"`` for a vector)."""
    scale = one_of("scale_reg", scale_reg, SCALES)
    if np.ndim(group_reg) == 0:
        return np.array([not_negative("group_reg", group_reg)]), scale
    weights = _check.real("group_reg", group_reg, ndim=1)
    if weights.shape[0] != n_groups:
        raise InputError(
            f"group_reg has {weights.shape[0]} values but groups has {n_groups} labels >= 0: "
            "give one number, or one value per label in ascending order"
        )
    if (weights < 0).any():
        raise InputError(f"group_reg has the negative value {weights.min()}: give numbers that are 0 or more")
    return weights, "given"


def not_negative(name: str, value: object) -> float:
    """Return `value` as a float when it is finite and at least 0."""
    try:
        number = float(value)  # type: ignore[arg-type]  # what is no number raises and is reported
    except (TypeError, ValueError):
        raise InputError(f"{name} is {value!r}: give a number that is 0 or more") from None
    if not (np.isfinite(number) and number >= 0):
        raise InputError(f"{name} is {value}: give a finite number that is 0 or more")
    return number


def one_of(name: str, value: str, known: tuple[str, ...]) -> str:
    """Return `value` when it is one of the `known` names, else raise with the nearest one."""
    if value not in known:
        raise InputError(
            f"{name} is {value!r}: expected one of {', '.join(map(repr, known))}"
            + did_you_mean(str(value), known)
        )
    return value


def iterations(max_iter: int | None) -> int | None:
    """Check a number of iterations; ``None`` leaves the choice to the solver."""
    if max_iter is None:
        return None
    if isinstance(max_iter, bool) or int(max_iter) != max_iter or max_iter < 1:
        raise InputError(f"max_iter is {max_iter}: give a whole number, 1 or more")
    return int(max_iter)


def thread_count(threads: int) -> int:
    """Check a number of threads; 0 means all cores."""
    if isinstance(threads, bool) or int(threads) != threads or threads < 0:
        raise InputError(f"threads is {threads}: give a whole number, 0 for all cores")
    return int(threads)


def raising(call: Callable[[], T]) -> T:
    """Run a native call, turning its ``ValueError`` into an `InputError`."""
    try:
        return call()
    except InputError:
        raise
    except ValueError as error:
        raise InputError(str(error)) from None
