"""Neighbor graphs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse

from cytoripple.deconv.flash.graph import spatial_graph
from cytoripple.kernels._check import real


def coords_to_adjacency(
    coords: ArrayLike, method: str = "knn", k: int = 6, radius: float | None = None
) -> Any:
    """Link spots by ``"knn"``, ``"radius"`` or ``"grid"``; see `spatial_graph`."""
    return spatial_graph(real("coords", coords, ndim=2), method, k=k, radius=radius)


def build_knn_graph(coords: ArrayLike, k: int = 6, include_self: bool = False) -> Any:
    """Link each spot and its `k` nearest others in both directions."""
    return _loops(coords_to_adjacency(coords, "knn", k=k), include_self)


def build_radius_graph(coords: ArrayLike, radius: float, include_self: bool = False) -> Any:
    """Link all pairs of spots at most `radius` apart."""
    return _loops(coords_to_adjacency(coords, "radius", radius=radius), include_self)


def build_grid_graph(coords: ArrayLike, grid_spacing: float | None = None) -> Any:
    """Link all pairs within 1.5 times the spacing, by default the median distance to the nearest other."""
    if grid_spacing is None:
        return coords_to_adjacency(coords, "grid")
    return coords_to_adjacency(coords, "radius", radius=1.5 * grid_spacing)


def _loops(graph: Any, include_self: bool) -> Any:
    return sparse.csr_matrix(graph + sparse.eye(graph.shape[0], dtype=np.float64)) if include_self else graph
