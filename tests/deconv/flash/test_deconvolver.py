"""The estimator, and the drop-in for FlashDeconv."""

from __future__ import annotations

from inspect import signature
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from cytoripple._errors import (
    ClusterError,
    CoordinatesError,
    GeneMatchError,
    InputError,
    LayerError,
    RunError,
    SettingsError,
)
from cytoripple.compat import flashdeconv as fd
from cytoripple.compat.flashdeconv import io
from cytoripple.compat.flashdeconv.utils.graph import build_grid_graph
from cytoripple.deconv.deconvolver import Deconvolver
from cytoripple.deconv.flash import flash_deconvolve
from tests.deconv.flash.data import Tissue, tissue


@pytest.fixture
def given() -> Tissue:
    return tissue()


def test_parameters_follow_scikit_learn() -> None:
    model = Deconvolver("flashdeconv", solver="sor", seed=3)
    params = model.get_params()
    assert params["solver"] == "sor" and params["k_neighbors"] == 6
    assert Deconvolver(**params).get_params() == params
    assert model.set_params(k_neighbors=9) is model and model.k_neighbors == 9
    assert repr(model) == "Deconvolver(method='flashdeconv', solver='sor', k_neighbors=9, seed=3)"
    with pytest.raises(SettingsError, match=r"k_neighbours.*'k_neighbors'"):
        model.set_params(k_neighbours=3)


def test_the_estimator_is_the_function(given: Tissue) -> None:
    model = Deconvolver("flashdeconv", n_hvg=30)
    shares = model.fit_transform(*given.arrays, cell_type_names=list("abcd"))
    expected = flash_deconvolve(*given.arrays, n_hvg=30)
    np.testing.assert_array_equal(shares, expected.proportions)
    np.testing.assert_array_equal(model.get_abundances(), expected.beta)
    np.testing.assert_array_equal(model.get_dominant_cell_type(), shares.argmax(axis=1))
    assert model.cell_type_names_ == ("a", "b", "c", "d")
    summary = model.summary()
    assert summary["n_spots"] == 80 and summary["converged"] and summary["n_empty_spots"] == 0


def test_empty_spots_have_no_proportions(given: Tissue) -> None:
    counts = given.counts.tolil()
    counts[4] = 0
    model = Deconvolver("flashdeconv").fit(counts.tocsr(), given.reference, given.coords)
    assert np.isnan(model.get_cell_type_proportions()[4]).all()
    assert np.isnan(model.proportions_).sum() == 4
    assert model.get_dominant_cell_type()[4] == -1 and model.summary()["n_empty_spots"] == 1


@pytest.mark.parametrize("method", ["default", "fast"])
def test_the_own_methods_fit_the_same_way(given: Tissue, method: Any) -> None:
    model = Deconvolver(method).fit(*given.arrays, cell_type_names=list("abcd"))
    assert np.abs(model.proportions_ - given.truth).mean() < 0.1
    np.testing.assert_allclose(model.get_abundances().sum(axis=1), 400, rtol=1e-4)
    assert model.cell_type_names_ == ("a", "b", "c", "d")
    assert model.summary()["method"] == method and model.summary()["n_cell_types"] == 4


@pytest.mark.parametrize("kind", [Deconvolver, fd.FlashDeconv])
def test_nothing_is_there_before_fit(kind: Any) -> None:
    model = kind()
    assert model.summary() == {"fitted": False}
    for name in ("get_cell_type_proportions", "get_abundances", "get_dominant_cell_type"):
        with pytest.raises(RunError, match="call fit"):
            getattr(model, name)()
    with pytest.raises(SettingsError, match="'default', 'fast', 'flashdeconv'"):
        Deconvolver(method="magic").fit([[1.0]], [[1.0]], [[0.0]])


