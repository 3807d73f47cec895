"""Long edge lists: one row per edge with its kind, read from Parquet or a data frame and split by kind."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cytoripple._errors import NetworkError, did_you_mean
from cytoripple._provenance import atomic_path

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

# Two vocabularies are in use for the same three kinds; either may stand in either column.
KIND_OF = {"tf": "tf", "grn": "tf", "lr": "lr", "tfl": "tfl", "nichenet": "tfl"}
_KIND_COLUMNS = ("edge_type", "kind")
_SIGNALING_COLUMNS = ("signaling", "lr_annotation")


@dataclass(frozen=True, eq=False)
class Edges:
    """Edges by kind, in the order of the list.

    Text is categorical: a network has millions of edges over some thousand names.
    """

    tf: pd.DataFrame
    lr: pd.DataFrame
    tfl: pd.DataFrame


@dataclass(frozen=True)
class _Columns:
    kind: str
    signaling: str | None
    has_weight: bool

    @property
    def text(self) -> list[str]:
        return ["source", "target", self.kind, *([self.signaling] if self.signaling else [])]

    @property
    def all(self) -> list[str]:
        return [*self.text, *(["weight"] if self.has_weight else [])]


def read_edges(path: Path) -> Edges:
    """Read a Parquet edge list.

    Row groups are read one by one and only the needed columns, with the text left dictionary-encoded, so that
    memory stays near the size of the codes.

    Raises
    ------
    NetworkError
        The file is missing, is not complete Parquet, lacks a column or has an unknown kind of edge.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    where = f"network {path}"
    if not path.is_file():
        raise NetworkError(f"{where} does not exist: give the path of a .parquet edge list")
    try:
        columns = _find_columns(pq.read_schema(path).names, where)
        with pq.ParquetFile(path, read_dictionary=columns.text) as file:
            tables = (file.read_row_group(i, columns=columns.all) for i in range(file.num_row_groups))
            return _collect((_split(table, columns, where) for table in tables), where)
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise NetworkError(
            f"{where} cannot be read as Parquet ({reason}): it is damaged, cut off or of another format; "
            "copy it again, or make one with cytoripple.io.build_network"
        ) from None


