"""The two ways to propagate a change, and what a result says about itself."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from cytoripple._errors import InputError, SettingsError
from cytoripple._settings import Settings
from cytoripple.io.betadata import write_betadata
from cytoripple.io.gene_log import ClusterFit, log_path, log_text
from cytoripple.perturb import Betabase, affected_genes, perturb
from tests.perturb.conftest import GENES, KEYWORDS, make_betas


def run(adata: AnnData, betas: Path | Betabase, targets: dict[str, float], **options: Any) -> pd.DataFrame:
    perturb(adata, betas, targets, **(KEYWORDS | options))
    return adata.to_df("perturbation_delta")


def test_the_models_are_evaluated_anew(tissue: AnnData, betas: Path) -> None:
    """MYC follows FOXO1 and CCL5$CCR5, written out: the signal of the state minus that of the data."""
    x, xy = tissue.to_df("imputed_count"), tissue.obsm["spatial"]
    kernel = np.exp(-((xy[:, None] - xy[None]) ** 2).sum(axis=2) / (2 * 30.0**2)) / len(x)
    tf, pair = Betabase.open(betas).table("MYC").betas[tissue.obs["cluster"]].T
    changed = x.assign(CCL5=np.where(np.arange(40) < 9, 6.0, x["CCL5"]), CCR5=0.5)
    change = pair * (changed["CCR5"] * (kernel @ changed["CCL5"]) - x["CCR5"] * (kernel @ x["CCL5"]))
    expected = np.clip(x["MYC"] + change, 0, x["MYC"].max()) - x["MYC"]
    cells = {"CCL5": np.arange(40) < 9, "CCR5": None}
    delta = run(tissue, betas, {"CCL5": 6.0, "CCR5": 0.5}, cells=cells, n_propagation=1)
    np.testing.assert_allclose(delta["MYC"], expected, rtol=0, atol=1e-12)
    assert not np.allclose(tf, 0)


@pytest.mark.parametrize(
    ("options", "way", "steps"),
    [
        ({}, "reevaluate", 4),
        ({"propagation": "linear"}, "linear", 3),
        ({"propagation": "reevaluate", "n_propagation": 2}, "reevaluate", 2),
        ({"preset": "python"}, "linear", 3),
        ({"preset": "rust", "n_propagation": 1}, "linear", 1),
        ({"to_fixed_point": True}, "reevaluate", 30),
    ],
)
def test_the_preset_implies_the_way_and_its_steps(
    tissue: AnnData, betas: Path, options: dict[str, Any], way: str, steps: int
) -> None:
    run(tissue, betas, {"FOXO1": 0.0}, **options)
    record = tissue.uns["perturbation"]
    assert (record["propagation"], record["n_propagation"]) == (way, steps)
    assert ("convergence" in record) is (way == "reevaluate")
    assert record["magnitude"] == "relative"


def test_the_ways_differ_where_a_product_changes_at_both_ends(tissue: AnnData, betas: Path) -> None:
    """Ligand and receptor to 0: derivatives take the product away twice."""
    targets = {"CCL5": 0.0, "CCR5": 0.0}
    tissue.layers["imputed_count"][:, GENES.index("MYC")] += 9.0
    tissue.layers["imputed_count"][0, GENES.index("MYC")] = 99.0  # so that no other cell is clipped
    once = run(tissue, betas, targets, n_propagation=1)["MYC"]
    twice = run(tissue, betas, targets, n_propagation=1, propagation="linear")["MYC"]
    assert once.any()
    np.testing.assert_allclose(twice[1:], 2 * once[1:], rtol=1e-9, atol=1e-12)


def test_the_rounds_are_recorded_and_survive_a_file(tissue: AnnData, betas: Path, tmp_path: Path) -> None:
    run(tissue, betas, {"FOXO1": 0.0}, n_propagation=9)
    tissue.write_h5ad(tmp_path / "result.h5ad")
    record = anndata.read_h5ad(tmp_path / "result.h5ad").uns["perturbation"]
    assert record["convergence"]["rounds"] == 3  # FOXO1, then MYC and STAT1, then IL10, then nothing
    assert record["convergence"]["largest_last_change"] == 0.0
    assert record["convergence"]["converged"]


def test_a_search_without_a_fixed_point_warns_once(
    tissue: AnnData, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one = {"keys": [0, 1], "intercept": np.zeros(2)}
    betas = np.tile([1.0, -9.0], (2, 1))
    write_betadata(tmp_path / "MYC_betadata.feather", modulators=["FOXO1", "MYC"], betas=betas, **one)
    with caplog.at_level(logging.WARNING):
        run(tissue, tmp_path, {"FOXO1": 0.0}, to_fixed_point=True)
    assert sum("no fixed point after 30 rounds" in line.message for line in caplog.records) == 1
    found = tissue.uns["perturbation"]["convergence"]
    assert (found["rounds"], bool(found["converged"])) == (30, False)
    caplog.clear()
    run(tissue, tmp_path, {"FOXO1": 0.0}, n_propagation=2)
    assert not caplog.records


def test_a_fixed_point_is_where_more_rounds_lead(tissue: AnnData, betas: Path) -> None:
    found = run(tissue, betas, {"FOXO1": 0.0}, to_fixed_point=True)
    assert tissue.uns["perturbation"]["convergence"]["converged"]
    np.testing.assert_allclose(found, run(tissue, betas, {"FOXO1": 0.0}, n_propagation=30), atol=2e-3)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"propagation": "cubic"}, "propagation is 'cubic': expected one of reevaluate, linear"),
        ({"preset": "python", "propagation": "reevaluate"}, "preset 'python' propagates derivatives"),
        ({"preset": "rust", "propagation": "reevaluate"}, "preset 'rust' propagates derivatives"),
        ({"preset": "rust", "to_fixed_point": True}, "to_fixed_point needs"),
        ({"to_fixed_point": True, "n_propagation": 3}, "give one of them"),
        ({"beta_cap": 0.5}, "propagation='linear'"),
        ({"propagation": "reevaluate", "n_propagation": -1}, "n_propagation is -1"),
    ],
)
def test_what_does_not_go_together_is_refused(
    tissue: AnnData, betas: Path, options: dict[str, Any], reason: str
) -> None:
    with pytest.raises(InputError, match=reason):
        run(tissue, betas, {"FOXO1": 0.0}, **options)
    assert not tissue.uns


def test_settings_know_the_way() -> None:
    assert Settings().perturbation.propagation is None
    found = Settings().with_overrides({"perturbation.propagation": "linear", "perturbation.preset": "rust"})
    assert found.perturbation.propagation == "linear"
    with pytest.raises(SettingsError, match="propagates derivatives"):
        found.with_overrides({"perturbation.propagation": "reevaluate"})


def test_a_recorded_threshold_of_expression_is_used(tissue: AnnData, betas: Path) -> None:
    """Amounts that training did not count are not counted here."""
    keywords = {name: value for name, value in KEYWORDS.items() if name != "ligand_method"}
    base = Betabase.open(betas, **keywords)
    high = base._with(replace(base.fitted, min_expression=1e6))
    for way in ("reevaluate", "linear"):
        for used, reached in ((base, True), (high, False)):
            perturb(tissue, used, {"CCL5": 6.0}, cells=["cell_03"], propagation=way, n_propagation=1)
            assert bool(tissue.to_df("perturbation_delta")["MYC"].any()) is reached


def scored(betas: Path, scores: dict[str, list[float]]) -> Betabase:
    """Folder with logs, as a run leaves them; cluster 0 has three times the cells of cluster 1."""
    (betas / "log").mkdir()
    for gene, values in scores.items():
        rows = [
            ClusterFit(cluster, [30, 10][cluster], 2, 0.5, 1.0, 9, True, 0.5, value)
            for cluster, value in enumerate(values)
        ]
        log_path(betas, gene).write_text(log_text(gene, rows, {}))
    keywords = {name: value for name, value in KEYWORDS.items() if name != "ligand_method"}
    base = Betabase.open(betas, **keywords)
    return base._with(replace(base.fitted, recorded=True))


def test_targets_that_held_out_cells_do_not_support_are_flagged(tissue: AnnData, betas: Path) -> None:
    """They keep their change; the score is the mean over clusters, weighted by cells."""
    base = scored(betas, {"MYC": [0.2, -0.2], "STAT1": [-0.1, 0.3], "IL10": [float("nan")] * 2})
    perturb(tissue, base, {"FOXO1": 0.0})
    table = affected_genes(tissue, groupby="label").set_index("gene").loc[["MYC", "STAT1", "IL10"]]
    assert [*table.loc["MYC", "predictable"]] == [True, True]
    np.testing.assert_allclose(table.loc["MYC", "held_out_r2"], 0.1)
    assert [*table.loc["STAT1", "predictable"]] == [False, False]
    np.testing.assert_allclose(table.loc["STAT1", "held_out_r2"], 0.0, atol=1e-15)
    assert (table.loc["STAT1", "relative_abs_delta"] > 0).all()
    assert table.loc["IL10", "predictable"].isna().all()


def test_without_logs_nothing_is_flagged(tissue: AnnData, betas: Path) -> None:
    run(tissue, betas, {"FOXO1": 0.0})
    assert "held_out_r2" not in tissue.uns["perturbation"]
    assert affected_genes(tissue)["predictable"].isna().all()


def test_a_stronger_model_changes_more_but_ranks_alike(tissue: AnnData, betas: Path, tmp_path: Path) -> None:
    """Why sizes are called relative: the table of ranks does not depend on a common factor of the models."""
    weak = tmp_path / "weak"
    weak.mkdir()
    tissue.layers["imputed_count"] += 20.0
    run(tissue, betas, {"FOXO1": 15.0}, n_propagation=1)
    strong_table = affected_genes(tissue)
    run(tissue, make_betas(weak, scale=0.1), {"FOXO1": 15.0}, n_propagation=1)
    weak_table = affected_genes(tissue)
    shown = ["cell_type", "rank", "gene", "sign"]
    pd.testing.assert_frame_equal(weak_table[shown], strong_table[shown])
    assert weak_table["relative_abs_delta"].sum() < 0.5 * strong_table["relative_abs_delta"].sum()
