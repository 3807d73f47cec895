"""Nearest neighbors on plain arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cytoripple import _core
from cytoripple._errors import InputError
from cytoripple._progress import Progress
from cytoripple.kernels import _check


def nearest_neighbors(
    points: ArrayLike,
    k: int,
    *,
    groups: ArrayLike | None = None,
    threads: int = 0,
    progress: Progress | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Find the `k` nearest other cells of every cell, exactly.

    All pairs of a group are compared, which is the fastest exact way in the 10 to 100 dimensions of
    principal components. The result does not depend on the number of threads.

    Parameters
    ----------
    points
        Cells x dimensions, finite, any unit.
    k
        Number of neighbors, at least 1.
    groups
        Integer per cell: cells of different groups are never neighbors, a cell with a negative group has
        none. None puts all cells into one group.
    threads
        0 takes every core.
    progress
        Observer of the search.

    Returns
    -------
    indices
        Cells x k, int64, nearest first, equal distances by index; -1 where a group has no more cells.
    distances
        Cells x k, float64, Euclidean; infinite where the index is -1.

    Raises
    ------
    InputError
        Shapes disagree, a value is not finite, or `k` is not positive.

    Examples
    --------
    >>> from cytoripple.kernels.neighbors import nearest_neighbors
    >>> indices, distances = nearest_neighbors([[0.0], [1.0], [3.0]], 1)
    >>> indices.ravel().tolist(), distances.ravel().tolist()
    ([1, 0, 1], [1.0, 1.0, 2.0])
    """
    array = _check.real("points", points, ndim=2)
    if array.shape[1] == 0:
        raise InputError(f"points has shape {array.shape}: expected at least one dimension")
    if int(k) != k or k < 1:
        raise InputError(f"k is {k}: ask for at least 1 neighbor")
    labels = None if groups is None else _check.integers("groups", groups, length=array.shape[0])
    tick = None if progress is None else lambda done, total: progress.update(done, total, "neighbors")
    return _core.nearest_neighbors(array, int(k), labels, threads, tick)
