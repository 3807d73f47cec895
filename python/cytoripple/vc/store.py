"""Random cells of a large data set, fast: from memory-mapped row stores, or from plain h5ad files."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from cytoripple._errors import FileError, MissingFileError
from cytoripple.vc._pack import FORMAT, VERSION, file_hash, pack
from cytoripple.vc._plain import H5adRows
from cytoripple.vc._rows import Rows, check_map, gather_rows
from cytoripple.vc.genes import GeneMap
from cytoripple.vc.guard import normalize_counts

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["H5adRows", "RowStore", "gather_rows", "open_rows", "pack"]

_KINDS = {"u16": "<u2", "u32": "<u4", "f32": "<f4"}
_TABLES = ("obs.parquet", "var.parquet", "groups.parquet")


class RowStore(Rows):
    """An open row store.

    Parameters
    ----------
    path
        Folder that `pack` wrote.
    verify
        Read everything and compare with the hashes written at packing. Sizes and tables are always checked.

    Attributes
    ----------
    n_obs, n_vars
        Cells and genes.
    norm
        ``"counts"``; ``"log1p_cp"`` (logarithms with a common sum of 10,000); ``"log1p"`` (no common sum).
    meta
        Content of ``meta.json``.

    Raises
    ------
    FileError
        It is no row store, a newer version, or damaged: a file is missing, truncated or changed.

    Examples
    --------
    >>> from cytoripple.vc.store import RowStore
    >>> store = RowStore("screen.rows")  # doctest: +SKIP
    >>> x = store.rows([5, 2, 2])  # doctest: +SKIP
    """

    def __init__(self, path: str | Path, *, verify: bool = False) -> None:
        self.path = Path(path).expanduser()
        self.meta = _read_meta(self.path)
        self.n_obs, self.n_vars = int(self.meta["n_obs"]), int(self.meta["n_vars"])
        self.norm = str(self.meta["norm"])
        self._check_files(self.meta["files"] if verify else _TABLES)
        self._indptr = self._map("indptr.i64", "<i8")
        self._indices = self._map(f"indices.{self.meta['index']}", _KINDS[self.meta["index"]])
        self._data = self._map(f"data.{self.meta['data']}", _KINDS[self.meta["data"]])
        sound = len(self._indptr) == self.n_obs + 1 and self._indptr[0] == 0
        if not sound or not self._indptr[-1] == len(self._indices) == len(self._data):
            raise FileError(f"{self.path} is damaged: row starts and entries disagree. Pack it again")

    def _check_files(self, hashed: Any) -> None:
        for name, wanted in self.meta["files"].items():
            file = self.path / name
            if not file.is_file():
                raise FileError(f"{self.path} is damaged: {name} is missing. Pack it again")
            if (size := file.stat().st_size) != wanted["bytes"]:
                raise FileError(
                    f"{self.path} is damaged: {name} has {size} bytes instead of {wanted['bytes']}. "
                    "Pack it again"
                )
            if name in hashed and file_hash(file) != wanted["sha256"]:
                raise FileError(f"{self.path} is damaged: {name} has changed since packing. Pack it again")

    def _map(self, name: str, kind: str) -> NDArray[Any]:
        path = self.path / name
        if path.stat().st_size == 0:
            return np.empty(0, dtype=kind)
        mapped: NDArray[Any] = np.memmap(path, dtype=kind, mode="r")
        return mapped

    def verify(self) -> None:
        """Read every file and compare its hash.

        Raises
        ------
        FileError
            A file has changed.
        """
        self._check_files(self.meta["files"])

    @cached_property
    def obs(self) -> pd.DataFrame:
        """Cells, in the order of the rows; ``row_in_source`` is the row of the h5ad file."""
        return self._table("obs")

    @cached_property
    def var(self) -> pd.DataFrame:  # type: ignore[override]  # read at first use
        """Genes."""
        return self._table("var")

    @cached_property
    def groups(self) -> pd.DataFrame:
        """Cell type, batch and perturbation of every range of rows, with ``start`` and ``stop``."""
        return self._table("groups")

    def _table(self, name: str) -> pd.DataFrame:
        import pandas as pd

        return pd.read_parquet(self.path / f"{name}.parquet")

    def range(self, start: int, stop: int, *, normalized: bool = True) -> sparse.csr_matrix[np.float32]:
        """Rows `start` to `stop` as they are stored, sparse; counts normalized as in `rows`."""
        indptr = self._indptr[start : stop + 1]
        first, last = int(indptr[0]), int(indptr[-1])
        parts = (
            self._data[first:last].astype(np.float32),
            self._indices[first:last].astype(np.int32),
            indptr - first,
        )
        block = sparse.csr_matrix(parts, shape=(stop - start, self.n_vars))
        return normalize_counts(block) if self.target(normalized) else block

    def rows(
        self,
        rows: ArrayLike,
        *,
        genes: GeneMap | None = None,
        normalized: bool = True,
        out: NDArray[np.float32] | None = None,
        threads: int = 0,
    ) -> NDArray[np.float32]:
        """Read cells.

        Parameters
        ----------
        rows
            (n,) row numbers of this store, any order, repetitions allowed.
        genes
            Bring the columns onto a common list; see `gene_map`.
        normalized
            Counts become ``log1p`` of counts per 10,000; False returns them as they are.
        out
            float32 array to write into.
        threads
            0 takes every core.

        Returns
        -------
        (n, genes) float32.

        Raises
        ------
        InputError
            A row is out of range or the store is damaged there.
        """
        check_map(genes, self.n_vars)
        return gather_rows(
            self._stored,
            rows,
            colmap=None if genes is None else genes.colmap,
            n_columns=None if genes is None else genes.n_genes,
            target_sum=self.target(normalized),
            out=out,
            threads=threads,
        )

    @cached_property
    def _stored(self) -> Any:
        from types import SimpleNamespace

        plain = {"indptr": self._indptr, "indices": self._indices, "data": self._data}
        # A plain array over the mapped pages: indexing a memmap object costs microseconds per call.
        return SimpleNamespace(shape=self.shape, **{name: np.asarray(part) for name, part in plain.items()})


def open_rows(path: str | Path, *, layer: str | None = None, verify: bool = False) -> RowStore | H5adRows:
    """Open a row store, or an h5ad file in its stead.

    Raises
    ------
    FileError
        The path does not exist or is neither.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        return RowStore(path, verify=verify)
    return H5adRows(path, layer)


def _read_meta(path: Path) -> dict[str, Any]:
    if not path.is_dir():
        raise MissingFileError(f"{path} does not exist: expected a folder made by cytoripple vc pack")
    try:
        meta: dict[str, Any] = json.loads((path / "meta.json").read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise FileError(
            f"{path} is no row store: it has no meta.json. Make one with cytoripple vc pack"
        ) from error
    except (ValueError, OSError) as error:
        raise FileError(f"{path} is damaged: meta.json cannot be read ({error}). Pack it again") from error
    if not isinstance(meta, dict) or meta.get("format") != FORMAT:
        raise FileError(f"{path} is no row store: its meta.json does not say so")
    if meta.get("version") != VERSION:
        raise FileError(
            f"{path} has version {meta.get('version')}, this program reads {VERSION}: update it or pack again"
        )
    needed = {"n_obs", "n_vars", "norm", "index", "data", "files"}
    if missing := sorted(needed - set(meta)):
        raise FileError(f"{path} is damaged: meta.json lacks {missing[0]}. Pack it again")
    return meta
