"""The published deconvolution, ours against the package it was published with, on the same counts.

Run ``python benches/python/test_deconv.py [spots ...]`` for the table, or pytest for a small version.
Every fit runs in a process of its own on one thread: first on a few spots (compilation, imports), then on
all. Reported are CPU seconds of the second fit, the rise of the peak memory over the loaded counts, and
the accuracy delivered. The peer is measured when it is installed: flashdeconv 0.2.0.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from ratio import Ratio, machine

Array = NDArray[np.float64]
HEADER = (
    "spots | fit | CPU s | rise MB | iterations | converged | KKT residual | RMSE to truth | max to optimum"
)
SIDES = ("peer", "jacobi", "sor", "sor 1e-10")


def generate(
    n_spots: int, n_genes: int = 15_000, n_types: int = 16, umi: int = 1000, seed: int = 0
) -> tuple[sparse.csr_matrix[np.float32], Array, Array, Array]:
    """Multinomial counts of about 8 cells per spot, types in 4 lineages of which 2 types are rare.

    Gene-wise platform factor of log-sd 0.15 between reference and tissue.

    Returns
    -------
    counts (spots x genes, float32), reference (types x genes), coordinates, true proportions.
    """
    rng = np.random.default_rng(seed)
    base = rng.lognormal(0.0, 1.6, n_genes)
    lineage = rng.lognormal(0.0, 0.6, (4, n_genes))
    own = np.exp(rng.normal(0, 1.3, (n_types, n_genes)) * (rng.random((n_types, n_genes)) < 0.08))
    profiles = base * lineage[np.arange(n_types) % 4] * own
    profiles /= profiles.sum(axis=1, keepdims=True)
    side = int(np.ceil(np.sqrt(n_spots)))
    coords = np.stack(np.unravel_index(np.arange(n_spots), (side, side)), axis=1) * 100.0
    waves = rng.normal(0, 2.0 / (side * 100.0) * np.pi, (2, n_types))
    field = 1.5 * np.sin(coords @ waves + rng.uniform(0, 2 * np.pi, n_types))
    field[:, -2:] -= 2.5
    share = np.exp(field)
    share /= share.sum(axis=1, keepdims=True)
    cells = rng.multinomial(8, share)
    truth = cells / 8
    tissue = profiles * np.exp(rng.normal(0, 0.15, n_genes))
    tissue /= tissue.sum(axis=1, keepdims=True)
    parts = []
    for start in range(0, n_spots, 1000):
        rates = truth[start : start + 1000] @ tissue
        depth = rng.poisson(umi * rng.lognormal(0, 0.3, len(rates)))
        parts.append(
            sparse.csr_matrix(rng.multinomial(depth, rates / rates.sum(1, keepdims=True)), dtype=np.float32)
        )
    return sparse.vstack(parts, format="csr"), profiles * 5000, coords, truth


def peak() -> float:
    """Largest resident memory of this process so far, in MB."""
    status = Path("/proc/self/status").read_text()
    return float(status.split("VmHWM:")[1].split()[0]) / 1024


def fit_once(side: str, Y: Any, X: Array, coords: Array) -> dict[str, Any]:
    """Proportions and outcome of one fit."""
    if side == "peer":
        from flashdeconv import FlashDeconv

        model = FlashDeconv().fit(Y, X, coords)
        info = model.info_
        return {
            "shares": model.proportions_,
            "beta": model.beta_,
            "iterations": info["n_iterations"],
            "converged": bool(info["converged"]),
        }
    from cytoripple.deconv.flash import flash_deconvolve

    tol = {"tol": float(side.split()[1])} if " " in side else {}
    found = flash_deconvolve(Y, X, coords, solver=side.split()[0], threads=1, **tol)
    return {
        "shares": found.proportions,
        "beta": found.beta,
        "iterations": found.solution.n_iterations,
        "converged": found.solution.converged,
    }


def measure(side: str, data: Path, out: Path) -> None:
    """Fit in this process and write what it took."""
    with np.load(data) as arrays:
        counts = sparse.csr_matrix(
            (arrays["data"], arrays["indices"], arrays["indptr"]), shape=arrays["shape"]
        )
        X, coords = arrays["X"], arrays["coords"]
    fit_once(side, counts[:500], X, coords[:500])
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before, start = peak(), time.process_time()
    found = fit_once(side, counts, X, coords)
    facts = {"cpu": time.process_time() - start, "rise": peak() - before}
    arrays_out = {name: found.pop(name) for name in ("shares", "beta")}
    np.savez(out, **arrays_out, facts=json.dumps(facts | found))


def run(side: str, data: Path) -> dict[str, Any]:
    """Measure one side in a process of its own, on one thread."""
    threads = ("OPENBLAS", "OMP", "MKL", "NUMBA")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.npz"
        command = [sys.executable, __file__, "--measure", side, str(data), str(out)]
        one = os.environ | {f"{name}_NUM_THREADS": "1" for name in threads}
        subprocess.run(command, check=True, env=one, stderr=subprocess.DEVNULL)
        with np.load(out) as found:
            facts: dict[str, Any] = json.loads(str(found["facts"]))
            return facts | {"shares": found["shares"], "beta": found["beta"]}


def compare(n_spots: int, sides: tuple[str, ...] = SIDES, **more: Any) -> list[dict[str, Any]]:
    """One row per side."""
    from cytoripple.deconv.flash import flash_deconvolve
    from cytoripple.deconv.flash.solve import _core

    Y, X, coords, truth = generate(n_spots, **more)
    sides = tuple(side for side in sides if side != "peer" or find_spec("flashdeconv"))
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data.npz"
        parts = {"data": Y.data, "indices": Y.indices, "indptr": Y.indptr, "shape": Y.shape}
        np.savez(data, **parts, X=X, coords=coords)
        rows = [{"spots": n_spots, "fit": side} | run(side, data) for side in sides]
    best = flash_deconvolve(Y, X, coords, solver="sor", tol=1e-12)
    for row in rows:
        row["kkt"] = _core.flash_quality(best.problem.packed(), np.ascontiguousarray(row.pop("beta")))[1]
        shares = row.pop("shares")
        row["rmse"] = float(np.sqrt(((shares - truth) ** 2).mean()))
        row["error"] = float(np.abs(shares - best.proportions).max())
    return rows


def ratios() -> Iterator[Ratio]:
    """Whole fits of both solvers against the package, one thread each."""
    rows = {row["fit"]: row for row in compare(10_000, ("peer", "jacobi", "sor"))}
    if "peer" not in rows:
        return
    peer = rows.pop("peer")
    for side, ours in rows.items():
        case = f"10,000 spots x 15,000 genes, {side}"
        errors = ours["kkt"], peer["kkt"], "optimality residual"
        yield Ratio("deconv", case, "flashdeconv", ours["cpu"], peer["cpu"], *errors, *machine())


def test_ours_is_the_same_fit_for_less() -> None:
    """A small set: both solvers converge, the second one to the optimum."""
    rows = {row["fit"]: row for row in compare(1000, n_genes=1000, umi=300)}
    assert all(row["converged"] for row in rows.values())
    assert rows["sor"]["kkt"] <= 1e-6
    assert rows["sor 1e-10"]["error"] < 1e-6
    if "peer" in rows:
        assert abs(rows["peer"]["error"] - rows["jacobi"]["error"]) < 1e-9


def main() -> None:
    """Print the table."""
    print(HEADER)
    for n_spots in [int(word) for word in sys.argv[1:]] or [10_000]:
        for row in compare(n_spots):
            print(
                f"{row['spots']} | {row['fit']} | {row['cpu']:.2f} | {row['rise']:.0f} | "
                f"{row['iterations']} | {row['converged']} | {row['kkt']:.1e} | "
                f"{row['rmse']:.4f} | {row['error']:.1e}"
            )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        measure(sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))
    else:
        main()
