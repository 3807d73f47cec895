"""Maps of deconvolved spots and the comparison of two results."""

from __future__ import annotations

from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest

import cytoripple as ct
from cytoripple._errors import InputError
from cytoripple.pl._raster import raster

TYPES = ["rare", "common_one", "other"]


def spots(n: int = 100) -> anndata.AnnData:
    """Lattice with a gradient of shares; the first spot is without proportions."""
    side = int(np.sqrt(n))
    xy = np.stack(np.divmod(np.arange(n), side), axis=1).astype(float)
    share = np.stack([0.2 * xy[:, 0], side - 0.7 * xy[:, 0], xy[:, 1]], axis=1) + 0.1
    share /= share.sum(axis=1, keepdims=True)
    share[0] = np.nan
    names = [f"s{at}" for at in range(n)]
    adata = anndata.AnnData(obs=pd.DataFrame(index=names))
    adata.obsm["spatial"] = xy
    adata.obsm["deconvolution"] = pd.DataFrame(share, index=names, columns=TYPES)
    return adata


def test_pies_have_a_slice_per_type_that_ends_where_the_next_begins() -> None:
    given = spots()
    ax = ct.pl.proportions(given)
    slices = sum(len(found.get_paths()) for found in ax.collections)
    assert slices == int((given.obsm["deconvolution"] > 0.005).to_numpy().sum())
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert texts == ["common one", "other", "rare"]
    shown = ct.pl.proportions(given, types=["rare"])
    assert [text.get_text() for text in shown.get_legend().get_texts()] == ["rare", "other"]


def test_there_is_a_map_per_type(tmp_path: Path) -> None:
    given = spots()
    panels = ct.pl.proportions(given, kind="types", save=tmp_path / "types.png")
    titles = [panel.get_title() for panel in panels.flat]
    assert titles == ["common one", "other", "rare"]
    drawn = np.sort(np.ma.compressed(panels.flat[0].collections[0].get_array()))
    expected = given.obsm["deconvolution"]["common_one"].dropna()
    np.testing.assert_allclose(drawn, np.sort(expected))
    assert (tmp_path / "types.png").stat().st_size > 1000


def test_the_dominant_type_colors_a_spot_and_empty_spots_are_blank() -> None:
    given = spots()
    ax = ct.pl.proportions(given, kind="dominant", palette=["#000001", "#000002", "#000003"])
    (points,) = ax.collections
    assert len(points.get_offsets()) == 99
    blue = np.round(points.get_facecolors()[:, 2] * 255).astype(int)
    order = ["common_one", "other", "rare"]
    best = given.obsm["deconvolution"][order].to_numpy()[1:].argmax(axis=1)
    np.testing.assert_array_equal(blue, best + 1)


def test_uncertainty_needs_the_stability() -> None:
    given = spots()
    with pytest.raises(InputError, match="stability=True"):
        ct.pl.proportions(given, kind="uncertainty")
    given.obsm["deconvolution_stability"] = 0.1 * given.obsm["deconvolution"]
    ax = ct.pl.proportions(given, kind="uncertainty")
    largest = 0.1 * given.obsm["deconvolution"].max(axis=1).dropna()
    drawn = np.ma.compressed(ax.collections[0].get_array())
    np.testing.assert_allclose(np.sort(drawn), np.sort(largest))


@pytest.mark.parametrize("kind", ["types", "dominant"])
def test_many_spots_become_an_image(kind: str) -> None:
    ax = ct.pl.proportions(spots(22_500), kind=kind)
    ax = ax if kind == "dominant" else ax.flat[0]
    assert len(ax.images) == 1 and not ax.collections
    low, high = sorted(ax.get_ylim())
    assert low < 0 and high > 149 and ax.get_ylim()[0] > ax.get_ylim()[1]


def test_pixels_hold_the_mean_and_the_most_frequent_label() -> None:
    xy = np.array([[0.0, 0.0], [0.1, 0.0], [0.2, 0.1], [9.0, 9.0]])
    grid = raster(xy, pixels=3)
    values = grid.mean(np.array([1.0, 2.0, np.nan, 5.0]))
    assert values[0, 0] == 1.5 and values[-1, -1] == 5.0 and np.isnan(values).sum() == values.size - 2
    image = grid.colors(np.array([1, 0, 1, -1]), np.array([[1.0, 0, 0], [0, 1.0, 0]]))
    np.testing.assert_array_equal(image[0, 0], [0, 1, 0, 1])
    assert image[..., 3].sum() == 1


def test_what_cannot_be_drawn_is_said() -> None:
    given = spots()
    with pytest.raises(InputError, match="nearest: 'rare'"):
        ct.pl.proportions(given, types=["rar"])
    with pytest.raises(InputError, match="kind is 'pie'"):
        ct.pl.proportions(given, kind="pie")
    with pytest.raises(InputError, match=r"2,025 pies cannot be read"):
        ct.pl.proportions(spots(2025), kind="pies")
    with pytest.raises(InputError, match="types is empty"):
        ct.pl.proportions(given, types=[])


def test_two_results_are_compared_type_by_type(tmp_path: Path) -> None:
    given = spots()
    other = given.obsm["deconvolution"][["rare", "other"]].iloc[::-1]
    panels = ct.pl.compare_proportions(given, "deconvolution", other, save=tmp_path / "two.png")
    assert [panel.get_title() for panel in panels.flat] == ["other", "rare"]
    assert "r = 1.00\nRMS 0.000" in panels.flat[0].texts[0].get_text()
    assert (tmp_path / "two.png").exists()
    given.obsm["second"] = given.obsm["deconvolution"].rename(columns=str.upper)
    with pytest.raises(InputError, match="no type in common"):
        ct.pl.compare_proportions(given, "deconvolution", "second")
    with pytest.raises(InputError, match=r"index it by adata\.obs_names"):
        ct.pl.compare_proportions(given, "deconvolution", other.reset_index(drop=True))
