"""Expression matrices and group labels made ready for the kernels, without copies where that is possible."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from cytoripple._errors import InputError, did_you_mean

Parts: TypeAlias = "tuple[NDArray[Any]] | tuple[bool, int, NDArray[Any], NDArray[Any], NDArray[Any]]"
"""``(values,)``, or ``(by_columns, width, starts, indices, data)`` of a compressed matrix."""


def expression_parts(name: str, matrix: Any, *, rows: bool = False) -> Parts:
    """Arrays of a matrix (cells x genes) as the kernels take them.

    Dense arrays of any memory order, memory maps, CSR and CSC of float32 or float64 are passed on as they
    are. Copied are: other number types, unsorted or repeated entries, other sparse formats, and CSC when
    `rows` asks for rows.

    Raises
    ------
    InputError
        The matrix is not two-dimensional, does not hold real numbers, or lies in a file.
    """
    if not (isinstance(matrix, np.ndarray) or sparse.issparse(matrix)):
        if type(matrix).__module__.startswith(("anndata", "h5py", "zarr")):
            raise InputError(f"{name} lies in a file: load it first, e.g. adata = adata.to_memory()")
        matrix = np.asarray(matrix)
    if matrix.ndim != 2:
        raise InputError(
            f"{name} has {matrix.ndim} dimensions (shape {matrix.shape}): expected cells x genes"
        )
    dtype = _kernel_dtype(name, matrix.dtype)
    if isinstance(matrix, np.ndarray):
        aligned = matrix.flags.aligned and all(step % dtype.itemsize == 0 for step in matrix.strides)
        values = matrix if matrix.dtype == dtype and aligned else np.ascontiguousarray(matrix, dtype=dtype)
        return (values.view(np.ndarray),)
    if matrix.format not in ("csr", "csc") or (rows and matrix.format == "csc"):
        matrix = matrix.tocsr()
    if not matrix.has_canonical_format:
        matrix = matrix.copy()
        matrix.sum_duplicates()
    by_columns = matrix.format == "csc"
    width = matrix.shape[0] if by_columns else matrix.shape[1]
    indices = matrix.indices
    if indices.dtype not in (np.int32, np.int64):
        indices = indices.astype(np.int64)
    data = np.ascontiguousarray(matrix.data, dtype=dtype)
    starts = np.ascontiguousarray(matrix.indptr, dtype=np.int64)
    return (by_columns, int(width), starts, np.ascontiguousarray(indices), data)


def _kernel_dtype(name: str, dtype: np.dtype[Any]) -> np.dtype[Any]:
    """float32 where it holds every value of `dtype`, else float64."""
    if dtype.kind not in "biuf" or dtype.itemsize > 8:
        raise InputError(f"{name} has dtype {dtype}: expected real numbers of at most 64 bits")
    single = dtype.itemsize < 4 or dtype == np.float32
    return np.dtype(np.float32 if single else np.float64)


def encode_groups(
    groups: ArrayLike, *, n_cells: int, reference: object = None
) -> tuple[NDArray[np.int64], list[Any]]:
    """Codes of the groups, the reference first, the others in sorted order.

    Parameters
    ----------
    groups
        Label per cell: text, whole numbers or categories. None and NaN leave a cell out.
    n_cells
        Number of labels expected.
    reference
        Label that gets code 0; None keeps the sorted order.

    Returns
    -------
    codes
        int64 per cell, -1 for a cell that is left out.
    labels
        Label of each code.

    Raises
    ------
    InputError
        The length differs, no cell has the reference label, or a category has no cell.
    """
    import pandas as pd

    check_no_empty_category(groups, "groups")
    column = pd.Series(np.asarray(groups))
    if len(column) != n_cells:
        raise InputError(f"groups has {len(column)} entries, X has {n_cells} cells: expected one per cell")
    try:
        codes, labels = pd.factorize(column, sort=True)
    except TypeError as error:
        raise InputError("groups mixes text and numbers: give labels of one type") from error
    known = list(labels)
    if reference is not None:
        if reference not in known:
            near = did_you_mean(str(reference), map(str, known))
            shown = ", ".join(repr(label) for label in known[:8])
            raise InputError(
                f"no cell has the reference label {reference!r}{near}; labels: {shown or 'none'}"
            )
        home = known.index(reference)
        moved = np.concatenate([[home], np.delete(np.arange(len(known)), home)])
        place = np.empty(len(known) + 1, dtype=np.int64)
        place[moved] = np.arange(len(known))
        place[-1] = -1
        codes, known = place[codes], [known[at] for at in moved]
    return codes.astype(np.int64), known


def check_no_empty_category(groups: object, name: str) -> None:
    """Raise when a categorical has a category without cells, which nothing can be said about.

    Raises
    ------
    InputError
        There is one.
    """
    categories = getattr(getattr(groups, "dtype", None), "categories", None)
    if categories is None:
        return
    import pandas as pd

    column: pd.Series[Any] = pd.Series(groups)
    empty = [label for label, n in column.value_counts(sort=False).items() if n == 0]
    if empty:
        raise InputError(
            f"no cell is in {len(empty)} groups of {name}, the first is {empty[0]!r}: leave them out with "
            ".cat.remove_unused_categories(), or give their cells"
        )
