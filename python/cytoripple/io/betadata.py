"""Betadata: the coefficients of one target gene per file, read in every known form and written atomically."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet
from numpy.typing import NDArray

from cytoripple._errors import InputError, did_you_mean
from cytoripple._provenance import atomic_path
from cytoripple.io._beta_columns import KeyKind, split
from cytoripple.io._beta_files import read_contents

log = logging.getLogger(__name__)

BetadataFormat = Literal["feather", "parquet", "csv"]

_MARK = "_betadata"
_SUFFIXES = (".feather", ".arrow", ".parquet", ".csv", ".csv.gz")


@dataclass(frozen=True)
class BetaTable:
    """Coefficients of one target gene.

    Attributes
    ----------
    gene
        Target gene.
    key
        What the rows are keyed by: ``"Cluster"``, ``"CellID"``, or None when the file has no key column.
    keys
        Row keys as text, unique; ``"0"``, ``"1"``, ... when `key` is None.
    intercept
        (rows,), 0 when the file has none.
    modulators
        ``"Sox2"``, ``"Tgfb1$Tgfbr1"`` (ligand, receptor) or ``"Wnt5a#Tcf7"`` (ligand, regulator), file order.
    betas
        (rows, modulators), float64, expression per expression.
    source
        File it was read from.
    n_nulls
        Missing coefficients that were read as 0.
    """

    gene: str
    key: KeyKind | None
    keys: tuple[str, ...]
    intercept: NDArray[np.float64]
    modulators: tuple[str, ...]
    betas: NDArray[np.float64]
    source: Path
    n_nulls: int = 0

    @cached_property
    def terms(self) -> tuple[tuple[int, str, str], ...]:
        """Kind and genes of each modulator, as `cytoripple.io._beta_columns.split` gives them."""
        return tuple(split(modulator) for modulator in self.modulators)

    @cached_property
    def modulator_genes(self) -> tuple[str, ...]:
        """Every gene of a modulator once, sorted by code point."""
        return tuple(sorted({gene for _, *genes in self.terms for gene in genes if gene}))


class Betadata(Mapping[str, BetaTable]):
    """Tables of a folder by target gene, in sorted order.

    Attributes
    ----------
    folder
        Where they were read.
    skipped
        Reason by file for the files left out by ``on_error="skip"``.
    orphans
        Genes with an ``.orphan`` file: trained without a surviving modulator.
    """

    def __init__(
        self,
        folder: Path,
        tables: Mapping[str, BetaTable],
        *,
        skipped: Mapping[Path, str] | None = None,
        orphans: Sequence[str] = (),
    ) -> None:
        self.folder = folder
        self.skipped = MappingProxyType(dict(skipped or {}))
        self.orphans = tuple(orphans)
        self._tables = dict(sorted(tables.items()))

    def __getitem__(self, gene: str) -> BetaTable:
        return self._tables[gene]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tables)

    def __len__(self) -> int:
        return len(self._tables)

    def __repr__(self) -> str:
        return f"Betadata({str(self.folder)!r}, {len(self)} genes)"


def read_betadata(
    folder: str | Path,
    *,
    genes: Iterable[str] | None = None,
    on_error: Literal["raise", "skip"] = "raise",
) -> Betadata:
    r"""Read every ``{gene}_betadata.<ext>`` of a folder.

    Formats: ``.feather`` and ``.arrow`` (Arrow IPC), ``.parquet`` (with or without a pandas index), ``.csv``
    and ``.csv.gz``. Coefficient columns are named with or without the prefix ``beta_``, the intercept
    ``beta0`` or ``beta_0``. Rows are keyed by the first column called ``Cluster``, ``CellID``, ``cell_id``,
    ``index``, ``obs_names`` or ``__index...``; numeric keys become text (``3.0`` is ``"3"``).

    Parameters
    ----------
    folder
        Folder of betadata, for example a run directory.
    genes
        Read only these targets. None reads all.
    on_error
        ``"skip"`` leaves unreadable files out and lists them in ``.skipped``; ``"raise"`` reports all of
        them in one error.

    Returns
    -------
    Mapping of target gene to `BetaTable`, sorted by gene.

    Raises
    ------
    InputError
        The folder is missing or holds no betadata, a gene has files in two formats, a gene of `genes` has no
        file, or files are damaged, have no usable rows or columns.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "MYC_betadata.csv").write_text("Cluster,beta0,beta_FOXO1\n0,0.5,0.25\n")
    >>> read_betadata(folder)["MYC"].betas
    array([[0.25]])
    """
    if on_error not in ("raise", "skip"):
        raise InputError(f"on_error is {on_error!r}: expected 'raise' or 'skip'")
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder: give the folder with the *{_MARK}.feather files")
    files = _wanted(_files_by_gene(folder), genes, folder)
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        outcomes = list(pool.map(_read_or_reason, files.items()))
    read = list(zip(files.values(), outcomes, strict=True))
    failures = {path: outcome for path, outcome in read if isinstance(outcome, str)}
    if failures and on_error == "raise":
        listed = "\n  ".join(list(failures.values())[:20])
        raise InputError(
            f"{len(failures)} of {len(files)} betadata files cannot be used "
            f'(on_error="skip" leaves them out):\n  {listed}'
        )
    for reason in failures.values():
        log.warning("left out: %s", reason)
    tables = _share_keys([outcome for outcome in outcomes if isinstance(outcome, BetaTable)])
    if not tables:
        raise InputError(f"no betadata file of {folder} can be used")
    orphans = sorted(path.name.removesuffix(".orphan") for path in folder.glob("*.orphan"))
    return Betadata(folder, {table.gene: table for table in tables}, skipped=failures, orphans=orphans)


def write_betadata(
    path: str | Path,
    *,
    keys: Sequence[int] | Sequence[str] | NDArray[np.int64],
    intercept: NDArray[np.float64],
    modulators: Sequence[str],
    betas: NDArray[np.float64],
    key: KeyKind = "Cluster",
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """Write the coefficients of one target gene; the file appears complete or not at all.

    A coefficient or intercept column that is 0 in every row is left out. When no modulator is left, an
    empty ``{gene}.orphan`` is written instead.

    Parameters
    ----------
    path
        ``{gene}_betadata.feather`` (Arrow IPC, LZ4), ``.parquet`` or ``.csv``.
    keys
        Row keys: cluster ids (written as int64) or cell names.
    intercept, betas
        (rows,) and (rows, modulators).
    modulators
        Names without prefix; they are written as ``beta_{name}``.
    key
        Name of the key column.
    metadata
        Text stored in the schema of feather and parquet files.

    Returns
    -------
    The file written: `path` or the orphan file.

    Raises
    ------
    InputError
        The name of the file, a shape, or a coefficient (NaN, infinite) cannot be used.
    RunError
        The disk is full; no partial file is left.
    """
    path = Path(path)
    gene, suffix = split_name(path)
    if suffix not in (".feather", ".parquet", ".csv"):
        raise InputError(f"{path.name}: write betadata as .feather, .parquet or .csv")
    intercept, betas = np.asarray(intercept, dtype=np.float64), np.asarray(betas, dtype=np.float64)
    if betas.shape != (len(keys), len(modulators)) or intercept.shape != (len(keys),):
        raise InputError(
            f"betas of {gene} have shape {betas.shape} and the intercept {intercept.shape}: "
            f"expected ({len(keys)}, {len(modulators)}) and ({len(keys)},)"
        )
    if not (np.isfinite(betas).all() and np.isfinite(intercept).all()):
        raise InputError(f"the coefficients of {gene} hold NaN or infinite values")
    kept = np.flatnonzero((betas != 0).any(axis=0))
    if len(kept) == 0:
        orphan = path.with_name(f"{gene}.orphan")
        with atomic_path(orphan) as temporary:
            temporary.touch()
        return orphan
    columns: dict[str, pa.Array] = {key: pa.array(keys, type=pa.int64() if key == "Cluster" else pa.string())}
    if intercept.any():
        columns["beta0"] = pa.array(intercept)
    columns |= {f"beta_{modulators[int(j)]}": pa.array(betas[:, j]) for j in kept}
    table = pa.table(columns).replace_schema_metadata(dict(metadata or {}))
    with atomic_path(path) as temporary:
        write_table(table, temporary, suffix)
    return path


def write_table(table: pa.Table, path: Path, suffix: str) -> None:
    """Write a table as ``.feather`` (Arrow IPC, LZ4), ``.parquet`` or ``.csv``."""
    if suffix == ".feather":
        pa.feather.write_feather(table, str(path), compression="lz4")
    elif suffix == ".parquet":
        pa.parquet.write_table(table, path)
    else:
        pa.csv.write_csv(table, path, pa.csv.WriteOptions(quoting_style="needed"))


def split_name(path: Path) -> tuple[str, str]:
    """Gene and suffix of ``{gene}_betadata.<ext>``.

    Raises
    ------
    InputError
        The name has another form.
    """
    for suffix in _SUFFIXES:
        gene = path.name.removesuffix(_MARK + suffix)
        if gene and gene != path.name:
            return gene, suffix
    raise InputError(f"{path.name} is not a betadata name: expected {{gene}}{_MARK}.feather")


def _files_by_gene(folder: Path) -> dict[str, Path]:
    files: dict[str, Path] = {}
    double: list[str] = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or not path.name.endswith(tuple(_MARK + suffix for suffix in _SUFFIXES)):
            continue
        gene, _ = split_name(path)
        if gene in files:
            double.append(f"{gene}: {files[gene].name} and {path.name}")
        files.setdefault(gene, path)
    if double:
        raise InputError(f"{folder} holds two files for one gene, keep one of each: {'; '.join(double[:20])}")
    if not files:
        raise InputError(f"{folder} holds no *{_MARK} file of the kinds {', '.join(_SUFFIXES)}")
    return files


def _wanted(files: dict[str, Path], genes: Iterable[str] | None, folder: Path) -> dict[str, Path]:
    if genes is None:
        return files
    wanted = sorted(set(genes))
    for gene in wanted:
        if gene not in files:
            orphan = (
                " (it is an orphan: no modulator survived)" if (folder / f"{gene}.orphan").exists() else ""
            )
            raise InputError(f"{folder} holds no betadata of {gene!r}{orphan}{did_you_mean(gene, files)}")
    return {gene: files[gene] for gene in wanted}


def _read_or_reason(item: tuple[str, Path]) -> BetaTable | str:
    gene, path = item
    try:
        contents = read_contents(path)
    except InputError as error:
        return str(error)
    if contents.columns.ignored:
        log.info("%s: columns without prefix ignored: %s", path, ", ".join(contents.columns.ignored))
    if contents.n_nulls:
        log.warning("%s: %d missing coefficients read as 0", path, contents.n_nulls)
    return BetaTable(
        gene=gene,
        key=contents.columns.key_kind,
        keys=contents.keys,
        intercept=contents.intercept,
        modulators=contents.columns.modulators,
        betas=contents.betas,
        source=path,
        n_nulls=contents.n_nulls,
    )


def _share_keys(tables: list[BetaTable]) -> list[BetaTable]:
    """Let equal key lists be one object: per-cell tables would repeat the cell names for every gene."""
    seen: dict[tuple[str, ...], tuple[str, ...]] = {}
    return [replace(table, keys=seen.setdefault(table.keys, table.keys)) for table in tables]
