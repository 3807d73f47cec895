"""Which cells a perturbation touches: everything, a mask, positions, names, clusters or a column of a CSV."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cytoripple._errors import InputError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

    from cytoripple._anndata import Tissue

Names: TypeAlias = "str | Sequence[str] | Sequence[int] | pd.Series[Any] | pd.Index[Any]"
Scope: TypeAlias = "Names | NDArray[Any] | tuple[Path, str] | None"


def select_cells(cells: Scope, tissue: Tissue) -> NDArray[np.bool_]:
    """Cells of a scope as a mask.

    Parameters
    ----------
    cells
        None (all cells), a boolean mask, integer positions, obs names, a cluster label or a list of them, or
        ``(Path, column)`` of a CSV whose columns are lists of obs names.
    tissue
        The cells to choose from.

    Returns
    -------
    (cells,), bool, at least one True.

    Raises
    ------
    InputError
        Nothing is selected, a name or a label is unknown, or a position is out of range.
    """
    mask = _mask(cells, tissue)
    if not mask.any():
        raise InputError("cells selects no cell: give at least one")
    return mask


def _mask(cells: Scope, tissue: Tissue) -> NDArray[np.bool_]:
    n = len(tissue.obs_names)
    if cells is None:
        return np.ones(n, dtype=bool)
    if isinstance(cells, tuple) and len(cells) == 2 and isinstance(cells[0], Path):
        return tissue.obs_names.isin(read_cells_csv(cells[0], tissue.obs_names, str(cells[1])))
    index: Any = getattr(cells, "index", None)
    if hasattr(index, "equals") and not index.equals(tissue.obs_names):
        raise InputError("cells is a Series whose index is not adata.obs_names: give cells.to_numpy()")
    values: NDArray[Any] = np.asarray([cells] if isinstance(cells, str) else cells)
    if values.ndim != 1:
        raise InputError(f"cells has shape {values.shape}: expected one dimension")
    if values.dtype == bool:
        if len(values) != n:
            raise InputError(f"cells is a mask of {len(values)} entries: expected one per cell ({n})")
        return values
    if values.dtype.kind in "iu":
        return _positions(values, n)
    if values.dtype.kind in "OUST" and all(isinstance(value, str) for value in values):
        return _names([str(value) for value in values], tissue)
    if values.size == 0:
        return np.zeros(n, dtype=bool)
    raise InputError(
        f"cells has dtype {values.dtype}: expected a mask, positions, obs names or cluster labels"
    )


def _positions(values: NDArray[Any], n: int) -> NDArray[np.bool_]:
    outside = values[(values < 0) | (values >= n)]
    if len(outside):
        raise InputError(f"cells holds position {outside[0]}: expected 0 to {n - 1}")
    mask = np.zeros(n, dtype=bool)
    mask[values] = True
    return mask


def _names(names: list[str], tissue: Tissue) -> NDArray[np.bool_]:
    labels = {label: cluster for cluster, label in enumerate(tissue.cluster_labels)}
    are_labels = all(name in labels for name in names)
    are_cells = all(name in tissue.obs_names for name in names)
    if are_labels and are_cells:
        raise InputError(
            f"cells {names[:3]} are both obs names and labels of obs[{tissue.cluster_key!r}]: "
            "give a mask or positions"
        )
    if are_labels:
        return np.isin(tissue.clusters, [labels[name] for name in names])
    if are_cells:
        return np.asarray(tissue.obs_names.isin(names))
    kind: Collection[str] = labels if any(name in labels for name in names) else tissue.obs_names
    unknown = next(name for name in names if name not in kind)
    known: Collection[str] = [*labels, *tissue.obs_names] if kind is not labels else labels
    raise InputError(
        f"cells holds {unknown!r}, which is neither a label of obs[{tissue.cluster_key!r}] nor an obs name"
        f"{did_you_mean(unknown, known)}"
    )


def read_cells_csv(path: Path, obs_names: pd.Index[Any], column: str) -> list[str]:
    """Read a list of cells from a CSV.

    The first line names the lists; every column holds obs names, blank fields are skipped, names given
    twice count once. All columns are checked, also those that are not used.

    Raises
    ------
    InputError
        The file or the column is missing, a header is repeated, or a name is not an obs name; the message
        gives column and line.
    """
    try:
        with path.expanduser().open(newline="", encoding="utf-8-sig") as file:
            rows = [[field.strip() for field in row] for row in csv.reader(file)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"the cell list {path} cannot be read: {error}") from error
    header = rows[0] if rows else []
    if not header:
        raise InputError(f"the cell list {path} is empty: expected a header line and obs names below")
    repeated = [name for name, count in Counter(header).items() if count > 1 and name]
    if repeated:
        raise InputError(f"the cell list {path} has two columns {repeated[0]!r}: keep one")
    if column not in header:
        raise InputError(f"the cell list {path} has no column {column!r}{did_you_mean(column, header)}")
    known = set(obs_names)
    for line, row in enumerate(rows[1:], start=2):
        for place, name in enumerate(row):
            if name and name not in known:
                where = repr(header[place]) if place < len(header) else f"number {place + 1}"
                near = did_you_mean(name, known)
                raise InputError(f"{path}, column {where}, line {line}: {name!r} is not an obs name{near}")
    place = header.index(column)
    return list(dict.fromkeys(row[place] for row in rows[1:] if place < len(row) and row[place]))
