"""Time, memory and accuracy of deconvolution on generated sections, in processes of their own.

    python benches/deconv_speed/run.py FOLDER [FOLDER ...] --peer-python PATH --threads 2

Appends to `record/<date>-deconv-speed.csv` and prints the rows.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
FIELDS = [
    "spots", "stored", "method", "threads", "user_s", "cpu_s", "rise_mb", "bytes_per_spot_type", "rmse",
    "wall_s", "peak_mb", "sha", "note",
]  # fmt: skip


def measure(folder: Path, method: str, threads: int, peer_python: str | None) -> dict[str, Any]:
    """Run one method once."""
    limits = dict.fromkeys(("OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "OMP_NUM_THREADS"), str(threads))
    if method == "FlashDeconv 0.2.0":
        words = [str(peer_python), str(HERE / "peer.py"), str(folder)]
    else:
        name, _, backed = method.partition(" ")
        words = [sys.executable, str(HERE / "ours.py"), str(folder), name, str(threads), *backed.split()]
    done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True, env=os.environ | limits)
    about = json.loads((folder / "about.json").read_text())
    found = json.loads(done.stdout.strip().splitlines()[-1])
    per_entry = found["rise_mb"] * 2**20 / about["spots"] / 16
    return {**about, "method": method, "threads": threads, **found, "bytes_per_spot_type": per_entry}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="time, memory and accuracy of deconvolution")
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--peer-python", help="Python where flashdeconv is installed")
    parser.add_argument("--methods", nargs="+", default=["fast", "default"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    default = HERE.parent / "record" / f"{datetime.date.today().isoformat()}-deconv-speed.csv"
    path = given.out or default
    methods = [*given.methods, *(["FlashDeconv 0.2.0"] if given.peer_python else [])]
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, FIELDS, extrasaction="ignore", lineterminator="\n")
        if new:
            writer.writeheader()
        for folder in given.folders:
            for method in methods:
                row = measure(folder, method, given.threads, given.peer_python)
                shown = {key: f"{v:.4g}" if isinstance(v, float) else v for key, v in row.items()}
                writer.writerow(shown)
                file.flush()
                print(*(shown.get(name, "") for name in FIELDS), sep=" | ", flush=True)


if __name__ == "__main__":
    main()
