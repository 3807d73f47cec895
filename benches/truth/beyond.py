"""What was tried beyond the default estimator, on tissues where sparse selection is weak.

Run ``python benches/truth/beyond.py [--seeds 301-308] [--setting depth=300] [--setting active=0.3]``. It fits
every tissue once per variant, prints the mean of each metric, and the mean and the smallest difference to
``joint`` over tissues.

``joint`` is the default. ``finer`` fits at half its multiplier; ``ridge`` is a ridge per type on the same
noise-corrected Gram matrices; ``blend`` is the mean of the coefficients of ``joint`` and ``ridge``;
``stretched`` are those of ``joint`` times the slope of held-out cells on the cross-validated prediction.
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cytoripple import datasets
from cytoripple.bench.design import Arena, RippleDesign, arena_of
from cytoripple.bench.estimators import N_FOLDS, bagged_ridge, intercepts, joint, reference
from cytoripple.bench.model import Fit, FittedTissue
from cytoripple.bench.runner import METRICS
from cytoripple.bench.scores import edge_scores, held_out_score, perturbation_scores
from cytoripple.grn.folds import spatial_folds
from cytoripple.kernels.noise import counting_noise_variance
from cytoripple.kernels.training import SpatialDesign

CAP, FLOOR, RIDGE = 0.6, 0.05, 3.0

Floats = NDArray[np.float64]


def noise_variance(design: RippleDesign) -> NDArray[np.float32]:
    """Variance that counting adds to every entry of the layer."""
    factors = np.expm1(design.expression).sum(axis=1) / design.counts.sum(axis=1)
    return counting_noise_variance(design.expression, factors, design.types)


def corrected(design: RippleDesign, variance: Floats, kind: int) -> tuple[Floats, Floats, Floats, Floats]:
    """Gram matrix of the distinct columns in one type without the noise of counting, and its scales."""
    _, first, second = design.shared.table.T
    source = np.where(second < 0, first, second)
    inside = design.types == kind
    factor = np.where(second >= 0, design.received[np.ix_(inside, np.where(second >= 0, first, 0))], 1.0)
    x = design.shared.features(design.expression, design.received)[inside]
    y = design.y[inside]
    sd, spread = (np.where(part.std(axis=0) > 1e-10, part.std(axis=0), np.inf) for part in (x, y))
    z, e = (x - x.mean(axis=0)) / sd, factor * np.sqrt(variance[inside][:, source]) / sd
    e *= np.sqrt(np.minimum(1.0, CAP / np.maximum((e**2).mean(axis=0), 1e-12)))
    gram = (z.T @ z - (e.T @ e) * (source[:, None] == source)) / len(x)
    return gram, z.T @ ((y - y.mean(axis=0)) / spread) / len(x), sd, spread


def ridge(design: RippleDesign, variance: Floats) -> Floats:
    """Coefficients of a ridge per type on noise-corrected Gram matrices."""
    coef = np.zeros((len(design.columns), design.n_types))
    for kind in np.unique(design.types):
        gram, q, sd, spread = corrected(design, variance, int(kind))
        for t, (first, last) in enumerate(zip(design.indptr[:-1], design.indptr[1:], strict=True)):
            own = design.shared.place[first:last]
            values, vectors = np.linalg.eigh(gram[np.ix_(own, own)])
            shrunk = (vectors.T @ q[own, t]) / (np.maximum(values, FLOOR) + RIDGE)
            if np.isfinite(spread[t]):
                coef[first:last, kind] = vectors @ shrunk * spread[t] / sd[own]
    return coef


def calibration(design: RippleDesign, kappa: float) -> float:
    """Slope of held-out cells on their prediction by plain joint fits at `kappa`, all targets together."""
    folds = spatial_folds(design.xy, n_folds=N_FOLDS)
    product = square = 0.0
    for fold in range(N_FOLDS):
        train = np.where(folds == fold, -1, design.types)
        spatial = SpatialDesign(design.expression, design.received, clusters=train, n_clusters=design.n_types)
        fit = spatial.fit_joint(design.y, design.indptr, design.columns, kappa=kappa, tol=1e-4)
        out = folds == fold
        predicted = FittedTissue(design, Fit(fit.coef, fit.intercept, {})).predict(
            design.expression[out], design.received[out], design.types[out]
        )
        for kind in np.unique(design.types[out]):
            inside, seen = design.types[out] == kind, design.y[train == kind]
            spread = np.where(
                seen.std(axis=0) > 0, seen.std(axis=0), np.inf
            )  # constant targets count nothing
            p = (predicted[inside] - seen.mean(axis=0)) / spread
            y = (design.y[out][inside] - seen.mean(axis=0)) / spread
            product, square = product + float((p * y).sum()), square + float((p * p).sum())
    return product / square


def variants(design: RippleDesign) -> dict[str, Fit]:
    """All fits of one tissue."""
    default = joint(design, 0)
    variance, kappa = noise_variance(design), default.notes["kappa"]
    half = SpatialDesign(
        design.expression, design.received, clusters=design.types, n_clusters=design.n_types
    ).fit_joint(design.y, design.indptr, design.columns, kappa=kappa / 2, noise_variance=variance)
    dense, slope = ridge(design, variance.astype(np.float64)), calibration(design, kappa)

    def fit(coef: Floats, **notes: float) -> Fit:
        return Fit(coef, intercepts(design, coef), notes)

    return {
        "joint": default,
        "finer": fit(half.coef),
        "ridge": fit(dense),
        "blend": fit((default.coef + dense) / 2),
        "stretched": fit(default.coef * slope, slope=slope),
        "reference": reference(design, 0),
        "co": bagged_ridge(design, 0),
    }


def judged(arena: Arena, fit: Fit) -> dict[str, float]:
    """All scores of one fit."""
    model = FittedTissue(arena.design, fit)
    return {
        **edge_scores(arena, fit),
        "heldout_r2": held_out_score(arena, model),
        **perturbation_scores(arena, model, n_propagation=8, threads=0),
    }


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", default="301-308", help="first-last")
    parser.add_argument("--setting", action="append", default=[], help="of the generator, name=number")
    given = parser.parse_args()
    first, last = (int(end) for end in given.seeds.split("-"))
    pairs = (item.partition("=") for item in given.setting)
    settings = {name: int(value) if value.isdigit() else float(value) for name, _, value in pairs}
    rows = []
    for seed in range(first, last + 1):
        arena = arena_of(datasets.ripple_tissue(seed, **settings))
        for name, fit in variants(arena.design).items():
            rows.append({"tissue": seed, "estimator": name, **judged(arena, fit), **fit.notes})
    each = pd.DataFrame(rows).set_index(["tissue", "estimator"])
    table = each[list(METRICS)]
    gain = table - table.xs("joint", level="estimator")
    groups = {"mean": table, "difference to joint": gain}
    for title, part in groups.items():
        print(f"{title}\n{part.groupby('estimator', sort=False).mean().round(3).to_string()}\n")
    print(f"smallest difference\n{gain.groupby('estimator', sort=False).min().round(3).to_string()}")


if __name__ == "__main__":
    main()
