"""The result of a simulation in AnnData: only the columns that changed are new."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

if TYPE_CHECKING:
    from anndata import AnnData

    from cytoripple.perturb.engine import Outcome


def store_layers(
    adata: AnnData,
    *,
    layer: str,
    key: str,
    outcome: Outcome,
) -> None:
    """Write ``layers[key]`` and ``layers[key + "_delta"]``.

    They are sparse (CSR) when the source layer is sparse, float32 when it is float32, else float64.

    Parameters
    ----------
    layer
        Source layer; ``"X"`` is ``adata.X``.
    key
        Name of the result.
    outcome
        Columns that changed.
    """
    from cytoripple._anndata import layer_values

    columns, simulated = outcome.columns, outcome.simulated
    delta = simulated - outcome.baseline
    source = layer_values(adata, layer)
    dtype = np.float32 if source.dtype == np.float32 else np.float64
    if sparse.issparse(source):
        new, change = _sparse_layers(source, columns, simulated, delta, dtype)
    else:
        new = np.array(source, dtype=dtype)
        new[:, columns] = simulated
        change = np.zeros(new.shape, dtype=dtype)
        change[:, columns] = delta
    adata.layers[key] = new
    adata.layers[f"{key}_delta"] = change


def _sparse_layers(
    source: Any,
    columns: NDArray[np.int64],
    simulated: NDArray[np.float64],
    delta: NDArray[np.float64],
    dtype: type[np.floating[Any]],
) -> tuple[Any, Any]:
    rows = sparse.csr_matrix(source)
    keep = np.ones(rows.shape[1], dtype=bool)
    keep[columns] = False
    kept = keep[rows.indices]
    counts = np.add.reduceat(np.append(kept, False), rows.indptr[:-1]) * (np.diff(rows.indptr) > 0)
    indptr = np.concatenate([[0], np.cumsum(counts)])
    unchanged = sparse.csr_matrix(
        (rows.data[kept].astype(dtype), rows.indices[kept], indptr), shape=rows.shape
    )
    # the two patterns share no column, so the sum copies values and rounds nothing
    new = unchanged + _spread(simulated.astype(dtype), columns, rows.shape)
    return new, _spread(delta.astype(dtype), columns, rows.shape)


def _spread(block: NDArray[Any], columns: NDArray[np.int64], shape: tuple[int, int]) -> Any:
    """Columns of a wide sparse matrix that is 0 elsewhere."""
    found = sparse.csr_matrix(block)
    return sparse.csr_matrix((found.data, columns[found.indices], found.indptr), shape=shape)
