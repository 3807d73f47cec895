"""Measures of agreement with known proportions."""

from cytoripple.deconv.flash.metrics import (
    compute_correlation,
    compute_jsd,
    compute_mae,
    compute_rare_cell_detection,
    compute_rmse,
    evaluate_deconvolution,
)

__all__ = [
    "compute_correlation",
    "compute_jsd",
    "compute_mae",
    "compute_rare_cell_detection",
    "compute_rmse",
    "evaluate_deconvolution",
]
