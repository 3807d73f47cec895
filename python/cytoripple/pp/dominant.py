"""Clusters from proportions of cell types."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from cytoripple._errors import ClusterError, InputError, did_you_mean
from cytoripple.pp._record import record

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

log = logging.getLogger(__name__)


def dominant_types(
    adata: AnnData,
    *,
    key: str = "deconvolution",
    min_share: float = 0.4,
    min_spots: int = 20,
    mixed: str = "mixed",
    key_added: str = "dominant_type",
    copy: bool = False,
) -> AnnData | None:
    """Make clusters for training out of deconvolved spots.

    A spot belongs to the type with its largest share. Spots where no type reaches `min_share`, spots without
    proportions, and spots of types that dominate fewer than `min_spots` make up one cluster `mixed`.

    Parameters
    ----------
    adata
        Spots with a data frame of proportions, spots x types, in ``adata.obsm[key]``, as
        `cytoripple.tl.deconvolve` leaves it.
    key
        Name of the proportions.
    min_share
        Least share of the dominant type, 0 to 1.
    min_spots
        Least number of spots of a cluster: a network cannot be trained on a handful.
    mixed
        Name of the cluster of all other spots.
    key_added
        Name of the new column.
    copy
        Return a changed copy instead of changing `adata`.

    Returns
    -------
    ``None``, or a modified copy when ``copy=True``. Adds

    ``adata.obs[key_added]``
        Categorical without gaps: give it as ``cluster_key`` to `cytoripple.tl.train_grn`.
    ``adata.uns[key_added]``
        Function, version, parameters, and under ``n_spots`` the size of every cluster.

    Raises
    ------
    InputError
        There are no such proportions, or an argument is out of range.
    ClusterError
        A type is called like `mixed`, or no type dominates enough spots.

    Examples
    --------
    >>> import cytoripple as ct
    >>> ct.pp.dominant_types(spots, min_share=0.5)  # doctest: +SKIP
    >>> ct.tl.train_grn(spots, cluster_key="dominant_type", network=network, run_dir="run")  # doctest: +SKIP
    """
    import pandas as pd

    shares = proportions_of(adata, key)
    if not 0 <= min_share <= 1:
        raise InputError(f"min_share is {min_share:g}: give a share between 0 and 1")
    names = [str(name) for name in shares.columns]
    if mixed in names:
        raise ClusterError(f"a type is called {mixed!r}: give the other spots another name with mixed=")
    values = shares.to_numpy(dtype=np.float64)
    filled = np.nan_to_num(values, nan=-1.0)
    best = filled.argmax(axis=1)
    clear = (filled.max(axis=1) >= min_share) & ~np.isnan(values).any(axis=1)
    sizes = np.bincount(best[clear], minlength=len(names))
    kept = sizes >= max(min_spots, 1)
    if not kept.any():
        raise ClusterError(
            f"no type has {min_spots} spots with a share of at least {min_share:g} "
            f"(the most: {names[int(sizes.argmax())]!r}, {sizes.max()}): lower min_share or min_spots"
        )
    clear &= kept[best]
    labels = np.where(clear, np.array(names, dtype=object)[best], mixed)
    order = [name for name, keep in zip(names, kept, strict=True) if keep] + [mixed] * (not clear.all())
    adata = adata.copy() if copy else adata
    adata.obs[key_added] = pd.Categorical(labels.tolist(), categories=order)
    used: dict[str, Any] = {"min_share": min_share, "min_spots": min_spots, "mixed": mixed}
    record(adata, key_added, "dominant_types", proportions=key, **used)
    counted = adata.obs[key_added].value_counts()
    adata.uns[key_added]["n_spots"] = {name: int(counted[name]) for name in order}
    log.info(
        "%d clusters from obsm[%r] into obs[%r]; %d of %d spots are %s",
        len(order), key, key_added, int((~clear).sum()), len(clear), mixed,
    )  # fmt: skip
    return adata if copy else None


def proportions_of(adata: AnnData, key: str) -> pd.DataFrame:
    """Proportions of types in ``obsm``, spots x types.

    Raises
    ------
    InputError
        There is no data frame of that name.
    """
    import pandas as pd

    if key not in adata.obsm:
        raise InputError(
            f"obsm has no proportions {key!r}{did_you_mean(key, map(str, adata.obsm))}: "
            f"run cytoripple.tl.deconvolve(adata, reference, ..., key_added={key!r})"
        )
    found = adata.obsm[key]
    if not isinstance(found, pd.DataFrame):
        raise InputError(f"obsm[{key!r}] is no data frame: its columns must name the types")
    return found
