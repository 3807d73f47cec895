"""Deconvolution of AnnData objects."""

from __future__ import annotations

import warnings
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest

import cytoripple as ct
from cytoripple._errors import CoordinatesError, GeneMatchError, InputError, LayerError
from tests.conftest import real_file
from tests.deconv.spots import Planted, planted


@pytest.fixture(scope="module")
def data() -> Planted:
    return planted(n=150)


def test_results_are_written_and_survive_a_file(data: Planted, tmp_path: Path) -> None:
    spots = data.spots()
    assert ct.tl.deconvolve(spots, data.reference(), cell_type_key="cell_type", stability=True) is None
    shares = spots.obsm["deconvolution"]
    assert list(shares.columns) == [f"type {at}" for at in range(4)]
    assert (shares.index == spots.obs_names).all()
    assert np.sqrt(((shares.to_numpy() - data.truth) ** 2).mean()) < 0.05
    assert (spots.obs["deconvolution_dominant"] == shares.idxmax(axis=1)).all()
    assert spots.uns["deconvolution"]["genes"].index.tolist() == list(spots.var_names)
    spots.write_h5ad(tmp_path / "out.h5ad")
    again = anndata.read_h5ad(tmp_path / "out.h5ad")
    pd.testing.assert_frame_equal(again.obsm["deconvolution"], shares)
    assert again.uns["deconvolution"]["parameters"]["kappa"] == 10
    assert set(again.uns["deconvolution"]["confusable_types"]) >= {"first", "second", "similarity"}


def test_a_copy_leaves_the_input_alone(data: Planted) -> None:
    spots = data.spots()
    found = ct.tl.deconvolve(
        spots, data.reference(), cell_type_key="cell_type", method="fast", copy=True, key_added="mine"
    )
    assert found is not None
    assert "mine" in found.obsm
    assert not spots.obsm.keys() - {"spatial"}
    assert "mine" not in spots.uns


