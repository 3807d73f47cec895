"""Numbers of clusters."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from cytoripple import io, pp
from cytoripple._errors import ClusterError
from tests.conftest import real_file


def test_text_becomes_its_place_in_the_sorted_labels(tmp_path: Path) -> None:
    obs = pd.DataFrame({"kind": ["T cell", "B cell", "tumor", "T cell"]}, index=list("abcd"))
    adata = AnnData(np.zeros((4, 1), dtype=np.float32), obs=obs)
    assert pp.encode_clusters(adata, cluster_key="kind") is None
    assert adata.obs["cell_type_int"].tolist() == [1, 0, 2, 1]
    assert adata.obs["cell_type_int"].dtype == np.int64
    adata.write_h5ad(tmp_path / "a.h5ad")
    assert list(io.read(tmp_path / "a.h5ad").uns["cell_type_int"]["labels"]) == ["B cell", "T cell", "tumor"]


def test_a_copy_leaves_the_original_alone_and_numbers_stay() -> None:
    obs = pd.DataFrame({"leiden": [3, 0, 3]}, index=list("abc"))
    adata = AnnData(np.zeros((3, 1), dtype=np.float32), obs=obs)
    changed = pp.encode_clusters(adata, cluster_key="leiden", copy=True)
    assert changed is not None
    assert changed.obs["cell_type_int"].tolist() == [3, 0, 3]
    assert list(adata.obs) == ["leiden"]


def test_labels_that_cannot_be_numbered_are_refused() -> None:
    obs = pd.DataFrame({"kind": ["a", None], "share": [0.5, 1.0]}, index=list("ab"))
    adata = AnnData(np.zeros((2, 1), dtype=np.float32), obs=obs)
    for key, sentence in (
        ("kind", "no value for 1 of 2"),
        ("share", "such as 0.5"),
        ("kin", "nearest: 'kind'"),
    ):
        with pytest.raises(ClusterError, match=sentence):
            pp.encode_clusters(adata, cluster_key=key)
    with pytest.raises(ClusterError, match="give another name"):
        pp.encode_clusters(adata, cluster_key="kind", key_added="kind")
    assert list(adata.obs) == ["kind", "share"]


def test_real_labels_are_numbered_as_sorted() -> None:
    adata = io.read(real_file("mob.h5ad"))
    pp.encode_clusters(adata, cluster_key="cell_type")
    labels = sorted(adata.obs["cell_type"].astype(str).unique())
    assert [labels[i] for i in adata.obs["cell_type_int"]] == adata.obs["cell_type"].astype(str).tolist()
