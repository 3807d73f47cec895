"""Metrics of the benchmark on examples that can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from cytoripple.bench.truth_metrics import (
    average_precision,
    change_metrics,
    held_out_r2,
    mean_of,
    pearson,
    spearman,
)
from cytoripple.datasets._ripple_means import ripple_means, type_means


def test_average_precision_of_four_entries() -> None:
    """Hits at ranks 1 and 3: (1/1 + 2/3) / 2."""
    assert average_precision([0.9, 0.8, 0.7, 0.1], [1, 0, 1, 0]) == pytest.approx((1 + 2 / 3) / 2)
    assert average_precision([4, 3, 2, 1], [1, 1, 0, 0]) == 1.0
    assert average_precision([1, 2, 3, 4], [1, 0, 0, 0]) == 0.25


def test_equal_scores_share_one_step() -> None:
    """A tie between a hit and a miss counts as precision 1/2, whichever comes first."""
    assert average_precision([2, 2, 1, 1], [1, 0, 1, 0]) == pytest.approx(0.5 * 0.5 + 0.5 * 0.5)
    assert average_precision([2, 2, 1, 1], [0, 1, 0, 1]) == pytest.approx(0.5)
    assert average_precision(np.zeros(8), [1, 0, 0, 0, 0, 0, 0, 1]) == 0.25


def test_without_anything_true_there_is_no_precision() -> None:
    assert np.isnan(average_precision([1.0, 2.0], [0, 0]))


def test_shuffled_scores_give_the_prevalence(rng: np.random.Generator) -> None:
    label = rng.random(4000) < 0.1
    found = [average_precision(rng.permutation(4000), label) for _ in range(20)]
    assert np.mean(found) == pytest.approx(label.mean(), abs=0.01)


def test_correlations_of_constants_are_zero() -> None:
    x = np.array([1.0, 2.0, 4.0])
    assert pearson(x, np.full(3, 0.1)) == 0.0
    assert spearman(np.zeros(3), x) == 0.0
    assert pearson(x, -3 * x + 1) == pytest.approx(-1)
    assert spearman(x, np.exp(x)) == pytest.approx(1)


def test_changes_of_four_entries() -> None:
    """Affected: the first three. A predicted 0 has the wrong sign."""
    truth, prediction = [0.2, -0.1, 0.4, 0.01], [0.1, 0.0, 0.1, 0.3]
    found = change_metrics(truth, prediction, threshold=0.03)
    assert found["sign"] == pytest.approx(2 / 3)
    assert found["slope"] == pytest.approx((0.2 * 0.1 + 0.4 * 0.1) / (0.04 + 0.01 + 0.16))
    assert found["pearson"] == pytest.approx(np.corrcoef(truth[:3], prediction[:3])[0, 1])
    assert found["spearman"] == pytest.approx(np.corrcoef([2, 1, 3], [2.5, 1, 2.5])[0, 1])
    assert found["aupr"] == pytest.approx(2 / 3 * 2 / 3 + 1 / 3 * 3 / 4)
    assert found["pearson_all"] == pytest.approx(np.corrcoef(truth, prediction)[0, 1])


def test_a_perfect_prediction_gives_one(rng: np.random.Generator) -> None:
    truth = rng.normal(0, 0.1, (5, 40))
    found = change_metrics(truth, truth, threshold=0.03)
    assert found == {name: pytest.approx(1.0) for name in found}
    assert change_metrics(truth, -truth, threshold=0.03)["sign"] == 0.0


def test_an_empty_affected_set_is_skipped_in_the_mean() -> None:
    assert change_metrics([0.001, 0.0], [1.0, 2.0], threshold=0.03) == {}
    some = change_metrics([0.1, -0.1], [1.0, -2.0], threshold=0.03)
    assert mean_of([{}, some]) == some


def test_entries_without_truth_are_left_out() -> None:
    with_gap = change_metrics([0.1, np.nan, -0.2, 0.3], [1.0, np.inf, -2.0, 1.0], threshold=0.03)
    assert with_gap == change_metrics([0.1, -0.2, 0.3], [1.0, -2.0, 1.0], threshold=0.03)


def test_held_out_r2_by_hand() -> None:
    y = np.array([[1.0, 2.0, 5.0], [3.0, 2.0, 5.0]])
    center = np.array([[2.0, 2.0, 5.0], [2.0, 2.0, 5.0]])
    r2 = held_out_r2(y, np.array([[1.5, 2.0, 5.0], [3.0, 2.0, 5.0]]), center)
    assert r2[0] == pytest.approx(1 - 0.25 / 2)
    assert np.isnan(r2[1:]).all()
    assert held_out_r2(y, center, center)[0] == 0.0
    assert held_out_r2(y, center + 3.0, center)[0] < 0.0


def test_means_per_type_and_distance() -> None:
    """Cells in a row, 10 apart; the first is perturbed, bins need five cells of a type."""
    xy = np.column_stack([10.0 * np.arange(14), np.zeros(14)])
    delta = np.arange(14.0)[:, None]
    types = np.array([0] * 12 + [1, 1])
    cells = np.arange(14) == 0
    np.testing.assert_allclose(type_means(delta, types, 3)[:, 0], [5.5, 12.5, np.nan])
    found = ripple_means(delta, cells, xy, types, 2, bins=(0.0, 50.0, 70.0, np.inf))
    assert found.shape == (3, 2, 1)
    assert found[0, 0, 0] == 3.0  # cells 1 to 5: the upper edge belongs to the bin
    assert np.isnan(found[1]).all()  # two cells
    assert np.isnan(found[2, 0, 0])  # four cells
    assert np.isnan(found[2, 1, 0])