def test_names_and_defaults_are_those_of_the_package() -> None:
    defaults = {name: item.default for name, item in signature(fd.FlashDeconv).parameters.items()}
    assert defaults == {
        "sketch_dim": 512,
        "lambda_spatial": "auto",
        "rho_sparsity": 0.01,
        "n_hvg": 2000,
        "n_markers_per_type": 50,
        "spatial_method": "knn",
        "k_neighbors": 6,
        "radius": None,
        "max_iter": 1000,
        "tol": 1e-4,
        "preprocess": "log_cpm",
        "random_state": 0,
        "verbose": False,
        "gene_weighting": "expected",
    }
    with pytest.raises(ValueError, match="sketch_dim"):
        fd.FlashDeconv(sketch_dim=0)


@pytest.mark.parametrize("weighting", ["expected", "countsketch"])
def test_the_drop_in_has_all_attributes(given: Tissue, weighting: Any) -> None:
    model = fd.FlashDeconv(n_hvg=30, gene_weighting=weighting, sketch_dim=32, verbose=True).fit(*given.arrays)
    assert model.proportions_.shape == model.beta_.shape == (model.n_spots_, model.n_cell_types_)
    assert model.n_genes_ == 60 and model.cell_type_names_ is None
    assert (model.gene_weights_ is None) == (weighting == "countsketch")
    h = model.Y_repr_ @ model.X_repr_.T
    np.testing.assert_allclose(h, model._fit.problem.h, rtol=1e-10, atol=1e-9)
    assert model.Y_sketch_.shape == (80, model.X_sketch_.shape[1])
    assert {"converged", "n_iterations", "final_objective", "objectives", "XtX"} <= set(model.info_)
    assert model.summary()["lambda_spatial"] == model.lambda_used_
    assert model.adjacency_.shape == (80, 80) and len(model.gene_idx_) == model.summary()["n_genes_used"]


def test_diagnostics_of_the_drop_in(given: Tissue) -> None:
    model = fd.FlashDeconv(n_hvg=30).fit(*given.arrays)
    assert model.compute_uncertainty() is model.uncertainty_
    boot = model.bootstrap_uncertainty(n_bootstrap=5)
    assert boot["n_converged"] == 5 and (boot["boot_ci_lower"] <= boot["boot_ci_upper"]).all()
    with pytest.raises(SettingsError, match="sandwich"):
        model.compute_uncertainty(method="exact")
    scores = fd.reference_fit_scores(model)
    assert scores["flag"].shape == scores["flag_pooled"].shape == (80,)


def test_a_missing_type_shows_in_its_genes() -> None:
    """Left out of the reference, the type's markers lead the list and an atlas names it."""
    given = tissue(n_spots=300, umi=3000)
    model = fd.FlashDeconv(n_hvg=60).fit(given.counts, given.reference[:-1], given.coords)
    rich = given.truth[:, -1] > 0.5
    names = [f"g{j}" for j in range(60)]
    genes = fd.unexplained_genes(model, rich, gene_names=names)
    found = fd.suggest_missing_types(genes, given.reference, names, list("abcd"), n_markers=5)
    assert found["type"][0] == "d"
    with pytest.raises(InputError, match="some but not all"):
        fd.unexplained_genes(model, np.ones(300, dtype=bool))
    with pytest.raises(GeneMatchError):
        fd.suggest_missing_types(genes, given.reference, ["x"] * 60, list("abcd"))


def spots_and_cells(given: Tissue) -> tuple[ad.AnnData, ad.AnnData]:
    genes = [f"g{j}" for j in range(60)]
    spots = ad.AnnData(given.counts.copy(), var=pd.DataFrame(index=genes))
    spots.obsm["spatial"] = given.coords
    rng = np.random.default_rng(1)
    labels = np.repeat(["b", "a", "d", "c"], 5)
    cells = ad.AnnData(rng.poisson(np.repeat(given.reference, 5, axis=0)).astype(float))
    cells.var_names = genes[::-1]
    cells.X = cells.X[:, ::-1]
    cells.obs["cell_type"] = pd.Categorical(labels)
    return spots, cells


