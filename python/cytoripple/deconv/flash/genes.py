"""Which genes take part: variable ones of the spots, markers of the reference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cytoripple import _core
from cytoripple._errors import InputError, SettingsError
from cytoripple.deconv.flash.counts import blocks, check_counts, stored

Floats = NDArray[np.float64]
MarkerMethod = Literal["diff", "ratio", "specificity"]


@dataclass(frozen=True)
class GeneMoments:
    """Mean and variance (ddof 1) of log-CP10k per gene, and mean count per gene."""

    mean: Floats
    variance: Floats
    mean_count: Floats


def gene_moments(Y: Any, *, threads: int = 0) -> GeneMoments:
    """Moments of ``log(1 + 1e4 count / total)`` over all spots, in one pass without a copy of the counts.

    Parameters
    ----------
    Y
        Spots x genes, counts.
    threads
        0 takes every core; the bits are the same for any number.
    """
    Y = check_counts(Y)
    sums = np.zeros((3, Y.shape[1]))
    for block in blocks(Y):
        _core.flash_moments(*stored(block), sums, threads=threads)
    n = Y.shape[0]
    mean, square, count = sums / n
    variance = np.maximum(n / (n - 1) * (square - mean**2), 0.0) if n > 1 else np.zeros_like(mean)
    return GeneMoments(mean, variance, count)


def dispersion_score(moments: GeneMoments) -> Floats:
    """Variance of each gene in units of its bin: genes of similar mean, up to 20 bins by percentiles.

    A z-score of the variance of log-CP10k values inside bins of equal mean, as in FlashDeconv.
    """
    score = np.zeros_like(moments.mean)
    expressed = moments.mean[moments.mean > 0]
    if expressed.size < 2:
        return score
    edges = np.unique(np.percentile(expressed, np.linspace(0, 100, 21)))
    if edges.size < 2:
        return score
    where = np.searchsorted(edges, moments.mean, side="right") - 1
    where = np.clip(where, 0, edges.size - 2)
    for each in range(edges.size - 1):
        members = where == each
        if members.sum() > 1:
            values = moments.variance[members]
            score[members] = (values - values.mean()) / (values.std() + 1e-10)
    return score


def pick_variable(
    moments: GeneMoments,
    n_top: int = 2000,
    *,
    min_mean: float = 0.0125,
    max_mean: float = 3.0,
    min_disp: float = 0.5,
) -> NDArray[np.intp]:
    """Genes with the largest score, ascending; equal scores by position.

    The filters on mean and score are dropped when fewer than `n_top` genes pass them.
    """
    score = dispersion_score(moments)
    valid = (moments.mean >= min_mean) & (moments.mean <= max_mean) & (score >= min_disp)
    candidates = np.flatnonzero(valid) if valid.sum() >= n_top else np.arange(score.size)
    best = np.argsort(-score[candidates], kind="stable")[:n_top]
    return np.sort(candidates[best]).astype(np.intp)


def select_hvg(
    Y: Any,
    n_top: int = 2000,
    min_mean: float = 0.0125,
    max_mean: float = 3.0,
    min_disp: float = 0.5,
) -> NDArray[np.intp]:
    """Highly variable genes of spots x genes counts, ascending. See `pick_variable`."""
    return pick_variable(gene_moments(Y), n_top, min_mean=min_mean, max_mean=max_mean, min_disp=min_disp)


def select_markers(
    X: Floats, n_markers: int = 50, method: MarkerMethod = "diff"
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Genes most specific to each type.

    Parameters
    ----------
    X
        Types x genes.
    n_markers
        Per type, fewer where a type is on top of fewer genes.
    method
        Specificity of a gene: largest share minus the second (``"diff"``), largest over the mean of the
        others (``"ratio"``), or tau (``"specificity"``).

    Returns
    -------
    indices
        Sorted and distinct.
    types
        Type of each pick, in the order of the picks.

    Raises
    ------
    SettingsError
        Unknown method.
    """
    n_types, n_genes = X.shape
    if n_markers == 0 or n_types == 0:
        return np.zeros(0, dtype=np.intp), np.zeros(0, dtype=np.intp)
    if n_types == 1:
        first = np.arange(min(n_markers, n_genes), dtype=np.intp)
        return first, np.zeros(first.size, dtype=np.intp)
    share = X / (X.sum(axis=1, keepdims=True) + 1e-10)
    top, specific = share.argmax(axis=0), _specificity(share, method)
    picks: list[NDArray[np.intp]] = []
    for kind in range(n_types):
        own = np.flatnonzero(top == kind)
        rank = specific[own]
        if own.size == 0:
            own, rank = np.arange(n_genes), share[kind]
        picks.append(own[np.argsort(-rank, kind="stable")[:n_markers]])
    types = np.repeat(np.arange(n_types, dtype=np.intp), [len(pick) for pick in picks])
    return np.unique(np.concatenate(picks)).astype(np.intp), types


def _specificity(share: Floats, method: str) -> Floats:
    ordered = np.sort(share, axis=0)
    largest, n_types = ordered[-1], share.shape[0]
    if method == "diff":
        return np.asarray(largest - ordered[-2])
    if method == "ratio":
        return np.asarray(largest / ((share.sum(axis=0) - largest) / (n_types - 1) + 1e-10))
    if method == "specificity":
        return np.asarray((1.0 - share / (largest + 1e-10)).sum(axis=0) / (n_types - 1))
    raise SettingsError(f"method is {method!r}: choose 'diff', 'ratio', 'specificity'")


def select_genes(moments: GeneMoments, X: Floats, *, n_hvg: int, n_markers_per_type: int) -> NDArray[np.intp]:
    """Union of variable genes and markers, ascending.

    Raises
    ------
    InputError
        No gene was selected.
    """
    chosen = np.union1d(pick_variable(moments, n_hvg), select_markers(X, n_markers_per_type)[0])
    if chosen.size == 0:
        raise InputError(
            f"no gene was selected with n_hvg={n_hvg} and n_markers_per_type={n_markers_per_type}: "
            "raise one of the two"
        )
    return chosen.astype(np.intp)
