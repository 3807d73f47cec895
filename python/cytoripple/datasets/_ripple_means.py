"""Mean changes of a perturbed tissue: per cell type, and by distance to the nearest perturbed cell."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

DISTANCE_BINS = (0.0, 30.0, 60.0, 90.0, 130.0, 180.0, np.inf)
MIN_CELLS = 5

Floats = NDArray[np.float64]


def type_means(delta: ArrayLike, types: NDArray[np.int64], n_types: int) -> Floats:
    """Mean change per cell type.

    Parameters
    ----------
    delta
        Cells x genes.
    types
        Type of each cell, 0 to ``n_types - 1``.
    n_types
        Number of types.

    Returns
    -------
    Types x genes, float64; NaN for a type without cells.
    """
    values = np.asarray(delta, dtype=np.float64)
    means = np.full((n_types, values.shape[1]), np.nan)
    for kind in np.unique(types):
        means[kind] = values[types == kind].mean(axis=0)
    return means


def ripple_means(
    delta: ArrayLike,
    cells: NDArray[np.bool_],
    xy: Floats,
    types: NDArray[np.int64],
    n_types: int,
    bins: tuple[float, ...] = DISTANCE_BINS,
) -> Floats:
    """Mean change of the cells that were not perturbed, by distance to the nearest perturbed cell.

    Parameters
    ----------
    delta
        Cells x genes.
    cells
        Perturbed cells, at least one.
    xy
        Coordinates, cells x 2.
    types, n_types
        As in `type_means`.
    bins
        Edges of the bins; a cell belongs to the one with lower edge < distance <= upper edge.

    Returns
    -------
    Bins x types x genes, float64; NaN where fewer than 5 cells are.
    """
    from scipy.spatial import cKDTree

    values = np.asarray(delta, dtype=np.float64)
    distance = np.asarray(cKDTree(xy[cells]).query(xy)[0])
    place = np.searchsorted(bins, distance, side="left") - 1
    means = np.full((len(bins) - 1, n_types, values.shape[1]), np.nan)
    for b in range(len(bins) - 1):
        for kind in range(n_types):
            inside = (place == b) & (types == kind) & ~cells
            if inside.sum() >= MIN_CELLS:
                means[b, kind] = values[inside].mean(axis=0)
    return means
