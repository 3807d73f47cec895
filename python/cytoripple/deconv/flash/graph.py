"""Neighbor graphs of spots: binary, symmetric, a function of the coordinates alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from cytoripple import _core
from cytoripple._errors import InputError
from cytoripple.kernels._check import integers

Adjacency = sparse.csr_matrix


def spatial_graph(
    coords: NDArray[np.float64],
    method: str = "knn",
    *,
    k: int = 6,
    radius: float | None = None,
    samples: ArrayLike | None = None,
    threads: int = 0,
) -> sparse.csr_matrix[np.float64]:
    """Link neighboring spots.

    Parameters
    ----------
    coords
        Spots x dimensions (any number of them), Euclidean.
    method
        ``"knn"``: the `k` nearest others, equal distances by position, links in both directions;
        ``"radius"``: all pairs at most `radius` apart;
        ``"grid"``: all pairs within 1.5 times the median distance to the nearest other.
    k, radius
        See `method`.
    samples
        Integer per spot: spots of different samples are never linked, a grid has its own spacing in each.
    threads
        0 takes every core.

    Returns
    -------
    Spots x spots, ones, no diagonal.

    Raises
    ------
    InputError
        A radius is missing, samples do not fit.
    """
    n = coords.shape[0]
    if samples is None:
        return _matrix(*_links(coords, method, k, radius, threads), n)
    labels = integers("samples", samples, length=n)
    starts, ends = [], []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        indptr, indices = _links(np.ascontiguousarray(coords[members]), method, k, radius, threads)
        starts.append(np.repeat(members, np.diff(indptr)))
        ends.append(members[indices])
    row, column = np.concatenate(starts), np.concatenate(ends)
    graph = sparse.csr_matrix((np.ones(row.size), (row, column)), shape=(n, n))
    graph.sort_indices()
    return graph


def _links(
    coords: NDArray[np.float64], method: str, k: int, radius: float | None, threads: int
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    if method == "knn":
        return _core.flash_graph(coords, k=k, threads=threads)
    if coords.shape[0] < 2:
        return np.zeros(coords.shape[0] + 1, dtype=np.int64), np.zeros(0, dtype=np.int32)
    if method == "grid":
        radius = 1.5 * float(np.median(_core.flash_nearest_distance(coords, threads=threads)))
    if radius is None:
        raise InputError("radius is None: give a length, or choose method 'knn' or 'grid'")
    return _core.flash_graph(coords, radius=radius, threads=threads)


def _matrix(indptr: NDArray[np.int64], indices: NDArray[np.int32], n: int) -> sparse.csr_matrix[np.float64]:
    return sparse.csr_matrix((np.ones(indices.size), indices, indptr), shape=(n, n))
