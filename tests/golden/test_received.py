"""Received ligands of the golden perturbation sets."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cytoripple.kernels.ligands import received_ligands
from tests.conftest import golden_root

TOLERANCE = 1e-12


def sets() -> list[Path]:
    """Every folder with settings and received ligands, whatever its name."""
    found = {path.parent for path in golden_root().glob("**/tissue_and_received.npz")}
    return sorted(folder for folder in found if (folder / "settings.json").exists())


@pytest.fixture(params=sets(), ids=lambda folder: folder.name)
def folder(request: pytest.FixtureRequest) -> Path:
    return Path(request.param)


def settings(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "settings.json").read_text()))


def mask(
    folder: Path, genes: list[str], ligands: list[str], like: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Threshold mask per ligand; a gene missing from the file is masked in a direct call."""
    with (folder / "thresholds.csv").open() as file:
        header, *lines = list(csv.reader(file))
    keep = np.zeros_like(like)
    for k, ligand in enumerate(ligands):
        if ligand in header:
            at = header.index(ligand)
            keep[:, k] = [float(line[at]) > 0 for line in lines]
    return keep


def test_there_is_a_golden_set() -> None:
    assert sets()


def test_tissue_arrays_are_reproduced(folder: Path) -> None:
    """Every ``received_*`` array: kernel and variant are in its name, radii and ligands in the settings."""
    s, data = settings(folder), np.load(folder / "tissue_and_received.npz")
    ligands: list[str] = s["ligands_sorted"]
    values = data["x"][:, [s["genes"].index(ligand) for ligand in ligands]]
    values = np.where(values > 1e-9, values, 0.0)
    checked = 0
    for name in (key for key in data.files if key.startswith("received_")):
        found = re.fullmatch(r"received_(python|gaussian)_(?:scale([\d.]+)|(thresholds)|(one_radius))", name)
        assert found, f"unknown array {name}"
        kernel = "gaussian_truncated" if found[1] == "python" else "gaussian"
        one = found[4] is not None  # then the ligands without a radius of their own are heard too
        radii = np.array([s["radius"] if one else s["radii"].get(ligand, np.nan) for ligand in ligands])
        heard = ~np.isnan(radii)
        source = values * mask(folder, s["genes"], ligands, values) if found[3] else values
        received = np.zeros_like(values)
        received[:, heard] = received_ligands(
            data["xy"],
            source[:, heard],
            radius=radii[heard],
            kernel=kernel,
            method="direct",
            scale=float(found[2] or 1.0),
        )
        np.testing.assert_allclose(received, data[name], rtol=0, atol=TOLERANCE, err_msg=name)
        checked += 1
    assert checked


def test_anchor_grids_are_reproduced(folder: Path) -> None:
    """The factor is in the name of each grid; where it falls back it equals the exact sum to the bit."""
    data, facts = np.load(folder / "grid.npz"), settings(folder)["grid"]
    common = {"radius": float(data["radius"]), "scale": float(data["scale"])}
    exact = received_ligands(data["xy"], data["ligands"], method="direct", **common)
    np.testing.assert_allclose(exact, data["exact"], rtol=0, atol=TOLERANCE)
    grids = [key for key in data.files if key.startswith("grid_")]
    assert grids
    for name in grids:
        factor = name.removeprefix("grid_")
        got = received_ligands(data["xy"], data["ligands"], method="anchors", factor=float(factor), **common)
        np.testing.assert_allclose(got, data[name], rtol=0, atol=TOLERANCE, err_msg=name)
        if facts[factor]["fallback_to_exact"]:
            np.testing.assert_array_equal(got, exact)
        else:
            assert np.abs(got - exact).max() == pytest.approx(facts[factor]["max_abs_err"], rel=1e-6)
