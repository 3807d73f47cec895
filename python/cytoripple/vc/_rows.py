"""What all sources of cells share: rows of a sparse matrix made dense, and columns mapped to common genes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cytoripple import _core
from cytoripple._errors import InputError
from cytoripple.kernels import _check
from cytoripple.vc.genes import Duplicates, GeneMap, GeneResolver, gene_map
from cytoripple.vc.guard import TARGET_SUM

if TYPE_CHECKING:
    import pandas as pd


def gather_rows(
    matrix: Any,
    rows: ArrayLike,
    *,
    colmap: NDArray[np.int32] | None = None,
    n_columns: int | None = None,
    target_sum: float | None = None,
    out: NDArray[np.float32] | None = None,
    threads: int = 0,
) -> NDArray[np.float32]:
    """Copy rows of a CSR matrix into a dense array.

    Parameters
    ----------
    matrix
        scipy CSR, in memory or mapped; its arrays are used where they are.
    rows
        (n,) row numbers, repetitions allowed.
    colmap
        (columns,) int32: where every column goes, -1 drops it, columns that meet are added. None keeps all.
    n_columns
        Width of the result; default is the width of the matrix, or what `colmap` needs.
    target_sum
        Entries are counts: return ``log1p`` of them scaled to this sum over all columns of the matrix.
        Columns that meet are added as counts.
    out
        (n, n_columns) float32 in C order to write into.
    threads
        0 takes every core. The result does not depend on it.

    Returns
    -------
    (n, n_columns) float32, `out` if it was given.

    Raises
    ------
    InputError
        A row or a column is out of range, shapes or types do not fit, or the matrix is damaged there.
    """
    numbers = _check.integers("rows", rows)
    width = matrix.shape[1]
    if n_columns is None:
        n_columns = width if colmap is None else int(np.max(colmap, initial=-1)) + 1
    if out is None:
        out = np.empty((len(numbers), n_columns), dtype=np.float32)
    elif out.dtype != np.float32 or out.shape != (len(numbers), n_columns) or not out.flags.c_contiguous:
        raise InputError(
            f"out is {out.dtype} of shape {out.shape}: expected C-contiguous float32 of shape "
            f"({len(numbers)}, {n_columns})"
        )
    data = matrix.data if matrix.data.dtype.name in ("uint16", "uint32", "float32", "float64") else None
    if data is None:
        data = matrix.data.astype(np.float64)
    try:
        _core.gather_rows(
            matrix.indptr,
            matrix.indices,
            data,
            numbers,
            out,
            n_columns=width,
            colmap=colmap,
            target=target_sum,
            threads=threads,
        )
    except ValueError as error:
        raise InputError(str(error)) from error
    return out


class Rows:
    """What a row store and a plain file have in common."""

    n_obs: int
    n_vars: int
    norm: str
    var: pd.DataFrame

    @property
    def shape(self) -> tuple[int, int]:
        """Cells and genes."""
        return self.n_obs, self.n_vars

    @property
    def var_names(self) -> list[str]:
        """Names of the genes, in order."""
        return [str(name) for name in self.var.index]

    def gene_map(self, genes: list[str], *, resolver: GeneResolver | None = None) -> GeneMap:
        """Map the columns onto a common list of Ensembl ids; columns of one gene are added for counts.

        Of logarithms, which cannot be added, the column with the larger mean is kept (in a file that was not
        packed: the first).
        """
        found = (resolver or GeneResolver()).resolve(self.var.get("ensembl_id", self.var.index))
        means = self.var.get("mean_value", np.zeros(self.n_vars))
        how: Duplicates = "sum" if self.norm == "counts" else "larger_mean"
        return gene_map(found, genes, duplicates=how, means=np.asarray(means))

    def target(self, normalized: bool) -> float | None:
        """Sum to which counts are scaled when they are read, None for anything else."""
        return TARGET_SUM if normalized and self.norm == "counts" else None


def check_map(genes: GeneMap | None, n_vars: int) -> None:
    """Raise when a map was made for other data."""
    if genes is not None and genes.n_source != n_vars:
        raise InputError(
            f"genes maps {genes.n_source} columns, but there are {n_vars}: make the map from this data"
        )
