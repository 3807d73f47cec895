"""What was tried beside the default estimator, on tissues where sparse selection is weak.

Run ``python benches/truth/beyond.py [--seeds 301-308] [--setting depth=300] [--setting active=0.3]``. It fits
every tissue once per variant, prints the mean of each metric, and the mean and the smallest difference to
``joint`` over tissues.

``joint`` is the default, of whose coefficients a quarter are those of a ridge. ``sparse`` has no ridge in it,
``even`` one half, and ``ridge`` is nothing else; ``finer`` is ``sparse`` at half its multiplier;
``stretched`` are the coefficients of ``sparse`` times the slope of held-out cells on the cross-validated
prediction.
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

Floats = NDArray[np.float64]


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
    kappa = default.notes["kappa"]
    factors = np.expm1(design.expression).sum(axis=1) / design.counts.sum(axis=1)
    variance = counting_noise_variance(design.expression, factors, design.types)
    spatial = SpatialDesign(
        design.expression, design.received, clusters=design.types, n_clusters=design.n_types
    )

    def fit(dense_share: float, factor: float = 1.0) -> Fit:
        found = spatial.fit_joint(
            design.y, design.indptr, design.columns, kappa=factor * kappa, dense_share=dense_share,
            noise_variance=variance,
        )  # fmt: skip
        return Fit(found.coef, found.intercept, {})

    sparse, slope = fit(0.0), calibration(design, kappa)
    stretched = sparse.coef * slope
    return {
        "joint": default,
        "sparse": sparse,
        "even": fit(0.5),
        "ridge": fit(1.0),
        "finer": fit(0.0, 0.5),
        "stretched": Fit(stretched, intercepts(design, stretched), {"slope": slope}),
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
    over = table - table.xs("reference", level="estimator")
    groups = {"mean": table, "difference to joint": gain, "difference to reference": over}
    for title, part in groups.items():
        print(f"{title}\n{part.groupby('estimator', sort=False).mean().round(3).to_string()}\n")
    for title, part in {"of joint to it": -gain, "to reference": over}.items():
        smallest = part.groupby("estimator", sort=False).min().round(3)
        print(f"smallest difference {title}\n{smallest.to_string()}\n")


if __name__ == "__main__":
    main()
