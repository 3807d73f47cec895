"""The page of a comparison: self-contained, and every number the one that was computed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import anndata as ad
import numpy as np
import pytest

import cytoripple as ct
from cytoripple.vc.comparison import DEFAULT, Comparison
from cytoripple.vc.report import page_data
from tests.cli.helpers import ask
from tests.grn.test_report import EVIL, Page
from tests.vc.screens import CONTROL, dense, labels_of, screen, with_values

PERTURBATIONS = [f"g{k:02d}" for k in range(6)]


def noisy(real: ad.AnnData) -> ad.AnnData:
    """Return the measured cells with half of the effect of every perturbation, and noise."""
    X, labels = dense(real).astype(np.float64), labels_of(real)
    noise = np.random.default_rng(3).normal(0, 0.2, X.shape) * (X > 0)
    for name in PERTURBATIONS:
        X[labels == name] -= (X[labels == name].mean(axis=0) - X[labels == CONTROL].mean(axis=0)) / 2
    return with_values(real, np.maximum(X + noise, 0).astype(np.float32))


@pytest.fixture(scope="module")
def real() -> ad.AnnData:
    return screen()


@pytest.fixture(scope="module")
def found(real: ad.AnnData) -> Comparison:
    return ct.vc.compare(real, noisy(real), threads=1)


@pytest.fixture(scope="module")
def text(found: Comparison, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = ct.vc.write_report(found, tmp_path_factory.mktemp("page") / "report.html", title=EVIL)
    return path.read_text(encoding="utf-8")


def data_of(text: str) -> dict[str, object]:
    return json.loads(next(script for script in Page(text).scripts if script.startswith("{")))


def test_a_comparison_is_the_evaluations_side_by_side(real: ad.AnnData, found: Comparison) -> None:
    alone = ct.tl.evaluate(real, noisy(real), threads=1)
    np.testing.assert_array_equal(
        found.prediction.per_perturbation.to_numpy()[:, 1:].astype(float),
        alone.per_perturbation.to_numpy()[:, 1:].astype(float),
    )
    mean = ct.vc.baseline("global_mean", real).to_adata()
    base = ct.tl.evaluate(real, mean, threads=1)
    table = found.table.set_index("metric")
    assert list(table.columns) == ["prediction", *DEFAULT, "ceiling", "score"]
    assert table.loc["mae", "global_mean"] == base.aggregate.set_index("statistic").loc["mean", "mae"]
    assert table.loc["mae", "score"] == pytest.approx(
        1 - table.loc["mae", "prediction"] / table.loc["mae", "global_mean"]
    )
    assert found.challenge_scores["prediction"] == alone.challenge_score(base)
    assert found.challenge_scores["global_mean"] == 0
    cells = ct.tl.evaluate(real, ct.vc.baseline("control_cells", real).to_adata(), threads=1)
    for name, expected in (("global_mean", base), ("control_cells", cells)):
        np.testing.assert_array_equal(
            found.baselines[name].per_perturbation.to_numpy()[:, 1:].astype(float),
            expected.per_perturbation.to_numpy()[:, 1:].astype(float),
        )
    best = ct.vc.ceiling(real, threads=1).aggregate.iloc[0]
    assert table.loc["roc_auc", "ceiling"] == best["roc_auc"]


def test_half_an_effect_beats_every_baseline(found: Comparison) -> None:
    scores = found.challenge_scores
    assert scores["prediction"] > max(scores[name] for name in DEFAULT) + 20


def test_the_effects_are_differences_to_the_control(real: ad.AnnData, found: Comparison) -> None:
    for side, effects in ((real, found.real_effects), (noisy(real), found.pred_effects)):
        X, labels = dense(side).astype(np.float64), labels_of(side)
        expected = X[labels == "g02"].mean(axis=0) - X[labels == CONTROL].mean(axis=0)
        np.testing.assert_allclose(effects[2], expected, atol=1e-6)


def test_the_page_loads_nothing_and_nests(text: str) -> None:
    page = Page(text)
    assert not page.open
    links = [attributes for _, attributes in page.tags if {"src", "href"} & set(attributes)]
    assert not links
    assert not [tag for tag, _ in page.tags if tag in ("link", "img", "iframe", "object")]
    assert "https:" not in text
    assert set(re.findall(r"http:[^\"']*", text)) == {"http://www.w3.org/2000/svg"}, "a name, not an address"
    policy = next(a["content"] for tag, a in page.tags if tag == "meta" and "http-equiv" in a)
    assert policy is not None
    assert policy.startswith("default-src 'none'")


def test_titles_are_text(text: str) -> None:
    assert "<img" not in text
    assert "&lt;img" in text


def test_the_scores_of_the_page_are_those_of_the_table(text: str, found: Comparison) -> None:
    rows = {
        re.sub(r"<[^>]*>| [↑↓]| \(.*?\)", "", row[0]): row[1:]
        for row in (
            re.findall(r"<td[^>]*>(.*?)</td>", line)
            for line in re.findall(r"<tr>(<td>.*?)</tr>", text, re.DOTALL)
        )
    }
    table = found.table.set_index("metric")
    assert set(rows) == {*table.index, "challenge score"}
    for metric in ("overlap_at_N", "discrimination_score_l1", "mae", "pearson_delta", "mse"):
        for shown, value in zip(rows[metric], table.loc[metric], strict=False):
            assert shown == "-" if np.isnan(value) else float(shown) == pytest.approx(value, abs=6e-4)
    assert float(rows["challenge score"][0]) == pytest.approx(found.challenge_scores["prediction"], abs=0.06)


def test_every_perturbation_can_be_looked_at(text: str, found: Comparison) -> None:
    data = data_of(text)
    assert [one["name"] for one in data["perturbations"]] == PERTURBATIONS
    table = found.prediction.per_perturbation.set_index("perturbation")
    for row in data["rows"]:
        line = dict(zip(data["columns"], row, strict=True))
        assert line["cells, measured"] == line["cells, predicted"] == 40
        assert line["PDS"] == pytest.approx(table.loc[row[0], "discrimination_score_l1"], rel=1e-5)
        assert line["DE genes, measured"] == table.loc[row[0], "de_nsig_counts_real"]


def test_the_pictures_hold_the_tests(found: Comparison) -> None:
    data = page_data(found)
    one = data["perturbations"][3]
    assert data["genes_measured"] == 60
    assert [data["genes"][gene] for gene in one["genes"]] == list(found.genes)
    assert data["genes"][one["own"]] == "g03"
    np.testing.assert_allclose(one["real"], found.real_effects[3], rtol=1e-3)
    np.testing.assert_allclose(one["pred"], found.pred_effects[3], rtol=1e-3)
    for side, tests in (("real", found.prediction.de_real), ("pred", found.prediction.de_pred)):
        mine = tests[tests["target"] == "g03"]
        np.testing.assert_allclose(
            [float(value) for value in one[f"lfc_{side}"]], mine["log2_fold_change"], rtol=1e-3
        )
        np.testing.assert_allclose(one[f"q_{side}"], -np.log10(mine["fdr"]), rtol=1e-3)
        significant = (np.array(one["significant"]) & (1 if side == "real" else 2)) > 0
        np.testing.assert_array_equal(significant, mine["fdr"] < 0.05)


def test_a_gene_that_only_one_side_expresses_has_an_infinite_change(real: ad.AnnData) -> None:
    X = dense(real).copy()
    X[labels_of(real) == CONTROL, 9] = 0
    silent = with_values(real, X)
    page = page_data(ct.vc.compare(silent, silent, with_ceiling=False, profile="vcc"))
    assert page["perturbations"][0]["lfc_real"][9] == "Infinity"


def test_large_screens_draw_the_strongest_and_the_own_gene(
    found: Comparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cytoripple.vc.report._MOST_POINTS", 1)
    monkeypatch.setattr("cytoripple.vc.report._FEWEST_GENES", 20)
    data = page_data(found)
    for at, one in enumerate(data["perturbations"]):
        names = [data["genes"][gene] for gene in one["genes"]]
        assert len(set(names)) == len(names) == 20
        assert one["name"] in names
        assert found.genes[np.abs(found.real_effects[at]).argmax()] in names
        assert found.genes[np.abs(found.pred_effects[at]).argmax()] in names


def test_without_tests_there_are_no_volcanoes(real: ad.AnnData) -> None:
    found = ct.vc.compare(real, noisy(real), profile="pds", with_ceiling=False, baselines=["control_mean"])
    assert found.challenge_scores == {}
    assert "lfc_real" not in page_data(found)["perturbations"][0]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"baselines": ["global"]}, "there is no baseline 'global'"),
        ({"baselines": []}, "no baseline is given"),
        ({"profile": "vc"}, "nearest: 'vcc'"),
        ({"control": "ctrl"}, "'ctrl'"),
    ],
)
def test_mistakes_are_one_sentence(real: ad.AnnData, settings: dict[str, object], words: str) -> None:
    with pytest.raises(ct.CytorippleError, match=words):
        ct.vc.compare(real, real, **settings)  # type: ignore[arg-type]


def test_the_command_writes_the_page(real: ad.AnnData, tmp_path: Path) -> None:
    real.write_h5ad(tmp_path / "real.h5ad")
    noisy(real).write_h5ad(tmp_path / "model.h5ad")
    words = ("vc", "report", "--real", tmp_path / "real.h5ad", "--pred", tmp_path / "model.h5ad")
    answer = ask(*words, "--out", tmp_path / "a.html", "--baselines", "control_cells,derangement", "--json")
    assert answer.code == 0, answer.err
    assert set(answer.data["challenge_scores"]) == {"prediction", "control_cells", "derangement"}
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert "<h1>model</h1>" in page
    assert len(data_of(page)["perturbations"]) == 6
    refused = ask(*words, "--out", tmp_path / "b.html", "--pert-col", "gene")
    assert refused.code == 1
    assert "no column 'gene'" in refused.sentence
    assert not (tmp_path / "b.html").exists()
    shown = ask(*words, "--out", tmp_path / "c.html", "--profile", "vcc", "--no-ceiling")
    assert "challenge score of prediction" in shown.out
