"""Received ligands by their definition, one pass of NumPy per kernel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def distances(xy: Array, other: Array | None = None) -> Array:
    other = xy if other is None else other
    return np.sqrt(np.square(xy[:, None, :] - other[None, :, :]).sum(axis=2))


def gaussian(d: Array, radius: float) -> Array:
    return np.exp(-0.5 * np.square(d / radius))


def gaussian_truncated(d: Array, radius: float) -> Array:
    return np.where(d <= radius, gaussian(d, radius / np.sqrt(-2 * np.log(0.001))), 0.0)


def gaussian_cutoff(d: Array, radius: float, cutoff: float) -> Array:
    return np.where(d <= cutoff, gaussian(d, radius), 0.0)


def received(xy: Array, ligands: Array, kernel: str, radius: float, cutoff: float | None = None) -> Array:
    extra = {} if cutoff is None else {"cutoff": cutoff}
    return globals()[kernel](distances(xy), radius, **extra) @ ligands / len(xy)


def anchors(xy: Array, ligands: Array, radius: float, factor: float) -> Array:
    """Bilinear interpolation of the exact sum on a grid of spacing ``factor * radius``."""
    h = factor * radius
    low, high = xy.min(axis=0) - h, xy.max(axis=0) + h
    nx, ny = np.ceil((high - low) / h).astype(int) + 1
    if nx * ny >= len(xy):
        return received(xy, ligands, "gaussian", radius)
    grid = np.stack(np.meshgrid(low[0] + np.arange(nx) * h, low[1] + np.arange(ny) * h), axis=-1).reshape(
        -1, 2
    )
    values = gaussian(distances(grid, xy), radius) @ ligands / len(xy)
    u = (xy - low) / h
    a, f = np.floor(u).astype(int), u - np.floor(u)
    out = np.zeros_like(ligands)
    for i, wx in ((0, 1 - f[:, 0]), (1, f[:, 0])):
        for j, wy in ((0, 1 - f[:, 1]), (1, f[:, 1])):
            at = np.minimum(a[:, 1] + j, ny - 1) * nx + np.minimum(a[:, 0] + i, nx - 1)
            out += (wx * wy)[:, None] * values[at]
    return out
