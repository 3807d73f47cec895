"""Plain NumPy forms of the sparse group lasso and of the design matrix, for comparison."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def weights_of(
    groups: NDArray[np.int64], group_reg: float, scale_reg: str = "group_size"
) -> dict[int, float]:
    """Effective weight of each group label >= 0."""
    power = {"group_size": 0.5, "inverse_group_size": -0.5, "none": 0.0}[scale_reg]
    return {int(g): group_reg * float((groups == g).sum()) ** power for g in np.unique(groups[groups >= 0])}


def objective(
    x: Array, y: Array, w: Array, b: float, groups: NDArray[np.int64], weights: dict[int, float], l1: float
) -> float:
    """Value of the objective at coefficients `w` and intercept `b`."""
    residual = y - x @ w - b
    norms = sum(weight * float(np.linalg.norm(w[groups == g])) for g, weight in weights.items())
    return float(residual @ residual) / (2 * len(y)) + norms + l1 * float(np.abs(w).sum())


def soft(v: Array, t: float) -> Array:
    return np.sign(v) * np.maximum(np.abs(v) - t, 0.0)


def fit(
    x: Array,
    y: Array,
    groups: NDArray[np.int64],
    weights: dict[int, float],
    l1: float,
    *,
    intercept: bool = True,
    n_iter: int = 20000,
) -> tuple[Array, float]:
    """Accelerated proximal gradient on the data with gradient restart, run until nothing moves."""
    mean_x, mean_y = (x.mean(0), float(y.mean())) if intercept else (np.zeros(x.shape[1]), 0.0)
    xc, yc = x - mean_x, y - mean_y
    lipschitz = max(float(np.linalg.eigvalsh(xc.T @ xc / len(y))[-1]), 1e-300)
    w = z = np.zeros(x.shape[1])
    m = 1.0
    for _ in range(n_iter):
        new = soft(z + xc.T @ (yc - xc @ z) / (len(y) * lipschitz), l1 / lipschitz)
        for g, weight in weights.items():
            norm = float(np.linalg.norm(new[groups == g]))
            new[groups == g] *= max(0.0, 1.0 - weight / lipschitz / norm) if norm > 0 else 0.0
        m = 1.0 if (z - new) @ (new - w) > 0 else m
        grown = (1 + np.sqrt(1 + 4 * m * m)) / 2
        z = new + (new - w) * (m - 1) / grown
        moved, w, m = float(np.abs(new - w).max(initial=0.0)), new, grown
        if moved <= 1e-15 * float(np.abs(w).max(initial=1.0)):
            break
    return w, mean_y - float(mean_x @ w)


def column(
    kind: int,
    first: int,
    second: int,
    expression: Array,
    received: Array,
    received_tfl: Array,
    mask: Array | float,
    minimum: float,
) -> Array:
    """One design column over all cells."""
    if kind in (0, 3):
        return expression[:, first]
    if kind == 1:
        sensed = np.where(expression > minimum, expression, 0.0) * mask
        return received[:, first] * sensed[:, second]
    return received_tfl[:, first] * expression[:, second]
