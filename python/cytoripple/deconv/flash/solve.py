"""The objective and its two solvers on projected counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from cytoripple import _core
from cytoripple._progress import Progress

Floats = NDArray[np.float64]
AUTO_SHARE = 0.005


@dataclass(frozen=True)
class Problem:
    """``|Y - beta X|^2 / 2 + lambda / 2 tr(beta' L beta) + rho sum(beta)`` over ``beta >= 0``."""

    gram: Floats
    h: Floats
    """Spots x types: represented spots times represented reference."""
    norms: Floats
    """Squared length of every represented spot."""
    adjacency: sparse.csr_matrix[np.float64]
    lambda_: float
    rho: float

    def packed(self) -> tuple[Any, ...]:
        """Return the arrays as the kernels take them."""
        return (
            self.gram,
            self.h,
            self.adjacency.indptr.astype(np.int64),
            self.adjacency.indices.astype(np.int32, copy=False),
            self.lambda_,
            self.rho,
        )

    def degree(self) -> Floats:
        """Neighbors per spot."""
        return np.diff(self.adjacency.indptr).astype(np.float64)

    def roughness(self, beta: Floats) -> float:
        """``tr(beta' L beta)``: squared differences over the links of the graph."""
        own = (beta**2).sum(axis=1) @ self.degree()
        return float(own - (beta * (self.adjacency @ beta)).sum())


@dataclass(frozen=True)
class Solution:
    """Abundances and how they were reached."""

    beta: Floats
    converged: bool
    n_iterations: int
    final_change: float
    """Last change relative to the largest abundance (Jacobi); the residual of optimality (sor)."""
    objective: float
    kkt_residual: float
    """``max |min((G_kk + lambda degree) beta, gradient)| / max |H|``, 0 exactly at the optimum."""
    objectives: list[float]


def automatic_lambda(gram: Floats, adjacency: sparse.csr_matrix[np.float64]) -> float:
    """``0.005 mean(diagonal of the Gram matrix) / max(mean degree, 1)``."""
    degree = adjacency.nnz / max(adjacency.shape[0], 1)
    return float(AUTO_SHARE * np.diag(gram).mean() / max(degree, 1.0))


def solve(
    problem: Problem,
    *,
    solver: str = "jacobi",
    max_iter: int = 1000,
    tol: float = 1e-4,
    start: Floats | None = None,
    trace: bool = False,
    threads: int = 0,
    progress: Progress | None = None,
) -> Solution:
    """Minimize from equal abundances (sor: the tissue's mean mixture), or from `start` clipped at 0.

    Parameters
    ----------
    problem
        The objective.
    solver
        ``"jacobi"``: the published iteration, stops at a relative change below `tol`. ``"sor"``: colored
        sweeps with exact spots and over-relaxation, stops at an optimality residual of at most `tol`.
    max_iter
        Iterations or sweeps.
    tol
        See `solver`.
    start
        Spots x types.
    trace
        Record the objective of Jacobi iterations 0, 10, 20, ... and the last.
    threads
        0 takes every core; the bits are the same for any number.
    progress
        Observer of the iterations.
    """
    n_spots, n_types = problem.h.shape
    if start is None and solver == "sor":
        beta = _pooled(problem)
    elif start is None:
        beta = np.full((n_spots, n_types), 1.0 / n_types)
    else:
        beta = np.maximum(np.array(start, dtype=np.float64, order="C"), 0.0)
    packed = problem.packed()
    tick = None if progress is None else lambda done, total: progress.update(done, total, "deconvolution")
    objectives: list[float] = []
    if solver == "sor":
        iterations, change, converged, _, _ = _core.flash_sor(
            packed, beta, max_iter, tol, threads=threads, progress=tick
        )
    else:
        beta, iterations, change, converged, objectives = _core.flash_jacobi(
            packed, beta, max_iter, tol, trace=trace, threads=threads, progress=tick
        )
    constant = 0.5 * float(problem.norms.sum())
    objective, residual = _core.flash_quality(packed, beta, threads=threads)
    return Solution(
        beta=beta,
        converged=converged,
        n_iterations=iterations,
        final_change=change,
        objective=constant + objective,
        kkt_residual=residual,
        objectives=[constant + value for value in objectives],
    )


def _pooled(problem: Problem) -> Floats:
    """Return in every spot the best abundances that are the same in all: right where smoothing is strong."""
    mean = problem.h.mean(axis=0, keepdims=True)
    alone = sparse.csr_matrix((1, 1))
    pooled = Problem(problem.gram, mean, np.zeros(1), alone, 0.0, problem.rho)
    one = np.full((1, mean.shape[1]), 1.0 / mean.shape[1])
    _core.flash_sor(pooled.packed(), one, 10, 1e-12, threads=1)
    return np.repeat(one, problem.h.shape[0], axis=0)


def proportions_of(beta: Floats, *, uniform_if_zero: bool = True) -> Floats:
    """Shares of each spot. A spot of zeros gets equal shares, or zeros."""
    total = beta.sum(axis=1, keepdims=True)
    shares = beta / np.maximum(total, 1e-10)
    if uniform_if_zero:
        shares[total[:, 0] == 0] = 1.0 / max(beta.shape[1], 1)
    return np.asarray(shares)
