"""Maps of a tissue and of a perturbation."""

from __future__ import annotations

from pathlib import Path

import anndata
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex

import cytoripple as ct
from cytoripple._errors import CoordinatesError, InputError


def test_a_label_map_draws_every_cell_and_names_every_label(tissue: anndata.AnnData) -> None:
    ax = ct.pl.spatial(tissue, "cell_type")
    (points,) = ax.collections
    np.testing.assert_array_equal(points.get_offsets(), tissue.obsm["spatial"])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["left", "right"]
    assert len(np.unique(points.get_facecolors(), axis=0)) == 2
    assert ax.get_title() == "Cell type"


def test_both_axes_have_one_scale_and_y_points_down_as_in_an_image(tissue: anndata.AnnData) -> None:
    ax = ct.pl.spatial(tissue, "cell_type")
    assert ax.get_aspect() == 1.0
    bottom, top = ax.get_ylim()
    assert bottom > top
    assert not ax.get_xticks().size
    assert not ax.get_yticks().size


def test_a_gene_is_drawn_in_italics_from_the_asked_layer(tissue: anndata.AnnData) -> None:
    ax = ct.pl.spatial(tissue, "Near", layer="perturbation_delta")
    assert "mathit{Near}" in ax.get_title()
    shown = np.sort(np.asarray(ax.collections[0].get_array()))
    np.testing.assert_allclose(shown, np.sort(tissue.layers["perturbation_delta"][:, 2]))


def test_a_hyphen_in_a_gene_name_is_drawn_as_a_hyphen(tissue: anndata.AnnData) -> None:
    ax = ct.pl.spatial(tissue, "H2-K1")
    ax.figure.canvas.draw()
    assert ax.get_title() == "$\\mathit{H2}$-$\\mathit{K1}$"


def test_labels_that_mean_no_label_are_gray_and_colors_do_not_depend_on_them(tissue: anndata.AnnData) -> None:
    before = _legend_colors(ct.pl.spatial(tissue, "cell_type"))
    tissue.obs["cell_type"] = tissue.obs["cell_type"].cat.add_categories("Unassigned")
    tissue.obs.iloc[0, tissue.obs.columns.get_loc("cell_type")] = "Unassigned"
    after = _legend_colors(ct.pl.spatial(tissue, "cell_type"))
    assert after.pop("Unassigned") == "#cfcfcf"
    assert after == before


def test_colors_stored_in_the_data_are_used(tissue: anndata.AnnData) -> None:
    tissue.uns["cell_type_colors"] = ["#112233", "#445566"]
    assert _legend_colors(ct.pl.spatial(tissue, "cell_type")) == {"left": "#112233", "right": "#445566"}


def test_the_colors_of_forty_labels_differ() -> None:
    from cytoripple.pl._style import category_colors

    colors = category_colors([f"type {i}" for i in range(40)])
    assert len({color.lower() for color in colors.values()}) == 40


def test_the_scale_bar_has_the_length_it_tells(tissue: anndata.AnnData) -> None:
    ax = ct.pl.spatial(tissue, "cell_type")
    (bar,) = [line for line in ax.lines if line.get_label() == "_scale_bar"]
    assert np.ptp(bar.get_xdata()) == pytest.approx(200.0)
    assert "200 µm" in {text.get_text() for text in ax.texts}


@pytest.mark.parametrize("multiplied", [1.0, 50.0, 200.0])
def test_the_scale_bar_translates_array_positions_to_micrometers(
    tissue: anndata.AnnData, multiplied: float
) -> None:
    """Also after the coordinates were multiplied, by 200 to micrometers."""
    tissue.uns["spatial_units"] = "array index (1 unit = 200 um centre to centre)"
    if multiplied != 1.0:
        ct.pp.rescale_coordinates(tissue, scale=multiplied)
    ax = ct.pl.spatial(tissue, "cell_type")
    (bar,) = [line for line in ax.lines if line.get_label() == "_scale_bar"]
    (told,) = [text.get_text() for text in ax.texts]
    assert np.ptp(bar.get_xdata()) * 200 / multiplied == pytest.approx(float(told.removesuffix(" µm")))


