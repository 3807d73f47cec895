"""Agreement of whole distributions of cells, and of the groups that perturbations form."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytoripple._optional import require
from cytoripple.vc._screen import Screen
from cytoripple.vc._statistics import pearson

_NEIGHBORS = 15
_REAL_RESOLUTION = 1.0
_RESOLUTIONS = (0.2, 0.4, 0.6, 0.8, 1.0, 1.5, 2.0)
_SPREAD = 1e-9
"""Relative spread below which the distances are one number and rounding."""


def energy_correlation(real: Screen, pred: Screen, *, noise: float, threads: int = 0) -> float:
    """Correlation over perturbations of the energy distances to the control, measured and predicted.

    The energy distance of cells x to control cells y is ``2 E|x - y| - E|x - x'| - E|y - y'|`` over all
    pairs. With a positive `noise`, distances that differ by rounding only have no correlation (NaN).
    """
    sides = []
    for screen in (real, pred):
        distances = screen.energy_distances(threads)
        spread = float(np.ptp(distances))
        if noise > 0 and spread <= _SPREAD * float(np.abs(distances).max()):
            return float("nan")
        sides.append(distances)
    return pearson(sides[1], sides[0])


def clustering_agreement(real_means: NDArray[np.float64], pred_means: NDArray[np.float64]) -> float:
    """Best adjusted mutual information of the Leiden clusters of the mean cells, measured and predicted.

    Both arguments are perturbations x genes. The measured means are clustered at resolution 1, the
    predicted ones at seven; the nearest-neighbor graphs have 15 neighbors.

    Raises
    ------
    ImportError
        scanpy or igraph is not installed.
    """
    for module in ("scanpy", "igraph"):
        require(module, extra="vc", purpose="clustering_agreement")
    from sklearn.metrics import adjusted_mutual_info_score

    truth = _leiden(real_means, (_REAL_RESOLUTION,))[0]
    return max(
        float(adjusted_mutual_info_score(truth, labels)) for labels in _leiden(pred_means, _RESOLUTIONS)
    )


def _leiden(means: NDArray[np.float64], resolutions: tuple[float, ...]) -> list[Any]:
    import warnings

    import anndata
    import scanpy

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scanpy and its libraries announce their future defaults
        centroids = anndata.AnnData(means)
        scanpy.pp.neighbors(centroids, n_neighbors=min(_NEIGHBORS, len(means) - 1), use_rep="X")
        out = []
        for resolution in resolutions:
            scanpy.tl.leiden(
                centroids, resolution=resolution, flavor="igraph", n_iterations=2, directed=False
            )
            out.append(centroids.obs["leiden"].to_numpy())
    return out
