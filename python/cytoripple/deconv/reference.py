"""Signatures of the types, from annotated cells or from a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from cytoripple import _anndata, _labels
from cytoripple._errors import InputError, LayerError
from cytoripple.deconv import profiles
from cytoripple.deconv.counts import Counts
from cytoripple.deconv.genes import shared_genes
from cytoripple.deconv.profiles import KINDS, Kind, Signatures


def signatures(
    reference: Any,
    *,
    cell_type_key: str | None = None,
    labels: ArrayLike | None = None,
    layer: str | None = None,
    kind: Kind = "depth_weighted",
    genes: Sequence[str] | None = None,
    types: Sequence[str] | None = None,
    n_cells: ArrayLike | None = None,
    threads: int = 0,
) -> Signatures:
    """Make the profiles of the types that spots are explained with.

    Parameters
    ----------
    reference
        Annotated cells with raw counts: an AnnData object with `cell_type_key` (in memory or backed), or a
        cells x genes matrix with `labels`. Or a table of mean counts, types x genes: a data frame or an
        array.
    cell_type_key
        Column of ``reference.obs``.
    labels
        Type of each cell of a matrix.
    layer
        Layer with the raw counts; None is ``X``.
    kind
        ``"mean"`` gives every cell of a type the same weight, ``"pooled"`` every count (deep cells weigh
        more), ``"depth_weighted"`` is half-way between, which was the most accurate. Not used for a table.
    genes
        Names to keep (AnnData, data frame), or the names of the columns (matrix, array).
    types
        Names of the rows of an array.
    n_cells
        Cells behind each row of a table, 100 unless given.
    threads
        0 takes every core.

    Returns
    -------
    The profiles (types sorted by name, or the rows of the table in their order) with cells per type, spread
    between cells and depth, which say how far they can be trusted.

    Raises
    ------
    LayerError
        The values are not raw counts.
    InputError
        A label is missing, there are fewer than two types, a type has fewer than two cells, two types have
        the same name or profile, or an argument does not fit the kind of reference.

    Examples
    --------
    >>> import numpy as np
    >>> import cytoripple as ct
    >>> rng = np.random.default_rng(0)
    >>> cells = rng.poisson([[3, 1, 1], [1, 3, 1]] * 20)
    >>> found = ct.deconv.signatures(cells, labels=["a", "b"] * 20)
    >>> found.types, found.profile.shape
    (('a', 'b'), (2, 3))
    """
    if kind not in KINDS:
        raise InputError(f"kind is {kind!r}: give one of {', '.join(map(repr, KINDS))}")
    if isinstance(reference, Signatures):
        return reference
    if isinstance(reference, pd.DataFrame):
        found = _from_frame(reference, genes, n_cells)
    elif hasattr(reference, "obs_names"):
        found = from_anndata(reference, cell_type_key, layer, kind, genes, threads)
    elif labels is not None:
        found = _from_matrix(reference, labels, kind, genes, threads)
    else:
        names = None if types is None else tuple(map(str, types))
        found = profiles.from_table(
            reference, types=names, genes=None if genes is None else tuple(genes), n_cells=n_cells
        )
    profiles.check_distinct(found)
    return found


def from_anndata(
    reference: Any,
    cell_type_key: str | None,
    layer: str | None,
    kind: Kind,
    genes: Sequence[str] | None,
    threads: int,
) -> Signatures:
    """Profiles from an AnnData object over all its genes, or over `genes` in their order."""
    kinds, types = read_labels(reference, cell_type_key)
    names = reference.var_names
    wanted = names if genes is None else pd.Index(list(genes))
    position = np.full(len(names), -1, dtype=np.int32)
    position[names.get_indexer(wanted)] = np.arange(len(wanted))
    name = "the reference's X" if layer in (None, "", "X") else f"the reference's layers[{layer!r}]"
    hint = counts_hint(reference, "reference_layer")
    counts = Counts(layer_of(reference, layer), position, len(wanted), name=name, hint=hint)
    kept = tuple(map(str, wanted))
    return profiles.from_cells(counts, kinds, types, genes=kept, kind=kind, threads=threads)


def read_labels(reference: Any, cell_type_key: str | None) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Type of every reference cell and the sorted names of the types.

    Raises
    ------
    InputError
        The column is missing or has gaps, or a name occurs twice.
    """
    if cell_type_key is None:
        raise InputError("cell_type_key is missing: name the column of reference.obs with the cell types")
    for axis, what, names in (("obs", "cell", reference.obs_names), ("var", "gene", reference.var_names)):
        message = _anndata.repeated_names(what, names, axis)
        if message:
            raise InputError(f"reference: {message.replace('adata.', 'reference.')}")
    column = _labels.obs_column(reference.obs, cell_type_key, argument="cell_type_key", error=InputError)
    _labels.check_not_missing(column, f"reference.obs[{cell_type_key!r}]", InputError)
    return _labels.encode_text(column)


def layer_of(adata: Any, layer: str | None) -> Any:
    """Matrix of a layer as it is stored, also on disk.

    Raises
    ------
    LayerError
        The layer does not exist.
    """
    if layer in (None, "", "X"):
        if adata.X is not None:
            return adata.X
    elif layer in adata.layers:
        return adata.layers[layer]
    return _anndata.layer_values(adata, layer)  # raises, naming what there is


def counts_hint(adata: Any, argument: str) -> str:
    """Which layer holds raw counts."""
    for name in adata.layers:
        try:
            values = _anndata.layer_values(adata[:200], str(name))
        except LayerError:
            continue
        if _anndata.looks_like_counts(values):
            return f"layers[{name!r}] holds counts: give {argument}={name!r}"
    return f"Give the layer with raw counts as {argument}=..."


def _from_frame(table: pd.DataFrame, genes: Sequence[str] | None, n_cells: ArrayLike | None) -> Signatures:
    columns = pd.Index(table.columns.astype(str))
    for what, names in (("type", table.index), ("gene", columns)):
        if not names.is_unique:
            raise InputError(
                f"the table names a {what} twice ({names[names.duplicated()][0]!r}): make names distinct"
            )
    if genes is not None:
        table = table.iloc[:, shared_genes(columns, pd.Index(list(genes)), 0)[0]]
    return profiles.from_table(
        table.to_numpy(dtype=np.float64),
        types=tuple(map(str, table.index)),
        genes=tuple(map(str, table.columns)),
        n_cells=n_cells,
    )


def _from_matrix(
    matrix: Any, labels: ArrayLike, kind: Kind, genes: Sequence[str] | None, threads: int
) -> Signatures:
    matrix = matrix if hasattr(matrix, "shape") else np.asarray(matrix)
    kinds, types = profiles.labels_of(labels)
    if len(kinds) != matrix.shape[0]:
        raise InputError(
            f"labels has {len(kinds)} entries, expected one per reference cell ({matrix.shape[0]})"
        )
    names = None if genes is None else tuple(map(str, genes))
    if names is not None and len(names) != matrix.shape[1]:
        raise InputError(f"{len(names)} gene names for {matrix.shape[1]} columns of the reference")
    position = np.arange(matrix.shape[1], dtype=np.int32)
    counts = Counts(matrix, position, len(position), name="the reference", hint="Give raw counts")
    return profiles.from_cells(counts, kinds, types, genes=names, kind=kind, threads=threads)
