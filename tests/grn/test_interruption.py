"""Interruption: killed, resumed, in parallel and on a full disk, a run ends the same."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from cytoripple._errors import RunError
from cytoripple._progress import Silent
from cytoripple.grn import outcome
from tests.conftest import ROOT
from tests.grn.tissue import contents, train

# The pause after each gene makes the run long enough to be hit at many stages.
SCRIPT = """
import sys, time
from pathlib import Path
from cytoripple.grn import session
from tests.grn.tissue import train

plain = session.write_outcome

def slow(*arguments):
    time.sleep(float(sys.argv[2]))
    return plain(*arguments)

session.write_outcome = slow
print("ready", flush=True)
run = train(Path(sys.argv[1]), group_reg="cv", l1_reg="cv", threads=1)
print(run.manifest()["sessions"][-1]["counts"]["ok"])
"""


def start(run_dir: Path, pause: float) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(run_dir), str(pause)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def count_finished(run_dir: Path) -> int:
    return sum(1 for pattern in ("*_betadata.feather", "*.orphan") for _ in run_dir.glob(pattern))


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return contents(train(tmp_path_factory.mktemp("plain") / "run", group_reg="cv", l1_reg="cv").directory)


def test_a_run_killed_at_random_moments_ends_the_same(
    tmp_path: Path, uninterrupted: dict[str, bytes], rng: np.random.Generator
) -> None:
    """SIGKILLs, then a last call: every byte but the timings is that of an uninterrupted run."""
    run_dir = tmp_path / "run"
    for share in sorted(rng.uniform(0.0, 0.9, 3)):
        process = start(run_dir, 0.03)
        wanted = int(share * 26)
        while process.poll() is None and count_finished(run_dir) < wanted:
            time.sleep(0.005)
        time.sleep(rng.uniform(0.0, 0.1))
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
    assert 0 < count_finished(run_dir) < 26
    train(run_dir, group_reg="cv", l1_reg="cv")
    found = contents(run_dir)
    assert sorted(found) == sorted(uninterrupted)
    assert [name for name in found if found[name] != uninterrupted[name]] == []


def test_two_processes_share_one_run(tmp_path: Path, uninterrupted: dict[str, bytes]) -> None:
    """Together they train every gene once, and the directory is that of one process."""
    run_dir = tmp_path / "run"
    processes = [start(run_dir, 0.02) for _ in range(2)]
    trained = [int(process.communicate(timeout=120)[0].split()[-1]) for process in processes]
    n_betadata = sum("_betadata" in name for name in uninterrupted)
    assert sum(trained) == n_betadata
    assert contents(run_dir) == uninterrupted


class StopAfter(Silent):
    """Presses Ctrl-C after a number of genes."""

    def __init__(self, genes: int) -> None:
        self.genes = genes

    def update(self, done: int, total: int, what: str) -> None:
        if what == "train" and done >= self.genes:
            raise KeyboardInterrupt


@pytest.mark.parametrize("genes", [0, 4, 15])
def test_ctrl_c_leaves_a_directory_that_resumes(
    tmp_path: Path, uninterrupted: dict[str, bytes], genes: int
) -> None:
    run_dir = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        train(run_dir, group_reg="cv", l1_reg="cv", progress=StopAfter(genes))
    assert not list(run_dir.rglob("*.lock"))
    assert not list(run_dir.rglob("*.tmp"))
    train(run_dir, group_reg="cv", l1_reg="cv")
    assert contents(run_dir) == uninterrupted


def test_a_full_disk_ends_with_one_sentence_and_no_partial_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = outcome.write_betadata
    calls = 0

    def full(*arguments: object, **options: object) -> object:
        nonlocal calls
        calls += 1
        if calls > 5:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return plain(*arguments, **options)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(outcome, "write_betadata", full)
        with pytest.raises(RunError, match="no space left"):
            train(tmp_path / "run")
    assert not list((tmp_path / "run").rglob("*.lock"))
    assert not list((tmp_path / "run").rglob("*.tmp"))
    assert len(list((tmp_path / "run").glob("*_betadata.feather"))) == 5
    assert contents(train(tmp_path / "run").directory) == contents(train(tmp_path / "clean").directory)


@pytest.fixture
def small_disk(tmp_path: Path) -> Path:
    """Mount a file system of 96 KiB, where mounting is allowed."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=96k", "tmpfs", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no permission to mount a small file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True, capture_output=True)


def test_a_really_full_disk_leaves_whole_files_only(small_disk: Path, tmp_path: Path) -> None:
    run_dir = small_disk / "run"
    with pytest.raises(RunError, match="no space left"):
        train(run_dir)
    clean = contents(train(tmp_path / "clean").directory)
    found = contents(run_dir)
    assert all(clean[name] == value for name, value in found.items())
