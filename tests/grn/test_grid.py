"""The choice of the multiplier from a curve of held-out errors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from cytoripple.grn.grid import FALLBACK, KAPPAS, telling, walk_grid


def chosen(curve: NDArray[np.float64]) -> tuple[float, int]:
    """Multiplier and number of values that were tried."""
    found, tried = walk_grid(lambda kappas: curve[np.searchsorted(-KAPPAS, -kappas)])
    return found, len(tried)


def test_the_multiplier_costs_two_percent_of_what_the_best_one_explains() -> None:
    position = np.arange(15, dtype=np.float64)
    curve = 100.0 + 0.5 * (position - 5.2) ** 2
    kappa, tried = chosen(curve)
    at = 2.0 * (1.0 - np.log2(kappa))
    explained = curve[0] - 100.0
    assert at < 5.2
    assert 0.5 * (at - 5.2) ** 2 == pytest.approx(0.02 * explained)
    assert tried == 9


@given(st.lists(st.floats(0.0, 1e6), min_size=15, max_size=15))
def test_the_multiplier_stays_near_the_smallest_error(values: list[float]) -> None:
    """At most one step of the grid above the smallest error and half a step below it, where it tells."""
    curve = np.array(values)
    kappa, tried = chosen(curve)
    if not telling(curve[:tried]):
        assert kappa == FALLBACK
        return
    steps = 2.0 * np.log2(kappa / KAPPAS[int(np.argmin(curve[:tried]))])
    assert -0.5 - 1e-9 <= steps <= 1.0 + 1e-9


@pytest.mark.parametrize("scale", [0.01, 7.0])
def test_the_unit_of_the_error_and_a_constant_do_not_matter(scale: float) -> None:
    position = np.arange(15, dtype=np.float64)
    curve = np.abs(position - 4.3) ** 1.5
    assert chosen(3.0 + scale * curve)[0] == pytest.approx(chosen(curve)[0])


def test_the_end_of_the_grid_is_taken_as_it_is() -> None:
    position = np.arange(15, dtype=np.float64)
    assert chosen(100.0 - position) == (1.0 / 64.0, 15)


@pytest.mark.parametrize("gain", [0.0, 0.0009])
def test_held_out_cells_that_cannot_tell_leave_the_fallback(gain: float) -> None:
    """A curve that rises from the start, or falls by less than 0.1 % before it does."""
    position = np.arange(15, dtype=np.float64)
    rising = 1.0 + 0.01 * np.maximum(position - 3.0, 0.0) - gain * (position == 3)
    assert chosen(rising)[0] == FALLBACK
    assert chosen(np.ones(15)) == (FALLBACK, 6)


def test_a_gain_of_more_than_a_thousandth_is_believed() -> None:
    position = np.arange(15, dtype=np.float64)
    curve = 1.0 + 0.01 * np.maximum(position - 3.0, 0.0) - 0.002 * (position == 3)
    assert 0.7 < chosen(curve)[0] < 1.0
