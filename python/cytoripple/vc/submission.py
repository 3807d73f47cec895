"""Submission files of the Virtual Cell Challenge, written from a stream and checked on the way."""

from __future__ import annotations

import shutil
import tarfile
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from cytoripple._errors import FileError, InputError, MissingFileError
from cytoripple._provenance import atomic_path, writing
from cytoripple.vc._h5ad import H5adMatrix
from cytoripple.vc._streams import obs_column
from cytoripple.vc._submission_checks import Ledger, check_list, gene_order, wanted_cells
from cytoripple.vc.dataset import CONTROL, PERTURBATION

if TYPE_CHECKING:
    import h5py
    import pandas as pd

WATERMARK = b"vcc-prep"
MAX_CELLS = 100_000
"""The challenge's limit; its preparation tool allows 200,000."""
N_GENES = 18_080
_CHUNK = 1 << 18
_PLAIN_BYTES = 1 << 20


@dataclass(frozen=True)
class SubmissionReport:
    """What a submission holds.

    Parameters
    ----------
    path
        The file.
    n_cells, n_genes, n_controls
        Cells (controls included), genes, control cells.
    counts
        Cells of every label.
    reordered
        Genes were brought into the order of the list.
    n_bytes
        Size of the file.
    """

    path: Path
    n_cells: int
    n_genes: int
    n_controls: int
    counts: Mapping[str, int]
    reordered: bool
    n_bytes: int


def write_vcc(
    path: str | Path,
    blocks: Iterable[Any],
    genes: Sequence[str] | str | Path,
    *,
    block_genes: Sequence[str] | None = None,
    pert_counts: Mapping[str, int] | pd.DataFrame | str | Path | None = None,
    pert_col: str = PERTURBATION,
    control: str = CONTROL,
    cell_type_col: str | None = None,
    n_genes: int | None = N_GENES,
    max_cells: int | None = MAX_CELLS,
    reorder: bool = False,
    encoding: int = 32,
    allow_discrete: bool = False,
) -> SubmissionReport:
    """Write a ``.vcc`` file: a tar of ``pred.h5ad.zst`` and ``watermark.txt``.

    Blocks are checked and written one after the other; only labels and row starts stay in memory.

    Parameters
    ----------
    path
        File to write.
    blocks
        ``(label, cells x genes)`` pairs, dense or sparse; ``(label, cell type, cells x genes)``, where label
        and cell type are one name or one per cell; or a stream of `Block` such as a baseline, which also
        knows its genes. Values are log-normalized. Control cells are part of the file.
    genes
        The challenge's list, or a file of it: one name per line.
    block_genes
        Names of the columns of the blocks; None: those of the stream, else `genes`.
    pert_counts
        Cells wanted of every label: a mapping, a table, or a csv with ``target_gene`` and ``n_cells``.
    pert_col, control, cell_type_col
        Names in the file: perturbation column, control label, cell type column (None: not written).
    n_genes, max_cells
        What the list and the file must have and may hold; None does not check.
    reorder
        Bring the columns into the order of the list. Without it another order is an error.
    encoding
        32 or 64 bits per value.
    allow_discrete
        Let whole numbers through as they are.

    Returns
    -------
    SubmissionReport

    Raises
    ------
    InputError
        Genes, labels or numbers of cells are not those wanted.
    LayerError
        A value is NaN, infinite, negative or 15 and more, or all are whole numbers (counts).
    FileError
        A list cannot be read, or the folder does not exist. In every case nothing is written.

    Examples
    --------
    >>> import cytoripple as ct
    >>> stream = ct.vc.baseline("control_mean", adata)  # doctest: +SKIP
    >>> ct.vc.write_vcc("mine.vcc", stream, "gene_names.csv", pert_counts="counts.csv")  # doctest: +SKIP
    """
    path = Path(path).expanduser()
    if not path.parent.is_dir():
        raise FileError(f"the folder {path.parent} does not exist: make it first")
    if encoding not in (32, 64):
        raise InputError(f"encoding is {encoding}: give 32 or 64")
    names = read_gene_list(genes) if isinstance(genes, str | Path) else [str(gene) for gene in genes]
    check_list(names, n_genes)
    own = block_genes if block_genes is not None else getattr(blocks, "genes", None)
    order = gene_order([str(gene) for gene in own] if own is not None else names, names, reorder)
    wanted = None if pert_counts is None else wanted_cells(pert_counts, pert_col)
    width = len(names) if own is None else len(own)
    ledger = Ledger(width, control, cell_type_col, max_cells, allow_discrete, wanted)
    ledger.check_announced(getattr(blocks, "counts", None))
    with tempfile.TemporaryDirectory(prefix=".vcc-", dir=path.parent) as folder, writing(path.parent):
        h5ad = Path(folder) / "pred.h5ad"
        _write_h5ad(h5ad, blocks, ledger, names, order, pert_col, encoding)
        packed = Path(folder) / "pred.h5ad.zst"
        _compress(h5ad, packed)
        h5ad.unlink()
        with atomic_path(path) as temporary:
            _archive(packed, temporary)
    return SubmissionReport(
        path=path,
        n_cells=ledger.n_cells,
        n_genes=len(names),
        n_controls=ledger.counts.get(control, 0),
        counts=dict(ledger.counts),
        reordered=order is not None,
        n_bytes=path.stat().st_size,
    )


