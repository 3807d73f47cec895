"""The command that deconvolves spots."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest

import cytoripple as ct
from tests.cli.helpers import PYTHON, ask, environment
from tests.deconv.spots import planted


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with spots and annotated cells."""
    folder = tmp_path_factory.mktemp("spots")
    data = planted(n=150)
    spots = data.spots(kept=data.counts)
    spots.X = spots.X.multiply(np.arange(150)[:, None] != 3).tocsr()
    spots.X.eliminate_zeros()
    spots.write_h5ad(folder / "spots.h5ad")
    data.reference().write_h5ad(folder / "cells.h5ad")
    return folder


@pytest.fixture(scope="module")
def words(files: Path) -> tuple[object, ...]:
    return (
        "deconvolve", "--h5ad", files / "spots.h5ad", "--reference", files / "cells.h5ad",
        "--cell-type-key", "cell_type", "--progress", "none",
    )  # fmt: skip


def test_results_of_a_backed_file_equal_those_in_python(
    files: Path, words: tuple[object, ...], tmp_path: Path
) -> None:
    answer = ask(*words, "--out", tmp_path / "out", "--stability", "--json")
    assert answer.code == 0, answer.err
    spots, cells = anndata.read_h5ad(files / "spots.h5ad"), anndata.read_h5ad(files / "cells.h5ad")
    ct.tl.deconvolve(spots, cells, cell_type_key="cell_type", stability=True)
    written = anndata.read_h5ad(tmp_path / "out" / "deconvolved.h5ad")
    for name in ("deconvolution", "deconvolution_stability"):
        pd.testing.assert_frame_equal(written.obsm[name], spots.obsm[name])
    assert (written.X != spots.X).nnz == 0 and (written.layers["kept"] != spots.layers["kept"]).nnz == 0
    pd.testing.assert_frame_equal(written.obs, spots.obs)
    table = pd.read_csv(tmp_path / "out" / "proportions.csv", index_col=0)
    np.testing.assert_allclose(table, spots.obsm["deconvolution"], rtol=1e-4)
    assert answer.data["spots"] == 150 and answer.data["spots_without_counts"] == 1
    assert sum(answer.data["dominant_in"].values()) == 149
    assert [Path(path).name for path in answer.data["pictures"]] == [
        "cell_types.png", "each_type.png", "stability.png",
    ]  # fmt: skip
    assert not [path for path in (tmp_path / "out").iterdir() if path.name.startswith(".")]


def test_a_dry_run_tells_time_and_memory_and_writes_nothing(
    words: tuple[object, ...], tmp_path: Path
) -> None:
    answer = ask(*words, "--out", tmp_path / "out", "--dry-run", "--json")
    assert answer.code == 0, answer.err
    assert answer.data["types"] == 4 and answer.data["genes_shared"] == 120
    assert answer.data["seconds_about"] > 0 and answer.data["memory_mb_at_most"] >= 100
    assert answer.data["counts_on_disk"]
    assert not (tmp_path / "out").exists()
    assert "nothing was written" in ask(*words, "--out", tmp_path / "out", "--dry-run").out


@pytest.mark.parametrize("method", ["fast", "flashdeconv"])
def test_other_methods_a_layer_and_a_table_as_reference(files: Path, tmp_path: Path, method: str) -> None:
    cells = anndata.read_h5ad(files / "cells.h5ad")
    means = pd.DataFrame(cells.X.toarray(), columns=cells.var_names).groupby(
        cells.obs["cell_type"].to_numpy()
    )
    means.mean().to_csv(tmp_path / "means.csv")
    inputs = ("--h5ad", files / "spots.h5ad", "--reference", tmp_path / "means.csv", "--layer", "kept")
    outputs = ("--out", tmp_path / "out", "--table", "parquet", "--no-pictures", "--json")
    answer = ask("deconvolve", *inputs, "--method", method, *outputs)
    assert answer.code == 0, answer.err
    table = pd.read_parquet(tmp_path / "out" / "proportions.parquet")
    np.testing.assert_allclose(table.sum(axis=1), 1, rtol=1e-5)
    assert answer.data["spots_without_counts"] == 0 and not answer.data["pictures"]


def test_the_table_on_screen_names_the_types(words: tuple[object, ...], tmp_path: Path) -> None:
    answer = ask(*words, "--out", tmp_path / "out", "--spatial-key", "none")
    assert answer.code == 0, answer.err
    assert "type 0" in answer.out and "mean share" in answer.out
    assert "1 spots have no counts" in answer.out


def test_bad_input_is_one_sentence(files: Path, words: tuple[object, ...], tmp_path: Path) -> None:
    out = ("--out", tmp_path / "out")
    assert "give csv or parquet" in ask(*words, *out, "--table", "xlsx").sentence
    assert "method is 'rctd'" in ask(*words, *out, "--method", "rctd").sentence
    assert "no layer 'kep'; nearest: 'kept'" in ask(*words, *out, "--layer", "kep").sentence
    assert "nearest: 'cells.h5ad'" in ask(*words[:3], "--reference", files / "cell.h5ad", *out).sentence
    (tmp_path / "bad.csv").write_text("type,gene0\na,x\n")
    assert "holds no numbers" in ask(*words[:3], "--reference", tmp_path / "bad.csv", *out).sentence
    (tmp_path / "taken").touch()
    assert "is a file" in ask(*words, "--out", tmp_path / "taken").sentence
    assert not (tmp_path / "out").exists()
    ask(*words, *out, "--no-pictures")
    again = ask(*words[:1], "--h5ad", tmp_path / "out" / "deconvolved.h5ad", *words[3:], *out)
    assert "is the input" in again.sentence


def test_ctrl_c_leaves_nothing_half_written(tmp_path: Path) -> None:
    data = planted(n=40_000, n_genes=300, n_types=12)
    data.spots().write_h5ad(tmp_path / "spots.h5ad")
    data.reference().write_h5ad(tmp_path / "cells.h5ad")
    process = subprocess.Popen(
        [*PYTHON, "deconvolve", "--h5ad", tmp_path / "spots.h5ad", "--reference", tmp_path / "cells.h5ad",
         "--cell-type-key", "cell_type", "--out", tmp_path / "out", "--progress", "json", "--threads", "1"],
        stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment(),
    )  # fmt: skip
    assert process.stderr is not None
    for line in process.stderr:
        if '"sweeps"' in line:
            break
    start = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=30)
    assert process.returncode == 130 and rest.strip().endswith("interrupted")
    assert time.monotonic() - start < 5
    assert not (tmp_path / "out").exists() or not any((tmp_path / "out").iterdir())
