"""The whole way in one command."""

from __future__ import annotations

from pathlib import Path

import anndata

import cytoripple as ct
from tests.cli.helpers import ask


def test_a_bare_tissue_goes_all_the_way(toy: Path, tmp_path: Path) -> None:
    # counts of 120 cells are too few for held-out cells to call for a coefficient
    assert ask("data", "toy", tmp_path / "more", "--cells", 600, "--genes", 30).code == 0
    toy = tmp_path / "more"
    adata = ct.io.read(toy / "toy.h5ad")
    bare = anndata.AnnData(adata.layers["counts"].copy(), obs=adata.obs[["cell_type"]], var=adata.var[[]])
    bare.obsm["spatial"] = adata.obsm["spatial"] / 200
    bare.uns["spatial_units"] = "array index (1 unit = 200 um)"
    bare.write_h5ad(tmp_path / "bare.h5ad")
    out = tmp_path / "demo"
    words = ("--data", tmp_path / "bare.h5ad", "--network", toy / "network.parquet", "--targets", 6)
    answer = ask("demo", *words, "--out", out, "--progress", "none", "--json")
    assert answer.code == 0, answer.err
    found = answer.data
    assert [step.split()[0] for step in found["steps"]] == ["coordinates", "layer"]
    assert found["training"]["genes"] > 0
    kinds = {knocked["kind"]: knocked["cells"] for knocked in found["knock_outs"].values()}
    assert kinds["TF"] == "all"
    assert kinds["ligand"] in set(bare.obs["cell_type"])
    for path in (
        *found["pictures"],
        *(p for k in found["knock_outs"].values() for p in (*k["pictures"], *k["files"])),
    ):
        assert Path(path).stat().st_size > 0
    gene = next(iter(found["knock_outs"]))
    again = ask(
        "perturb", "--run", out / "run", "--gene", gene, "--out", tmp_path / "ko", "--no-pictures", "--json"
    )
    assert again.code == 0, again.err


def test_a_network_without_a_tissue_is_not_taken_for_the_toy(toy: Path, tmp_path: Path) -> None:
    answer = ask("demo", "--network", toy / "network.parquet", "--out", tmp_path / "demo")
    assert answer.code == 1
    assert "--data" in answer.sentence
    assert list(tmp_path.iterdir()) == []
