"""Which spots are neighbors."""

from __future__ import annotations

import logging
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from cytoripple import _core
from cytoripple._errors import CoordinatesError, InputError
from cytoripple.kernels import _check

log = logging.getLogger(__name__)

Links: TypeAlias = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Offsets and neighbors of a symmetric graph in compressed rows."""

NEIGHBORS = 6


def check_coords(coords: ArrayLike, sections: NDArray[np.int64]) -> NDArray[np.float64]:
    """Spots x dimensions, float64.

    Raises
    ------
    CoordinatesError
        Wrong shape, NaN or infinite values, or all spots of a section at one place.
    """
    try:
        array = _check.real("coords", coords, ndim=2)
    except InputError as error:
        raise CoordinatesError(str(error)) from error
    if len(array) != len(sections):
        raise CoordinatesError(f"coords has {len(array)} rows, expected one per spot ({len(sections)})")
    if array.shape[1] == 0:
        raise CoordinatesError(f"coords has shape {array.shape}: expected at least one dimension")
    for section in np.unique(sections):
        part = array[sections == section]
        if len(part) > 1 and not np.ptp(part, axis=0).any():
            raise CoordinatesError(
                f"all {len(part)} spots{_where(section, sections)} have the same coordinates, "
                f"{part[0].tolist()}, expected positions: give the right spatial_key, or fit without "
                "coordinates (spatial_key=None)"
            )
        if 1 < len(part) <= NEIGHBORS:
            log.warning(
                "only %d spots%s: every spot is a neighbor of all others",
                len(part),
                _where(section, sections),
            )
    return array


def _where(section: int, sections: NDArray[np.int64]) -> str:
    return "" if (sections == sections[0]).all() else f" of section {section}"


def nearest(
    coords: NDArray[np.float64],
    sections: NDArray[np.int64],
    empty: NDArray[np.bool_],
    threads: int,
) -> Links:
    """Link every spot with its 6 nearest in the same section, ties by index, in both directions.

    Spots without counts have no neighbors and are nobody's neighbor.
    """
    return _core.neighbor_graph(coords, sections, NEIGHBORS, empty, threads)


def given(graph: Any, sections: NDArray[np.int64], empty: NDArray[np.bool_]) -> Links:
    """Links of a sparse spots x spots matrix whose entries mark neighbors; values are ignored.

    Raises
    ------
    InputError
        The matrix is not square, not symmetric, or links spots of different sections.
    """
    n = len(sections)
    matrix = sparse.csr_matrix(graph, dtype=np.float64)
    if matrix.shape != (n, n):
        raise InputError(f"graph has shape {matrix.shape}: expected spots x spots, ({n}, {n})")
    matrix = sparse.csr_matrix((np.ones(matrix.nnz), matrix.indices, matrix.indptr), shape=(n, n))
    matrix.setdiag(0)
    matrix.eliminate_zeros()
    matrix.sum_duplicates()
    matrix.data[:] = 1
    difference: Any = matrix - matrix.T
    if np.any(difference.data):
        raise InputError("graph is not symmetric: give graph + graph.T")
    links = matrix.tocoo()
    if (sections[links.row] != sections[links.col]).any():
        raise InputError("graph links spots of different sections: remove those entries")
    keep = ~(empty[links.row] | empty[links.col])
    ones = np.ones(int(keep.sum()))
    kept = sparse.csr_matrix((ones, (links.row[keep], links.col[keep])), shape=(n, n))
    return kept.indptr.astype(np.int64), kept.indices.astype(np.int64)
