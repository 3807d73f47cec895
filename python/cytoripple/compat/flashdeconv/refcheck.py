"""Signs of a missing type, on a fitted model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import ArrayLike

from cytoripple.compat.flashdeconv.model import FlashDeconv
from cytoripple.deconv.flash import missing, unexplained


def reference_fit_scores(
    model: FlashDeconv,
    eta: float = 0.01,
    max_em_iter: int = 10,
    em_tol: float = 1e-4,
    pool: bool = True,
    alpha: float = 0.05,
    null: str = "auto",
) -> dict[str, Any]:
    """See `cytoripple.deconv.flash.missing.reference_fit_scores`."""
    return missing.reference_fit_scores(
        *model._state(), eta=eta, max_em_iter=max_em_iter, em_tol=em_tol, pool=pool, alpha=alpha, null=null
    )


def unexplained_genes(
    model: FlashDeconv,
    bins: ArrayLike,
    gene_names: Sequence[str] | None = None,
    min_count: int = 20,
    pseudocount: float = 0.5,
) -> dict[str, Any]:
    """See `cytoripple.deconv.flash.unexplained.unexplained_genes`."""
    return unexplained.unexplained_genes(
        *model._state(), bins, gene_names=gene_names, min_count=min_count, pseudocount=pseudocount
    )