def test_anndata_in_anndata_out(given: Tissue, tmp_path: Path) -> None:
    spots, cells = spots_and_cells(given)
    copy = fd.tl.deconvolve(spots, cells, n_hvg=30, copy=True)
    assert copy is not None and "flashdeconv" not in spots.obsm
    assert fd.tl.deconvolve(spots, cells, n_hvg=30, key_added="x") is None
    shares = spots.obsm["x"]
    assert list(shares.columns) == list("abcd")
    np.testing.assert_array_equal(shares.to_numpy(), copy.obsm["flashdeconv"].to_numpy())
    assert list(spots.obs["x_dominant"].cat.categories) == list("abcd")
    assert spots.uns["x_params"]["n_cell_types"] == 4 and spots.uns["x_params"]["converged"]
    Y, X, coords, names, genes = io.prepare_data(spots, cells)
    assert list(names) == list("abcd") and list(genes) == sorted(genes)
    np.testing.assert_array_equal(flash_deconvolve(Y, X, coords, n_hvg=30).proportions, shares.to_numpy())
    spots.write_h5ad(tmp_path / "spots.h5ad")
    again = ad.read_h5ad(tmp_path / "spots.h5ad")
    np.testing.assert_array_equal(again.obsm["x"].to_numpy(), shares.to_numpy())


def test_backed_counts_give_the_same_bits(given: Tissue, tmp_path: Path) -> None:
    spots, _ = spots_and_cells(given)
    spots.write_h5ad(tmp_path / "spots.h5ad")
    backed = ad.read_h5ad(tmp_path / "spots.h5ad", backed="r")
    fit = flash_deconvolve(backed.X, given.reference, given.coords)
    np.testing.assert_array_equal(fit.beta, flash_deconvolve(*given.arrays).beta)
    backed.file.close()


def test_loading_says_what_is_missing(given: Tissue) -> None:
    spots, cells = spots_and_cells(given)
    with pytest.raises(LayerError, match="counts"):
        io.load_spatial_data(spots, layer="counts")
    del spots.obsm["spatial"]
    with pytest.raises(CoordinatesError, match="obsm"):
        io.load_spatial_data(spots)
    spots.obs["x"], spots.obs["y"] = given.coords.T
    np.testing.assert_array_equal(io.load_spatial_data(spots)[1], given.coords)
    with pytest.raises(ClusterError, match="cell_type"):
        io.load_reference(cells, "celltype")
    total = io.load_reference(cells, method="sum")[0]
    np.testing.assert_allclose(total, 5 * io.load_reference(cells)[0])
    cells.obs.loc[cells.obs_names[0], "cell_type"] = np.nan
    with pytest.raises(ClusterError, match="1 cells have no"):
        io.load_reference(cells)
    with pytest.raises(GeneMatchError, match="share no gene"):
        io.align_genes(given.counts, given.reference, ["A"] * 60, ["b"] * 60)
    with pytest.raises(InputError, match="expected 80"):
        io.result_to_anndata(np.ones((3, 4)), spots)
    named = io.result_to_anndata(np.eye(80, 4), spots)
    assert list(named.obsm["flashdeconv"].columns)[:2] == ["CellType_0", "CellType_1"]


def test_graphs_of_the_drop_in(given: Tissue) -> None:
    plain = fd.utils.build_knn_graph(given.coords, 4)
    loops = fd.utils.build_knn_graph(given.coords, 4, include_self=True)
    assert (loops - plain).diagonal().sum() == 80 and plain.diagonal().sum() == 0
    wide = fd.utils.build_radius_graph(given.coords, 3.0)
    assert abs(build_grid_graph(given.coords, 2.0) - wide).nnz == 0
    assert fd.utils.coords_to_adjacency(given.coords, "grid").nnz > 0
