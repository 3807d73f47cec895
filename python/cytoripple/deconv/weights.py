"""Weights of the genes: how reference and tissue differ per gene, and how much each gene scatters."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cytoripple import _core
from cytoripple.deconv.counts import Counts, Span, Sums
from cytoripple.deconv.merge import groups_of, rna_shares, spot_fit
from cytoripple.deconv.profiles import Signatures

log = logging.getLogger(__name__)

Floats = NDArray[np.float64]

BACKGROUND = 0.02
"""Share of the pooled profile that is added to every spot as background."""
SAMPLE = 5_000
"""Spots at most from which weights are learned."""
LARGE_PLATFORM = 0.8
NOTHING = np.zeros(0, dtype=np.int64)
_ROUNDS = 2
_LOST_ROUNDS = 8
_LOST = 1e-4
"""Pooled share under which a type got nothing: noise alone gives every type a few spots."""
_ENOUGH_SPOTS = 100
"""With fewer spots noise may leave a type without any."""
_STEPS = 20
_MANY_STEPS = 10
_ALONE_KAPPA = 1.0
_RARE = 2e-6
_UNREAD = 0.02
"""Less than this part of the reference's share: beyond what platforms differ by."""
_DECISIVE = 0.25
"""Part of all information that one gene may carry."""
_TRUSTED = 0.25
_FEW = 20


@dataclass(frozen=True, eq=False)
class GeneWeights:
    """What a tissue says about the genes; hand it to another fit to share it between sections.

    Parameters
    ----------
    mean
        Share of each gene in all counts of the tissue.
    groups
        Merged gene of each gene: genes of like profile are fitted as one when there are more than 1000.
    rounds
        Platform factor and weight of each gene after every round of estimation; the last is used.
    platform_sd
        Standard deviation of the log factors between reference and tissue, beyond noise.
    log_ratio, log_variance
        Log of counts seen over counts expected, and the variance it has from noise.
    dispersion
        Variance of the counts relative to Poisson, at least 1.
    sampled
        The weights come from a sample of the spots.
    lost
        Types that the first fit gave nothing anywhere (see `lost_types`).
    """

    mean: Floats
    groups: NDArray[np.int64]
    rounds: tuple[tuple[Floats, Floats], ...]
    platform_sd: float
    log_ratio: Floats
    log_variance: Floats
    dispersion: Floats
    sampled: bool
    lost: NDArray[np.bool_]

    @property
    def platform(self) -> Floats:
        """Factor between the rates of the tissue and those of the reference."""
        return self.rounds[-1][0]

    @property
    def weight(self) -> Floats:
        """Weight of a count."""
        return self.rounds[-1][1]

    @property
    def background(self) -> Floats:
        """Rate of each gene that belongs to no type."""
        return BACKGROUND * self.mean

    def missing(self) -> NDArray[np.int64]:
        """Genes seen far more often than the types explain, the strongest first. A hint, not a test."""
        spread = np.sqrt(self.platform_sd**2 + self.log_variance)
        score = self.log_ratio / spread
        found = np.flatnonzero(score > 3)
        return found[np.argsort(-score[found], kind="stable")]


def first_weights(mean: Floats) -> Floats:
    """Weigh every gene by one over the variance of its share under Poisson noise."""
    return 1 / (mean + _RARE)


def unread(mean: Floats, profiles: Floats) -> NDArray[np.bool_]:
    """Genes that the tissue (nearly) lacks although they are common in the reference.

    They were not read there, say for want of a probe. In the first fit the tiny variance of such a gene would
    let it decide alone which types are present.

    Parameters
    ----------
    mean
        Share of each gene in all counts of the tissue.
    profiles
        Types x genes.
    """
    usual = profiles.mean(axis=0)
    return np.asarray((mean < _UNREAD * usual) & (usual**2 * first_weights(mean) > _DECISIVE))


def lost_types(shares: NDArray[np.float32], depth: Floats) -> NDArray[np.bool_]:
    """Find types without a share in the whole tissue.

    Counting noise gives even an absent type some share in a few spots. A type that gets nothing anywhere was
    pushed out by what all spots have in common: a difference between reference and tissue that is not yet
    known when the first fit is made.

    Parameters
    ----------
    shares
        Spots x types, shares of the first fit.
    depth
        Counts of each spot.
    """
    if (depth > 0).sum() < _ENOUGH_SPOTS:
        return np.zeros(shares.shape[1], dtype=bool)
    return np.asarray(depth @ shares.astype(np.float64) < _LOST * depth.sum())


