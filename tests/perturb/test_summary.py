"""Tables about a simulation say what the layers hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from anndata import AnnData
from scipy import sparse

from cytoripple._errors import GeneMatchError, InputError
from cytoripple.perturb import affected_genes, effect_by_distance, perturb
from tests.perturb.conftest import KEYWORDS


@pytest.fixture(params=["dense", "sparse"])
def simulated(request: pytest.FixtureRequest, tissue: AnnData, betas: Path) -> AnnData:
    if request.param == "sparse":
        tissue.layers["imputed_count"] = sparse.csr_matrix(tissue.layers["imputed_count"])
    perturb(tissue, betas, {"CCL5": 6.0}, cells=["cell_03", "cell_10"], **KEYWORDS)
    return tissue


def test_affected_genes_are_means_per_cell_type(simulated: AnnData) -> None:
    delta = simulated.to_df("perturbation_delta")
    table = affected_genes(simulated, groupby="label")
    assert list(table.columns) == [
        "cell_type",
        "rank",
        "gene",
        "sign",
        "share_changed",
        "predictable",
        "held_out_r2",
        "relative_delta",
        "relative_abs_delta",
    ]
    assert list(dict.fromkeys(table["cell_type"])) == ["B cell", "T cell"]
    for row in table.itertuples():
        values = delta.loc[simulated.obs["label"] == row.cell_type, row.gene]
        assert row.relative_delta == pytest.approx(values.mean(), abs=1e-15)
        assert row.relative_abs_delta == pytest.approx(values.abs().mean(), abs=1e-15)
        assert row.sign == np.sign(values.mean())
        assert row.share_changed == (values != 0).mean()
    for _, part in table.groupby("cell_type"):
        assert part["relative_abs_delta"].is_monotonic_decreasing
        assert part["rank"].tolist() == list(range(1, len(part) + 1))
    assert set(table["gene"]) == {"MYC", "IL10"}


def test_the_table_has_the_asked_length_and_default_clusters(simulated: AnnData) -> None:
    table = affected_genes(simulated, n=1)
    assert table["cell_type"].tolist() == ["0", "1"]
    assert table["rank"].tolist() == [1, 1]


def test_a_perturbation_without_effect_gives_an_empty_table(tissue: AnnData, betas: Path) -> None:
    perturb(tissue, betas, {"LONE": 0.0}, **KEYWORDS)
    assert len(affected_genes(tissue)) == 0


def test_effect_is_binned_by_the_nearest_perturbed_cell(simulated: AnnData) -> None:
    xy = simulated.obsm["spatial"]
    distance = np.min([np.hypot(*(xy - xy[cell]).T) for cell in (3, 10)], axis=0)
    delta = simulated.to_df("perturbation_delta")["MYC"].to_numpy()
    table = effect_by_distance(simulated, gene="MYC", bins=[0.0, 20.0, 50.0])
    assert table["distance_to"].tolist() == [0.0, 20.0, 50.0]
    groups = [distance == 0, (distance > 0) & (distance <= 20), (distance > 20) & (distance <= 50)]
    assert table["n_cells"].tolist() == [int(group.sum()) for group in groups]
    np.testing.assert_allclose(table["relative_delta"], [delta[group].mean() for group in groups], atol=1e-15)
    np.testing.assert_allclose(
        table["relative_abs_delta"], [np.abs(delta[group]).mean() for group in groups], atol=1e-15
    )


def test_bins_of_equal_width_hold_every_cell(simulated: AnnData) -> None:
    table = effect_by_distance(simulated, bins=4)
    assert table["n_cells"].sum() == simulated.n_obs
    assert len(table) == 5
    delta = simulated.to_df("perturbation_delta")[["MYC", "IL10"]].to_numpy()
    mean = np.average(table["relative_abs_delta"].fillna(0), weights=table["n_cells"])
    assert mean == pytest.approx(np.abs(delta).mean(), abs=1e-15)


def test_distances_stay_inside_a_sample(tissue: AnnData, betas: Path) -> None:
    tissue.obs["section"] = np.where(np.arange(40) < 20, "a", "b")
    perturb(tissue, betas, {"CCL5": 6.0}, cells=["cell_03"], sample_key="section", **KEYWORDS)
    assert effect_by_distance(tissue)["n_cells"].sum() == 20


def test_distances_survive_a_subset(simulated: AnnData) -> None:
    part = simulated[::-1][5:].copy()
    assert effect_by_distance(part, bins=3)["n_cells"].sum() == part.n_obs


@pytest.mark.parametrize("bins", [0, [5.0], [3.0, 1.0], [-1.0, 2.0], [0.0, np.nan]])
def test_impossible_bins_are_refused(simulated: AnnData, bins: object) -> None:
    with pytest.raises(InputError, match="bins"):
        effect_by_distance(simulated, bins=bins)  # type: ignore[arg-type]


def test_tables_need_a_simulation(tissue: AnnData, simulated: AnnData, betas: Path) -> None:
    with pytest.raises(InputError, match="no simulation 'other' \\(found: 'perturbation'\\)"):
        affected_genes(simulated, key="other")
    with pytest.raises(InputError, match="no column 'labell'; nearest: 'label'"):
        affected_genes(simulated, groupby="labell")
    with pytest.raises(InputError, match="n is 0"):
        affected_genes(simulated, n=0)
    with pytest.raises(GeneMatchError, match="nearest: 'MYC'"):
        effect_by_distance(simulated, gene="Myc")
    perturb(tissue, betas, {"CCL5": 6.0}, **KEYWORDS)
    with pytest.raises(InputError, match="every cell"):
        effect_by_distance(tissue)


def test_a_knock_out_everywhere_acts_where_the_gene_was(tissue: AnnData, betas: Path) -> None:
    perturb(tissue, betas, {"CCL5": 0.0}, **KEYWORDS)
    expressed = int((tissue.to_df("imputed_count")["CCL5"] > 0).sum())
    assert 0 < expressed < tissue.n_obs
    assert effect_by_distance(tissue)["n_cells"].iloc[0] == expressed
