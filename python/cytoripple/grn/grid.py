"""Multipliers of the penalty, and the search for the one that predicts held-out cells best."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

KAPPAS: NDArray[np.float64] = np.exp2(1.0 - 0.5 * np.arange(15, dtype=np.float64))
# The grid is walked from the largest multiplier in pieces, and left when the minimum lies this far behind:
# most of the time of the whole grid goes into its smallest values.
_FIRST, _PIECE, _BEHIND = 6, 3, 3


def walk_grid(
    errors_of: Callable[[NDArray[np.float64]], NDArray[np.float64]],
) -> tuple[float, NDArray[np.float64]]:
    """Walk down the grid 2, sqrt(2), ..., 1/64 until the error has been rising for three values.

    Parameters
    ----------
    errors_of
        Held-out errors for some multipliers.

    Returns
    -------
    The multiplier of the grid at or just above the lowest point of the parabola through the smallest error
    and its neighbors, and the errors of the multipliers that were tried. The curve is flat around its
    minimum, so that noise decides between two neighbors on the grid: then the sparser model is taken.
    """
    errors = np.zeros(0)
    while len(errors) < len(KAPPAS) and (len(errors) == 0 or int(np.argmin(errors)) >= len(errors) - _BEHIND):
        size = _FIRST if len(errors) == 0 else _PIECE
        errors = np.concatenate([errors, errors_of(KAPPAS[len(errors) : len(errors) + size])])
    best = int(np.argmin(errors))
    return float(KAPPAS[best - 1 if _falls_before(errors, best) else best]), errors


def _falls_before(errors: NDArray[np.float64], best: int) -> bool:
    """Whether the parabola through the smallest error and its neighbors is lowest at a larger multiplier."""
    return 0 < best < len(errors) - 1 and bool(errors[best - 1] < errors[best + 1])
