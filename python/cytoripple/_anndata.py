"""The border: everything cytoripple reads out of an AnnData object is picked and checked here, once."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from cytoripple import _labels, _matrix
from cytoripple._errors import ClusterError, CoordinatesError, InputError, LayerError, did_you_mean
from cytoripple._matrix import Matrix, looks_like_counts
from cytoripple._names import find_genes

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = [
    "Tissue",
    "cell_thresholds",
    "coordinates",
    "layer_name",
    "layer_values",
    "looks_like_counts",
    "read_tissue",
]

log = logging.getLogger(__name__)

_SPATIAL_KEYS = ("spatial", "X_spatial", "spatial_loc")


@dataclass(frozen=True, eq=False)
class Tissue:
    """Checked arrays of one tissue; nothing of AnnData is needed after this point.

    Parameters
    ----------
    obs_names, var_names
        Distinct names of cells and genes.
    expression
        Cells x genes of the chosen layer: float64, C-contiguous when the layer was dense, else sorted CSR.
    xy
        Cells x 2 (x 3 when asked for), in the units of the data.
    clusters
        Cluster id of each cell, 0 to K - 1.
    cluster_labels
        Text of each id; ``str(id)`` for numeric columns, also for ids without cells.
    samples, sample_labels
        Section of each cell and the text of each section; None and empty without `sample_key`.
    cell_types
        Majority cell-type label of each cluster, empty when the data has none.
    layer, cluster_key, spatial_key, sample_key
        Where the arrays came from; the layer is ``"X"`` for ``adata.X``.
    size_factors
        Factor f of each cell for which the layer is ``log1p(count * f)``, where that is known.
    """

    obs_names: pd.Index[str]
    var_names: pd.Index[str]
    expression: Matrix
    xy: NDArray[np.float64]
    clusters: NDArray[np.int64]
    cluster_labels: tuple[str, ...]
    samples: NDArray[np.int64] | None
    sample_labels: tuple[str, ...]
    cell_types: dict[int, str]
    layer: str
    cluster_key: str
    spatial_key: str
    sample_key: str | None
    size_factors: NDArray[np.float64] | None = None

    def column(self, gene: str) -> NDArray[np.float64]:
        """Expression of one gene, dense, one value per cell."""
        return self.columns([gene])[:, 0]

    def columns(self, genes: Sequence[str]) -> NDArray[np.float64]:
        """Expression of several genes, dense, cells x genes, in the order asked for.

        Raises
        ------
        GeneMatchError
            A gene is not measured; the nearest names are offered.
        """
        positions = find_genes(genes, self.var_names)
        return np.ascontiguousarray(_matrix.dense(self.expression[:, positions]))


def read_tissue(
    adata: AnnData,
    *,
    cluster_key: str,
    layer: str,
    spatial_key: str | None = None,
    sample_key: str | None = None,
    spatial_dims: Literal[2, 3] = 2,
) -> Tissue:
    """Pick and check the arrays of a tissue. The AnnData object is not changed.

    Parameters
    ----------
    adata
        Cells x genes with distinct names.
    cluster_key
        Column of ``adata.obs``. Text and categories are encoded by sorted label, whole numbers keep their
        value.
    layer
        Name in ``adata.layers``; ``"X"`` or ``""`` is ``adata.X``. Dense, CSR or CSC, any real dtype.
    spatial_key
        Key of ``adata.obsm``; None takes the first usable of ``spatial``, ``X_spatial``, ``spatial_loc``.
    sample_key
        Column of ``adata.obs`` that names the section of each cell.
    spatial_dims
        2 uses the first two columns of the coordinates; 3 needs exactly three.

    Raises
    ------
    LayerError, ClusterError, CoordinatesError, InputError
        Before any work: a layer, column or key is missing, a name occurs twice, or a value cannot be used.
    """
    check_names(adata)
    name = layer_name(layer)
    values = layer_values(adata, layer)
    _matrix.check_expression(values, name)
    column = _labels.obs_column(adata.obs, cluster_key, argument="cluster_key", error=ClusterError)
    clusters, cluster_labels = _labels.encode(column, f"obs[{cluster_key!r}]", "cluster_key")
    samples, sample_labels = _read_samples(adata.obs, sample_key)
    used_key, xy = coordinates(adata, spatial_key, dims=spatial_dims)
    if looks_like_counts(values):
        log.warning(
            "%s holds raw counts that were never normalized: use log-normalized expression, "
            "ct.pp.normalize(adata) writes it to layers['normalized_count']",
            name,
        )
    type_column = _labels.cell_type_column(adata.obs)
    return Tissue(
        obs_names=adata.obs_names,
        var_names=adata.var_names,
        expression=_matrix.as_float64(values, name),
        xy=xy,
        clusters=clusters,
        cluster_labels=cluster_labels,
        samples=samples,
        sample_labels=sample_labels,
        cell_types={} if type_column is None else _labels.majority(clusters, adata.obs[type_column]),
        layer=layer or "X",
        cluster_key=cluster_key,
        spatial_key=used_key,
        sample_key=sample_key,
    )


def check_names(adata: AnnData) -> None:
    """Raise when there are no cells or genes, or when a name occurs twice.

    Raises
    ------
    InputError
        Names the axis, counts the repeats and gives the line that repairs them.
    """
    if adata.n_obs == 0 or adata.n_vars == 0:
        raise InputError(
            f"the data has {adata.n_obs} cells and {adata.n_vars} genes: expected at least one of each"
        )
    for axis, what, names in (("obs", "cell", adata.obs_names), ("var", "gene", adata.var_names)):
        message = repeated_names(what, names, axis)
        if message:
            raise InputError(message)


def repeated_names(what: str, names: pd.Index[str], axis: str) -> str:
    """Sentence about names that occur more than once, empty when all are distinct."""
    if names.is_unique:
        return ""
    repeated = names[names.duplicated()].unique()
    examples = ", ".join(repr(str(name)) for name in repeated[:5])
    return (
        f"{len(repeated)} {what} names occur more than once ({examples}), expected distinct names: "
        f"adata.{axis}_names_make_unique()"
    )


def layer_name(layer: str | None) -> str:
    """How the layer is called in messages: ``adata.X`` or ``adata.layers['name']``."""
    return "adata.X" if layer in (None, "", "X") else f"adata.layers[{layer!r}]"


def layer_values(adata: AnnData, layer: str | None) -> Any:
    """Return the matrix of a layer as it is stored: dense or scipy sparse, any real dtype.

    Raises
    ------
    LayerError
        The layer does not exist (the message lists up to 20 that do), or is not numeric.
    """
    if layer in (None, "", "X"):
        values = adata.X
        if values is None:
            raise LayerError(f"adata.X is empty: give one of the layers, e.g. layer={_example(adata)!r}")
    elif layer in adata.layers:
        values = adata.layers[layer]
    else:
        known = [str(name) for name in adata.layers]
        listed = ", ".join(repr(name) for name in known[:20]) if known else "none"
        raise LayerError(
            f"adata has no layer {layer!r}{did_you_mean(str(layer), known)}; "
            f"layers: {listed}. {_make(str(layer))}"
        )
    if hasattr(values, "to_memory"):  # sparse on disk
        values = values.to_memory()
    if isinstance(values, pd.DataFrame) or not (sparse.issparse(values) or isinstance(values, np.ndarray)):
        values = np.asarray(values)
    if values.dtype.kind not in "biuf":
        raise LayerError(f"{layer_name(layer)} has dtype {values.dtype}, expected real numbers: convert it")
    return values


def _example(adata: AnnData) -> str:
    return next((str(name) for name in adata.layers), "normalized_count")


def _make(layer: str) -> str:
    if layer == "normalized_count":
        return "Make it from counts: ct.pp.normalize(adata)"
    if layer == "imputed_count":
        return "Make it: ct.pp.normalize(adata), then ct.pp.impute(adata, cluster_key=...)"
    return "Give one of them, or layer='X' for adata.X"


def coordinates(adata: AnnData, spatial_key: str | None, *, dims: int = 2) -> tuple[str, NDArray[np.float64]]:
    """Key and coordinates (cells x `dims`, float64, finite).

    Raises
    ------
    CoordinatesError
        No usable key, fewer columns than needed, or a value that is NaN or infinite.
    """
    known = [str(name) for name in adata.obsm]
    if spatial_key is None:
        spatial_key = next((key for key in _SPATIAL_KEYS if _n_columns(adata, key) >= 2), None)
    if spatial_key is None or spatial_key not in known:
        wanted = "one of 'spatial', 'X_spatial', 'spatial_loc'" if spatial_key is None else repr(spatial_key)
        near = "" if spatial_key is None else did_you_mean(spatial_key, known)
        listed = ", ".join(repr(name) for name in known[:20]) if known else "none"
        raise CoordinatesError(
            f"obsm has no coordinates under {wanted}{near}; keys: {listed}. "
            "Give spatial_key=..., or adata.obsm['spatial'] = adata.obs[['x', 'y']].to_numpy()"
        )
    found = _n_columns(adata, spatial_key)
    if found < dims or (dims == 3 and found != 3):
        expected = "exactly 3" if dims == 3 else "at least 2"
        raise CoordinatesError(f"obsm[{spatial_key!r}] has {found} columns, expected {expected}")
    stored = adata.obsm[spatial_key]
    array = _matrix.dense(stored)[:, :dims]
    try:
        xy = np.ascontiguousarray(array, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise CoordinatesError(f"obsm[{spatial_key!r}] has dtype {array.dtype}, expected numbers") from error
    bad = ~np.isfinite(xy).all(axis=1)
    if bad.any():
        cell = str(adata.obs_names[int(np.argmax(bad))])
        raise CoordinatesError(
            f"obsm[{spatial_key!r}] is NaN or infinite for {int(bad.sum())} of {len(xy)} cells, "
            f"the first is {cell!r}: drop them, "
            f"e.g. adata = adata[np.isfinite(adata.obsm[{spatial_key!r}]).all(axis=1)].copy()"
        )
    return spatial_key, xy


def _n_columns(adata: AnnData, key: str) -> int:
    if key not in adata.obsm:
        return 0
    shape = adata.obsm[key].shape
    return int(shape[1]) if len(shape) == 2 and shape[0] > 0 else 0


def _read_samples(
    obs: pd.DataFrame, sample_key: str | None
) -> tuple[NDArray[np.int64] | None, tuple[str, ...]]:
    if sample_key is None:
        return None, ()
    column = _labels.obs_column(obs, sample_key, argument="sample_key", error=InputError)
    _labels.check_not_missing(column, f"obs[{sample_key!r}]", InputError)
    return _labels.encode_text(column)


def cell_thresholds(
    source: AnnData | pd.DataFrame, tissue: Tissue, *, absent: bool
) -> NDArray[np.bool_] | None:
    """Read a cells x genes table of communication thresholds as a mask over the whole tissue.

    Parameters
    ----------
    source
        The table, or an AnnData object that may hold it as ``uns["cell_thresholds"]``. Rows are matched by
        cell name, columns by gene name.
    tissue
        Gives the order of cells and genes.
    absent
        Value for genes that the table does not have: False when training, True when simulating.

    Returns
    -------
    bool, cells x genes, true where the threshold is above 0; None when `source` holds no table.

    Raises
    ------
    InputError
        The table is no data frame, lacks a cell, or holds NaN.
    """
    table = source if isinstance(source, pd.DataFrame) else source.uns.get("cell_thresholds")
    if table is None:
        return None
    if not isinstance(table, pd.DataFrame):
        raise InputError(
            f"uns['cell_thresholds'] is a {type(table).__name__}, expected a data frame cells x genes"
        )
    rows = table.index.astype(str).get_indexer_for(tissue.obs_names)
    if len(rows) != len(tissue.obs_names) or (rows < 0).any():
        raise InputError(
            f"cell_thresholds has {len(table)} rows but lacks, or repeats, some of the "
            f"{len(tissue.obs_names)} cells: use adata.obs_names as its index"
        )
    genes = table.columns.astype(str)
    shared = tissue.var_names[tissue.var_names.isin(genes)]
    columns = genes.get_indexer_for(shared)
    values = table.to_numpy(dtype=np.float64)[np.ix_(rows, columns)]
    if np.isnan(values).any():
        raise InputError(
            f"cell_thresholds holds {int(np.isnan(values).sum())} NaN values: use 0 for no signal"
        )
    mask = np.full((len(tissue.obs_names), len(tissue.var_names)), absent)
    mask[:, find_genes(shared, tissue.var_names)] = values > 0
    return mask
