"""Counts of spots, read in blocks of rows from wherever they are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from cytoripple._errors import CoordinatesError, InputError
from cytoripple._matrix import dense

PIECE = 1024
"""Spots per sum in the kernel: blocks start at multiples of it, so that streaming does not change a bit."""
_STREAMED_ROWS = 16 * PIECE
_NATIVE = ("float32", "float64", "int32", "int64")
_LOGARITHM = 20.0
"""Largest value that a logarithm of counts reaches (``log2`` of a million)."""
_LOOKED_AT = 100_000


def check_counts(Y: Any) -> Any:
    """Return counts that can be read in blocks of rows: CSR, dense, or a matrix on disk.

    Sparse matrices of another layout become CSR and repeated entries are summed; nothing else is copied.

    Raises
    ------
    InputError
        Not two-dimensional, not numeric, or no spots.
    """
    if not hasattr(Y, "shape") or not hasattr(Y, "dtype"):
        Y = np.asarray(Y)
    if len(Y.shape) != 2:
        raise InputError(f"Y has shape {tuple(Y.shape)}: expected spots x genes")
    if np.dtype(Y.dtype).kind not in "biuf":
        raise InputError(f"Y has dtype {Y.dtype}: expected counts")
    if Y.shape[0] == 0:
        raise InputError("Y has no rows: expected at least one spot")
    if not sparse.issparse(Y):
        return Y
    given: Any = Y
    csr = given.tocsr()
    if not csr.has_canonical_format:
        csr = csr.copy() if csr is given else csr
        csr.sum_duplicates()
    return csr


def check_inputs(Y: Any, X: Any, coords: Any) -> tuple[Any, NDArray[np.float64], NDArray[np.float64]]:
    """Check counts, reference and coordinates against each other.

    Parameters
    ----------
    Y
        Spots x genes.
    X
        Types x genes, dense or sparse.
    coords
        Spots x dimensions.

    Returns
    -------
    Y as `check_counts` gives it, X and coordinates as float64.

    Raises
    ------
    InputError
        Shapes disagree; NaN, infinite or negative counts; no type.
    CoordinatesError
        Coordinates are misshapen or not finite.
    """
    Y = check_counts(Y)
    X = dense(X)
    if X.ndim != 2 or X.dtype.kind not in "biuf":
        raise InputError(f"X has shape {X.shape} and dtype {X.dtype}: expected numbers, types x genes")
    if X.shape[0] == 0:
        raise InputError("X has no rows: expected at least one cell type")
    if X.shape[1] != Y.shape[1]:
        raise InputError(f"Y has {Y.shape[1]} genes but X has {X.shape[1]}: align them to the same genes")
    where = np.asarray(coords)
    if where.ndim != 2 or where.shape[0] != Y.shape[0] or where.shape[1] == 0:
        raise CoordinatesError(
            f"coords has shape {where.shape}: expected one row for each of the {Y.shape[0]} spots of Y"
        )
    where = np.ascontiguousarray(where, dtype=np.float64)
    bad = int((~np.isfinite(where)).any(axis=1).sum())
    if bad:
        raise CoordinatesError(f"coords has {bad} spots without finite coordinates: remove them")
    X = np.ascontiguousarray(X, dtype=np.float64)
    check_values("X", X)
    for block in blocks(Y):
        check_values("Y", block.data)
    return Y, X, where


def check_values(name: str, values: NDArray[Any]) -> None:
    """Raise when a stored value is NaN, infinite or negative."""
    if values.size == 0:
        return
    low, high = values.min(), values.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        raise InputError(f"{name} holds values that are NaN or infinite: remove or replace them")
    if low < 0:
        raise InputError(
            f"{name} holds negative values (smallest {low:g}): give counts, before scaling or centering, "
            "e.g. layer='counts'"
        )


def looks_logarithmic(Y: Any) -> bool:
    """Whether the first stored values are small and many have a fraction, as after log-normalization."""
    for block in blocks(Y):
        values = block.data[:_LOOKED_AT]
        if values.size:
            fractions = np.count_nonzero(values != np.rint(values))
            return bool(values.max() <= _LOGARITHM and fractions > 0.01 * values.size)
    return False


def blocks(Y: Any, genes: NDArray[np.intp] | None = None, rows: int | None = None) -> Iterator[Any]:
    """Cut the counts into CSR blocks of a number type and an index type that the kernels read.

    Parameters
    ----------
    Y
        What `check_counts` returned.
    genes
        Only these columns.
    rows
        Rows per block; by default all at once where that needs no copy.

    Yields
    ------
    CSR matrices, in the order of the spots.
    """
    name = np.dtype(Y.dtype).name
    whole = sparse.issparse(Y) and name in _NATIVE
    if rows is None:
        rows = max(Y.shape[0], 1) if whole else _STREAMED_ROWS
        rows = PIECE if isinstance(Y, np.ndarray) else rows
    for start in range(0, Y.shape[0], rows):
        block = Y if whole and rows >= Y.shape[0] else Y[start : start + rows]
        yield _native(block if genes is None else block[:, genes])


def _native(block: Any) -> Any:
    csr: Any = block
    if not (sparse.issparse(block) and csr.format == "csr"):
        csr = sparse.csr_matrix(block)
    if csr.dtype.name not in _NATIVE:
        csr = csr.astype(np.float32 if csr.dtype.itemsize < 4 and csr.dtype.kind != "f" else np.float64)
    return csr


def stored(block: Any) -> tuple[NDArray[Any], tuple[NDArray[Any], NDArray[Any]]]:
    """Return counts, and genes with row starts, of a CSR block as the kernels take them."""
    return np.ascontiguousarray(block.data), (
        np.ascontiguousarray(block.indices),
        np.ascontiguousarray(block.indptr, dtype=block.indices.dtype),
    )
