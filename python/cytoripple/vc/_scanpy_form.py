"""The layout of ``scanpy.tl.rank_genes_groups`` in ``adata.uns``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from cytoripple.vc.de import DifferentialExpression


def as_rank_genes_groups(
    found: DifferentialExpression, *, groupby: str, reference: str, layer: str | None
) -> dict[str, Any]:
    """Record arrays with one field per perturbation, genes by falling score.

    Fields: ``names``, ``scores`` (standardized U without the continuity correction, float32), ``pvals``,
    ``pvals_adj`` (float64), ``logfoldchanges`` (float32). All fields have the length of the target with the
    most tests; a shorter one ends with empty names and NaN.
    """
    scores = np.where(found.kept, found.score, -np.inf)
    order = np.argsort(-scores, axis=1, kind="stable")
    counts = found.kept.sum(axis=1)
    length = int(counts.max(initial=0))
    order = order[:, :length]
    absent = np.arange(length)[None, :] >= counts[:, None]

    def records(values: Any, dtype: Any, missing: Any) -> np.recarray[Any, Any]:
        rows = np.take_along_axis(np.broadcast_to(values, found.kept.shape), order, axis=1).astype(dtype)
        rows[absent] = missing
        fields = np.dtype([(target, dtype) for target in found.targets])
        out: np.recarray[Any, Any] = np.recarray(length, dtype=fields)
        for target, row in zip(found.targets, rows, strict=True):
            out[target] = row
        return out

    return {
        "params": {
            "groupby": groupby,
            "reference": reference,
            "method": "wilcoxon",
            "use_raw": False,
            "layer": layer,
            "corr_method": "benjamini-hochberg",
        },
        "names": records(found.genes.astype(object), object, ""),
        "scores": records(found.score, np.float32, np.nan),
        "pvals": records(found.p_value, np.float64, np.nan),
        "pvals_adj": records(found.fdr, np.float64, np.nan),
        "logfoldchanges": records(found.log2_fold_change, np.float32, np.nan),
    }
