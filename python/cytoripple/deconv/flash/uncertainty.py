"""How much proportions would move if the same spot were sampled again: two kinds of standard errors.

They describe sampling stability with the neighbors held fixed. Errors of the reference, which dominate in
practice, are not in them, so the intervals are no confidence intervals for the truth.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from cytoripple._errors import SettingsError
from cytoripple._matrix import dense
from cytoripple.deconv.flash.counts import blocks, check_counts
from cytoripple.deconv.flash.fit import FlashFit

Floats = NDArray[np.float64]
ErrorKind = Literal["sandwich", "model"]
_ROWS = 512
_CERTAIN = 50.0


@dataclass(frozen=True)
class _Block:
    """Residuals and curvature of some spots."""

    beta: Floats
    pull: Floats
    """``lambda * degree``."""
    around: Floats
    """``lambda * sum of the neighbors' abundances``."""
    residual: Floats
    squared_length: Floats
    gram: Floats
    signatures: Floats
    rho: float

    @property
    def active(self) -> NDArray[np.bool_]:
        return self.beta > 0

    @property
    def residual_ss(self) -> Floats:
        return np.asarray((self.residual**2).sum(axis=1))


def compute_uncertainty(
    fit: FlashFit,
    Y: Any,
    *,
    alpha: float = 0.05,
    method: ErrorKind = "sandwich",
    fdr_q: float = 0.1,
) -> dict[str, Any]:
    """Estimate standard errors, intervals and detection of every proportion.

    Parameters
    ----------
    fit
        A fit of `Y`.
    Y
        The counts that were fitted, spots x genes.
    alpha
        Intervals have the nominal level ``1 - alpha``.
    method
        ``"sandwich"`` uses the squared residual of each gene, ``"model"`` one residual variance per spot.
    fdr_q
        False discovery rate of `detected`, by Benjamini and Hochberg over all entries.

    Returns
    -------
    Spots x types: se_prop, var_prop, ci_lower, ci_upper, ci_half_width, cv, z_score, p_value, detected and,
    under its old name, detection_confident. Spots: entropy, residual_ss, residual_norm. Numbers:
    mean_ci_width, method, alpha, fdr_q.

    Raises
    ------
    SettingsError
        Unknown method, or a level outside 0 to 1.
    """
    if method not in get_args(ErrorKind):
        raise SettingsError(f"method is {method!r}: choose {', '.join(map(repr, get_args(ErrorKind)))}")
    for name, value in (("alpha", alpha), ("fdr_q", fdr_q)):
        if not 0 < value < 1:
            raise SettingsError(f"{name} is {value}: give a number between 0 and 1")
    quantile = float(ndtri(1 - alpha / 2))
    parts: list[dict[str, Floats]] = []
    for block in _blocks(fit, Y):
        part = _errors(block, method == "sandwich", quantile)
        part["residual_ss"] = block.residual_ss
        part["residual_norm"] = block.residual_ss / np.maximum(block.squared_length, 1e-10)
        parts.append(part)
    out: dict[str, Any] = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return (
        out
        | _derived(out, fit.proportions, quantile, fdr_q)
        | {"method": method, "alpha": alpha, "fdr_q": fdr_q}
    )


def _derived(out: dict[str, Floats], shares: Floats, quantile: float, fdr_q: float) -> dict[str, Any]:
    clipped = np.clip(shares, 1e-10, 1.0)
    width = out["ci_upper"] - out["ci_lower"]
    p_value = ndtr(-out["z_score"])
    detected = benjamini_hochberg(p_value, fdr_q)
    se = out["se_prop"]
    return {
        "entropy": -(clipped * np.log(clipped)).sum(axis=1),
        "var_prop": se**2,
        "ci_half_width": quantile * se,
        "cv": np.where(shares > 0, se / np.maximum(shares, 1e-10), 0.0),
        "p_value": p_value,
        "detected": detected,
        "detection_confident": detected,
        "mean_ci_width": float(width.mean()),
    }


def benjamini_hochberg(p_value: Floats, q: float) -> NDArray[np.bool_]:
    """Entries found at false discovery rate `q`, over all entries of the array."""
    flat = np.sort(p_value, axis=None)
    below = np.flatnonzero(flat <= q * np.arange(1, flat.size + 1) / flat.size)
    return p_value <= (flat[below[-1]] if below.size else -1.0)


def _blocks(fit: FlashFit, Y: Any) -> Iterator[_Block]:
    problem, signatures = fit.problem, fit.representation.signatures
    links, degree = problem.adjacency, problem.degree()
    start = 0
    for counts in blocks(check_counts(Y), rows=_ROWS):
        rows = slice(start, start + counts.shape[0])
        start = rows.stop
        values = dense(fit.representation.rows(counts))
        beta = fit.beta[rows]
        yield _Block(
            beta=beta,
            pull=problem.lambda_ * degree[rows],
            around=problem.lambda_ * np.asarray(links[rows] @ fit.beta),
            residual=values - beta @ signatures,
            squared_length=(values**2).sum(axis=1),
            gram=problem.gram,
            signatures=signatures,
            rho=problem.rho,
        )