def test_backed_counts_give_the_same_bits(
    data: Planted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In blocks of 40 rows, with interleaved sections, from sparse and dense files."""
    monkeypatch.setattr("cytoripple.deconv.counts.BLOCK", 40)
    monkeypatch.setattr("cytoripple.deconv.fit.SAMPLE", 100)
    spots = data.spots()
    spots.obs["section"] = pd.Categorical(np.where(np.arange(150) % 3 == 0, "a", "b"))
    spots.write_h5ad(tmp_path / "sparse.h5ad")
    dense = spots.copy()
    dense.X = dense.X.toarray()
    dense.write_h5ad(tmp_path / "dense.h5ad")
    data.reference().write_h5ad(tmp_path / "cells.h5ad")
    options = {"cell_type_key": "cell_type", "sample_key": "section"}
    ct.tl.deconvolve(spots, data.reference(), **options)
    expected = spots.obsm["deconvolution"].to_numpy()
    cells = anndata.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    for name in ("sparse", "dense"):
        backed = anndata.read_h5ad(tmp_path / f"{name}.h5ad", backed="r")
        ct.tl.deconvolve(backed, cells, threads=2, **options)
        assert backed.obsm["deconvolution"].to_numpy().tobytes() == expected.tobytes()
        with pytest.raises(InputError, match="copy=True would read"):
            ct.tl.deconvolve(backed, cells, copy=True, **options)
        backed.file.close()
    cells.file.close()


def test_counts_of_a_zarr_store_are_read_in_blocks(data: Planted, tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr")
    spots = data.spots()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zarr's own notes on formats
        spots.write_zarr(tmp_path / "spots.zarr")
        stored = anndata.io.sparse_dataset(zarr.open(tmp_path / "spots.zarr", mode="r")["X"])
    lazy = anndata.AnnData(stored, obs=spots.obs, var=spots.var, obsm={"spatial": data.coords})
    for adata in (lazy, spots):
        ct.tl.deconvolve(adata, data.reference(), cell_type_key="cell_type")
    pd.testing.assert_frame_equal(lazy.obsm["deconvolution"], spots.obsm["deconvolution"], check_exact=True)


def test_backed_columns_are_refused(data: Planted, tmp_path: Path) -> None:
    spots = data.spots()
    spots.X = spots.X.tocsc()
    spots.write_h5ad(tmp_path / "columns.h5ad")
    backed = anndata.read_h5ad(tmp_path / "columns.h5ad", backed="r")
    with pytest.raises(LayerError, match="by columns"):
        ct.tl.deconvolve(backed, data.reference(), cell_type_key="cell_type")
    backed.file.close()


def test_genes_are_matched_by_name_in_any_order(data: Planted) -> None:
    spots, cells = data.spots(), data.reference()
    ct.tl.deconvolve(spots, cells, cell_type_key="cell_type")
    more = cells[:, np.random.default_rng(0).permutation(cells.n_vars)].copy()
    names = more.var_names.to_series()
    names[more.var_names == "gene7"] = "other"
    more.var_names = names.to_numpy()
    fewer = spots[:, spots.var_names != "gene7"].copy()
    ct.tl.deconvolve(fewer, cells, cell_type_key="cell_type")
    ct.tl.deconvolve(spots, more, cell_type_key="cell_type", key_added="again")
    np.testing.assert_allclose(
        spots.obsm["again"].to_numpy(), fewer.obsm["deconvolution"].to_numpy(), atol=1e-5
    )
    ct.tl.deconvolve(spots, cells, cell_type_key="cell_type", genes=list(spots.var_names[:60]))
    assert spots.uns["deconvolution"]["n_genes"] == 60


def test_signatures_and_tables_are_references_too(data: Planted) -> None:
    spots, cells = data.spots(), data.reference()
    ct.tl.deconvolve(spots, cells, cell_type_key="cell_type")
    made = ct.deconv.signatures(cells, cell_type_key="cell_type")
    ct.tl.deconvolve(spots, made, key_added="made")
    np.testing.assert_allclose(spots.obsm["made"], spots.obsm["deconvolution"], atol=1e-6)
    means = pd.DataFrame(cells.X.toarray(), columns=cells.var_names).groupby(data.labels).mean()
    ct.tl.deconvolve(spots, means, key_added="table", spatial_key=None)
    assert np.abs(spots.obsm["table"].to_numpy() - data.truth).mean() < 0.05


@pytest.mark.parametrize(
    ("rename", "sentence"),
    [
        (str.upper, "case were ignored"),
        (lambda name: f"ENSG{int(name[4:]):08d}", "Ensembl identifiers"),
        (lambda name: name.replace("gene", "locus_"), "lacks"),
    ],
)
def test_too_few_shared_genes_say_why(data: Planted, rename: object, sentence: str) -> None:
    spots = data.spots()
    spots.var_names = [rename(name) for name in spots.var_names]  # type: ignore[operator]
    with pytest.raises(GeneMatchError, match=sentence):
        ct.tl.deconvolve(spots, data.reference(), cell_type_key="cell_type")


def test_ensembl_versions_are_named(data: Planted) -> None:
    spots, cells = data.spots(), data.reference()
    spots.var_names = [f"ENSG{at:08d}.1" for at in range(spots.n_vars)]
    cells.var_names = [f"ENSG{at:08d}.2" for at in range(spots.n_vars)]
    with pytest.raises(GeneMatchError, match="without Ensembl versions"):
        ct.tl.deconvolve(spots, cells, cell_type_key="cell_type")


def test_the_layer_with_counts_is_suggested(data: Planted) -> None:
    spots = data.spots(raw=data.counts)
    spots.X = spots.X.copy()
    spots.X.data = np.log1p(spots.X.data)
    with pytest.raises(LayerError, match="layer='raw'"):
        ct.tl.deconvolve(spots, data.reference(), cell_type_key="cell_type")
    ct.tl.deconvolve(spots, data.reference(), cell_type_key="cell_type", layer="raw")
    with pytest.raises(LayerError, match="no layer 'row'; nearest: 'raw'"):
        ct.tl.deconvolve(spots, data.reference(), cell_type_key="cell_type", layer="row")


def test_the_published_method_keeps_empty_spots_without_proportions(data: Planted) -> None:
    spots, cells = data.spots(), data.reference()
    spots.X = spots.X.multiply(np.arange(150)[:, None] != 3).tocsr()
    spots.X.eliminate_zeros()
    ct.tl.deconvolve(spots, cells, cell_type_key="cell_type", method="flashdeconv")
    shares = spots.obsm["deconvolution"]
    assert shares.iloc[3].isna().all() and shares.notna().all(axis=1).sum() == 149
    assert pd.isna(spots.obs["deconvolution_dominant"].iloc[3])
    spots.X.data = np.log1p(spots.X.data)
    with pytest.raises(LayerError, match="log-normalized"):
        ct.tl.deconvolve(spots, cells, cell_type_key="cell_type", method="flashdeconv")


def test_bad_input_is_named(data: Planted) -> None:
    spots, cells = data.spots(), data.reference()
    with pytest.raises(InputError, match="nearest: 'cell_type'"):
        ct.tl.deconvolve(spots, cells, cell_type_key="cell_typ")
    with pytest.raises(InputError, match="cell_type_key is missing"):
        ct.tl.deconvolve(spots, cells)
    with pytest.raises(CoordinatesError, match="'spatail'; nearest: 'spatial'"):
        ct.tl.deconvolve(spots, cells, cell_type_key="cell_type", spatial_key="spatail")
    with pytest.raises(InputError, match="method is 'rctd'"):
        ct.tl.deconvolve(spots, cells, cell_type_key="cell_type", method="rctd")
    with pytest.raises(InputError, match="no gene names"):
        ct.tl.deconvolve(spots, ct.deconv.signatures(data.cells, labels=data.labels))
    cells.obs["gaps"] = [None, *data.labels[1:]]
    with pytest.raises(InputError, match="1 of 80 cells"):
        ct.tl.deconvolve(spots, cells, cell_type_key="gaps")
    cells.var_names = ["gene0", *cells.var_names[:-1]]
    with pytest.raises(InputError, match=r"reference: .* more than once"):
        ct.tl.deconvolve(spots, cells, cell_type_key="cell_type")
    assert "deconvolution" not in spots.uns


def test_real_cerebellum() -> None:
    """Slide-seq beads of the cerebellum: granule cells are the most common type."""
    spots = anndata.read_h5ad(real_file("cerebellum_slideseq.h5ad"))
    cells = anndata.read_h5ad(real_file("cerebellum_ref.h5ad"))
    ct.tl.deconvolve(spots, cells, cell_type_key="cell_type", kappa=2)
    assert spots.obsm["deconvolution"].mean().idxmax() == "Granule"


def test_lists_of_markers_are_no_reference(data: Planted) -> None:
    markers = {"type 0": ["gene0", "gene1"], "type 1": ["gene2"]}
    with pytest.raises(InputError, match="lists of marker genes"):
        ct.tl.deconvolve(data.spots(), markers)
    table = pd.DataFrame({kind: dict.fromkeys(names, 1.0) for kind, names in markers.items()})
    with pytest.raises(InputError, match="nothing but 0 and 1"):
        ct.tl.deconvolve(data.spots(), table.fillna(0.0).T)


def test_few_spots_say_nothing_about_lost_types(data: Planted, caplog: pytest.LogCaptureFixture) -> None:
    ct.tl.deconvolve(data.spots()[:3].copy(), data.reference(), cell_type_key="cell_type")
    assert "got nothing" not in caplog.text


def test_a_panel_that_is_too_small_is_named(data: Planted) -> None:
    with pytest.raises(GeneMatchError, match="panel is too small"):
        ct.tl.deconvolve(data.spots()[:, :5].copy(), data.reference(), cell_type_key="cell_type")
