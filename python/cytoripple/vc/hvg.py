"""One list of variable genes for several data sets."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from cytoripple._errors import FileError, GeneMatchError, InputError, MissingFileError, did_you_mean
from cytoripple._optional import require

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

Method = Literal["intersect_then_count", "mean_rank"]

_COLUMNS = ("gene_name", "variances_normalized", "highly_variable")


def hvg_table(
    adata: AnnData, *, n_top: int = 2000, flavor: Literal["seurat", "seurat_v3"] = "seurat"
) -> pd.DataFrame:
    """Rank the genes of one data set with scanpy.

    Parameters
    ----------
    adata
        ``X`` holds log-normalized expression for ``"seurat"``, counts for ``"seurat_v3"`` (which also needs
        scikit-misc).
    n_top
        Genes to flag.
    flavor
        Rule of scanpy.

    Returns
    -------
    Data frame with gene_name, means, variances (dispersions for ``"seurat"``), variances_normalized and
    highly_variable.

    Raises
    ------
    ImportError
        scanpy is not installed.
    """
    scanpy = require("scanpy", extra="vc", purpose="ranking variable genes")
    found: Any = scanpy.pp.highly_variable_genes(adata, n_top_genes=n_top, flavor=flavor, inplace=False)
    import pandas as pd

    names = ("variances", "variances_norm") if flavor == "seurat_v3" else ("dispersions", "dispersions_norm")
    return pd.DataFrame(
        {
            "gene_name": [str(name) for name in adata.var_names],
            "means": found["means"].to_numpy(),
            "variances": found[names[0]].to_numpy(),
            "variances_normalized": found[names[1]].to_numpy(),
            "highly_variable": found["highly_variable"].to_numpy(),
        }
    )


def select_hvgs(
    tables: Iterable[pd.DataFrame | str | Path],
    n_top: int = 2000,
    method: Method = "intersect_then_count",
    *,
    require_present: Literal["all", "any"] | int = "any",
    force_include: Iterable[str] = (),
) -> list[str]:
    """Choose variable genes that serve several data sets.

    Parameters
    ----------
    tables
        One per data set, or csv files: gene_name, variances_normalized, highly_variable.
    n_top
        Length of the list.
    method
        ``"intersect_then_count"``: first the genes flagged in every data set, by mean rank; then the others
        by the number of data sets that flag them, by mean rank, then by name. ``"mean_rank"``: by mean rank
        of `variances_normalized` (1 is the most variable), then by name. A gene that a data set does not
        measure has the rank one after the last of the union.
    require_present
        In how many data sets a gene must be measured.
    force_include
        Genes that are in the list in any case, e.g. the targets; they come first and count.

    Returns
    -------
    `n_top` names, or all there are.

    Raises
    ------
    InputError
        A table lacks a column or names a gene twice, or an argument is out of range.
    GeneMatchError
        A gene of `force_include` is in no table.

    Examples
    --------
    >>> import pandas as pd
    >>> from cytoripple.vc.hvg import select_hvgs
    >>> table = {"gene_name": ["A", "B"], "variances_normalized": [1, 2], "highly_variable": [False, True]}
    >>> select_hvgs([pd.DataFrame(table)], n_top=1)
    ['B']
    """
    frames = [_read(table) for table in tables]
    if not frames:
        raise InputError("there is no table: give one per data set")
    if int(n_top) != n_top or n_top < 1:
        raise InputError(f"n_top is {n_top}: give a whole number of at least 1")
    if method not in ("intersect_then_count", "mean_rank"):
        raise InputError(f"method is {method!r}: give 'intersect_then_count' or 'mean_rank'")
    union = sorted({name for frame in frames for name in frame.index})
    forced = list(dict.fromkeys(map(str, force_include)))
    for name in forced:
        if name not in set(union):
            raise GeneMatchError(f"{name!r} of force_include is in no table{did_you_mean(name, union)}")
    rank, flags, present = _ranks(frames, union)
    least = {"all": len(frames), "any": 1}.get(str(require_present), require_present)
    if not isinstance(least, int) or not 1 <= least <= len(frames):
        raise InputError(
            f"require_present is {require_present!r}: give 'all', 'any' or a number up to {len(frames)}"
        )
    names = np.array(union, dtype=object)
    if method == "mean_rank":
        order = np.lexsort((np.arange(len(union)), rank))
    else:  # flagged everywhere is the largest count, so one sort does both steps
        order = np.lexsort((np.arange(len(union)), rank, -flags))
        order = order[flags[order] > 0]
    chosen = forced + [name for name in names[order[present[order] >= least]] if name not in set(forced)]
    return [str(name) for name in chosen[: max(n_top, len(forced))]]


def _ranks(frames: list[pd.DataFrame], union: list[str]) -> tuple[Any, Any, Any]:
    """Mean rank, number of flags and number of data sets of every gene of the union."""
    ranks, flags, present = [], [], []
    for frame in frames:
        values = frame["variances_normalized"].astype(float)
        # Undefined variances (constant genes) come last among the measured.
        rank = values.rank(ascending=False, method="min", na_option="bottom").reindex(union)
        ranks.append(rank.fillna(len(union) + 1).to_numpy())
        flags.append(frame["highly_variable"].reindex(union, fill_value=False).to_numpy(dtype=bool))
        present.append(rank.notna().to_numpy())
    return np.mean(ranks, axis=0), np.sum(flags, axis=0), np.sum(present, axis=0)


def _read(table: pd.DataFrame | str | Path) -> pd.DataFrame:
    import pandas as pd

    source = "a table"
    if isinstance(table, str | Path):
        path = Path(table).expanduser()
        source = str(path)
        if not path.is_file():
            raise MissingFileError(f"{path} does not exist: expected a csv with {', '.join(_COLUMNS)}")
        try:
            table = pd.read_csv(path)
        except (ValueError, UnicodeDecodeError) as error:
            raise FileError(f"{path} is no csv: {error}") from error
    if missing := [name for name in _COLUMNS if name not in table]:
        raise InputError(f"{source} has no column {missing[0]!r}: expected {', '.join(_COLUMNS)}")
    frame = table.assign(gene_name=table["gene_name"].astype(str)).set_index("gene_name")
    if not frame.index.is_unique:
        raise InputError(f"{source} names {frame.index[frame.index.duplicated()][0]!r} twice")
    if frame["highly_variable"].dtype != bool:
        texts = frame["highly_variable"].astype(str).str.lower()
        if not texts.isin(["true", "false", "1", "0"]).all():
            raise InputError(f"highly_variable of {source} must be True or False")
        frame["highly_variable"] = texts.isin(["true", "1"])
    return frame
