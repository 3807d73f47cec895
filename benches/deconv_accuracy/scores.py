"""How far proportions are from the truth."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def aupr(shares: Floats, truth: Floats) -> float:
    """Area under precision and recall over all entries; present means above 0.01."""
    present = (truth > 0.01).ravel()[np.argsort(-shares.ravel(), kind="stable")]
    hits = np.cumsum(present)
    return float(np.trapezoid(hits / np.arange(1, len(hits) + 1), hits / max(hits[-1], 1)))


def divergence(shares: Floats, truth: Floats) -> float:
    """Mean Jensen-Shannon divergence, natural logarithm."""
    p, q = (np.clip(values, 1e-10, None) for values in (shares, truth))
    p, q = (values / values.sum(axis=1, keepdims=True) for values in (p, q))
    middle = (p + q) / 2
    return float(((p * np.log(p / middle) + q * np.log(q / middle)).sum(axis=1) / 2).mean())


def scores(shares: Floats, truth: Floats, rare: NDArray[np.bool_]) -> dict[str, float]:
    """All measures by name. Spots without proportions count as uniform."""
    filled: Any = np.where(np.isnan(shares), 1 / shares.shape[1], shares).astype(np.float64)
    return {
        "rmse": float(np.sqrt(((filled - truth) ** 2).mean())),
        "pearson": float(np.corrcoef(filled.ravel(), truth.ravel())[0, 1]),
        "jsd": divergence(filled, truth),
        "aupr": aupr(filled, truth),
        "aupr_rare": aupr(filled[:, rare], truth[:, rare]) if rare.any() else np.nan,
        "absent": float(np.where(truth > 0, 0.0, filled).sum(axis=1).mean()),
    }
