"""Run directories: identity, resume rules, logs, the reference's files, whole or no files."""

from __future__ import annotations

import errno
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from cytoripple._anndata import Tissue
from cytoripple._errors import RunError
from cytoripple._provenance import atomic_path, create_text, hash_tissue, host_id, sweep_temporary, write_text
from cytoripple._settings import Settings
from cytoripple.io.gene_log import ClusterFit, log_path, log_text, read_log
from cytoripple.io.run import RADII_FILE, RUN_FILE, open_run
from cytoripple.io.run_file import RunRecord, establish, read_record, store_choice

PROVENANCE = {
    "version": "0.0.0",
    "input_hash": "aa",
    "network_hash": "bb",
    "network_name": "net.parquet",
    "n_cells": 10,
    "n_genes": 4,
    "n_targets": 3,
    "cluster_labels": ["B cell", "T cell"],
    "ligand_radii": RADII_FILE,
}
RADII = {"Tgfb1": 200.0, "Cxcl12": 1 / 3}


def record(settings: Settings | None = None, **changes: object) -> RunRecord:
    return RunRecord(settings or Settings(), {**PROVENANCE, **changes})


def tissue(expression: object, **changes: object) -> Tissue:
    parts: dict[str, object] = {
        "obs_names": pd.Index(["a", "b", "c"]),
        "var_names": pd.Index(["Sox2", "Actb"]),
        "expression": expression,
        "xy": np.arange(6.0).reshape(3, 2),
        "clusters": np.array([0, 1, 1]),
        "cluster_labels": ("0", "1"),
        "samples": None,
        "sample_labels": (),
        "cell_types": {},
        "layer": "X",
        "cluster_key": "cluster",
        "spatial_key": "spatial",
        "sample_key": None,
    }
    return Tissue(**(parts | changes))  # type: ignore[arg-type]


def test_a_run_is_what_was_established(tmp_path: Path) -> None:
    given = Settings().with_overrides({"spatial.kernel": "gaussian_truncated", "training.genes": ("A", "B")})
    establish(tmp_path, record(given), RADII, join=False)
    run = open_run(tmp_path)
    assert run.settings == given
    assert run.cluster_labels == ("B cell", "T cell")
    assert run.radii == RADII, "radii survive bit for bit"
    assert run.kernel == "gaussian_truncated"
    assert run.genes() == []
    assert open_run(tmp_path / RUN_FILE).settings == given


def test_the_same_run_is_resumed(tmp_path: Path) -> None:
    first = establish(tmp_path, record(), RADII, join=False)
    before = (tmp_path / RUN_FILE).read_bytes()
    other = Settings().with_overrides({"execution.threads": 7, "data.adata_path": "/elsewhere/moved.h5ad"})
    assert establish(tmp_path, record(other), RADII, join=False) == first
    assert (tmp_path / RUN_FILE).read_bytes() == before, "threads and paths do not matter"


@pytest.mark.parametrize(
    ("changes", "noun"),
    [
        ({"input_hash": "zz"}, "data set"),
        ({"network_hash": "zz"}, "network"),
        ({"tf_priors_hash": "zz"}, "priors"),
    ],
)
def test_a_directory_of_other_data_is_refused(tmp_path: Path, changes: dict[str, object], noun: str) -> None:
    establish(tmp_path, record(), RADII, join=False)
    for join in (False, True):
        with pytest.raises(RunError, match=f"another.*{noun}"):
            establish(tmp_path, record(**changes), RADII, join=join)


def test_other_settings_are_named_and_refused_unless_joining(tmp_path: Path) -> None:
    establish(tmp_path, record(), RADII, join=False)
    other = record(Settings().with_overrides({"spatial.radius": 77.0}))
    with pytest.raises(RunError, match=r"spatial\.radius is 77\.0 here and 200\.0 there"):
        establish(tmp_path, other, RADII, join=False)
    assert establish(tmp_path, other, RADII, join=True).settings.spatial.radius == 200.0


