"""The matrix of an h5ad file, read in pieces."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from cytoripple._errors import FileError, InputError, LayerError, MissingFileError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

_VALUES = 1 << 22
"""Entries read at once."""


class H5adMatrix:
    """X or a layer of an h5ad file; nothing but row starts is kept in memory.

    Parameters
    ----------
    path
        The file.
    layer
        None is ``X``.

    Raises
    ------
    FileError
        The file is missing, damaged, or no h5ad.
    LayerError
        The layer does not exist.
    """

    def __init__(self, path: str | Path, layer: str | None = None) -> None:
        import h5py

        self.path = Path(path).expanduser()
        if not self.path.is_file():
            raise MissingFileError(f"{self.path} does not exist: expected an .h5ad file")
        try:
            self._file = h5py.File(self.path, "r")
        except OSError as error:
            raise FileError(f"{self.path} is truncated or no HDF5 file: expected an .h5ad file") from error
        try:
            self._open(layer)
        except BaseException:
            self._file.close()
            raise

    def _open(self, layer: str | None) -> None:
        if missing := [name for name in ("obs", "var", "X") if name not in self._file]:
            raise FileError(f"{self.path} has no {missing[0]}: expected an .h5ad file")
        layers = list(self._file["layers"]) if "layers" in self._file else []
        if layer is not None and layer not in layers:
            raise LayerError(f"{self.path} has no layer {layer!r}{did_you_mean(layer, layers)}")
        node: Any = self._file["X"] if layer is None else self._file["layers"][layer]
        self._node = node
        self.kind: Literal["dense", "csr", "csc"] = "dense"
        if hasattr(node, "keys"):
            encoding = str(node.attrs.get("encoding-type", ""))
            if encoding not in ("csr_matrix", "csc_matrix"):
                raise FileError(
                    f"{self.path} holds a matrix of kind {encoding!r}: expected dense, CSR or CSC"
                )
            self.kind = "csr" if encoding == "csr_matrix" else "csc"
            self.shape: tuple[int, int] = (int(node.attrs["shape"][0]), int(node.attrs["shape"][1]))
            self._indptr: NDArray[np.int64] = node["indptr"][:].astype(np.int64)
        else:
            self.shape = (int(node.shape[0]), int(node.shape[1]))

    def __enter__(self) -> H5adMatrix:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def table(self, name: Literal["obs", "var"]) -> pd.DataFrame:
        """Read obs or var."""
        from anndata.io import read_elem

        try:
            frame: pd.DataFrame = read_elem(self._file[name])
        except (OSError, KeyError, ValueError) as error:
            raise FileError(f"{name} of {self.path} cannot be read: the file is damaged ({error})") from error
        return frame

    def pieces(self) -> Iterator[tuple[NDArray[np.int64], sparse.csr_matrix[Any]]]:
        """Read the file once from its start to its end, whatever its layout.

        Yields
        ------
        rows
            Row of the matrix that every row of the piece belongs to, rising.
        piece
            CSR with all columns and without stored zeros. Rows come whole and once, except from a CSC file:
            there every row comes once per piece, with its columns rising from piece to piece.
        """
        try:
            if self.kind == "csc":
                yield from self._column_pieces()
                return
            for start, stop in self._row_ranges():
                yield np.arange(start, stop), self.range(start, stop)
        except OSError as error:
            raise FileError(f"{self.path} cannot be read to its end: it is truncated or damaged") from error

    def range(self, start: int, stop: int) -> sparse.csr_matrix[Any]:
        """Rows `start` to `stop` (not of a CSC file) without stored zeros."""
        if self.kind == "csc":
            raise InputError(
                f"{self.path} stores columns, so single rows cannot be read: pack it first, "
                f"cytoripple vc pack {self.path}"
            )
        if self.kind == "dense":
            return sparse.csr_matrix(self._node[start:stop])
        first, last = int(self._indptr[start]), int(self._indptr[stop])
        parts = (self._node["data"][first:last], self._node["indices"][first:last])
        return self._clean(parts, self._indptr[start : stop + 1] - first, (stop - start, self.shape[1]))

    def _clean(
        self, parts: tuple[Any, Any], indptr: NDArray[np.int64], shape: tuple[int, int]
    ) -> sparse.csr_matrix[Any]:
        data, indices = parts
        if len(indices) and (int(indices.min()) < 0 or int(indices.max()) >= shape[1]):
            raise FileError(f"{self.path} is damaged: it names column {int(indices.max())} of {shape[1]}")
        made: sparse.csr_matrix[Any] = sparse.csr_matrix((data, indices, indptr), shape=shape)
        made.sum_duplicates()
        made.eliminate_zeros()
        return made

    def _row_ranges(self) -> Iterator[tuple[int, int]]:
        n, width = self.shape
        if self.kind == "dense":
            step = max(1, _VALUES // max(1, width))
            if self._node.chunks:  # whole chunks, so that none is unpacked twice
                step = max(self._node.chunks[0], step // self._node.chunks[0] * self._node.chunks[0])
            yield from ((first, min(first + step, n)) for first in range(0, n, step))
            return
        yield from _cut(self._indptr, n)

    def _column_pieces(self) -> Iterator[tuple[NDArray[np.int64], sparse.csr_matrix[Any]]]:
        n, width = self.shape
        for start, stop in _cut(self._indptr, width):
            first, last = int(self._indptr[start]), int(self._indptr[stop])
            parts = (self._node["data"][first:last], self._node["indices"][first:last])
            turned = self._clean(parts, self._indptr[start : stop + 1] - first, (stop - start, n))
            piece = turned.T.tocsr()
            piece = sparse.csr_matrix((piece.data, piece.indices + start, piece.indptr), shape=self.shape)
            yield np.arange(n), piece


def _cut(indptr: NDArray[np.int64], n: int) -> Iterator[tuple[int, int]]:
    """Ranges with at most `_VALUES` entries, one line at least."""
    start = 0
    while start < n:
        stop = int(np.searchsorted(indptr, indptr[start] + _VALUES, side="right")) - 1
        stop = min(max(stop, start + 1), n)
        yield start, stop
        start = stop
