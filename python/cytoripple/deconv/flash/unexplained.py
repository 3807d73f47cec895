"""Genes that the reference explains worse in some spots than elsewhere, and whose markers they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cytoripple._errors import GeneMatchError, InputError
from cytoripple.deconv.flash.counts import blocks, check_counts
from cytoripple.deconv.flash.fit import FlashFit

Floats = NDArray[np.float64]
_ROWS = 1 << 14


def unexplained_genes(
    fit: FlashFit,
    Y: Any,
    bins: ArrayLike,
    *,
    gene_names: Sequence[str] | None = None,
    min_count: int = 20,
    pseudocount: float = 0.5,
) -> dict[str, Any]:
    """Rank all genes by their excess over the reference inside some spots compared with outside.

    Parameters
    ----------
    fit
        A fit of `Y`.
    Y
        The counts that were fitted, spots x genes.
    bins
        Spots to look at: truth values or positions.
    gene_names
        Of all genes of `Y`; positions by default.
    min_count
        A gene with fewer counts inside gets the score NaN and comes last.
    pseudocount
        Added to observed and expected counts.

    Returns
    -------
    Per gene, descending by score: gene, score (log2_oe_in - log2_oe_out), observed and expected (inside),
    log2_oe_in, log2_oe_out (log2 of observed / expected).

    Raises
    ------
    InputError
        No spot, or every spot, was chosen; or names do not fit.
    """
    n_spots, n_genes = fit.beta.shape[0], fit.representation.n_genes
    inside = np.zeros(n_spots, dtype=bool)
    inside[np.asarray(bins)] = True
    if inside.all() or not inside.any():
        raise InputError(f"bins chooses {int(inside.sum())} of {n_spots} spots: choose some but not all")
    names = np.arange(n_genes) if gene_names is None else np.asarray(gene_names)
    if len(names) != n_genes:
        raise InputError(f"gene_names has {len(names)} names: expected one for each of {n_genes} genes")
    observed, expected = np.zeros((2, n_genes)), np.zeros((2, n_genes))
    profiles = fit.X / np.maximum(fit.X.sum(axis=1, keepdims=True), 1e-300)
    start = 0
    for block in blocks(check_counts(Y), rows=_ROWS):
        stop = start + block.shape[0]
        depth = np.asarray(block.sum(axis=1), dtype=np.float64).ravel()
        for side, rows in enumerate((inside[start:stop], ~inside[start:stop])):
            observed[side] += np.asarray(block[rows].sum(axis=0), dtype=np.float64).ravel()
            expected[side] += (depth[rows] @ fit.proportions[start:stop][rows]) @ profiles
        start = stop
    scale = observed.sum(axis=1) / np.maximum(expected.sum(axis=1), 1e-300)
    expected *= scale[:, None]
    ratio = np.log2((observed + pseudocount) / (expected + pseudocount))
    score = np.where(observed[0] >= min_count, ratio[0] - ratio[1], np.nan)
    order = np.argsort(-score, kind="stable")
    return {
        "gene": names[order],
        "score": score[order],
        "observed": observed[0][order],
        "expected": expected[0][order],
        "log2_oe_in": ratio[0][order],
        "log2_oe_out": ratio[1][order],
    }


def suggest_missing_types(
    genes: dict[str, Any],
    atlas_profiles: ArrayLike,
    atlas_genes: Sequence[str],
    atlas_names: Sequence[str],
    n_markers: int = 50,
) -> dict[str, Any]:
    """Rank types of an atlas by the excess of their markers.

    Parameters
    ----------
    genes
        What `unexplained_genes` returned.
    atlas_profiles
        Types x genes, mean counts.
    atlas_genes, atlas_names
        Names of both sides.
    n_markers
        Markers per type: the largest log2 fold changes over the mean of the other types, of CP10k + 0.1.

    Returns
    -------
    type, mean_score (of the type's scored markers, descending; NaN without any), n_markers_scored.

    Raises
    ------
    GeneMatchError
        No gene in common.
    """
    score = {str(name): value for name, value in zip(genes["gene"], genes["score"], strict=True)}
    known = np.array([score.get(str(name), np.nan) for name in atlas_genes])
    if not any(str(name) in score for name in atlas_genes):
        raise GeneMatchError(f"none of the {len(atlas_genes)} genes of the atlas is among the scored genes")
    profiles = np.asarray(atlas_profiles, dtype=np.float64)
    profiles = profiles / np.maximum(profiles.sum(axis=1, keepdims=True), 1e-300) * 1e4
    means, scored = [], []
    for kind, profile in enumerate(profiles):
        others = np.delete(profiles, kind, axis=0)
        rest = others.mean(axis=0) if len(others) else np.zeros_like(profile)
        change = np.log2((profile + 0.1) / (rest + 0.1))
        values = known[np.argsort(-change, kind="stable")[:n_markers]]
        values = values[np.isfinite(values)]
        means.append(values.mean() if values.size else np.nan)
        scored.append(values.size)
    order = np.argsort(-np.array(means), kind="stable")
    return {
        "type": np.asarray(atlas_names)[order],
        "mean_score": np.array(means)[order],
        "n_markers_scored": np.array(scored)[order],
    }
