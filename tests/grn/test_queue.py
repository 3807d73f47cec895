"""Queue: claims, several processes, stale claims, interruption."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cytoripple._progress import Silent
from cytoripple._provenance import host_id, process_start
from cytoripple.grn.queue import Claims, Counts, is_finished, run_queue

# A process that "trains" by appending its id to a file per gene: twice trained is two lines.
WORKER = """
import os, sys, time
from pathlib import Path
from cytoripple._progress import Silent
from cytoripple._provenance import write_text
from cytoripple.grn.queue import Claims, Counts, run_queue

folder, pause = Path(sys.argv[1]), float(sys.argv[2])

def work(genes):
    for gene in genes:
        with open(folder / "trace" / gene, "a") as trace:
            trace.write(f"{os.getpid()}\\n")
        time.sleep(pause)
        write_text(folder / f"{gene}_betadata.csv", gene)
    return Counts(ok=len(genes))

genes = [f"Gene{i}" for i in range(60)]
with Claims(folder, stale_secs=900) as claims:
    counts = run_queue(genes, run_dir=folder, claims=claims, work=work, progress=Silent())
print(counts.ok, counts.skipped)
"""


def start(folder: Path, pause: float) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, str(folder), str(pause)], stdout=subprocess.PIPE, text=True
    )


def queue(folder: Path, names: list[str], work, **options: float) -> Counts:  # type: ignore[no-untyped-def]
    with Claims(folder, stale_secs=options.get("stale_secs", 900.0)) as claims:
        return run_queue(names, run_dir=folder, claims=claims, work=work, progress=Silent())


def finisher(folder: Path, seen: list[str]):  # type: ignore[no-untyped-def]
    def work(genes: list[str]) -> Counts:
        for gene in genes:
            seen.append(gene)
            (folder / f"{gene}_betadata.csv").touch()
        return Counts(ok=len(genes))

    return work


def put_lock(folder: Path, gene: str, *, host: str, pid: int, start: str | None, age: float = 0.0) -> Path:
    path = folder / f"{gene}.lock"
    path.write_text(json.dumps({"host": host, "pid": pid, "process_start": start, "time": 0.0}))
    os.utime(path, (time.time() - age, time.time() - age))
    return path


def dead_pid() -> int:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def test_two_processes_train_every_gene_exactly_once(tmp_path: Path) -> None:
    (tmp_path / "trace").mkdir()
    processes = [start(tmp_path, 0.004) for _ in range(2)]
    reports = [process.communicate(timeout=60)[0].split() for process in processes]
    assert sum(int(ok) for ok, _ in reports) == 60
    assert all(int(ok) + int(skipped) == 60 for ok, skipped in reports), "each returns when all is done"
    traces = [path.read_text().splitlines() for path in (tmp_path / "trace").iterdir()]
    assert len(traces) == 60
    assert all(len(trace) == 1 for trace in traces)
    assert not list(tmp_path.glob("*.lock"))


def test_a_killed_process_blocks_nobody(tmp_path: Path) -> None:
    """After SIGKILL the claims of the dead process are taken over at once."""
    (tmp_path / "trace").mkdir()
    process = start(tmp_path, 0.02)
    while not list(tmp_path.glob("*_betadata.csv")):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)
    assert list(tmp_path.glob("*.lock")), "it was killed while it held claims"
    begin = time.monotonic()
    ok, skipped = start(tmp_path, 0.0).communicate(timeout=60)[0].split()
    assert time.monotonic() - begin < 10
    assert int(ok) + int(skipped) == 60
    assert not list(tmp_path.glob("*.lock"))


def test_finished_genes_and_orphans_are_skipped(tmp_path: Path) -> None:
    (tmp_path / "A_betadata.feather").touch()
    (tmp_path / "B.orphan").touch()
    seen: list[str] = []
    counts = queue(tmp_path, ["A", "B", "C"], finisher(tmp_path, seen))
    assert seen == ["C"]
    assert (counts.ok, counts.skipped) == (1, 2)


@pytest.mark.parametrize("finished", ["_betadata.parquet", "_betadata.csv", ".orphan"])
def test_every_form_of_result_counts_as_finished(tmp_path: Path, finished: str) -> None:
    assert not is_finished(tmp_path, "A")
    (tmp_path / f"A{finished}").touch()
    assert is_finished(tmp_path, "A")


def test_a_claim_of_a_dead_process_of_this_machine_is_taken_over(tmp_path: Path) -> None:
    put_lock(tmp_path, "A", host=host_id(), pid=dead_pid(), start="1")
    with Claims(tmp_path, stale_secs=0) as claims:
        assert claims.acquire("A")


def test_a_reused_process_id_does_not_keep_a_claim_alive(tmp_path: Path) -> None:
    """The id is in use, but by a process that began later than the one that claimed."""
    if not process_start(os.getpid()):
        pytest.skip("this system does not tell when a process began")
    put_lock(tmp_path, "A", host=host_id(), pid=os.getpid(), start="1")
    with Claims(tmp_path, stale_secs=0) as claims:
        assert claims.acquire("A")


def test_a_claim_of_a_live_process_is_respected(tmp_path: Path) -> None:
    put_lock(tmp_path, "A", host=host_id(), pid=os.getpid(), start=process_start(os.getpid()))
    put_lock(tmp_path, "B", host="elsewhere", pid=1, start="1", age=100.0)
    with Claims(tmp_path, stale_secs=900) as claims:
        assert not claims.acquire("A")
        assert not claims.acquire("B")


def test_an_old_claim_of_another_machine_is_taken_over(tmp_path: Path) -> None:
    put_lock(tmp_path, "A", host="elsewhere", pid=1, start="1", age=100.0)
    with Claims(tmp_path, stale_secs=0) as claims:
        assert not claims.acquire("A"), "0 means never"
    with Claims(tmp_path, stale_secs=60) as claims:
        assert claims.acquire("A")


def test_a_held_claim_is_kept_fresh(tmp_path: Path) -> None:
    with Claims(tmp_path, stale_secs=0, heartbeat=0.02) as claims:
        claims.acquire("A")
        lock = tmp_path / "A.lock"
        os.utime(lock, (0, 0))
        deadline = time.monotonic() + 5
        while lock.stat().st_mtime == 0 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert lock.stat().st_mtime > 0
        owner = json.loads(lock.read_text())
        assert owner["pid"] == os.getpid()
        assert owner["host"] == host_id()


def test_an_interrupt_leaves_no_claims_and_the_queue_resumes(tmp_path: Path) -> None:
    seen: list[str] = []
    calls = 0

    def work(genes: list[str]) -> Counts:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        return finisher(tmp_path, seen)(genes)

    names = [f"Gene{number}" for number in range(200)]
    with pytest.raises(KeyboardInterrupt):
        queue(tmp_path, names, work)
    assert not list(tmp_path.glob("*.lock"))
    counts = queue(tmp_path, names, finisher(tmp_path, seen))
    assert counts.done == 200
    assert sorted(seen) == sorted(names), "nothing was trained twice"


def test_a_failed_gene_is_tried_again_by_the_next_call_only(tmp_path: Path) -> None:
    tried: list[str] = []

    def fail(genes: list[str]) -> Counts:
        for gene in genes:
            tried.append(gene)
            (tmp_path / f"{gene}.failed").write_text("no luck")
        return Counts(failed=len(genes))

    assert queue(tmp_path, ["A"], fail).failed == 1
    assert queue(tmp_path, ["A"], fail).failed == 1
    assert tried == ["A", "A"]


def test_progress_counts_to_the_end(tmp_path: Path) -> None:
    class Observer(Silent):
        def __init__(self) -> None:
            self.updates: list[tuple[int, int, str]] = []

        def update(self, done: int, total: int, what: str) -> None:
            self.updates.append((done, total, what))

    observer = Observer()
    with Claims(tmp_path, stale_secs=0) as claims:
        run_queue(["A", "B"], run_dir=tmp_path, claims=claims, work=finisher(tmp_path, []), progress=observer)
    assert observer.updates[-1] == (2, 2, "train")
    assert [done for done, _, _ in observer.updates] == sorted(done for done, _, _ in observer.updates)
