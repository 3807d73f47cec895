"""Tissue files: h5ad and zarr are read as they are, everything else ends with one sentence."""

from __future__ import annotations

import gzip
import logging
import warnings
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from cytoripple import io
from cytoripple._errors import FileError
from tests.conftest import real_file


@pytest.fixture
def adata(rng: np.random.Generator) -> AnnData:
    obs = pd.DataFrame({"cell_type": pd.Categorical(["a", "b"] * 20)}, index=[f"c{i}" for i in range(40)])
    adata = AnnData(rng.poisson(2.0, (40, 7)).astype(np.float32), obs=obs)
    adata.var_names = [f"Gene{i}" for i in range(7)]
    adata.obsm["spatial"] = rng.uniform(size=(40, 2))
    adata.layers["log"] = np.log1p(adata.X)
    return adata


def test_h5ad_and_zarr_come_back_as_they_were_written(adata: AnnData, tmp_path: Path) -> None:
    adata.write_h5ad(tmp_path / "a.h5ad")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zarr's own notes on formats
        adata.write_zarr(tmp_path / "a.zarr")
    for path in (tmp_path / "a.h5ad", str(tmp_path / "a.zarr")):
        back = io.read(path)
        np.testing.assert_array_equal(back.layers["log"], adata.layers["log"])
        np.testing.assert_array_equal(back.obsm["spatial"], adata.obsm["spatial"])
        pd.testing.assert_frame_equal(back.obs, adata.obs, check_names=False)
        assert list(back.var_names) == list(adata.var_names)


def test_repeated_names_are_kept_and_said(
    adata: AnnData, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adata.var_names = ["Gene0", "Gene0", *[f"Gene{i}" for i in range(2, 7)]]
        adata.write_h5ad(tmp_path / "a.h5ad")
    with caplog.at_level(logging.WARNING):
        back = io.read(tmp_path / "a.h5ad")
    assert list(back.var_names[:2]) == ["Gene0", "Gene0"]
    assert "1 gene names occur more than once ('Gene0')" in caplog.text
    assert "adata.var_names_make_unique()" in caplog.text


def _sentence(path: Path) -> str:
    with pytest.raises(FileError) as caught:
        io.read(path)
    assert isinstance(caught.value, OSError)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_a_missing_file_offers_the_nearest(adata: AnnData, tmp_path: Path) -> None:
    adata.write_h5ad(tmp_path / "tissue.h5ad")
    with pytest.raises(FileNotFoundError, match=r"does not exist; nearest: 'tissue.h5ad'"):
        io.read(tmp_path / "tisue.h5ad")
    assert "nor does its directory" in _sentence(tmp_path / "nowhere" / "tissue.h5ad")


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.95])
def test_a_truncated_file_is_said_to_be_truncated(adata: AnnData, tmp_path: Path, share: float) -> None:
    path = tmp_path / "a.h5ad"
    adata.write_h5ad(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert "truncated or damaged" in _sentence(path)


def test_a_damaged_file_is_said_to_be_damaged(adata: AnnData, tmp_path: Path) -> None:
    path = tmp_path / "a.h5ad"
    adata.write_h5ad(path)
    with h5py.File(path, "r+") as file:
        del file["obs"]["cell_type"]
    assert "truncated or damaged" in _sentence(path)


def test_other_formats_are_named(adata: AnnData, tmp_path: Path) -> None:
    cases = {
        "empty": (b"", "is empty"),
        "table.csv": (b"gene,count\nSox2,3\n", "but text"),
        "tissue.h5ad.gz": (gzip.compress(b"x"), "compressed with gzip: unpack it first"),
        "table.parquet": (b"PAR1\0\0", "a parquet table"),
        "tissue.zarr.zip": (b"PK\x03\x04....", "a zip archive: unpack it first"),
        "other": (b"\x00\x01\x02", "of an unknown format"),
    }
    for name, (content, words) in cases.items():
        (tmp_path / name).write_bytes(content)
        assert words in _sentence(tmp_path / name)


def test_an_hdf5_file_of_another_kind_is_told_apart(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "matrix.h5", "w") as file:
        file.create_group("matrix")
    assert "scanpy.read_10x_h5" in _sentence(tmp_path / "matrix.h5")


def test_directories_that_are_no_tissue(adata: AnnData, tmp_path: Path) -> None:
    adata.write_h5ad(tmp_path / "inside.h5ad")
    assert "no zarr store" in _sentence(tmp_path)
    assert "inside.h5ad" in _sentence(tmp_path)
    store = tmp_path / "a.zarr"
    (store / "tables" / "table").mkdir(parents=True)
    (store / "zarr.json").write_text("{}")
    assert "SpatialData store" in _sentence(store)
    (store / "tables" / "table").rmdir()
    (store / "tables").rmdir()
    assert "zarr store without obs and var" in _sentence(store)


@pytest.mark.parametrize(
    ("name", "shape"),
    [("osmfish_cortex", (4839, 33)), ("visium_mini_graph", (49, 1999)), ("mob", (262, 15928))],
)
def test_real_files_are_read(name: str, shape: tuple[int, int]) -> None:
    adata = io.read(real_file(f"{name}.h5ad"))
    assert adata.shape == shape
    assert adata.obsm["spatial"].shape[0] == shape[0]
