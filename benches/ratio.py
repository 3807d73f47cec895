"""Ratios of our kernels to their peers: measured in turns, printed, recorded, compared with the last record.

    OPENBLAS_NUM_THREADS=1 python benches/ratio.py record              # all benches, or some by name
    python benches/ratio.py gate                                       # the two newest records of a processor

A row has the CPU time of the fastest of some rounds of both sides, the error of both, and the rates of a
matrix product and of a copy in the same rounds. Records are files `record/YYYY-MM-DD-<processor>.csv`; the
gate fails where a ratio fell by more than 1.15 from one record to the next.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import importlib
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
BENCHES = sorted(path.stem.removeprefix("test_") for path in (HERE / "python").glob("test_*.py"))
TOLERATED = 1.15


@dataclass(frozen=True)
class Ratio:
    """One comparison; times in CPU seconds, `error_of` says what both errors are."""

    bench: str
    case: str
    peer: str
    ours_s: float
    peer_s: float
    ours_error: float
    peer_error: float
    error_of: str
    matmul_gflops: float
    copy_gb_s: float

    @property
    def ratio(self) -> float:
        """How many times less CPU time we take."""
        return self.peer_s / self.ours_s

    def __str__(self) -> str:
        return (
            f"{self.bench} | {self.case} | {self.peer} | {1e3 * self.ours_s:.4g} | {1e3 * self.peer_s:.4g} | "
            f"{self.ratio:.3g} | {self.ours_error:.1e} | {self.peer_error:.1e} | {self.error_of} | "
            f"{self.matmul_gflops:.0f} | {self.copy_gb_s:.1f}"
        )


HEADER = (
    "bench | case | peer | ours ms | peer ms | ratio | our error | peer error | error of | P Gflop/s | GB/s\n"
    + "|".join(["---"] * 11)
)


def cpu(work: Callable[[], Any]) -> float:
    """CPU seconds of one call, all threads of the process."""
    start = time.process_time()
    work()
    return time.process_time() - start


def machine() -> tuple[float, float]:
    """Rate of a matrix product in Gflop/s and of a copy in GB/s, one thread."""
    a = np.random.default_rng(1).normal(size=(1000, 1000))
    product = min(cpu(lambda: a @ a) for _ in range(3))
    source, target = np.ones(4_000_000), np.zeros(4_000_000)
    copy = min(cpu(lambda: np.copyto(target, source)) for _ in range(3))
    return 2.0 / product, 16 * 4e-3 / copy


def in_turns(
    ours: Callable[[], Any], peer: Callable[[], Any], rounds: int
) -> tuple[float, float, float, float]:
    """CPU seconds of the fastest round of ours and of the peer, and the best rates of the machine."""
    each = np.array([(cpu(ours), cpu(peer), *machine()) for _ in range(rounds)])
    fastest, best = each.min(axis=0), each.max(axis=0)
    return float(fastest[0]), float(fastest[1]), float(best[2]), float(best[3])


def one_thread() -> None:
    """End unless the matrix products of the peers run on one thread."""
    if os.environ.get("OPENBLAS_NUM_THREADS") != "1":
        sys.exit("set OPENBLAS_NUM_THREADS=1: the peers and the rate of a matrix product are for one thread")


def processor() -> str:
    """Model of the processor in letters, digits and dashes."""
    info = Path("/proc/cpuinfo")
    text = info.read_text() if info.exists() else ""
    found = re.search(r"model name\s*:\s*(.*)", text)
    return re.sub(r"[^a-z0-9]+", "-", (found.group(1) if found else "unknown").lower()).strip("-")


def rows(names: list[str]) -> Iterator[Ratio]:
    """Rows of the named benches: what the function `ratios` of `python/test_<name>.py` yields."""
    sys.path.insert(0, str(HERE / "python"))
    for name in names:
        yield from importlib.import_module(f"test_{name}").ratios()


def record(names: list[str]) -> Path:
    """Measure, print and write the record of today; rows of benches that are not measured again are kept."""
    one_thread()
    path = HERE / "record" / f"{datetime.date.today().isoformat()}-{processor()}.csv"
    old = [row for row in read(path) if row["bench"] not in names] if path.exists() else []
    print(HEADER, flush=True)
    new = []
    for row in rows(names):
        print(row, flush=True)
        values = {field.name: getattr(row, field.name) for field in fields(row)} | {"ratio": row.ratio}
        new.append({key: f"{v:.4g}" if isinstance(v, float) else v for key, v in values.items()})
    path.parent.mkdir(exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(
            file, [*(field.name for field in fields(Ratio)), "ratio"], lineterminator="\n"
        )
        writer.writeheader()
        writer.writerows([*old, *new])
    return path


def read(path: Path) -> list[dict[str, str]]:
    """Rows of a record."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def gate() -> list[str]:
    """Rows of the newest record whose ratio fell since the record before it on the same processor."""
    records = sorted((HERE / "record").glob(f"*-{processor()}.csv"))
    if len(records) < 2:
        sys.exit(f"the gate needs two records of this processor; there is {len(records)}")
    before, after = (
        {(row["bench"], row["case"], row["peer"]): float(row["ratio"]) for row in read(path)}
        for path in records[-2:]
    )
    return [
        f"{' | '.join(key)}: {before[key]:.3g} -> {ratio:.3g}"
        for key, ratio in after.items()
        if key in before and ratio * TOLERATED < before[key]
    ]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="measure ratios, or compare the two newest records")
    parser.add_argument("command", choices=["record", "gate"])
    parser.add_argument(
        "benches", nargs="*", metavar="bench", help=f"some of {', '.join(BENCHES)}; default all"
    )
    given = parser.parse_args()
    if unknown := set(given.benches) - set(BENCHES):
        parser.error(f"no bench named {', '.join(sorted(unknown))}; there are {', '.join(BENCHES)}")
    if given.command == "record":
        print("written to", record(given.benches or BENCHES).relative_to(HERE.parent))
    elif slower := gate():
        sys.exit("\n".join(["slower than the record before:", *slower]))


if __name__ == "__main__":
    main()
