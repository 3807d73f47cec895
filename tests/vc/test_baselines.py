"""Baselines are what their definitions say, block by block, and again the same."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

import cytoripple as ct
from cytoripple._errors import InputError, LayerError
from cytoripple.vc import _streams, baselines
from cytoripple.vc.guard import normalize_adata
from cytoripple.vc.store import RowStore, pack
from tests.vc.helpers import screen_file, spec_of

CTRL = "non-targeting"


@pytest.fixture(scope="module")
def adata():
    made = ct.datasets.simulate_screen(30, 4, 9, 25, n_ct=2, seed=8).adata
    made.X = made.layers["lognorm"]
    return made


@pytest.fixture(scope="module")
def x(adata):
    return adata.X.toarray().astype(np.float64)


def mask(adata, cell_type, label):
    return ((adata.obs["cell_type"] == cell_type) & (adata.obs["target_gene"] == label)).to_numpy()


def values(stream, label, cell_type):
    found = [b.expression for b in stream if (b.label, b.cell_type) == (label, cell_type)]
    return np.concatenate([v.toarray() if sparse.issparse(v) else v for v in found])


LABELS = {"cell_type_col": "cell_type"}


@pytest.mark.parametrize("name", baselines.BASELINES)
def test_every_baseline_keeps_labels_numbers_and_controls(adata, x, name, monkeypatch):
    """Also in tiny blocks; read twice it is the same."""
    stream = baselines.baseline(name, adata, **LABELS)
    whole = stream.to_adata()
    monkeypatch.setattr(_streams, "BLOCK_VALUES", 100)
    blocks = [b.expression.shape[0] for b in stream]
    assert (whole.X != stream.to_adata().X).nnz == 0
    assert max(blocks) <= 4
    assert sum(blocks) == stream.n_obs == adata.n_obs
    assert stream.genes == tuple(adata.var_names)
    wanted = adata.obs.groupby(["target_gene", "cell_type"], observed=True).size().to_dict()
    assert dict(stream.counts) == wanted
    got = whole.obs.groupby(["target_gene", "cell_type"], observed=True).size().to_dict()
    assert got == wanted
    for cell_type in ("type1", "type2"):
        rows = values(stream, CTRL, cell_type)
        np.testing.assert_array_equal(rows, x[mask(adata, cell_type, CTRL)].astype(np.float32))
    bare = baselines.baseline(name, adata, append_controls=False, **LABELS)
    assert CTRL not in {b.label for b in bare}


def test_control_mean(adata, x):
    stream = baselines.control_mean(adata, **LABELS)
    label = adata.obs["target_gene"].cat.categories[0]
    for cell_type in ("type1", "type2"):
        got = values(stream, label, cell_type)
        wanted = x[mask(adata, cell_type, CTRL)].mean(0)
        np.testing.assert_allclose(got, np.tile(wanted, (9, 1)), rtol=1e-6)


def test_control_cells_are_distinct_real_controls(adata, x):
    stream = baselines.control_cells(adata, {("P", "type2"): 25}, **LABELS)
    pool = x[mask(adata, "type2", CTRL)].astype(np.float32)
    rows = {tuple(row) for row in values(stream, "P", "type2")}
    assert rows <= {tuple(row) for row in pool}
    assert len(rows) == 25
    many = values(baselines.control_cells(adata, {("P", "type2"): 75}, **LABELS), "P", "type2")
    repeats = pd.Series([tuple(row) for row in many]).value_counts()
    assert len(repeats) == 30
    assert set(repeats) == {2, 3}
    other = values(baselines.control_cells(adata, {("P", "type2"): 25}, seed=1, **LABELS), "P", "type2")
    assert {tuple(row) for row in other} != rows


def test_perturbation_mean_adds_the_mean_effect(adata, x):
    label = adata.obs["target_gene"].cat.categories[1]
    delta = np.mean(
        [x[mask(adata, t, label)].mean(0) - x[mask(adata, t, CTRL)].mean(0) for t in ("type1", "type2")],
        axis=0,
    )
    stream = baselines.perturbation_mean(adata, {(label, "type1"): 7, ("NEW", "type1"): 7}, **LABELS)
    made, unseen = values(stream, label, "type1"), values(stream, "NEW", "type1")
    pool = {tuple(row) for row in x[mask(adata, "type1", CTRL)].astype(np.float32)}
    assert {tuple(row) for row in unseen} <= pool
    distance = np.abs((made - delta)[:, None] - np.array(sorted(pool))[None]).max(axis=2)
    assert distance.min(axis=1).max() < 1e-5
    train = (adata.obs["cell_type"] == "type2").to_numpy()
    other = baselines.perturbation_mean(adata, {(label, "type1"): 7}, train=train, **LABELS)
    wanted = x[mask(adata, "type2", label)].mean(0) - x[mask(adata, "type2", CTRL)].mean(0)
    np.testing.assert_allclose((values(other, label, "type1") - made).mean(0), wanted - delta, atol=1e-5)
    clipped = baselines.perturbation_mean(adata, clip=True, append_controls=False, **LABELS)
    assert min(b.expression.min() for b in clipped) == 0


def test_context_mean(adata, x):
    perturbed = (adata.obs["target_gene"] != CTRL).to_numpy()
    train = np.arange(adata.n_obs) % 3 > 0
    stream = baselines.context_mean(adata, {("ANY", "type2"): 2}, train=train, **LABELS)
    wanted = x[perturbed & train & (adata.obs["cell_type"] == "type2").to_numpy()].mean(0)
    np.testing.assert_allclose(values(stream, "ANY", "type2")[0], wanted, rtol=1e-6)
    with pytest.raises(InputError, match="of the type 'type3'"):
        baselines.context_mean(adata, {("ANY", "type3"): 2}, **LABELS)


def test_global_mean_variants(adata, x):
    labels = adata.obs["target_gene"].astype(str).to_numpy()
    means = {label: x[labels == label].mean(0) for label in set(labels)}
    control = means[CTRL]
    others = [row for label, row in means.items() if label != CTRL]
    row = baselines.global_mean_row
    close = {"rtol": 1e-5, "atol": 1e-6}
    np.testing.assert_allclose(row(adata), np.mean([*others, control], axis=0), **close)
    np.testing.assert_allclose(row(adata, include_control=False), np.mean(others, axis=0), **close)
    np.testing.assert_allclose(row(adata, weights="cell"), x.mean(0), **close)
    np.testing.assert_allclose(row(adata, as_delta=True), np.mean(others, axis=0) - control, **close)
    label = adata.obs["target_gene"].cat.categories[0]
    stream = baselines.global_mean(adata, as_delta=True, **LABELS)
    np.testing.assert_allclose(values(stream, label, "type1")[3], np.mean(others, axis=0), **close)
    with pytest.raises(InputError, match="weights"):
        row(adata, weights="gene")


def test_random_is_log_of_whole_numbers(adata):
    made = values(baselines.random_counts(adata, {("P", "type1"): 400}, **LABELS), "P", "type1")
    whole = np.expm1(made.astype(np.float64))
    assert np.abs(whole - np.round(whole)).max() < 0.01
    assert 4800 < whole.mean() < 5200
    assert whole.max() < 10_000


def test_derangement_gives_the_next_label(adata, x):
    names = [n for n in adata.obs["target_gene"].cat.categories if n != CTRL]
    stream = baselines.derangement(adata, **LABELS)
    for label, following in zip(names, [*names[1:], names[0]], strict=True):
        wanted = x[mask(adata, "type1", following)].astype(np.float32)
        np.testing.assert_array_equal(values(stream, label, "type1"), wanted)
    longer = values(baselines.derangement(adata, {(names[0], "type1"): 20}, **LABELS), names[0], "type1")
    np.testing.assert_array_equal(longer[9:18], longer[:9])
    one = adata[adata.obs["target_gene"].isin([names[0], CTRL])]
    with pytest.raises(InputError, match="only perturbation"):
        baselines.derangement(one, **LABELS)


def test_fixed_pseudobulk_is_the_mean_of_any_prediction(adata, monkeypatch):
    cells = baselines.control_cells(adata, **LABELS)
    label = adata.obs["target_gene"].cat.categories[0]
    wanted = values(cells, label, "type2").astype(np.float64).mean(0)
    monkeypatch.setattr(_streams, "BLOCK_VALUES", 60)
    bulk = baselines.fixed_pseudobulk(cells)
    got = values(bulk, label, "type2")
    assert got.shape[0] == 9
    np.testing.assert_allclose(got, np.tile(wanted, (9, 1)), rtol=1e-6)
    np.testing.assert_array_equal(values(bulk, CTRL, "type1"), values(cells, CTRL, "type1"))
    assert bulk.to_adata().n_obs == cells.n_obs


@settings(max_examples=20, deadline=None)
@given(name=st.sampled_from(sorted(baselines.BASELINES)), n=st.integers(1, 30))
def test_a_row_store_gives_the_same_as_memory(stored, name, n):
    adata, store = stored
    counts = {(adata.obs["target_gene"].iloc[0], "type1"): n}
    if CTRL in next(iter(counts)):
        counts = {(adata.var_names[0], "type1"): n}
    one = baselines.baseline(name, adata, counts, **LABELS).to_adata().X.toarray()
    two = baselines.baseline(name, store, counts, **LABELS).to_adata().X.toarray()
    np.testing.assert_allclose(np.sort(one, axis=0), np.sort(two, axis=0), rtol=1e-5, atol=1e-6)


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """Give the same cells in the same order, in memory and on disk."""
    folder = tmp_path_factory.mktemp("stored")
    path, adata = screen_file(folder)
    store = RowStore(pack(spec_of(path), folder / "x.rows"))
    adata = adata[store.obs["row_in_source"].to_numpy()].copy()
    normalize_adata(adata)
    return adata, store


def test_counts_from_a_table_and_wrong_arguments(adata):
    table = pd.DataFrame(
        {"target_gene": ["A", "B", CTRL], "n_cells": [3, 4, 9], "median_umi": [1.0, 2.0, 3.0]}
    )
    stream = baselines.control_mean(adata, table)
    assert dict(stream.counts) == {("A", "cell"): 3, ("B", "cell"): 4, (CTRL, "cell"): 60}
    for wrong, says in [
        ({"A": 0}, "at least 1"),
        ({"A": 1.5}, "whole number"),
        ({CTRL: 3}, "nothing to predict"),
        (table.rename(columns={"n_cells": "n"}), "no column 'n_cells'"),
    ]:
        with pytest.raises(InputError, match=says):
            baselines.control_mean(adata, wrong)
    with pytest.raises(InputError, match="names no cell type"):
        baselines.control_mean(adata, table, **LABELS)
    with pytest.raises(InputError, match="no control cells of 'type9'"):
        baselines.control_mean(adata, {("A", "type9"): 3}, **LABELS)
    with pytest.raises(InputError, match="nearest: 'target_gene'"):
        baselines.control_mean(adata, pert_col="target")
    with pytest.raises(InputError, match="no cell has target_gene = 'ntc'"):
        baselines.control_mean(adata, control="ntc")
    with pytest.raises(InputError, match="no baseline 'mean'"):
        baselines.baseline("mean", adata)
    with pytest.raises(InputError, match="train has shape"):
        baselines.perturbation_mean(adata, train=np.ones(3, dtype=bool))
    raw = ct.datasets.simulate_screen(10, 2, 5, 20).adata
    with pytest.raises(LayerError, match="holds counts"):
        baselines.control_mean(raw)
    raw.X = raw.layers["lognorm"]
    raw.obs["target_gene"] = raw.obs["target_gene"].where(np.arange(20) > 0)
    with pytest.raises(InputError, match="missing in 1 cells"):
        baselines.control_mean(raw)
