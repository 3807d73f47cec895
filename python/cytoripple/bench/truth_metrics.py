"""Metrics of a prediction against a known truth. Thresholds are changes on the natural-log layer."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray

EFFECT_THRESHOLD = 0.03
RIPPLE_THRESHOLD = 0.01

Floats = NDArray[np.float64]


def average_precision(score: ArrayLike, label: ArrayLike) -> float:
    """Area under the precision-recall curve, one step per distinct score.

    Equal scores share one step, so that their order brings no gain: constant scores give the prevalence.

    Parameters
    ----------
    score
        Larger means more likely true.
    label
        Truth, same shape.

    Returns
    -------
    1 for a perfect ranking, about the prevalence for a random one, NaN when nothing is true.
    """
    values, truth = np.asarray(score, dtype=np.float64).ravel(), np.asarray(label, dtype=bool).ravel()
    n_true = int(truth.sum())
    if n_true == 0:
        return float("nan")
    order = np.argsort(-values, kind="stable")
    ranked, hits = values[order], np.cumsum(truth[order])
    last = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
    recall, precision = hits[last] / n_true, hits[last] / (last + 1)
    return float((np.diff(recall, prepend=0.0) * precision).sum())


def pearson(truth: Floats, prediction: Floats) -> float:
    """Pearson correlation; 0 when one side is constant, since a constant prediction knows nothing."""
    if np.ptp(truth) == 0 or np.ptp(prediction) == 0:
        return 0.0
    a, b = truth - truth.mean(), prediction - prediction.mean()
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def spearman(truth: Floats, prediction: Floats) -> float:
    """Pearson correlation of the ranks; equal values share their mean rank."""
    from scipy.stats import rankdata

    return pearson(rankdata(truth), rankdata(prediction))


def change_metrics(truth: ArrayLike, prediction: ArrayLike, *, threshold: float) -> dict[str, float]:
    """Compare predicted with true changes.

    Parameters
    ----------
    truth, prediction
        Changes of any shape; entries with a NaN in `truth` are left out.
    threshold
        An entry is affected when its true change is larger than this.

    Returns
    -------
    ``pearson``, ``spearman``, ``sign`` (share of equal signs, a predicted 0 is wrong) and ``slope`` (least
    squares through the origin) over affected entries; ``aupr`` of affected by the size of the prediction and
    ``pearson_all`` over all entries. Empty when no entry is affected.
    """
    known = np.isfinite(np.asarray(truth, dtype=np.float64))
    t = np.asarray(truth, dtype=np.float64)[known]
    p = np.asarray(prediction, dtype=np.float64)[known]
    affected = np.abs(t) > threshold
    if not affected.any():
        return {}
    ta, pa = t[affected], p[affected]
    return {
        "pearson": pearson(ta, pa),
        "spearman": spearman(ta, pa),
        "sign": float((np.sign(ta) == np.sign(pa)).mean()),
        "aupr": average_precision(np.abs(p), affected),
        "slope": float(ta @ pa / (ta @ ta)),
        "pearson_all": pearson(t, p),
    }


def held_out_r2(y: Floats, predicted: Floats, center: Floats) -> Floats:
    """Share of the squared distance from `center` that is explained, per target.

    Parameters
    ----------
    y, predicted
        Cells x targets, cells that no fit has seen.
    center
        Cells x targets: mean of the target over the training cells of the type of the cell.

    Returns
    -------
    One number per target; NaN where every cell sits at its center.
    """
    missed, total = ((y - predicted) ** 2).sum(axis=0), ((y - center) ** 2).sum(axis=0)
    share = np.full(len(total), np.nan)
    np.divide(missed, total, out=share, where=total > 0)
    return 1.0 - share


def mean_of(found: Iterable[dict[str, float]]) -> dict[str, float]:
    """Mean of every metric over the results that have it; NaN where nothing was defined."""
    collected: dict[str, list[float]] = {}
    for metrics in found:
        for name, value in metrics.items():
            collected.setdefault(name, []).append(value)
    return {name: mean(values) for name, values in collected.items()}


def mean(values: Iterable[float]) -> float:
    """Mean without NaN; NaN of nothing."""
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")
