"""Expression matrices as they come, dense or sparse of any number type, made into one of two forms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from cytoripple._errors import LayerError

if TYPE_CHECKING:
    from collections.abc import Iterator

Matrix: TypeAlias = "NDArray[np.float64] | sparse.csr_matrix[np.float64]"

_WHOLE_FROM = 3.0
"""Smallest maximum that counts have; 0/1 and 0/1/2 may be a binarized matrix."""


def as_float64(values: Any, name: str) -> Matrix:
    """Return a C-contiguous float64 array, or sorted float64 CSR without duplicates when `values` is sparse.

    The input is never changed. No copy is made of what already has the form.

    Raises
    ------
    LayerError
        The entries are not real numbers.
    """
    if values.dtype.kind not in "biuf":
        raise LayerError(f"{name} has dtype {values.dtype}: expected real numbers")
    if not sparse.issparse(values):
        return np.ascontiguousarray(values, dtype=np.float64)
    csr: sparse.csr_matrix[np.float64] = sparse.csr_matrix(cast("Any", values), dtype=np.float64)
    if not csr.has_canonical_format:
        csr = csr.copy()
        csr.sum_duplicates()
    return csr


def dense(values: Any) -> NDArray[Any]:
    """Return a dense array of the same dtype."""
    array: NDArray[Any] = values.toarray() if hasattr(values, "toarray") else np.asarray(values)
    return array


def entries(values: Any) -> NDArray[Any]:
    """Return the stored entries: all of a dense matrix, the explicit ones of a sparse matrix."""
    stored: NDArray[Any] = np.asarray(values) if isinstance(values, np.ndarray) else values.data
    return stored


def blocks(values: Any, size: int = 1 << 22) -> Iterator[NDArray[Any]]:
    """Cut the stored entries into pieces of bounded size, so that masks of them stay small."""
    stored = entries(values)
    flat = stored.reshape(-1) if stored.flags.c_contiguous else stored.ravel(order="K")
    for start in range(0, flat.size, size):
        yield flat[start : start + size]


def check_expression(values: Any, name: str) -> None:
    """Raise when an entry is NaN, infinite or negative.

    Smoothing may leave negative dust: entries above ``-1e-6`` times the largest are let through unless all
    entries are whole numbers.

    Raises
    ------
    LayerError
        Says how many entries are wrong and what to type.
    """
    bad = sum(block.size - int(np.isfinite(block).sum()) for block in blocks(values))
    if bad:
        raise LayerError(
            f"{name} holds {bad} values that are NaN or infinite, expected finite numbers: "
            "drop or replace them, e.g. adata = adata[:, genes_to_keep].copy()"
        )
    lowest = min((float(block.min()) for block in blocks(values)), default=0.0)
    if lowest >= 0:
        return
    largest = max(float(block.max()) for block in blocks(values))
    if lowest >= -1e-6 * largest and not is_whole(values):
        return
    negative = sum(int((block < 0).sum()) for block in blocks(values))
    raise LayerError(
        f"{name} holds {negative} negative values (smallest {lowest:g}), expected counts or log-normalized "
        "expression, which are never negative: "
        "give the layer before it was scaled or centered, e.g. layer='counts'"
    )


def is_whole(values: Any) -> bool:
    """Every entry is a whole number (also of float type)."""
    if entries(values).dtype.kind in "biu":
        return True
    return all(bool((block == np.round(block)).all()) for block in blocks(values))


def largest_entry(values: Any) -> float:
    """Largest entry, 0 for an empty matrix."""
    return max((float(block.max()) for block in blocks(values)), default=0.0)


def looks_like_counts(expression: Any) -> bool:
    """Whether a matrix holds raw counts: whole numbers only, some of them 3 or more.

    Logarithms and smoothed values are practically never all whole; 0/1 and 0/1/2 matrices are not called
    counts, because they may be binarized.
    """
    return largest_entry(expression) >= _WHOLE_FROM and is_whole(expression)


def looks_log_normalized(expression: Any) -> bool:
    """Whether a matrix holds logarithms: fractions, none above 20 (``log2`` of a million is 20)."""
    return 0 < largest_entry(expression) <= 20 and not is_whole(expression)
