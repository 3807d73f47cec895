"""Propagation of a perturbation: the matrix product against the plain path, and whole perturbations.

Run ``OPENBLAS_NUM_THREADS=1 python benches/ratio.py record perturb`` for the ratios of one step, and
``pytest benches/python/test_perturb.py --benchmark-only -s`` for whole perturbations. The error of a row is
the largest difference between the two paths relative to the largest change.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cytoripple.kernels.ligands import ReceivedPlan
from cytoripple.kernels.perturb import CYTORIPPLE, RegulatoryModel, TargetModel

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from ratio import Ratio, cpu, in_turns

N_CELLS = 10_000
N_CLUSTERS = 8
N_LIGANDS = 30


def tissue(n_genes: int, n_targets: int, *, n_cells: int = N_CELLS) -> dict[str, Any]:
    """Model and expression; terms are drawn from pools of 300 per kind, so that targets share them."""
    rng = np.random.default_rng(7)
    ligands = rng.permutation(n_genes)[:N_LIGANDS]
    pools = [
        np.column_stack([np.full(300, 0), rng.integers(0, n_genes, 300), np.full(300, -1)]),
        np.column_stack([np.full(300, 1), rng.integers(0, N_LIGANDS, 300), rng.integers(0, n_genes, 300)]),
        np.column_stack([np.full(300, 2), rng.integers(0, N_LIGANDS, 300), rng.integers(0, n_genes, 300)]),
    ]
    rows = rng.integers(0, N_CLUSTERS, n_cells)
    targets = []
    for gene in rng.permutation(n_genes)[:n_targets]:
        columns = np.vstack(
            [pool[rng.permutation(300)[:k]] for pool, k in zip(pools, (30, 40, 20), strict=True)]
        )
        betas = rng.normal(0, 0.01, (N_CLUSTERS, 1 + len(columns)))
        targets.append(TargetModel(int(gene), betas, columns, rows))
    features = {tuple(line) for target in targets for line in target.columns.tolist()}
    flags = np.ones(N_LIGANDS, dtype=bool)
    return {
        "model": RegulatoryModel(targets, n_genes=n_genes, ligand_genes=ligands),
        "x": rng.gamma(2.0, 0.5, (n_cells, n_genes)) * (rng.random((n_cells, n_genes)) < 0.6),
        "xy": rng.uniform(0, 1400, (n_cells, 2)),
        "features": len(features),
        "targets": targets,
        "ligands": ligands,
        "flags": {"lr_ligands": flags, "tfl_ligands": flags},
    }


def one_step(n_targets: int, rounds: int) -> Ratio:
    """One step after a change of every other gene, one thread, no received ligands.

    The cost of a step is the difference between three steps and one. The plain path, whose cost is the same
    for every cell, is measured on a tenth of the cells.
    """
    case, few = tissue(n_targets, n_targets), tissue(n_targets, n_targets, n_cells=N_CELLS // 10)
    genes = np.arange(0, n_targets, 2)

    def run(case: dict[str, Any], method: str, steps: int) -> Any:
        return case["model"].perturb(
            case["x"],
            genes,
            np.full(len(genes), 0.5),
            np.ones((len(case["x"]), len(genes)), dtype=bool),
            signals=[],
            rules=CYTORIPPLE,
            n_propagation=steps,
            method=method,
            threads=1,
            **case["flags"],
        )

    long = in_turns(lambda: run(case, "auto", 3), lambda: run(few, "plain", 3), rounds)
    short = in_turns(lambda: run(case, "auto", 1), lambda: run(few, "plain", 1), rounds)
    one, other = (run(few, method, 2)[1][:, 1::2] for method in ("auto", "plain"))
    error = float(np.abs(one - other).max() / np.abs(other).max())
    return Ratio(
        "perturb",
        f"{N_CELLS} cells, {N_CLUSTERS} clusters, {n_targets} targets x 90 terms",
        "plain path",
        (long[0] - short[0]) / 2,
        10 * (long[1] - short[1]) / 2,
        error,
        0.0,
        "change / its maximum, from the plain path",
        *long[2:],
    )


def ratios() -> Iterator[Ratio]:
    """Measure every row of the table."""
    for n_targets, rounds in [(50, 5), (500, 5), (2000, 3)]:
        yield one_step(n_targets, rounds)


def test_the_product_is_the_plain_path_up_to_rounding() -> None:
    """One step of both paths."""
    assert one_step(50, 1).ours_error < 1e-12


@pytest.mark.parametrize("way", ["linear", "reevaluate"])
def test_whole_perturbation(benchmark: Any, way: str) -> None:
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
    request = case["x"], np.array([case["ligands"][0]]), np.zeros(1), np.ones((N_CELLS, 1), dtype=bool)

    def run(signals: Any) -> Any:
        options = {"signals": signals, "n_propagation": 3, **case["flags"]}
        if way == "linear":
            return case["model"].perturb(*request, rules=CYTORIPPLE, **options)[0]
        return case["model"].reevaluate(*request, tolerance=0.0, **options).simulated

    result = benchmark.pedantic(run, args=(plans,), rounds=7, warmup_rounds=1) - case["x"]
    expected = run(exact) - case["x"]
    error = np.abs(result - expected).max() / np.abs(expected).max()
    seconds = min(cpu(lambda: run(plans)) for _ in range(5))
    benchmark.extra_info.update(relative_error=float(error), cpu_ms=seconds * 1e3)
    print(benchmark.extra_info)
    assert benchmark.extra_info["relative_error"] < 1e-6
