"""Random cells of a plain h5ad file."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from cytoripple._errors import FileError, InputError
from cytoripple.kernels import _check
from cytoripple.vc._h5ad import H5adMatrix
from cytoripple.vc._rows import Rows, check_map, gather_rows
from cytoripple.vc.genes import GeneMap
from cytoripple.vc.guard import expression_state, normalize_counts

if TYPE_CHECKING:
    import pandas as pd

_GAP = 16
"""Rows between two wanted ones that are read along rather than skipped."""


class H5adRows(Rows):
    """Random cells of a plain h5ad file: slow, but without packing.

    Parameters
    ----------
    path
        The file, dense or CSR.
    layer
        None is ``X``.

    Raises
    ------
    FileError
        The file is missing or damaged, or stores columns (CSC).
    LayerError
        The layer is missing, or values are neither counts nor logarithms.
    """

    def __init__(self, path: str | Path, layer: str | None = None) -> None:
        self._source = H5adMatrix(path, layer)
        self.path = self._source.path
        self.n_obs, self.n_vars = self._source.shape
        if self._source.kind == "csc":
            self._source.range(0, 0)  # raises, saying how to pack
        n = min(self.n_obs, 512)
        sample = self._raw(np.unique(np.linspace(0, self.n_obs - 1, n).astype(np.int64)))[0]
        state = expression_state(sample)
        if state not in ("counts", "lognorm"):
            raise FileError(f"{self.path} holds {state} values: expected counts or logarithms")
        self.norm = "counts" if state == "counts" else "log1p"

    def close(self) -> None:
        """Close the file."""
        self._source.close()

    @cached_property
    def obs(self) -> pd.DataFrame:
        """Cells."""
        return self._source.table("obs")

    @cached_property
    def var(self) -> pd.DataFrame:  # type: ignore[override]  # read at first use
        """Genes."""
        return self._source.table("var")

    def rows(
        self,
        rows: ArrayLike,
        *,
        genes: GeneMap | None = None,
        normalized: bool = True,
        out: NDArray[np.float32] | None = None,
        threads: int = 0,
    ) -> NDArray[np.float32]:
        """Read cells; as `RowStore.rows`.

        Rows are read in the order of the file, neighbors together.
        """
        check_map(genes, self.n_vars)
        numbers = _check.integers("rows", rows)
        if len(numbers) and not (numbers.min() >= 0 and numbers.max() < self.n_obs):
            wrong = numbers[(numbers < 0) | (numbers >= self.n_obs)][0]
            raise InputError(f"rows holds the index {wrong}, but there are only {self.n_obs} entries")
        distinct, back = np.unique(numbers, return_inverse=True)
        block, at = self._raw(distinct)
        return gather_rows(
            block,
            at[back],
            colmap=None if genes is None else genes.colmap,
            n_columns=None if genes is None else genes.n_genes,
            target_sum=self.target(normalized),
            out=out,
            threads=threads,
        )

    def range(self, start: int, stop: int, *, normalized: bool = True) -> sparse.csr_matrix[np.float32]:
        """Rows `start` to `stop`, sparse; counts normalized as in `rows`."""
        block = self._source.range(start, stop).astype(np.float32)
        return normalize_counts(block) if self.target(normalized) else block

    def _raw(self, distinct: NDArray[np.int64]) -> tuple[sparse.csr_matrix[Any], NDArray[np.int64]]:
        """Read rising rows in runs; return what was read and where in it every row is."""
        if not len(distinct):
            return self._source.range(0, 0), distinct
        runs = np.split(distinct, np.flatnonzero(np.diff(distinct) > _GAP) + 1)
        read, places, offset = [], [], 0
        for run in runs:
            start, stop = int(run[0]), int(run[-1]) + 1
            read.append(self._source.range(start, stop))
            places.append(run - start + offset)
            offset += stop - start
        return sparse.vstack(read, format="csr"), np.concatenate(places)
