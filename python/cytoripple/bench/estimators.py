"""Estimators of the benchmark: those of this package, published ones, and a user's."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cytoripple._errors import InputError
from cytoripple.bench.design import RippleDesign
from cytoripple.bench.model import Fit
from cytoripple.grn.estimator import DENSE_SHARE
from cytoripple.grn.folds import spatial_folds
from cytoripple.grn.grid import telling, walk_grid
from cytoripple.grn.penalty import pick
from cytoripple.kernels.noise import counting_noise_variance
from cytoripple.kernels.training import SpatialDesign

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
OwnEstimator: TypeAlias = Callable[[RippleDesign, str], ArrayLike]
Estimator: TypeAlias = Callable[[RippleDesign, int], Fit]

N_FOLDS = 5
N_CHOOSING = 100
BAGS, RIDGE, FEATURE_SHARE = 20, 10.0, 0.8


def joint(design: RippleDesign, threads: int, dense_share: float = DENSE_SHARE) -> Fit:
    """Fit as a training run does: across types, without counting noise, one multiplier for the tissue."""
    some, spatial = _some_targets(design), _spatial(design, spatial_folds(design.xy, n_folds=N_FOLDS))
    kappa, errors = walk_grid(
        lambda k: spatial.joint_validation_errors(*some, k, threads=threads).sum(axis=0)
    )
    factors = np.expm1(design.expression).sum(axis=1) / design.counts.sum(axis=1)
    variance = counting_noise_variance(design.expression, factors, design.types, threads=threads)
    fit = _spatial(design).fit_joint(
        design.y, design.indptr, design.columns, kappa=kappa,
        dense_share=dense_share if telling(errors) else 0.0, noise_variance=variance, threads=threads,
    )  # fmt: skip
    return Fit(fit.coef, fit.intercept, {"kappa": kappa})


def sgl(design: RippleDesign, threads: int) -> Fit:
    """Fit a sparse group lasso per type on standardized columns, one multiplier for the tissue."""
    some, spatial = _some_targets(design), _spatial(design, spatial_folds(design.xy, n_folds=N_FOLDS))
    kappa, _ = walk_grid(lambda k: spatial.validation_errors(*some, k, threads=threads).sum(axis=0))
    fit = _spatial(design).fit(design.y, design.indptr, design.columns, kappa=kappa, threads=threads)
    return Fit(fit.coef, fit.intercept, {"kappa": kappa})


def _some_targets(design: RippleDesign) -> tuple[Floats, Ints, Ints]:
    """Targets on which the multiplier is chosen, as a training run chooses it."""
    names = pick(design.targets, N_CHOOSING, 0)
    chosen = [design.targets.index(name) for name in names]
    parts = [design.columns[design.indptr[t] : design.indptr[t + 1]] for t in chosen]
    indptr = np.concatenate([[0], np.cumsum([len(part) for part in parts])]).astype(np.int64)
    return np.ascontiguousarray(design.y[:, chosen]), indptr, np.concatenate(parts)


def reference(design: RippleDesign, threads: int) -> Fit:
    """Fit by the published scheme: 100 iterations at penalties next to nothing, raw columns."""
    fit = _spatial(design).fit(
        design.y, design.indptr, design.columns, group_reg=1e-9, l1_reg=1e-9, solver="reference", tol=1e-4,
        max_iter=100, threads=threads,
    )  # fmt: skip
    return Fit(fit.coef, fit.intercept, {})


def _spatial(design: RippleDesign, folds: Ints | None = None) -> SpatialDesign:
    return SpatialDesign(
        design.expression, design.received, clusters=design.types, n_clusters=design.n_types,
        folds=folds, n_folds=0 if folds is None else N_FOLDS,
    )  # fmt: skip


def bagged_ridge(design: RippleDesign, threads: int) -> Fit:
    """Fit as non-spatial tools do: the mean of 20 ridge fits on bootstrapped cells and 80 % of the TFs."""
    del threads
    coef = np.zeros((len(design.columns), design.n_types))
    alike = _by_number_of_factors(design)
    for kind in np.unique(design.types):
        cells = np.flatnonzero(design.types == kind)
        for bag in range(BAGS):
            rng = np.random.default_rng(np.random.SeedSequence([int(kind), bag]))
            x = design.expression[rng.choice(cells, size=len(cells))]
            x = x - x.mean(axis=0)
            gram = x.T @ x
            for genes, factors in alike:
                n_chosen = max(1, round(FEATURE_SHARE * factors.shape[1]))
                chosen = rng.permuted(factors, axis=1)[:, :n_chosen]
                tf = design.columns[chosen, 1]
                system = gram[tf[:, :, None], tf[:, None, :]] + RIDGE * np.eye(n_chosen)
                coef[chosen, kind] += np.linalg.solve(system, gram[tf, genes[:, None]][..., None])[..., 0]
    return Fit(coef / BAGS, intercepts(design, coef / BAGS), {})


def _by_number_of_factors(design: RippleDesign) -> list[tuple[Ints, Ints]]:
    """Genes of the targets with equally many TF columns, and those columns, targets x TFs."""
    of_target = np.split(np.arange(len(design.columns)), design.indptr[1:-1])
    factors = [columns[design.columns[columns, 0] == 0] for columns in of_target]
    sizes = np.array([len(columns) for columns in factors])
    groups = ((size, np.flatnonzero(sizes == size)) for size in np.unique(sizes[sizes > 0]))
    return [(design.target_genes[own], np.stack([factors[t] for t in own])) for _, own in groups]


BUILTIN: dict[str, Estimator] = {
    "joint": joint,
    "sparse": partial(joint, dense_share=0.0),
    "sgl": sgl,
    "reference": reference,
    "co": bagged_ridge,
}


def own(name: str, estimator: OwnEstimator) -> Estimator:
    """Make an estimator of one target work on all of them.

    The function gets a `RippleDesign` and the name of a target, and returns raw coefficients, types x
    columns in the order of ``design.of(target).names``. Intercepts follow from the means.
    """

    def fit(design: RippleDesign, threads: int) -> Fit:
        del threads
        coef = np.zeros((len(design.columns), design.n_types))
        for t, target in enumerate(design.targets):
            first, last = design.indptr[t], design.indptr[t + 1]
            found = np.asarray(estimator(design, target), dtype=np.float64)
            if found.shape != (design.n_types, last - first) or not np.isfinite(found).all():
                raise InputError(
                    f"estimator {name!r} returned shape {found.shape} for {target}: expected finite "
                    f"coefficients, types x columns, {(design.n_types, int(last - first))}"
                )
            coef[first:last] = found.T
        return Fit(coef, intercepts(design, coef), {})

    return fit


def intercepts(design: RippleDesign, coef: Floats) -> Floats:
    """Targets x types: the intercept with which a fit is right on average over the training cells."""
    found = -np.add.reduceat(design.moments[0] * coef, design.indptr[:-1], axis=0)
    for kind in np.unique(design.types):
        found[:, kind] += design.y[design.types == kind].mean(axis=0)
    return found
