"""Deconvolution of AnnData in place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from cytoripple.compat.flashdeconv.io import prepare_data, result_to_anndata
from cytoripple.compat.flashdeconv.model import FlashDeconv
from cytoripple.deconv.flash.settings import GeneWeighting, Preprocess, SpatialMethod

if TYPE_CHECKING:
    from anndata import AnnData


def deconvolve(
    adata_st: AnnData,
    adata_ref: AnnData,
    cell_type_key: str = "cell_type",
    *,
    sketch_dim: int = 512,
    lambda_spatial: float | Literal["auto"] = "auto",
    rho_sparsity: float = 0.01,
    n_hvg: int = 2000,
    n_markers_per_type: int = 50,
    spatial_method: SpatialMethod = "knn",
    k_neighbors: int = 6,
    radius: float | None = None,
    max_iter: int = 1000,
    tol: float = 1e-4,
    preprocess: Preprocess = "log_cpm",
    layer_st: str | None = None,
    layer_ref: str | None = None,
    spatial_key: str = "spatial",
    key_added: str = "flashdeconv",
    random_state: int = 0,
    gene_weighting: GeneWeighting = "expected",
    copy: bool = False,
) -> AnnData | None:
    """Estimate cell-type proportions of spots from annotated cells.

    Writes ``obsm[key_added]`` (spots x types), ``obs[key_added + "_dominant"]`` (categorical with all types)
    and ``uns[key_added + "_params"]``. Returns None, or the changed copy.
    """
    settings: dict[str, Any] = {
        "sketch_dim": sketch_dim,
        "lambda_spatial": lambda_spatial,
        "rho_sparsity": rho_sparsity,
        "n_hvg": n_hvg,
        "n_markers_per_type": n_markers_per_type,
        "spatial_method": spatial_method,
        "k_neighbors": k_neighbors,
        "radius": radius,
        "max_iter": max_iter,
        "tol": tol,
        "preprocess": preprocess,
        "random_state": random_state,
        "gene_weighting": gene_weighting,
    }
    model = FlashDeconv(**settings)
    adata = adata_st.copy() if copy else adata_st
    counts, signatures, coords, names, _ = prepare_data(
        adata, adata_ref, cell_type_key, spatial_key, layer_st, layer_ref
    )
    model.fit(counts, signatures, coords, cell_type_names=names)
    result_to_anndata(model.proportions_, adata, names, key_added)
    adata.uns[f"{key_added}_params"] = settings | {
        "cell_type_key": cell_type_key,
        "layer_st": layer_st,
        "layer_ref": layer_ref,
        "spatial_key": spatial_key,
        "lambda_spatial": model.lambda_used_,
        "n_genes_used": len(model.gene_idx_),
        "n_cell_types": model.n_cell_types_,
        "cell_type_names": list(map(str, names)),
        "converged": model.info_["converged"],
        "n_iterations": model.info_["n_iterations"],
    }
    return adata if copy else None
