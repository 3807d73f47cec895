"""Training on data that cannot carry a model says so and does not break."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from anndata import AnnData
from scipy import sparse

import cytoripple as ct
from cytoripple.io.betadata import read_betadata
from cytoripple.io.run import SUMMARY_FILE, Run
from tests.grn.tissue import KEYS, contents, toy


def joint(run_dir: Path, adata: AnnData | None = None, **options: Any) -> Run:
    """Train with the defaults, the multiplier chosen."""
    own, network = toy()
    given: dict[str, Any] = {"network": network, "run_dir": run_dir, **KEYS, **options}
    return ct.tl.train_grn(own if adata is None else adata, **given)


def test_a_whole_run_and_a_perturbation_do_not_depend_on_threads(tmp_path: Path) -> None:
    """Every file of two runs but the manifest, and the cells after a knock-out, agree to the last bit."""
    runs = [joint(tmp_path / str(threads), threads=threads) for threads in (1, 2)]
    one, two = (contents(run.directory) for run in runs)
    assert one.keys() == two.keys() and len(runs[0].genes()) > 5
    assert [name for name in one if one[name] != two[name] and name != SUMMARY_FILE] == []
    strongest = str(runs[0].effects()["modulator"].iloc[0]).split("$")[0].split("#")[0]
    cells = []
    for threads, run in zip((1, 2), runs, strict=True):
        adata, _ = toy()
        ct.tl.perturb(adata, run, {strongest: 0.0}, threads=threads)
        delta = adata.layers["perturbation_delta"]
        cells.append(sparse.csr_matrix(delta).toarray())
    np.testing.assert_array_equal(cells[0], cells[1])
    assert np.abs(cells[0]).max() > 0


def test_a_cluster_of_few_cells_gets_no_coefficients(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Below ten cells a cluster keeps its means, is named, and does not disturb the others."""
    adata, _ = toy()
    labels = adata.obs["cell_type"].astype(str).to_numpy()
    labels[:8] = "rare"
    adata.obs["cell_type"] = labels
    with caplog.at_level(logging.WARNING, logger="cytoripple"):
        run = joint(tmp_path / "run", adata, kappa=0.25)
    said = [r.getMessage() for r in caplog.records if "fewer than 10 cells" in r.getMessage()]
    assert len(said) == 1 and "rare (8)" in said[0]
    rare = run.cluster_labels.index("rare")
    tables = read_betadata(run.directory)
    assert len(tables) > 5
    for table in tables.values():
        row = [str(key) for key in table.keys].index(str(rare))
        assert not table.betas[row].any() and np.isfinite(table.intercept[row])
        assert np.delete(table.betas, row, axis=0).any()


def test_targets_without_anything_to_learn_are_not_exported_silently(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Shuffled expression and a penalty that leaves nothing: the run warns, no target is predictable."""
    adata, _ = toy()
    values = np.array(adata.layers["normalized_count"].toarray())
    random = np.random.default_rng(0)
    clusters = adata.obs["cell_type"].astype(str).to_numpy()
    for label in np.unique(clusters):
        cells = np.flatnonzero(clusters == label)
        for gene in range(values.shape[1]):
            values[cells, gene] = values[random.permutation(cells), gene]
    adata.layers["normalized_count"] = values
    with caplog.at_level(logging.WARNING, logger="cytoripple"):
        run = joint(tmp_path / "run", adata, kappa=50.0)
    assert run.genes() == []
    assert len(run.orphans()) == adata.n_vars
    assert any("no gene has coefficients" in record.getMessage() for record in caplog.records)
    assert any("none of" in record.getMessage() for record in caplog.records)
    assert run.summary()["predictable"] == 0


def test_cells_at_one_place_get_random_folds_and_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Without places there are no blocks to hold out."""
    adata, _ = toy()
    adata.obsm["spatial"] = np.full((adata.n_obs, 2), 7.0)
    with caplog.at_level(logging.WARNING, logger="cytoripple"):
        run = joint(tmp_path / "run", adata, kappa=0.25)
    said = [r.getMessage() for r in caplog.records if "folds are random cells" in r.getMessage()]
    assert len(said) == 1
    assert run.scores()["held_out_r2"].notna().any()


def test_a_fold_without_a_type_is_left_out_of_its_score(tmp_path: Path) -> None:
    """A type that lives in one corner is absent from most folds."""
    adata, _ = toy()
    xy = np.asarray(adata.obsm["spatial"])
    order = np.argsort(xy.sum(axis=1))
    labels = adata.obs["cell_type"].astype(str).to_numpy()
    labels[order[:14]] = "corner"
    adata.obs["cell_type"] = labels
    run = joint(tmp_path / "run", adata)
    assert run.summary()["complete"] and run.summary()["failed"] == 0
    assert np.isfinite(run.cross_validation["errors"]).all()
    corner = run.cluster_labels.index("corner")
    scores = run.scores()
    assert (scores["cluster"] == corner).any()
    assert np.isfinite(scores.loc[scores["cluster"] != corner, "held_out_r2"]).all()


def test_without_counts_the_fit_goes_on_with_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The noise of counting is unknown without counts: the same fit as with the correction switched off."""
    adata, _ = toy()
    adata.X = np.asarray(adata.layers["normalized_count"].toarray())
    for name in list(adata.layers):
        if name != "normalized_count":
            del adata.layers[name]
    with caplog.at_level(logging.WARNING, logger="cytoripple"):
        run = joint(tmp_path / "run", adata, kappa=0.25)
    assert [r.getMessage() for r in caplog.records if "noise of counting" in r.getMessage()] != []
    assert sum("noise of counting" in r.getMessage() for r in caplog.records) == 1
    off = joint(tmp_path / "off", kappa=0.25, noise_correction=False)
    for gene, table in read_betadata(run.directory).items():
        np.testing.assert_array_equal(table.betas, read_betadata(off.directory)[gene].betas)
