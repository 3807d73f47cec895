"""The edge list of a run: importance, sign and the multiplier at which an edge enters."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import cytoripple as ct
from cytoripple.grn.grid import KAPPAS
from cytoripple.io import read_betadata
from cytoripple.io.run import Run


def trained(folder: Path, kappa: float, dense_share: float | None = None) -> Run:
    adata, network, _ = ct.datasets.toy_tissue(n_cells=300, n_genes=40, seed=3)
    return ct.tl.train_grn(
        adata,
        network=network,
        run_dir=folder,
        cluster_key="cell_type",
        kappa=kappa,
        dense_share=dense_share,
    )


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[float, Run]:
    """Train the same tissue at two multipliers."""
    folder = tmp_path_factory.mktemp("edges")
    return {kappa: trained(folder / str(kappa), kappa) for kappa in (0.5, float(KAPPAS[2]))}


@pytest.fixture(scope="module")
def sparse(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Train without a dense share."""
    return trained(tmp_path_factory.mktemp("sparse"), 0.5, dense_share=0.0)


def coefficients(run: Run) -> set[tuple[str, str]]:
    """Targets and modulators with a coefficient in any cluster."""
    return {
        (gene, table.modulators[place])
        for gene, table in read_betadata(run.directory).items()
        for place in np.flatnonzero(np.any(table.betas != 0.0, axis=0))
    }


def pairs(edges: pd.DataFrame) -> set[tuple[str, str]]:
    return set(zip(edges["gene"], edges["modulator"], strict=True))


def test_every_sparse_coefficient_is_an_edge_and_the_file_is_the_table(
    runs: dict[float, Run], sparse: Run
) -> None:
    """The dense share gives every column a coefficient, and makes no edge."""
    edges = runs[0.5].edges()
    assert pairs(sparse.edges()) == coefficients(sparse) == pairs(edges)
    assert pairs(edges) < coefficients(runs[0.5])
    assert len(edges) == len(pairs(edges)) > 10
    pd.testing.assert_frame_equal(pd.read_csv(runs[0.5].directory / "edges.csv"), edges, check_dtype=False)


def test_importance_is_the_mean_absolute_effect_over_cells(runs: dict[float, Run]) -> None:
    run = runs[0.5]
    edges, effects, scores = run.edges(), run.effects(), run.scores()
    assert edges["importance"].is_monotonic_decreasing and (edges["importance"] > 0).all()
    for edge in edges.iloc[:: max(1, len(edges) // 7)].itertuples():
        mine = effects[(effects["gene"] == edge.gene) & (effects["modulator"] == edge.modulator)]
        cells = scores[scores["gene"] == edge.gene].set_index("cluster")["n_cells"]
        weights = cells.loc[mine["cluster"]].to_numpy()
        assert edge.importance == pytest.approx((weights * mine["effect"].abs()).sum() / cells.sum())
        assert edge.sign == np.sign((weights * mine["effect"]).sum())
        assert edge.clusters == len(mine)


def test_an_edge_is_absent_above_the_multiplier_of_its_selection(runs: dict[float, Run]) -> None:
    """The path of the smaller multiplier passes through the larger one, which was also fitted alone."""
    (small, weak), (large, strong) = sorted(runs.items())
    edges = weak.edges().set_index(["gene", "modulator"])["selection"]
    assert edges.notna().all() and (edges >= small).all() and edges.nunique() > 2
    alone = strong.edges().set_index(["gene", "modulator"])
    assert 0 < len(alone) < len(edges)
    early = set(edges.index[edges >= 1.01 * large])
    both = [edge for edge in alone.index if edge in edges.index]
    assert len(early) > 0 and early & set(alone.index)
    # the path is solved roughly: an edge may differ that is about to enter
    assert np.mean([edges[edge] >= 0.99 * large for edge in both]) > 0.9


def test_other_estimators_have_no_selection(tmp_path: Path) -> None:
    adata, network, _ = ct.datasets.toy_tissue(n_cells=300, n_genes=40, seed=3)
    run = ct.tl.train_grn(
        adata, network=network, run_dir=tmp_path, cluster_key="cell_type", estimator="sgl", kappa=0.5
    )
    edges = run.edges()
    assert len(edges) and edges["selection"].isna().all()
    predictable = run.target_scores().set_index("gene")["predictable"]
    assert (edges["predictable"].to_numpy() == predictable.loc[edges["gene"]].to_numpy()).all()


def test_a_run_without_coefficients_has_an_empty_list(tmp_path: Path) -> None:
    adata, network, _ = ct.datasets.toy_tissue(n_cells=300, n_genes=40, seed=3)
    run = ct.tl.train_grn(adata, network=network, run_dir=tmp_path, cluster_key="cell_type", kappa=50.0)
    assert run.genes() == [] and run.edges().empty
    assert pd.read_csv(tmp_path / "edges.csv").columns.tolist() == run.edges().columns.tolist()
