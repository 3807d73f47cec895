"""Golden numbers of differential expression and of the challenge metrics, for every set that is found."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import cytoripple as ct
from cytoripple.vc import Evaluation
from cytoripple.vc._screen import read_screen
from cytoripple.vc.de import differential_expression
from tests.conftest import golden_root

COMPAT = "cell-eval-0.8.2"
SETS = sorted(path.parent for path in golden_root().rglob("results_per_perturbation.csv"))
SMALL = sorted(path for folder in SETS for path in folder.glob("de_small_*.csv"))
FULL = sorted(path for folder in SETS for path in (*folder.glob("de_pred_*.csv"), folder / "de_real.csv"))

MEANS = {"pearson_delta", "mse", "mae", "mse_delta", "mae_delta"}
"""Columns that the reference computes in single precision."""
ROUNDING = {
    *MEANS - {"pearson_delta"},
    "de_nsig_counts_real",
    "de_nsig_counts_pred",
    "de_sig_genes_recall",
    "pr_auc",
    "roc_auc",
}
"""What can be compared when all predicted effects are rounding noise."""
ARGUMENTS: dict[str, dict[str, Any]] = {
    "ref_eps0": {},
    "ref_sparse": {},
    "ref_eps1e-9": {"epsilon": 1e-9},
    "ref_arith": {"geometric_mean": False},
    "ref_counts": {"is_log1p": False},
    "ref_cpm": {"cpm_filter": 40000.0},
    "all_eps0": {"mode": "all"},
}


def read(path: Path) -> pd.DataFrame:
    """Read a table with the exact numbers of its digits."""
    return pd.read_csv(path, float_precision="round_trip")


def as_adata(X: Any, labels: Any, genes: Any, *, compressed: bool = True) -> ad.AnnData:
    obs = pd.DataFrame({"target_gene": labels}, index=np.arange(len(labels)).astype(str))
    return ad.AnnData(sparse.csr_matrix(X) if compressed else X, obs=obs, var=pd.DataFrame(index=genes))


@cache
def inputs(folder: Path) -> dict[str, Any]:
    with np.load(folder / "inputs.npz") as stored:
        return {name: stored[name] for name in stored.files}


@cache
def evaluated(folder: Path, case: str) -> Evaluation:
    data = inputs(folder)
    real, pred = (as_adata(data[name], data["labels"], data["genes"]) for name in ("real", f"pred_{case}"))
    return ct.tl.evaluate(real, pred, compat=COMPAT)


def cases(folder: Path) -> list[str]:
    return [name.removeprefix("pred_") for name in inputs(folder) if name.startswith("pred_")]


CASES = [(folder, case) for folder in SETS for case in cases(folder)]


def comparable(folder: Path, case: str) -> list[str]:
    """Metrics of a case that are more than rounding noise in the reference."""
    data, found = inputs(folder), evaluated(folder, case)
    pred, control = data[f"pred_{case}"].astype(np.float64), data["labels"] == "non-targeting"
    names = [name for name in found.per_perturbation.columns[1:] if name != "clustering_agreement"]
    effects = np.array([pred[data["labels"] == label].mean(0) for label in set(data["labels"])])
    effects -= pred[control].mean(0)
    if np.abs(effects).max() < 1e-5:
        return [name for name in names if name in ROUNDING]
    per_label = [np.unique(pred[data["labels"] == label], axis=0) for label in set(data["labels"][~control])]
    if all(len(block) == 1 and (block == per_label[0]).all() for block in per_label):
        names.remove("pearson_edistance")  # equal energy distances: the correlation of their rounding
    return names


def test_there_are_sets() -> None:
    """A wrong golden folder must not pass for lack of files."""
    assert SETS, f"no results_per_perturbation.csv below {golden_root()}"
    assert len(CASES) > 0
    assert SMALL


@pytest.mark.parametrize("path", SMALL, ids=lambda path: path.stem)
def test_small_tables_of_every_mode(path: Path) -> None:
    kind = path.stem.removeprefix("de_small_")
    with np.load(path.parent / "de_small_input.npz") as stored:
        X, labels = stored["X"], stored["labels"]
    genes = [f"v{i}" for i in range(X.shape[1])]
    adata = as_adata(X, labels, genes, compressed=kind == "ref_sparse")
    screen = read_screen(adata, pert_col="target_gene", control="non-targeting")
    agrees(differential_expression(screen, **ARGUMENTS[kind]).table, read(path))


@pytest.mark.parametrize("path", FULL, ids=lambda path: path.stem)
def test_tables_of_the_screens(path: Path) -> None:
    data = inputs(path.parent)
    adata = as_adata(data[path.stem.removeprefix("de_")], data["labels"], data["genes"])
    agrees(ct.tl.rank_genes_perturbations(adata), read(path))


def agrees(table: pd.DataFrame, expected: pd.DataFrame) -> None:
    assert list(table.columns) == list(expected.columns)
    for name in ("target", "feature", "target_membership", "ref_membership", "statistic"):
        assert (table[name] == expected[name]).all(), name
    for name in ("p_value", "fdr"):
        np.testing.assert_allclose(table[name], expected[name], rtol=1e-12, err_msg=name)
    for name in ("target_mean", "ref_mean"):
        np.testing.assert_allclose(table[name], expected[name], rtol=3e-6, err_msg=name)
    for name in ("log2_fold_change", "percent_change"):  # differences of means that are rounded to f32
        np.testing.assert_allclose(table[name], expected[name], rtol=5e-6, atol=1e-5, err_msg=name)


def tolerance(metric: str) -> float:
    if metric in MEANS:
        return 1e-6
    if metric.startswith("de_spearman"):
        return 1e-9
    return 1e-5 if metric == "pearson_edistance" else 1e-12


@pytest.mark.parametrize(("folder", "case"), CASES, ids=lambda value: str(getattr(value, "name", value)))
def test_every_metric_of_every_perturbation(folder: Path, case: str) -> None:
    expected = read(folder / "results_per_perturbation.csv")
    expected = expected[expected["case"] == case].drop(columns="case").reset_index(drop=True)
    found = evaluated(folder, case).per_perturbation
    assert list(found.columns) == list(expected.columns)
    assert (found["perturbation"] == expected["perturbation"]).all()
    for name in comparable(folder, case):
        np.testing.assert_allclose(
            found[name], expected[name], rtol=0, atol=tolerance(name), equal_nan=True, err_msg=name
        )


@pytest.mark.parametrize(("folder", "case"), CASES, ids=lambda value: str(getattr(value, "name", value)))
def test_every_aggregate(folder: Path, case: str) -> None:
    expected, found = read(folder / f"agg_{case}.csv"), evaluated(folder, case).aggregate
    assert list(found["statistic"]) == list(expected["statistic"])
    for name in comparable(folder, case):
        np.testing.assert_allclose(
            found[name],
            expected[name],
            rtol=0,
            atol=max(tolerance(name), 1e-12),
            equal_nan=True,
            err_msg=name,
        )


@pytest.mark.parametrize("folder", SETS, ids=lambda path: path.name)
def test_scores_against_a_baseline(folder: Path) -> None:
    for path in folder.glob("scores_vs_*.csv"):
        base = path.stem.removeprefix("scores_vs_")
        expected = read(path)
        for case in cases(folder):
            scores = evaluated(folder, case).score(evaluated(folder, base))
            wanted = expected[(expected["case"] == case) & (expected["profile"] == "full")]
            assert list(scores["metric"]) == list(wanted["metric"])
            table = scores.merge(wanted, on="metric")
            known = set(comparable(folder, case)) & set(comparable(folder, base))
            for row in table[table["metric"].isin(known)].itertuples():
                loose = 2e-5 if row.metric == "pearson_edistance" else 2e-6
                assert row.from_baseline_x == pytest.approx(row.from_baseline_y, abs=loose), row
            if set(ct.vc.profiles.PROFILES["vcc"]) <= known:
                wanted = expected[(expected["case"] == case) & (expected["profile"] == "vcc")]
                average = wanted.loc[wanted["metric"] == "avg_score", "from_baseline"].item()
                total = evaluated(folder, case).challenge_score(evaluated(folder, base))
                assert total == pytest.approx(100 * average, abs=1e-4)


@pytest.mark.parametrize("folder", SETS, ids=lambda path: path.name)
def test_the_split_half_ceiling(folder: Path) -> None:
    data = inputs(folder)
    found = ct.vc.ceiling(as_adata(data["real"], data["labels"], data["genes"]), compat=COMPAT, seed=0)
    expected = read(folder / "ceiling_results.csv")
    assert list(found.per_perturbation.columns) == list(expected.columns)
    for name in expected.columns[1:]:
        if name != "clustering_agreement":
            np.testing.assert_allclose(
                found.per_perturbation[name], expected[name], rtol=0, atol=tolerance(name), err_msg=name
            )
    total = read(folder / "agg_ceiling.csv").iloc[0]
    np.testing.assert_allclose(found.aggregate.iloc[0], total[list(found.aggregate)], rtol=0, atol=1e-6)
