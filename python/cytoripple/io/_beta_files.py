"""One betadata file of any format as row keys and a matrix of coefficients."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from cytoripple._errors import InputError
from cytoripple.io._beta_columns import Columns, classify, whole_text

_NULL_TEXTS = ["", "NA", "N/A", "NaN", "nan", "null", "NULL", "None"]


@dataclass(frozen=True)
class Contents:
    """What one file holds, checked."""

    columns: Columns
    keys: tuple[str, ...]
    intercept: NDArray[np.float64]
    betas: NDArray[np.float64]
    n_nulls: int


def read_contents(path: Path) -> Contents:
    """Read one betadata file; the format follows from the end of its name.

    Raises
    ------
    InputError
        The file is damaged, or its columns or rows cannot be used; the message names the file.
    """
    try:
        is_csv = path.name.endswith((".csv", ".csv.gz"))
        rows, columns = _read_csv(path) if is_csv else _read_arrow(path)
        return _contents(rows, columns, typed=not is_csv)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except (pa.ArrowException, OSError, EOFError, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{path} is damaged or of another format ({reason}): write it again") from error


def _read_arrow(path: Path) -> tuple[pa.RecordBatch, Columns]:
    if path.suffix == ".parquet":
        with pa.parquet.ParquetFile(path) as file:
            rows = _one_batch(file.read())
    else:
        rows = _read_ipc(path)
    return rows, classify(rows.schema.names, index=_stored_index(rows.schema))


def _read_ipc(path: Path) -> pa.RecordBatch:
    data = pa.py_buffer(path.read_bytes())
    options = pa.ipc.IpcReadOptions(use_threads=False)  # the files themselves are read in parallel
    if data.slice(0, 6).to_pybytes() != b"ARROW1":
        return _one_batch(pa.ipc.open_stream(data, options=options).read_all())
    file = pa.ipc.open_file(data, options=options)
    # a table costs as much again as the batch itself when there are many columns
    return file.get_batch(0) if file.num_record_batches == 1 else _one_batch(file.read_all())


def _one_batch(table: pa.Table) -> pa.RecordBatch:
    batches = table.combine_chunks().to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=table.schema)


def _stored_index(schema: pa.Schema) -> str | None:
    """Column that pandas stored as its index, None when the index was a plain range."""
    stored = (schema.metadata or {}).get(b"pandas")
    if stored is None:
        return None
    index = json.loads(stored).get("index_columns", [])
    if len(index) > 1:
        raise InputError(f"the rows are keyed by {len(index)} index columns: expected one")
    return index[0] if index and isinstance(index[0], str) and index[0] in schema.names else None


def _read_csv(path: Path) -> tuple[pa.RecordBatch, Columns]:
    raw = path.read_bytes()
    data = gzip.decompress(raw) if path.suffix == ".gz" else raw
    first, _, _ = data.partition(b"\n")
    names = next(csv.reader([first.decode("utf-8-sig").rstrip("\r")]), [])
    if not names:
        raise InputError("the file is empty")
    columns = classify(names)
    numbers = [*columns.coefficients, *([columns.intercept] if columns.intercept else [])]
    types: dict[str, pa.DataType] = dict.fromkeys(numbers, pa.float64())
    if columns.key is not None:
        types[columns.key] = pa.string()
    convert = pa.csv.ConvertOptions(
        column_types=types, include_columns=list(types), null_values=_NULL_TEXTS, strings_can_be_null=True
    )
    return _one_batch(pa.csv.read_csv(io.BytesIO(data), convert_options=convert)), columns


def _contents(rows: pa.RecordBatch, columns: Columns, *, typed: bool) -> Contents:
    if rows.num_rows == 0:
        raise InputError("there are no rows")
    keys = _keys(rows, columns, typed=typed)
    names = [*([columns.intercept] if columns.intercept else []), *columns.coefficients]
    values = _coefficients(rows, names)
    missing = np.isnan(values)
    values[missing] = 0.0
    start = 1 if columns.intercept else 0
    intercept = values[:, 0].copy() if columns.intercept else np.zeros(rows.num_rows)
    betas = np.ascontiguousarray(values[:, start:])
    return Contents(columns, keys, intercept, betas, int(missing.sum()))


def _coefficients(rows: pa.RecordBatch, names: list[str]) -> NDArray[np.float64]:
    """Coefficient columns as a matrix; missing ones are NaN."""
    position = {name: place for place, name in enumerate(rows.schema.names)}
    places = [position[name] for name in names]
    if not places:
        return np.zeros((rows.num_rows, 0))
    try:
        # the whole batch at once: with many columns each step that looks at single ones costs as much
        tensor: NDArray[Any] = rows.to_tensor(null_to_nan=True).to_numpy()
    except (pa.ArrowException, TypeError):
        tensor = _converted(rows.select(places))
    else:
        tensor = tensor[:, places]
    values = np.ascontiguousarray(tensor, dtype=np.float64)
    infinite = np.isinf(values).any(axis=0)
    if infinite.any():
        raise InputError(f"column {names[int(np.argmax(infinite))]!r} holds an infinite coefficient")
    return values


def _converted(rows: pa.RecordBatch) -> NDArray[np.float64]:
    """Columns of several kinds, or beside keys that are text, as a matrix."""
    kinds = rows.schema.types
    distinct = set(kinds)
    for kind in distinct:
        if not (pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_null(kind)):
            name = rows.schema.names[kinds.index(kind)]
            raise InputError(f"column {name!r} holds {kind}: coefficients must be numbers")
    if distinct != {pa.float64()}:
        rows = rows.cast(pa.schema([pa.field(name, pa.float64()) for name in rows.schema.names]))
    values: NDArray[np.float64] = np.array(rows.to_tensor(null_to_nan=True).to_numpy())
    return values


def _keys(rows: pa.RecordBatch, columns: Columns, *, typed: bool) -> tuple[str, ...]:
    if columns.key is None:
        return tuple(str(row) for row in range(rows.num_rows))
    column = rows.column(columns.key)
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    values = column.to_pylist()
    for row, value in enumerate(values):
        if value is None or value == "" or value != value:
            raise InputError(f"row {row + 1} of the key column {columns.key!r} is empty")
    keys = _key_texts(column.type, columns, values, typed=typed)
    if len(set(keys)) < len(keys):
        twice, _ = Counter(keys).most_common(1)[0]
        raise InputError(f"the row key {twice!r} occurs more than once in column {columns.key!r}")
    return keys


def _key_texts(kind: pa.DataType, columns: Columns, values: list[Any], *, typed: bool) -> tuple[str, ...]:
    if pa.types.is_integer(kind):
        return tuple(str(value) for value in values)
    if pa.types.is_floating(kind):
        fraction = next((value for value in values if not float(value).is_integer()), None)
        if fraction is not None:
            raise InputError(f"the key column {columns.key!r} holds {fraction}: expected whole numbers")
        return tuple(str(int(value)) for value in values)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        # a CSV shows numbers and text alike; typed text keeps its form when it names cells
        return tuple(values) if typed and columns.key_kind == "CellID" else whole_text(values)
    raise InputError(f"the key column {columns.key!r} holds {kind}: expected whole numbers or text")