def test_a_delta_map_is_symmetric_around_no_change(tissue: anndata.AnnData) -> None:
    ax = ct.pl.delta_map(tissue, "Near")
    low, high = ax.collections[0].get_clim()
    assert low == -high
    assert high == pytest.approx(np.quantile(tissue.layers["perturbation_delta"][:, 2], 0.99))
    assert ax.get_title() == "$\\mathit{Near}$ after knock-out of $\\mathit{Src}$ in 30 cells"


def test_a_delta_map_outlines_exactly_the_perturbed_cells(tissue: anndata.AnnData) -> None:
    ax = ct.pl.delta_map(tissue, "Near")
    outlined = ax.collections[1].get_offsets()
    expected = tissue.obsm["spatial"][tissue.obs_names.isin(tissue.uns["perturbation"]["cells"])]
    np.testing.assert_array_equal(outlined, expected)
    tissue.uns["perturbation"]["cells"] = "all"
    assert len(ct.pl.delta_map(tissue, "Near").collections) == 1


def test_a_gene_that_does_not_change_is_drawn_without_a_warning(tissue: anndata.AnnData) -> None:
    ax = ct.pl.delta_map(tissue, "H2-K1")
    assert ax.collections[0].get_clim() == (-1.0, 1.0)


def test_given_axes_are_used_and_nothing_is_closed_or_shown(tissue: anndata.AnnData) -> None:
    figure, (left, right) = plt.subplots(1, 2)
    assert ct.pl.spatial(tissue, "cell_type", ax=left) is left
    assert ct.pl.delta_map(tissue, "Near", ax=right) is right
    assert plt.get_fignums() == [figure.number]


def test_the_settings_of_the_user_survive(tissue: anndata.AnnData) -> None:
    with mpl.rc_context({"font.size": 7.0, "axes.spines.top": True}):
        ct.pl.spatial(tissue, "cell_type")
        assert mpl.rcParams["font.size"] == 7.0
        assert mpl.rcParams["axes.spines.top"]


@pytest.mark.parametrize("name", ["map.png", "map.pdf", "map.svg"])
def test_a_saved_picture_is_whole_and_alone(tissue: anndata.AnnData, tmp_path: Path, name: str) -> None:
    ct.pl.spatial(tissue, "cell_type", save=tmp_path / "pictures" / name)
    (written,) = (tmp_path / "pictures").iterdir()
    assert written.name == name
    if name.endswith("png"):
        assert plt.imread(written).shape[0] > 200


def test_a_picture_that_cannot_be_saved_leaves_nothing(tissue: anndata.AnnData, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nonsense"):
        ct.pl.spatial(tissue, "cell_type", save=tmp_path / "map.nonsense")
    assert list(tmp_path.iterdir()) == []


def test_many_cells_are_rasterized(rng: np.random.Generator) -> None:
    many = anndata.AnnData(np.zeros((20_001, 1), dtype=np.float32))
    many.obsm["spatial"] = rng.uniform(size=(20_001, 2))
    many.obs["depth"] = rng.uniform(size=20_001)
    assert ct.pl.spatial(many, "depth").collections[0].get_rasterized()
    assert not ct.pl.spatial(many[:20_000], "depth").collections[0].get_rasterized()


def test_missing_things_are_named(tissue: anndata.AnnData) -> None:
    with pytest.raises(InputError, match=r"'cell_typ' is neither .* nearest: 'cell_type'"):
        ct.pl.spatial(tissue, "cell_typ")
    with pytest.raises(InputError, match="no layer 'norm'"):
        ct.pl.spatial(tissue, "Src", layer="norm")
    with pytest.raises(InputError, match="no perturbation 'other'"):
        ct.pl.delta_map(tissue, "Src", key="other")
    with pytest.raises(InputError, match=r"'Nea' is not a gene.*'Near'"):
        ct.pl.delta_map(tissue, "Nea")
    del tissue.obsm["spatial"]
    with pytest.raises(CoordinatesError, match="no coordinates"):
        ct.pl.spatial(tissue, "cell_type")


def _legend_colors(ax: plt.Axes) -> dict[str, str]:
    legend = ax.get_legend()
    names = [text.get_text() for text in legend.get_texts()]
    return dict(zip(names, [to_hex(handle.get_color()) for handle in legend.legend_handles], strict=True))
