"""Where the layer of a training comes from: whole counts, times a factor per cell, under a logarithm.

Only then the noise of counting is known, and can be taken out of the fit.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from cytoripple._anndata import Tissue, layer_name, layer_values
from cytoripple._errors import LayerError
from cytoripple._matrix import Matrix, is_whole
from cytoripple._settings import Settings

if TYPE_CHECKING:
    from anndata import AnnData

log = logging.getLogger(__name__)

_COUNT_LAYERS = ("counts", "raw_count", "raw_counts", "count")
_RTOL = 1e-3  # layers of single precision, and of logarithms near 0, agree this well
_ROWS = 4096


def with_size_factors(adata: AnnData, tissue: Tissue, settings: Settings) -> Tissue:
    """Tissue that knows its size factors, where the training wants the noise of counting and can have it.

    Raises
    ------
    LayerError
        ``training.noise_correction`` is True and the layer is not made from counts that the data hold.
    """
    wanted = settings.training.noise_correction
    if settings.training.estimator != "joint" or wanted is False:
        return tissue
    factors, where = size_factors(adata, tissue.layer, tissue.expression)
    if factors is not None:
        log.info("noise of counting: taken from %s", where)
        return replace(tissue, size_factors=factors)
    if wanted is True:
        raise LayerError(
            f"noise_correction is True, but {where}: train on log-normalized counts, "
            'ct.pp.normalize(adata), or leave noise_correction at "auto"'
        )
    log.warning("the noise of counting is not taken out of the fit: %s", where)
    return tissue


def size_factors(adata: AnnData, layer: str, values: Matrix) -> tuple[NDArray[np.float64] | None, str]:
    """Factor f of every cell such that the layer is ``log1p(count * f)``.

    Parameters
    ----------
    adata
        Looked through for counts: layers ``counts``, ``raw_count``, ``raw_counts``, ``count``, then ``X``.
    layer
        The layer that is fitted.
    values
        Its values, cells x genes.

    Returns
    -------
    The factors, float64, one per cell (1 for a cell without counts), and the name of the counts; or None and
    the reason why there are none.
    """
    names = [name for name in (*_COUNT_LAYERS, "X") if name != layer]
    names = [name for name in names if name in adata.layers or (name == "X" and adata.X is not None)]
    wrong = []
    for name in names:
        counts = layer_values(adata, name)
        if not is_whole(counts):
            continue
        factors = _factors(counts, values)
        if factors is not None:
            return factors, layer_name(name)
        wrong.append(layer_name(name))
    if wrong:
        return None, f"{layer_name(layer)} is not log1p of {' or '.join(wrong)} times one factor per cell"
    return None, "there are no whole counts in layers['counts'], layers['raw_count'] or X"


def _factors(counts: Any, values: Matrix) -> NDArray[np.float64] | None:
    factors = np.ones(values.shape[0])
    if not isinstance(counts, np.ndarray):
        counts = counts.tocsr()
    for first in range(0, values.shape[0], _ROWS):
        rows = slice(first, first + _ROWS)
        raw: Any = sparse.csr_matrix(counts[rows]).astype(np.float64)
        linear: Any = sparse.csr_matrix(values[rows])
        for matrix in (raw, linear):
            matrix.eliminate_zeros()
            matrix.sort_indices()
        same = np.array_equal(raw.indptr, linear.indptr) and np.array_equal(raw.indices, linear.indices)
        if not same or (raw.data < 0).any():
            return None
        per_cell = np.diff(raw.indptr)
        linear.data = np.expm1(linear.data)
        filled = per_cell > 0
        sums = np.asarray(linear.sum(axis=1)).reshape(-1)[filled]
        found = sums / np.asarray(raw.sum(axis=1)).reshape(-1)[filled]
        if not np.allclose(linear.data, raw.data * np.repeat(found, per_cell[filled]), rtol=_RTOL, atol=0.0):
            return None
        factors[rows][filled] = found
    return factors
