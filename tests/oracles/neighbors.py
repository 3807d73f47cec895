"""Plain reference of the neighbor search and of the smoothing built on it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def nearest(points: NDArray, k: int, groups: NDArray | None = None) -> tuple[NDArray, NDArray]:
    """Sort all distances of every cell; equal distances by index."""
    n = len(points)
    groups = np.zeros(n, dtype=int) if groups is None else groups
    indices, distances = np.full((n, k), -1), np.full((n, k), np.inf)
    for i in range(n):
        others = np.flatnonzero((groups == groups[i]) & (np.arange(n) != i) & (groups[i] >= 0))
        length = np.sqrt(((points[others] - points[i]) ** 2).sum(axis=1))
        order = np.lexsort((others, length))[:k]
        indices[i, : len(order)], distances[i, : len(order)] = others[order], length[order]
    return indices, distances


def diffuse(expression: NDArray, knn: int = 5, steps: int = 3, n_components: int = 100) -> NDArray:
    """Diffusion over the adaptive kernel exp(-d / s_i), with dense matrices throughout."""
    centered = expression - expression.mean(axis=0)
    n = len(expression)
    left, lengths, _ = np.linalg.svd(centered, full_matrices=False)
    keep = min(n_components, n - 1, expression.shape[1])
    indices, distances = nearest(left[:, :keep] * lengths[:keep], 3 * knn)
    kernel = np.eye(n)
    for i in range(n):
        for j, d in zip(indices[i], distances[i], strict=True):
            if j >= 0 and np.exp(-d / distances[i, knn - 1]) >= 1e-4:
                kernel[i, j] = np.exp(-d / distances[i, knn - 1])
    kernel = (kernel + kernel.T) / 2
    kernel /= kernel.sum(axis=1, keepdims=True)
    return np.linalg.matrix_power(kernel, steps) @ expression
