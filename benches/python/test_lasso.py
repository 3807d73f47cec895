"""The sparse group lasso against other solvers, interleaved in one process on one thread.

Run ``OPENBLAS_NUM_THREADS=1 python benches/ratio.py record lasso`` for the table, or pytest for a small
accuracy-checked version. Times are per target of 200; ours include the share of the Gram matrix. The error
of a row is the largest relative excess of the objective over the optimum. Peers are measured when they are
installed: skglm 0.5, group-lasso 1.5.0 and adelie 1.1.52.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytoripple.kernels.training import SpatialDesign

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from ratio import Ratio, in_turns

Array = NDArray[np.float64]
Fit = Callable[[int], Array]
EXCESS = "objective over the optimum, relative"


@dataclass(frozen=True)
class Problem:
    """Standardized correlated columns in three equal groups, targets with one column in ten."""

    x: Array
    y: Array
    group_reg: float
    l1_reg: float

    @property
    def groups(self) -> NDArray[np.int64]:
        """Group of each column."""
        return np.arange(self.x.shape[1]) * 3 // self.x.shape[1]

    def objective(self, target: int, w: Array) -> float:
        """Objective of one target at the coefficients `w`."""
        residual = self.y[:, target] - self.x @ w
        sizes = np.bincount(self.groups)
        norms = np.sqrt(np.bincount(self.groups, w * w))
        penalty = self.group_reg * np.sqrt(sizes) @ norms + self.l1_reg * np.abs(w).sum()
        return float(residual @ residual / (2 * len(residual)) + penalty)

    def centered(self, cells: NDArray[np.bool_]) -> Problem:
        """Return the problem of some cells, without intercept."""
        x, y = self.x[cells], self.y[cells]
        return Problem(x - x.mean(0), y - y.mean(0), self.group_reg, self.l1_reg)


def problem(n: int, p: int, targets: int, kappa: float, *, l1_share: float = 0.5, seed: int = 0) -> Problem:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, p)) + 0.4 * rng.normal(size=(n, 12)) @ rng.normal(size=(12, p))
    effects = rng.normal(size=(p, targets)) * (rng.random((p, targets)) < 0.1)
    x = (x - x.mean(0)) / x.std(0)
    y = 0.3 * x @ effects + rng.normal(size=(n, targets))
    y = (y - y.mean(0)) / y.std(0)
    noise = kappa * float(np.sqrt(2 * np.log(p) / n))
    return Problem(x, y, (1 - l1_share) * noise, l1_share * noise)


class Ours:
    """All targets of a problem in one batch: every column is expression times a signal of one."""

    def __init__(self, given: Problem, clusters: NDArray[np.int64] | None = None) -> None:
        n, p = given.x.shape
        self.given, self.p, self.targets = given, p, given.y.shape[1]
        labels = np.zeros(n, dtype=np.int64) if clusters is None else clusters
        self.design = SpatialDesign(
            given.x,
            np.ones((n, 1)),
            clusters=labels,
            n_clusters=int(labels.max()) + 1,
            min_expression=-np.inf,
        )
        rows = [(0, j, -1) if g == 0 else (int(g), 0, j) for j, g in enumerate(given.groups)]
        self.columns = np.tile(np.array(rows, dtype=np.int64), (self.targets, 1))
        self.indptr = np.arange(self.targets + 1) * p

    def __call__(self, **settings: Any) -> Any:
        """Fit all targets."""
        penalty = {"group_reg": self.given.group_reg, "l1_reg": self.given.l1_reg}
        return self.design.fit(self.given.y, self.indptr, self.columns, threads=1, **penalty, **settings)

    def coef(self, fit: Any) -> Array:
        """Targets x columns."""
        return np.asarray(fit.coef).reshape(self.targets, self.p)


def skglm(given: Problem) -> Fit:
    from skglm import GeneralizedLinearEstimator
    from skglm.datafits import QuadraticGroup
    from skglm.penalties import WeightedL1GroupL2
    from skglm.solvers import GroupBCD
    from skglm.utils.data import grp_converter

    p = given.x.shape[1]
    sizes = np.bincount(given.groups)
    indices, starts = grp_converter([int(s) for s in sizes], p)
    weights = np.sqrt(sizes) * given.group_reg / given.l1_reg
    penalty = WeightedL1GroupL2(given.l1_reg, weights, np.ones(p), starts, indices)
    solver = GroupBCD(tol=1e-6, max_iter=1000, max_epochs=10_000, fit_intercept=False, ws_strategy="fixpoint")
    model = GeneralizedLinearEstimator(QuadraticGroup(starts, indices), penalty, solver)
    x = np.asfortranarray(given.x)
    return lambda target: np.array(model.fit(x, given.y[:, target]).coef_)


def group_lasso(given: Problem) -> Fit:
    from group_lasso import GroupLasso

    # Its gradient step is half of the usual one, so its fixed point belongs to doubled penalties.
    model = GroupLasso(
        groups=given.groups,
        group_reg=given.group_reg / 2,
        l1_reg=given.l1_reg / 2,
        n_iter=100,
        tol=1e-12,
        scale_reg="group_size",
        supress_warning=True,
    )
    return lambda target: np.array(model.fit(given.x, given.y[:, target]).coef_).ravel()


def own_fista(given: Problem) -> Fit:
    """100 iterations of plain FISTA on the data, step from the largest eigenvalue."""
    x, n = given.x, len(given.x)
    sizes = np.sqrt(np.bincount(given.groups))
    v = np.ones(x.shape[1])
    for _ in range(20):
        v = x.T @ (x @ v)
        v /= np.linalg.norm(v)
    step = 1.0 / (1.05 * float(np.linalg.norm(x @ v)) ** 2 / n)

    def fit(target: int) -> Array:
        y = given.y[:, target]
        w = z = np.zeros(x.shape[1])
        momentum = 1.0
        for _ in range(100):
            new = z + step * (x.T @ (y - x @ z)) / n
            new = np.sign(new) * np.maximum(np.abs(new) - step * given.l1_reg, 0.0)
            norms = np.sqrt(np.bincount(given.groups, new * new))
            shrink = np.maximum(0.0, 1.0 - step * given.group_reg * sizes / np.maximum(norms, 1e-300))
            new *= shrink[given.groups]
            grown = (1 + np.sqrt(1 + 4 * momentum * momentum)) / 2
            z, w, momentum = new + (new - w) * (momentum - 1) / grown, new, grown
        return w

    return fit


def adelie(given: Problem) -> Fit:
    """Its solver on a Gram matrix made once, not timed."""
    import adelie as ad

    n = len(given.x)
    gram = np.asfortranarray(given.x.T @ given.x / n)
    sizes = np.bincount(given.groups)
    matrix = ad.matrix.dense(gram, method="cov", n_threads=1)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])

    def fit(target: int) -> Array:
        state = ad.solver.gaussian_cov(
            A=matrix,
            v=given.x.T @ given.y[:, target] / n,
            groups=starts,
            penalty=np.sqrt(sizes),
            lmda_path=[given.group_reg],
            tol=1e-10,
            early_exit=False,
            progress_bar=False,
            n_threads=1,
        )
        return np.asarray(state.betas[-1].todense()).ravel()

    return fit


def excess(given: Problem, optimum: Array, fits: dict[int, Array]) -> float:
    """Largest relative excess of the objective over that of the polished optimum."""
    best = {t: given.objective(t, optimum[t]) for t in fits}
    return max(given.objective(t, w) / best[t] - 1.0 for t, w in fits.items())


def compare(case: str, name: str, given: Problem, peer: Fit, *, rounds: int, targets: int) -> Ratio:
    """Ours on all targets and the peer on some, in turns."""
    ours = Ours(given)
    optimum = ours.coef(ours(tol=1e-12))
    peer(0)  # compilation
    fits: dict[int, Array] = {}

    def theirs() -> None:
        fits.update((target, peer(target)) for target in range(targets))

    seconds = in_turns(ours, theirs, rounds)
    return Ratio(
        "lasso",
        case,
        name,
        seconds[0] / ours.targets,
        seconds[1] / targets,
        excess(given, optimum, dict(enumerate(ours.coef(ours())))),
        excess(given, optimum, fits),
        EXCESS,
        *seconds[2:],
    )


def of_clusters(rounds: int) -> Ratio:
    """5 clusters x 400 cells x 200 targets, 260 columns, against plain FISTA on the data of each cluster."""
    given = problem(2000, 260, 200, 0.5)
    labels = np.arange(2000) % 5
    ours = Ours(given, labels)
    parts = [given.centered(labels == c) for c in range(5)]
    fits = [own_fista(part) for part in parts]
    found: dict[tuple[int, int], Array] = {}

    def plain() -> None:
        found.update({(c, t): fits[c](t) for c in range(5) for t in range(4)})

    seconds = in_turns(ours, plain, rounds)
    fit = ours()
    assert (fit.gap <= 1e-6 * fit.objective).all()
    optimum = ours(tol=1e-12).objective
    theirs = max(parts[c].objective(t, w) / optimum[t, c] - 1.0 for (c, t), w in found.items())
    return Ratio(
        "lasso",
        "5 clusters x 400, p=260, 200 targets, all 1000 gaps certified",
        "plain FISTA on the data, 100 iterations",
        seconds[0] / 1000,
        seconds[1] / 20,
        float((fit.objective / optimum - 1.0).max()),
        theirs,
        EXCESS,
        *seconds[2:],
    )


def ratios() -> Iterator[Ratio]:
    """Measure every row of the table."""
    warnings.simplefilter("ignore")
    for kappa in (2.0, 1.0, 0.5, 0.1):
        given, case = problem(2000, 180, 200, kappa), f"n=2000 p=180 kappa={kappa}"
        if find_spec("skglm"):
            yield compare(case, "skglm", given, skglm(given), rounds=5, targets=5)
        if find_spec("group_lasso"):
            yield compare(case, "group-lasso", given, group_lasso(given), rounds=2, targets=2)
    for n in (2000, 5000):
        for kappa in (1.0, 0.3):
            given, case = problem(n, 180, 200, kappa, l1_share=0.0), f"n={n} p=180 l1=0 kappa={kappa}"
            if find_spec("adelie"):
                yield compare(case, "adelie", given, adelie(given), rounds=5, targets=5)
    yield of_clusters(3)


def test_the_batch_reaches_the_optimum_that_plain_fista_misses() -> None:
    """A small case: every gap certified, and no objective above that of 100 plain iterations."""
    given = problem(600, 60, 10, 0.5)
    ours, plain = Ours(given), own_fista(given)
    fit = ours()
    assert (fit.gap <= 1e-6 * fit.objective).all()
    assert excess(given, ours.coef(fit), {t: plain(t) for t in range(10)}) >= -1e-6