def _inverse(block: _Block) -> Floats:
    """Pseudo-inverse of ``G + pull I`` on the active types of each spot, zero elsewhere."""
    on = block.active
    curvature = block.gram + block.pull[:, None, None] * np.eye(block.gram.shape[0])
    masked = np.where(on[:, :, None] & on[:, None, :], curvature, 0.0)
    return np.asarray(np.linalg.pinv(masked, hermitian=True))


def _scores(block: _Block) -> Floats:
    """``X diag(e^2) X'`` of each spot."""
    n_types, width = block.signatures.shape
    pairs = (block.signatures[:, None, :] * block.signatures[None, :, :]).reshape(-1, width)
    return np.asarray((block.residual**2 @ pairs.T).reshape(-1, n_types, n_types))


def _errors(block: _Block, sandwich: bool, quantile: float) -> dict[str, Floats]:
    inverse = _inverse(block)
    n_active = block.active.sum(axis=1)
    width = block.signatures.shape[1]
    if sandwich:
        scores = _scores(block)
        covariance = inverse @ scores @ inverse
    else:
        scores = np.zeros((0, 0, 0))
        variance = block.residual_ss / np.maximum(width - n_active, 1)
        covariance = variance[:, None, None] * inverse
    out = _active(block, covariance, quantile)
    spare = block.residual_ss / np.maximum(width - n_active - 1, 1)
    absent = _absent(block, inverse, scores if sandwich else None, spare, quantile)
    total = block.beta.sum(axis=1)
    empty = total == 0
    result = {name: np.where(block.active, out[name], absent[name]) for name in out}
    for name, value in (("se_prop", np.nan), ("ci_lower", 0.0), ("ci_upper", 1.0), ("z_score", 0.0)):
        result[name][empty] = value
    return result


def _active(block: _Block, covariance: Floats, quantile: float) -> dict[str, Floats]:
    total = np.maximum(block.beta.sum(axis=1, keepdims=True), 1e-100)
    share = block.beta / total
    diagonal = np.diagonal(covariance, axis1=1, axis2=2)
    rows = covariance.sum(axis=2)
    whole = rows.sum(axis=1, keepdims=True)
    variance = (diagonal - 2 * share * rows + share**2 * whole) / total**2
    se = np.sqrt(np.maximum(variance, 0.0))
    sd = np.sqrt(np.maximum(diagonal, 0.0))
    z_score = np.divide(block.beta, sd, out=np.full_like(sd, _CERTAIN), where=sd > 0)
    return {
        "se_prop": se,
        "ci_lower": np.clip(share - quantile * se, 0.0, 1.0),
        "ci_upper": np.clip(share + quantile * se, 0.0, 1.0),
        "z_score": z_score,
    }


def _absent(
    block: _Block, inverse: Floats, scores: Floats | None, spare: Floats, quantile: float
) -> dict[str, Floats]:
    """Bound each type at 0 by its one-step estimate with the active types refitted."""
    response = inverse @ block.gram  # column k: the active types' answer to one unit of type k
    own = np.diag(block.gram) + block.pull[:, None]
    curvature = own - np.einsum("ak,nak->nk", block.gram, response)
    known = curvature > 1e-12 * own
    safe = np.where(known, curvature, 1.0)
    slope = block.residual @ block.signatures.T + block.around - block.rho
    estimate = slope / safe
    if scores is None:
        variance = spare[:, None] / safe
    else:
        crossed = scores @ response
        variance = np.diagonal(scores, axis1=1, axis2=2) - 2 * np.einsum("nak,nak->nk", response, scores)
        variance = (variance + np.einsum("nak,nak->nk", response, crossed)) / safe**2
    sd = np.sqrt(np.maximum(variance, 0.0))
    upper = np.maximum(estimate + quantile * sd, 0.0)
    total = block.beta.sum(axis=1, keepdims=True)
    z_score = np.where(estimate <= 0, -_CERTAIN, _CERTAIN)
    z_score = np.divide(estimate, sd, out=z_score, where=sd > 0)
    with np.errstate(invalid="ignore", divide="ignore"):  # spots without any abundance are set by the caller
        return {
            "se_prop": np.where(known, sd / total, np.nan),
            "ci_lower": np.zeros_like(sd),
            "ci_upper": np.where(known, upper / (total + upper), 1.0),
            "z_score": np.where(known, z_score, 0.0),
        }
