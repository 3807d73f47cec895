"""The fit: first all spots alone, then with gene weights and neighbors."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cytoripple import _core
from cytoripple._errors import InputError
from cytoripple._progress import Progress, Silent
from cytoripple.deconv import diagnose, weights
from cytoripple.deconv.counts import Counts, Span, Sums, spans_of
from cytoripple.deconv.graph import Links
from cytoripple.deconv.merge import rna_shares, spot_fit
from cytoripple.deconv.profiles import Signatures
from cytoripple.deconv.result import Deconvolution, Residuals
from cytoripple.deconv.weights import SAMPLE, GeneWeights

log = logging.getLogger(__name__)

Method = Literal["default", "fast"]
Floats = NDArray[np.float64]
Shares = NDArray[np.float32]

_SWEEPS, _STEPS, _SETTLED = 6, 20, 5e-4
_MANY_SWEEPS, _MANY_STEPS = 3, 10
"""Where weights come from a sample; every second of these steps is long."""
_ALONE_KAPPA, _ALONE_STEPS = 3.0, 40
_KEPT = 80
"""Bytes per spot and type for weighted counts that are kept between sweeps; the others are read again."""


@dataclass(frozen=True, eq=False)
class Job:
    """Everything a fit needs, checked.

    Parameters
    ----------
    counts, signatures
        Spots and reference over the same genes.
    sections
        Section of each spot.
    links
        Neighbors; None fits every spot alone.
    method, kappa, stability, seed, threads
        As in `cytoripple.kernels.deconvolve`.
    shared
        Weights of another fit over the same genes and types, None to estimate them.
    """

    counts: Counts
    signatures: Signatures
    sections: NDArray[np.int64]
    method: Method = "default"
    kappa: float = 10.0
    stability: bool = False
    seed: int = 0
    threads: int = 0
    shared: GeneWeights | None = None

    @property
    def codes(self) -> NDArray[np.uint32]:
        """Section of each spot, counted from 0."""
        return np.unique(self.sections, return_inverse=True)[1].reshape(-1).astype(np.uint32)


def totals(job: Job) -> tuple[list[Span], Sums]:
    """Cut the spots in blocks and add up their counts; refuses counts that are none.

    Raises
    ------
    InputError
        No spot has a count.
    """
    spans = spans_of(job.sections, job.counts.n_rows)
    sums = job.counts.sums(spans, job.threads)
    if not (sums.depth > 0).any():
        raise InputError(f"{job.counts.name}: no spot has a count in the {job.counts.n_genes} genes used")
    empty = int((sums.depth <= 0).sum())
    if empty:
        log.warning("%d of %d spots have no counts: their proportions are NaN", empty, len(sums.depth))
    return spans, sums


def fit(
    job: Job, spans: list[Span], sums: Sums, links: Links | None, progress: Progress | None = None
) -> Deconvolution:
    """Run the method."""
    progress = progress or Silent()
    mean = sums.genes / sums.genes.sum() if job.shared is None else job.shared.mean
    unread = weights.unread(mean, job.signatures.profile)
    if unread.any():
        log.warning(
            "%d genes are common in the reference and (nearly) absent from the spots: not used", unread.sum()
        )
        job = replace(job, signatures=job.signatures.without(unread))
    profiles = job.signatures.shrunk()
    model = _core.FirstModel(profiles, weights.first_weights(mean))
    shares = np.empty((job.counts.n_rows, len(profiles)), dtype=np.float32)
    sample = _sample(job, sums)
    pieces: list[Any] = []
    for done, span in enumerate(spans):
        rows = job.counts.rows(span)
        shares[span.spots] = model.fit(rows, job.threads)
        if sample is not None and not job.counts.is_csr:
            keep = np.flatnonzero(np.isin(span.spots, sample))
            pieces.append(job.counts.pick(rows, keep))
        progress.update(done + 1, len(spans), "first fit")
    if job.method == "fast":
        return _finish(job, profiles, shares, sums, None, (1, 0.0))
    learned, shares = _weights(job, spans, sums, shares, sample, pieces)
    return _fit_default(job, spans, sums, links, profiles, learned, shares, progress)


def _sample(job: Job, sums: Sums) -> NDArray[np.int64] | None:
    """Spots from which weights are learned; None when these are all spots or nothing is to be learned."""
    filled = np.flatnonzero(sums.depth > 0)
    if job.method == "fast" or job.shared is not None or len(filled) <= SAMPLE:
        return None
    return np.sort(np.random.default_rng(job.seed).choice(filled, SAMPLE, replace=False))


def _weights(
    job: Job,
    spans: list[Span],
    sums: Sums,
    shares: Shares,
    sample: NDArray[np.int64] | None,
    pieces: list[Any],
) -> tuple[GeneWeights, Shares]:
    """Gene weights, and the shares from which the neighbors' fit starts.

    From a sample only the weights are kept: all spots start alike, from the first fit.
    """
    if job.shared is not None:
        return job.shared, _replay(job, spans, sums, shares, job.shared)
    common: dict[str, Any] = {"signatures": job.signatures, "threads": job.threads}
    if sample is None:
        return weights.estimate(job.counts, spans, shares, job.codes, sums=sums, sampled=False, **common)
    order = np.concatenate([span.spots[np.isin(span.spots, sample)] for span in spans])
    taken = job.counts.take(order, pieces)
    sections = job.sections[order]
    parts = spans_of(sections, len(order))
    sub = taken.sums(parts, job.threads)
    codes = np.unique(sections, return_inverse=True)[1].reshape(-1).astype(np.uint32)
    learned, _ = weights.estimate(taken, parts, shares[order], codes, sums=sub, sampled=True, **common)
    return learned, _replay(job, spans, sums, shares, learned)


def _replay(job: Job, spans: list[Span], sums: Sums, shares: Shares, learned: GeneWeights) -> Shares:
    """Fit all spots alone, the way the spots were from which the weights come.

    After a sample they start from the first fit, unless that has lost types.
    """
    rounds = learned.rounds
    if learned.sampled:
        rounds = rounds[-1:] if learned.lost.any() else ()
    shares, profiles = weights.give_back(shares, learned.lost), job.signatures.shrunk()
    for factor, weight in rounds:
        shares = weights.refine(
            job.counts,
            spans,
            shares,
            job.codes,
            sums.depth > 0,
            profiles * factor,
            learned.background,
            weight,
            learned.groups,
            job.threads,
        )
    return shares


def _fit_default(
    job: Job,
    spans: list[Span],
    sums: Sums,
    links: Links | None,
    profiles: Floats,
    learned: GeneWeights,
    shares: Shares,
    progress: Progress,
) -> Deconvolution:
    rates = profiles * learned.platform
    kappa = job.kappa if links is not None else _ALONE_KAPPA * job.kappa / 10
    spots = spot_fit(
        rates,
        learned.background,
        learned.weight,
        learned.groups,
        shares,
        job.codes,
        sums.depth > 0,
        links=links,
        kappa=kappa,
        steps=_ALONE_STEPS if links is None else _MANY_STEPS if learned.sampled else _STEPS,
        many=learned.sampled,
    )
    sweeps = _MANY_SWEEPS if learned.sampled else _SWEEPS
    done = _sweeps(job, spans, spots, sweeps if links is not None else 1, progress)
    shares = rna_shares(spots, rates, learned.weight)
    stability = None
    if job.stability:
        expectation = _core.Expectation(rates, learned.background, learned.weight, weights.NOTHING)
        stability = np.full_like(shares, np.nan)
        square = diagnose.spread(rates, learned.weight)
        for span in spans:
            alpha = spots.alphas(span.spots)
            rows, part = job.counts.rows(span), shares[span.spots]
            stability[span.spots] = expectation.stability(rows, part, alpha, square, kappa, job.threads)
        stability[sums.depth <= 0] = np.nan
    found = diagnose.residuals(job.counts, spans, shares, rates, learned, sums, job.threads)
    return _finish(job, profiles, shares, sums, learned, done, stability, found)


def _sweeps(job: Job, spans: list[Span], spots: Any, sweeps: int, progress: Progress) -> tuple[int, float]:
    """Visit all spots until nothing moves; a section whose shares are settled is left alone."""
    section_of = [int(job.sections[span.spots[0]]) for span in spans]
    changes = dict.fromkeys(section_of, np.inf)
    kept: dict[int, _core.WeightedRows] = {}
    room = _KEPT * job.counts.n_rows * len(job.signatures.types)
    done = 0
    for sweep in range(sweeps):
        moving = {section for section, change in changes.items() if change > _SETTLED}
        if not moving:
            break
        changes.update(dict.fromkeys(moving, 0.0))
        for at, (span, section) in enumerate(zip(spans, section_of, strict=True)):
            if section in moving:
                rows = kept.get(at) or spots.weigh(job.counts.rows(span), job.threads)
                if at not in kept and sweeps > 1 and rows.bytes <= room:
                    kept[at] = rows
                    room -= rows.bytes
                change = spots.sweep(rows, span.spots, job.threads)
                changes[section] = max(changes[section], change)
            progress.update(sweep * len(spans) + at + 1, sweeps * len(spans), "sweeps")
        done = sweep + 1
    return done, max(changes.values())


def _finish(
    job: Job,
    profiles: Floats,
    shares: Shares,
    sums: Sums,
    learned: GeneWeights | None,
    done: tuple[int, float],
    stability: Shares | None = None,
    found: Residuals | None = None,
) -> Deconvolution:
    nothing = (sums.depth <= 0) | ~(shares.sum(axis=1) > 0)
    shares[nothing] = np.nan
    mean = sums.genes / sums.genes.sum()
    weight = np.ones(job.counts.n_genes) if learned is None else learned.weight
    return Deconvolution(
        proportions=shares,
        types=job.signatures.types,
        method=job.method,
        signatures=job.signatures,
        profiles=profiles,
        weights=learned,
        depth=sums.depth,
        kappa=job.kappa,
        sweeps=done[0],
        change=done[1],
        converged=done[1] <= _SETTLED,
        residuals=found,
        stability=stability,
        pairs=diagnose.confusable(job.signatures.types, profiles, weight, weights.BACKGROUND * mean),
    )