def file_blocks(
    source: H5adMatrix, pert_col: str = PERTURBATION, cell_type_col: str | None = None
) -> Iterator[tuple[NDArray[np.object_], NDArray[np.object_], Any]]:
    """Read the cells of an h5ad file block by block, in their order, for `write_vcc`.

    Raises
    ------
    InputError
        A column is not there, a label is missing, or the file stores columns.
    """
    if source.kind == "csc":
        raise InputError(f"{source.path} stores columns: save it with adata.X = adata.X.tocsr()")
    obs = source.table("obs")
    labels = obs_column(obs, pert_col)
    types = np.full(len(obs), "", dtype=object) if cell_type_col is None else obs_column(obs, cell_type_col)
    for rows, piece in source.pieces():
        yield labels[rows], types[rows], piece


def read_gene_list(path: str | Path) -> list[str]:
    """Read one name per line, without a header.

    Raises
    ------
    FileError
        The file is missing, empty, or has several columns.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise MissingFileError(f"{path} does not exist: expected a list of genes, one per line")
    try:
        lines = [line.strip().strip('"') for line in path.read_text(encoding="utf-8").splitlines()]
    except UnicodeDecodeError as error:
        raise FileError(f"{path} is no text: expected a list of genes, one per line") from error
    names = [line for line in lines if line]
    if not names or any("," in name or "\t" in name for name in names):
        found = "is empty" if not names else "has several columns"
        raise FileError(f"{path} {found}: expected a list of genes, one per line, without a header")
    return names


def read_submission(path: str | Path) -> Any:
    """Read a ``.vcc`` file into an AnnData object.

    Raises
    ------
    FileError
        The file is missing, damaged, or no submission.
    """
    import anndata
    import pyarrow as pa

    path = Path(path).expanduser()
    if not path.is_file():
        raise MissingFileError(f"{path} does not exist: expected a .vcc file")
    try:
        with tarfile.open(path) as archive, tempfile.TemporaryDirectory() as folder:
            mark, packed = archive.extractfile("watermark.txt"), archive.extractfile("pred.h5ad.zst")
            if mark is None or packed is None or mark.read() != WATERMARK:
                raise FileError(f"{path} is no submission: its watermark is missing")
            whole = Path(folder) / "pred.h5ad"
            with (
                pa.CompressedInputStream(pa.PythonFile(packed, "r"), "zstd") as source,
                whole.open("wb") as file,
            ):
                shutil.copyfileobj(source, file, 1 << 22)
            return anndata.read_h5ad(whole)
    except (tarfile.TarError, KeyError, OSError, EOFError, pa.ArrowException) as error:
        if isinstance(error, FileError):
            raise
        raise FileError(f"{path} is damaged or no submission: {error}") from error


def _write_h5ad(
    path: Path,
    blocks: Iterable[Any],
    ledger: Ledger,
    names: list[str],
    order: NDArray[np.int64] | None,
    pert_col: str,
    encoding: int,
) -> None:
    """Write X block by block, then the tables."""
    import h5py

    starts = [np.zeros(1, dtype=np.int64)]
    with h5py.File(path, "w", libver="earliest") as file:
        group = file.create_group("X")
        kinds = {"data": f"<f{encoding // 8}", "indices": "<i4"}
        stored = {
            name: group.create_dataset(name, (0,), maxshape=(None,), dtype=kind, chunks=(_CHUNK,))
            for name, kind in kinds.items()
        }
        for block in blocks:
            matrix = ledger.add(block)
            if order is not None:
                matrix = sparse.csr_matrix((matrix.data, order[matrix.indices], matrix.indptr), matrix.shape)
            matrix.sort_indices()
            _append(stored["data"], matrix.data)
            _append(stored["indices"], matrix.indices)
            starts.append(matrix.indptr[1:].astype(np.int64) + starts[-1][-1])
        ledger.check_all()
        indptr = np.concatenate(starts)
        narrow = indptr[-1] <= np.iinfo(np.int32).max
        group.create_dataset("indptr", data=indptr.astype("<i4" if narrow else "<i8"))
        group.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0"})
        group.attrs["shape"] = np.array([ledger.n_cells, len(names)], dtype=np.int64)
        _write_tables(file, ledger, names, pert_col)


def _append(stored: h5py.Dataset, values: NDArray[Any]) -> None:
    n = stored.shape[0]
    stored.resize((n + len(values),))
    stored[n:] = values


def _write_tables(file: h5py.File, ledger: Ledger, names: list[str], pert_col: str) -> None:
    import pandas as pd
    from anndata.io import write_elem

    file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
    columns = {pert_col: ledger.labels}
    if ledger.cell_type_col is not None:
        columns[ledger.cell_type_col] = ledger.cell_types
    index = [str(number) for number in range(ledger.n_cells)]
    table = {name: pd.Categorical(np.concatenate(parts)) for name, parts in columns.items()}
    write_elem(file, "obs", pd.DataFrame(table, index=index))
    write_elem(file, "var", pd.DataFrame(index=names))
    for name in ("layers", "obsm", "obsp", "uns", "varm", "varp"):
        write_elem(file, name, {})


def _compress(source: Path, to: Path) -> None:
    import pyarrow as pa

    with source.open("rb") as file, pa.CompressedOutputStream(str(to), "zstd") as out:
        while part := file.read(_PLAIN_BYTES):
            out.write(part)


def _archive(packed: Path, to: Path) -> None:
    with tarfile.open(to, "w", format=tarfile.GNU_FORMAT) as archive:
        entry = tarfile.TarInfo("pred.h5ad.zst")
        entry.size, entry.mtime = packed.stat().st_size, int(time.time())
        with packed.open("rb") as file:
            archive.addfile(entry, file)
        entry = tarfile.TarInfo("watermark.txt")
        entry.size, entry.mtime = len(WATERMARK), int(time.time())
        archive.addfile(entry, BytesIO(WATERMARK))
    with suppress(OSError):
        to.chmod(0o644)
