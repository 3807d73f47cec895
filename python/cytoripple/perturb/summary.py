"""Which genes a simulated perturbation changes, in which cells, and how far away."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from cytoripple._errors import GeneMatchError, InputError, did_you_mean
from cytoripple._matrix import dense

if TYPE_CHECKING:
    from anndata import AnnData

_BLOCK = 256


def affected_genes(
    adata: AnnData, *, key: str = "perturbation", groupby: str | None = None, n: int = 20
) -> pd.DataFrame:
    """Most affected genes of each cell type.

    Parameters
    ----------
    adata
        With the result of `cytoripple.tl.perturb`.
    key
        Name of the result.
    groupby
        Column of ``adata.obs`` with the cell types; None takes the clusters of the simulation.
    n
        Genes per cell type.

    Returns
    -------
    Columns ``cell_type, rank, gene, sign, share_changed, predictable, held_out_r2, relative_delta,
    relative_abs_delta``, by cell type and rank. The rank follows the mean absolute change, ``sign`` is that
    of the mean change; genes without change and the perturbed genes are left out. Both means are relative:
    they compare genes and cells with each other, but are several times smaller than real changes. A gene is
    ``predictable`` when its model has an R2 above 0 on cells that it was not fitted on (missing: not known);
    the others are listed all the same.

    Raises
    ------
    InputError
        There is no such result, or no such column.

    Examples
    --------
    >>> affected_genes(adata, groupby="cell_type", n=5)  # doctest: +SKIP
    """
    record = _record(adata, key)
    groupby = str(record["cluster_key"]) if groupby is None else groupby
    if groupby not in adata.obs:
        raise InputError(f"obs has no column {groupby!r}{did_you_mean(groupby, map(str, adata.obs.columns))}")
    if n < 1:
        raise InputError(f"n is {n}: give at least 1")
    codes, labels = pd.factorize(adata.obs[groupby].astype(str).to_numpy(dtype=object), sort=True)
    members: Any = sparse.csr_matrix(
        (np.ones(len(codes)), (codes, np.arange(len(codes)))), shape=(len(labels), len(codes))
    )
    size = np.bincount(codes, minlength=len(labels))[:, np.newaxis]
    shape = (len(labels), adata.n_vars)
    mean, mean_abs, share = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    for columns, delta in _blocks(adata, key):
        mean[:, columns] = members @ delta / size
        mean_abs[:, columns] = members @ np.abs(delta) / size
        share[:, columns] = members @ (delta != 0).astype(np.float64) / size
    mean_abs[:, adata.var_names.isin(record["targets"])] = 0.0
    scores = _held_out_r2(record)
    parts = []
    for group, label in enumerate(labels):
        order = np.argsort(-mean_abs[group], kind="stable")[:n]
        order = order[mean_abs[group, order] > 0]
        genes = adata.var_names[order]
        score = np.array([scores.get(str(gene), np.nan) for gene in genes], dtype=np.float64)
        predictable = pd.array(score > 0, dtype="boolean")
        predictable[np.isnan(score)] = pd.NA
        parts.append(
            pd.DataFrame(
                {
                    "cell_type": str(label),
                    "rank": np.arange(1, len(order) + 1),
                    "gene": genes.to_numpy(),
                    "sign": np.sign(mean[group, order]).astype(np.int64),
                    "share_changed": share[group, order],
                    "predictable": predictable,
                    "held_out_r2": score,
                    "relative_delta": mean[group, order],
                    "relative_abs_delta": mean_abs[group, order],
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def effect_by_distance(
    adata: AnnData,
    *,
    key: str = "perturbation",
    gene: str | None = None,
    bins: int | Sequence[float] | NDArray[np.float64] = 10,
) -> pd.DataFrame:
    """Size of the effect against the distance from the nearest perturbed cell.

    A cell counts as perturbed when a perturbed gene changed in it: a knock-out everywhere acts where the gene
    was expressed. Distances stay within a sample; cells of samples without a perturbed cell are left out.

    Parameters
    ----------
    adata
        With the result of `cytoripple.tl.perturb`.
    key
        Name of the result.
    gene
        Gene to follow; None takes the mean over all changed genes but the perturbed ones.
    bins
        Number of bins of equal width up to the largest distance, or their edges, in units of the coordinates.

    Returns
    -------
    Columns ``distance_from, distance_to, n_cells, relative_delta, relative_abs_delta``, the means over the
    cells of a bin. The first row holds the perturbed cells, at distance 0; a bin includes its upper edge.
    Means over no cells are NaN. As in `affected_genes` their sizes are relative.

    Raises
    ------
    GeneMatchError
        The gene is not in the data.
    InputError
        There is no such result, every cell or none is perturbed, or `bins` cannot be used.
    """
    record = _record(adata, key)
    distance = _distances(adata, record, key)
    change, absolute = _per_cell(adata, key, record, gene)
    edges = _edges(bins, distance)
    inside = np.isfinite(distance)
    bin_of = np.searchsorted(edges, distance[inside], side="left")  # 0: the source; then (edge, edge]
    bin_of[distance[inside] == 0] = 0
    count = np.bincount(bin_of, minlength=len(edges) + 1)[: len(edges)]
    means = [
        np.divide(total, count, out=np.full(len(edges), np.nan), where=count > 0)
        for total in (
            np.bincount(bin_of, weights=values[inside], minlength=len(edges) + 1)[: len(edges)]
            for values in (change, absolute)
        )
    ]
    return pd.DataFrame(
        {
            "distance_from": np.concatenate([[0.0], edges[:-1]]),
            "distance_to": np.concatenate([[0.0], edges[1:]]),
            "n_cells": count,
            "relative_delta": means[0],
            "relative_abs_delta": means[1],
        }
    )


def _record(adata: AnnData, key: str) -> Mapping[str, Any]:
    if key not in adata.uns or f"{key}_delta" not in adata.layers:
        known = [name for name in adata.uns if f"{name}_delta" in adata.layers]
        raise InputError(
            f"adata has no simulation {key!r} (found: {', '.join(map(repr, known)) or 'none'}): "
            "make one with ct.tl.perturb(adata, run, targets)"
        )
    record: Mapping[str, Any] = adata.uns[key]
    return record


def _held_out_r2(record: Mapping[str, Any]) -> dict[str, float]:
    known = record.get("held_out_r2")
    return {} if known is None else dict(zip(map(str, known["gene"]), map(float, known["r2"]), strict=True))


def _blocks(adata: AnnData, key: str) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """Give the changed columns of the delta with their positions, dense, a few at a time."""
    delta: Any = adata.layers[f"{key}_delta"]
    if hasattr(delta, "tocsc"):
        delta = delta.tocsc()
        changed = np.flatnonzero(np.diff(delta.indptr))
    else:
        changed = np.flatnonzero((np.asarray(delta) != 0).any(axis=0))
    for start in range(0, len(changed), _BLOCK):
        columns = changed[start : start + _BLOCK]
        yield columns, dense(delta[:, columns]).astype(np.float64)


def _per_cell(
    adata: AnnData, key: str, record: Mapping[str, Any], gene: str | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Change and absolute change of each cell: of one gene, or the mean over the changed genes."""
    if gene is not None and gene not in adata.var_names:
        raise GeneMatchError(f"{gene!r} is not a gene of the data{did_you_mean(gene, adata.var_names)}")
    change, absolute = np.zeros(adata.n_obs), np.zeros(adata.n_obs)
    wanted = adata.var_names == gene if gene is not None else ~adata.var_names.isin(record["targets"])
    n_genes = 0
    for columns, delta in _blocks(adata, key):
        chosen = delta[:, wanted[columns]]
        n_genes += chosen.shape[1]
        change += chosen.sum(axis=1)
        absolute += np.abs(chosen).sum(axis=1)
    return change / max(n_genes, 1), absolute / max(n_genes, 1)


