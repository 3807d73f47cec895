"""Log-normalized expression from counts."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from cytoripple import _anndata, _matrix
from cytoripple._errors import InputError, LayerError
from cytoripple.pp._record import record, recorded

if TYPE_CHECKING:
    from anndata import AnnData

log = logging.getLogger(__name__)


def normalize(
    adata: AnnData,
    *,
    layer: str | None = None,
    target_sum: float = 1e4,
    key_added: str = "normalized_count",
    copy: bool = False,
) -> AnnData | None:
    """Scale the counts of every cell to one sum and take ``log(1 + x)``.

    Parameters
    ----------
    adata
        Cells x genes, raw counts.
    layer
        Layer with the counts; None is ``adata.X``.
    target_sum
        Sum of every cell before the logarithm.
    key_added
        Name of the new layer.
    copy
        Return a changed copy instead of changing `adata`.

    Returns
    -------
    ``None``, or a modified copy when ``copy=True``. Adds

    ``adata.layers[key_added]``
        float32, sparse (CSR) when the counts are sparse. Cells without counts stay 0.
    ``adata.uns[key_added]``
        Function, version and parameters.

    Raises
    ------
    LayerError
        The layer is missing, holds NaN, infinite or negative values, or is already log-normalized.
    InputError
        `target_sum` is not positive.

    Examples
    --------
    >>> import cytoripple as ct
    >>> adata, _, _ = ct.datasets.toy_tissue(n_cells=100, n_genes=24)
    >>> ct.pp.normalize(adata, layer="counts", key_added="log_counts")
    >>> adata.layers["log_counts"].shape
    (100, 24)
    """
    if not (np.isfinite(target_sum) and target_sum > 0):
        raise InputError(f"target_sum is {target_sum}: give a positive number, e.g. target_sum=1e4")
    name = _anndata.layer_name(layer)
    values = _anndata.layer_values(adata, layer)
    _matrix.check_expression(values, name)
    _refuse_normalized(adata, layer, values, name)
    adata = adata.copy() if copy else adata
    counts = _matrix.as_float64(values, name)
    totals = np.asarray(counts.sum(axis=1), dtype=np.float64).ravel()
    factors = np.divide(target_sum, totals, out=np.zeros_like(totals), where=totals > 0)
    result: Any
    if sparse.issparse(counts):
        scaled = np.log1p(counts.data * np.repeat(factors, np.diff(counts.indptr)))
        result = sparse.csr_matrix(
            (scaled.astype(np.float32), counts.indices.copy(), counts.indptr.copy()), shape=counts.shape
        )
    else:
        result = np.log1p(counts * factors[:, None]).astype(np.float32)
    replaced = key_added in adata.layers
    adata.layers[key_added] = result
    record(adata, key_added, "normalize", layer=layer or "X", target_sum=float(target_sum))
    log.info(
        "normalized %d cells of %s to a sum of %g into layers[%r]%s; %d cells have no counts",
        adata.n_obs,
        name,
        target_sum,
        key_added,
        ", replacing it" if replaced else "",
        int((totals == 0).sum()),
    )
    return adata if copy else None


def _refuse_normalized(adata: AnnData, layer: str | None, values: Any, name: str) -> None:
    made_here = layer is not None and recorded(adata, layer, "normalize") is not None
    if not (made_here or _matrix.looks_log_normalized(values)):
        return
    counts = [str(key) for key in adata.layers if _matrix.looks_like_counts(adata.layers[key])]
    hint = f"layer={counts[0]!r}" if counts else "the layer with the counts, e.g. layer='counts'"
    raise LayerError(
        f"{name} is already log-normalized (fractions, largest {_matrix.largest_entry(values):.3g}), "
        f"expected counts: give {hint}, or use it as it is with layer={layer or 'X'!r}"
    )
