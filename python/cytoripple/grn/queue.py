"""Many genes, any number of processes on one run directory: claims, resume, counters.

Every gene ends as one of ``{gene}_betadata.*``, ``{gene}.orphan`` or ``{gene}.failed``. A gene in work is
claimed by the exclusive creation of ``{gene}.lock``. A claim names its process, so that the claim of a killed
process is found and taken over.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from cytoripple._progress import Progress
from cytoripple._provenance import host_id, process_start, writing
from cytoripple.io.run import BETADATA_SUFFIXES

log = logging.getLogger(__name__)

_EMPTY_LOCK_SECS = 10.0  # an empty lock is one that is being written right now
_BATCH_SECS = 1.5
_FIRST_BATCH = 4
_LARGEST_BATCH = 256
_WAIT_SECS = 0.2


@dataclass
class Counts:
    """Outcomes of one process: trained, without modulators, failed, and already finished before."""

    ok: int = 0
    orphan: int = 0
    failed: int = 0
    skipped: int = 0

    @property
    def done(self) -> int:
        """Genes that need no more work."""
        return self.ok + self.orphan + self.failed + self.skipped

    def add(self, other: Counts) -> None:
        """Add the outcomes of another piece of work."""
        self.ok += other.ok
        self.orphan += other.orphan
        self.failed += other.failed
        self.skipped += other.skipped


def is_finished(run_dir: Path, gene: str) -> bool:
    """Whether a gene has betadata or is an orphan; a failed gene is tried again."""
    return (run_dir / f"{gene}.orphan").exists() or any(
        (run_dir / f"{gene}_betadata{suffix}").exists() for suffix in BETADATA_SUFFIXES
    )


class Claims:
    """Claims of this process on names in a run directory.

    Used as a context manager: a thread refreshes the modification time of the held locks every `heartbeat`
    seconds, and all locks are released at the end, also after an error.

    Parameters
    ----------
    directory
        The run directory.
    stale_secs
        Age in seconds after which a claim of another machine is taken over; 0 means never. A claim of a dead
        process of this machine is taken over at once.
    heartbeat
        Seconds between two refreshments.
    """

    def __init__(self, directory: Path, *, stale_secs: float, heartbeat: float = 10.0) -> None:
        self._directory = directory
        self._stale_secs = stale_secs
        self._heartbeat = min(heartbeat, stale_secs / 4) if stale_secs > 0 else heartbeat
        self._held: set[str] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._refresh, name="cytoripple-claims", daemon=True)

    def __enter__(self) -> Claims:
        # also those of finished genes: their process died before it could release them
        for path in self._directory.glob("*.lock"):
            self._drop_stale(path)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self.release(list(self._held))
        if error is not None:  # an interrupt may have come between making a lock and noting it
            for path in self._directory.glob("*.lock"):
                if self._owner(path) == (host_id(), os.getpid()):
                    path.unlink(missing_ok=True)

    def acquire(self, name: str) -> bool:
        """Claim `name`; ``False`` when a live process holds it."""
        path = self._path(name)
        if self._create(path):
            self._held.add(name)
            return True
        self._drop_stale(path)
        if taken := self._create(path):
            self._held.add(name)
        return taken

    def release(self, names: Iterable[str]) -> None:
        """Give up claims."""
        for name in names:
            self._held.discard(name)
            self._path(name).unlink(missing_ok=True)

    @contextmanager
    def waiting_for(self, name: str, ready: Callable[[], bool] = lambda: False) -> Iterator[bool]:
        """Hold `name` for the block, or wait until `ready`: gives whether this process holds it."""
        while not (held := self.acquire(name)):
            if ready():
                break
            time.sleep(_WAIT_SECS)
        try:
            yield held
        finally:
            if held:
                self.release([name])

    def _path(self, name: str) -> Path:
        return self._directory / f"{name}.lock"

    def _create(self, path: Path) -> bool:
        pid = os.getpid()
        owner = {"host": host_id(), "pid": pid, "process_start": process_start(pid), "time": time.time()}
        with writing(path.parent):
            try:
                handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
            except FileExistsError:
                return False
            try:
                os.write(handle, json.dumps(owner).encode())
            except OSError:
                path.unlink(missing_ok=True)
                raise
            finally:
                os.close(handle)
        return True

    def _drop_stale(self, path: Path) -> None:
        if not self._is_stale(path):
            return
        with _alone(self._directory):
            # judged again: another process may have taken it over in the meantime
            if self._is_stale(path):
                log.info("dropping the claim %s of a process that is gone", path.name)
                path.unlink(missing_ok=True)

    def _is_stale(self, path: Path) -> bool:
        try:
            text, age = path.read_text(encoding="utf-8"), time.time() - path.stat().st_mtime
        except OSError:
            return False
        if self._stale_secs > 0 and age >= self._stale_secs:
            return True
        try:
            owner = json.loads(text)
            host, pid, start = owner["host"], int(owner["pid"]), owner["process_start"]
        except (ValueError, KeyError, TypeError):
            return age >= _EMPTY_LOCK_SECS
        return bool(host == host_id() and process_start(pid) != start)

    def _owner(self, path: Path) -> tuple[str, int] | None:
        try:
            owner = json.loads(path.read_text(encoding="utf-8"))
            return owner["host"], int(owner["pid"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _refresh(self) -> None:
        while not self._stop.wait(self._heartbeat):
            for name in list(self._held):
                with suppress(OSError):
                    os.utime(self._path(name))


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Let one process at a time take over claims, without leaving a file; best effort where not supported."""
    handle: int | None = None
    with suppress(OSError, ImportError):
        import fcntl

        handle = os.open(directory, os.O_RDONLY)
        fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        yield
    finally:
        if handle is not None:
            os.close(handle)


