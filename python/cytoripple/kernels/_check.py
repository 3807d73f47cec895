"""Checks of arrays at the entrance: dtype, shape, finiteness, with messages that name the argument."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cytoripple._errors import InputError


def real(name: str, value: ArrayLike, *, ndim: int, finite: bool = True) -> NDArray[np.float64]:
    """Return `value` as a C-contiguous float64 array of `ndim` dimensions.

    A copy is made only when dtype or layout differ. Booleans and integers are accepted.

    Raises
    ------
    InputError
        The dtype is not numeric, the number of dimensions differs, or a value is NaN or infinite.
    """
    array: NDArray[Any] = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise InputError(f"{name} has dtype {array.dtype}: expected real numbers")
    if array.ndim != ndim:
        raise InputError(f"{name} has {array.ndim} dimensions (shape {array.shape}): expected {ndim}")
    array = np.ascontiguousarray(array, dtype=np.float64)
    if finite:
        check_finite(name, array)
    return array


def check_finite(name: str, array: NDArray[np.float64]) -> None:
    """Raise when an entry is NaN or infinite, saying how many there are and where the first one is."""
    if np.isfinite(array.sum()):  # one pass without a temporary; a finite sum has no NaN and no infinity
        return
    bad = ~np.isfinite(array)
    if not bad.any():  # the sum overflowed, the entries are fine
        return
    where = tuple(int(i) for i in np.argwhere(bad)[0])
    raise InputError(
        f"{name} has {int(bad.sum())} values that are NaN or infinite, the first at {where}: "
        "remove or replace them"
    )


def integers(name: str, value: ArrayLike, *, length: int | None = None) -> NDArray[np.int64]:
    """Return `value` as a one-dimensional int64 array, refusing fractions, NaN and text.

    Raises
    ------
    InputError
        Values are not whole numbers, or the length differs from `length`.
    """
    array: NDArray[Any] = np.asarray(value)
    if array.ndim != 1:
        raise InputError(f"{name} has {array.ndim} dimensions (shape {array.shape}): expected 1")
    if array.dtype.kind == "f":
        if not np.isfinite(array).all() or (array != np.round(array)).any():
            raise InputError(f"{name} must hold whole numbers")
    elif array.dtype.kind not in "biu":
        raise InputError(f"{name} has dtype {array.dtype}: expected whole numbers")
    if length is not None and array.shape[0] != length:
        raise InputError(f"{name} has {array.shape[0]} entries: expected {length}")
    return np.ascontiguousarray(array, dtype=np.int64)


def positive(name: str, value: float, *, what: str = "a positive number") -> float:
    """Return `value` as a float when it is finite and above 0, else raise naming the argument."""
    number = float(value)
    if not (np.isfinite(number) and number > 0):
        raise InputError(f"{name} is {value}: give {what}")
    return number
