"""What the user should know before trusting the shares."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cytoripple import _core
from cytoripple.deconv.counts import Counts, Span, Sums
from cytoripple.deconv.result import Pair, Residuals
from cytoripple.deconv.weights import GeneWeights

Floats = NDArray[np.float64]


def residuals(
    counts: Counts,
    spans: list[Span],
    shares: NDArray[np.float32],
    rates: Floats,
    weights: GeneWeights,
    sums: Sums,
    threads: int,
) -> Residuals:
    """Compare all counts with the fit, in one pass."""
    n, depth = len(shares), sums.depth
    marked = weights.missing()
    squared = weights.weight**2
    expectation = _core.Expectation(rates, weights.background, squared, marked)
    spots, genes, excess = np.zeros(n), np.zeros(counts.n_genes), np.zeros(n)
    pooled = np.zeros(len(rates))
    for span in spans:
        at = span.spots
        found = expectation.misfit(counts.rows(span), shares[at], threads)
        genes += found[0]
        spots[at], excess[at] = found[1], found[2]
        spots[at] += depth[at] * (shares[at] @ (rates @ squared) + weights.background @ squared)
        pooled += depth[at] @ shares[at]
    fitted = pooled @ rates + weights.background * depth.sum()
    used = max(int((depth > 0).sum()), 1)
    empty = depth <= 0
    spots[empty] = np.nan
    share = np.divide(excess, depth, out=np.full(n, np.nan), where=~empty)
    return Residuals(
        spots=(spots / max(int((sums.genes > 0).sum()), 1)).astype(np.float32),
        genes=(genes - 2 * sums.genes + fitted) / used / np.maximum(fitted / used, 1e-12),
        log2_ratio=np.log2((sums.genes + 0.5) / (fitted + 0.5)),
        missing_genes=marked,
        missing_excess=share.astype(np.float32),
    )


def spread(rates: Floats, weight: Floats) -> Floats:
    """Types x types: sum over genes of w^2 phi phi'."""
    return np.asarray((rates * weight**2) @ rates.T)


def confusable(
    types: tuple[str, ...], profiles: Floats, weight: Floats, background: Floats
) -> tuple[Pair, ...]:
    """All pairs of types, the hardest to tell apart first.

    Similarity is the cosine of profiles over the square root of the gene's mean rate; `counts_to_separate` is
    9 over the weighted chi-square distance of the two profiles per count.
    """
    noise = weight / (profiles.mean(axis=0) + background + 1e-12)
    gram = (profiles * noise) @ profiles.T
    length = np.sqrt(np.diag(gram))
    pairs = []
    for i in range(len(types)):
        for j in range(i):
            middle = (profiles[i] + profiles[j]) / 2 + background
            gap = weight * (profiles[i] - profiles[j]) ** 2
            distance = float(np.divide(gap, middle, out=np.zeros_like(gap), where=middle > 0).sum())
            similarity = float(gram[i, j] / (length[i] * length[j]))
            pairs.append(Pair(types[j], types[i], similarity, 9 / distance if distance > 0 else float("inf")))
    return tuple(sorted(pairs, key=lambda pair: (-pair.counts_to_separate, pair.first, pair.second)))
