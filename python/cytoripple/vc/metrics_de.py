"""Agreement of the genes called differentially expressed in measured and in predicted cells.

A gene is significant when its false discovery rate, rounded to single precision, is below 0.05. The
significant genes of a perturbation are sorted by falling absolute fold change, equal ones by gene order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cytoripple.vc._statistics import curves, spearman
from cytoripple.vc.de import DifferentialExpression
from cytoripple.vc.profiles import OVERLAP, PRECISION, TOPS, Policy

FDR = 0.05
_SMALLEST = 1e-10
"""FDRs below this rank equally in the curves."""

Columns = dict[str, NDArray[np.float64]]


@dataclass(frozen=True, eq=False)
class Calls:
    """Significant genes of one perturbation.

    Parameters
    ----------
    lfc
        log2 fold change of every gene, float32.
    fdr
        False discovery rate of every gene, float32.
    ranked
        Positions of the significant genes, the strongest first.
    place
        Place of every gene in `ranked`; the number of genes for a gene that is not significant.
    """

    lfc: NDArray[np.float32]
    fdr: NDArray[np.float32]
    ranked: NDArray[np.int64]
    place: NDArray[np.int64]


def calls(found: DifferentialExpression, row: int, *, noise: float = 0.0, fdr: float = FDR) -> Calls:
    """Rank the significant genes of one row of the tests; fold changes below `noise` are 0."""
    lfc = found.log2_fold_change[row].astype(np.float32)
    lfc[np.abs(lfc) < noise] = 0.0
    rates = found.fdr[row].astype(np.float32)
    significant = np.flatnonzero(rates < np.float32(fdr))
    order = np.argsort(-np.abs(lfc[significant]), kind="stable")
    ranked = significant[order]
    place = np.full(len(lfc), len(lfc))
    place[ranked] = np.arange(len(ranked))
    return Calls(lfc, rates, ranked, place)


def shared(real: Calls, pred: Calls, top: int, *, both_empty: float) -> float:
    """Share of the `top` strongest measured genes among the `top` strongest predicted genes."""
    if top == 0:
        return both_empty if real.ranked.size == pred.ranked.size == 0 else 0.0
    return float((pred.place[real.ranked[:top]] < top).sum() / top)


def detection(real: Calls, pred: Calls) -> tuple[float, float]:
    """Average precision and ROC area of the predicted false discovery rates for the measured calls."""
    positive = np.zeros(len(real.fdr), dtype=bool)
    positive[real.ranked] = True
    return curves(positive, -np.log10(np.clip(pred.fdr.astype(np.float64), _SMALLEST, 1.0)))


def de_metrics(real: DifferentialExpression, pred: DifferentialExpression, policy: Policy) -> Columns:
    """All metrics of differential expression, one value per perturbation; NaN where there is none.

    Parameters
    ----------
    real, pred
        Tests over the same targets and genes.
    policy
        What two empty sets score.
    """
    n, n_genes = len(real.targets), len(real.genes)
    out: Columns = {name: np.full(n, np.nan) for name in (*OVERLAP, *PRECISION)}
    direction, effect, recall, average_precision, area = (np.full(n, np.nan) for _ in range(5))
    n_real, n_pred = np.zeros(n), np.zeros(n)
    for row in range(n):
        mine, theirs = calls(real, row), calls(pred, row, noise=policy.noise)
        n_real[row], n_pred[row] = mine.ranked.size, theirs.ranked.size
        for top, overlap, precision in zip(TOPS, OVERLAP, PRECISION, strict=True):
            for name, limit in ((overlap, mine.ranked.size), (precision, theirs.ranked.size)):
                length = limit if top is None else min(top, limit)
                out[name][row] = shared(mine, theirs, length, both_empty=policy.both_empty)
        if mine.ranked.size:
            lfc = mine.lfc[mine.ranked], theirs.lfc[mine.ranked]
            direction[row] = np.mean(np.sign(lfc[0]) == np.sign(lfc[1]))
            effect[row] = spearman(lfc[0].astype(np.float64), lfc[1].astype(np.float64))
            recall[row] = (theirs.place[mine.ranked] < n_genes).mean()
        average_precision[row], area[row] = detection(mine, theirs)
    return {
        **out,
        "de_spearman_sig": np.full(n, _spearman_of_counts(n_real, n_pred)),
        "de_direction_match": direction,
        "de_spearman_lfc_sig": effect,
        "de_sig_genes_recall": recall,
        "de_nsig_counts_real": n_real,
        "de_nsig_counts_pred": n_pred,
        "pr_auc": average_precision,
        "roc_auc": area,
    }


def _spearman_of_counts(real: NDArray[np.float64], pred: NDArray[np.float64]) -> float:
    """Correlation of the numbers of significant genes, over perturbations that have any; 1 if none has."""
    some = real > 0
    return spearman(real[some], pred[some]) if some.any() else 1.0
