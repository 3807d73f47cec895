"""Make a network from the tables of CellOracle, CellChat or LIANA, and NicheNet."""

from __future__ import annotations

import logging
from collections.abc import Callable
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cytoripple._errors import InputError, NetworkError, did_you_mean
from cytoripple.io.edge_list import write_edges
from cytoripple.io.network import Network, as_network, read_network

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

_LIGAND_COLUMNS = ("ligand", "source_genesymbol")
_RECEPTOR_COLUMNS = ("receptor", "target_genesymbol")
_SIGNALING_COLUMNS = ("signaling", "annotation", "lr_annotation")
_GENE_COLUMN = "gene_short_name"
# Base networks have a thousand TF columns: reading some at a time keeps 250 MB of zeros out of memory.
_TF_COLUMNS_AT_ONCE = 64


def build_network(
    *,
    base_grn: str | Path | pd.DataFrame | None = None,
    lr_csv: str | Path | pd.DataFrame | None = None,
    lr_resource: str | None = None,
    ligand_target: str | Path | pd.DataFrame | None = None,
    out: str | Path | None = None,
) -> Network:
    """Make a network from its usual sources, any of which may be left out.

    Parameters
    ----------
    base_grn
        CellOracle base network, wide Parquet: a row per peak with `gene_short_name` and a column of 0 and 1
        per TF. A TF with a motif in any peak of a gene becomes an edge; its weight is the number of those
        peaks. Edges are ordered by TF column, then by first appearance of the gene.
    lr_csv
        Ligand-receptor CSV of CellChat: `ligand`, `receptor` and, if there, `signaling`. Complexes, joined by
        ``_``, become all pairs of their members (ligand members outer); of equal pairs the first is kept.
    lr_resource
        Name of a LIANA resource, e.g. ``"consensus"`` (human) or ``"mouseconsensus"``, instead of `lr_csv`.
        It has no signaling classes: every ligand then reaches as far as a secreted one. Needs the package
        liana.
    ligand_target
        NicheNet weights, Parquet, Feather or CSV: a matrix with TFs as index and ligands as columns, or long
        with `ligand` (or `source`), `target`, `weight`. With a base network only its TFs are kept: no other
        can be used.
    out
        Parquet file to write, e.g. ``"mouse_network.parquet"``, with columns `source`, `target`, `edge_type`
        (grn, lr, nichenet), `weight` and `signaling`. It appears only when complete.

    Returns
    -------
    The network, as :func:`read_network` reads it from `out`.

    Raises
    ------
    NetworkError
        A source is missing, damaged or lacks a column.
    InputError
        No source is given, or both kinds of ligand-receptor source.
    ImportError
        `lr_resource` without liana.

    References
    ----------
    Kamimoto et al. (2023) Nature 614:742. Jin et al. (2021) Nature Communications 12:1088.
    Dimitrov et al. (2022) Nature Communications 13:3224. Browaeys et al. (2020) Nature Methods 17:159.
    """
    import pandas as pd

    if lr_csv is not None and lr_resource is not None:
        raise InputError("lr_csv and lr_resource are both given: take one ligand-receptor source")
    parts: list[pd.DataFrame] = []
    if base_grn is not None:
        parts.append(base_grn_edges(base_grn))
    if lr_csv is not None:
        parts.append(ligand_receptor_edges(_table(lr_csv, "lr_csv"), f"lr_csv {_name(lr_csv)}"))
    if lr_resource is not None:
        parts.append(ligand_receptor_edges(_liana(lr_resource), f"LIANA resource {lr_resource}"))
    if ligand_target is not None:
        edges = ligand_target_edges(
            _table(ligand_target, "ligand_target"), f"ligand_target {_name(ligand_target)}"
        )
        parts.append(edges if base_grn is None else edges[edges["target"].isin(parts[0]["source"])])
    if not parts:
        raise InputError("nothing to build from: give base_grn, lr_csv or lr_resource, or ligand_target")
    table = pd.concat(parts, ignore_index=True)
    if out is None:
        return as_network(table)
    write_edges(table, Path(out))
    log.info("wrote %d edges to %s", len(table), out)
    return read_network(Path(out))


