"""The synthetic screen: known effects, reproducible, in random order."""

import numpy as np
import pytest

import cytoripple as ct


def test_same_arguments_same_screen():
    first, _ = ct.datasets.simulate_screen(30, 3, 8, 25, n_ct=2, seed=5)
    second, _ = ct.datasets.simulate_screen(30, 3, 8, 25, n_ct=2, seed=5)
    other, _ = ct.datasets.simulate_screen(30, 3, 8, 25, n_ct=2, seed=6)
    assert (first.X != second.X).nnz == 0
    assert first.obs.equals(second.obs)
    assert (first.X != other.X).nnz > 0


def test_every_group_has_its_cells():
    adata, truth = ct.datasets.simulate_screen(30, 4, 9, 25, n_ct=2, n_batch=3, seed=1)
    counts = adata.obs.groupby(["cell_type", "target_gene"], observed=True).size()
    assert (counts.xs("non-targeting", level="target_gene") == 30).all()
    assert (counts.drop("non-targeting", level="target_gene") == 9).all()
    assert set(adata.obs["target_gene"]) == {*truth.loadings.index, "non-targeting"}
    per_batch = adata.obs.groupby(["cell_type", "target_gene", "batch"], observed=True).size().unstack()
    assert (per_batch.max(axis=1) - per_batch.min(axis=1) <= 1).all()
    assert not adata.obs["target_gene"].astype(str).is_monotonic_increasing


def test_the_truth_is_what_the_cells_show():
    """Means of many cells agree with the declared fold changes of well expressed genes."""
    adata, truth = ct.datasets.simulate_screen(1500, 3, 1500, 60, n_batch=1, seed=2)
    labels = adata.obs["target_gene"].astype(str).to_numpy()
    counts = adata.X.toarray()
    shift = np.exp(truth.batch_shift.to_numpy()[0])
    visible = (truth.base.to_numpy()[0] * shift) > 1.0
    for target in truth.loadings.index:
        seen = np.log(counts[labels == target].mean(0) / counts[labels == "non-targeting"].mean(0))
        np.testing.assert_allclose(seen[visible], truth.log_fold().loc[target, visible], atol=0.25)


def test_without_effect_only_targets_respond():
    _, truth = ct.datasets.simulate_screen(10, 5, 5, 20, effect=0.0)
    assert truth.responds().to_numpy().sum() == 5
    assert np.allclose(np.exp(np.diag(truth.log_fold()[truth.loadings.index])), 0.15)


def test_lognorm_layer_is_log1p_per_ten_thousand():
    adata, _ = ct.datasets.simulate_screen(10, 2, 5, 20)
    sums = np.expm1(adata.layers["lognorm"].toarray().astype(float)).sum(axis=1)
    np.testing.assert_allclose(sums, 1e4, rtol=1e-5)


def test_expected_expression_needs_known_names():
    _, truth = ct.datasets.simulate_screen(10, 2, 5, 20)
    target = truth.loadings.index[0]
    assert truth.expected(target)[target] < truth.expected("non-targeting")[target]
    with pytest.raises(ct.CytorippleError, match="not perturbed"):
        truth.expected("Sox2")
    with pytest.raises(ct.CytorippleError, match="no cell type"):
        truth.log_fold("B cell")


@pytest.mark.parametrize(
    "wrong", [{"P": 0}, {"P": 30, "G": 20}, {"n_batch": 0}, {"effect": -1.0}, {"G": 2.5}]
)
def test_impossible_screens_are_refused(wrong):
    with pytest.raises(ct.CytorippleError):
        ct.datasets.simulate_screen(**wrong)
