"""Choice of genes."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cytoripple._errors import InputError, LayerError, did_you_mean

if TYPE_CHECKING:
    from anndata import AnnData


def most_variable_genes(
    adata: AnnData, n: int, *, layer: str = "X", among: Collection[str] | None = None
) -> list[str]:
    """Genes whose expression varies most between the cells.

    Parameters
    ----------
    adata
        Cells x genes. Use a normalized (and possibly imputed) layer: in raw counts the variance follows the
        sequencing depth.
    n
        How many genes at most. Genes that do not vary are never taken.
    layer
        Layer of the variance; ``"X"`` is ``adata.X``.
    among
        Genes to choose from, e.g. those with a regulator in the network. Default: all.

    Returns
    -------
    Gene names in the order of ``adata.var_names``. Equal variances are decided by that order, so the
    choice is the same every time.

    Raises
    ------
    InputError
        `n` is below 1.
    LayerError
        The layer is missing.

    Examples
    --------
    >>> targets = ct.pp.most_variable_genes(adata, 1000, layer="normalized_count")  # doctest: +SKIP
    """
    if n < 1:
        raise InputError(f"n is {n}: ask for at least one gene")
    variance = _variances(adata, layer)
    if among is not None:
        variance[~adata.var_names.isin(list(among))] = 0.0
    order = np.argsort(-variance, kind="stable")[: min(n, int((variance > 0).sum()))]
    return [str(adata.var_names[position]) for position in sorted(order)]


def _variances(adata: AnnData, layer: str) -> NDArray[np.float64]:
    """Compute the population variance of each gene, without making a sparse layer dense."""
    if layer not in ("X", "") and layer not in adata.layers:
        known = list(adata.layers)[:20]
        raise LayerError(f"there is no layer {layer!r}{did_you_mean(layer, known)}; layers: {known}, or 'X'")
    matrix = adata.X if layer in ("X", "") else adata.layers[layer]
    if isinstance(matrix, np.ndarray):
        return np.asarray(matrix.var(axis=0, dtype=np.float64))
    mean = np.asarray(matrix.mean(axis=0, dtype=np.float64)).ravel()
    square = np.asarray(matrix.astype(np.float64).multiply(matrix).mean(axis=0)).ravel()
    variance: NDArray[np.float64] = np.maximum(square - mean**2, 0.0)
    return variance
