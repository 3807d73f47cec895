"""The choice of the multiplier from a curve of held-out errors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from cytoripple.grn.grid import KAPPAS, walk_grid


def chosen(curve: NDArray[np.float64]) -> tuple[float, int]:
    """Multiplier and number of values that were tried."""
    found, tried = walk_grid(lambda kappas: curve[np.searchsorted(-KAPPAS, -kappas)])
    return found, len(tried)


@pytest.mark.parametrize(("minimum", "taken"), [(5.2, 5), (5.45, 5), (4.9, 4), (4.6, 4)])
def test_the_value_of_the_grid_just_above_the_lowest_point_is_taken(minimum: float, taken: int) -> None:
    """Of the two neighbors of the minimum the sparser model, also where the other has the smaller error."""
    kappa, tried = chosen(100.0 + 0.5 * (np.arange(15, dtype=np.float64) - minimum) ** 2)
    assert kappa == KAPPAS[taken]
    assert tried == 9


@given(st.lists(st.floats(0.0, 1e6), min_size=15, max_size=15))
def test_the_multiplier_is_the_smallest_error_or_one_step_above(values: list[float]) -> None:
    curve = np.array(values)
    kappa, tried = chosen(curve)
    best = int(np.argmin(curve[:tried]))
    assert kappa in (KAPPAS[best], KAPPAS[max(best - 1, 0)])


@pytest.mark.parametrize("scale", [0.01, 7.0])
def test_the_unit_of_the_error_and_a_constant_do_not_matter(scale: float) -> None:
    position = np.arange(15, dtype=np.float64)
    curve = np.abs(position - 4.3) ** 1.5
    assert chosen(3.0 + scale * curve)[0] == pytest.approx(chosen(curve)[0])


def test_ends_of_the_grid_and_flat_curves_are_taken_as_they_are() -> None:
    position = np.arange(15, dtype=np.float64)
    assert chosen(position) == (2.0, 6)
    assert chosen(-position) == (1.0 / 64.0, 15)
    assert chosen(np.ones(15)) == (2.0, 6)
