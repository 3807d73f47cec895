"""The toy tissue: reproducible, realistic in form, and true to the mechanism it reports."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import numpy as np
import pandas as pd
import pytest

from cytoripple import datasets
from cytoripple._anndata import read_tissue
from cytoripple._errors import GeneMatchError, InputError
from cytoripple._names import infer_species

pytest.importorskip("cytoripple.io.network")


@pytest.fixture(scope="module")
def toy() -> datasets.ToyTissue:
    return datasets.toy_tissue(n_cells=300, n_genes=60, seed=3)


def test_it_unpacks_and_cannot_be_reassigned(toy: datasets.ToyTissue) -> None:
    adata, network, truth = toy
    assert adata is toy.adata
    assert network is toy.network
    assert truth is toy.truth
    with pytest.raises(FrozenInstanceError):
        toy.adata = None  # type: ignore[misc]


def test_it_has_all_that_training_reads(toy: datasets.ToyTissue) -> None:
    adata = toy.adata
    assert adata.shape == (300, 60)
    assert list(adata.layers) == ["counts", "normalized_count", "imputed_count"]
    for layer in ("normalized_count", "imputed_count"):
        tissue = read_tissue(adata, cluster_key="cell_type", layer=layer)
        by_number = read_tissue(adata, cluster_key="cell_type_int", layer=layer)
        np.testing.assert_array_equal(tissue.clusters, by_number.clusters)
        assert tissue.cell_types == by_number.cell_types
        assert len(set(tissue.clusters.tolist())) == 4
    assert infer_species(adata.var_names) == "mouse"
    counts = adata.layers["counts"].toarray()
    assert (counts == np.round(counts)).all()
    assert counts.min() == 0
    assert (adata.layers["counts"] != adata.X).nnz == 0


def test_layers_of_cells_are_domains_with_strangers_mixed_in(toy: datasets.ToyTissue) -> None:
    table = pd.crosstab(toy.adata.obs["domain"], toy.adata.obs["cell_type"])
    assert (table.to_numpy().max(axis=1) / table.to_numpy().sum(axis=1) > 0.7).all()
    assert (table["Immune"] > 0).all()
    middle = (
        toy.adata.obs.assign(y=toy.adata.obsm["spatial"][:, 1]).groupby("domain", observed=True)["y"].mean()
    )
    assert middle["outer"] < middle["middle"] < middle["inner"]


def test_the_same_seed_gives_the_same_arrays_and_another_does_not() -> None:
    first, again = (datasets.toy_tissue(80, 30, seed=5) for _ in range(2))
    other = datasets.toy_tissue(80, 30, seed=6)
    for layer in first.adata.layers:
        a, b, c = (np.asarray(t.adata[:, :].to_df(layer)) for t in (first, again, other))
        np.testing.assert_array_equal(a, b)
        assert not np.array_equal(a, c)
    for name in ("tf", "lr", "tfl"):
        pd.testing.assert_frame_equal(getattr(first.network, name), getattr(again.network, name))
    pd.testing.assert_frame_equal(first.truth.edges, again.truth.edges)
    assert first.network.sha256 == again.network.sha256
    assert again.network.sha256 != other.network.sha256
    np.testing.assert_array_equal(first.adata.obsm["spatial"], again.adata.obsm["spatial"])


@pytest.mark.parametrize(("n_cells", "n_genes"), [(50, 24), (51, 25), (67, 33), (130, 200)])
@pytest.mark.parametrize("seed", [0, 1])
def test_every_size_has_all_parts(n_cells: int, n_genes: int, seed: int) -> None:
    adata, network, truth = datasets.toy_tissue(n_cells, n_genes, seed)
    assert adata.shape == (n_cells, n_genes)
    assert adata.var_names.is_unique
    assert adata.obs["cell_type"].value_counts().min() >= 6
    assert set(adata.var["role"]) == {"tf", "ligand", "receptor", "target"}
    assert np.isfinite(truth.expression.to_numpy()).all()
    genes = set(adata.var_names)
    assert {*network.tf.source, *network.tf.target, *network.lr.ligand, *network.lr.receptor} <= genes
    assert {*network.tfl.ligand, *network.tfl.tf} <= genes


def test_the_network_has_false_edges_and_lacks_true_ones(toy: datasets.ToyTissue) -> None:
    edges, network = toy.truth.edges, toy.network
    true_tf = set(
        edges.loc[edges["kind"] == "tf", ["modulator", "target"]].itertuples(index=False, name=None)
    )
    given_tf = set(network.tf[["source", "target"]].itertuples(index=False, name=None))
    assert 0.75 < len(true_tf & given_tf) / len(true_tf) < 0.95
    assert len(given_tf - true_tf) > 0.5 * len(true_tf)
    true_lr = set(edges.loc[edges["kind"] == "lr", "modulator"])
    given_lr = set(network.lr["ligand"] + "$" + network.lr["receptor"])
    assert true_lr & given_lr
    assert given_lr - true_lr
    assert set(network.lr["signaling"]) == {"Secreted Signaling", "Cell-Cell Contact"}
    assert not network.tf.duplicated().any()
    assert (network.tf["source"] != network.tf["target"]).all()
    assert network.tfl["weight"].between(0.15, 1.0, inclusive="neither").all()


def test_measured_expression_follows_the_truth(toy: datasets.ToyTissue) -> None:
    truth = toy.truth.expression
    for layer, least in (("normalized_count", 0.55), ("imputed_count", 0.6)):
        measured = toy.adata.to_df(layer)
        assert truth.corrwith(measured).median() > least


def test_a_silenced_gene_is_gone_and_what_it_does_not_reach_is_untouched(toy: datasets.ToyTissue) -> None:
    edges = toy.truth.edges
    change = toy.truth.knockout("Lig01")
    np.testing.assert_allclose(change["Lig01"], -toy.truth.expression["Lig01"], rtol=1e-12)
    reached, front = {"Lig01"}, {"Lig01"}
    while front:
        uses = (
            edges["modulator"]
            .str.split(r"[$#]", regex=True)
            .map(lambda ends, front=front: bool(front & set(ends)))
        )
        front = set(edges.loc[uses, "target"]) - reached
        reached |= front
    moved = set(change.columns[(change != 0).any()])
    assert moved <= reached
    assert len(moved) > 1


def test_a_local_knockout_ripples_to_other_cells_but_not_across_the_tissue() -> None:
    adata, _, truth = datasets.toy_tissue(n_cells=1600, n_genes=60, seed=3)
    xy = adata.obsm["spatial"]
    corner = np.linalg.norm(xy - xy.min(axis=0), axis=1) < 60
    distance = np.linalg.norm(xy[:, None] - xy[None, corner], axis=2).min(axis=1)
    change = truth.knockout("Lig01", cells=corner).abs().drop(columns="Lig01").max(axis=1).to_numpy()
    assert change[~corner & (distance < 30)].max() > 0.01
    assert change[distance < 60].mean() > 5 * change[distance > 250].mean()
    assert (change[distance > 450] == 0).all()
    by_name = truth.knockout("Lig01", cells=list(adata.obs_names[corner]))
    np.testing.assert_array_equal(by_name["Tf05"], truth.knockout("Lig01", cells=corner)["Tf05"])


def test_wrong_requests_are_said(toy: datasets.ToyTissue) -> None:
    with pytest.raises(InputError, match=r"n_cells is 49: give a whole number of at least 50"):
        datasets.toy_tissue(n_cells=49)
    with pytest.raises(InputError, match=r"n_genes is 23"):
        datasets.toy_tissue(n_genes=23)
    with pytest.raises(GeneMatchError, match=r"nearest: 'Lig01'"):
        toy.truth.knockout("LIG01")
    with pytest.raises(InputError, match=r"1 cells do not exist, the first is 'nobody'"):
        toy.truth.knockout("Lig01", cells=["cell_1", "nobody"])
    with pytest.raises(InputError, match=r"mask of shape"):
        toy.truth.knockout("Lig01", cells=np.ones(3, dtype=bool))
