"""Golden tissue, end to end: coefficients, objectives, orphans and exported files.

The sets are discovered: every ``{name}_expected.json`` beside ``{name}_input.h5ad``, ``{name}_betas.parquet``
and ``{species}_network.parquet``. Settings, tolerances and lists are read from them.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cytoripple.grn.train import train_grn
from cytoripple.io.betadata import read_betadata
from cytoripple.io.read import read
from cytoripple.io.run import Run
from tests.conftest import golden_root

SETS = sorted((golden_root() / "training").glob("*_expected.json"))
ALL = -1e9  # a threshold that keeps every cluster
INTERCEPT = -1


@cache
def expected(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


CASES = [(path, name) for path in SETS for name in sorted(expected(path)["configs"])]
# At smaller penalties the optimum is flat: coefficients are weakly determined, objectives are not.
DETERMINED = [
    (path, name)
    for path, name in CASES
    if max(expected(path)["configs"][name][reg] for reg in ("group_reg", "l1_reg")) >= 1e-6
]


def part(path: Path, suffix: str) -> Path:
    return path.with_name(path.name.removesuffix("_expected.json") + suffix)


def train(path: Path, run_dir: Path, **options: Any) -> Run:
    given = expected(path)
    return train_grn(
        read(part(path, "_input.h5ad")),
        network=path.with_name(f"{given['species']}_network.parquet"),
        run_dir=run_dir,
        cluster_key="cell_type_int",
        layer="imputed_count",
        radius=given["radius"],
        contact_distance=given["contact_distance"],
        scale_factor=given["scale_factor"],
        tf_ligand_cutoff=given["tf_ligand_cutoff"],
        min_expression=given["min_expression"],
        ligand_method="direct",
        tol=1e-12,
        **options,
    )


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[Path, str], Run]:
    """One run per set and configuration, with every cluster kept."""
    made = {}
    for path, name in CASES:
        config = expected(path)["configs"][name]
        made[path, name] = train(
            path,
            tmp_path_factory.mktemp("tissue") / name,
            group_reg=config["group_reg"],
            l1_reg=config["l1_reg"],
            scale_reg=config["scale"],
            score_threshold=ALL,
        )
    return made


@pytest.mark.parametrize(("path", "name"), CASES, ids=lambda value: getattr(value, "stem", value))
def test_objectives_and_scores_are_reproduced(
    runs: dict[tuple[Path, str], Run], path: Path, name: str
) -> None:
    """The objective is that of the stored optimum; nothing lies below it."""
    given = expected(path)["per_cluster"]
    scores = runs[path, name].scores().set_index(["gene", "cluster"])
    allowed = 1e-10 if max(expected(path)["configs"][name].values(), key=_number) > 1e-6 else 1e-8
    for gene, clusters in given.items():
        for cluster, found in clusters.items():
            row = scores.loc[(gene, int(cluster))]
            assert row["objective"] == pytest.approx(found[name]["objective"], rel=allowed), (gene, cluster)
            assert row["r2_raw"] == pytest.approx(found[name]["r2"], abs=1e-6 if allowed < 1e-9 else 1e-5)
            assert row["n_cells"] == found["n"]


def _number(value: object) -> float:
    return value if isinstance(value, float) else -1.0


@pytest.mark.parametrize(("path", "name"), DETERMINED, ids=lambda value: getattr(value, "stem", value))
def test_coefficients_are_reproduced(runs: dict[tuple[Path, str], Run], path: Path, name: str) -> None:
    """Within 1e-6 of the largest of the gene and cluster, where the stored ones are at their optimum."""
    stored = pd.read_parquet(part(path, "_betas.parquet"))
    tables = read_betadata(runs[path, name].directory)
    compared = 0
    for (gene, cluster), rows in stored.groupby(["gene", "cluster"]):
        if expected(path)["per_cluster"][gene][str(cluster)][name]["kkt_rel"] > 1e-10:
            continue
        own = _coefficients(tables, str(gene), str(cluster))
        intercept = rows[rows["group"] == INTERCEPT]
        slopes = rows[rows["group"] != INTERCEPT]
        names = slopes["modulator"].str.removeprefix("beta_").to_list()
        wanted = pd.Series(slopes[f"beta_{name}"].to_numpy(), index=names)
        largest = float(wanted.abs().max())
        found = np.array([own.get(modulator, 0.0) for modulator in wanted.index])
        np.testing.assert_allclose(
            found, wanted.to_numpy(), rtol=0, atol=1e-6 * max(largest, 1e-300), err_msg=gene
        )
        assert set(own) - {"beta0"} <= set(wanted.index)
        if gene in tables:
            assert own["beta0"] == pytest.approx(
                float(intercept[f"beta_{name}"].iloc[0]), rel=1e-5, abs=1e-6 * largest
            )
        compared += 1
    assert compared > 0


def _coefficients(tables: Any, gene: str, cluster: str) -> dict[str, float]:
    if gene not in tables:
        return {}
    table = tables[gene]
    row = list(table.keys).index(cluster)
    return {
        "beta0": float(table.intercept[row]),
        **dict(zip(table.modulators, table.betas[row], strict=True)),
    }


EXPORTS = [
    (path, key.removeprefix("orphans_"))
    for path in SETS
    for key in expected(path)
    if key.startswith("orphans_")
]


@pytest.mark.parametrize(
    ("path", "name"),
    [(path, name) for path, name in EXPORTS if name in expected(path)["configs"]],
    ids=lambda value: getattr(value, "stem", value),
)
def test_orphans_and_files_are_reproduced(tmp_path: Path, path: Path, name: str) -> None:
    """Which genes are orphans, which columns are dropped, which clusters are zeroed, and the numbers."""
    given = expected(path)
    config = given["configs"][name]
    run = train(
        path,
        tmp_path / "run",
        group_reg=config["group_reg"],
        l1_reg=config["l1_reg"],
        scale_reg=config["scale"],
        score_threshold=given[f"score_threshold_{name}"],
    )
    assert set(run.orphans()) == set(given[f"orphans_{name}"])
    assert set(run.genes()) == set(given["n_modulators"]) - set(given[f"orphans_{name}"])
    folder = part(path, f"_betadata_{name}")
    files = sorted(folder.glob("*_betadata.feather"))
    assert files
    for file in files:
        stored, own = pd.read_feather(file), pd.read_feather(run.directory / file.name)
        assert list(own.columns) == list(stored.columns), file.name
        assert own["Cluster"].dtype == np.int64
        assert own["Cluster"].tolist() == stored["Cluster"].tolist()
        here, there = own.iloc[:, 1:].to_numpy(), stored.iloc[:, 1:].to_numpy()
        assert ((here == 0).all(axis=1) == (there == 0).all(axis=1)).all(), "zeroed clusters"
        largest = np.abs(there).max(axis=1, keepdims=True)
        assert (np.abs(here - there) <= 1e-6 * largest).all(), file.name


@pytest.mark.parametrize("path", SETS, ids=lambda path: path.stem)
def test_genes_without_regulators_are_orphans_when_only_tfs_are_used(tmp_path: Path, path: Path) -> None:
    given = expected(path)
    run = train(
        path,
        tmp_path / "run",
        group_reg=1e-6,
        l1_reg=1e-6,
        score_threshold=ALL,
        use_lr=False,
        use_tfl=False,
    )
    assert set(run.orphans()) == set(given["orphans_tf_only"])
    assert all("no modulator" in reason for reason in run.orphans().values())
