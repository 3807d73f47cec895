"""Real knock-outs: the interferon cascade is found, and baselines score as what they know."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import cytoripple as ct
from cytoripple.vc.comparison import Comparison
from tests.conftest import real_file

EFFECTS = {
    "STAT1": {"STAT1": -1.86, "UBE2L6": -1.37, "PSMB9": -1.33, "JAK2": -0.88},
    "JAK2": {"PSMB9": -1.07, "JAK2": -0.96, "STAT1": -0.92},
    "IFNGR2": {"PSMB9": -1.00, "STAT1": -0.87, "JAK2": -0.79, "UBE2L6": -0.74, "IFNGR2": -0.35},
}
"""Mean log expression minus that of the control cells."""
PROFILE = "minimal"


@pytest.fixture(scope="module")
def screen() -> ad.AnnData:
    adata = ct.io.read(real_file("papalexi_thp1.h5ad"))
    adata = adata[adata.obs["guide_fraction"] > 0.6].copy()
    ct.vc.normalize_adata(adata, target_sum=300)
    return adata


@pytest.fixture(scope="module")
def tests(screen: ad.AnnData) -> pd.DataFrame:
    return ct.tl.rank_genes_perturbations(screen, pert_col="target", key_added=None)


@pytest.fixture(scope="module")
def third(screen: ad.AnnData) -> ad.AnnData:
    return screen[screen.obs["replicate"] == "rep_3"].copy()


@pytest.fixture(scope="module")
def transferred(screen: ad.AnnData, third: ad.AnnData) -> ad.AnnData:
    """Return the third replicate as the effects in the first two predict it."""
    numbers = third.obs["target"].value_counts().drop("non-targeting")
    stream = ct.vc.perturbation_mean(
        screen,
        {(name, "rep_3"): n for name, n in numbers.items()},
        train=(screen.obs["replicate"] != "rep_3").to_numpy(),
        clip=True,
        pert_col="target",
        cell_type_col="replicate",
    )
    return stream.to_adata(pert_col="target")


@pytest.fixture(scope="module")
def compared(third: ad.AnnData, transferred: ad.AnnData) -> Comparison:
    return ct.vc.compare(third, transferred, pert_col="target", profile=PROFILE)


@pytest.mark.parametrize("target", list(EFFECTS))
def test_the_known_effects_are_there(screen: ad.AnnData, target: str) -> None:
    """To 0.015, and the first genes of the list are those that change most of all."""
    found = ct.vc.compare(
        screen, screen, pert_col="target", profile="pds", baselines=["control_mean"], with_ceiling=False
    )
    row = list(found.prediction.per_perturbation["perturbation"]).index(target)
    effect = pd.Series(found.real_effects[row], index=found.genes)
    for gene, expected in EFFECTS[target].items():
        assert effect[gene] == pytest.approx(expected, abs=0.015), gene
    strongest = effect.abs().sort_values(ascending=False).index
    known = [gene for gene, expected in EFFECTS[target].items() if expected < -0.8]
    assert set(known) <= set(strongest[: len(known) + 1])


@pytest.mark.parametrize("target", list(EFFECTS))
def test_differential_expression_finds_the_cascade(tests: pd.DataFrame, target: str) -> None:
    table = tests[tests["target"] == target].set_index("feature").sort_values("p_value")
    assert {"STAT1", "JAK2", "PSMB9", "UBE2L6"} == set(table.index[:4])
    for gene in EFFECTS[target]:
        assert table.loc[gene, "log2_fold_change"] < 0
        assert table.loc[gene, "fdr"] < 1e-9
    assert table["fdr"].lt(0.05).sum() > 90


def test_genes_that_are_cut_fall_less_than_those_they_drive(tests: pd.DataFrame) -> None:
    own = tests[tests["target"] == tests["feature"]].set_index("target")
    assert set(own.index) == {
        "STAT1", "STAT2", "STAT3", "JAK2", "CMTM6", "UBE2L6", "TNFRSF14", "IFNGR2", "NFKBIA",
    }  # fmt: skip
    others = tests[tests["target"] == "IFNGR2"].set_index("feature")
    assert own.loc["IFNGR2", "log2_fold_change"] > others.loc["JAK2", "log2_fold_change"]


def test_a_knock_out_upstream_looks_like_one_downstream(screen: ad.AnnData) -> None:
    """Losing the receptor, its kinase or the factor is nearly the same, unlike losing anything else."""
    found = ct.vc.compare(
        screen, screen, pert_col="target", profile="pds", baselines=["control_mean"], with_ceiling=False
    )
    names = list(found.prediction.per_perturbation["perturbation"])
    alike = pd.DataFrame(np.corrcoef(found.real_effects), index=names, columns=names)
    cascade = ["IFNGR1", "IFNGR2", "JAK2", "STAT1"]
    inside = alike.loc[cascade, cascade].to_numpy()[~np.eye(4, dtype=bool)].min()
    outside = alike.loc[cascade, [name for name in names if name not in cascade]].to_numpy().max()
    assert inside > 0.85
    assert inside > outside


def test_baselines_score_as_what_they_know(compared: Comparison) -> None:
    table = compared.table.set_index("metric")
    n = len(compared.real_effects)
    chance, spread = (n + 1) / (2 * n), np.sqrt((n**2 - 1) / (12 * n**3))
    pds = table.loc["discrimination_score_l1"]
    for name in compared.baselines:
        assert abs(pds[name] - chance) < 3 * spread, name
    assert compared.challenge_scores["global_mean"] == 0
    assert (
        table.loc["mae", "global_mean"] < table.loc["mae", "control_cells"] < table.loc["mae", "derangement"]
    )


def test_effects_of_two_replicates_tell_those_of_the_third(compared: Comparison) -> None:
    """Discrimination far above chance and below the ceiling; constant shifts call too many genes."""
    table = compared.table.set_index("metric")
    pds = table.loc["discrimination_score_l1"]
    assert max(pds[name] for name in compared.baselines) + 0.15 < pds["prediction"] < pds["ceiling"]
    assert table.loc["mse", "prediction"] < 0.8 * table.loc["mse", "global_mean"]
    assert (
        table.loc["de_nsig_counts_pred", "prediction"] > 10 * table.loc["de_nsig_counts_real", "prediction"]
    )


def test_targets_without_effect_agree_with_control_cells(
    third: ad.AnnData, transferred: ad.AnnData, compared: Comparison
) -> None:
    """The whole overlap of control cells is from targets that change nothing; the reference gives 0."""
    found = compared.baselines["control_cells"].per_perturbation
    silent = found["de_nsig_counts_real"] == 0
    assert silent.sum() == 10
    np.testing.assert_array_equal(found["overlap_at_N"], silent & (found["de_nsig_counts_pred"] == 0))
    assert found["overlap_at_N"].sum() >= 9
    strict = ct.vc.compare(
        third, transferred, pert_col="target", profile=PROFILE, compat="cell-eval-0.8.2",
        baselines=["global_mean", "control_cells"], with_ceiling=False,
    )  # fmt: skip
    assert strict.table.set_index("metric").loc["overlap_at_N", "control_cells"] == 0
