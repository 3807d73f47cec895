"""Graphs and measures."""

from cytoripple.compat.flashdeconv.utils import graph, metrics
from cytoripple.compat.flashdeconv.utils.graph import (
    build_knn_graph,
    build_radius_graph,
    coords_to_adjacency,
)
from cytoripple.compat.flashdeconv.utils.metrics import (
    compute_correlation,
    compute_jsd,
    compute_mae,
    compute_rmse,
    evaluate_deconvolution,
)

__all__ = [
    "build_knn_graph",
    "build_radius_graph",
    "compute_correlation",
    "compute_jsd",
    "compute_mae",
    "compute_rmse",
    "coords_to_adjacency",
    "evaluate_deconvolution",
    "graph",
    "metrics",
]
