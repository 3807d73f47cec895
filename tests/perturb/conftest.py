"""A small tissue with a hand-made network: two clusters, TFs, one ligand-receptor and one ligand-TF pair."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from cytoripple.io.betadata import write_betadata

GENES = ["ACTB", "CCL5", "CCR5", "FOXO1", "IL10", "LONE", "MYC", "STAT1"]
MODELS: dict[str, list[str]] = {
    "MYC": ["FOXO1", "CCL5$CCR5"],
    "IL10": ["MYC", "STAT1", "CCL5#STAT1"],
    "STAT1": ["FOXO1"],
}
KEYWORDS: dict[str, Any] = {
    "cluster_key": "cluster",
    "layer": "imputed_count",
    "radius": 30.0,
    "ligand_method": "direct",
}


def make_tissue(n: int = 40, seed: int = 3) -> AnnData:
    rng = np.random.default_rng(seed)
    x = rng.gamma(2.0, 1.0, (n, len(GENES)))
    x[rng.random(x.shape) < 0.2] = 0.0
    obs = pd.DataFrame(
        {"cluster": np.arange(n) % 2, "label": np.where(np.arange(n) % 2 == 0, "T cell", "B cell")},
        index=[f"cell_{i:02d}" for i in range(n)],
    )
    adata = AnnData(np.zeros_like(x), obs=obs, var=pd.DataFrame(index=GENES))
    adata.layers["imputed_count"] = x
    adata.obsm["spatial"] = rng.uniform(0, 100, (n, 2))
    return adata


def make_betas(folder: Path, suffix: str = ".feather", scale: float = 1.0) -> Path:
    rng = np.random.default_rng(5)
    for gene, modulators in MODELS.items():
        betas = scale * rng.normal(0, 0.5, (2, len(modulators)))
        intercept = rng.normal(size=2)
        write_betadata(
            folder / f"{gene}_betadata{suffix}",
            keys=[0, 1],
            intercept=intercept,
            modulators=modulators,
            betas=betas,
        )
    return folder


@pytest.fixture
def tissue() -> AnnData:
    return make_tissue()


@pytest.fixture
def betas(tmp_path: Path) -> Path:
    folder = tmp_path / "betas"
    folder.mkdir()
    return make_betas(folder)


@pytest.fixture
def per_cell(tmp_path: Path, tissue: AnnData) -> Callable[[Path], Path]:
    """Expand a folder of per-cluster betadata to one row per cell."""
    from cytoripple.io.betadata import read_betadata

    def expand(folder: Path) -> Path:
        out = tmp_path / "per_cell"
        out.mkdir()
        rows = tissue.obs["cluster"].to_numpy()
        for gene, table in read_betadata(folder).items():
            write_betadata(
                out / f"{gene}_betadata.parquet",
                keys=list(tissue.obs_names),
                intercept=table.intercept[rows],
                modulators=table.modulators,
                betas=table.betas[rows],
                key="CellID",
            )
        return out

    return expand
