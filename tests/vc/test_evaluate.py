"""Properties that the challenge metrics must have, whatever the data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy import sparse

import cytoripple as ct
from cytoripple.vc.profiles import PROFILES
from tests.vc.screens import CONTROL, dense, labels_of, screen, with_values

PERTURBATIONS = [f"g{k:02d}" for k in range(6)]


@pytest.fixture(scope="module")
def real() -> ad.AnnData:
    return screen()


def replaced(real: ad.AnnData, make: Any) -> ad.AnnData:
    """Return the screen with every perturbation replaced by ``make(name, its cells)``."""
    X, labels = dense(real).copy(), labels_of(real)
    for name in PERTURBATIONS:
        X[labels == name] = make(name, X[labels == name])
    return with_values(real, X)


def control_of(real: ad.AnnData) -> NDArray[np.float32]:
    return dense(real)[labels_of(real) == CONTROL]


def mean(result: ct.vc.Evaluation, metric: str) -> float:
    return float(result.aggregate.set_index("statistic").loc["mean", metric])


def test_a_perfect_prediction_is_perfect(real: ad.AnnData) -> None:
    result = ct.tl.evaluate(real, real)
    table = result.per_perturbation
    for name in PROFILES["full"]:
        if name.startswith(("overlap", "precision", "discrimination", "pearson", "pr_", "roc_", "de_s")):
            np.testing.assert_allclose(table[name], 1.0, rtol=1e-12, err_msg=name)
        if name.startswith(("mae", "mse")):
            assert (table[name] == 0).all()
    assert (table["de_nsig_counts_real"] == table["de_nsig_counts_pred"]).all()
    assert not [text for text in result.warnings if "clustering" not in text]


def test_a_perturbation_without_effect_costs_a_perfect_prediction_nothing(real: ad.AnnData) -> None:
    """The reference scores it 0; here two empty sets of genes agree."""
    adata = real.copy()
    X, labels = dense(real), labels_of(real)
    X[labels == "g03"] = X[labels == CONTROL][:40]
    adata = with_values(adata, X)
    assert mean(ct.tl.evaluate(adata, adata, profile="vcc"), "overlap_at_N") == 1.0
    same = ct.tl.evaluate(adata, adata, profile="vcc", compat="cell-eval-0.8.2")
    assert mean(same, "overlap_at_N") == pytest.approx(5 / 6)


def test_a_constant_prediction_discriminates_by_chance(real: ad.AnnData) -> None:
    """Exactly (P + 1) / 2P when no perturbation is named after a gene."""
    renamed = real.copy()
    renamed.obs["target_gene"] = [label if label == CONTROL else f"ko {label}" for label in labels_of(real)]
    flat = renamed.copy()
    X = dense(flat)
    X[labels_of(flat) != CONTROL] = X.mean(axis=0)
    flat = with_values(flat, X)
    result = ct.tl.evaluate(renamed, flat, profile="anndata")
    for metric in PROFILES["anndata"]:
        if metric.startswith("discrimination"):
            assert mean(result, metric) == pytest.approx(7 / 12, abs=1e-12)


def test_control_cells_find_no_gene_and_are_off_by_the_effect(real: ad.AnnData) -> None:
    rng = np.random.default_rng(3)
    control = control_of(real)
    pred = replaced(real, lambda name, cells: control[rng.integers(0, len(control), len(cells))])
    result = ct.tl.evaluate(real, pred, profile="minimal")
    assert mean(result, "overlap_at_N") < 0.05
    exact = replaced(real, lambda name, cells: np.resize(control, cells.shape))
    expected = np.mean(
        [
            np.abs(dense(real)[labels_of(real) == name].mean(0) - np.resize(control, (40, 60)).mean(0)).mean()
            for name in PERTURBATIONS
        ]
    )
    assert mean(ct.tl.evaluate(real, exact, profile="vcc"), "mae") == pytest.approx(expected, abs=1e-6)


def test_control_means_are_noise_and_said_to_be(real: ad.AnnData) -> None:
    control = control_of(real).astype(np.float64).mean(axis=0).astype(np.float32)
    pred = replaced(real, lambda name, cells: np.tile(control, (len(cells), 1)))
    result = ct.tl.evaluate(real, pred)
    assert result.per_perturbation["pearson_delta"].isna().all()
    assert mean(result, "discrimination_score_cosine") == pytest.approx(7 / 12)
    assert any("equal in more than half" in text for text in result.warnings)
    assert any("do not differ from the predicted control" in text for text in result.warnings)


def test_a_derangement_is_never_nearest_to_itself(real: ad.AnnData) -> None:
    X, labels = dense(real), labels_of(real)
    cells = {name: X[labels == name] for name in PERTURBATIONS}
    following = dict(zip(PERTURBATIONS, PERTURBATIONS[1:] + PERTURBATIONS[:1], strict=True))
    pred = replaced(real, lambda name, mine: cells[following[name]])
    found = ct.tl.evaluate(real, pred, profile="pds").per_perturbation["discrimination_score_l1"]
    assert (found < 1).all()
    n = len(PERTURBATIONS)
    sd = np.sqrt((n**2 - 1) / (12 * n**3))
    assert abs(found.mean() - (n + 1) / (2 * n)) < 3 * sd


def test_permuted_columns_under_unchanged_names_are_punished(real: ad.AnnData) -> None:
    order = np.random.default_rng(5).permutation(real.n_vars)
    pred = replaced(real, lambda name, cells: cells[:, order])
    honest, wrong = (ct.tl.evaluate(real, given, profile="vcc") for given in (real, pred))
    assert mean(wrong, "mae") > 0.5 > mean(honest, "mae")
    assert mean(wrong, "overlap_at_N") < 0.6
    assert mean(wrong, "discrimination_score_l1") < 0.9


def test_a_model_that_knows_only_the_target_scores_chance(real: ad.AnnData) -> None:
    """The target gene is left out, so its own knock-down does not tell perturbations apart."""
    control = control_of(real)

    def only_target(name: str, cells: NDArray[np.float32]) -> NDArray[np.float32]:
        out = np.resize(control, cells.shape).copy()
        own = list(real.var_names).index(name)
        out[:, own] = cells[:, own]
        return out

    pred = replaced(real, only_target)
    found = ct.tl.evaluate(real, pred, profile="pds").per_perturbation["discrimination_score_l1"]
    n = len(PERTURBATIONS)
    assert abs(found.mean() - (n + 1) / (2 * n)) < 3 * np.sqrt((n**2 - 1) / (12 * n**3))


def test_common_changes_of_both_sides_leave_discrimination_alone(real: ad.AnnData) -> None:
    pred = replaced(real, lambda name, cells: cells * np.float32(0.5))
    expected = ct.tl.evaluate(real, pred, profile="anndata").per_perturbation
    order = np.random.default_rng(2).permutation(real.n_vars)
    found = ct.tl.evaluate(real[:, order].copy(), pred[:, order].copy(), profile="anndata").per_perturbation
    moved = ct.tl.evaluate(
        real, with_values(pred, dense(pred) + np.float32(0.25)), profile="anndata"
    ).per_perturbation
    for name in PROFILES["anndata"]:
        if name.startswith("discrimination"):
            np.testing.assert_array_equal(found[name], expected[name])
            np.testing.assert_array_equal(moved[name], expected[name])


def test_threads_and_storage_change_no_bit(real: ad.AnnData, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    pred = replaced(real, lambda name, cells: np.maximum(0, cells + rng.normal(0, 0.5, cells.shape)))
    expected = ct.tl.evaluate(real, pred, threads=1)
    np.save(tmp_path / "pred.npy", dense(pred))
    mapped = np.load(tmp_path / "pred.npy", mmap_mode="r")
    for X in (np.asfortranarray(dense(pred)), sparse.csr_matrix(pred.X), sparse.csc_matrix(pred.X), mapped):
        for threads in (1, 3):
            other = with_values(real, sparse.csc_matrix(real.X)), with_values(pred, X)
            found = ct.tl.evaluate(*other, threads=threads)
            pd.testing.assert_frame_equal(found.per_perturbation, expected.per_perturbation, check_exact=True)


@pytest.mark.parametrize("profile", list(PROFILES))
def test_every_profile_has_its_columns(real: ad.AnnData, profile: Any) -> None:
    result = ct.tl.evaluate(real, real, profile=profile)
    assert list(result.per_perturbation.columns) == ["perturbation", *PROFILES[profile]]
    assert list(result.aggregate.columns) == ["statistic", *PROFILES[profile]]
    tested = any(name.startswith(("overlap", "de_")) for name in PROFILES[profile])
    assert (result.de_real is not None) == (result.de_pred is not None) == tested
    assert len(PROFILES["full"]) == 28


def test_scores_run_from_the_baseline_to_the_best_value(real: ad.AnnData) -> None:
    whole = dense(real).mean(axis=0)
    base = ct.tl.evaluate(real, replaced(real, lambda n, c: np.tile(whole, (len(c), 1))), profile="vcc")
    perfect = ct.tl.evaluate(real, real, profile="vcc")
    assert perfect.score(base)["from_baseline"].tolist() == [1.0] * 4
    assert base.score(base)["from_baseline"].tolist() == [0.0] * 4
    assert perfect.challenge_score(base) == 100.0
    assert base.challenge_score(base.aggregate) == 0.0


def test_the_files_have_the_names_of_the_reference(real: ad.AnnData, tmp_path: Path) -> None:
    written = ct.tl.evaluate(real, real, compat="cell-eval-0.8.2").write(tmp_path / "out")
    assert [path.name for path in written] == ["results.csv", "agg_results.csv", "real_de.csv", "pred_de.csv"]
    back = pd.read_csv(tmp_path / "out" / "results.csv")
    assert list(back["perturbation"]) == PERTURBATIONS
    assert len(pd.read_csv(tmp_path / "out" / "real_de.csv")) == 6 * real.n_vars


def test_halves_of_the_cells_tell_what_is_possible(real: ad.AnnData) -> None:
    best = ct.vc.ceiling(real, seed=1)
    again = ct.vc.ceiling(real, seed=1)
    pd.testing.assert_frame_equal(best.aggregate, again.aggregate)
    assert 0.5 < best.aggregate["pearson_delta"].item() <= 1
    assert np.isnan(best.aggregate["mae"].item())


def test_clusters_of_equal_means_agree(real: ad.AnnData) -> None:
    pytest.importorskip("scanpy")
    pytest.importorskip("igraph")
    result = ct.tl.evaluate(real, real, profile="anndata")
    assert mean(result, "clustering_agreement") == pytest.approx(1.0)
