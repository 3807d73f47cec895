"""``cytoripple bench truth``: the table, its margins, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from cytoripple._errors import InputError
from cytoripple.bench.runner import METRICS
from cytoripple.cli.bench import settings_from, whole_numbers
from tests.cli.helpers import ask, call

SMALL = [
    word
    for setting in ("n_cells=200", "n_tf=12", "n_masters=5", "n_ligands=5", "n_receptors=4", "n_targets=8")
    for word in ("--set", setting)
]


def test_the_report_has_means_margins_and_every_tissue(tmp_path: Path) -> None:
    out = tmp_path / "each.csv"
    found = ask(
        "bench", "truth", "--seeds", "1,2", "--estimators", "reference,co", *SMALL, "--out", out, "--json"
    ).data
    assert list(found["estimators"]) == ["reference", "co"]
    assert tuple(found["estimators"]["co"]) == METRICS
    margin = found["margins"]["co"]["reference"]["tf_aupr"]
    means = [found["estimators"][name]["tf_aupr"] for name in ("reference", "co")]
    assert margin["mean"] == pytest.approx(means[0] - means[1])
    assert margin["worst"] <= margin["mean"]
    assert list(found["margins"]["reference"]) == ["co"]
    assert len(found["per_tissue"]) == 4
    each = pd.read_csv(out)
    assert list(each["tissue"]) == [1, 1, 2, 2]
    assert each["tf_aupr"].iloc[0] == pytest.approx(found["per_tissue"][0]["tf_aupr"])


def test_the_table_is_readable() -> None:
    answer = ask("bench", "truth", "--seeds", "1", "--estimators", "reference,co", *SMALL)
    assert answer.code == 0, answer.err
    for text in (
        "Means over 1 tissue",
        "Margin over reference, mean and worst tissue",
        "Margin over co",
        "aupr",
    ):
        assert text in answer.out


def test_seeds_and_settings_are_read() -> None:
    assert whole_numbers("1-3,7, 2") == [1, 2, 3, 7]
    assert settings_from(["depth=300", "active=0.3"]) == {"depth": 300, "active": 0.3}
    assert isinstance(settings_from(["depth=300"])["depth"], int)
    for wrong in ("", "one", "1-x", "-3", "5-1"):
        with pytest.raises(InputError, match="--seeds"):
            whole_numbers(wrong)
    with pytest.raises(InputError, match="NAME=NUMBER"):
        settings_from(["depth"])


def test_mistakes_are_one_sentence(tmp_path: Path) -> None:
    assert "'reference'" in call("bench", "truth", "--estimators", "referense").sentence
    assert "'n_cells'" in call("bench", "truth", "--estimators", "co", "--set", "n_cell=3").sentence
    assert "does not exist" in call("bench", "truth", "--stored", tmp_path).sentence
