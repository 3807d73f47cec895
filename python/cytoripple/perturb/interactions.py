"""Coefficients of all targets as one long table."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from cytoripple._errors import ClusterError, InputError, did_you_mean
from cytoripple.io._beta_columns import LIGAND_RECEPTOR, TF, TF_LIGAND

if TYPE_CHECKING:
    import pandas as pd

    from cytoripple.io.betadata import BetaTable
    from cytoripple.perturb.betabase import Betabase

Aggregate = Literal["mean", "min", "max", "sum", "positive", "negative"]

_TYPES = {TF: "tf", LIGAND_RECEPTOR: "ligand-receptor", TF_LIGAND: "ligand-tf"}


def collect_interactions(
    base: Betabase,
    *,
    cluster: str | None = None,
    aggregate: Aggregate = "mean",
    labels: pd.Series[Any] | None = None,
) -> pd.DataFrame:
    """Summarize each coefficient over the rows of a cluster.

    Parameters
    ----------
    base
        The coefficients.
    cluster
        Label or id of a cluster. None takes all rows together.
    aggregate
        How rows are summarized; ``"positive"`` and ``"negative"`` are means over the values of that sign.
    labels
        Cluster of each cell by obs name, e.g. ``adata.obs["cell_type"]``; needed for tables with one row per
        cell when `cluster` is given.

    Returns
    -------
    Columns ``interaction, target_gene, beta, interaction_type, cell_type``: one row per coefficient that is
    not 0, largest absolute value first, then by target gene and interaction. Types are ``tf``,
    ``ligand-receptor`` and ``ligand-tf``; the intercept is left out.

    Raises
    ------
    ClusterError
        The cluster is unknown.
    InputError
        `aggregate` is unknown, or `labels` is needed.
    """
    import pandas as pd

    if aggregate not in ("mean", "min", "max", "sum", "positive", "negative"):
        raise InputError(f"aggregate is {aggregate!r}: expected mean, min, max, sum, positive or negative")
    rows: list[tuple[str, str, float, str, str]] = []
    found = cluster is None
    for gene, table in base.betadata.items():
        chosen = _rows(table, cluster, base.fitted.cluster_labels, labels)
        found = found or len(chosen) > 0
        if len(chosen) == 0:
            continue
        values = _aggregate(table.betas[chosen], aggregate)
        for modulator, (kind, *_), value in zip(table.modulators, table.terms, values.tolist(), strict=True):
            if value != 0.0 and np.isfinite(value):
                rows.append((modulator, gene, value, _TYPES[kind], "all" if cluster is None else cluster))
    if not found:
        known = {key for table in base.betadata.values() if table.key == "Cluster" for key in table.keys}
        known |= set(base.fitted.cluster_labels)
        raise ClusterError(f"no row belongs to cluster {cluster!r}{did_you_mean(str(cluster), known)}")
    rows.sort(key=lambda row: (-abs(row[2]), row[1], row[0]))
    return pd.DataFrame(rows, columns=["interaction", "target_gene", "beta", "interaction_type", "cell_type"])


def _rows(
    table: BetaTable, cluster: str | None, cluster_labels: tuple[str, ...], labels: pd.Series[Any] | None
) -> NDArray[np.int64]:
    if cluster is None:
        return np.arange(len(table.keys))
    if table.key == "Cluster":
        key = str(cluster_labels.index(cluster)) if cluster in cluster_labels else cluster
        return np.array([row for row, name in enumerate(table.keys) if name == key], dtype=np.int64)
    if labels is None:
        raise InputError(f"{table.source} has one row per cell: give labels, e.g. adata.obs['cell_type']")
    of_cell = labels.reindex(list(table.keys)).astype(str).to_numpy()
    return np.flatnonzero(of_cell == cluster)


def _aggregate(betas: NDArray[np.float64], how: Aggregate) -> NDArray[np.float64]:
    if how in ("positive", "negative"):
        chosen = betas > 0 if how == "positive" else betas < 0
        total = np.where(chosen, betas, 0.0).sum(axis=0)
        return np.asarray(total / np.maximum(chosen.sum(axis=0), 1), dtype=np.float64)
    summaries: dict[str, Callable[..., Any]] = {"mean": np.mean, "min": np.min, "max": np.max, "sum": np.sum}
    return np.asarray(summaries[how](betas, axis=0), dtype=np.float64)
