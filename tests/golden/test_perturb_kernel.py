"""Derivatives and perturbations against the golden numbers of both published programs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cytoripple.kernels.ligands import ReceivedPlan
from cytoripple.kernels.perturb import PYTHON, RUST, RegulatoryModel, TargetModel
from tests.conftest import golden_root

FOLDER = golden_root() / "perturbation"
SETTINGS = (
    json.loads((FOLDER / "settings.json").read_text()) if FOLDER.is_dir() else {"cases": {}, "models": {}}
)
TOLERANCE = 1e-12


class Golden:
    """One golden set: tissue, models and signals on the axes of the kernel."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.settings = folder, json.loads((folder / "settings.json").read_text())
        tissue = np.load(folder / "tissue_and_received.npz")
        self.x, self.xy, self.cluster = tissue["x"], tissue["xy"], tissue["cluster"]
        self.genes = {gene: i for i, gene in enumerate(self.settings["genes"])}
        self.names = [str(name) for name in self.settings["obs_names"]]
        self.ligands = list(self.settings["ligands_sorted"])
        self.targets = list(self.settings["models"])
        self.model = RegulatoryModel(
            [self.target(gene) for gene in self.targets],
            n_genes=len(self.genes),
            ligand_genes=np.array([self.genes[ligand] for ligand in self.ligands], dtype=np.int64),
        )
        self.lr = np.isin(self.ligands, self.settings["ligands_lr"])
        self.tfl = np.isin(self.ligands, self.settings["ligands_tfl"])

    def target(self, gene: str) -> TargetModel:
        """Model of one gene from its feather file."""
        frame = pd.read_feather(self.folder / "betadata_feather" / f"{gene}_betadata.feather")
        key, intercept, *rest = frame.columns
        keys = {str(name): row for row, name in enumerate(frame[key])}
        cells = [str(c) for c in self.cluster] if key == "Cluster" else self.names
        betas = frame[[intercept, *rest]].to_numpy(dtype=np.float64)
        return TargetModel(
            gene=self.genes[gene],
            betas=betas,
            columns=np.array([self.column(name.removeprefix("beta_")) for name in rest], dtype=np.int64),
            rows=np.array([keys[cell] for cell in cells], dtype=np.int64),
        )

    def column(self, name: str) -> tuple[int, int, int]:
        for kind, mark in ((1, "$"), (2, "#")):
            if mark in name:
                ligand, partner = name.split(mark)
                return kind, self.ligands.index(ligand), self.genes[partner]
        return 0, self.genes[name], -1

    def signals(self, kernel: str) -> list[tuple[ReceivedPlan, np.ndarray]]:
        radii = self.settings["radii"]
        return [
            (
                ReceivedPlan(self.xy, radius=radius, kernel=kernel, method="direct"),
                np.array(
                    [i for i, ligand in enumerate(self.ligands) if radii.get(ligand) == radius],
                    dtype=np.int64,
                ),
            )
            for radius in sorted(set(radii.values()))
        ]

    def mask(self) -> np.ndarray:
        """Thresholds as a full mask: genes without a column count as 1."""
        table = pd.read_csv(self.folder / "thresholds.csv", index_col=0).loc[self.names]
        mask = np.ones(self.x.shape, dtype=bool)
        for gene in table.columns:
            mask[:, self.genes[gene]] = table[gene].to_numpy() > 0
        return mask

    def perturb(self, case: dict, preset: str, *, method: str = "auto", threads: int = 0):
        payload = case["payload"]
        cells = np.zeros((len(self.x), len(payload)), dtype=bool)
        cells[slice(None) if case["cells"] is None else case["cells"]] = True
        return self.model.perturb(
            self.x,
            np.array([self.genes[gene] for gene, _ in payload]),
            np.array([value for _, value in payload], dtype=np.float64),
            cells,
            signals=self.signals("gaussian_truncated" if preset == "python" else "gaussian"),
            scale_factor=case["signal_scale"],
            lr_ligands=self.lr,
            tfl_ligands=self.tfl,
            rules=PYTHON if preset == "python" else RUST,
            n_propagation=case["n_propagation"],
            beta_scale_factor=case["beta_scale_factor"],
            beta_cap=case["beta_cap"],
            mask=self.mask() if case["thresholds"] and preset == "python" else None,
            method=method,
            threads=threads,
        )


@pytest.fixture(scope="module")
def golden() -> Golden:
    if not FOLDER.is_dir():
        pytest.skip(f"no golden set at {FOLDER}")
    return Golden(FOLDER)


@pytest.mark.parametrize("gene", SETTINGS["models"])
@pytest.mark.parametrize(("variant", "scale", "cap"), [("default", 1.0, None), ("scaled_capped", 100.0, 0.6)])
def test_derivatives_agree(golden: Golden, gene: str, variant: str, scale: float, cap: float | None) -> None:
    """Derivatives of every target, plain and scaled and capped."""
    numbers = np.load(golden.folder / "splash.npz")
    found = golden.model.splash(
        golden.targets.index(gene),
        golden.x,
        numbers["rl"],
        numbers["rt"],
        modulators=np.array([golden.genes[m] for m in golden.settings["modulators"][gene]]),
        beta_scale_factor=scale,
        beta_cap=cap,
    )
    np.testing.assert_allclose(found, numbers[f"{variant}__{gene}"], rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("case", SETTINGS["cases"])
@pytest.mark.parametrize("method", ["auto", "plain"])
@pytest.mark.parametrize(("preset", "file"), [("python", "perturb_python"), ("rust", "perturb_rust64")])
def test_perturbations_agree(golden: Golden, preset: str, file: str, method: str, case: str) -> None:
    """Simulated expression and the change inside the loop, both presets, both paths."""
    numbers = np.load(golden.folder / f"{file}.npz")
    simulated, delta = golden.perturb(golden.settings["cases"][case], preset, method=method)
    np.testing.assert_allclose(simulated, numbers[case], rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(delta, numbers[f"{case}__loop_delta"], rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("preset", ["python", "rust"])
def test_no_change_changes_nothing(golden: Golden, preset: str) -> None:
    """Setting constant genes to their value gives exactly the input."""
    for case in golden.settings["cases"].values():
        columns = [golden.genes[gene] for gene, _ in case["payload"]]
        if all(
            (golden.x[:, c] == value).all() for c, (_, value) in zip(columns, case["payload"], strict=True)
        ):
            simulated, delta = golden.perturb(case, preset)
            assert (delta == 0).all()
            np.testing.assert_array_equal(simulated, golden.x)
