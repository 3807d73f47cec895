"""Metrics on plain arrays, quick enough for every step of a training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cytoripple import _core
from cytoripple._errors import InputError
from cytoripple.kernels import _check
from cytoripple.kernels._expression import expression_parts
from cytoripple.vc._screen import Screen
from cytoripple.vc._statistics import spearman
from cytoripple.vc.de import differential_expression
from cytoripple.vc.metrics_de import calls, detection, shared
from cytoripple.vc.metrics_effects import ranks_of_own


class DEDetails(NamedTuple):
    """Agreement of differential expression of one perturbation.

    `overlap`: share of the N significant measured genes among the N strongest significant predicted genes,
    1 when both sets are empty. `pr_auc`: average precision of the predicted false discovery rates.
    `spearman_r`: correlation of the fold changes over the significant measured genes. NaN where undefined.
    """

    overlap: float
    pr_auc: float
    spearman_r: float
    n_true_sig: int
    n_pred_sig: int


def compute_pds(
    pred: ArrayLike,
    true: ArrayLike,
    *,
    target_idx: ArrayLike | None = None,
    metric: Literal["l1", "l2", "cosine"] = "l1",
    topk: Sequence[int] = (1, 5, 10),
    threads: int = 0,
) -> dict[str, float]:
    """Tell how near each predicted effect is to its own measured effect, compared with the others.

    Parameters
    ----------
    pred, true
        Perturbations x genes, effects in the same order.
    target_idx
        Per perturbation the gene that is left out, -1 for none.
    metric
        Distance of two effects.
    topk
        Lengths of the lists of nearest effects.

    Returns
    -------
    Means over the P perturbations. With r the number of measured effects nearer than the own one, ties
    counting one half: ``pds`` is ``1 - r / P`` (best 1, chance (P + 1) / 2P), ``mean_inv_rank`` is
    ``1 / (r + 1)``, ``topK`` the share with r < K.

    Raises
    ------
    InputError
        Shapes differ, or a value is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from cytoripple.vc import compute_pds
    >>> compute_pds(np.eye(4), np.eye(4))["pds"]
    1.0
    """
    if metric not in ("l1", "l2", "cosine"):
        raise InputError(f"metric is {metric!r}: give 'l1', 'l2' or 'cosine'")
    predicted, measured = _check.real("pred", pred, ndim=2), _check.real("true", true, ndim=2)
    n = len(predicted)
    if predicted.shape != measured.shape or n == 0:
        raise InputError(
            f"pred has shape {predicted.shape}, true {measured.shape}: expected the same, not empty"
        )
    skip = np.full(n, -1) if target_idx is None else target_idx
    distances = _core.effect_distances(
        predicted, measured, _check.integers("target_idx", skip, length=n), metric=metric, threads=threads
    )
    ranks = ranks_of_own(distances)
    out = {"pds": float(np.mean(1 - ranks / n)), "mean_inv_rank": float(np.mean(1 / (ranks + 1)))}
    return out | {f"top{k}": float(np.mean(ranks < k)) for k in topk}


def compute_de(
    pred_pert: Any, pred_ctrl: Any, true_pert: Any, true_ctrl: Any, fdr: float = 0.05, *, threads: int = 0
) -> DEDetails:
    """Compare the differential expression of one perturbation, predicted and measured.

    Parameters
    ----------
    pred_pert, pred_ctrl, true_pert, true_ctrl
        Cells x genes of the perturbation and of the control, ``log1p`` of normalized counts, dense.
    fdr
        Genes below this false discovery rate are significant.

    Returns
    -------
    `DEDetails`.

    Raises
    ------
    InputError
        Numbers of genes differ, a group has no cell, or a value is not finite.
    """
    if not 0 < fdr < 1:
        raise InputError(f"fdr is {fdr}: give a number between 0 and 1")
    true, pred = (
        _one_test("true", true_ctrl, true_pert, threads),
        _one_test("pred", pred_ctrl, pred_pert, threads),
    )
    if true.genes.shape != pred.genes.shape:
        raise InputError(f"pred has {len(pred.genes)} genes, true {len(true.genes)}: expected the same")
    real, guess = calls(true, 0, fdr=fdr), calls(pred, 0, fdr=fdr)
    lfc = [side.lfc[real.ranked].astype(np.float64) for side in (real, guess)]
    return DEDetails(
        overlap=shared(real, guess, real.ranked.size, both_empty=1.0),
        pr_auc=detection(real, guess)[0],
        spearman_r=spearman(*lfc),
        n_true_sig=real.ranked.size,
        n_pred_sig=guess.ranked.size,
    )


def _one_test(name: str, control: Any, perturbed: Any, threads: int) -> Any:
    groups = [
        _check.real(f"{name}_{side}", part, ndim=2) for side, part in (("ctrl", control), ("pert", perturbed))
    ]
    if groups[0].shape[1] != groups[1].shape[1]:
        raise InputError(
            f"{name}_ctrl has {groups[0].shape[1]} genes, {name}_pert {groups[1].shape[1]}: expected the same"
        )
    cells = np.vstack(groups)
    codes = np.repeat(np.arange(2, dtype=np.int64), [len(group) for group in groups])
    genes = np.arange(cells.shape[1]).astype(np.str_)
    screen = Screen(name, cells, expression_parts(name, cells), codes, ("control", "perturbed"), genes)
    return differential_expression(screen, threads=threads)


def compute_mae(pred: ArrayLike, true: ArrayLike, mask: ArrayLike | None = None) -> NDArray[np.float64]:
    """Mean absolute error along the last axis.

    Parameters
    ----------
    pred, true
        Arrays of one shape.
    mask
        Weights that broadcast to it, for example 0 for genes that were not measured.

    Returns
    -------
    ``sum(mask |pred - true|) / max(sum(mask), 1e-12)``, one dimension less than the input.

    Raises
    ------
    InputError
        Shapes differ.
    """
    left, right = np.asarray(pred, dtype=np.float64), np.asarray(true, dtype=np.float64)
    if left.shape != right.shape or left.ndim == 0:
        raise InputError(f"pred has shape {left.shape}, true {right.shape}: expected the same")
    error = np.abs(left - right)
    given = np.asarray(1.0 if mask is None else mask, dtype=np.float64)
    try:
        weight = np.broadcast_to(given, error.shape)
    except ValueError as wrong:
        raise InputError(f"mask has shape {given.shape}: it does not fit {error.shape}") from wrong
    mean: NDArray[np.float64] = (weight * error).sum(axis=-1) / np.maximum(weight.sum(axis=-1), 1e-12)
    return mean


@dataclass
class RunningMean:
    """Mean of values that come in pieces; pieces of several workers can be merged.

    Examples
    --------
    >>> from cytoripple.vc import RunningMean
    >>> mean = RunningMean()
    >>> mean.update([1.0, 2.0])
    >>> mean.merge(RunningMean(total=6.0, count=1.0))
    >>> mean.mean
    3.0
    """

    total: float = 0.0
    count: float = 0.0

    def update(self, values: ArrayLike, weights: ArrayLike = 1.0) -> None:
        """Add values, each with its weight."""
        numbers = np.asarray(values, dtype=np.float64)
        weight = np.broadcast_to(np.asarray(weights, dtype=np.float64), numbers.shape)
        self.total += float((numbers * weight).sum())
        self.count += float(weight.sum())

    def merge(self, other: RunningMean) -> None:
        """Add what another one has seen."""
        self.total += other.total
        self.count += other.count

    @property
    def mean(self) -> float:
        """Mean so far, NaN before the first value."""
        return self.total / self.count if self.count else float("nan")
