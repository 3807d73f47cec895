"""Tables of gene names and Ensembl ids, told apart by what is in them."""

from __future__ import annotations

import csv
import gzip
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from cytoripple._errors import FileError, MissingFileError

if TYPE_CHECKING:
    import pandas as pd

ENSEMBL = re.compile(r"^(ENS[A-Z]*G\d{11})(?:\.\d+)?(_PAR_Y)?$")
_ATTRIBUTE = re.compile(r'(gene_id|gene_name) "([^"]*)"')
_KINDS = (
    "an HGNC table (columns symbol, ensembl_gene_id), a GTF, 10x features.tsv, "
    "a csv with the columns symbol,ensembl_id, or an .h5ad whose var has both"
)


@dataclass(frozen=True)
class GeneNames:
    """Ids that approved symbols, previous symbols and aliases stand for, in one source."""

    source: str
    approved: dict[str, set[str]] = field(default_factory=dict)
    previous: dict[str, set[str]] = field(default_factory=dict)
    alias: dict[str, set[str]] = field(default_factory=dict)


def ensembl_id(text: str) -> str | None:
    """Return a gene id without its version, or None when `text` is no gene id.

    Only Ensembl ids lose what follows the dot: clone names such as ``RP11-34P13.7`` are names. ``_PAR_Y`` is
    kept, it is another locus.
    """
    found = ENSEMBL.match(text)
    return found[1] + (found[2] or "") if found else None


def read_gene_names(path: str | Path) -> GeneNames:
    """Read a table of gene names, compressed with gzip or not.

    Parameters
    ----------
    path
        HGNC complete set (tsv), GENCODE or Ensembl GTF, 10x features.tsv (id, name, type, no header), csv
        with the columns symbol and ensembl_id, or an h5ad file whose var has names and ids.

    Raises
    ------
    FileError
        The file does not exist, is none of these, or names no gene id.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise MissingFileError(f"{path} does not exist: expected {_KINDS}")
    if path.suffix == ".h5ad":
        names = _from_h5ad(path)
    else:
        with _opened(path) as file:
            try:
                names = _from_text(path, file)
            except (UnicodeDecodeError, EOFError, gzip.BadGzipFile, csv.Error) as error:
                raise FileError(f"{path} cannot be read to its end ({error}): expected {_KINDS}") from error
    if not names.approved:
        raise FileError(f"{path} names no Ensembl gene id: expected {_KINDS}")
    return names


def from_var(var: pd.DataFrame, source: str) -> GeneNames:
    """Names and ids of a var table: any column, or the index, may hold either.

    Raises
    ------
    FileError
        There is no column of Ensembl ids, or nothing else that could be the symbol.
    """
    columns: dict[str, list[str]] = {"": [str(name) for name in var.index]}
    columns |= {str(name): var[name].astype(str).tolist() for name in var.columns}
    ids = next((name for name, values in columns.items() if _share_of_ids(values) > 0.5), None)
    wanted = ("gene_name", "gene_symbol", "gene_symbols", "symbol", "feature_name", "")
    names = next((name for name in wanted if name in columns and name != ids), None)
    if ids is None or names is None or _share_of_ids(columns[names]) > 0.5:
        raise FileError(
            f"the var table of {source} has the columns {', '.join(columns)[2:] or 'none'}: "
            "expected gene symbols and a column of Ensembl ids such as gene_id"
        )
    made = GeneNames(source)
    for symbol, text in zip(columns[names], columns[ids], strict=True):
        _add(made.approved, symbol, text)
    return made


def _from_h5ad(path: Path) -> GeneNames:
    import h5py
    from anndata.io import read_elem

    try:
        with h5py.File(path, "r") as file:
            var: Any = read_elem(file["var"])
    except (OSError, KeyError) as error:
        raise FileError(f"{path} cannot be read: expected a complete .h5ad file ({error})") from error
    return from_var(var, str(path))


@contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    if path.suffix == ".gz":
        with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
            yield file
    else:
        with path.open(encoding="utf-8", newline="") as file:
            yield file


def _from_text(path: Path, file: TextIO) -> GeneNames:
    name = path.name.removesuffix(".gz")
    if name.endswith((".gtf", ".gff", ".gff2")):
        return _from_gtf(path, file)
    first = file.readline().rstrip("\r\n")
    file.seek(0)
    separator = "\t" if "\t" in first else ","
    header = [text.strip().strip('"') for text in first.split(separator)]
    if {"symbol", "ensembl_gene_id"} <= set(header):
        return _from_columns(path, file, separator, "ensembl_gene_id")
    if {"symbol", "ensembl_id"} <= set(header):
        return _from_columns(path, file, separator, "ensembl_id")
    if len(header) >= 9 or first.startswith("#"):
        return _from_gtf(path, file)
    if len(header) >= 2 and ensembl_id(header[0]):
        return _from_features(path, file, separator)
    raise FileError(f"{path} starts with {first[:60]!r}: expected {_KINDS}")


def _from_columns(path: Path, file: TextIO, separator: str, id_column: str) -> GeneNames:
    made = GeneNames(str(path))
    for row in csv.DictReader(file, delimiter=separator):
        text = row[id_column] or ""
        _add(made.approved, row["symbol"] or "", text)
        for column, names in (("prev_symbol", made.previous), ("alias_symbol", made.alias)):
            for symbol in (row.get(column) or "").split("|"):
                _add(names, symbol, text)
    return made


def _from_features(path: Path, file: TextIO, separator: str) -> GeneNames:
    made = GeneNames(str(path))
    for row in csv.reader(file, delimiter=separator):
        if len(row) >= 2:
            _add(made.approved, row[1], row[0])
    return made


def _from_gtf(path: Path, file: TextIO) -> GeneNames:
    made = GeneNames(str(path))
    for line in file:
        fields = line.rstrip("\r\n").split("\t")
        if len(fields) < 9 or fields[2] != "gene":
            continue
        found = dict(_ATTRIBUTE.findall(fields[8]))
        if "gene_id" in found and "gene_name" in found:
            _add(made.approved, found["gene_name"], found["gene_id"])
    return made


def _add(names: dict[str, set[str]], symbol: str, text: str) -> None:
    symbol, found = symbol.strip(), ensembl_id(text.strip())
    if symbol and found:
        names.setdefault(symbol, set()).add(found)


def _share_of_ids(values: Iterable[str]) -> float:
    found = [ensembl_id(value) is not None for value in values]
    return sum(found) / max(1, len(found))
