"""How close estimated proportions are to known ones, with the conventions of the published method."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from cytoripple._errors import InputError, SettingsError

Floats = NDArray[np.float64]


def _pair(pred: ArrayLike, true: ArrayLike) -> tuple[Floats, Floats]:
    a, b = np.asarray(pred, dtype=np.float64), np.asarray(true, dtype=np.float64)
    if a.shape != b.shape or a.ndim != 2:
        raise InputError(f"pred has shape {a.shape} and true {b.shape}: expected spots x types twice")
    return a, b


def compute_rmse(pred: ArrayLike, true: ArrayLike, per_cell_type: bool = False) -> Any:
    """Root of the mean squared difference of spots x types, over all entries or per type."""
    a, b = _pair(pred, true)
    out = np.sqrt(((a - b) ** 2).mean(axis=0 if per_cell_type else None))
    return out if per_cell_type else float(out)


def compute_mae(pred: ArrayLike, true: ArrayLike, per_cell_type: bool = False) -> Any:
    """Mean absolute difference of spots x types, over all entries or per type."""
    a, b = _pair(pred, true)
    out = np.abs(a - b).mean(axis=0 if per_cell_type else None)
    return out if per_cell_type else float(out)


def compute_correlation(
    pred: ArrayLike, true: ArrayLike, method: str = "pearson", per_cell_type: bool = False
) -> Any:
    """Pearson or Spearman correlation over all entries or per type; 0 where a side is constant."""
    a, b = _pair(pred, true)
    if method not in ("pearson", "spearman"):
        raise SettingsError(f"method is {method!r}: choose 'pearson' or 'spearman'")
    rank = method == "spearman"
    if not per_cell_type:
        return _correlation(a.ravel(), b.ravel(), rank)
    return np.array([_correlation(a[:, kind], b[:, kind], rank) for kind in range(a.shape[1])])


def _correlation(a: Floats, b: Floats, rank: bool) -> float:
    if rank:
        a, b = rankdata(a), rankdata(b)
    if a.size == 0 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return 0.0
    a, b = a - a.mean(), b - b.mean()
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def compute_jsd(pred: ArrayLike, true: ArrayLike, epsilon: float = 1e-10) -> Floats:
    """Jensen-Shannon divergence per spot, natural logarithm; shares are clipped to `epsilon` first."""
    a, b = (np.clip(side, epsilon, 1 - epsilon) for side in _pair(pred, true))
    a, b = a / a.sum(axis=1, keepdims=True), b / b.sum(axis=1, keepdims=True)
    middle = (a + b) / 2
    return np.asarray(((a * np.log(a / middle)).sum(axis=1) + (b * np.log(b / middle)).sum(axis=1)) / 2)


def evaluate_deconvolution(
    pred: ArrayLike, true: ArrayLike, cell_type_names: Sequence[str] | None = None
) -> dict[str, Any]:
    """All measures, ``"overall"`` and ``"per_cell_type"`` by name."""
    a, b = _pair(pred, true)
    names = cell_type_names
    if names is None:
        names = [f"CellType_{kind}" for kind in range(a.shape[1])]
    each = {
        "rmse": compute_rmse(a, b, True),
        "mae": compute_mae(a, b, True),
        "pearson": compute_correlation(a, b, "pearson", True),
        "spearman": compute_correlation(a, b, "spearman", True),
        "mean_proportion_true": b.mean(axis=0),
        "mean_proportion_pred": a.mean(axis=0),
    }
    return {
        "overall": {
            "rmse": compute_rmse(a, b),
            "mae": compute_mae(a, b),
            "pearson": compute_correlation(a, b),
            "spearman": compute_correlation(a, b, "spearman"),
            "mean_jsd": float(compute_jsd(a, b).mean()),
        },
        "per_cell_type": {
            str(name): {key: float(values[kind]) for key, values in each.items()}
            for kind, name in enumerate(names)
        },
    }


def compute_rare_cell_detection(
    pred: ArrayLike, true: ArrayLike, threshold: float = 0.05
) -> tuple[float, float, float]:
    """Precision, recall and F1 of calling entries with a true share below `threshold` but above 0.

    Called is an estimate above half the threshold; wrong are calls where the true share is 0. NaN three times
    when no entry is rare.
    """
    a, b = _pair(pred, true)
    rare, called = (b > 0) & (b < threshold), a > threshold / 2
    if not rare.any():
        return float("nan"), float("nan"), float("nan")
    hits = int((called & rare).sum())
    wrong = int((called & (b == 0)).sum())
    precision = hits / (hits + wrong) if hits + wrong else 0.0
    recall = hits / int(rare.sum())
    both = precision + recall
    return precision, recall, 2 * precision * recall / both if both else 0.0