def _distances(adata: AnnData, record: Mapping[str, Any], key: str) -> NDArray[np.float64]:
    from scipy.spatial import KDTree

    from cytoripple._anndata import coordinates

    delta: Any = adata.layers[f"{key}_delta"]
    source = (dense(delta[:, adata.var_names.get_indexer(record["targets"])]) != 0).any(axis=1)
    if source.all() or not source.any():
        where = "every" if source.all() else "no"
        raise InputError(
            f"the perturbed genes change in {where} cell, so there is no distance: "
            "give cells to ct.tl.perturb, e.g. one cluster"
        )
    _, xy = coordinates(adata, str(record["spatial_key"]))
    sample_key = record.get("sample_key")
    samples = np.zeros(adata.n_obs, dtype=np.int64)
    if sample_key is not None:
        samples = pd.factorize(adata.obs[sample_key].astype(str).to_numpy(dtype=object))[0]
    distance = np.full(adata.n_obs, np.inf)
    for sample in np.unique(samples):
        here = samples == sample
        if (here & source).any():
            distance[here] = KDTree(xy[here & source]).query(xy[here])[0]
    return distance


def _edges(
    bins: int | Sequence[float] | NDArray[np.float64], distance: NDArray[np.float64]
) -> NDArray[np.float64]:
    if isinstance(bins, int | np.integer):
        if bins < 1:
            raise InputError(f"bins is {bins}: give a number of bins, 1 or more, or their edges")
        return np.linspace(0.0, distance[np.isfinite(distance)].max(initial=0.0), int(bins) + 1)
    edges = np.asarray(bins, dtype=np.float64)
    if len(edges) < 2 or not np.isfinite(edges).all() or (np.diff(edges) <= 0).any() or edges[0] < 0:
        raise InputError(f"bins holds the edges {edges.tolist()}: give at least two, rising, from 0 or more")
    return edges
