"""Simulated perturbations behave as the model says, and touch nothing else."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pytest
from anndata import AnnData
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import sparse

from cytoripple._errors import GeneMatchError, InputError, RunError
from cytoripple.perturb import Betabase, perturb, splash, write_feather
from tests.perturb.conftest import GENES, KEYWORDS, MODELS, make_tissue

PRESETS = ["cytoripple", "python", "rust"]


def run(adata: AnnData, betas: Path, targets: dict[str, float], **options: Any) -> pd.DataFrame:
    """Give simulated minus original expression."""
    perturb(adata, betas, targets, **(KEYWORDS | options))
    return adata.to_df("perturbation_delta")


def changed(delta: pd.DataFrame) -> set[str]:
    return set(delta.columns[(delta != 0).any()])


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("n_propagation", [0, 1, 3])
def test_a_perturbation_to_the_present_value_changes_nothing(
    tissue: AnnData, betas: Path, preset: str, n_propagation: int
) -> None:
    tissue.layers["imputed_count"][:, GENES.index("FOXO1")] = 1.5
    delta = run(tissue, betas, {"FOXO1": 1.5}, preset=preset, n_propagation=n_propagation)
    assert not delta.to_numpy().any()
    np.testing.assert_array_equal(tissue.layers["perturbation"], tissue.layers["imputed_count"])


@pytest.mark.parametrize("preset", PRESETS)
def test_a_gene_without_edges_changes_alone(tissue: AnnData, betas: Path, preset: str) -> None:
    assert changed(run(tissue, betas, {"LONE": 0.0}, preset=preset)) == {"LONE"}


@pytest.mark.parametrize("preset", PRESETS)
def test_targets_end_at_their_value(tissue: AnnData, betas: Path, preset: str) -> None:
    run(tissue, betas, {"FOXO1": 0.0, "MYC": 9.0}, preset=preset)
    simulated = tissue.to_df("perturbation")
    assert (simulated["FOXO1"] == 0).all()
    assert (simulated["MYC"] == 9).all()


def test_the_ripple_reaches_one_edge_per_step(tissue: AnnData, betas: Path) -> None:
    """FOXO1 acts on MYC and STAT1; both act on IL10."""
    reach = [changed(run(tissue, betas, {"FOXO1": 0.0}, n_propagation=n)) for n in range(3)]
    assert reach == [{"FOXO1"}, {"FOXO1", "MYC", "STAT1"}, {"FOXO1", "MYC", "STAT1", "IL10"}]


def test_a_tf_acts_inside_its_cell_only(tissue: AnnData, betas: Path) -> None:
    delta = run(tissue, betas, {"MYC": 0.9}, cells=["cell_03", "cell_08"])
    assert set(delta.index[(delta != 0).any(axis=1)]) == {"cell_03", "cell_08"}
    assert delta["IL10"].any()


def test_a_ligand_reaches_other_cells(tissue: AnnData, betas: Path) -> None:
    delta = run(tissue, betas, {"CCL5": 5.0}, cells=["cell_03"])
    others = delta.drop(index="cell_03")
    assert (others["MYC"] != 0).any()
    assert not others["CCL5"].any()


def test_a_ligand_stops_at_the_radius_of_the_truncated_kernel(tissue: AnnData, betas: Path) -> None:
    """The preset python implies the kernel that is zero beyond the radius."""
    xy = tissue.obsm["spatial"]
    delta = run(tissue, betas, {"CCL5": 5.0}, cells=["cell_03"], preset="python", n_propagation=1)
    distance = np.hypot(*(xy - xy[3]).T)
    reached = (delta[["MYC", "IL10"]] != 0).any(axis=1).to_numpy()
    assert not reached[distance > 30].any()
    assert reached[distance <= 30].any()
    assert tissue.uns["perturbation"]["kernel"] == "gaussian_truncated"


def test_samples_do_not_signal_to_each_other(tissue: AnnData, betas: Path) -> None:
    tissue.obs["section"] = np.where(np.arange(40) < 20, "a", "b")
    delta = run(tissue, betas, {"CCL5": 5.0}, cells=["cell_03"], sample_key="section")
    touched = set(tissue.obs["section"][(delta != 0).any(axis=1)])
    assert touched == {"a"}


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32 - 1))
def test_the_order_of_cells_and_genes_does_not_matter(betas: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    tissue = make_tissue(seed=seed)
    cells, genes = rng.permutation(tissue.n_obs), rng.permutation(tissue.n_vars)
    shuffled = tissue[cells, genes].copy()
    straight = run(tissue, betas, {"CCL5": 0.0, "FOXO1": 2.0}, cells=["cell_03", "cell_30"])
    other = run(shuffled, betas, {"FOXO1": 2.0, "CCL5": 0.0}, cells=["cell_30", "cell_03"])
    np.testing.assert_allclose(other.loc[straight.index, straight.columns], straight, rtol=0, atol=1e-12)


@pytest.mark.parametrize("preset", PRESETS)
def test_rows_per_cluster_and_per_cell_give_the_same(
    tissue: AnnData, betas: Path, per_cell: Callable[[Path], Path], preset: str
) -> None:
    one = run(tissue, betas, {"CCL5": 0.0, "FOXO1": 2.0}, preset=preset)
    two = run(tissue, per_cell(betas), {"CCL5": 0.0, "FOXO1": 2.0}, preset=preset)
    np.testing.assert_array_equal(one, two)


def test_threads_do_not_change_a_bit(tissue: AnnData, betas: Path) -> None:
    found = [run(tissue, betas, {"CCL5": 0.0}, threads=threads) for threads in (1, 2, 3)]
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


def test_a_loaded_betabase_gives_the_same_as_its_folder(tissue: AnnData, betas: Path) -> None:
    one = run(tissue, betas, {"CCL5": 0.0})
    keywords = {name: value for name, value in KEYWORDS.items() if name != "ligand_method"}
    perturb(tissue, Betabase.open(betas, **keywords), {"CCL5": 0.0}, ligand_method="direct")
    np.testing.assert_array_equal(tissue.to_df("perturbation_delta"), one)


def test_radii_reach_as_one_radius_where_they_are_equal(tissue: AnnData, betas: Path) -> None:
    one = run(tissue, betas, {"CCL5": 0.0})
    two = run(tissue, betas, {"CCL5": 0.0}, radius=None, radii={"CCL5": 30.0})
    three = run(tissue, betas, {"CCL5": 0.0}, radius=None, radii={"OTHER": 30.0})
    np.testing.assert_array_equal(one, two)
    assert changed(one) > changed(three) == {"CCL5"}
    assert "CCL5" in tissue.uns["perturbation"]["report"]


def test_each_target_may_have_its_own_cells(tissue: AnnData, betas: Path) -> None:
    run(tissue, betas, {"FOXO1": 0.0, "MYC": 7.0}, cells={"FOXO1": ["cell_00"], "MYC": "1"})
    simulated, before = tissue.to_df("perturbation"), tissue.to_df("imputed_count")
    np.testing.assert_array_equal(simulated["FOXO1"].iloc[1:], before["FOXO1"].iloc[1:])
    assert ((simulated["MYC"] == 7) == (tissue.obs["cluster"] == 1)).all()


def test_thresholds_silence_a_receptor_except_under_the_preset_rust(tissue: AnnData, betas: Path) -> None:
    table = pd.DataFrame(0.0, index=tissue.obs_names, columns=["CCR5"])
    for preset, reached in {"python": False, "cytoripple": False, "rust": True}.items():
        delta = run(tissue, betas, {"CCL5": 9.0}, cell_thresholds=table, preset=preset, n_propagation=1)
        assert ("MYC" in changed(delta)) is reached, preset


def test_only_allowed_tfs_act(tissue: AnnData, betas: Path) -> None:
    delta = run(tissue, betas, {"FOXO1": 0.0}, allowed_tfs={"MYC": {"STAT1"}}, n_propagation=1)
    assert changed(delta) == {"FOXO1", "STAT1"}
    with pytest.raises(InputError, match="'ACTB' is not a target"):
        run(tissue, betas, {"FOXO1": 0.0}, allowed_tfs={"ACTB": {"STAT1"}})


FORMS: dict[str, Callable[[np.ndarray], Any]] = {
    "dense float64": lambda x: x,
    "dense float32": lambda x: x.astype(np.float32),
    "dense Fortran": np.asfortranarray,
    "CSR float32": lambda x: sparse.csr_matrix(x.astype(np.float32)),
    "CSR float64": sparse.csr_matrix,
    "CSC float64": sparse.csc_matrix,
    "CSR array": sparse.csr_array,
}


@pytest.mark.parametrize("form", FORMS)
def test_the_result_has_the_form_of_its_layer(tissue: AnnData, betas: Path, form: str) -> None:
    """Genes that do not change are copied bit by bit; the source layer and X stay as they were."""
    x = tissue.layers["imputed_count"]
    x[:, GENES.index("CCR5")] = 0.0
    x[7] = 0.0
    expected = run(tissue, betas, {"FOXO1": 0.0, "CCL5": 2.0}, cells="0")
    tissue.layers["imputed_count"] = FORMS[form](x)
    before = tissue.copy()
    found = run(tissue, betas, {"FOXO1": 0.0, "CCL5": 2.0}, cells="0")
    single = "float32" in form
    np.testing.assert_allclose(
        found, expected, rtol=1e-5 if single else 1e-12, atol=1e-5 if single else 1e-12
    )
    for key in ("perturbation", "perturbation_delta"):
        assert sparse.issparse(tissue.layers[key]) is form.startswith("CS")
        assert tissue.layers[key].dtype == (np.float32 if single else np.float64)
    same = [gene for gene in GENES if gene not in changed(found)]
    np.testing.assert_array_equal(
        tissue.to_df("perturbation")[same], tissue.to_df("imputed_count")[same].astype(np.float64)
    )
    for name in ("imputed_count", None):
        np.testing.assert_array_equal(tissue.to_df(name), before.to_df(name))


def test_nothing_is_written_outside_the_key(tissue: AnnData, betas: Path) -> None:
    before = tissue.copy()
    perturb(tissue, betas, {"CCL5": 0.0}, key_added="ko", **KEYWORDS)
    assert set(tissue.layers) == {"imputed_count", "ko", "ko_delta"}
    assert set(tissue.uns) == {"ko"}
    pd.testing.assert_frame_equal(tissue.obs, before.obs)
    assert list(tissue.obsm) == list(before.obsm)


def test_a_copy_leaves_the_original_alone(tissue: AnnData, betas: Path) -> None:
    result = perturb(tissue, betas, {"CCL5": 0.0}, copy=True, **KEYWORDS)
    assert result is not None
    assert list(tissue.layers) == ["imputed_count"]
    assert "perturbation" in result.layers
    assert perturb(tissue, betas, {"CCL5": 0.0}, **KEYWORDS) is None


def test_the_record_survives_a_file(tissue: AnnData, betas: Path, tmp_path: Path) -> None:
    run(tissue, betas, {"CCL5": 0.0, "FOXO1": 1.0}, cells="0")
    tissue.write_h5ad(tmp_path / "result.h5ad")
    record = anndata.read_h5ad(tmp_path / "result.h5ad").uns["perturbation"]
    assert list(record["targets"]) == ["CCL5", "FOXO1"]
    assert record["values"].tolist() == [0.0, 1.0]
    assert record["n_cells"].tolist() == [20, 20]
    assert list(record["cells"]) == list(tissue.obs_names[::2])
    assert (record["kernel"], record["n_propagation"], record["preset"]) == ("gaussian", 4, "cytoripple")
    assert len(record["input_hash"]) == 64
    assert record["summary"]["n_changed_genes"] >= 4
    assert {"load", "prepare", "propagate", "store"} <= set(record["timings"])
    assert "cytoripple" in record["versions"]


@pytest.mark.parametrize(
    ("targets", "options", "error", "reason"),
    [
        ({"foxo1": 0.0}, {}, GeneMatchError, "nearest: 'FOXO1'"),
        ({}, {}, InputError, "names no gene"),
        ({"FOXO1": -1.0}, {}, InputError, "number >= 0"),
        ({"FOXO1": float("nan")}, {}, InputError, "number >= 0"),
        ({"FOXO1": "0"}, {}, InputError, "number >= 0"),
        ({"FOXO1": 0.0}, {"n_propagation": -1}, InputError, "n_propagation is -1"),
        ({"FOXO1": 0.0}, {"n_propagation": 1.5}, InputError, "n_propagation is 1.5"),
        ({"FOXO1": 0.0}, {"preset": "julia"}, InputError, "preset is 'julia'"),
        ({"FOXO1": 0.0}, {"beta_cap": 0.0}, InputError, "beta_cap is 0.0"),
        ({"FOXO1": 0.0}, {"beta_scale_factor": np.inf}, InputError, "beta_scale_factor is inf"),
        ({"FOXO1": 0.0}, {"radius": None}, InputError, "how far ligands reach"),
        ({"FOXO1": 0.0}, {"kernel": "gaussian_cutoff"}, InputError, "contact_distance"),
        ({"FOXO1": 0.0}, {"cells": {"MYC": "0"}}, InputError, "not a target"),
        ({"FOXO1": 0.0}, {"layer": "absent"}, InputError, "no layer 'absent'"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_no_trace(
    tissue: AnnData, betas: Path, targets: dict[str, float], options: dict[str, Any], error: type, reason: str
) -> None:
    with pytest.raises(error, match=reason):
        perturb(tissue, betas, targets, **(KEYWORDS | options))
    assert list(tissue.layers) == ["imputed_count"]
    assert not tissue.uns


def test_a_run_with_thresholds_asks_for_them(tissue: AnnData, betas: Path) -> None:
    base = Betabase.open(betas, **{k: v for k, v in KEYWORDS.items() if k != "ligand_method"})
    object.__setattr__(base.fitted, "thresholds_hash", "x")
    with pytest.raises(RunError, match="cell_thresholds"):
        perturb(tissue, base, {"CCL5": 0.0})


def test_missing_modulators_are_said(tissue: AnnData, betas: Path, caplog: pytest.LogCaptureFixture) -> None:
    small = tissue[:, [gene for gene in GENES if gene != "STAT1"]].copy()
    with caplog.at_level(logging.WARNING):
        delta = run(small, betas, {"FOXO1": 0.0})
    assert "STAT1" in caplog.text
    assert changed(delta) == {"FOXO1", "MYC", "IL10"}


CELLS: dict[str, tuple[Any, list[int]]] = {
    "mask": (np.arange(40) < 2, [0, 1]),
    "mask as a list": ([True, True, *[False] * 38], [0, 1]),
    "positions": (np.array([5, 3, 3]), [3, 5]),
    "positions as a list": ([5, 3], [3, 5]),
    "obs names": (["cell_05", "cell_03"], [3, 5]),
    "an index": (pd.Index(["cell_05"]), [5]),
    "one obs name": ("cell_05", [5]),
    "a label": ("1", list(range(1, 40, 2))),
    "labels": (["0", "1"], list(range(40))),
}


@pytest.mark.parametrize("kind", CELLS)
def test_cells_are_chosen_in_many_ways(tissue: AnnData, betas: Path, kind: str) -> None:
    cells, expected = CELLS[kind]
    run(tissue, betas, {"LONE": 99.0}, cells=cells)
    assert np.flatnonzero(tissue.to_df("perturbation")["LONE"] == 99).tolist() == expected


def test_a_series_mask_must_have_the_index_of_the_cells(tissue: AnnData, betas: Path) -> None:
    mask = tissue.obs["cluster"] == 1
    run(tissue, betas, {"LONE": 99.0}, cells=mask)
    assert (tissue.to_df("perturbation")["LONE"] == 99).sum() == 20
    with pytest.raises(InputError, match="index"):
        run(tissue, betas, {"LONE": 99.0}, cells=mask[::-1])


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ([], "selects no cell"),
        (np.zeros(40, dtype=bool), "selects no cell"),
        (np.zeros(3, dtype=bool), "mask of 3 entries"),
        ([40], "position 40"),
        ([-1], "position -1"),
        (np.zeros((2, 2)), "one dimension"),
        ([0.5], "dtype float64"),
        (["cell_5"], "nearest: 'cell_.5'"),
        (["0", "cell_05"], "neither a label"),
    ],
)
def test_cells_that_cannot_be_chosen_are_refused(
    tissue: AnnData, betas: Path, cells: Any, reason: str
) -> None:
    with pytest.raises(InputError, match=reason):
        run(tissue, betas, {"LONE": 0.0}, cells=cells)


def test_names_that_are_cells_and_labels_are_refused(tissue: AnnData, betas: Path) -> None:
    tissue.obs_names = [str(i) for i in range(40)]
    with pytest.raises(InputError, match="both obs names and labels"):
        run(tissue, betas, {"LONE": 0.0}, cells=["0", "1"])


def test_cells_from_a_csv(tissue: AnnData, betas: Path, tmp_path: Path) -> None:
    """Blank fields are skipped, blanks around names trimmed, repeats counted once."""
    path = tmp_path / "cells.csv"
    path.write_text("core,rim\ncell_03 ,cell_09\n,cell_08\ncell_05,\ncell_03\n")
    run(tissue, betas, {"LONE": 99.0}, cells=(path, "core"))
    assert np.flatnonzero(tissue.to_df("perturbation")["LONE"] == 99).tolist() == [3, 5]


@pytest.mark.parametrize(
    ("text", "column", "reason"),
    [
        ("core,rim\ncell_03,cell_09\n,cell_99\n", "core", r"column 'rim', line 3: 'cell_99'"),
        ("core\ncell_03\n", "cor", "no column 'cor'; nearest: 'core'"),
        ("core,core\ncell_03,\n", "core", "two columns 'core'"),
        ("core\n\n", "core", "selects no cell"),
        ("", "core", "empty"),
    ],
)
def test_a_csv_that_cannot_be_used_is_refused(
    tissue: AnnData, betas: Path, tmp_path: Path, text: str, column: str, reason: str
) -> None:
    path = tmp_path / "cells.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=reason):
        run(tissue, betas, {"LONE": 0.0}, cells=(path, column))
    with pytest.raises(InputError, match="cannot be read"):
        run(tissue, betas, {"LONE": 0.0}, cells=(tmp_path / "absent.csv", column))


def test_splash_of_a_target_is_its_derivative(tissue: AnnData, betas: Path) -> None:
    """Against finite differences of the model itself, gene by gene, where the receptor is expressed."""
    table = Betabase.open(betas).table("MYC")
    tf, pair = table.betas[tissue.obs["cluster"]].T
    x = tissue.to_df("imputed_count")
    xy = tissue.obsm["spatial"]
    square = ((xy[:, None] - xy[None]) ** 2).sum(axis=2)
    signal = np.exp(-square / (2 * 30.0**2)) @ x["CCL5"].to_numpy() / len(x)
    found = splash(tissue, betas, "MYC", **KEYWORDS)
    assert list(found.columns) == ["beta_CCL5", "beta_CCR5", "beta_FOXO1"]
    assert list(found.index) == list(tissue.obs_names)
    np.testing.assert_allclose(found["beta_FOXO1"], tf)
    np.testing.assert_allclose(found["beta_CCL5"], pair * x["CCR5"])
    np.testing.assert_allclose(found["beta_CCR5"], pair * signal * (x["CCR5"] > 0))
    scaled = splash(tissue, betas, "MYC", beta_scale_factor=50.0, beta_cap=0.4, **KEYWORDS)
    np.testing.assert_allclose(
        scaled["beta_CCL5"], np.clip(50 * pair * x["CCR5"].to_numpy(), -0.4, 0.4), atol=1e-12
    )


def test_splash_keeps_modulators_that_are_not_measured(tissue: AnnData, betas: Path) -> None:
    small = tissue[:, [gene for gene in GENES if gene != "CCR5"]].copy()
    found = splash(small, betas, "MYC", **KEYWORDS)
    assert list(found.columns) == ["beta_CCL5", "beta_CCR5", "beta_FOXO1"]
    assert not found[["beta_CCL5", "beta_CCR5"]].to_numpy().any()


def test_splash_reads_one_file_only(tissue: AnnData, betas: Path) -> None:
    (betas / "BAD_betadata.feather").write_bytes(b"no")
    assert splash(tissue, betas, "STAT1", **KEYWORDS).shape == (40, 1)
    with pytest.raises(InputError, match="nearest: 'STAT1'"):
        splash(tissue, betas, "STAT11", **KEYWORDS)


def test_splash_takes_given_signals(tissue: AnnData, betas: Path) -> None:
    signal = pd.DataFrame({"CCL5": 2.0, "OTHER": 9.0}, index=tissue.obs_names[::-1])
    found = splash(tissue, betas, "IL10", received_ligands=signal, received_tfl=2 * signal, **KEYWORDS)
    base = Betabase.open(betas).table("IL10")
    betas_of = base.betas[tissue.obs["cluster"]]
    np.testing.assert_allclose(found["beta_STAT1"], betas_of[:, 1] + 4.0 * betas_of[:, 2])
    with pytest.raises(InputError, match="no column 'CCL5'"):
        splash(tissue, betas, "IL10", received_ligands=signal[["OTHER"]], **KEYWORDS)
    with pytest.raises(InputError, match="lacks 1 cells"):
        splash(tissue, betas, "IL10", received_ligands=signal.iloc[1:], **KEYWORDS)


@pytest.mark.parametrize("form", ["dense float64", "CSR float32"])
def test_the_export_holds_every_gene_and_the_settings(
    tissue: AnnData, betas: Path, tmp_path: Path, form: str
) -> None:
    tissue.layers["imputed_count"] = FORMS[form](tissue.layers["imputed_count"])
    run(tissue, betas, {"CCL5": 0.0})
    path = write_feather(tissue, tmp_path)
    assert path.name == "CCL5_perturb_expr.feather"
    table = pa.feather.read_table(str(path))
    assert table.column_names == ["CellID", *GENES]
    assert {str(kind) for kind in table.schema.types[1:]} == {"double"}
    frame = table.to_pandas().set_index("CellID")
    np.testing.assert_array_equal(frame, tissue.to_df("perturbation").astype(np.float64))
    assert list(frame.index) == list(tissue.obs_names)
    record = json.loads(table.schema.metadata[b"cytoripple"])
    assert (record["targets"], record["preset"]) == (["CCL5"], "cytoripple")
    assert [found.name for found in tmp_path.glob("*.feather")] == [path.name]


def test_the_export_is_named_after_its_targets(tissue: AnnData, betas: Path, tmp_path: Path) -> None:
    run(tissue, betas, {"CCL5": 0.0, "MYC": 1.0})
    assert write_feather(tissue, tmp_path).name == "joint_perturb_expr.feather"
    assert write_feather(tissue, tmp_path / "mine.feather").name == "mine.feather"
    with pytest.raises(InputError, match="no simulation 'other'"):
        write_feather(tissue, tmp_path, key="other")
    with pytest.raises(InputError, match="not a folder"):
        write_feather(tissue, tmp_path / "absent")


def test_every_model_is_used(betas: Path) -> None:
    """The hand-made network is the one on disk."""
    assert Betabase.open(betas).targets == tuple(sorted(MODELS))