def run_queue(
    targets: Sequence[str],
    *,
    run_dir: Path,
    claims: Claims,
    work: Callable[[list[str]], Counts],
    progress: Progress,
) -> Counts:
    """Bring every target to an end, in batches that take about a second and a half.

    Parameters
    ----------
    targets
        Genes in queue order.
    work
        Fits a batch of claimed genes and writes their files.
    progress
        Receives ``update(done, total, "train")``.

    Returns
    -------
    The outcomes of this process. Genes that another process finished count as skipped. Returns when all
    targets are finished, also those of other processes.
    """
    counts = Counts()
    waiting = list(targets)
    again = {path.name.removesuffix(".failed") for path in run_dir.glob("*.failed")}

    def finished(gene: str) -> bool:
        # a failure since the start of this process is one of another process: not repeated
        return is_finished(run_dir, gene) or (gene not in again and (run_dir / f"{gene}.failed").exists())

    size = _FIRST_BATCH
    while waiting:
        batch, waiting = _take(waiting, size, finished, claims, counts)
        progress.update(counts.done, len(targets), "train")
        if not batch:
            if waiting:
                time.sleep(_WAIT_SECS)
            continue
        start = time.monotonic()
        try:
            outcome = work(batch)
        finally:
            claims.release(batch)
        counts.add(outcome)
        size = _next_size(size, len(batch), time.monotonic() - start)
        progress.update(counts.done, len(targets), "train")
    return counts


def _take(
    waiting: list[str], size: int, finished: Callable[[str], bool], claims: Claims, counts: Counts
) -> tuple[list[str], list[str]]:
    """Claim up to `size` genes; genes claimed by others go to the end of the queue."""
    batch: list[str] = []
    blocked: list[str] = []
    for position, gene in enumerate(waiting):
        if len(batch) == size:
            return batch, waiting[position:] + blocked
        if finished(gene):
            counts.skipped += 1
        elif not claims.acquire(gene):
            blocked.append(gene)
        elif finished(gene):  # finished between the look and the claim
            claims.release([gene])
            counts.skipped += 1
        else:
            batch.append(gene)
    return batch, blocked


def _next_size(size: int, count: int, seconds: float) -> int:
    wanted = round(count * _BATCH_SECS / max(seconds, 1e-3))
    return max(1, min(wanted, 4 * size, _LARGEST_BATCH))
