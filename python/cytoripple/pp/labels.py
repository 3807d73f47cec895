"""Cluster labels as integers."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from cytoripple import _labels
from cytoripple._errors import ClusterError
from cytoripple.pp._record import record

if TYPE_CHECKING:
    from anndata import AnnData

log = logging.getLogger(__name__)


def encode_clusters(
    adata: AnnData, *, cluster_key: str, key_added: str = "cell_type_int", copy: bool = False
) -> AnnData | None:
    """Give every cluster a number.

    Text becomes the position in the sorted list of distinct labels; a column of whole numbers keeps its
    numbers. `tl.train_grn` and `tl.perturb` do the same on their own, so this is needed only to see or
    exchange the numbers.

    Parameters
    ----------
    adata
        Cells with labels in ``adata.obs[cluster_key]``.
    cluster_key
        Column of labels.
    key_added
        Name of the new column.
    copy
        Return a changed copy instead of changing `adata`.

    Returns
    -------
    ``None``, or a modified copy when ``copy=True``. Adds

    ``adata.obs[key_added]``
        int64, 0 to K - 1.
    ``adata.uns[key_added]``
        Function, version, parameters, and under ``labels`` the text of each number.

    Raises
    ------
    ClusterError
        The column is missing, a cell has no label, or a number is negative or fractional.

    Examples
    --------
    >>> import cytoripple as ct
    >>> adata, _, _ = ct.datasets.toy_tissue(n_cells=100, n_genes=24)
    >>> ct.pp.encode_clusters(adata, cluster_key="domain", key_added="domain_int")
    >>> list(adata.uns["domain_int"]["labels"])
    ['inner', 'middle', 'outer']
    """
    if key_added == cluster_key:
        raise ClusterError(f"key_added is {key_added!r}, the column of the labels: give another name")
    column = _labels.obs_column(adata.obs, cluster_key, argument="cluster_key", error=ClusterError)
    ids, labels = _labels.encode(column, f"obs[{cluster_key!r}]", "cluster_key")
    adata = adata.copy() if copy else adata
    replaced = key_added in adata.obs
    adata.obs[key_added] = ids
    record(adata, key_added, "encode_clusters", cluster_key=cluster_key)
    adata.uns[key_added]["labels"] = list(labels)
    log.info(
        "encoded %d clusters of obs[%r] into obs[%r]%s",
        len(set(ids.tolist())),
        cluster_key,
        key_added,
        ", replacing it" if replaced else "",
    )
    return adata if copy else None
