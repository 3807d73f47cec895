"""Rank correlations and curves, defined where common libraries warn or stop."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def midranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks from 1, equal values sharing the mean of theirs; infinities are values like others."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    new = np.r_[True, ordered[1:] != ordered[:-1]]
    block = np.cumsum(new) - 1
    ends = np.r_[np.flatnonzero(new), len(values)]
    ranks = np.empty(len(values))
    ranks[order] = 0.5 * (ends[block] + ends[block + 1] + 1)
    return ranks


def pearson(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Pearson correlation; NaN for fewer than two values or a constant."""
    if len(a) < 2 or (a == a[0]).all() or (b == b[0]).all():
        return float("nan")
    a, b = a - a.mean(), b - b.mean()
    product = float(a @ b / (np.sqrt(a @ a) * np.sqrt(b @ b)))
    return min(1.0, max(-1.0, product))


def spearman(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Spearman correlation; NaN for fewer than two values or a constant."""
    return pearson(midranks(a), midranks(b))


def curves(positive: NDArray[np.bool_], score: NDArray[np.float64]) -> tuple[float, float]:
    """Average precision and area under the ROC curve; NaN when all or none are positive.

    Average precision is the sum over the distinct scores, from the largest, of the gain in recall times the
    precision there. Equal scores count one half in the ROC area.
    """
    n, n_positive = len(positive), int(positive.sum())
    if n_positive in (0, n):
        return float("nan"), float("nan")
    order = np.argsort(-score, kind="stable")
    last = np.r_[np.flatnonzero(np.diff(score[order])), n - 1]
    hits = np.cumsum(positive[order])[last]
    average_precision = float(np.sum(np.diff(hits, prepend=0) / n_positive * hits / (last + 1)))
    rank_sum = midranks(score)[positive].sum()
    area = (rank_sum - n_positive * (n_positive + 1) / 2) / (n_positive * (n - n_positive))
    return average_precision, float(area)
