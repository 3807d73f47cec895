"""A small tissue with its network, and how run directories are compared."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cytoripple.datasets import toy_tissue
from cytoripple.grn.train import train_grn
from cytoripple.io.network import Network
from cytoripple.io.run import MANIFEST_FILE, Run

if TYPE_CHECKING:
    from anndata import AnnData

KEYS = {"cluster_key": "cell_type", "layer": "normalized_count"}
# Given penalties need no cross-validation and are quick.
GIVEN = {"group_reg": 2e-2, "l1_reg": 5e-3, "score_threshold": 0.0}


@cache
def _toy() -> tuple[AnnData, Network]:
    toy = toy_tissue(n_cells=150, n_genes=26, seed=3)
    return toy.adata, toy.network


def toy() -> tuple[AnnData, Network]:
    """Copy the tissue, and its network."""
    adata, network = _toy()
    return adata.copy(), network


def train(run_dir: Path, adata: AnnData | None = None, **options: Any) -> Run:
    """Train on the toy tissue with given penalties unless `options` say otherwise."""
    own, network = toy()
    return train_grn(
        own if adata is None else adata,
        **{"network": network, "run_dir": run_dir, **KEYS, **GIVEN, **options},
    )


def contents(run_dir: Path) -> dict[str, bytes]:
    """Every file of a run directory by relative path, except the manifest with its timings."""
    return {
        str(path.relative_to(run_dir)): path.read_bytes()
        for path in sorted(run_dir.rglob("*"))
        if path.is_file() and path.name != MANIFEST_FILE
    }
