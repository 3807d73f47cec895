"""Counts behind a layer: found, and refused where they do not fit."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from anndata import AnnData
from scipy import sparse

import cytoripple as ct
from cytoripple._anndata import read_tissue
from cytoripple._errors import LayerError, SettingsError
from cytoripple._settings import Settings
from cytoripple.grn.counts import size_factors, with_size_factors
from cytoripple.grn.estimator import resolve_estimator

FORMS = {"dense": np.asarray, "csr": sparse.csr_matrix, "csc": sparse.csc_matrix}


def tissue(seed: int = 0) -> AnnData:
    rng = np.random.default_rng(seed)
    counts = rng.poisson(1.0, (40, 12)).astype(np.float32)
    counts[3] = 0.0
    adata = AnnData(counts)
    adata.obs["cell_type"] = ["a", "b"] * 20
    adata.obsm["spatial"] = rng.uniform(0, 100, (40, 2))
    ct.pp.normalize(adata, target_sum=50.0)
    return adata


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_factors_are_the_target_sum_over_the_depth(form: str, dtype: type) -> None:
    adata = tissue()
    adata.X = FORMS[form](adata.X)
    layer = FORMS[form](
        np.asarray(sparse.csr_matrix(adata.layers["normalized_count"]).toarray(), dtype=dtype)
    )
    adata.layers["normalized_count"] = layer
    read = read_tissue(adata, cluster_key="cell_type", layer="normalized_count")
    factors, where = size_factors(adata, "normalized_count", read.expression)
    depth = np.asarray(sparse.csr_matrix(adata.X).sum(axis=1)).reshape(-1)
    assert where == "adata.X"
    assert factors is not None
    np.testing.assert_allclose(factors[depth > 0], 50.0 / depth[depth > 0], rtol=1e-5)
    assert factors[3] == 1.0


def test_factors_survive_a_choice_of_genes_after_the_normalization() -> None:
    adata = tissue()[:, :7].copy()
    read = read_tissue(adata, cluster_key="cell_type", layer="normalized_count")
    factors, _ = size_factors(adata, "normalized_count", read.expression)
    assert factors is not None


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (
            lambda a: a.layers.__setitem__("normalized_count", np.sqrt(np.asarray(a.X))),
            "is not log1p of adata.X",
        ),
        (lambda a: setattr(a, "X", np.asarray(a.X) + 0.5), "there are no whole counts"),
        (lambda a: setattr(a, "X", np.roll(np.asarray(a.X), 1, axis=0)), "is not log1p of adata.X"),
    ],
    ids=["another function", "no counts", "other cells"],
)
def test_a_layer_that_is_not_made_from_the_counts_turns_the_correction_off(
    spoil: object, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    adata = tissue()
    spoil(adata)  # type: ignore[operator]
    read = read_tissue(adata, cluster_key="cell_type", layer="normalized_count")
    settings = resolve_estimator(Settings())
    with caplog.at_level(logging.WARNING, logger="cytoripple"):
        assert with_size_factors(adata, read, settings).size_factors is None
    assert [reason in record.getMessage() for record in caplog.records] == [True]
    insisting = settings.with_overrides({"training.noise_correction": True})
    with pytest.raises(LayerError, match=reason):
        with_size_factors(adata, read, insisting)


def test_what_nobody_gave_follows_the_estimator() -> None:
    joint = resolve_estimator(Settings())
    assert joint.training.estimator == "joint"
    assert (joint.lasso.l1_share, joint.training.score_threshold) == (0.1, None)
    raw = resolve_estimator(Settings().with_overrides({"lasso.group_reg": 0.1, "lasso.l1_reg": 0.1}))
    assert (raw.training.estimator, raw.training.score_threshold, raw.lasso.tol) == ("sgl", 0.2, 1e-6)
    old = resolve_estimator(Settings().with_overrides({"training.estimator": "reference"}))
    assert (old.lasso.given, old.lasso.solver, old.lasso.n_iter) == ((1e-9, 1e-9), "reference", 100)
    assert resolve_estimator(joint) == joint
    assert resolve_estimator(old) == old


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"training.estimator": "joint", "lasso.group_reg": 0.1, "lasso.l1_reg": 0.1}, "one penalty, kappa"),
        ({"training.estimator": "sgl", "training.noise_correction": True}, "needs estimator"),
        ({"training.estimator": "reference", "lasso.kappa": 0.1}, "has no kappa"),
        ({"lasso.solver": "fista"}, "solver is 'fista'"),
    ],
)
def test_settings_an_estimator_does_not_know_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        resolve_estimator(Settings().with_overrides(settings))


def test_kappa_and_penalties_exclude_each_other() -> None:
    with pytest.raises(SettingsError, match="kappa replaces"):
        Settings().with_overrides({"lasso.kappa": 0.1, "lasso.group_reg": 0.1, "lasso.l1_reg": 0.1})
