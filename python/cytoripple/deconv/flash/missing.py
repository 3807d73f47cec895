"""Signs of a cell type that the reference lacks.

No test: in most tissues a related type of the reference absorbs the missing one, and the scores of the spots
that hold it are ordinary. Read them as hints where to look.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import ndtri

from cytoripple.deconv.flash.counts import blocks, check_counts
from cytoripple.deconv.flash.fit import FlashFit
from cytoripple.deconv.flash.null import Null, empirical_null

Floats = NDArray[np.float64]
_ROWS = 512


def _profiles(fit: FlashFit) -> Floats:
    """Types x chosen genes, rows of sum 1."""
    X = fit.X[:, fit.representation.genes]
    return np.asarray(X / np.maximum(X.sum(axis=1, keepdims=True), 1e-300))


def _chosen_counts(fit: FlashFit, Y: Any) -> Any:
    """Read the counts of the chosen genes for all spots."""
    parts = list(blocks(check_counts(Y), genes=fit.representation.genes))
    return parts[0] if len(parts) == 1 else sparse.vstack(parts, format="csr")


def reference_fit_scores(
    fit: FlashFit,
    Y: Any,
    *,
    eta: float = 0.01,
    max_em_iter: int = 10,
    em_tol: float = 1e-4,
    pool: bool = True,
    alpha: float = 0.05,
    null: str = "auto",
) -> dict[str, Any]:
    """Score how badly the best mixture of reference types explains each spot's counts.

    The counts of a spot are draws from ``q = (1 - eta) p profiles + eta / g``; their mean log probability is
    compared with what such draws would have, in standard errors, and calibrated on the bulk of the spots.

    Parameters
    ----------
    fit
        A fit of `Y`.
    Y
        The counts that were fitted, spots x genes.
    eta
        Share of counts from anywhere.
    max_em_iter, em_tol
        Iterations for the mixture weights `p`, and the change that ends them.
    pool
        Also score each spot together with its neighbors.
    alpha
        Flags mark scores above the normal quantile of ``1 - alpha``.
    null
        See `empirical_null`.

    Returns
    -------
    Per spot z_raw, score, flag and, pooled, z_raw_pooled, score_pooled, flag_pooled; n_umi; mixture_weights
    (spots x types); null.
    """
    counts, profiles = _chosen_counts(fit, Y), _profiles(fit)
    weights = _mixture(counts, profiles, fit.proportions, eta, max_em_iter, em_tol)
    gap, variance, n_umi = _surprise(counts, profiles, weights, eta)
    z_raw = -gap / np.sqrt(np.maximum(variance, 1e-12))
    score, found = _calibrated(z_raw, n_umi > 0, null)
    nulls = {"score": vars(found)}
    out: dict[str, Any] = {
        "z_raw": z_raw,
        "score": score,
        "n_umi": n_umi,
        "mixture_weights": weights,
    }
    if pool:
        links = fit.problem.adjacency
        gap, variance = gap + links @ gap, variance + links @ variance
        out["z_raw_pooled"] = -gap / np.sqrt(np.maximum(variance, 1e-12))
        pooled = n_umi + links @ n_umi > 0
        out["score_pooled"], found = _calibrated(out["z_raw_pooled"], pooled, null)
        out["flag_pooled"] = out["score_pooled"] > ndtri(1 - alpha)
        nulls["score_pooled"] = vars(found)
    return out | {"flag": score > ndtri(1 - alpha), "null": nulls}


def _calibrated(z: Floats, counted: NDArray[np.bool_], method: str) -> tuple[Floats, Null]:
    """Standardize by the ordinary spots among those with counts."""
    found = empirical_null(z[counted] if counted.any() else z, method)
    return (z - found.center) / found.scale, found


def _row_sums(counts: Any, values: Floats) -> Floats:
    """Sum values of stored entries (entries, or entries x types) inside each row."""
    sums = np.zeros((counts.shape[0], *values.shape[1:]))
    full = np.flatnonzero(np.diff(counts.indptr))
    if full.size:
        sums[full] = np.add.reduceat(values, counts.indptr[:-1][full], axis=0)
    return sums


def _mixture(counts: Any, profiles: Floats, start: Floats, eta: float, max_iter: int, tol: float) -> Floats:
    """Mixture weights per spot by expectation maximization, each spot until its own weights settle."""
    weights, uniform = start.copy(), eta / profiles.shape[1]
    for first in range(0, counts.shape[0], _ROWS):
        block = counts[first : first + _ROWS]
        here = weights[first : first + _ROWS]
        moving = np.arange(block.shape[0])
        for _ in range(max_iter):
            part, old = block[moving], here[moving]
            spot = np.repeat(np.arange(part.shape[0]), np.diff(part.indptr))
            likely = (1 - eta) * old[spot] * profiles[:, part.indices].T
            share = part.data / (likely.sum(axis=1) + uniform)
            new = _row_sums(part, likely * share[:, None])
            total = new.sum(axis=1, keepdims=True)
            new = np.where(total > 0, new / np.maximum(total, 1e-300), old)
            here[moving] = new
            moving = moving[np.abs(new - old).max(axis=1) >= tol]
            if moving.size == 0:
                break
    return weights


def _surprise(counts: Any, profiles: Floats, weights: Floats, eta: float) -> tuple[Floats, Floats, Floats]:
    """Log probability of each spot minus its expectation, its variance, and the number of counts."""
    n_spots, n_genes = counts.shape
    gap, variance, n_umi = np.zeros(n_spots), np.zeros(n_spots), np.zeros(n_spots)
    for first in range(0, n_spots, _ROWS):
        rows = slice(first, first + _ROWS)
        block = counts[rows]
        q = (1 - eta) * weights[rows] @ profiles + eta / n_genes
        log_q = np.log(q)
        entropy = -(q * log_q).sum(axis=1)
        spread = np.maximum((q * log_q**2).sum(axis=1) - entropy**2, 1e-12)
        spot = np.repeat(np.arange(block.shape[0]), np.diff(block.indptr))
        found = _row_sums(block, block.data * log_q[spot, block.indices])
        n_umi[rows] = _row_sums(block, block.data.astype(np.float64))
        gap[rows] = found + n_umi[rows] * entropy
        variance[rows] = n_umi[rows] * spread
    return gap, variance, n_umi
