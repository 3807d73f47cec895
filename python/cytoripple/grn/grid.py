"""Multipliers of the penalty, and the search for one that predicts held-out cells with few columns."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

KAPPAS: NDArray[np.float64] = np.exp2(1.0 - 0.5 * np.arange(15, dtype=np.float64))
# The grid is walked from the largest multiplier in pieces, and left when the minimum lies this far behind:
# most of the time of the whole grid goes into its smallest values.
_FIRST, _PIECE, _BEHIND = 6, 3, 3
# Share of the variance explained by the best multiplier that a larger, sparser one may cost.
_GIVEN_UP = 0.02
FALLBACK = float(KAPPAS[3])
# Share of the error of an empty model. Where the best multiplier explains less, noise decides which it is.
_TELLING = 1e-3


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
    The largest multiplier that explains at least 98 % of what the best one does, and the errors of the
    multipliers that were tried. Where even the best one explains less than 0.1 % (over 2, a nearly empty
    model), held-out cells cannot tell, and the multiplier is `FALLBACK`.
    """
    errors = np.zeros(0)
    while len(errors) < len(KAPPAS) and (len(errors) == 0 or int(np.argmin(errors)) >= len(errors) - _BEHIND):
        size = _FIRST if len(errors) == 0 else _PIECE
        errors = np.concatenate([errors, errors_of(KAPPAS[len(errors) : len(errors) + size])])
    return (_sparsest(errors) if telling(errors) else FALLBACK), errors


def telling(errors: NDArray[np.float64]) -> bool:
    """Whether held-out cells prefer a multiplier clearly over the first, nearly empty model."""
    return bool(errors[0] - errors.min() > _TELLING * errors[0])


def _sparsest(errors: NDArray[np.float64]) -> float:
    """Return the largest multiplier that explains nearly as much of the held-out cells as the best one.

    The error is taken for the parabola through its smallest value and the neighbors of that: the grid is
    coarse, and two values of nearly equal error would otherwise be told apart by noise. A penalty that
    predicts best keeps more columns than are true, while the error is flat beside its minimum. So the
    multiplier is raised until `_GIVEN_UP` of what the best one explains is lost, at most by one step of the
    grid from the smallest error, where the parabola ends.
    """
    best = int(np.argmin(errors))
    if not 0 < best < len(errors) - 1:
        return float(KAPPAS[best])
    before, here, after = errors[best - 1 : best + 2]
    bend = before - 2.0 * here + after
    if not bend > 0.0:
        return float(KAPPAS[best])
    vertex = 0.5 * (before - after) / bend
    explained = errors[0] - (here - 0.5 * bend * vertex**2)
    step = max(vertex - np.sqrt(2.0 * _GIVEN_UP * explained / bend), -1.0)
    return float(KAPPAS[best] * 2.0 ** (-0.5 * step))