def test_betadata_of_unknown_origin_are_not_continued(tmp_path: Path) -> None:
    (tmp_path / "Sox2_betadata.feather").touch()
    with pytest.raises(RunError, match="empty run directory"):
        establish(tmp_path, record(), RADII, join=False)


def test_the_chosen_penalty_is_kept(tmp_path: Path) -> None:
    first = establish(tmp_path, record(), RADII, join=False)
    store_choice(tmp_path, first, {"kappa": 0.25, "kappas": [1.0, 0.25], "errors": [2.0, 1.0]})
    assert read_record(tmp_path).cross_validation["kappa"] == 0.25
    assert open_run(tmp_path).summary()["kappa"] == 0.25
    assert establish(tmp_path, record(), RADII, join=False).cross_validation["errors"] == [2.0, 1.0]


def test_a_folder_without_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=RUN_FILE):
        open_run(tmp_path)
    with pytest.raises(RunError, match="no run directory"):
        open_run(tmp_path / "absent")
    with pytest.raises(RunError, match="no run to join"):
        read_record(tmp_path)


def test_reasons_of_orphans_and_failures_are_read(tmp_path: Path) -> None:
    establish(tmp_path, record(), RADII, join=False)
    (tmp_path / "A.orphan").write_text("no modulators\n")
    (tmp_path / "B.failed").write_text("ValueError: no\n")
    (tmp_path / "C_betadata.feather").touch()
    run = open_run(tmp_path)
    assert run.genes() == ["C"]
    assert run.orphans() == {"A": "no modulators"}
    assert run.failed() == {"B": "ValueError: no"}
    summary = run.summary()
    assert (summary["genes"], summary["orphans"], summary["failed"], summary["complete"]) == (1, 1, 1, False)


