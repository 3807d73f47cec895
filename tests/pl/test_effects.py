"""Pictures of the effect against distance and per cell type."""

from __future__ import annotations

from pathlib import Path

import anndata
import numpy as np
import pytest
from scipy import sparse

import cytoripple as ct
from cytoripple._errors import InputError


def test_the_effect_falls_with_the_distance_it_is_drawn_at(tissue: anndata.AnnData) -> None:
    ax = ct.pl.effect_by_distance(tissue)
    x, y = ax.lines[0].get_data()
    assert x[0] == 0.0
    assert (np.diff(x) > 0).all()
    assert (np.diff(y) < 0).all()
    assert ax.get_xlabel() == "distance from the nearest source cell (µm)"


def test_the_curve_holds_the_means_of_the_rings(tissue: anndata.AnnData) -> None:
    ax = ct.pl.effect_by_distance(tissue, ["Near"])
    x, y = ax.lines[0].get_data()
    away = np.maximum(tissue.obsm["spatial"][:, 0] - 200, 0)
    last = away > away.max() * (1 - 1 / 14)
    assert x[-1] == pytest.approx(away[last].mean())
    assert y[-1] == pytest.approx(tissue.layers["perturbation_delta"][last, 2].mean())
    assert y[0] == pytest.approx(1.0)


def test_a_knock_out_everywhere_is_measured_from_the_cells_that_changed_most(tissue: anndata.AnnData) -> None:
    tissue.uns["perturbation"]["cells"] = "all"
    tissue.layers["perturbation_delta"][:, 0] = -np.arange(tissue.n_obs)
    x, _ = ct.pl.effect_by_distance(tissue).lines[0].get_data()
    assert x[0] == 0.0
    assert x[-1] > 0.0


def test_sections_do_not_measure_distances_to_each_other(tissue: anndata.AnnData) -> None:
    left = tissue.obsm["spatial"][:, 0] < 1000
    tissue.obs["section"] = np.where(left, "a", "b")
    tissue.uns["perturbation"]["sample_key"] = "section"
    x, _ = ct.pl.effect_by_distance(tissue).lines[0].get_data()
    assert x.max() <= 700


def test_the_top_genes_leave_out_the_perturbed_one_and_name_the_groups(tissue: anndata.AnnData) -> None:
    ax = ct.pl.top_genes(tissue)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["Near"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["left", "right"]
    assert ax.get_xticklabels()[0].get_fontstyle() == "italic"
    shown = np.asarray(ax.collections[0].get_array())
    delta, labels = tissue.layers["perturbation_delta"][:, 2], tissue.obs["cell_type"]
    expected = [delta[labels == name].mean() for name in ("left", "right")]
    np.testing.assert_allclose(shown, expected)


def test_sparse_and_dense_results_look_the_same(tissue: anndata.AnnData) -> None:
    dense = np.asarray(ct.pl.top_genes(tissue).collections[0].get_array())
    curve = ct.pl.effect_by_distance(tissue).lines[0].get_data()
    tissue.layers["perturbation_delta"] = sparse.csr_matrix(tissue.layers["perturbation_delta"])
    np.testing.assert_allclose(np.asarray(ct.pl.top_genes(tissue).collections[0].get_array()), dense)
    np.testing.assert_allclose(ct.pl.effect_by_distance(tissue).lines[0].get_data(), curve)


def test_nothing_to_show_is_said(tissue: anndata.AnnData) -> None:
    tissue.layers["perturbation_delta"][:, 2] = 0.0
    with pytest.raises(InputError, match="changes no gene but the perturbed"):
        ct.pl.top_genes(tissue)
    with pytest.raises(InputError, match="changes no gene but the perturbed"):
        ct.pl.effect_by_distance(tissue)
    tissue.layers["perturbation_delta"][:] = 0.0
    with pytest.raises(InputError, match="did not change in any cell"):
        ct.pl.effect_by_distance(tissue)


def test_the_files_are_written(tissue: anndata.AnnData, tmp_path: Path) -> None:
    ct.pl.top_genes(tissue, save=tmp_path / "a.png")
    ct.pl.effect_by_distance(tissue, save=tmp_path / "b.png")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "b.png"]
