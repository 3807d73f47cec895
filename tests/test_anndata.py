"""The border: what is accepted, and one clear error for everything else."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from cytoripple._anndata import cell_thresholds, looks_like_counts, read_tissue
from cytoripple._errors import ClusterError, CoordinatesError, GeneMatchError, InputError, LayerError
from cytoripple._names import find_genes, infer_species
from cytoripple._provenance import hash_tissue
from tests.conftest import real_file

GENES = ["Sox2", "Pax6", "Wnt5a", "Fzd1", "Actb"]


def tissue(n: int = 12) -> AnnData:
    """Build a small tissue that reads without complaint."""
    rng = np.random.default_rng(5)
    expression = np.log1p(rng.poisson(2.0, (n, len(GENES)))).astype(np.float64)
    obs = pd.DataFrame(
        {"cell_type": np.resize(["b", "a", "c"], n), "cluster": np.resize([0, 2, 5], n)},
        index=[f"c{i}" for i in range(n)],
    )
    adata = AnnData(expression.copy(), obs=obs, var=pd.DataFrame(index=GENES))
    adata.obsm["spatial"] = rng.uniform(0, 100, (n, 2))
    adata.layers["log"] = expression
    return adata


def read(adata: AnnData, **changes: object):
    return read_tissue(adata, **{"cluster_key": "cell_type", "layer": "log", **changes})


# --- what is accepted


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int32, np.uint8, np.int64, bool])
@pytest.mark.parametrize(
    "form", [np.asarray, np.asfortranarray, sparse.csr_matrix, sparse.csc_matrix, sparse.csr_array]
)
def test_every_form_and_dtype_gives_the_same_numbers(dtype: type, form: Callable) -> None:
    adata = tissue()
    whole = np.round(adata.layers["log"]).astype(dtype)
    adata.layers["whole"] = form(whole)
    result = read(adata, layer="whole")
    np.testing.assert_array_equal(result.columns(GENES), whole.astype(np.float64))
    assert result.expression.dtype == np.float64
    if sparse.issparse(adata.layers["whole"]):
        assert isinstance(result.expression, sparse.csr_matrix)
        assert result.expression.has_sorted_indices
    else:
        assert result.expression.flags.c_contiguous
    adata.layers["plain"] = whole.astype(np.float64)
    assert hash_tissue(result) == hash_tissue(read(adata, layer="plain"))


def test_unsorted_sparse_entries_are_sorted_and_repeated_ones_added_without_touching_the_input() -> None:
    adata = tissue(2)
    messy = sparse.csr_matrix(
        (np.array([1.0, 2.0, 4.0]), np.array([3, 1, 3]), np.array([0, 3, 3])), shape=(2, 5)
    )
    adata.layers["messy"] = messy
    result = read(adata, layer="messy")
    assert result.columns(GENES)[0].tolist() == [0.0, 2.0, 0.0, 5.0, 0.0]
    assert result.expression.indices.tolist() == [1, 3]
    assert adata.layers["messy"].indices.tolist() == [3, 1, 3]


def test_text_clusters_are_numbered_by_sorted_label() -> None:
    adata = tissue()
    for key in ("cell_type", "as_category"):
        adata.obs["as_category"] = pd.Categorical(
            adata.obs["cell_type"], categories=["c", "b", "a", "unused"]
        )
        result = read(adata, cluster_key=key)
        assert result.cluster_labels == ("a", "b", "c")
        assert result.clusters[:4].tolist() == [1, 0, 2, 1]
        assert result.clusters.dtype == np.int64


@pytest.mark.parametrize("kind", ["int64", "float32", "uint8", "category", "Int64", "object"])
def test_whole_numbers_keep_their_values_and_name_the_empty_ids(kind: str) -> None:
    adata = tissue()
    adata.obs["ids"] = adata.obs["cluster"].astype(kind)
    result = read(adata, cluster_key="ids")
    assert result.clusters[:3].tolist() == [0, 2, 5]
    assert result.cluster_labels == ("0", "1", "2", "3", "4", "5")


def test_clusters_get_the_majority_label_and_ties_the_first_in_order() -> None:
    adata = tissue(6)
    adata.obs["cluster"] = [0, 0, 0, 1, 1, 2]
    adata.obs["cell_type"] = ["z", "z", "a", "y", "x", None]
    assert read(adata, cluster_key="cluster").cell_types == {0: "z", 1: "x"}
    del adata.obs["cell_type"]
    assert read(adata, cluster_key="cluster").cell_types == {}
    adata.obs["CELL_Type"] = [" ", "q", "", "x", "x", "r"]
    assert read(adata, cluster_key="cluster").cell_types == {0: "q", 1: "x", 2: "r"}


def test_sections_are_numbered_and_named() -> None:
    adata = tissue(4)
    adata.obs["section"] = ["L2", "L1", "L2", "L1"]
    result = read(adata, sample_key="section")
    assert result.samples is not None
    assert result.samples.tolist() == [1, 0, 1, 0]
    assert result.sample_labels == ("L1", "L2")
    assert read(adata).samples is None
    assert read(adata).sample_labels == ()


def test_coordinates_are_found_under_the_usual_keys() -> None:
    adata = tissue()
    xy = adata.obsm["spatial"]
    adata.obsm["spatial_loc"] = pd.DataFrame(xy.astype(np.float32), index=adata.obs_names)
    del adata.obsm["spatial"]
    adata.obsm["X_spatial"] = np.zeros((12, 1))  # too few columns: passed over
    result = read(adata)
    assert result.spatial_key == "spatial_loc"
    np.testing.assert_allclose(result.xy, xy, rtol=1e-6)
    assert result.xy.dtype == np.float64


def test_three_columns_are_used_only_when_asked_for() -> None:
    adata = tissue()
    adata.obsm["spatial"] = np.arange(36.0).reshape(12, 3)
    assert read(adata).xy.shape == (12, 2)
    assert read(adata, spatial_dims=3).xy.shape == (12, 3)
    adata.obsm["spatial"] = np.zeros((12, 4))
    with pytest.raises(CoordinatesError, match=r"4 columns, expected exactly 3"):
        read(adata, spatial_dims=3)


@pytest.mark.parametrize("layer", ["X", ""])
def test_x_is_a_layer_called_x(layer: str) -> None:
    adata = tissue()
    adata.X = adata.X * 2
    result = read(adata, layer=layer)
    assert result.layer == "X"
    np.testing.assert_array_equal(result.column("Pax6"), 2 * adata.layers["log"][:, 1])


def test_negative_dust_of_smoothed_layers_is_let_through() -> None:
    adata = tissue()
    adata.layers["log"][0, 0] = -1e-9
    assert read(adata).expression[0, 0] == -1e-9


def test_reading_changes_nothing() -> None:
    adata = tissue()
    adata.obs["cell_type"] = adata.obs["cell_type"].astype("category")
    before = adata.copy()
    read(adata)
    np.testing.assert_array_equal(adata.layers["log"], before.layers["log"])
    pd.testing.assert_frame_equal(adata.obs, before.obs)
    assert list(adata.uns) == list(before.uns)


# --- one clear error each


def _no_spatial(adata: AnnData) -> None:
    del adata.obsm["spatial"]


def _nan_spatial(adata: AnnData) -> None:
    adata.obsm["spatial"][3, 1] = np.nan


def _infinite_spatial(adata: AnnData) -> None:
    adata.obsm["spatial"][[3, 4], 0] = np.inf


def _nan_layer(adata: AnnData) -> None:
    adata.layers["log"][2, 2] = np.nan


def _infinite_sparse_layer(adata: AnnData) -> None:
    adata.layers["log"][2, 2] = np.inf
    adata.layers["log"] = sparse.csc_matrix(adata.layers["log"])


def _negative(adata: AnnData) -> None:
    adata.layers["log"] = adata.layers["log"] - 1.0


def _negative_count(adata: AnnData) -> None:
    adata.layers["log"] = np.round(adata.layers["log"]) * 1e8
    adata.layers["log"][0, 0] = -1


def _text_layer(adata: AnnData) -> None:
    adata.layers["log"] = adata.layers["log"].astype(complex)


def _missing_label(adata: AnnData) -> None:
    adata.obs["cell_type"] = adata.obs["cell_type"].astype("category")
    adata.obs.loc["c4", "cell_type"] = np.nan


def _blank_label(adata: AnnData) -> None:
    adata.obs.loc["c4", "cell_type"] = "  "


def _with_ids(ids: object) -> Callable[[AnnData], None]:
    def change(adata: AnnData) -> None:
        adata.obs["cell_type"] = np.resize(np.asarray(ids), adata.n_obs)

    return change


BAD = [
    (_no_spatial, CoordinatesError, r"no coordinates under one of .*keys: none.*adata.obsm\['spatial'\] ="),
    (_nan_spatial, CoordinatesError, "NaN or infinite for 1 of 12 cells, the first is 'c3'"),
    (_infinite_spatial, CoordinatesError, "NaN or infinite for 2 of 12 cells, the first is 'c3'"),
    (_nan_layer, LayerError, r"adata.layers\['log'\] holds 1 values that are NaN or infinite"),
    (_infinite_sparse_layer, LayerError, "holds 1 values that are NaN or infinite"),
    (_negative, LayerError, "negative values .*layer='counts'"),
    (_negative_count, LayerError, "holds 1 negative values"),
    (_text_layer, LayerError, "has dtype complex128, expected real numbers"),
    (_missing_label, ClusterError, "no value for 1 of 12 cells, the first is 'c4'.*notna"),
    (_blank_label, ClusterError, "no value for 1 of 12 cells, the first is 'c4'"),
    (_with_ids([0.0, np.nan]), ClusterError, "no value for 6 of 12 cells"),
    (_with_ids([0, -1]), ClusterError, "holds 6 values such as -1, expected labels or whole numbers"),
    (_with_ids([0.5, 1.0]), ClusterError, "holds 6 values such as 0.5"),
    (_with_ids([1, 10**9]), ClusterError, "holds 6 values such as 1e"),
]


@pytest.mark.parametrize(("change", "error", "sentence"), BAD)
def test_values_that_cannot_be_used_end_with_one_sentence(
    change: Callable[[AnnData], None], error: type[Exception], sentence: str
) -> None:
    adata = tissue()
    change(adata)
    with pytest.raises(error, match=sentence) as caught:
        read(adata)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, ValueError)


def test_a_missing_layer_lists_at_most_twenty_others() -> None:
    adata = tissue()
    for i in range(30):
        adata.layers[f"layer_{i:02d}"] = adata.X
    with pytest.raises(LayerError, match=r"adata has no layer 'lug'; nearest: 'log'") as caught:
        read(adata, layer="lug")
    assert str(caught.value).count("'layer_") == 19
    with pytest.raises(LayerError, match=r"Make it: ct.pp.normalize\(adata\), then ct.pp.impute"):
        read(adata, layer="imputed_count")
    adata.X = None
    with pytest.raises(LayerError, match=r"adata.X is empty: .*layer='log'"):
        read(adata, layer="X")


def test_a_missing_column_lists_at_most_twenty_five_others() -> None:
    adata = tissue()
    for i in range(30):
        adata.obs[f"column_{i:02d}"] = 1
    with pytest.raises(
        ClusterError, match=r"no column 'cel_type'; nearest: 'cell_type'.*cluster_key='cell_type'"
    ) as caught:
        read(adata, cluster_key="cel_type")
    assert str(caught.value).count("'column_") == 23
    with pytest.raises(InputError, match=r"no column 'slide'.*sample_key="):
        read(adata, sample_key="slide")


def test_a_section_without_a_name_is_an_error() -> None:
    adata = tissue()
    adata.obs["section"] = ["a"] * 11 + [None]
    with pytest.raises(InputError, match=r"obs\['section'\] has no value for 1 of 12 cells"):
        read(adata, sample_key="section")


def test_a_wrong_spatial_key_offers_the_nearest() -> None:
    with pytest.raises(CoordinatesError, match=r"'spatal'; nearest: 'spatial'; keys: 'spatial'"):
        read(tissue(), spatial_key="spatal")


@pytest.mark.parametrize("axis", ["obs", "var"])
def test_repeated_names_are_refused_with_the_line_that_repairs_them(axis: str) -> None:
    adata = tissue()
    names = list(getattr(adata, f"{axis}_names"))
    names[1] = names[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        setattr(adata, f"{axis}_names", names)
    with pytest.raises(
        InputError, match=rf"1 (cell|gene) names occur more than once.*adata.{axis}_names_make_unique"
    ):
        read(adata)


@pytest.mark.parametrize("part", [(slice(0), slice(None)), (slice(None), slice(0))])
def test_data_without_cells_or_genes_is_refused(part: tuple[slice, slice]) -> None:
    with pytest.raises(InputError, match=r"expected at least one of each"):
        read(tissue()[part].copy())


def test_an_unknown_gene_offers_the_nearest() -> None:
    result = read(tissue())
    with pytest.raises(
        GeneMatchError, match=r"1 of 2 genes are not among the 5 genes of the data: 'SOX2' \(nearest: 'Sox2'"
    ):
        result.columns(["Actb", "SOX2"])


# --- counts, masks, hashes, names


def test_counts_that_were_never_normalized_are_said(caplog: pytest.LogCaptureFixture) -> None:
    adata = tissue()
    adata.layers["raw"] = np.round(adata.layers["log"] * 10)
    with caplog.at_level(logging.WARNING):
        read(adata)
        assert not caplog.records
        read(adata, layer="raw")
    assert "ct.pp.normalize(adata)" in caplog.text
    assert len(caplog.records) == 1


def test_counts_are_told_from_logarithms_and_binary_values() -> None:
    assert looks_like_counts(np.array([[0.0, 3.0], [30.0, 1.0]]))
    assert looks_like_counts(sparse.csc_matrix(np.array([[0, 3], [30, 1]], dtype=np.uint16)))
    assert not looks_like_counts(np.array([[0.0, 0.69], [3.0, 1.1]]))
    assert not looks_like_counts(np.eye(3))
    assert not looks_like_counts(np.zeros((0, 3)))


def test_thresholds_become_a_mask_over_all_cells_and_genes() -> None:
    adata = tissue(3)
    result = read(adata)
    table = pd.DataFrame(
        [[0.0, 2.0], [0.1, 0.0], [1.0, 1.0]], index=["c2", "c1", "c0"], columns=["Actb", "Sox2"]
    )
    trained = cell_thresholds(table, result, absent=False)
    simulated = cell_thresholds(table, result, absent=True)
    assert trained is not None
    assert simulated is not None
    assert trained[:, 4].tolist() == [True, True, False]
    assert trained[:, 0].tolist() == [True, False, True]
    assert not trained[:, 1:4].any()
    assert simulated[:, 1:4].all()
    np.testing.assert_array_equal(trained[:, [0, 4]], simulated[:, [0, 4]])
    assert cell_thresholds(adata, result, absent=False) is None
    adata.uns["cell_thresholds"] = table
    np.testing.assert_array_equal(cell_thresholds(adata, result, absent=False), trained)
    with pytest.raises(InputError, match=r"lacks, or repeats, some of the 3 cells"):
        cell_thresholds(table.iloc[:2], result, absent=False)
    with pytest.raises(InputError, match=r"1 NaN values"):
        cell_thresholds(table.replace(0.1, np.nan), result, absent=False)
    adata.uns["cell_thresholds"] = {"a": 1}
    with pytest.raises(InputError, match=r"is a dict, expected a data frame"):
        cell_thresholds(adata, result, absent=False)


def test_the_hash_sees_every_kind_of_change() -> None:
    def changed(change: Callable[[AnnData], None], **keys: object) -> str:
        adata = tissue()
        adata.obs["section"] = ["a", "b"] * 6
        change(adata)
        return hash_tissue(read(adata, **keys))

    def rename(adata: AnnData) -> None:
        adata.var_names = [*GENES[:-1], "Gapdh"]

    def shift(adata: AnnData) -> None:
        adata.obsm["spatial"][0, 0] += 1e-9

    def recluster(adata: AnnData) -> None:
        adata.obs["cell_type"] = np.resize(["b", "a"], 12)

    def express(adata: AnnData) -> None:
        adata.layers["log"][11, 4] += 0.5

    hashes = [changed(change) for change in (rename, shift, recluster, express)]
    hashes += [changed(lambda adata: None), changed(lambda adata: None, sample_key="section")]
    assert len(set(hashes)) == 6
    assert changed(lambda adata: None) == hashes[4]


def test_the_hash_is_the_same_on_every_machine() -> None:
    adata = tissue(4)
    adata.layers["log"] = np.arange(20.0).reshape(4, 5) / 8
    adata.obsm["spatial"] = np.arange(8.0).reshape(4, 2)
    assert hash_tissue(read(adata)) == "3d7a739dca98f374539772750e2ee52a79b91ecd5677219b61d7f551787d0a34"


@settings(max_examples=50)
@given(st.lists(st.text(alphabet="aAbB1-", max_size=4)))
def test_species_follows_the_case_of_all_names(names: list[str]) -> None:
    mouse = sum(len(n) > 1 and n[0].isupper() and n[1:] == n[1:].lower() for n in names)
    human = sum(n == n.upper() and n != n.lower() for n in names)
    assert infer_species(names) == ("mouse" if mouse > human else "human")


def test_genes_are_found_in_the_order_asked_for() -> None:
    assert find_genes(["Actb", "Sox2", "Actb"], GENES).tolist() == [4, 0, 4]
    with pytest.raises(GeneMatchError, match=r"7 of 7 perturbed genes .* and 2 more"):
        find_genes([f"none{i}" for i in range(7)], GENES, what="perturbed genes")


# --- real tissues


def test_real_tissues_read_with_their_sections_and_three_dimensions() -> None:
    from cytoripple import io

    prostate = io.read(real_file("prostate_visium.h5ad"))
    prostate.obs["all"] = "spot"
    result = read_tissue(prostate, cluster_key="all", layer="X", sample_key="section")
    assert result.sample_labels == ("CP", "NP")
    assert infer_species(result.var_names) == "human"
    starmap = io.read(real_file("starmap_3d.h5ad"))
    starmap.obs["all"] = "cell"
    assert read_tissue(starmap, cluster_key="all", layer="X", spatial_dims=3).xy.shape == (4000, 3)
    osmfish = io.read(real_file("osmfish_cortex.h5ad"))
    cortex = read_tissue(osmfish, cluster_key="cell_type", layer="")
    assert len(cortex.cluster_labels) == 31
    assert cortex.cell_types[3] == cortex.cluster_labels[3]
    assert infer_species(cortex.var_names) == "mouse"
