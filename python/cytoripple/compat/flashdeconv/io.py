"""From AnnData to arrays and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from cytoripple._errors import (
    ClusterError,
    CoordinatesError,
    GeneMatchError,
    InputError,
    LayerError,
    did_you_mean,
)
from cytoripple._matrix import dense

if TYPE_CHECKING:
    from anndata import AnnData

Names = NDArray[Any]
Floats = NDArray[np.float64]


def _layer(adata: AnnData, layer: str | None) -> Any:
    if layer is None:
        return adata.X
    if layer not in adata.layers:
        raise LayerError(f"there is no layer {layer!r}{did_you_mean(layer, map(str, adata.layers))}")
    return adata.layers[layer]


def load_spatial_data(
    adata: AnnData, layer: str | None = None, coord_key: str = "spatial"
) -> tuple[Any, Floats, Names]:
    """Return counts, coordinates and gene names of spots.

    Coordinates are ``obsm[coord_key]``, else ``obsm["X_spatial"]``, else the columns x and y, else array_row
    and array_col of ``obs``.

    Raises
    ------
    LayerError
        No such layer.
    CoordinatesError
        No coordinates.
    """
    counts, genes = _layer(adata, layer), np.asarray(adata.var_names)
    for key in (coord_key, "X_spatial"):
        if key in adata.obsm:
            return counts, np.asarray(adata.obsm[key]), genes
    for pair in (["x", "y"], ["array_row", "array_col"]):
        if set(pair) <= set(adata.obs.columns):
            return counts, adata.obs[pair].to_numpy(), genes
    raise CoordinatesError(
        f"no coordinates: neither obsm[{coord_key!r}] nor obsm['X_spatial'], "
        "nor x and y or array_row and array_col in obs"
    )


def load_reference(
    adata_ref: AnnData, cell_type_key: str = "cell_type", layer: str | None = None, method: str = "mean"
) -> tuple[Floats, Names, Names]:
    """Return the mean (or sum) of the counts of each type's cells, names in sorted order, gene names.

    Deep cells weigh more; `cytoripple.deconv.signatures` offers alternatives.

    Raises
    ------
    ClusterError
        No such column, or cells without a label.
    """
    if cell_type_key not in adata_ref.obs:
        hint = did_you_mean(cell_type_key, map(str, adata_ref.obs.columns))
        raise ClusterError(f"the reference has no column {cell_type_key!r} in obs{hint}")
    if method not in ("mean", "sum"):
        raise InputError(f"method is {method!r}: choose 'mean' or 'sum'")
    labels = adata_ref.obs[cell_type_key]
    if labels.isna().any():
        raise ClusterError(f"{int(labels.isna().sum())} cells have no {cell_type_key}: label or remove them")
    names, kinds = np.unique(labels.astype(str).to_numpy(), return_inverse=True)
    counts = _layer(adata_ref, layer)
    where = (np.ones(kinds.size), (kinds, np.arange(kinds.size)))
    totals = dense(sparse.csr_matrix(where, shape=(names.size, kinds.size)) @ counts).astype(np.float64)
    if method == "mean":
        totals = totals / np.bincount(kinds)[:, None]
    return totals, names, np.asarray(adata_ref.var_names)


def align_genes(
    Y: Any, X: ArrayLike, genes_spatial: ArrayLike, genes_ref: ArrayLike
) -> tuple[Any, Floats, Names]:
    """Restrict both sides to the sorted genes they share; of repeated names the first counts.

    Raises
    ------
    GeneMatchError
        No gene in common.
    """
    ours, theirs = np.asarray(genes_spatial).astype(str), np.asarray(genes_ref).astype(str)
    shared, left, right = np.intersect1d(ours, theirs, return_indices=True)
    if shared.size == 0:
        raise GeneMatchError(
            f"spots ({', '.join(ours[:3])}, ...) and reference ({', '.join(theirs[:3])}, ...) share no gene: "
            "use the same kind of names on both sides"
        )
    return Y[:, left], np.asarray(X)[:, right], shared


def prepare_data(
    adata_st: AnnData,
    adata_ref: AnnData,
    cell_type_key: str = "cell_type",
    spatial_coord_key: str = "spatial",
    layer_st: str | None = None,
    layer_ref: str | None = None,
) -> tuple[Any, Floats, Floats, Names, Names]:
    """Return counts, reference, coordinates, names of types and of shared genes."""
    counts, coords, ours = load_spatial_data(adata_st, layer_st, spatial_coord_key)
    signatures, names, theirs = load_reference(adata_ref, cell_type_key, layer_ref)
    counts, signatures, genes = align_genes(counts, signatures, ours, theirs)
    return counts, signatures, coords, names, genes


def result_to_anndata(
    beta: ArrayLike,
    adata: AnnData,
    cell_type_names: ArrayLike | None = None,
    key_added: str = "flashdeconv",
) -> AnnData:
    """Write spots x types to ``obsm[key_added]`` and the largest type to ``obs[key_added + "_dominant"]``.

    Raises
    ------
    InputError
        Shapes or names do not fit.
    """
    import pandas as pd

    values = np.asarray(beta)
    if values.ndim != 2 or values.shape[0] != adata.n_obs:
        raise InputError(f"beta has shape {values.shape}: expected {adata.n_obs} x types")
    if cell_type_names is None:
        cell_type_names = [f"CellType_{kind}" for kind in range(values.shape[1])]
    names = np.asarray(cell_type_names).astype(str)
    if names.shape != (values.shape[1],):
        raise InputError(f"cell_type_names has {names.size} names: expected {values.shape[1]}")
    adata.obsm[key_added] = pd.DataFrame(values, index=adata.obs_names, columns=names)
    adata.obs[f"{key_added}_dominant"] = pd.Categorical(names[values.argmax(axis=1)], categories=names)
    return adata