def base_grn_edges(base_grn: str | Path | pd.DataFrame) -> pd.DataFrame:
    """TF edges of a wide CellOracle base network; see :func:`build_network`.

    Returns
    -------
    Long edge list with `weight` the number of peaks.
    """
    import pandas as pd

    where = f"base_grn {_name(base_grn)}"
    names, read = _wide_reader(base_grn, where)
    if _GENE_COLUMN not in names:
        raise NetworkError(
            f"{where} has no column {_GENE_COLUMN}; its columns are {', '.join(names[:8])}: "
            "give the wide table of CellOracle (peak_id, gene_short_name, one column per TF)"
        )
    tfs = [name for name in names if name not in ("peak_id", _GENE_COLUMN) and not name.startswith("__index")]
    labels = read([_GENE_COLUMN])[_GENE_COLUMN].astype("string").str.strip().replace("", None)
    codes, genes = pd.factorize(labels)
    source: list[NDArray[np.int64]] = []
    target: list[NDArray[np.int64]] = []
    weight: list[NDArray[np.int64]] = []
    for start in range(0, len(tfs), _TF_COLUMNS_AT_ONCE):
        block = read(tfs[start : start + _TF_COLUMNS_AT_ONCE])
        for offset, name in enumerate(block):
            bound = _numbers(block[name], str(name), where) != 0
            peaks = np.bincount(codes[bound & (codes >= 0)], minlength=len(genes))
            found = np.flatnonzero(peaks)
            source.append(np.full(len(found), start + offset))
            target.append(found)
            weight.append(peaks[found])
    return _long(
        np.array(tfs, dtype=object)[np.concatenate([*source, np.zeros(0, dtype=np.int64)])],
        np.array(genes, dtype=object)[np.concatenate([*target, np.zeros(0, dtype=np.int64)])],
        "grn",
        weight=np.concatenate([*weight, np.zeros(0)]),
    )


def ligand_receptor_edges(table: pd.DataFrame, where: str) -> pd.DataFrame:
    """Single-gene ligand-receptor pairs of a table with complexes; see :func:`build_network`.

    Returns
    -------
    Long edge list with `signaling`, None where the table does not say.
    """
    import pandas as pd

    ligand = _column(table, _LIGAND_COLUMNS, where)
    receptor = _column(table, _RECEPTOR_COLUMNS, where)
    named = [name for name in _SIGNALING_COLUMNS if name in table]
    signaling = table[named[0]] if named else pd.Series([None] * len(table), dtype=object)
    rows: dict[tuple[str, str], str | None] = {}
    for left, right, label in zip(table[ligand], table[receptor], signaling, strict=True):
        text = None if pd.isna(label) else str(label).strip() or None
        for pair in product(_members(left), _members(right)):
            rows.setdefault(pair, text)
    source, target = ([pair[side] for pair in rows] for side in (0, 1))
    return _long(source, target, "lr", signaling=list(rows.values()))


def ligand_target_edges(table: pd.DataFrame, where: str) -> pd.DataFrame:
    """Ligand-TF weights of a matrix (TF x ligand) or a long table; see :func:`build_network`.

    Returns
    -------
    Long edge list with the ligand as `source` and the TF as `target`.
    """
    import pandas as pd

    if {"target", "weight"} <= set(table.columns):
        ligand = _column(table, ("ligand", "source"), where)
        source, target = table[ligand].to_numpy(), table["target"].to_numpy()
        weight = _numbers(table["weight"], "weight", where)
    else:
        if isinstance(table.index, pd.RangeIndex) and not pd.api.types.is_numeric_dtype(table.dtypes.iloc[0]):
            table = table.set_index(table.columns[0])
        if pd.api.types.is_numeric_dtype(table.index.dtype):
            raise NetworkError(
                f"{where} has no TF names: the index must hold the TFs and the columns the ligands "
                "(table.set_index('name of the TF column')), or give columns ligand, target, weight"
            )
        matrix = np.column_stack([_numbers(table[name], str(name), where) for name in table.columns])
        source = np.tile(np.array(table.columns, dtype=object), len(table))
        target = np.repeat(np.array(table.index, dtype=object), table.shape[1])
        weight = matrix.reshape(-1)
    known = ~np.isnan(weight)
    return _long(source[known], target[known], "nichenet", weight=weight[known])


