"""Imputation: the formula, the borders of clusters and sections, small groups, storage."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from cytoripple import io, pp
from cytoripple._errors import ClusterError, InputError, LayerError
from cytoripple.pp._smoothing import principal_components, smooth
from tests.conftest import real_file
from tests.oracles.neighbors import diffuse, nearest


@pytest.fixture
def adata(rng: np.random.Generator) -> AnnData:
    kinds = np.resize(["a", "b", "b"], 90)
    level = rng.gamma(2.0, 1.0, (2, 20))
    expression = np.log1p(rng.gamma(2.0, level[(kinds == "b").astype(int)]) * (rng.random((90, 20)) < 0.8))
    adata = AnnData(
        np.zeros((90, 20), dtype=np.float32),
        obs=pd.DataFrame({"kind": kinds, "section": np.repeat(["s1", "s2"], 45)}, index=map(str, range(90))),
    )
    adata.layers["normalized_count"] = expression
    return adata


def test_diffusion_is_the_published_formula_in_every_cluster(adata: AnnData) -> None:
    assert pp.impute(adata, cluster_key="kind") is None
    result = adata.layers["imputed_count"]
    assert result.dtype == np.float32
    for kind in "ab":
        cells = (adata.obs["kind"] == kind).to_numpy()
        np.testing.assert_allclose(
            result[cells], diffuse(adata.layers["normalized_count"][cells]), rtol=1e-5, atol=1e-6
        )


def test_knn_is_the_mean_over_the_cell_and_its_nearest(adata: AnnData) -> None:
    pp.impute(adata, cluster_key="kind", method="knn", n_neighbors=4)
    cells = np.flatnonzero(adata.obs["kind"] == "a")
    expression = adata.layers["normalized_count"][cells]
    near, _ = nearest(principal_components(expression, 100, 0), 4)
    expected = (expression + expression[near].sum(axis=1)) / 5
    np.testing.assert_allclose(adata.layers["imputed_count"][cells], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("method", ["diffusion", "knn"])
@pytest.mark.parametrize("keys", [{}, {"sample_key": "section"}])
def test_a_group_does_not_see_the_others(adata: AnnData, method: str, keys: dict[str, str]) -> None:
    arguments = {"cluster_key": "kind", "method": method, "n_neighbors": 5, **keys}
    pp.impute(adata, **arguments)
    before = adata.layers["imputed_count"].copy()
    inside = (adata.obs["kind"] == "a").to_numpy()
    if keys:
        inside &= (adata.obs["section"] == "s1").to_numpy()
    adata.layers["normalized_count"][~inside] *= 3.0
    pp.impute(adata, **arguments)
    np.testing.assert_array_equal(adata.layers["imputed_count"][inside], before[inside])
    assert not np.array_equal(adata.layers["imputed_count"][~inside], before[~inside])


@pytest.mark.parametrize("form", [sparse.csr_matrix, sparse.csc_matrix, np.float32])
@pytest.mark.parametrize("whole", [False, True])
def test_sparse_and_dense_layers_give_the_same(adata: AnnData, form: type, whole: bool) -> None:
    """With whole numbers many distances are equal, and their order must not hang on rounding."""
    if whole:
        adata.layers["normalized_count"] = np.log1p(
            np.round(adata.layers["normalized_count"]), dtype=np.float32
        )
    pp.impute(adata, cluster_key="kind", key_added="dense")
    adata.layers["packed"] = form(adata.layers["normalized_count"])
    pp.impute(adata, cluster_key="kind", layer="packed")
    np.testing.assert_allclose(adata.layers["imputed_count"], adata.layers["dense"], rtol=1e-4, atol=1e-5)


def test_the_result_does_not_depend_on_threads_or_repetition(adata: AnnData) -> None:
    for key, threads in (("one", 1), ("two", 2), ("three", 2)):
        pp.impute(adata, cluster_key="kind", key_added=key, threads=threads)
    np.testing.assert_array_equal(adata.layers["one"], adata.layers["two"])
    np.testing.assert_array_equal(adata.layers["two"], adata.layers["three"])


def test_averages_stay_between_the_extremes_and_keep_what_is_constant(adata: AnnData) -> None:
    adata.layers["normalized_count"][:, 3] = 1.25
    pp.impute(adata, cluster_key="kind")
    result = adata.layers["imputed_count"]
    np.testing.assert_allclose(result[:, 3], 1.25, rtol=1e-6)
    assert result.min() >= 0
    assert (result.max(axis=0) <= adata.layers["normalized_count"].max(axis=0) + 1e-6).all()
    assert result.var(axis=0).sum() < adata.layers["normalized_count"].var(axis=0).sum()


def test_copies_of_one_cell_keep_their_values(adata: AnnData) -> None:
    adata.layers["normalized_count"][:] = adata.layers["normalized_count"][0]
    pp.impute(adata, cluster_key="kind")
    np.testing.assert_allclose(adata.layers["imputed_count"], adata.layers["normalized_count"], rtol=1e-6)


def test_small_clusters_keep_their_values_and_are_named(
    adata: AnnData, caplog: pytest.LogCaptureFixture
) -> None:
    adata.obs["kind"] = ["rare"] * 5 + ["lone"] + ["many"] * 84
    with caplog.at_level(logging.INFO):
        pp.impute(adata, cluster_key="kind")
    np.testing.assert_array_equal(
        adata.layers["imputed_count"][:6], adata.layers["normalized_count"][:6].astype(np.float32)
    )
    assert not np.allclose(adata.layers["imputed_count"][6:], adata.layers["normalized_count"][6:])
    assert "too small and unchanged: lone (1 cells), rare (5 cells)" in caplog.text
    assert len(caplog.records) == 1


def test_what_was_done_survives_a_file(adata: AnnData, tmp_path: Path) -> None:
    changed = pp.impute(adata, cluster_key="kind", sample_key="section", copy=True)
    assert changed is not None
    assert "imputed_count" not in adata.layers
    changed.write_h5ad(tmp_path / "a.h5ad")
    used = io.read(tmp_path / "a.h5ad").uns["imputed_count"]["parameters"]
    assert used["method"] == "diffusion"
    assert used["n_neighbors"] == 5
    assert used["sample_key"] == "section"


@pytest.mark.parametrize("n_components", [3, 12])
def test_fewer_components_than_genes(adata: AnnData, n_components: int) -> None:
    pp.impute(adata, cluster_key="kind", n_components=n_components)
    cells = (adata.obs["kind"] == "b").to_numpy()
    expected = diffuse(adata.layers["normalized_count"][cells], n_components=n_components)
    np.testing.assert_allclose(adata.layers["imputed_count"][cells], expected, rtol=1e-5, atol=1e-6)


def test_components_of_a_large_matrix_agree_with_the_full_decomposition(rng: np.random.Generator) -> None:
    low = rng.normal(size=(400, 5)) @ rng.normal(size=(5, 300)) * 3
    expression = np.maximum(low + rng.normal(size=(400, 300)), 0)
    expression = expression.astype(np.float32)
    scores = principal_components(sparse.csr_matrix(expression), 10, seed=3)
    left, lengths, _ = np.linalg.svd(expression - expression.mean(axis=0), full_matrices=False)
    exact = left[:, :5] * lengths[:5]
    np.testing.assert_allclose(np.abs(scores[:, :5]), np.abs(exact), rtol=1e-3, atol=1e-2)
    assert scores.shape == (400, 10)
    assert principal_components(expression[:4], 10, seed=3).shape == (4, 3)


def test_many_genes_are_smoothed_block_by_block(rng: np.random.Generator) -> None:
    """More entries than one block holds: every gene must still come out."""
    expression = sparse.random(3000, 3000, density=0.01, format="csr", random_state=1)
    weights = sparse.identity(3000, format="csr") * 0.5
    out = np.full((3000, 3000), np.nan, dtype=np.float32)
    smooth(weights, expression, 2, out, np.arange(3000))
    np.testing.assert_allclose(out, 0.25 * expression.toarray(), rtol=1e-6)


def test_bad_input_is_refused_before_any_work(adata: AnnData) -> None:
    cases = [
        ({"layer": "lost"}, LayerError, "no layer 'lost'"),
        ({"cluster_key": "lost"}, ClusterError, "no column 'lost'"),
        ({"sample_key": "lost"}, InputError, "no column 'lost'"),
        ({"method": "magic"}, InputError, "give method='diffusion' or method='knn'"),
        ({"n_neighbors": 0}, InputError, "n_neighbors is 0"),
        ({"diffusion_time": 1.5}, InputError, "diffusion_time is 1.5"),
        ({"n_components": -1}, InputError, "n_components is -1"),
        ({"key_added": "normalized_count"}, InputError, "the layer to smooth"),
    ]
    for changes, error, sentence in cases:
        with pytest.raises(error, match=sentence):
            pp.impute(adata, **{"cluster_key": "kind", **changes})
    adata.layers["normalized_count"][0, 0] = np.nan
    with pytest.raises(LayerError, match="NaN"):
        pp.impute(adata, cluster_key="kind")
    assert list(adata.layers) == ["normalized_count"]


def test_raw_counts_are_said(adata: AnnData, caplog: pytest.LogCaptureFixture) -> None:
    adata.layers["counts"] = np.round(np.expm1(adata.layers["normalized_count"]))
    pp.impute(adata, cluster_key="kind", layer="counts")
    assert "holds raw counts: normalize first, ct.pp.normalize(adata)" in caplog.text


def test_a_real_tissue_gets_smoother_inside_its_layers() -> None:
    mob = io.read(real_file("mob.h5ad"))
    mob = mob[:, np.asarray(mob.X.sum(axis=0)).ravel() > 2000].copy()
    pp.normalize(mob)
    pp.impute(mob, cluster_key="cell_type")
    raw, smoothed = mob.layers["normalized_count"].toarray(), mob.layers["imputed_count"]
    assert np.isfinite(smoothed).all()
    assert smoothed.var(axis=0).mean() < raw.var(axis=0).mean()
    assert np.corrcoef(smoothed.mean(axis=0), raw.mean(axis=0))[0, 1] > 0.99


def test_a_large_cluster_without_any_variation_keeps_its_values() -> None:
    """More genes and cells than the small decomposition takes, and nothing to decompose."""
    adata = AnnData(
        np.zeros((200, 150), dtype=np.float32),
        obs=pd.DataFrame({"k": ["a"] * 200}, index=map(str, range(200))),
    )
    adata.layers["normalized_count"] = np.tile(np.linspace(0, 3, 150, dtype=np.float32), (200, 1))
    pp.impute(adata, cluster_key="k")
    np.testing.assert_allclose(adata.layers["imputed_count"], adata.layers["normalized_count"], rtol=1e-5)
