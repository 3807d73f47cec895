"""The recorded perturbations and derivatives of both implementations, through the public interface."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

import cytoripple as ct
from tests.conftest import golden_root

TOLERANCE = 1e-12
RECORDED = {"python": "perturb_python.npz", "rust": "perturb_rust64.npz"}


def sets() -> list[Path]:
    """Every folder of golden perturbations, whatever its name."""
    return sorted(path.parent for path in golden_root().rglob("perturb_python.npz"))


def settings(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
    return found


CASES = [
    pytest.param(folder, betas.name, preset, name, id=f"{folder.name}-{betas.name}-{preset}-{name}")
    for folder in sets()
    for betas in sorted(folder.glob("betadata_*"))
    for preset in RECORDED
    for name in settings(folder)["cases"]
]
FOLDERS = [
    pytest.param(folder, betas.name, id=f"{folder.name}-{betas.name}")
    for folder in sets()
    for betas in sorted(folder.glob("betadata_*"))
]
SPLASHES = [
    pytest.param(folder, betas.name, gene, id=f"{folder.name}-{betas.name}-{gene}")
    for folder in sets()
    for betas in sorted(folder.glob("betadata_*"))
    for gene in settings(folder)["modulators"]
]


def tissue(folder: Path) -> AnnData:
    facts = settings(folder)
    with np.load(folder / "tissue_and_received.npz") as arrays:
        x, xy, cluster = arrays["x"], arrays["xy"], arrays["cluster"]
    obs = pd.DataFrame({"cluster": cluster}, index=facts["obs_names"])
    adata = AnnData(np.zeros_like(x), obs=obs, var=pd.DataFrame(index=facts["genes"]))
    adata.layers["imputed_count"] = x
    adata.obsm["spatial"] = xy
    return adata


def keywords(folder: Path) -> dict[str, Any]:
    return {"cluster_key": "cluster", "layer": "imputed_count", "radii": settings(folder)["radii"]}


def simulate(folder: Path, betas: str, preset: str, case: dict[str, Any]) -> np.ndarray:
    adata = tissue(folder)
    thresholds = pd.read_csv(folder / "thresholds.csv", index_col=0) if case["thresholds"] else None
    ct.tl.perturb(
        adata,
        folder / betas,
        dict(case["payload"]),
        cells=case["cells"],
        n_propagation=case["n_propagation"],
        preset=preset,
        scale_factor=case["signal_scale"],
        beta_scale_factor=case["beta_scale_factor"],
        beta_cap=case["beta_cap"],
        cell_thresholds=thresholds,
        ligand_method="direct",
        **keywords(folder),
    )
    found: np.ndarray = adata.layers["perturbation"]
    return found


def test_there_is_a_golden_set() -> None:
    assert sets()


@pytest.mark.parametrize(("folder", "betas", "preset", "name"), CASES)
def test_a_recorded_perturbation_is_reproduced(folder: Path, betas: str, preset: str, name: str) -> None:
    found = simulate(folder, betas, preset, settings(folder)["cases"][name])
    with np.load(folder / RECORDED[preset]) as recorded:
        expected = recorded[name]
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("folder", sets())
@pytest.mark.parametrize("preset", ["python", "rust", "cytoripple"])
def test_the_file_format_does_not_matter(folder: Path, preset: str) -> None:
    """Feather, CSV and the table expanded to cells: the same numbers, bit by bit."""
    case = max(
        settings(folder)["cases"].values(), key=lambda case: (case["n_propagation"], len(case["payload"]))
    )
    results = [simulate(folder, betas.name, preset, case) for betas in sorted(folder.glob("betadata_*"))]
    assert len(results) == 3
    for other in results[1:]:
        np.testing.assert_array_equal(other, results[0])


@pytest.mark.parametrize(("folder", "betas"), FOLDERS)
def test_the_recorded_models_are_read(folder: Path, betas: str) -> None:
    facts, tables = settings(folder), ct.io.read_betadata(folder / betas)
    assert set(tables) == set(facts["models"])
    for gene, modulators in facts["models"].items():
        assert list(tables[gene].modulators) == modulators
        assert list(tables[gene].modulator_genes) == facts["modulators"][gene]
    one_row_per_cell = {gene for gene, table in tables.items() if table.key == "CellID"}
    assert one_row_per_cell == set(facts["models"] if betas.endswith("parquet") else facts["per_cell_models"])


@pytest.mark.parametrize(("folder", "betas", "gene"), SPLASHES)
@pytest.mark.parametrize(
    ("kind", "options"), [("default", {}), ("scaled_capped", {"beta_scale_factor": 100.0, "beta_cap": 0.6})]
)
def test_a_recorded_splash_is_reproduced(
    folder: Path, betas: str, gene: str, kind: str, options: dict[str, float]
) -> None:
    facts, adata = settings(folder), tissue(folder)
    with np.load(folder / "splash.npz") as recorded:
        expected = recorded[f"{kind}__{gene}"]
        signals = {
            name: pd.DataFrame(recorded[key], index=adata.obs_names, columns=facts["ligands_sorted"])
            for name, key in (("received_ligands", "rl"), ("received_tfl", "rt"))
        }
    found = ct.tl.splash(adata, folder / betas, gene, **signals, **options, **keywords(folder))
    assert list(found.columns) == [f"beta_{name}" for name in facts["modulators"][gene]]
    np.testing.assert_allclose(found.to_numpy(), expected, rtol=0, atol=TOLERANCE)
