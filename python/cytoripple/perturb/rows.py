"""Which row of a betadata table belongs to each cell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from cytoripple._errors import ClusterError, InputError

if TYPE_CHECKING:
    from cytoripple._anndata import Tissue
    from cytoripple.io.betadata import BetaTable

Missing = Literal["error", "zero"]


class RowMap:
    """Rows of the cells of a tissue, computed once per list of row keys.

    Parameters
    ----------
    tissue
        Cells and clusters.
    cluster_labels
        Label of each cluster id of the tables, as the run recorded it; empty when not recorded.
    missing
        ``"zero"`` gives cells without a row the row -1 (all coefficients 0); ``"error"`` refuses them.
    """

    def __init__(
        self, tissue: Tissue, *, cluster_labels: tuple[str, ...] = (), missing: Missing = "error"
    ) -> None:
        if missing not in ("error", "zero"):
            raise InputError(f"missing is {missing!r}: expected 'error' or 'zero'")
        self._tissue = tissue
        self._labels = cluster_labels
        self._missing = missing
        # by identity of the key list, which tables share; the list is kept so that its id stays its own
        self._known: dict[tuple[bool, int], tuple[tuple[str, ...], NDArray[np.int64]]] = {}

    def of(self, table: BetaTable) -> NDArray[np.int64]:
        """Row of each cell, (cells,), shared between tables with equal keys; -1 is no row.

        Raises
        ------
        ClusterError
            A cluster of the tissue has no row, or the keys fit the clusters in two ways.
        InputError
            A cell has no row.
        """
        known = (table.key == "Cluster", id(table.keys))
        if known not in self._known:
            find = self._by_cluster if table.key == "Cluster" else self._by_cell
            self._known[known] = (table.keys, find(table))
        return self._known[known][1]

    def _by_cell(self, table: BetaTable) -> NDArray[np.int64]:
        import pandas as pd

        rows = pd.Index(table.keys).get_indexer(self._tissue.obs_names).astype(np.int64)
        lost = self._tissue.obs_names[rows < 0]
        # rows without a key column are numbered, so a partial match with cell names would be chance
        if len(lost) and (self._missing == "error" or table.key is None):
            advice = (
                'give missing="zero" to let their coefficients be 0'
                if table.key is not None
                else "it has no row keys: name its first column Cluster or CellID"
            )
            raise InputError(
                f"{table.source} has no row for {len(lost)} of {len(rows)} cells "
                f"({', '.join(map(repr, lost[:3]))}): {advice}"
            )
        return rows

    def _by_cluster(self, table: BetaTable) -> NDArray[np.int64]:
        row_of = {key: row for row, key in enumerate(table.keys)}
        present = np.unique(self._tissue.clusters)
        texts = self._texts(table, row_of, present)
        lost = [cluster for cluster in present.tolist() if texts[cluster] not in row_of]
        if lost and self._missing == "error":
            labels = [self._tissue.cluster_labels[cluster] for cluster in lost]
            raise ClusterError(
                f"{table.source} has rows for {_some(table.keys)} but none for the clusters {_some(labels)} "
                f"of obs[{self._tissue.cluster_key!r}]: give the column of the training, or "
                'missing="zero" to let their coefficients be 0'
            )
        lookup = np.full(int(present.max()) + 1, -1, dtype=np.int64)
        for cluster in present.tolist():
            lookup[cluster] = row_of.get(texts[cluster], -1)
        return lookup[self._tissue.clusters]

    def _texts(
        self, table: BetaTable, row_of: Mapping[str, int], present: NDArray[np.int64]
    ) -> dict[int, str]:
        """Key under which each cluster of the tissue is looked up."""
        labels = {cluster: self._tissue.cluster_labels[cluster] for cluster in present.tolist()}
        if self._labels:
            ids = {label: str(cluster) for cluster, label in enumerate(self._labels)}
            return {cluster: ids.get(label, "") for cluster, label in labels.items()}
        numbers = {cluster: str(cluster) for cluster in labels}
        by_label = [cluster for cluster, label in labels.items() if label in row_of]
        by_number = [cluster for cluster, number in numbers.items() if number in row_of]
        if labels == numbers or not by_number:
            return labels
        if not by_label:
            return numbers
        if len(by_label) == len(labels) and len(by_number) < len(labels):
            return labels
        raise ClusterError(
            f"the row keys {_some(table.keys)} of {table.source} fit labels and numbers of "
            f"obs[{self._tissue.cluster_key!r}]: make it whole numbers, e.g. "
            f"adata.obs[{self._tissue.cluster_key!r}].astype(int), or open a run directory with its run file"
        )


def _some(names: list[str] | tuple[str, ...]) -> str:
    shown = ", ".join(map(repr, names[:5]))
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"
