"""Labels of cells (clusters, sections, cell types) made into integers."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cytoripple._errors import ClusterError, InputError, did_you_mean

_LARGEST_ID = 100_000
_CELL_TYPE_COLUMNS = ("cell_type", "cell_types", "celltype", "major_cell_type")


def obs_column(obs: pd.DataFrame, key: str, *, argument: str, error: type[InputError]) -> pd.Series[Any]:
    """Column `key` of the cell table.

    Raises
    ------
    InputError
        Of the given type: the column does not exist; the message lists the first 25 that do.
    """
    if key in obs.columns:
        column = obs[key]
        if isinstance(column, pd.Series):
            return column
        raise error(f"obs has {column.shape[1]} columns named {key!r}: keep one of them")
    columns = [str(name) for name in obs.columns[:25]]
    known = ", ".join(repr(name) for name in columns) if columns else "none"
    raise error(
        f"obs has no column {key!r}{did_you_mean(key, columns)}; columns: {known}. "
        f"Give one of them, e.g. {argument}={(columns or ['cell_type'])[0]!r}"
    )


def is_text(column: pd.Series[Any]) -> bool:
    """Text, categories that are not numbers, and booleans are labels; numeric columns are ids."""
    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        dtype = dtype.categories.dtype
    if pd.api.types.is_bool_dtype(dtype):
        return True
    if pd.api.types.is_numeric_dtype(dtype):
        return False
    kinds = {type(value) for value in column.dropna().unique()}
    return not kinds or not all(issubclass(kind, int | float | np.number) for kind in kinds)


def encode(column: pd.Series[Any], name: str, argument: str) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Encode cluster labels.

    Text becomes the position in the sorted list of distinct labels. A column of whole numbers keeps its
    numbers; ids without cells get the label ``str(id)`` like the others.

    Returns
    -------
    ids
        int64, one per cell, 0 to K - 1.
    labels
        Text of each of the K ids.

    Raises
    ------
    ClusterError
        A label is missing, or a number is negative, fractional or above 100,000.
    """
    check_not_missing(column, name)
    if is_text(column):
        return encode_text(column)
    numbers = column.to_numpy(dtype=np.float64)
    wrong = numbers[(numbers < 0) | (numbers != np.round(numbers)) | (numbers > _LARGEST_ID)]
    if wrong.size:
        raise ClusterError(
            f"{name} holds {wrong.size} values such as {wrong[0]:g}, expected labels or whole numbers "
            f"from 0 to {_LARGEST_ID}: encode it, "
            f"e.g. adata.obs['labels'] = adata.obs[{column.name!r}].astype(str), then {argument}='labels'"
        )
    ids = numbers.astype(np.int64)
    return ids, tuple(str(cluster) for cluster in range(int(ids.max(initial=-1)) + 1))


def encode_text(column: pd.Series[Any]) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Position of each label in the sorted list of distinct labels, and that list."""
    codes, labels = pd.factorize(column.astype(str).to_numpy(dtype=object), sort=True)
    return codes.astype(np.int64), tuple(str(label) for label in labels)


def check_not_missing(column: pd.Series[Any], name: str, error: type[InputError] = ClusterError) -> None:
    """Raise when a cell has no label (NaN, None or blank text)."""
    missing = column.isna() | (column.astype(str).str.strip() == "")
    if missing.any():
        raise error(
            f"{name} has no value for {int(missing.sum())} of {len(column)} cells, the first is "
            f"{str(column.index[int(np.argmax(missing.to_numpy()))])!r}: label them or drop them, "
            f"e.g. adata = adata[adata.obs[{column.name!r}].notna()].copy()"
        )


def cell_type_column(obs: pd.DataFrame) -> str | None:
    """Name of the column with cell-type labels, None when there is none."""
    for name in _CELL_TYPE_COLUMNS:
        if name in obs.columns:
            return name
    return next((str(name) for name in obs.columns if str(name).casefold() == "cell_type"), None)


def majority(clusters: NDArray[np.int64], labels: pd.Series[Any]) -> dict[int, str]:
    """Most frequent label of each cluster; equal counts go to the first label in sorted order.

    Missing and blank labels are ignored.
    """
    text = labels.astype(str).str.strip().to_numpy(dtype=object)
    known = labels.notna().to_numpy() & (text != "")
    counts: dict[int, Counter[str]] = {}
    for cluster, label in zip(clusters[known], text[known], strict=True):
        counts.setdefault(int(cluster), Counter())[str(label)] += 1
    return {cluster: min(count.items(), key=_rank)[0] for cluster, count in sorted(counts.items())}


def _rank(item: tuple[str, int]) -> tuple[int, str]:
    return -item[1], item[0]