@given(
    st.lists(
        st.builds(
            ClusterFit,
            cluster=st.integers(0, 40),
            n_cells=st.integers(1, 9999),
            n_modulators=st.integers(0, 999),
            r2=st.floats(-1, 1).map(lambda value: round(value, 6)),
            mse=st.floats(0, 10).map(lambda value: round(value, 6)),
            n_iter=st.integers(0, 10**6),
            converged=st.booleans(),
            r2_raw=st.floats(allow_nan=False, allow_infinity=False),
            held_out_r2=st.floats(allow_nan=True, allow_infinity=False),
            gap=st.floats(0, 1),
            objective=st.floats(0, 1e6),
            lambda_max=st.floats(0, 1e6),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_a_log_is_read_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, rows: list[ClusterFit]
) -> None:
    path = tmp_path_factory.mktemp("log") / "gene.log"
    path.write_text(log_text("H2-K1", rows, {"export": "betadata", "lasso_tol": 1e-6}))
    header, found = read_log(path)
    assert header["gene"] == "H2-K1"
    assert header["lasso_tol"] == "1e-06"
    assert repr(found) == repr(rows), "repr, because NaN is not equal to itself"


def test_the_scores_are_one_row_per_gene_and_cluster(tmp_path: Path) -> None:
    establish(tmp_path, record(), RADII, join=False)
    (tmp_path / "log").mkdir()
    fit = ClusterFit(1, 20, 3, 0.5, 0.1, 12, True, r2_raw=0.5, held_out_r2=0.25)
    log_path(tmp_path, "Sox2").write_text(log_text("Sox2", [fit], {}))
    scores = open_run(tmp_path).scores()
    assert scores[["gene", "cluster", "r2", "held_out_r2", "n_iter"]].to_numpy().tolist() == [
        ["Sox2", 1, 0.5, 0.25, 12]
    ]


def test_a_log_of_the_reference_is_read(tmp_path: Path) -> None:
    path = tmp_path / "Sox2.log"
    path.write_text(
        "format\tspacetravlr_training_log\tv1\ngene\tSox2\nseed_only\ttrue\nlasso_n_iter_max\t100\n\n"
        "# summary: per cluster\n"
        "cluster_id\tn_cells\tn_modulators\tlasso_r2\tlasso_train_mse\tlasso_fista_iters"
        "\tlasso_converged\tcnn_epochs_ran\tcnn_mse_first\tcnn_mse_last\n"
        "0\t120\t30\t0.412000\t0.090000\t100\tfalse\t0\tNA\tNA\n\n# cnn_mse_by_epoch: none\n"
        "cluster_id\tepoch\ttrain_mse\n"
    )
    _, rows = read_log(path)
    assert len(rows) == 1
    assert (rows[0].r2, rows[0].n_iter, rows[0].converged) == (0.412, 100, False)
    assert math.isnan(rows[0].held_out_r2)


@pytest.mark.parametrize("text", ["", "something else\n", "format\tspacetravlr_training_log\tv2\ngene\tA\n"])
def test_a_broken_log_is_an_error_that_names_it(tmp_path: Path, text: str) -> None:
    path = tmp_path / "A.log"
    path.write_text(text)
    with pytest.raises(RunError, match=r"A\.log"):
        read_log(path)


def test_a_reference_run_is_opened_where_its_betadata_are(tmp_path: Path) -> None:
    """A stored directory that no longer exists falls back to the folder of the TOML."""
    toml = "[spatial]\nradius = 120.0\n[lasso]\nl1_reg = 1e-9\ngroup_reg = 1e-9\n[cnn]\nx = 1\n"
    moved = tmp_path / "moved"
    moved.mkdir()
    (moved / "Sox2_betadata.feather").touch()
    path = moved / "spacetravlr_run_repro.toml"
    path.write_text(toml + '[execution]\noutput_dir = "/no/such/place"\n')
    run = open_run(moved)
    assert (run.directory, run.genes(), run.settings.spatial.radius) == (moved, ["Sox2"], 120.0)
    assert run.radii == {}
    inner = moved / "inner"
    inner.mkdir()
    (inner / "Actb_betadata.feather").touch()
    path.write_text(toml + '[execution]\noutput_dir = "inner"\n')
    assert open_run(path).genes() == ["Actb"]


def test_the_hash_ignores_storage_and_sees_every_value() -> None:
    """Dense and sparse agree; one changed value, label or coordinate does not."""
    dense = np.array([[0.0, 1.5], [0.0, 0.0], [2.0, 0.0]])
    reference = hash_tissue(tissue(dense))
    assert hash_tissue(tissue(sparse.csr_matrix(dense))) == reference
    explicit = sparse.csr_matrix((np.array([1.5, 0.0, 2.0]), np.array([1, 1, 0]), np.array([0, 1, 2, 3])))
    assert hash_tissue(tissue(explicit)) == reference, "a stored zero is a zero"
    changed = dense.copy()
    changed[2, 0] = np.nextafter(2.0, 3.0)
    others = [
        tissue(changed),
        tissue(dense[:, ::-1].copy()),
        tissue(dense, clusters=np.array([0, 0, 1])),
        tissue(dense, xy=np.zeros((3, 2))),
        tissue(dense, obs_names=pd.Index(["a", "b", "d"])),
        tissue(dense, samples=np.array([0, 0, 1])),
    ]
    hashes = [hash_tissue(other) for other in others]
    assert len({reference, *hashes}) == len(others) + 1


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_text(path, "old")
    with pytest.raises(ZeroDivisionError), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no space left"), atomic_path(tmp_path / "file"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert list(tmp_path.iterdir()) == []


def test_only_the_first_process_creates_a_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert create_text(path, "first")
    assert not create_text(path, "second")
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]


def test_temporary_files_of_killed_processes_are_swept(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    dead = tmp_path / f".A_betadata.feather@{host_id()}@{child.pid}.tmp"
    alive = tmp_path / f".B_betadata.feather@{host_id()}@{os.getpid()}.tmp"
    elsewhere = tmp_path / f".C_betadata.feather@elsewhere@{child.pid}.tmp"
    for path in (dead, alive, elsewhere):
        path.touch()
    assert sweep_temporary(tmp_path) == 1
    assert sorted(tmp_path.iterdir()) == sorted([alive, elsewhere])
