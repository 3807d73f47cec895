"""What the user should know before trusting the shares."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cytoripple import _core
from cytoripple.deconv.counts import Counts, Span, Sums
from cytoripple.deconv.result import Deconvolution, Pair, Residuals
from cytoripple.deconv.weights import GeneWeights, lost_types

Floats = NDArray[np.float64]

_EVEN = 0.5
"""Part of its median share that a type keeps in 95 % of the spots to be called even."""
_LARGE = 0.1
_NAMED = 6


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


def nowhere(result: Deconvolution) -> list[str]:
    """Types that got nothing in any spot."""
    shares = np.where(result.empty[:, None], np.float32(0), result.proportions)
    return [result.types[at] for at in np.flatnonzero(lost_types(shares, result.depth))]


def even_types(result: Deconvolution) -> list[str]:
    """Describe types with a large and even share in nearly every spot, and the genes that give it to them.

    Tissue is seldom so. What differs in the same way in all spots, as genes that one technology reads better
    than the other, ends up there.
    """
    shares = result.proportions[~result.empty]
    low, middle, high = np.quantile(shares, (0.05, 0.5, 0.95), axis=0)
    weight = 1.0 if result.weights is None else result.weights.weight
    mean = result.profiles.mean(axis=0)
    lines = []
    for at in np.flatnonzero((middle > _LARGE) & (low > _EVEN * middle)):
        more = np.maximum(result.profiles[at] - mean, 0.0)
        carried = np.divide(weight * more**2, mean, out=np.zeros_like(mean), where=mean > 0)
        first = np.argsort(-carried, kind="stable")[:_NAMED]
        names = result.signatures.genes or tuple(f"gene {gene}" for gene in range(len(mean)))
        lines.append(
            f"{result.types[at]!r} ({low[at]:.2f} to {high[at]:.2f} in 90 % of the spots, by "
            f"{', '.join(names[gene] for gene in first)})"
        )
    return lines


def mismatch(result: Deconvolution, key: str) -> str | None:
    """Say what a difference between reference and tissue has done to the shares, None if nothing is seen."""
    lost = nowhere(result)
    if result.weights is not None and result.weights.lost.any():
        lost = [result.types[at] for at in np.flatnonzero(result.weights.lost)]
    if not lost:
        return None
    listed = ", ".join(map(repr, lost[:_NAMED])) + (", ..." if len(lost) > _NAMED else "")
    text = (
        f"{len(lost)} of {len(result.types)} types got nothing in any spot by least squares ({listed}): "
        f"they are absent, or genes differ between reference and tissue in all spots alike. "
    )
    if result.method == "fast":
        return text + "method='default' learns such differences and gives these types a second chance"
    text += f"They were given a second chance; look at the maps of obsm[{key!r}]. "
    even = even_types(result)
    if even:
        text += (
            f"An even share almost everywhere is suspicious: {'; '.join(even)}. "
            "Leaving out genes that the technologies read differently (often ribosomal ones) with "
            "genes=[...] shows whether it stays"
        )
    return text.rstrip(". ")