def edges_from_frame(table: pd.DataFrame, where: str) -> Edges:
    """Split an edge list in memory.

    Raises
    ------
    NetworkError
        A column is missing, has values that are not text, or an edge is of an unknown kind.
    """
    import pyarrow as pa

    columns = _find_columns([str(name) for name in table.columns], where)
    try:
        arrow = pa.Table.from_pandas(table[columns.all], preserve_index=False)
    except (pa.ArrowException, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise NetworkError(f"{where} has a column of mixed types ({reason}): names must be text") from None
    return _collect(iter([_split(arrow, columns, where)]), where)


def write_edges(table: pd.DataFrame, path: Path) -> None:
    """Write a long edge list as Parquet: under a temporary name first, so that no half file can remain."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        table.to_parquet(temporary, index=False, compression="zstd")


def _find_columns(names: Sequence[str], where: str) -> _Columns:
    kind = next((name for name in _KIND_COLUMNS if name in names), None)
    missing = [name for name in ("source", "target") if name not in names]
    if kind is None:
        missing.append("kind (or edge_type)")
    if missing:
        near = "".join(did_you_mean(name, names) for name in missing[:1])
        raise NetworkError(
            f"{where} has no column {', '.join(missing)}; its columns are {', '.join(names[:12])}{near}. "
            "An edge list has source, target, kind (tf, lr, tfl) or edge_type (grn, lr, nichenet), and weight"
        )
    signaling = next((name for name in _SIGNALING_COLUMNS if name in names), None)
    return _Columns(kind=str(kind), signaling=signaling, has_weight="weight" in names)


def _split(table: Any, columns: _Columns, where: str) -> tuple[dict[str, pd.DataFrame], int]:
    """Frames of the kinds present in one Arrow table, and how many rows were left out."""
    import pandas as pd

    kinds = _text(table.column(columns.kind), columns.kind, where)
    # Code -1, a blank, is counted first.
    blank, *counts = np.bincount(kinds.codes + 1, minlength=len(kinds.categories) + 1)
    unknown = [name for name, n in zip(kinds.categories, counts, strict=True) if n and name not in KIND_OF]
    if unknown or blank:
        shown = ", ".join(map(repr, unknown[:5])) if unknown else "blank"
        raise NetworkError(
            f"{where} has edges of kind {shown} in column {columns.kind}: "
            "known are tf, lr, tfl and grn, lr, nichenet; rename or drop those rows"
        )
    frame = pd.DataFrame({name: _text(table.column(name), name, where) for name in ("source", "target")})
    complete = np.logical_and.reduce([frame[name].cat.codes.to_numpy() >= 0 for name in frame])
    parts: dict[str, pd.DataFrame] = {}
    for name in ("tf", "lr", "tfl"):
        is_kind = np.array([KIND_OF.get(str(category)) == name for category in kinds.categories])
        if not is_kind.any():
            continue
        rows = is_kind[kinds.codes] & complete
        if not rows.any():
            continue
        part = frame if rows.all() else frame[rows]
        if name == "lr" and columns.signaling:
            part = part.assign(
                signaling=_text(table.column(columns.signaling), columns.signaling, where)[rows]
            )
        if name == "tfl":
            part = part.assign(weight=_weights(table, rows, columns, where))
            part = part[part["weight"].notna()]
        parts[name] = part
    return parts, table.num_rows - sum(map(len, parts.values()))


def _text(column: Any, name: str, where: str) -> pd.Categorical:
    """Arrow text as a categorical whose blanks are missing and whose names are stripped."""
    import pandas as pd
    import pyarrow as pa

    try:
        if not pa.types.is_dictionary(column.type):
            column = column.cast(pa.string()).dictionary_encode()
        array = column.unify_dictionaries().combine_chunks()
        values = array.dictionary.cast(pa.string()).to_pylist()
    except pa.ArrowException:
        raise NetworkError(f"{where} has a column {name} of type {column.type}: names must be text") from None
    codes = array.indices.cast(pa.int32()).fill_null(-1).to_numpy(zero_copy_only=False)
    clean = [(value or "").strip() for value in values]
    position = {value: index for index, value in enumerate(dict.fromkeys(value for value in clean if value))}
    # The last entry is where code -1, a null, lands.
    lookup = np.array([*(position.get(value, -1) for value in clean), -1], dtype=np.int32)
    return pd.Categorical.from_codes(lookup[codes], categories=pd.Index(list(position), dtype=object))


def _weights(table: Any, rows: NDArray[np.bool_], columns: _Columns, where: str) -> NDArray[np.float64]:
    import pyarrow as pa

    if not columns.has_weight:
        raise NetworkError(
            f"{where} has ligand-TF edges (tfl, nichenet), which are chosen by weight, but no column weight"
        )
    column = table.column("weight").filter(pa.array(rows))
    try:
        return np.asarray(column.cast(pa.float64()).to_numpy(), dtype=np.float64)
    except pa.ArrowException:
        raise NetworkError(
            f"{where} has a column weight of type {column.type}: it must hold numbers"
        ) from None


def _collect(parts: Iterator[tuple[dict[str, pd.DataFrame], int]], where: str) -> Edges:
    pieces: dict[str, list[pd.DataFrame]] = {"tf": [], "lr": [], "tfl": []}
    n_dropped = 0
    for frames, dropped in parts:
        n_dropped += dropped
        for kind, frame in frames.items():
            pieces[kind].append(frame)
    if n_dropped:
        log.warning("%s: %d rows without a name or a weight are left out", where, n_dropped)
    tf = _concat(pieces["tf"], ("source", "target"))
    lr = _concat(pieces["lr"], ("source", "target", "signaling"))
    lr = lr.astype(object).rename(columns={"source": "ligand", "target": "receptor"})
    lr["signaling"] = lr["signaling"].where(lr["signaling"].notna(), None)
    tfl = _concat(pieces["tfl"], ("source", "target", "weight"))
    return Edges(tf, lr, tfl.rename(columns={"source": "ligand", "target": "tf"}))


def _concat(frames: list[pd.DataFrame], names: tuple[str, ...]) -> pd.DataFrame:
    """Frames below each other; categories, which differ between row groups, are united."""
    import pandas as pd
    from pandas.api.types import union_categoricals

    columns: dict[str, Any] = {}
    for name in names:
        parts = [frame[name] for frame in frames if name in frame]
        if name == "weight":
            columns[name] = np.concatenate([part.to_numpy() for part in parts] or [np.zeros(0)])
        elif parts:
            columns[name] = union_categoricals(parts)
        else:
            columns[name] = pd.Categorical(
                [None] * sum(map(len, frames)), categories=pd.Index([], dtype=object)
            )
    return pd.DataFrame(columns)
