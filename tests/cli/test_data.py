"""Looking at, preparing and making input files."""

from __future__ import annotations

from pathlib import Path

import anndata
import numpy as np
import pytest

import cytoripple as ct
from tests.cli.helpers import ask
from tests.conftest import real_file


@pytest.fixture
def counts(toy: Path, tmp_path: Path) -> Path:
    """Nothing but counts in units of 200 micrometers."""
    adata = ct.io.read(toy / "toy.h5ad")
    bare = anndata.AnnData(adata.layers["counts"].copy(), obs=adata.obs[["cell_type"]], var=adata.var[[]])
    bare.obsm["spatial"] = adata.obsm["spatial"] / 200
    bare.uns["spatial_units"] = "array index (1 unit = 200 um)"
    path = tmp_path / "counts.h5ad"
    bare.write_h5ad(path)
    return path


def test_the_toy_files_are_those_of_the_library(toy: Path) -> None:
    made = ct.datasets.toy_tissue(120, 30, 0)
    written = ct.io.read(toy / "toy.h5ad")
    np.testing.assert_array_equal(written.layers["counts"].toarray(), made.adata.layers["counts"].toarray())
    network = ct.io.read_network(toy / "network.parquet")
    for name in ("tf", "lr", "tfl"):
        ours, theirs = getattr(network, name), getattr(made.network, name)
        assert ours.astype(str).to_numpy().tolist() == theirs.astype(str).to_numpy().tolist()


def test_check_tells_what_is_there(toy: Path) -> None:
    found = ask("data", "check", toy / "toy.h5ad", "--network", toy / "network.parquet", "--json").data
    assert (found["cells"], found["genes"]) == (120, 30)
    assert found["layers"]["counts"].startswith("counts up to")
    assert found["layers"]["normalized_count"].startswith("log-like")
    assert found["clusters"]["cell_type"] == 4
    assert found["coordinates"]["micrometers_per_unit"] == 1.0
    assert found["network"]["genes_with_regulator"] > 0
    assert found["problems"] == []
    assert found["next"][0].startswith("cytoripple train ")


def test_check_as_a_table_says_the_same(toy: Path) -> None:
    text = ask("data", "check", toy / "toy.h5ad").out
    assert "120 x 30" in text
    assert "cytoripple train" in text


def test_check_advises_preparation_that_then_works(counts: Path, tmp_path: Path) -> None:
    found = ask("data", "check", counts, "--json").data
    words = found["next"][0].split()
    assert words[:3] == ["cytoripple", "data", "prepare"]
    words[4] = str(tmp_path / words[4])
    answer = ask(*words[1:], "--json")
    assert answer.code == 0, answer.err
    ready = ask("data", "check", words[4], "--json").data
    assert "normalized_count" in ready["layers"]
    assert ready["coordinates"]["micrometers_per_unit"] == 1.0
    assert ready["coordinates"]["spacing"] == pytest.approx(200 * found["coordinates"]["spacing"])
    assert ready["next"][0].startswith("cytoripple train ")


def test_prepare_says_every_step_and_leaves_the_input(counts: Path, tmp_path: Path) -> None:
    before = counts.read_bytes()
    out = tmp_path / "ready.h5ad"
    answer = ask("data", "prepare", counts, out, "--normalize", "--spacing", 15, "--json")
    assert [step.split()[0] for step in answer.data["steps"]] == ["coordinates", "layer"]
    assert counts.read_bytes() == before
    spacing = ask("data", "check", out, "--json").data["coordinates"]["spacing"]
    assert spacing == pytest.approx(15)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "nothing to do"),
        (["--impute", "magic"], "diffusion, knn or none"),
        (["--impute", "knn"], "--cluster-key"),
        (["--impute", "knn", "--cluster-key", "cell_typ"], "nearest: 'cell_type'"),
        (["--coordinate-scale", "-3"], "-3"),
        (["--coordinate-scale", "2", "--spacing", "3"], "give one"),
        (["--normalize", "--layer", "raw"], "'raw'"),
    ],
)
def test_prepare_refuses_and_writes_nothing(
    counts: Path, tmp_path: Path, words: list[str], told: str
) -> None:
    before = set(tmp_path.iterdir())
    answer = ask("data", "prepare", counts, tmp_path / "ready.h5ad", *words)
    assert answer.code == 1
    assert told in answer.sentence
    assert set(tmp_path.iterdir()) == before


def test_prepare_needs_a_folder_and_a_known_kind(counts: Path, tmp_path: Path) -> None:
    assert "no folder" in ask("data", "prepare", counts, tmp_path / "no" / "a.h5ad", "--normalize").sentence
    assert ".h5ad" in ask("data", "prepare", counts, tmp_path / "a.csv", "--normalize").sentence


def test_check_names_what_stands_in_the_way(counts: Path, tmp_path: Path) -> None:
    adata = ct.io.read(counts)
    del adata.obsm["spatial"], adata.obs["cell_type"]
    adata.X = adata.X.toarray().astype(float)
    adata.X[0, 0] = -1
    adata.write_h5ad(tmp_path / "bad.h5ad")
    problems = " ".join(ask("data", "check", tmp_path / "bad.h5ad", "--json").data["problems"])
    for text in ("no coordinates", "no column of obs", "negative values"):
        assert text in problems


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"\x89HDF\r\n\x1a\n broken"], ids=["empty", "text", "truncated"]
)
def test_a_file_that_is_no_tissue_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.h5ad"
    path.write_bytes(content)
    answer = ask("data", "check", path, "--json")
    assert answer.code == 1
    assert str(path) in answer.sentence
    assert answer.data["error"] == answer.sentence


def test_a_network_is_built_from_tables(tmp_path: Path) -> None:
    pairs = tmp_path / "lr.csv"
    pairs.write_text("ligand,receptor,pathway,signaling\nTgfb1,Tgfbr1_Tgfbr2,TGFb,Secreted Signaling\n")
    answer = ask("data", "network", tmp_path / "mine.parquet", "--lr", pairs, "--json")
    assert answer.code == 0, answer.err
    assert answer.data["ligand_receptor_pairs"] == 2
    assert list(ct.io.read_network(tmp_path / "mine.parquet").lr["receptor"]) == ["Tgfbr1", "Tgfbr2"]
    nothing = ask("data", "network", tmp_path / "other.parquet")
    assert "nothing to build from" in nothing.sentence
    assert not (tmp_path / "other.parquet").exists()


def test_the_real_tissue_is_understood() -> None:
    found = ask("data", "check", real_file("mob.h5ad"), "--json").data
    assert found["species"] == "mouse"
    assert found["coordinates"]["micrometers_per_unit"] == 200.0
    assert found["layers"]["X"].startswith("counts")
    assert "--coordinate-scale 200" in found["next"][0]