def _members(name: object) -> list[str]:
    """Genes of a complex, none for a blank."""
    text = name if isinstance(name, str) else ""
    return [part.strip() for part in text.removeprefix("COMPLEX:").split("_") if part.strip()]


def _long(
    source: ArrayLike,
    target: ArrayLike,
    edge_type: str,
    *,
    weight: ArrayLike = np.nan,
    signaling: list[str | None] | None = None,
) -> pd.DataFrame:
    """Edges with the same columns and types for every kind, so that they can be put below each other."""
    import pandas as pd

    frame = pd.DataFrame({"source": np.asarray(source, object), "target": np.asarray(target, object)})
    frame["edge_type"] = edge_type
    frame["weight"] = np.broadcast_to(np.asarray(weight, np.float64), len(frame))
    frame["signaling"] = np.full(len(frame), None) if signaling is None else np.array(signaling, dtype=object)
    return frame


def _numbers(column: pd.Series[Any], name: str, where: str) -> NDArray[np.float64]:
    try:
        return column.to_numpy(dtype=np.float64)
    except (TypeError, ValueError):
        raise NetworkError(f"{where}: column {name!r} holds {column.dtype}, but must hold numbers") from None


def _column(table: pd.DataFrame, names: tuple[str, ...], where: str) -> str:
    for name in names:
        if name in table:
            return name
    columns = [str(name) for name in table.columns]
    raise NetworkError(
        f"{where} has no column {' or '.join(names)}; its columns are {', '.join(columns[:12])}"
        f"{did_you_mean(names[0], columns)}"
    )


def _name(source: str | Path | pd.DataFrame) -> str:
    return str(source) if isinstance(source, str | Path) else "(data frame)"


def _wide_reader(
    source: str | Path | pd.DataFrame, where: str
) -> tuple[list[str], Callable[[list[str]], pd.DataFrame]]:
    """Column names of a wide table, and a function that reads some of its columns."""
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    if isinstance(source, pd.DataFrame):
        return [str(name) for name in source.columns], lambda names: source[names]

    try:
        file = pq.ParquetFile(Path(source).expanduser())
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(where, error) from None

    def read(names: list[str]) -> pd.DataFrame:
        try:
            frame: pd.DataFrame = file.read(columns=names).to_pandas(ignore_metadata=True)
        except (pa.ArrowException, OSError) as error:
            raise _unreadable(where, error) from None
        return frame

    return list(file.schema_arrow.names), read


def _table(source: str | Path | pd.DataFrame, argument: str) -> pd.DataFrame:
    """Whole table of a Parquet, Feather or text file, by its suffix."""
    import pandas as pd
    import pyarrow as pa

    if isinstance(source, pd.DataFrame):
        return source
    path = Path(source).expanduser()
    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
        if path.suffix in (".feather", ".arrow"):
            return pd.read_feather(path)
        return pd.read_csv(path, sep="\t" if path.suffix in (".tsv", ".txt") else ",")
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _unreadable(f"{argument} {source}", error) from None


def _unreadable(where: str, error: Exception) -> NetworkError:
    reason = str(error).splitlines()[0]
    return NetworkError(f"{where} cannot be read ({reason}): give the path of a complete file")


def _liana(resource: str) -> pd.DataFrame:
    try:
        liana = import_module("liana")
    except ImportError as error:
        raise ImportError(
            f'lr_resource="{resource}" needs liana: pip install liana, or give lr_csv="cellchat.csv"'
        ) from error
    known = [str(name) for name in liana.rs.show_resources()]
    if resource.casefold() not in known:
        raise InputError(
            f"LIANA has no resource {resource!r}{did_you_mean(resource, known)}; known are {', '.join(known)}"
        )
    table: pd.DataFrame = liana.rs.select_resource(resource)
    return table
