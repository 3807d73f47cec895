"""The benchmark tissue: reproducible, with the published marginals, and true to the mechanism it reports."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from cytoripple import datasets, io
from cytoripple._errors import GeneMatchError, InputError, SettingsError

SMALL = {"n_cells": 300, "n_tf": 14, "n_masters": 6, "n_ligands": 6, "n_receptors": 5, "n_targets": 15}


@pytest.fixture(scope="module")
def small() -> datasets.RippleTissue:
    return datasets.ripple_tissue(3, **SMALL)


@pytest.fixture(scope="module")
def full() -> datasets.RippleTissue:
    return datasets.ripple_tissue(1)


def arrays(tissue: datasets.RippleTissue) -> list[np.ndarray]:
    adata, network, truth = tissue
    deltas = [perturbation.delta for perturbation in truth.perturbations]
    edges = truth.edges["weight"].to_numpy()
    prior = network.tf["source"].astype(str).to_numpy()
    return [
        adata.X.toarray(),
        adata.layers["norm"],
        adata.obsm["spatial"],
        truth.state,
        edges,
        prior,
        *deltas,
    ]


def test_the_same_seed_gives_the_same_arrays_for_any_number_of_threads(small: datasets.RippleTissue) -> None:
    for threads in (1, 2):
        again = datasets.ripple_tissue(3, threads=threads, **SMALL)
        for left, right in zip(arrays(small), arrays(again), strict=True):
            np.testing.assert_array_equal(left, right)
    other = datasets.ripple_tissue(4, **SMALL)
    assert not np.array_equal(other.adata.X.toarray(), small.adata.X.toarray())


def test_a_setting_of_one_stage_leaves_the_others_as_they_are(small: datasets.RippleTissue) -> None:
    deeper = datasets.ripple_tissue(3, **SMALL, depth=9000.0, keep=0.5, perturbations=False)
    np.testing.assert_array_equal(deeper.truth.state, small.truth.state)
    np.testing.assert_array_equal(deeper.adata.obs["held_out"], small.adata.obs["held_out"])
    assert deeper.adata.X.sum() > 5 * small.adata.X.sum()
    assert deeper.truth.perturbations == ()


def test_it_can_be_written_and_read(small: datasets.RippleTissue, tmp_path: Path) -> None:
    small.adata.write_h5ad(tmp_path / "tissue.h5ad")
    read = io.read(tmp_path / "tissue.h5ad")
    np.testing.assert_array_equal(read.layers["norm"], small.adata.layers["norm"])
    assert read.uns["ripplebench"]["seed"] == 3
    assert read.uns["ripplebench"]["n_cells"] == 300


def test_marginals_are_the_published_ones_within_a_tenth(full: datasets.RippleTissue) -> None:
    adata, network, truth = full
    counts, norm = adata.X.toarray(), adata.layers["norm"]
    assert (counts > 0).mean() == pytest.approx(0.80, rel=0.1)
    assert counts.sum(axis=1).mean() == pytest.approx(1240, rel=0.1)
    correlation = [np.corrcoef(norm[:, g], truth.latent[:, g])[0, 1] for g in range(adata.n_vars)]
    np.testing.assert_allclose(np.quantile(correlation, [0.1, 0.5, 0.9]), [0.58, 0.72, 0.82], rtol=0.1)
    distinct = truth.edges.drop_duplicates(["target", "modulator"])["kind"].value_counts()
    assert distinct["tf"] == pytest.approx(441, rel=0.1)
    assert distinct["lr"] == pytest.approx(120, rel=0.1)
    assert distinct["tfl"] == pytest.approx(36, abs=10)
    affected = [
        (np.abs(np.delete(p.effect, adata.var_names.get_loc(p.gene), axis=1)) > 0.03).mean()
        for p in truth.perturbations
        if p.where == "all"
    ]
    assert np.mean(affected) == pytest.approx(0.14, rel=0.1)
    assert (len(network.lr), len(network.tfl)) == (54, 144)
    assert len(network.tf) == pytest.approx(3098, rel=0.1)
    assert adata.obs["held_out"].mean() == pytest.approx(0.2, abs=0.04)
    assert (adata.obs["cell_type_int"] == 4).sum() == pytest.approx(140, rel=0.2)


def test_there_are_fourteen_global_and_six_regional_perturbations(full: datasets.RippleTissue) -> None:
    where = [perturbation.where for perturbation in full.truth.perturbations]
    assert where == ["all"] * 14 + ["disc"] * 5 + ["type0"]
    kind = full.adata.var["kind"]
    genes = [perturbation.gene for perturbation in full.truth.perturbations]
    assert [kind[gene] for gene in genes[:12]] == ["tf"] * 6 + ["ligand"] * 4 + ["receptor"] * 2
    for p in full.truth.perturbations:
        held = p.delta[p.cells, full.adata.var_names.get_loc(p.gene)]
        assert (held < 0).all() if p.kind == "knockout" else (held > 0).mean() > 0.98
        assert (p.ripple is None) == (p.where == "all")
        assert (p.layer_value == 0) == (p.kind == "knockout")
    assert full.truth.perturbations[14].cells.sum() == pytest.approx(170, abs=10)


def test_most_of_the_prior_is_false_and_a_fifth_of_the_truth_is_missing(full: datasets.RippleTissue) -> None:
    true = {(row.target, row.modulator) for row in full.truth.edges.itertuples() if row.kind == "tf"}
    prior = set(zip(full.network.tf["target"], full.network.tf["source"], strict=True))
    assert len(true & prior) / len(true) == pytest.approx(0.8, abs=0.06)
    assert len(true & prior) / len(prior) < 0.2
    masters = set(full.adata.var_names[:16])
    assert not masters & {target for target, _ in true}
    assert masters <= {target for target, _ in prior}


def test_the_steady_state_obeys_the_written_mechanism(small: datasets.RippleTissue) -> None:
    """Evaluate the equations once in NumPy, edge by edge, with the sum over all pairs of cells."""
    adata, _, truth = small
    mechanism = truth._mechanism
    assert mechanism is not None
    x, names = truth.state, list(adata.var_names)
    u = mechanism.base.copy()
    square = ((adata.obsm["spatial"][:, None] - adata.obsm["spatial"]) ** 2).sum(axis=2)
    contact = dict(zip(mechanism.genes.ligands, mechanism.wiring.contact, strict=True))

    def received(gene: int) -> np.ndarray:
        radius = 20.0 if contact[gene] else 60.0
        return np.exp(-square / (2 * radius**2)) @ x[:, gene] / (2 * np.pi * radius**2 / 15.0**2)

    for edge in truth.edges.itertuples():
        if edge.kind == "tf":
            factor = x[:, names.index(edge.modulator)]
            value = factor**2 / (1 + factor**2) - 0.5
        else:
            ligand, other = (names.index(n) for n in edge.modulator.replace("#", "$").split("$"))
            signal, partner = received(ligand), x[:, other]
            bound = signal * partner
            value = bound / (1 + bound) - 0.5
            if edge.kind == "tfl":
                value = signal / (1 + signal) * partner**2 / (1 + partner**2) - 0.25
        inside = (adata.obs["cell_type"] == edge.cell_type).to_numpy()
        u[inside, names.index(edge.target)] += edge.weight * value[inside]
    expected = 4 * np.exp(mechanism.variation) / (1 + np.exp(-u))
    np.testing.assert_allclose(x, expected, rtol=2e-4)


def test_a_null_perturbation_changes_nothing(small: datasets.RippleTissue) -> None:
    nowhere = np.zeros(small.adata.n_obs, dtype=bool)
    for gene in ("TF00", "LG01", "RC02", "TG003"):
        assert np.abs(small.truth.respond(gene, cells=nowhere)).max() < 1e-4


def test_a_gene_without_true_targets_changes_itself_alone(small: datasets.RippleTissue) -> None:
    column = small.adata.var_names.get_loc("TG000")
    delta = small.truth.respond("TG000")
    assert (delta[:, column] < 0).all()
    assert not np.delete(delta, column, axis=1).any()


def test_without_signals_no_change_leaves_the_perturbed_cells() -> None:
    deaf = datasets.ripple_tissue(3, **SMALL, signal=0.0)
    assert set(deaf.truth.edges["kind"]) == {"tf"}
    for p in deaf.truth.perturbations:
        assert not p.delta[~p.cells].any()
    speaking = datasets.ripple_tissue(3, **SMALL, signal=1.0)
    assert any(
        np.abs(p.delta[~p.cells]).max() > 0.01 for p in speaking.truth.perturbations if p.where != "all"
    )


def test_a_ripple_fades_with_distance(full: datasets.RippleTissue) -> None:
    regional = [p for p in full.truth.perturbations if p.where == "disc"]
    sizes = np.nanmean([np.nanmean(np.abs(p.ripple), axis=(1, 2)) for p in regional], axis=0)
    assert all(near > far for near, far in pairwise(sizes))


def test_edges_act_in_every_type_when_everything_is_shared() -> None:
    shared = datasets.ripple_tissue(0, **SMALL, active=1.0, perturbations=False).truth.edges
    assert (shared.groupby(["target", "modulator"]).size() % 5 == 0).all()
    apart = datasets.ripple_tissue(0, **SMALL, active=0.0, perturbations=False).truth.edges
    assert apart.groupby(["target", "modulator", "kind"]).size().median() == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_cell": 500}, "'n_cells'"),
        ({"n_cells": 10}, "at least 100"),
        ({"n_tf": 10}, "n_masters"),
        ({"active": 1.5}, "from 0 to 1"),
        ({"depth": 0.0}, "positive"),
        ({"depth": float("nan")}, "positive"),
        ({"signal": -1.0}, "0 or more"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        datasets.ripple_tissue(0, **settings)


def test_bad_seeds_genes_and_masks_are_refused(small: datasets.RippleTissue) -> None:
    with pytest.raises(SettingsError, match="seed"):
        datasets.ripple_tissue(-1)
    with pytest.raises(GeneMatchError, match="nearest"):
        small.truth.respond("TF1")
    with pytest.raises(InputError, match="one bool per cell"):
        small.truth.respond("TF01", cells=np.ones(3, dtype=bool))
    with pytest.raises(InputError, match="positive"):
        small.truth.respond("TF01", value=float("nan"))
