"""Input that cannot be used: one clear sentence, a non-zero exit code, and no partial file."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest

import cytoripple as ct
from tests.cli.conftest import COLUMNS, FIXED
from tests.cli.helpers import PYTHON, ask, call, environment

Words = tuple[object, ...]
Change = Callable[[anndata.AnnData], None]


def _no_coordinates(adata: anndata.AnnData) -> None:
    del adata.obsm["spatial"]


def _set_coordinate(value: float) -> Change:
    def change(adata: anndata.AnnData) -> None:
        adata.obsm["spatial"][3, 1] = value

    return change


def _set_expression(value: float) -> Change:
    def change(adata: anndata.AnnData) -> None:
        layer = np.asarray(adata.layers["imputed_count"], dtype=np.float32)
        layer[5, 7] = value
        adata.layers["imputed_count"] = layer

    return change


def _no_layer(adata: anndata.AnnData) -> None:
    del adata.layers["imputed_count"]


def _no_clusters(adata: anndata.AnnData) -> None:
    adata.obs = adata.obs.drop(columns="cell_type")


def _missing_label(adata: anndata.AnnData) -> None:
    adata.obs.iloc[2, adata.obs.columns.get_loc("cell_type")] = np.nan


def _other_genes(adata: anndata.AnnData) -> None:
    adata.var_names = [f"ENSG{i:011d}" for i in range(adata.n_vars)]


def _same_gene_twice(adata: anndata.AnnData) -> None:
    names = list(adata.var_names)
    names[1] = names[0]
    adata.var_names = names


def _same_cell_twice(adata: anndata.AnnData) -> None:
    names = list(adata.obs_names)
    names[1] = names[0]
    adata.obs_names = names


BAD_TISSUES: dict[str, tuple[Change, str]] = {
    "no spatial key": (_no_coordinates, "spatial"),
    "NaN coordinate": (_set_coordinate(np.nan), "spatial"),
    "infinite coordinate": (_set_coordinate(np.inf), "spatial"),
    "NaN in the layer": (_set_expression(np.nan), "imputed_count"),
    "infinity in the layer": (_set_expression(np.inf), "imputed_count"),
    "negative value in the layer": (_set_expression(-3.0), "negative"),
    "layer missing": (_no_layer, "normalized_count"),
    "cluster column missing": (_no_clusters, "cell_type"),
    "a cell without a cluster": (_missing_label, "cell_type"),
    "no gene overlap": (_other_genes, "gene"),
    "duplicate gene names": (_same_gene_twice, "gene"),
    "duplicate cell names": (_same_cell_twice, "cell"),
}


@pytest.mark.filterwarnings("ignore:.*names are not unique:UserWarning")
@pytest.mark.parametrize("what", BAD_TISSUES)
def test_a_bad_tissue_is_refused_before_any_work(toy: Path, tmp_path: Path, what: str) -> None:
    change, told = BAD_TISSUES[what]
    adata = ct.io.read(toy / "toy.h5ad")
    change(adata)
    adata.write_h5ad(tmp_path / "bad.h5ad")
    words = ("--h5ad", tmp_path / "bad.h5ad", "--network", toy / "network.parquet", *COLUMNS, *FIXED)
    answer = ask("train", *words, "--output-dir", tmp_path / "run", "--json")
    assert answer.code == 1
    assert told in answer.sentence
    assert answer.data["error"] == answer.sentence
    assert not (tmp_path / "run").exists()


def test_a_cluster_with_one_cell_is_said_and_does_no_harm(toy: Path, tmp_path: Path) -> None:
    adata = ct.io.read(toy / "toy.h5ad")
    labels = adata.obs["cell_type"].astype(str)
    labels.iloc[0] = "Alone"
    adata.obs["cell_type"] = labels
    adata.write_h5ad(tmp_path / "a.h5ad")
    words = ("--h5ad", tmp_path / "a.h5ad", "--network", toy / "network.parquet", *COLUMNS, *FIXED)
    answer = ask("train", *words, "--output-dir", tmp_path / "run", "--max-genes", 3, "--json")
    assert answer.code == 0, answer.err
    assert "Alone (1)" in answer.err
    scores = ct.io.open_run(tmp_path / "run").scores()
    assert set(scores.loc[scores["n_cells"] == 1, "r2"]) <= {0.0}


@pytest.mark.parametrize("damage", ["truncated", "without a column", "missing", "text"])
def test_a_bad_network_is_refused(toy: Path, tmp_path: Path, damage: str) -> None:
    path = tmp_path / "network.parquet"
    whole = toy / "network.parquet"
    if damage == "truncated":
        path.write_bytes(whole.read_bytes()[:-200])
    elif damage == "without a column":
        pd.read_parquet(whole).drop(columns="target").to_parquet(path)
    elif damage == "text":
        path.write_text("source,target\n")
    words = ("--h5ad", toy / "toy.h5ad", "--network", path, *COLUMNS, *FIXED)
    answer = ask("train", *words, "--output-dir", tmp_path / "run")
    assert answer.code == 1
    assert "network.parquet" in answer.sentence
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--genes", "Tgt1"], "'Tgt1"),
        (["--radius", "-5"], "radius"),
        (["--radius", "nan"], "radius"),
        (["--kernel", "gausian"], "kernel"),
        (["--l1-reg", "much"], "l1_reg"),
        (["--coordinate-scale", "0"], "coordinate_scale"),
        (["--species", "rat"], "species"),
        (["--sample-key", "slide"], "slide"),
        (["--extra-lr", "Lig01"], "Ligand$Receptor"),
        (["--tf-prior", "nothing.feather"], "nothing.feather"),
        (["--condition", "treatment"], "treatment"),
        (["--config", "nothing.toml"], "nothing.toml"),
        (["--join-output-dir", "nothing"], "nothing"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_bad_setting_is_refused(train: Words, tmp_path: Path, words: list[str], told: str) -> None:
    answer = ask(*train, *words, "--output-dir", tmp_path / "run")
    assert answer.code == 1
    assert told in answer.sentence
    assert not (tmp_path / "run").exists()


def test_an_unknown_key_names_the_nearest(tmp_path: Path) -> None:
    settings = tmp_path / "cytoripple.toml"
    settings.write_text("[spatial]\nradios = 3\n")
    answer = ask("train", "--config", settings, "--h5ad", "a.h5ad")
    assert answer.code == 1
    assert "'spatial.radios'" in answer.sentence
    assert "nearest: 'spatial.radius'" in answer.sentence
    settings.write_text("[spatial\n")
    assert "not valid TOML" in ask("train", "--config", settings).sentence


def test_without_a_tissue_it_says_how_to_give_one(tmp_path: Path) -> None:
    assert "--h5ad" in call("train", cwd=tmp_path).sentence


def test_the_run_of_another_tissue_is_not_touched(run: Path, toy: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    before = {path.name: path.read_bytes() for path in copy.iterdir() if path.is_file()}
    ask("data", "toy", tmp_path / "other", "--cells", 120, "--genes", 30, "--seed", 9)
    other = tmp_path / "other"
    words = ("--h5ad", other / "toy.h5ad", "--network", other / "network.parquet", *COLUMNS, *FIXED)
    answer = ask("train", *words, "--output-dir", copy, "--score-threshold", "-1")
    assert answer.code == 1
    assert "another" in answer.sentence
    assert {path.name: path.read_bytes() for path in copy.iterdir() if path.is_file()} == before


def test_a_full_disk_is_one_sentence_and_leaves_whole_files(train: Words, run: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = f"mount -t tmpfs -o size=48k tmpfs {disk}"
    if not _can(mounted):
        pytest.skip("this system lets no test mount a small disk")
    words = " ".join(f"'{word}'" for word in (*PYTHON, *train, "--output-dir", disk / "run"))
    kept = tmp_path / "kept"
    done = _apart(f"{mounted} && {{ {words}; code=$?; cp -r {disk}/run {kept} 2>/dev/null; exit $code; }}")
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert "no space left" in last.casefold()
    if kept.exists():
        assert not list(kept.rglob("*.tmp"))
        for path in kept.glob("*_betadata.feather"):
            assert path.read_bytes() == (run / path.name).read_bytes() or pd.read_feather(path).shape[0] > 0


def _apart(script: str) -> subprocess.CompletedProcess[str]:
    """Run a script where mounting is allowed and ends with it."""
    return subprocess.run(
        ["unshare", "-rm", "sh", "-c", script], capture_output=True, text=True, check=False, env=environment()
    )


def _can(script: str) -> bool:
    try:
        return _apart(script).returncode == 0
    except OSError:
        return False
