"""Counts are told from logarithms, and normalization may be repeated."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

import cytoripple as ct
from cytoripple._errors import InputError, LayerError
from cytoripple.vc.guard import expression_state, normalize, normalize_adata, require_lognorm


@pytest.fixture(scope="module")
def screen():
    return ct.datasets.simulate_screen(80, 4, 20, 90, seed=3)


FORMS = {
    "dense": lambda x: x.toarray(),
    "csr": sparse.csr_matrix,
    "csc": sparse.csc_matrix,
    "array": sparse.csr_array,
}


@pytest.mark.parametrize("form", FORMS)
def test_states_are_told_apart_in_every_form(screen, form):
    make = FORMS[form]
    counts, lognorm = screen.adata.X, screen.adata.layers["lognorm"]
    assert expression_state(make(counts)) == "counts"
    assert expression_state(make(lognorm)) == "lognorm"
    assert expression_state(make(lognorm.expm1())) == "norm_unlogged"
    centered = lognorm.toarray() - 0.5
    assert expression_state(make(sparse.csr_matrix(centered))) == "scaled"


def test_memory_mapped_input(screen, tmp_path):
    values = screen.adata.layers["lognorm"].toarray()
    np.save(tmp_path / "x.npy", values)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert expression_state(mapped) == "lognorm"
    assert expression_state(np.expm1(mapped)) == "norm_unlogged"


def test_a_record_in_uns_is_not_believed(screen):
    """The values decide, not what someone wrote about them."""
    adata = screen.adata.copy()
    adata.uns["log1p"] = {"base": None}
    assert normalize_adata(adata).state == "counts"
    np.testing.assert_allclose(adata.X.toarray(), adata.layers["lognorm"].toarray(), rtol=1e-6)
    assert adata.uns["cytoripple"] == {"norm": "log1p_cp", "target_sum": 10000.0}


@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize("other", ["counts", "plain"])
def test_mixed_rows_are_refused(screen, shuffled, other):
    lognorm = screen.adata.layers["lognorm"].toarray()
    part = screen.adata.X.toarray() if other == "counts" else np.expm1(lognorm)
    joined = np.vstack([lognorm, part[:40]])
    if shuffled:
        joined = joined[np.random.default_rng(0).permutation(len(joined))]
    with pytest.raises(LayerError, match="before joining"):
        expression_state(joined)


def test_constant_predictions_are_not_mistaken_for_counts():
    """Zeros and one repeated whole number are no counts to be normalized again."""
    assert expression_state(np.zeros((5, 4))) == "counts"
    require_lognorm(np.zeros((5, 4)))
    require_lognorm(np.full((5, 4), 2.0))
    with pytest.raises(LayerError, match="holds counts"):
        require_lognorm(np.array([[1.0, 3.0], [0.0, 2.0]]))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_no_numbers(screen, bad):
    values = screen.adata.layers["lognorm"].toarray()
    values[7, 3] = bad
    for form in (values, sparse.csr_matrix(values)):
        with pytest.raises(LayerError, match="1 values that are NaN or infinite"):
            expression_state(form)


def test_text_and_empty_matrices_are_refused():
    with pytest.raises(LayerError, match="dtype"):
        expression_state(np.array([["a"]]))
    with pytest.raises(LayerError, match="shape"):
        expression_state(np.zeros((0, 3)))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), target=st.sampled_from([1e4, 5e3, 1e6]))
def test_normalization_is_idempotent_and_scale_free(seed, target):
    rng = np.random.default_rng(seed)
    counts = rng.poisson(rng.gamma(1.0, 2.0, (30, 40)))
    counts[3] = 0
    once = normalize(counts, target)
    assert once.dtype == np.float32
    assert not once[3].any()
    assert normalize(once, target) is once
    np.testing.assert_allclose(np.expm1(np.delete(once, 3, 0).astype(float)).sum(1), target, rtol=1e-5)
    other = normalize(normalize(counts, 2 * target), target)
    np.testing.assert_allclose(other, once, rtol=1e-5, atol=1e-6)
    unlogged = counts * (target / 3 / np.maximum(counts.sum(1, keepdims=True), 1))
    np.testing.assert_allclose(normalize(unlogged, target), once, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(normalize(sparse.csr_matrix(counts), target).toarray(), once)


def test_a_choice_of_genes_keeps_its_scale(screen, caplog):
    part = screen.adata.layers["lognorm"][:, :30]
    with caplog.at_level("WARNING"):
        assert normalize(part) is part
    assert "choice of genes" in caplog.text


def test_scaled_values_cannot_be_undone(screen):
    with pytest.raises(LayerError, match="before scaling"):
        normalize(screen.adata.layers["lognorm"].toarray() - 1)
    with pytest.raises(LayerError, match="before scaling"):
        require_lognorm(screen.adata.layers["lognorm"].toarray() - 1)


def test_wrong_arguments(screen):
    with pytest.raises(LayerError, match="no layer 'raw'"):
        normalize_adata(screen.adata.copy(), layer="raw")
    with pytest.raises(InputError, match="target_sum"):
        normalize(screen.adata.X, -1)
