"""A toy tissue as files, and a run trained on it once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.helpers import ask

FIXED = ("--group-reg", "1e-3", "--l1-reg", "1e-3", "--cv-folds", "2", "--progress", "none")
COLUMNS = ("--layer", "imputed_count", "--cluster-key", "cell_type")


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a toy tissue and its network."""
    folder = tmp_path_factory.mktemp("toy")
    answer = ask("data", "toy", folder, "--cells", 120, "--genes", 30, "--json")
    assert answer.code == 0, answer.err
    return folder


@pytest.fixture(scope="session")
def train(toy: Path) -> tuple[object, ...]:
    """Words of a training command on the toy tissue, without the output."""
    return ("train", "--h5ad", toy / "toy.h5ad", "--network", toy / "network.parquet", *COLUMNS, *FIXED)


@pytest.fixture(scope="session")
def run(train: tuple[object, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run directory with all genes."""
    folder = tmp_path_factory.mktemp("run") / "run"
    answer = ask(*train, "--output-dir", folder, "--score-threshold", "-1", "--json")
    assert answer.code == 0, answer.err
    return folder
