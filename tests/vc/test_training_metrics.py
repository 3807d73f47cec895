"""Metrics on arrays: definitions, limits, and their agreement with the evaluation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import cytoripple as ct
from cytoripple._errors import InputError
from cytoripple.vc import RunningMean, compute_de, compute_mae, compute_pds
from tests.vc.screens import CONTROL, dense, labels_of, screen


def test_discrimination_of_the_truth_and_of_a_constant(rng: np.random.Generator) -> None:
    true = rng.normal(size=(20, 30))
    best = compute_pds(true, true)
    assert best == {"pds": 1.0, "mean_inv_rank": 1.0, "top1": 1.0, "top5": 1.0, "top10": 1.0}
    for metric in ("l1", "l2", "cosine"):
        flat = compute_pds(np.ones((20, 30)), true, metric=metric)
        assert flat["pds"] == pytest.approx(21 / 40, abs=1e-12)
        assert flat["mean_inv_rank"] == pytest.approx(np.mean(1 / np.arange(1, 21)), abs=1e-12)
        assert flat["top5"] == pytest.approx(0.25)
    assert compute_pds(np.zeros((20, 30)), true, metric="cosine")["pds"] == pytest.approx(21 / 40)
    assert compute_pds(np.roll(true, 1, axis=0), true)["top1"] == 0.0


def test_equal_measured_effects_are_tied(rng: np.random.Generator) -> None:
    true = np.repeat(rng.normal(size=(5, 8)), 2, axis=0)
    assert compute_pds(true, true)["pds"] == pytest.approx(1 - 0.5 / 10)


def test_the_target_gene_can_be_left_out(rng: np.random.Generator) -> None:
    n = 40
    true = rng.normal(size=(n, 500))
    true[np.arange(n), np.arange(n)] = -1.0
    only_target = np.zeros_like(true)
    only_target[np.arange(n), np.arange(n)] = -100.0
    chance, sd = (n + 1) / (2 * n), np.sqrt((n**2 - 1) / (12 * n**3))
    assert compute_pds(only_target, true, metric="cosine")["pds"] > 0.8
    found = compute_pds(only_target, true, metric="cosine", target_idx=np.arange(n))["pds"]
    assert found == pytest.approx(chance, abs=1e-12)
    for metric in ("l1", "l2"):
        found = compute_pds(only_target, true, metric=metric, target_idx=np.arange(n))["pds"]
        assert abs(found - chance) < 3 * sd


def test_one_perturbation_agrees_with_the_evaluation() -> None:
    real, pred = screen(seed=1), screen(seed=1)
    noisy = dense(pred) + np.random.default_rng(0).normal(0, 0.6, pred.shape).astype(np.float32)
    pred.X = np.maximum(0, noisy)
    result = ct.tl.evaluate(real, pred, profile="de").per_perturbation.set_index("perturbation")
    labels = labels_of(real)
    parts = [dense(side)[labels == name] for side in (pred, real) for name in ("g03", CONTROL)]
    found = compute_de(*parts)
    row = result.loc["g03"]
    assert found.overlap == row["overlap_at_N"]
    assert found.pr_auc == row["pr_auc"]
    assert found.spearman_r == row["de_spearman_lfc_sig"]
    assert (found.n_true_sig, found.n_pred_sig) == (
        row["de_nsig_counts_real"],
        row["de_nsig_counts_pred"],
    )


def test_only_the_strongest_of_too_many_predicted_genes_count() -> None:
    """Twenty predicted genes over ten true ones: the ten strongest are compared."""
    rng = np.random.default_rng(0)
    control = rng.normal(3, 0.1, (60, 40)).clip(0)
    true, pred = (rng.normal(3, 0.1, (60, 40)).clip(0) for _ in range(2))
    true[:, :10] += 1.0
    pred[:, :10] += 0.5
    pred[:, 10:20] += 1.5
    found = compute_de(pred, control, true, control)
    assert found.n_true_sig <= 12
    assert found.n_pred_sig >= 20
    assert found.overlap < 0.2
    pred[:, :10] += 2.0
    assert compute_de(pred, control, true, control).overlap > 0.8


@settings(max_examples=30, deadline=None)
@given(arrays(np.float64, (3, 4, 5), elements=st.floats(-100, 100)), st.floats(0.1, 10))
def test_the_absolute_error_is_a_distance(values: np.ndarray, factor: float) -> None:
    a, b, c = values
    assert (compute_mae(a, b) >= 0).all()
    np.testing.assert_array_equal(compute_mae(a, b), compute_mae(b, a))
    np.testing.assert_allclose(
        compute_mae(factor * a, factor * b), factor * compute_mae(a, b), rtol=1e-12, atol=1e-11
    )
    assert (compute_mae(a, c) <= compute_mae(a, b) + compute_mae(b, c) + 1e-12).all()


def test_masked_genes_do_not_count() -> None:
    pred, true = np.array([[1.0, 5.0], [2.0, 7.0]]), np.array([[0.0, 0.0], [0.0, 0.0]])
    assert compute_mae(pred, true, mask=[1.0, 0.0]).tolist() == [1.0, 2.0]
    assert compute_mae(pred, true, mask=[0.0, 0.0]).tolist() == [0.0, 0.0]


def test_a_running_mean_does_not_depend_on_the_pieces() -> None:
    whole, first, second = RunningMean(), RunningMean(), RunningMean()
    assert np.isnan(whole.mean)
    whole.update([1.0, 2.0, 3.0, 10.0])
    first.update([1.0, 2.0])
    second.update(3.0)
    second.update(5.0, weights=2.0)
    second.update([0.0], weights=[0.0])
    first.merge(second)
    assert first.mean == pytest.approx(16 / 5)
    assert whole.mean == 4.0


def test_arrays_that_do_not_fit_are_refused() -> None:
    a = np.ones((3, 4))
    with pytest.raises(InputError, match="shape"):
        compute_pds(a, a[:2])
    with pytest.raises(InputError, match="metric"):
        compute_pds(a, a, metric="l3")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="shape"):
        compute_mae(a, a[:2])
    with pytest.raises(InputError, match="mask"):
        compute_mae(a, a, mask=np.ones(3))
    with pytest.raises(InputError, match="genes"):
        compute_de(a, a[:, :2], a, a)
    with pytest.raises(InputError, match="fdr"):
        compute_de(a, a, a, a, fdr=5)
