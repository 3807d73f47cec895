"""Rescaled coordinates: the spacing, the original, repetition."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from cytoripple import io, pp
from cytoripple._errors import CoordinatesError, InputError
from tests.conftest import real_file


def grid(spacing: float, key: str = "spatial") -> AnnData:
    xy = spacing * np.stack(np.meshgrid(np.arange(5), np.arange(4)), axis=-1).reshape(-1, 2)
    adata = AnnData(np.zeros((20, 1), dtype=np.float32), obs=pd.DataFrame(index=map(str, range(20))))
    adata.obsm[key] = xy.astype(np.float32)
    return adata


def test_neighbors_end_up_the_spacing_apart_and_the_original_is_kept(tmp_path: Path) -> None:
    adata = grid(0.5, "X_spatial")
    original = adata.obsm["X_spatial"].copy()
    assert pp.rescale_coordinates(adata) is None
    np.testing.assert_array_equal(adata.obsm["X_spatial"], original * 30.0)
    np.testing.assert_array_equal(adata.obsm["spatial_unscaled"], original)
    adata.write_h5ad(tmp_path / "a.h5ad")
    used = io.read(tmp_path / "a.h5ad").uns["spatial_unscaled"]["parameters"]
    assert used["factor"] == 30.0
    assert used["spatial_key"] == "X_spatial"


def test_calling_again_starts_from_the_original(tmp_path: Path) -> None:
    adata = grid(0.5)
    pp.rescale_coordinates(adata)
    once = adata.obsm["spatial"].copy()
    pp.rescale_coordinates(adata)
    np.testing.assert_array_equal(adata.obsm["spatial"], once)
    adata.write_h5ad(tmp_path / "a.h5ad")
    adata = io.read(tmp_path / "a.h5ad")
    pp.rescale_coordinates(adata, scale=200.0)
    np.testing.assert_array_equal(adata.obsm["spatial"], adata.obsm["spatial_unscaled"] * 200.0)
    assert adata.obsm["spatial_unscaled"].max() == 2.0


def test_originals_of_another_program_are_not_overwritten() -> None:
    adata = grid(15.0)
    adata.obsm["spatial_unscaled"] = adata.obsm["spatial"] / 7
    with pytest.raises(CoordinatesError, match=r"del adata.obsm\['spatial_unscaled'\]"):
        pp.rescale_coordinates(adata)
    adata = grid(0.5)
    pp.rescale_coordinates(adata)
    adata.obsm["spatial"] = adata.obsm["spatial"] + 1.0  # moved since
    with pytest.raises(CoordinatesError, match=r"already holds coordinates"):
        pp.rescale_coordinates(adata)


def test_cells_at_the_same_place_count_once() -> None:
    adata = grid(2.0)
    adata.obsm["spatial"][:15] = adata.obsm["spatial"][0]
    pp.rescale_coordinates(adata, spacing=10.0)
    assert adata.uns["spatial_unscaled"]["parameters"]["factor"] == 5.0


def test_distances_are_taken_inside_sections() -> None:
    adata = grid(1.0)
    adata.obsm["spatial"][10:] = adata.obsm["spatial"][:10] + 0.01  # a second section on top of the first
    adata.obs["section"] = ["a"] * 10 + ["b"] * 10
    pp.rescale_coordinates(adata, sample_key="section")
    assert adata.uns["spatial_unscaled"]["parameters"]["factor"] == pytest.approx(15.0, rel=1e-6)


def test_a_copy_leaves_the_original_alone() -> None:
    adata = grid(1.0)
    before = adata.obsm["spatial"].copy()
    changed = pp.rescale_coordinates(adata, scale=3.0, copy=True)
    assert changed is not None
    np.testing.assert_array_equal(changed.obsm["spatial"], before * 3)
    np.testing.assert_array_equal(adata.obsm["spatial"], before)
    assert list(adata.obsm) == ["spatial"]
    assert not adata.uns


def test_what_cannot_be_rescaled_is_said() -> None:
    adata = grid(1.0)
    for arguments, error, sentence in (
        ({"spacing": 0.0}, InputError, "spacing is 0.0"),
        ({"scale": -2.0}, InputError, "scale is -2.0"),
        ({"scale": np.nan}, InputError, "scale is nan"),
        ({"spatial_key": "lost"}, CoordinatesError, "no coordinates under 'lost'"),
        ({"sample_key": "lost"}, InputError, "no column 'lost'"),
        ({"key_added": "spatial"}, CoordinatesError, "give another name"),
    ):
        with pytest.raises(error, match=sentence):
            pp.rescale_coordinates(adata, **arguments)
    adata.obsm["spatial"][:] = 1.0
    with pytest.raises(CoordinatesError, match=r"scale=1.0"):
        pp.rescale_coordinates(adata)
    assert list(adata.obsm) == ["spatial"]


def test_real_tissues_with_duplicates_and_depth() -> None:
    cortex = io.read(real_file("osmfish_cortex.h5ad"))
    pp.rescale_coordinates(cortex)
    assert 0.5 < cortex.uns["spatial_unscaled"]["parameters"]["factor"] < 5
    starmap = io.read(real_file("starmap_3d.h5ad"))
    pp.rescale_coordinates(starmap)
    assert starmap.obsm["spatial"].shape == (4000, 3)
