"""Training from AnnData to a run directory."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from cytoripple._errors import (
    ClusterError,
    CytorippleError,
    GeneMatchError,
    InputError,
    LayerError,
    RunError,
    SettingsError,
)
from cytoripple._settings import Settings
from cytoripple.grn.conditions import folder_names
from cytoripple.grn.fit import Fitter, TargetFit
from cytoripple.grn.train import train_with
from cytoripple.io.betadata import read_betadata
from cytoripple.io.run import open_run
from cytoripple.kernels.ligands import received_ligands
from tests.grn.tissue import GIVEN, KEYS, contents, toy, train


def test_training_gives_a_complete_run(tmp_path: Path) -> None:
    """The defaults choose one penalty, score in and out of sample, and leave the data as they were."""
    adata, _ = toy()
    before = adata.copy()
    run = train(tmp_path / "run", adata, group_reg="cv", l1_reg="cv", score_threshold=0.0)
    summary = run.summary()
    assert summary["complete"]
    assert summary["failed"] == 0
    assert summary["genes"] + summary["orphans"] == adata.n_vars
    curve = run.cross_validation
    lowest = curve["kappas"][int(np.argmin(curve["errors"]))]
    assert -0.25 - 1e-9 <= np.log2(summary["kappa"] / lowest) <= 0.5 + 1e-9, (
        "near it, rather above than below"
    )
    assert run.settings.training.estimator == "joint"
    scores = run.scores()
    assert scores["converged"].all()
    fitted = scores[scores["r2_raw"] > 0.02]
    assert len(fitted) > 30 and (fitted["held_out_r2"] < fitted["r2_raw"]).mean() > 0.9
    assert summary["median_held_out_r2"] is not None
    assert set(run.radii) and set(run.radii.values()) <= {200.0, 50.0}
    assert run.cluster_labels == tuple(sorted(adata.obs["cell_type"].unique()))
    assert adata.obs.equals(before.obs)
    assert list(adata.layers) == list(before.layers)
    assert (tmp_path / "run" / "cytoripple_run_summary.html").is_file()
    assert not list((tmp_path / "run").rglob("*.lock")) and not list((tmp_path / "run").rglob("*.tmp"))


def test_the_result_does_not_depend_on_threads_or_batches(tmp_path: Path) -> None:
    """One or two threads, and genes alone or together, give the same files to the last bit."""
    adata, _ = toy()
    together = contents(train(tmp_path / "one", threads=1).directory)
    again = contents(train(tmp_path / "two", threads=2).directory)
    assert {name: value for name, value in together.items() if "betadata" in name or "log" in name} == {
        name: value for name, value in again.items() if "betadata" in name or "log" in name
    }
    for gene in adata.var_names[10:14]:
        alone = contents(train(tmp_path / gene, targets=[gene]).directory)
        for name in alone:
            if name.startswith((f"{gene}_", f"log/{gene}.")):
                assert alone[name] == together[name]


def test_storage_of_the_layer_does_not_matter(tmp_path: Path) -> None:
    adata, _ = toy()
    dense = adata.copy()
    dense.layers["normalized_count"] = np.asarray(
        sparse.csr_matrix(adata.layers["normalized_count"]).toarray(), dtype=np.float64
    )
    compressed = dense.copy()
    compressed.layers["normalized_count"] = sparse.csc_matrix(dense.layers["normalized_count"])
    one = read_betadata(train(tmp_path / "dense", dense).directory)
    two = read_betadata(train(tmp_path / "sparse", compressed).directory)
    assert list(one) == list(two)
    for gene in one:
        assert one[gene].modulators == two[gene].modulators
        np.testing.assert_allclose(one[gene].betas, two[gene].betas, rtol=1e-9, atol=1e-12)


def test_targets_are_trained_in_the_order_of_the_data(tmp_path: Path) -> None:
    adata, _ = toy()
    wanted = [str(adata.var_names[-2]), str(adata.var_names[12])]
    run = train(tmp_path / "run", targets=wanted)
    assert sorted(run.genes() + list(run.orphans())) == sorted(wanted)
    limited = train(tmp_path / "limited", targets=wanted, max_genes=1)
    assert limited.genes() + list(limited.orphans()) == [wanted[1]]


def test_the_gate_removes_bad_clusters_but_keeps_their_score(tmp_path: Path) -> None:
    run = train(tmp_path / "run", score_threshold=0.5)
    scores = run.scores()
    low = scores["r2_raw"] < 0.5
    assert low.any() and not low.all()
    assert (scores["r2"][low] == 0.0).all()
    assert (scores["r2"][~low] == scores["r2_raw"][~low].round(6)).all()
    for gene, table in read_betadata(run.directory).items():
        bad = set(scores["cluster"][low & (scores["gene"] == gene)].astype(str))
        for key, intercept, betas in zip(table.keys, table.intercept, table.betas, strict=True):
            assert (key in bad) == (not betas.any() and intercept == 0.0) or key not in bad
    strict = train(tmp_path / "strict", score_threshold=1.0)
    assert strict.genes() == []
    assert all("1.0" in why or "penalty" in why or "network" in why for why in strict.orphans().values())


def test_predictions_of_the_betas_reproduce_the_score(tmp_path: Path) -> None:
    """R2 computed from files and data alone equals the one in the log."""
    adata, _ = toy()
    run = train(tmp_path / "run")
    gene = run.genes()[-1]
    table = read_betadata(run.directory, genes=[gene])[gene]
    dense = np.asarray(sparse.csr_matrix(adata.layers["normalized_count"]).toarray())
    x = pd.DataFrame(dense, columns=adata.var_names)
    prediction = np.zeros(adata.n_obs)
    clusters = pd.Categorical(adata.obs["cell_type"], categories=list(run.cluster_labels)).codes
    rows = np.array([list(table.keys).index(str(cluster)) for cluster in clusters])
    prediction += table.intercept[rows]
    for column, (name, (kind, *genes)) in enumerate(zip(table.modulators, table.terms, strict=True)):
        values = x[genes[-1] if kind else name].to_numpy()
        if kind:
            received = received_ligands(
                adata.obsm["spatial"], x[[genes[0]]].to_numpy(), radius=run.radii[genes[0]]
            )
            values = values * received[:, 0]
        prediction += table.betas[rows, column] * values
    scores = run.scores().query("gene == @gene").set_index("cluster")
    for cluster in np.unique(clusters):
        y = x[gene].to_numpy()[clusters == cluster]
        r2 = 1 - ((y - prediction[clusters == cluster]) ** 2).sum() / ((y - y.mean()) ** 2).sum()
        assert r2 == pytest.approx(scores["r2_raw"][cluster], abs=1e-4), "up to the tolerance of the kernel"


def test_groups_of_columns_can_be_left_out(tmp_path: Path) -> None:
    for option, sign in (("use_lr", "$"), ("use_tfl", "#")):
        tables = read_betadata(train(tmp_path / option, **{option: False}).directory)
        assert not [name for table in tables.values() for name in table.modulators if sign in name]
    spatial = read_betadata(train(tmp_path / "use_tf", use_tf=False).directory)
    assert all("$" in name or "#" in name for table in spatial.values() for name in table.modulators)


def test_priors_switch_regulators_off_per_cell_type(tmp_path: Path) -> None:
    adata, network = toy()
    edges = network.restrict(adata.var_names).tf
    gene = edges["target"].value_counts().index[0]
    regulators = [name for name in edges["source"][edges["target"] == gene] if name != gene]
    label = sorted(adata.obs["cell_type"].unique())[0]
    priors = pd.DataFrame(
        [(name, gene, "elsewhere") for name in regulators] + [(regulators[0], gene, label)],
        columns=["source", "target", "cell_type"],
    )
    options = {"targets": [gene], "group_reg": 1e-6, "l1_reg": 1e-6, "score_threshold": -9.0}
    table = read_betadata(train(tmp_path / "run", tf_priors=priors, **options).directory)[gene]
    own = {name: column for column, name in enumerate(table.modulators) if name in regulators}
    assert len(own) == len(regulators)
    masked = table.betas[list(table.keys).index("0")]
    assert masked[own[regulators[0]]] != 0.0
    assert not masked[[own[name] for name in regulators[1:]]].any()
    assert table.betas[list(table.keys).index("1")][list(own.values())].all()


def test_thresholds_silence_ligands_and_receptors(tmp_path: Path) -> None:
    adata, network = toy()
    lr = network.restrict(adata.var_names).lr
    silent = pd.DataFrame(0.0, index=adata.obs_names, columns=sorted(set(lr["ligand"]) | set(lr["receptor"])))
    tables = read_betadata(train(tmp_path / "run", cell_thresholds=silent).directory)
    assert not [name for table in tables.values() for name in table.modulators if "$" in name]


def test_a_gene_that_fails_is_reported_and_the_others_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = Fitter.fit
    bad = str(toy()[0].var_names[15])

    def fit(self: Fitter, genes: list[str], *chosen: float | None) -> list[TargetFit]:
        if bad in genes:
            raise ValueError("singular in a new way")
        return plain(self, genes, *chosen)

    with monkeypatch.context() as patch:
        patch.setattr(Fitter, "fit", fit)
        run = train(tmp_path / "run")
    assert run.failed() == {bad: "ValueError: singular in a new way"}
    assert len(run.genes()) + len(run.orphans()) == toy()[0].n_vars - 1
    repaired = train(tmp_path / "run")
    assert repaired.failed() == {}
    assert contents(repaired.directory) == contents(train(tmp_path / "clean").directory)


def test_a_gene_without_signal_is_an_orphan_with_a_reason(tmp_path: Path) -> None:
    adata, _ = toy()
    layer = sparse.csr_matrix(adata.layers["normalized_count"]).toarray()
    layer[:, -2] = 0.0
    adata.layers["normalized_count"] = layer
    run = train(tmp_path / "run", adata, targets=[str(adata.var_names[-2])])
    assert "modulator" in run.orphans()[str(adata.var_names[-2])]


def test_a_cluster_of_one_cell_is_fitted_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    adata, _ = toy()
    labels = adata.obs["cell_type"].astype(str).to_numpy().copy()
    labels[7] = "Alone"
    adata.obs["cell_type"] = labels
    with caplog.at_level(logging.WARNING):
        run = train(tmp_path / "run", adata, group_reg="cv", l1_reg="cv")
    assert any("Alone (1)" in record.getMessage() for record in caplog.records)
    scores = run.scores()
    alone = scores[scores["cluster"] == run.cluster_labels.index("Alone")]
    assert (alone["n_cells"] == 1).all() and (alone["r2_raw"] == 0.0).all()
    for table in read_betadata(run.directory).values():
        assert not table.betas[list(table.keys).index("0")].any()


def test_samples_do_not_signal_to_each_other(tmp_path: Path) -> None:
    """Two sections at the same place are trained as if they were far apart."""
    adata, _ = toy()
    adata.obs["section"] = np.where(np.arange(adata.n_obs) % 2 == 0, "s1", "s2")
    joint = train(tmp_path / "joint", adata, sample_key="section")
    mixed = train(tmp_path / "mixed", adata)
    assert joint.provenance["sample_labels"] == ["s1", "s2"]
    one, two = (
        (joint.directory / "scales.feather").read_bytes(),
        (mixed.directory / "scales.feather").read_bytes(),
    )
    assert one != two


def test_conditions_are_trained_apart(tmp_path: Path) -> None:
    adata, _ = toy()
    adata.obs["stage"] = np.where(np.arange(adata.n_obs) < 80, "early/1", "late")
    adata.obs.loc[adata.obs_names[:30], "stage"] = None
    gene = str(adata.var_names[-2])
    run = train(tmp_path / "run", adata, condition="stage", targets=[gene])
    groups = run.conditions()
    assert sorted(groups) == ["_na", "early/1", "late"]
    late = groups["late"]
    assert late.directory == tmp_path / "run" / "conditions" / "late"
    assert late.provenance["condition"] == {
        "column": "stage",
        "value": "late",
        "directory": "conditions/late",
    }
    cells = (late.directory / "condition_cells.txt").read_text().split()
    assert cells == list(adata.obs_names[80:])
    alone = train(tmp_path / "alone", adata[80:].copy(), targets=[gene])
    assert contents(alone.directory).get(f"{gene}_betadata.feather") == contents(late.directory).get(
        f"{gene}_betadata.feather"
    )
    assert (
        train(tmp_path / "run", adata, condition="stage", targets=[gene]).conditions().keys() == groups.keys()
    )


def test_names_of_condition_folders_are_safe_and_distinct() -> None:
    names = folder_names(["a b", "a/b", "a__b", "..", "", "x" * 100, "μ"])
    assert names == ["a_b", "a_b_2", "a_b_3", "group", "group_2", "x" * 64, "group_3"]


def test_joining_takes_the_settings_of_the_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = train(tmp_path / "run")
    before = contents(first.directory)
    with pytest.raises(RunError, match=r"spatial\.radius"):
        train(tmp_path / "run", radius=99.0)
    with caplog.at_level(logging.WARNING):
        joined = train(tmp_path / "run", radius=99.0, join=True)
    assert any("spatial.radius" in record.getMessage() for record in caplog.records)
    assert joined.settings.spatial.radius == 200.0
    assert contents(joined.directory) == before
    with pytest.raises(RunError, match="no run to join"):
        train(tmp_path / "absent", join=True)
    with pytest.raises(SettingsError, match="condition"):
        train(tmp_path / "run", join=True, condition="domain")


def test_a_directory_of_another_data_set_is_refused(tmp_path: Path) -> None:
    train(tmp_path / "run", max_genes=12)
    adata, _ = toy()
    other = adata[:-1].copy()
    before = contents(tmp_path / "run")
    with pytest.raises(RunError, match="another data set"):
        train(tmp_path / "run", other, max_genes=12)
    assert contents(tmp_path / "run") == before


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"layer": "absent"}, LayerError, "absent"),
        ({"cluster_key": "absent"}, ClusterError, "absent"),
        ({"targets": ["tgt02"]}, GeneMatchError, "Tgt02"),
        ({"targets": []}, InputError, "no target gene"),
        ({"radius": -1.0}, SettingsError, "spatial.radius"),
        ({"group_reg": "cv"}, SettingsError, "both"),
        ({"extra_lr": ["Lig01"]}, InputError, "Ligand$Receptor"),
        ({"condition": "absent"}, InputError, "absent"),
        ({"network": "absent.parquet"}, CytorippleError, "absent.parquet"),
        ({"tf_priors": "absent.feather"}, InputError, "absent.feather"),
        ({"cell_thresholds": pd.DataFrame({"Lig01": [1.0]})}, InputError, "cell_thresholds"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(
    tmp_path: Path, options: dict[str, object], error: type[Exception], words: str
) -> None:
    with pytest.raises(error) as caught:
        train(tmp_path / "run", **options)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_run_directory_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("mine")
    with pytest.raises(RunError, match="cannot make the run directory"):
        train(tmp_path / "run")
    assert (tmp_path / "run").read_text() == "mine"


def test_a_settings_object_trains_the_same(tmp_path: Path) -> None:
    adata, network = toy()
    direct = train(tmp_path / "direct", targets=[str(adata.var_names[-2])])
    stored = open_run(direct.directory).settings
    stored.dump(tmp_path / "cytoripple.toml")
    run = train_with(
        adata, Settings.load(tmp_path / "cytoripple.toml"), network=network, run_dir=tmp_path / "again"
    )
    assert contents(run.directory) == contents(direct.directory)
    assert run.settings.data.layer == KEYS["layer"]
    assert run.settings.lasso.group_reg == GIVEN["group_reg"]
