"""Agreement of mean effects: errors, correlation, and whether an effect is nearest to its own measurement."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cytoripple import _core
from cytoripple.vc._statistics import pearson
from cytoripple.vc.profiles import PDS

Matrix = NDArray[np.float64]


def effects(means: Matrix, noise: float = 0.0) -> Matrix:
    """Mean of each perturbation minus the mean of the control, which is the first row; below `noise` 0."""
    delta: Matrix = means[1:] - means[0]
    delta[np.abs(delta) < noise] = 0.0
    return delta


def error_metrics(
    real_means: Matrix, pred_means: Matrix, real_effects: Matrix, pred_effects: Matrix
) -> dict[str, NDArray[np.float64]]:
    """Correlation of effects, and squared and absolute errors of means and effects, over all genes."""
    out = {
        "pearson_delta": np.array(
            [pearson(pred, real) for pred, real in zip(pred_effects, real_effects, strict=True)]
        )
    }
    for suffix, pred, real in (("", pred_means[1:], real_means[1:]), ("_delta", pred_effects, real_effects)):
        difference = np.abs(pred - real)
        out[f"mae{suffix}"] = difference.mean(axis=1)
        out[f"mse{suffix}"] = np.square(difference, out=difference).mean(axis=1)
    return out


def own_genes(perturbations: Sequence[str], genes: NDArray[np.str_]) -> NDArray[np.int64]:
    """Column of the gene that has the name of each perturbation, -1 where none has."""
    place = {gene: at for at, gene in enumerate(genes.tolist())}
    return np.array([place.get(name, -1) for name in perturbations], dtype=np.int64)


def ranks_of_own(distances: Matrix) -> NDArray[np.float64]:
    """Count measured effects nearer than the own one (on the diagonal), ties as one half.

    A row with NaN has no order: all its effects are tied.
    """
    distances = np.where(np.isnan(distances).any(axis=1, keepdims=True), 0.0, distances)
    own = np.diagonal(distances)[:, None]
    nearer = (distances < own).sum(axis=1)
    equal = (distances == own).sum(axis=1)
    ranks: NDArray[np.float64] = nearer + (equal - 1) / 2
    return ranks


def discrimination_scores(
    pred_effects: Matrix,
    real_effects: Matrix,
    skip: NDArray[np.int64],
    metrics: Sequence[str] = PDS,
    threads: int = 0,
) -> dict[str, NDArray[np.float64]]:
    """1 - r / P with r the number of measured effects nearer than the own one; best 1, chance (P + 1) / 2P.

    Parameters
    ----------
    pred_effects, real_effects
        Perturbations x genes.
    skip
        Gene that is left out for each perturbation, -1 for none.
    metrics
        Names of columns, which end with the distance.
    """
    out = {}
    for name in metrics:
        distances = _core.effect_distances(
            np.ascontiguousarray(pred_effects),
            np.ascontiguousarray(real_effects),
            skip,
            metric=name.rpartition("_")[2],
            threads=threads,
        )
        out[name] = 1.0 - ranks_of_own(distances) / len(skip)
    return out
