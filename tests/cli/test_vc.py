"""``cytoripple vc evaluate``."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from tests.cli.helpers import ask
from tests.vc.screens import dense, screen, with_values


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("screens")
    real = screen()
    real.write_h5ad(folder / "real.h5ad")
    with_values(real, dense(screen(seed=7))).write_h5ad(folder / "pred.h5ad")
    with_values(real, dense(real) * 40).write_h5ad(folder / "bad.h5ad")
    return folder


def words(files: Path, pred: str = "pred.h5ad") -> tuple[object, ...]:
    return ("vc", "evaluate", "--real", files / "real.h5ad", "--pred", files / pred)


def test_tables_are_written_and_told(files: Path, tmp_path: Path) -> None:
    answer = ask(*words(files), "--out", tmp_path / "a", "--profile", "vcc", "--json")
    assert answer.code == 0, answer.err
    assert set(answer.data["metrics"]) == {"overlap_at_N", "mae", "discrimination_score_l1"}
    names = {path.name for path in (tmp_path / "a").iterdir()}
    assert names == {"results.csv", "agg_results.csv", "real_de.csv", "pred_de.csv"}
    assert {Path(path).name for path in answer.data["files"]} == names


def test_scores_and_ceiling_are_added(files: Path, tmp_path: Path) -> None:
    ask(*words(files), "--out", tmp_path / "base", "--profile", "vcc")
    answer = ask(
        *words(files, "real.h5ad"), "--out", tmp_path / "b", "--profile", "vcc", "--json",
        "--baseline", tmp_path / "base" / "agg_results.csv", "--ceiling",
    )  # fmt: skip
    assert answer.code == 0, answer.err
    assert answer.data["scores"]["avg_score"] == 1.0
    assert 0 < answer.data["ceiling"]["overlap_at_N"] <= 1
    table = pd.read_csv(tmp_path / "b" / "score.csv")
    assert table["metric"].iloc[-1] == "avg_score"
    assert {"ceiling_results.csv", "agg_ceiling.csv"} <= {path.name for path in (tmp_path / "b").iterdir()}


def test_the_table_shows_every_metric(files: Path, tmp_path: Path) -> None:
    answer = ask(*words(files), "--out", tmp_path / "c", "--profile", "pds")
    assert answer.code == 0
    assert "discrimination_score_l1" in answer.out
    assert "results.csv" in answer.out


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (("--pred", "bad.h5ad"), "Take the logarithm"),
        (("--pert-col", "gene"), "no column 'gene'"),
        (("--control", "ctrl"), "no cell has the reference label 'ctrl'"),
        (("--profile", "vc"), "nearest: 'vcc'"),
        (("--compat", "old"), "cell-eval-0.8.2"),
        (("--baseline", "real.h5ad"), "aggregate table"),
        (("--baseline", "none.csv"), "does not exist"),
        (("--real", "none.h5ad"), "does not exist"),
    ],
)
def test_bad_input_is_one_sentence_and_nothing_is_written(
    files: Path, tmp_path: Path, change: tuple[str, str], text: str
) -> None:
    name, value = change
    given = files / value if "." in value else value
    answer = ask(*words(files), "--out", tmp_path / "d", name, given)
    assert answer.code == 1
    assert text in answer.sentence
    assert not (tmp_path / "d").exists()
