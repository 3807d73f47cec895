"""Golden numbers of the solver: stand-alone problems and the fits of a small tissue."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cytoripple.kernels.lasso import SparseGroupLasso, sparse_group_lasso
from tests.conftest import golden_root

TRAINING = golden_root() / "training"
PROBLEMS = sorted(TRAINING.glob("lasso_*.npz"))


def load(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Everything in the file, and the keyword arguments of the problem it holds."""
    with np.load(path) as stored:
        values = {name: stored[name] for name in stored.files}
    group_reg = values["group_reg"]
    arguments = {
        "group_reg": float(group_reg) if group_reg.ndim == 0 else group_reg,
        "l1_reg": float(values["l1_reg"]),
        "scale_reg": str(values["scale_reg"]),
        "fit_intercept": bool(values["fit_intercept"]),
    }
    return values, arguments


def fitted(path: Path, **settings: Any) -> tuple[dict[str, Any], SparseGroupLasso]:
    values, arguments = load(path)
    return values, sparse_group_lasso(values["X"], values["y"], values["groups"], **arguments, **settings)


def test_there_are_problems() -> None:
    """A wrong golden folder must not pass for lack of files."""
    assert PROBLEMS, f"no lasso_*.npz in {TRAINING}"


@pytest.mark.parametrize("path", PROBLEMS, ids=lambda path: path.stem)
def test_the_optimum_is_reached_with_default_settings(path: Path) -> None:
    """Objective within 1e-10 relative, coefficients within the tolerance of the file, gap as small."""
    values, fit = fitted(path)
    best = float(values["objective"])
    assert abs(fit.objective - best) <= 1e-10 * best
    assert fit.gap <= 1e-10 * best
    assert fit.converged
    np.testing.assert_allclose(fit.coef, values["coef"], rtol=0, atol=float(values["coef_atol"]))
    assert abs(fit.intercept - float(values["intercept"])) <= float(values["coef_atol"])


@pytest.mark.parametrize("path", PROBLEMS, ids=lambda path: path.stem)
def test_the_objective_is_the_one_of_the_definition(path: Path) -> None:
    """The reported objective is recomputed from coefficients, intercept and effective weights."""
    values, fit = fitted(path)
    x, groups = values["X"].astype(np.float64), values["groups"]
    residual = values["y"] - x @ fit.coef - fit.intercept
    norms = [np.linalg.norm(fit.coef[groups == g]) for g in values["group_ids"]]
    penalty = values["lambda_g"] @ norms + values["l1_reg"] * np.abs(fit.coef).sum()
    assert fit.objective == pytest.approx(residual @ residual / (2 * len(residual)) + penalty, rel=1e-12)


@pytest.mark.parametrize("path", PROBLEMS, ids=lambda path: path.stem)
def test_fista_reaches_the_same_objective(path: Path) -> None:
    """The second solver agrees within the gap it was asked for."""
    values, fit = fitted(path, solver="fista", tol=1e-6)
    assert 0 <= fit.objective / float(values["objective"]) - 1 + 1e-12 <= 2e-6
    assert fit.converged


@pytest.mark.parametrize("path", PROBLEMS, ids=lambda path: path.stem)
def test_the_reference_mode_repeats_the_published_iterates(path: Path) -> None:
    """Coefficients, intercept and objective within 1e-9, and the same number of iterations."""
    values, fit = fitted(path, solver="reference", tol=1e-4, max_iter=100)
    np.testing.assert_allclose(fit.coef, values["fista100_coef"], rtol=0, atol=1e-9)
    assert abs(fit.intercept - float(values["fista100_intercept"])) <= 1e-9
    assert abs(fit.objective - float(values["fista100_objective"])) <= 1e-9
    assert fit.n_iter == int(values["fista100_iters"])
    assert fit.converged == bool(values["fista100_converged"])


@pytest.fixture(scope="module")
def tissue() -> dict[str, Any]:
    """Load the stored designs, their clusters, the expected betas and figures."""
    import anndata

    with np.load(TRAINING / "tissue_design.npz") as stored:
        designs = {name: stored[name] for name in stored.files}
    cells = anndata.read_h5ad(TRAINING / "tissue_input.h5ad")
    return {
        "designs": designs,
        "targets": [n.removesuffix("__y") for n in designs if n.endswith("__y")],
        "clusters": cells.obs["cell_type_int"].to_numpy(),
        "betas": pd.read_parquet(TRAINING / "tissue_betas.parquet"),
        "expected": json.loads((TRAINING / "tissue_expected.json").read_text()),
    }


def fits(
    tissue: dict[str, Any], setting: str
) -> list[tuple[SparseGroupLasso, pd.DataFrame, dict[str, Any], Any]]:
    """One entry per stored target and cluster: fit, expected rows, expected figures, design."""
    config, out = tissue["expected"]["configs"][setting], []
    for gene in tissue["targets"]:
        x, y = tissue["designs"][f"{gene}__X"], tissue["designs"][f"{gene}__y"]
        names = tissue["designs"][f"{gene}__columns"]
        rows = tissue["betas"][tissue["betas"]["gene"] == gene]
        rows = rows.assign(modulator=rows["modulator"].str.removeprefix("beta_"))
        for cluster, figures in tissue["expected"]["per_cluster"][gene].items():
            here = tissue["clusters"] == int(cluster)
            fit = sparse_group_lasso(
                x[here],
                y[here],
                tissue["designs"][f"{gene}__groups"],
                group_reg=config["group_reg"],
                l1_reg=config["l1_reg"],
                scale_reg=config["scale"],
            )
            expected = rows[rows["cluster"] == int(cluster)].set_index("modulator")
            intercept = expected[expected["group"] == -1]
            expected = pd.concat([intercept, expected.drop(intercept.index).loc[list(names)]])
            out.append((fit, expected, figures[setting], (x[here], y[here])))
    return out


@pytest.mark.parametrize("setting", ["A", "C"])
def test_tissue_betas_agree(tissue: dict[str, Any], setting: str) -> None:
    """Coefficients within 1e-6 of the largest of the row group wherever the stored point is optimal."""
    checked = 0
    for fit, expected, figures, _ in fits(tissue, setting):
        if figures["kkt_rel"] > 1e-10:
            continue
        found = np.r_[fit.intercept, fit.coef]
        beta = expected[f"beta_{setting}"].to_numpy()
        np.testing.assert_allclose(found, beta, rtol=0, atol=1e-6 * np.abs(beta).max())
        assert fit.objective == pytest.approx(figures["objective"], rel=1e-10)
        checked += 1
    assert checked


def test_tissue_fits_with_vanishing_penalties_agree_in_objective_and_predictions(
    tissue: dict[str, Any],
) -> None:
    """With penalties of 1e-9 the weak coefficients are free; what they predict is not."""
    for fit, expected, figures, (x, y) in fits(tissue, "B"):
        assert fit.objective == pytest.approx(figures["objective"], rel=1e-8)
        beta = expected["beta_B"].to_numpy()
        here, there = x @ fit.coef + fit.intercept, x @ beta[1:] + beta[0]
        np.testing.assert_allclose(here, there, rtol=0, atol=1e-5 * max(1.0, float(np.abs(y).max())))