def give_back(shares: NDArray[np.float32], lost: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Start lost types from an equal share, as a fit by counts cannot leave zero by itself."""
    if not lost.any():
        return shares
    more = shares + (lost / len(lost)).astype(np.float32)
    return np.asarray(more / more.sum(axis=1, keepdims=True))


def estimate(
    counts: Counts,
    spans: list[Span],
    start: NDArray[np.float32],
    sections: NDArray[np.uint32],
    signatures: Signatures,
    sums: Sums,
    *,
    sampled: bool,
    threads: int,
) -> tuple[GeneWeights, NDArray[np.float32]]:
    """Learn weights from (a sample of) the spots; also the shares fitted on the way.

    Two rounds are enough where the first fit found every type. Types that it lost come back while the
    platform factor adapts, which takes more.

    Those of a sample are only fitted where the weights need them.

    Parameters
    ----------
    counts, spans
        Counts of the spots and their blocks.
    start
        Spots x types, shares of the first fit.
    sections
        Section of each spot.
    signatures
        Profiles.
    sums
        Depths and totals of these spots.
    sampled
        Whether there are more spots than these.
    threads
        0 takes every core.
    """
    shrunk, mean = signatures.shrunk(), sums.genes / sums.genes.sum()
    background, depth = BACKGROUND * mean, sums.depth
    lost = lost_types(start, depth)
    shares = give_back(start, lost)
    used = max(int((depth > 0).sum()), 1)
    rounds = []
    groups: NDArray[np.int64] | None = None
    for _ in range(_LOST_ROUNDS if lost.any() else _ROUNDS):
        pooled = depth @ shares.astype(np.float64)
        ratio, variance, sd = _log_ratio(signatures, pooled, sums.genes)
        limit = 2 * np.sqrt(sd**2 + variance)
        factor = np.exp(np.clip(ratio, -limit, limit) * sd**2 / (sd**2 + variance))
        rates = shrunk * factor
        squares = np.zeros(counts.n_genes)
        expectation = _core.Expectation(rates, background, np.zeros(counts.n_genes), NOTHING)
        for span in spans:
            squares += expectation.misfit(counts.rows(span), shares[span.spots], threads)[0]
        fitted = pooled @ rates + background * depth.sum()
        dispersion = np.maximum(1.0, (squares - 2 * sums.genes + fitted) / used)
        weight = dispersion**-0.5
        rounds.append((factor, weight))
        if groups is None:
            groups = groups_of(rates, weight, sums.genes, threads)
        if not sampled or len(rounds) < _ROUNDS:
            shares = refine(
                counts,
                spans,
                shares,
                sections,
                depth > 0,
                rates,
                background,
                weight,
                groups,
                threads,
                sampled,
            )
    log.info("platform effect: log-sd %.2f", sd)
    own = np.arange(counts.n_genes) if groups is None else groups
    return GeneWeights(mean, own, tuple(rounds), sd, ratio, variance, dispersion, sampled, lost), shares


def refine(
    counts: Counts,
    spans: list[Span],
    shares: NDArray[np.float32],
    sections: NDArray[np.uint32],
    counted: NDArray[np.bool_],
    rates: Floats,
    background: Floats,
    weight: Floats,
    groups: NDArray[np.int64],
    threads: int,
    many: bool = False,
) -> NDArray[np.float32]:
    """Fit every spot alone, with a weak prior at the mean of its section; shares of RNA."""
    fit = spot_fit(
        rates,
        background,
        weight,
        groups,
        shares,
        sections,
        counted,
        links=None,
        kappa=_ALONE_KAPPA,
        steps=_MANY_STEPS if many else _STEPS,
        many=many,
    )
    for span in spans:
        fit.sweep(fit.weigh(counts.rows(span), threads), span.spots, threads)
    return rna_shares(fit, rates, weight)


def _log_ratio(signatures: Signatures, pooled: Floats, totals: Floats) -> tuple[Floats, Floats, float]:
    """Centered log ratio of seen to expected totals, its variance from noise, and the spread beyond noise.

    The unshrunk profile is used: shrinking biases the expectation.
    """
    profile = signatures.profile
    expected = pooled @ profile
    known = expected > 0
    safe = np.where(known, expected, 1.0)
    ratio = np.where(known, np.log((totals + 0.5) / (expected + 0.5)), 0.0)
    noise = profile * signatures.inverse_depth[:, None] + signatures.spread * profile**2
    variance = (pooled**2 / signatures.n_cells) @ noise / safe**2 + 1 / (totals + 0.5)
    trusted = known & (variance < _TRUSTED)
    if trusted.sum() < _FEW:
        return np.zeros_like(ratio), variance, 0.0
    ratio = np.where(known, ratio - np.median(ratio[trusted]), 0.0)
    total = (1.4826 * np.median(np.abs(ratio[trusted]))) ** 2
    return ratio, variance, float(np.sqrt(max(total - np.median(variance[trusted]), 0.0)))
