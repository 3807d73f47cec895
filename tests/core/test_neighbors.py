"""Nearest neighbors: exact, grouped, the same for any number of threads."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cytoripple._errors import InputError
from cytoripple.kernels.neighbors import nearest_neighbors
from tests.oracles.neighbors import nearest

coarse = st.integers(-6, 6).map(lambda value: value / 4)  # sums of squares are exact: ties are ties


@settings(max_examples=60, deadline=None)
@given(data=st.data(), n=st.integers(1, 40), dims=st.integers(1, 9), k=st.integers(1, 8))
def test_all_ties_and_groups_are_as_in_the_plain_search(
    data: st.DataObject, n: int, dims: int, k: int
) -> None:
    points = data.draw(arrays(np.float64, (n, dims), elements=coarse))
    groups = data.draw(arrays(np.int64, n, elements=st.integers(-1, 3)))
    indices, distances = nearest_neighbors(points, k, groups=groups)
    expected, lengths = nearest(points, k, groups)
    np.testing.assert_array_equal(indices, expected)
    np.testing.assert_allclose(distances, lengths, rtol=1e-15)


def test_many_cells_in_many_dimensions(rng: np.random.Generator) -> None:
    points = rng.normal(size=(1100, 60)) + 1000.0
    indices, distances = nearest_neighbors(points, 15)
    expected, lengths = nearest(points, 15)
    np.testing.assert_array_equal(indices, expected)
    np.testing.assert_allclose(distances, lengths, rtol=1e-13)


def test_one_and_two_threads_agree_in_every_bit(rng: np.random.Generator) -> None:
    points = rng.normal(size=(900, 30))
    groups = rng.integers(0, 5, 900)
    once = nearest_neighbors(points, 7, groups=groups, threads=1)
    again = nearest_neighbors(points, 7, groups=groups, threads=2)
    assert once[0].tobytes() == again[0].tobytes()
    assert once[1].tobytes() == again[1].tobytes()


def test_moving_and_renaming_the_cells_changes_nothing_else(rng: np.random.Generator) -> None:
    points = rng.normal(size=(200, 4))
    order = rng.permutation(200)
    plain, distances = nearest_neighbors(points, 3)
    moved, same = nearest_neighbors(points[order] * 2 + 7, 3)
    np.testing.assert_array_equal(order[moved], plain[order])
    np.testing.assert_allclose(same, 2 * distances[order], rtol=1e-12)


def test_a_cell_alone_in_its_group_has_no_neighbor() -> None:
    indices, distances = nearest_neighbors([[0.0], [1.0], [2.0]], 2, groups=[0, 1, 1])
    assert indices.tolist() == [[-1, -1], [2, -1], [1, -1]]
    assert distances.tolist() == [[np.inf, np.inf], [1.0, np.inf], [1.0, np.inf]]


def test_copies_of_a_cell_are_neighbors_at_distance_zero_in_order() -> None:
    indices, distances = nearest_neighbors(np.full((30, 2), 3.7), 3)
    assert indices[0].tolist() == [1, 2, 3]
    assert indices[29].tolist() == [0, 1, 2]
    assert not distances.any()


def test_progress_reaches_the_end(rng: np.random.Generator) -> None:
    seen = []

    class Observer:
        def update(self, done: int, total: int, what: str) -> None:
            seen.append((done, total, what))

        def close(self) -> None:
            pass

    nearest_neighbors(rng.normal(size=(9000, 60)), 5, threads=1, progress=Observer())
    assert all(done <= total and what == "neighbors" for done, total, what in seen)


@pytest.mark.parametrize(
    ("points", "k", "groups", "sentence"),
    [
        ([[0.0], [np.nan]], 1, None, "points has 1 values that are NaN"),
        ([0.0, 1.0], 1, None, "points has 1 dimensions"),
        (np.zeros((3, 0)), 1, None, "at least one dimension"),
        ([[0.0], [1.0]], 0, None, "k is 0: ask for at least 1 neighbor"),
        ([[0.0], [1.0]], 1, [0], "groups has 1 entries: expected 2"),
        ([[0.0], [1.0]], 1, [0.5, 1.0], "groups must hold whole numbers"),
    ],
)
def test_bad_input_names_the_argument(points: object, k: int, groups: object, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        nearest_neighbors(points, k, groups=groups)


def test_points_whose_squares_overflow_are_refused() -> None:
    with pytest.raises(ValueError, match="smaller units"):
        nearest_neighbors([[1e200], [-1e200]], 1)
