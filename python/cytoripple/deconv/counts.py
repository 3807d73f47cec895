"""Counts read in blocks of rows, from memory or from disk, in the same order."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from cytoripple import _core
from cytoripple._errors import LayerError

log = logging.getLogger(__name__)

BLOCK = 4096
"""Rows per block. Spots of one block are fitted together, so it is part of the method, not a buffer size."""

_LOGARITHM = 20.0
"""Largest value that a logarithm of counts reaches (``log2`` of a million)."""

Rows: TypeAlias = tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32], NDArray[np.int32]]
"""Offsets, columns, counts of a block, and the gene of every column (-1: none)."""


@dataclass(frozen=True, eq=False)
class Span:
    """Spots of one block, ascending, all of one section."""

    spots: NDArray[np.int64]

    @property
    def whole(self) -> bool:
        """The spots follow each other without a gap."""
        return bool(self.spots[-1] - self.spots[0] + 1 == len(self.spots))


@dataclass(frozen=True, eq=False)
class Sums:
    """Depth of every row and total of every gene."""

    depth: NDArray[np.float64]
    genes: NDArray[np.float64]


class Counts:
    """A count matrix (rows x columns) that is read block by block.

    Parameters
    ----------
    matrix
        Dense or sparse, in memory or on disk: NumPy, SciPy, the sparse datasets of AnnData, h5py, zarr, dask.
        Only blocks of at most 4096 rows are ever converted.
    position
        Gene of each column, -1 for a column that is left out.
    n_genes
        Number of genes.
    name
        How messages call it.
    hint
        Ending of the message when these are no counts.

    Raises
    ------
    LayerError
        The values are no numbers, or the matrix is stored on disk by columns.
    """

    def __init__(
        self, matrix: Any, position: NDArray[np.int32], n_genes: int, *, name: str, hint: str = ""
    ) -> None:
        if getattr(matrix, "dtype", np.dtype(object)).kind not in "biuf":
            raise LayerError(f"{name} has dtype {getattr(matrix, 'dtype', None)}, expected real numbers")
        self.matrix: Any = matrix
        if not sparse.issparse(matrix) and getattr(matrix, "format", "csr") == "csc":
            raise LayerError(
                f"{name} is stored on disk by columns (CSC), expected rows (CSR): load it with "
                "adata = adata.to_memory(), or rewrite the file with adata.X = adata.X.tocsr()"
            )
        if self.is_csr:
            if self.matrix.format != "csr":
                log.info("%s is %s: converting it to CSR takes a copy", name, self.matrix.format.upper())
                self.matrix = self.matrix.tocsr()
            if not self.matrix.has_canonical_format:
                self.matrix = self.matrix.copy()
                self.matrix.sum_duplicates()
        self.position = np.ascontiguousarray(position, dtype=np.int32)
        self.n_genes = n_genes
        self.name, self.hint = name, hint

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return int(self.matrix.shape[0])

    @property
    def is_csr(self) -> bool:
        """Any rows can be copied at once, at the cost of their entries."""
        return bool(sparse.issparse(self.matrix))

    def rows(self, span: Span) -> Rows:
        """Read the rows of a block."""
        first, last = int(span.spots[0]), int(span.spots[-1]) + 1
        if self.is_csr and span.whole:
            starts = self.matrix.indptr[first : last + 1].astype(np.int64)
            part = slice(int(starts[0]), int(starts[-1]))
            return self._as_rows(starts, self.matrix.indices[part], self.matrix.data[part])
        if self.is_csr:
            block = self.matrix[span.spots]
        else:
            block = self.matrix[first:last]
            block = block.compute() if hasattr(block, "compute") else block
            if not span.whole:
                block = block[span.spots - first]
        csr: Any = block if sparse.issparse(block) else sparse.csr_matrix(np.asarray(block))
        if not csr.has_canonical_format:
            csr.sum_duplicates()
        return self._as_rows(csr.indptr.astype(np.int64), csr.indices, csr.data)

    def _as_rows(self, starts: NDArray[np.int64], columns: NDArray[Any], data: NDArray[Any]) -> Rows:
        columns = np.ascontiguousarray(columns, dtype=np.int32)
        return starts, columns, np.ascontiguousarray(data, dtype=np.float32), self.position

    def take(self, spots: NDArray[np.int64], pieces: list[sparse.csr_matrix[np.float32]]) -> Counts:
        """Make counts of some rows, from pieces collected before (see `pick`), which are emptied."""
        matrix = sparse.vstack(pieces, format="csr") if pieces else self.matrix[spots]
        pieces.clear()
        return Counts(matrix, self.position, self.n_genes, name=self.name)

    def pick(self, rows: Rows, keep: NDArray[np.int64]) -> sparse.csr_matrix[np.float32]:
        """Copy some rows of a block."""
        starts, columns, data, _ = rows
        shape = (len(starts) - 1, len(self.position))
        block = sparse.csr_matrix((data, columns, starts - starts[0]), shape=shape)
        return block[keep]

    def sums(self, spans: list[Span], threads: int) -> Sums:
        """Depths and gene totals; refuses what cannot be counts.

        Raises
        ------
        LayerError
            A value is negative, NaN or infinite, or the values were normalized.
        """
        depth, genes = np.zeros(self.n_rows), np.zeros(self.n_genes)
        entries, fractions, largest = 0, 0, 0.0
        for span in spans:
            found = _core.deconv_sums(self.rows(span), self.n_genes, threads)
            depth[span.spots], genes = found[0], genes + found[1]
            entries, fractions, largest = entries + found[2], fractions + found[3], max(largest, found[4])
            if found[5] is not None:
                row, value = found[5]
                raise LayerError(self._unusable(int(span.spots[row]), value))
        if fractions:
            self._check_fractions(depth, entries, fractions, largest)
        return Sums(depth, genes)

    def _unusable(self, row: int, value: float) -> str:
        what = "negative" if value < 0 else "not finite"
        made = "They look scaled or centered. " if value < 0 and value % 1 else ""
        return (
            f"{self.name} has a value that is {what} ({value:g}) in row {row}, expected raw counts. "
            f"{made}{self.hint}"
        )

    def _check_fractions(
        self, depth: NDArray[np.float64], entries: int, fractions: int, largest: float
    ) -> None:
        share = f"{fractions} of {entries} values have a fraction"
        filled = depth[depth > 0]
        if largest <= _LOGARITHM and fractions > 0.01 * entries:
            raise LayerError(
                f"{self.name} looks log-normalized ({share}, none is above {largest:.3g}), "
                f"expected raw counts. {self.hint}"
            )
        if len(filled) > 1 and np.ptp(filled) < 1e-3 * filled.mean():
            raise LayerError(
                f"{self.name} looks normalized (every row sums to {filled.mean():.6g}; {share}), "
                f"expected raw counts. {self.hint}"
            )
        log.warning("%s: %s; they are used as counts", self.name, share)


def spans_of(sections: NDArray[np.int64] | None, n_rows: int) -> list[Span]:
    """Blocks of every section, so that a section is cut the same way alone and among others."""
    if sections is None:
        groups: Iterator[NDArray[np.int64]] = iter([np.arange(n_rows, dtype=np.int64)])
    else:
        groups = (np.flatnonzero(sections == section) for section in np.unique(sections))
    return [Span(spots[at : at + BLOCK]) for spots in groups for at in range(0, len(spots), BLOCK)]
