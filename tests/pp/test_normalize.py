"""Normalization: the formula, the forms, and what is refused."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from anndata import AnnData
from scipy import sparse

from cytoripple import io, pp
from cytoripple._errors import InputError, LayerError
from tests.conftest import real_file


@pytest.fixture
def counts(rng: np.random.Generator) -> np.ndarray:
    counts = rng.poisson(2.0, (30, 9))
    counts[4] = 0
    return counts


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64, np.uint16])
@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix, sparse.csc_matrix, sparse.csr_array])
def test_every_cell_is_scaled_to_the_sum_and_logged(counts: np.ndarray, dtype: type, form: type) -> None:
    adata = AnnData(form(counts.astype(dtype)))
    before = adata.X.copy()
    assert pp.normalize(adata, target_sum=300.0) is None
    result = adata.layers["normalized_count"]
    assert result.dtype == np.float32
    assert sparse.issparse(result) == sparse.issparse(before)
    dense = result.toarray() if sparse.issparse(result) else result
    expected = np.log1p(300 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1))
    np.testing.assert_allclose(dense, expected, rtol=1e-6)
    assert type(adata.X) is type(before)
    assert (before != adata.X).sum() == 0


def test_the_same_counts_in_another_form_give_the_same_bits(counts: np.ndarray) -> None:
    dense, packed = AnnData(counts.astype(np.float32)), AnnData(sparse.csc_matrix(counts))
    pp.normalize(dense)
    pp.normalize(packed)
    np.testing.assert_array_equal(
        dense.layers["normalized_count"], packed.layers["normalized_count"].toarray()
    )


def test_what_was_done_is_written_and_said(
    counts: np.ndarray, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    adata = AnnData(counts.astype(np.float32))
    with caplog.at_level(logging.INFO):
        pp.normalize(adata)
    assert len(caplog.records) == 1
    assert "1 cells have no counts" in caplog.text
    assert adata.uns["normalized_count"]["parameters"] == {"layer": "X", "target_sum": 1e4}
    pp.normalize(adata)
    assert "replacing it" in caplog.text or not caplog.text.count("replacing")
    adata.write_h5ad(tmp_path / "a.h5ad")
    assert io.read(tmp_path / "a.h5ad").uns["normalized_count"]["function"] == "cytoripple.pp.normalize"


def test_a_copy_leaves_the_original_alone(counts: np.ndarray) -> None:
    adata = AnnData(counts.astype(np.float32))
    changed = pp.normalize(adata, copy=True, key_added="log")
    assert changed is not None
    assert "log" in changed.layers
    assert not adata.layers
    assert not adata.uns


def test_normalized_data_is_refused_and_the_counts_are_pointed_at(counts: np.ndarray) -> None:
    adata = AnnData(counts.astype(np.float32))
    pp.normalize(adata)
    adata.layers["umis"] = counts
    with pytest.raises(LayerError, match=r"already log-normalized .* give layer='umis'"):
        pp.normalize(adata, layer="normalized_count", key_added="again")
    adata.X = adata.layers["normalized_count"]
    with pytest.raises(LayerError, match=r"adata.X is already log-normalized"):
        pp.normalize(adata)
    assert "again" not in adata.layers


@pytest.mark.parametrize(
    ("value", "sentence"),
    [(np.nan, "NaN or infinite"), (np.inf, "NaN or infinite"), (-1.0, "1 negative values")],
)
def test_values_that_are_no_counts_are_refused(counts: np.ndarray, value: float, sentence: str) -> None:
    bad = counts.astype(np.float64)
    bad[0, 0] = value
    for form in (bad, sparse.csr_matrix(bad)):
        adata = AnnData(form)
        with pytest.raises(LayerError, match=sentence):
            pp.normalize(adata)
        assert not adata.layers


@pytest.mark.parametrize("target_sum", [0.0, -1.0, np.nan, np.inf])
def test_the_sum_must_be_positive(counts: np.ndarray, target_sum: float) -> None:
    with pytest.raises(InputError, match=r"target_sum is"):
        pp.normalize(AnnData(counts.astype(np.float32)), target_sum=target_sum)


def test_real_tissues_are_told_apart() -> None:
    with pytest.raises(LayerError, match=r"already log-normalized"):
        pp.normalize(io.read(real_file("visium_mini_graph.h5ad")))
    mob = io.read(real_file("mob.h5ad"))
    pp.normalize(mob)
    sums = np.expm1(mob.layers["normalized_count"].astype(np.float64)).sum(axis=1)
    np.testing.assert_allclose(np.asarray(sums).ravel(), 1e4, rtol=1e-5)
