"""Choice of the most variable genes."""

from __future__ import annotations

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import cytoripple as ct
from cytoripple._errors import InputError, LayerError


@pytest.fixture
def tissue(rng: np.random.Generator) -> anndata.AnnData:
    """Genes whose spread is 3, 1, 0, 2, 1 times that of the second."""
    values = rng.normal(size=(50, 1)) * np.array([[3.0, 1.0, 0.0, 2.0, 1.0]]) + 5.0
    return anndata.AnnData(values, var=pd.DataFrame(index=list("abcde")))


def test_the_genes_that_vary_most_come_in_the_order_of_the_data(tissue: anndata.AnnData) -> None:
    assert ct.pp.most_variable_genes(tissue, 2) == ["a", "d"]
    assert ct.pp.most_variable_genes(tissue, 3) == ["a", "b", "d"]


def test_a_constant_gene_is_never_taken(tissue: anndata.AnnData) -> None:
    assert ct.pp.most_variable_genes(tissue, 99) == ["a", "b", "d", "e"]


def test_only_the_given_genes_are_candidates(tissue: anndata.AnnData) -> None:
    assert ct.pp.most_variable_genes(tissue, 2, among=["b", "d", "unknown"]) == ["b", "d"]
    assert ct.pp.most_variable_genes(tissue, 2, among=[]) == []


@pytest.mark.parametrize("form", [sparse.csr_matrix, sparse.csc_matrix])
def test_sparse_and_dense_choose_alike(rng: np.random.Generator, form: type[sparse.csr_matrix]) -> None:
    counts = rng.poisson(rng.gamma(1.0, 1.0, 40), (60, 40)).astype(np.float32)
    names = pd.DataFrame(index=[f"g{i}" for i in range(40)])
    dense = anndata.AnnData(counts, var=names)
    thin = anndata.AnnData(np.zeros_like(counts), var=names, layers={"counts": form(counts)})
    expected = ct.pp.most_variable_genes(dense, 10)
    assert ct.pp.most_variable_genes(thin, 10, layer="counts") == expected
    assert ct.pp.most_variable_genes(thin, 10) == []


def test_missing_layers_and_empty_wishes_are_named(tissue: anndata.AnnData) -> None:
    with pytest.raises(LayerError, match="no layer 'norm'"):
        ct.pp.most_variable_genes(tissue, 2, layer="norm")
    with pytest.raises(InputError, match="n is 0"):
        ct.pp.most_variable_genes(tissue, 0)
