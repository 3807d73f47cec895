"""How much each gene tells the types apart, and the amplitude it gets from that."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def leverage_scores(X: Floats, regularization: float = 1e-6) -> Floats:
    """Ridge leverage of the genes of a types x genes reference, sum about 1.

    ``l_j = sum_q U_jq^2 S_q^2 / (S_q^2 + regularization)`` with the thin singular value decomposition
    ``U S V'`` of the reference centered over types. Falls back to the variance of each gene if the
    decomposition fails.
    """
    centered = X - X.mean(axis=0)
    try:
        u, s, _ = np.linalg.svd(centered.T, full_matrices=False)
    except np.linalg.LinAlgError:
        variance = X.var(axis=0)
        return np.asarray(variance / (variance.sum() + regularization))
    scores = np.asarray((u**2) @ (s**2 / (s**2 + regularization)))
    return np.asarray(scores / (scores.sum() + regularization))


def amplitudes(leverage: Floats) -> Floats:
    """``clip(sqrt(g l_j / sum l), 0.1, 10)`` for `g` genes: 1 for a gene of average leverage."""
    share = leverage / (leverage.sum() + 1e-10)
    return np.asarray(np.clip(np.sqrt(share * leverage.size + 1e-10), 0.1, 10.0))
