"""Clusters from proportions."""

from __future__ import annotations

from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest

import cytoripple as ct
from cytoripple._errors import ClusterError, InputError


@pytest.fixture
def spots() -> anndata.AnnData:
    """Ten spots of a, ten of b, five shared, two of c, one without proportions."""
    rows = [[0.8, 0.1, 0.1]] * 10 + [[0.2, 0.5, 0.3]] * 10 + [[0.35, 0.34, 0.31]] * 5 + [[0, 0, 1.0]] * 2
    rows.append([np.nan] * 3)
    names = [f"s{at}" for at in range(len(rows))]
    adata = anndata.AnnData(obs=pd.DataFrame(index=names))
    adata.obsm["deconvolution"] = pd.DataFrame(rows, index=names, columns=["a", "b", "c"])
    return adata


def test_clear_spots_get_their_type_and_all_others_are_mixed(spots: anndata.AnnData) -> None:
    assert ct.pp.dominant_types(spots, min_share=0.4, min_spots=5) is None
    found = spots.obs["dominant_type"]
    assert found.tolist() == ["a"] * 10 + ["b"] * 10 + ["mixed"] * 8
    assert list(found.cat.categories) == ["a", "b", "mixed"]
    assert spots.uns["dominant_type"]["n_spots"] == {"a": 10, "b": 10, "mixed": 8}
    ct.pp.dominant_types(spots, min_share=0.6, min_spots=1, key_added="strict")
    assert spots.obs["strict"].value_counts().to_dict() == {"mixed": 16, "a": 10, "c": 2}


def test_a_copy_leaves_the_spots_alone(spots: anndata.AnnData) -> None:
    found = ct.pp.dominant_types(spots, min_spots=5, copy=True)
    assert found is not None and "dominant_type" in found.obs
    assert not len(spots.obs.columns) and not spots.uns


def test_bad_input_is_named(spots: anndata.AnnData) -> None:
    with pytest.raises(InputError, match="nearest: 'deconvolution'"):
        ct.pp.dominant_types(spots, key="deconvolutoin")
    with pytest.raises(InputError, match="min_share is 40"):
        ct.pp.dominant_types(spots, min_share=40)
    with pytest.raises(ClusterError, match="no type has 20 spots"):
        ct.pp.dominant_types(spots)
    with pytest.raises(ClusterError, match="a type is called 'c'"):
        ct.pp.dominant_types(spots, mixed="c")
    spots.obsm["array"] = np.ones((28, 2))
    with pytest.raises(InputError, match="no data frame"):
        ct.pp.dominant_types(spots, key="array")


def test_deconvolved_spots_train_a_network(tmp_path: Path) -> None:
    """Cells of the toy tissue are their own reference; clusters come out of the deconvolution."""
    adata, network, _ = ct.datasets.toy_tissue(n_cells=300, n_genes=40, seed=0)
    adata.X = adata.layers["counts"]
    ct.tl.deconvolve(adata, adata.copy(), cell_type_key="cell_type")
    ct.pp.dominant_types(adata, min_share=0.5)
    run = ct.tl.train_grn(
        adata, network=network, run_dir=tmp_path / "run", cluster_key="dominant_type",
        targets=[str(adata.var_names[-1])],
    )  # fmt: skip
    assert set(run.cluster_labels) == set(adata.obs["dominant_type"].cat.categories)
