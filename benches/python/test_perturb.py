"""Propagation of a perturbation: the matrix product against the plain path, and a whole perturbation.

Run with ``pytest benches/python/test_perturb.py --benchmark-only -s``. Every row has the largest difference
between the two paths relative to the largest change, and the rate of the multiply-adds that the dense
product of all features would need.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from cytoripple.kernels.ligands import ReceivedPlan
from cytoripple.kernels.perturb import CYTORIPPLE, RegulatoryModel, TargetModel

N_CELLS = 10_000
N_CLUSTERS = 8
N_LIGANDS = 30


def tissue(
    n_genes: int, n_targets: int, *, per_target: tuple[int, int, int] = (30, 40, 20)
) -> dict[str, Any]:
    """Model and expression; terms are drawn from pools of 300 per kind, so that targets share them."""
    rng = np.random.default_rng(7)
    ligands = rng.permutation(n_genes)[:N_LIGANDS]
    pools = [
        np.column_stack([np.full(300, 0), rng.integers(0, n_genes, 300), np.full(300, -1)]),
        np.column_stack([np.full(300, 1), rng.integers(0, N_LIGANDS, 300), rng.integers(0, n_genes, 300)]),
        np.column_stack([np.full(300, 2), rng.integers(0, N_LIGANDS, 300), rng.integers(0, n_genes, 300)]),
    ]
    rows = rng.integers(0, N_CLUSTERS, N_CELLS)
    targets = []
    for gene in rng.permutation(n_genes)[:n_targets]:
        columns = np.vstack(
            [pool[rng.permutation(300)[:k]] for pool, k in zip(pools, per_target, strict=True)]
        )
        betas = rng.normal(0, 0.01, (N_CLUSTERS, 1 + len(columns)))
        targets.append(TargetModel(int(gene), betas, columns, rows))
    features = {tuple(line) for target in targets for line in target.columns.tolist()}
    flags = np.ones(N_LIGANDS, dtype=bool)
    return {
        "model": RegulatoryModel(targets, n_genes=n_genes, ligand_genes=ligands),
        "x": rng.gamma(2.0, 0.5, (N_CELLS, n_genes)) * (rng.random((N_CELLS, n_genes)) < 0.6),
        "xy": rng.uniform(0, 1400, (N_CELLS, 2)),
        "features": len(features),
        "targets": targets,
        "ligands": ligands,
        "flags": {"lr_ligands": flags, "tfl_ligands": flags},
    }


def cpu(work: Any) -> tuple[float, Any]:
    """Seconds of processor time of this process, and the result."""
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


@pytest.mark.parametrize("n_targets", [50, 500, 2000])
def test_product_against_plain(benchmark: Any, n_targets: int) -> None:
    """Two steps after a change of every other gene, one thread, no received ligands."""
    case = tissue(n_targets, n_targets)
    genes = np.arange(0, n_targets, 2)
    cells = np.ones((N_CELLS, len(genes)), dtype=bool)

    def run(method: str, steps: int) -> Any:
        return case["model"].perturb(
            case["x"], genes, np.full(len(genes), 0.5), cells, signals=[], rules=CYTORIPPLE,
            n_propagation=steps, method=method, threads=1, **case["flags"],
        )  # fmt: skip

    rounds = 5 if n_targets < 1000 else 3
    fast = [cpu(lambda: run("auto", 3))[0] - cpu(lambda: run("auto", 1))[0] for _ in range(rounds)]
    slow = [
        cpu(lambda: run("plain", 2))[0] - cpu(lambda: run("plain", 1))[0] for _ in range(max(1, rounds - 2))
    ]
    step, plain_step = float(np.median(fast)) / 2, float(np.median(slow))
    one, other = run("auto", 2)[1], run("plain", 2)[1]
    error = np.abs(one - other).max() / np.abs(other).max()
    flop = 2.0 * N_CELLS * case["features"] * n_targets
    benchmark.extra_info.update(
        step_ms=step * 1e3, plain_step_ms=plain_step * 1e3, ratio=plain_step / step, relative_error=error,
        features=case["features"], gflops=flop / step / 1e9,
    )  # fmt: skip
    print({k: float(f"{v:.4g}") for k, v in benchmark.extra_info.items()})
    benchmark.pedantic(run, args=("auto", 2), rounds=2)
    assert error < 1e-12
    assert plain_step > step


def test_whole_perturbation(benchmark: Any) -> None:
    """A ligand is knocked out among 468 genes, 50 of them modeled, three steps, rtol 1e-6, all cores."""
    case = tissue(468, 50)
    plans = [
        (ReceivedPlan(case["xy"], radius=200.0, rtol=1e-6, n_ligands=20), np.arange(20)),
        (ReceivedPlan(case["xy"], radius=50.0, rtol=1e-6, n_ligands=10), np.arange(20, 30)),
    ]
    exact = [
        (ReceivedPlan(case["xy"], radius=radius, method="direct"), at)
        for (_, at), radius in zip(plans, (200.0, 50.0), strict=True)
    ]
    gene = np.array([case["ligands"][0]])

    def run(signals: Any) -> Any:
        return case["model"].perturb(
            case["x"], gene, np.zeros(1), np.ones((N_CELLS, 1), dtype=bool), signals=signals,
            rules=CYTORIPPLE, n_propagation=3, **case["flags"],
        )  # fmt: skip

    result = benchmark.pedantic(run, args=(plans,), rounds=7, warmup_rounds=1)
    expected = run(exact)
    benchmark.extra_info["relative_error"] = float(
        np.abs(result[1] - expected[1]).max() / np.abs(expected[1]).max()
    )
    print(benchmark.extra_info)
    assert benchmark.extra_info["relative_error"] < 1e-6
