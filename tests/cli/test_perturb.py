"""Simulation and run reports from the shell."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import cytoripple as ct
from cytoripple._errors import SettingsError
from cytoripple.cli._perturb_job import parse_targets
from tests.cli.helpers import ask, call

KINDS = {".feather", ".csv", ".png"}


def test_a_knock_out_writes_tables_and_pictures(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "ko"
    answer = ask("perturb", "--run", run, "--gene", "Tf01", "--out", out, "--json")
    assert answer.code == 0, answer.err
    found = answer.data
    written = {Path(path) for path in (*found["files"], *found["pictures"])}
    assert written == set(out.iterdir())
    assert {path.suffix for path in written} == KINDS
    simulated = pd.read_feather(out / "Tf01_perturb_expr.feather")
    delta = pd.read_feather(out / "delta.feather")
    assert simulated.shape == (120, 31)
    assert (simulated["Tf01"] == 0).all()
    assert list(delta["CellID"]) == list(simulated["CellID"])
    assert set(delta.columns[1:]) <= set(simulated.columns)
    rows = list(csv.DictReader((out / "affected_genes.csv").read_text().splitlines()))
    assert {row["gene"] for row in rows} == {name for name in delta.columns[1:] if name != "Tf01"}


def test_the_files_equal_the_library(run: Path, toy: Path, tmp_path: Path) -> None:
    ask(
        "perturb",
        "--run",
        run,
        "--gene",
        "Tf01=2",
        "--gene",
        "Lig01",
        "--out",
        tmp_path / "a",
        "--no-pictures",
    )
    adata = ct.io.read(toy / "toy.h5ad")
    ct.tl.perturb(adata, run, {"Tf01": 2.0, "Lig01": 0.0})
    written = pd.read_feather(tmp_path / "a" / "joint_perturb_expr.feather").drop(columns="CellID")
    np.testing.assert_array_equal(
        written.to_numpy(), np.asarray(adata.layers["perturbation"], dtype=np.float64)
    )


def test_cells_can_be_named_by_label_and_by_list(run: Path, toy: Path, tmp_path: Path) -> None:
    adata = ct.io.read(toy / "toy.h5ad")
    inside = (adata.obs["cell_type"] == "Stromal").to_numpy()
    pd.DataFrame({"mine": adata.obs_names[inside]}).to_csv(tmp_path / "cells.csv", index=False)
    base = ("perturb", "--run", run, "--gene", "Tf01", "--no-pictures", "--json")
    by_label = ask(*base, "--out", tmp_path / "a", "--cells", "Stromal")
    by_list = ask(
        *base, "--out", tmp_path / "b", "--cells-csv", tmp_path / "cells.csv", "--cells-csv-column", "mine"
    )
    assert by_label.code == by_list.code == 0, by_label.err + by_list.err
    one = pd.read_feather(tmp_path / "a" / "delta.feather")
    assert one.equals(pd.read_feather(tmp_path / "b" / "delta.feather"))
    after = pd.read_feather(tmp_path / "a" / "Tf01_perturb_expr.feather")["Tf01"].to_numpy()
    assert (after[inside] == 0).all()
    assert (after[~inside] > 0).any()


def test_the_table_is_printed(run: Path, tmp_path: Path) -> None:
    answer = call(
        "perturb", "--run", run, "--gene", "Tf01", "--out", tmp_path / "ko", "--no-pictures", "--top", "2"
    )
    assert answer.code == 0, answer.err
    assert "most affected genes (Tf01 = 0)" in answer.out
    assert "Stromal" in answer.out


def test_the_result_says_how_it_was_found_and_what_its_sizes_mean(run: Path, tmp_path: Path) -> None:
    base = ("perturb", "--run", run, "--gene", "Tf01", "--no-pictures")
    found = ask(*base, "--out", tmp_path / "a", "--json").data
    assert (found["propagation"], found["magnitude"]) == ("reevaluate", "relative")
    assert 0 < found["convergence"]["rounds"] <= 4
    assert list(found["affected_genes"][0])[:4] == ["cell_type", "rank", "gene", "sign"]
    assert {row["predictable"] for row in found["affected_genes"]} <= {True, False}
    assert all(row["predictable"] == (row["held_out_r2"] > 0) for row in found["affected_genes"])
    header = (tmp_path / "a" / "affected_genes.csv").read_text().splitlines()[0].split(",")
    assert header[:4] == ["cell_type", "rank", "gene", "sign"]
    assert header[-2:] == ["relative_delta", "relative_abs_delta"]
    linear = ask(*base, "--out", tmp_path / "b", "--propagation", "linear", "--json").data
    assert (linear["propagation"], linear["convergence"]) == ("linear", None)
    printed = call(*base, "--out", tmp_path / "c", "--to-fixed-point")
    assert printed.code == 0, printed.err
    assert "compare ranks and directions" in printed.out
    assert "models re-evaluated in" in printed.out


def test_the_help_shows_both_ways() -> None:
    told = call("perturb", "--help").out
    assert "--propagation" in told
    assert "Example: cytoripple perturb --run run" in told


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--gene", "tf01"], "nearest: 'Tf01'"),
        (["--gene", "Tf01=-1"], "expected 0 or more"),
        (["--gene", "Tf01=lots"], "not a number"),
        (["--gene", "Tf01", "--gene", "Tf01=2"], "twice"),
        (["--gene", "Tf01", "--cells", "Stroma"], "'Stromal'"),
        (["--gene", "Tf01", "--cells-csv", "cells.csv"], "--cells-csv-column"),
        (["--gene", "Tf01", "--cells-csv", "cells.csv", "--cells-csv-column", "a"], "cells.csv"),
        (["--gene", "Tf01", "--preset", "ruby"], "preset"),
        (
            ["--gene", "Tf01", "--preset", "rust", "--propagation", "reevaluate"],
            "'rust' propagates derivatives",
        ),
        (["--gene", "Tf01", "--propagation", "cubic"], "reevaluate, linear"),
        (["--gene", "Tf01", "--to-fixed-point", "--n-propagation", "2"], "give one of them"),
        (["--gene", "Tf01", "--beta-cap", "0.5"], "propagation='linear'"),
    ],
)
def test_what_cannot_be_simulated_is_one_sentence_and_no_file(
    run: Path, tmp_path: Path, words: list[str], told: str
) -> None:
    answer = ask("perturb", "--run", run, "--out", tmp_path / "ko", *words)
    assert answer.code == 1
    assert told in answer.sentence
    assert list(tmp_path.iterdir()) == []


def test_a_run_of_another_tissue_is_refused(run: Path, tmp_path: Path) -> None:
    ask("data", "toy", tmp_path / "other", "--cells", 120, "--genes", 30, "--seed", 5)
    other = tmp_path / "other" / "toy.h5ad"
    answer = ask("perturb", "--run", run, "--h5ad", other, "--gene", "Tf01", "--out", tmp_path / "ko")
    assert answer.code == 1
    assert answer.sentence
    assert not (tmp_path / "ko").exists()


def test_targets_are_read_with_and_without_values() -> None:
    assert parse_targets(["A", "B=1.5"], 0.5) == {"A": 0.5, "B": 1.5}
    with pytest.raises(SettingsError, match="no gene name"):
        parse_targets(["=3"], 0.0)


def test_show_tells_the_run(run: Path) -> None:
    found = ask("run", "show", run, "--top", 4, "--json").data
    assert found["summary"]["genes"] == len(ct.io.open_run(run).genes())
    assert len(found["best_genes"]) == 4
    best = [row["r2_out_of_sample"] for row in found["best_genes"]]
    assert best == sorted(best, reverse=True)
    assert len(found["strongest_modulators"]) == 4
    assert "best explained genes" in ask("run", "show", run).out


def test_show_tells_the_coefficients_of_a_gene(run: Path) -> None:
    gene = ct.io.open_run(run).genes()[0]
    found = ask("run", "show", run, "--gene", gene, "--json").data
    table = ct.io.read_betadata(run, genes=[gene])[gene]
    assert list(found["coefficients"]) == ["intercept", *table.modulators]
    assert found["clusters"] == ["Epithelial", "Immune", "Muscle", "Stromal"]
    assert list(found["coefficients"]["intercept"].values()) == table.intercept.tolist()
    assert f"coefficients of {gene}" in ask("run", "show", run, "--gene", gene).out
    assert "nearest" in ask("run", "show", run, "--gene", gene[:-1]).sentence


def test_the_report_is_written_again(run: Path) -> None:
    page = run / "cytoripple_run_summary.html"
    page.unlink()
    answer = ask("run", "summary", run, "--json")
    assert answer.code == 0, answer.err
    assert Path(answer.data["report"]) == page
    assert page.read_text().startswith("<!")


def test_a_folder_that_is_no_run_is_one_sentence(tmp_path: Path) -> None:
    for words in (["run", "show"], ["run", "summary"]):
        assert str(tmp_path) in ask(*words, tmp_path).sentence
    assert str(tmp_path) in ask("perturb", "--run", tmp_path, "--gene", "A", "--out", tmp_path / "x").sentence
