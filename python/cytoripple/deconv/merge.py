"""Genes of like shape become one: the sketch that loses almost nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytoripple import _core

Floats = NDArray[np.float64]

ABOVE = 1000
MERGED = 512


def groups_of(rates: Floats, weight: Floats, totals: Floats, threads: int) -> NDArray[np.int64]:
    """Find the merged gene of every gene; where there are at most 1000 genes each is its own.

    Genes enter the fit only through their shape over the types. Genes of like shape are found by k-means on
    the square root of the shape; genes with many counts and a shape of their own count most.

    Parameters
    ----------
    rates
        Types x genes.
    weight
        Weight of a count of each gene.
    totals
        Counts of each gene.
    threads
        0 takes every core.
    """
    n_types, n_genes = rates.shape
    if n_genes <= ABOVE:
        return np.arange(n_genes, dtype=np.int64)
    theta = rates / (rates @ weight)[:, None]
    total = theta.sum(axis=0)
    shape = np.divide(theta, total, out=np.full_like(theta, 1 / n_types), where=total > 0)
    heavy = weight * totals
    center = shape @ heavy / heavy.sum()
    distance = np.sqrt(((shape - center[:, None]) ** 2).sum(axis=0))
    points = np.ascontiguousarray(np.sqrt(shape).T)
    return _core.merge_genes(points, heavy * (distance + 1e-3), MERGED, threads)


def merged_shapes(
    rates: Floats, background: Floats, weight: Floats, groups: NDArray[np.int64]
) -> tuple[Floats, Floats, NDArray[np.int64], Floats]:
    """Rates and background of the merged genes, merged gene and weight of each gene."""
    theta = rates / (rates @ weight)[:, None]
    n = int(groups.max()) + 1
    if n == len(groups):
        return theta, background, groups, weight
    summed = [
        np.bincount(groups, weights=row, minlength=n) for row in (*(theta * weight), background * weight)
    ]
    table = np.asarray(summed, dtype=np.float64)
    return table[:-1], table[-1], groups, weight


def spot_fit(
    rates: Floats,
    background: Floats,
    weight: Floats,
    groups: NDArray[np.int64],
    shares: NDArray[np.float32],
    sections: NDArray[np.uint32],
    counted: NDArray[np.bool_],
    *,
    links: Any,
    kappa: float,
    steps: int,
    many: bool = False,
) -> _core.SpotFit:
    """Start a fit from shares of RNA (spots x types); `many` spots are visited by color, with long steps."""
    shapes = merged_shapes(rates, background, weight, groups)
    scale = (rates @ weight).astype(np.float32)
    return _core.SpotFit(*shapes, shares * scale, sections, counted, links, kappa, steps, 1e-4, many)


def rna_shares(fit: _core.SpotFit, rates: Floats, weight: Floats) -> NDArray[np.float32]:
    """Shares of RNA from the shares of weighted counts of a fit."""
    shares = fit.shares()
    shares /= (rates @ weight).astype(np.float32)
    shares /= shares.sum(axis=1, keepdims=True)
    return shares
