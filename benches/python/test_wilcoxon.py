"""Rank tests and challenge metrics against other programs, interleaved in one process on one thread.

Run ``python benches/python/test_wilcoxon.py`` for the table, or pytest for a small accuracy-checked version.
Times are CPU seconds, the fastest of some rounds. Peers are measured when they are installed: pdex 0.3.0,
scanpy 1.11.5, cell-eval 0.8.2 (their first call, which compiles, is not timed); SciPy is always there and
runs on some of the genes, its time scaled to all of them.
"""

from __future__ import annotations

import logging
import os
import tempfile
import time
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

os.environ.setdefault("NUMBA_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import anndata as ad
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse, stats

import cytoripple as ct
from cytoripple.kernels import wilcoxon

CONTROL = "non-targeting"
HEADER = "case | peer | ours s | peer s | ratio | largest relative difference"
SCIPY_GENES = 40


def cpu(work: Callable[..., Any], *arguments: Any) -> tuple[float, Any]:
    """CPU seconds and result of one call."""
    start = time.process_time()
    result = work(*arguments)
    return time.process_time() - start, result


def screen(n_control: int, n_perturbations: int, n_each: int, n_genes: int, seed: int = 0) -> ad.AnnData:
    """Log-normalized gamma-Poisson counts as CSR; every perturbation changes a tenth of the genes."""
    rng = np.random.default_rng(seed)
    base = rng.gamma(0.3, 1.0, n_genes)
    sizes = [n_control] + [n_each] * n_perturbations
    labels = np.repeat([CONTROL, *(f"p{k:03d}" for k in range(n_perturbations))], sizes)
    blocks = []
    for k, size in enumerate(sizes):
        changed = (rng.random(n_genes) < 0.1) & (k > 0)
        rate = base * np.where(changed, np.exp(rng.normal(0, 0.7, n_genes)), 1.0)
        counts = rng.poisson(rng.gamma(2.0, 0.5, (size, n_genes)) * rate).astype(np.float32)
        total = np.maximum(counts.sum(axis=1, keepdims=True), 1)
        blocks.append(sparse.csr_matrix(np.log1p(counts / total * 1e4)))
    order = rng.permutation(len(labels))
    obs = pd.DataFrame({"target_gene": pd.Categorical(labels[order])}, index=order.astype(str))
    var = pd.DataFrame(index=[f"g{i:05d}" for i in range(n_genes)])
    return ad.AnnData(sparse.vstack(blocks, format="csr")[order], obs=obs, var=var)


def ours(adata: ad.AnnData, *, continuity: bool = True) -> NDArray[np.float64]:
    labels = adata.obs["target_gene"].to_numpy()
    return wilcoxon(adata.X, labels, reference=CONTROL, continuity=continuity, threads=1).p_value


def evaluated(real: ad.AnnData, pred: ad.AnnData, profile: Any) -> ct.vc.Evaluation:
    return ct.tl.evaluate(real, pred, profile=profile, compat="cell-eval-0.8.2", threads=1)


def by_pdex(adata: ad.AnnData) -> NDArray[np.float64]:
    from pdex import pdex

    table = pdex(adata, "target_gene", mode="ref", threads=1, is_log1p=True, epsilon=0.0, as_pandas=True)
    table = table.sort_values(["target", "feature"])
    return table["p_value"].to_numpy().reshape(-1, adata.n_vars)


def by_scanpy(adata: ad.AnnData) -> NDArray[np.float64]:
    """Test with scanpy, which has no continuity correction."""
    import scanpy

    scanpy.tl.rank_genes_groups(adata, "target_gene", reference=CONTROL, method="wilcoxon", tie_correct=True)
    found = adata.uns["rank_genes_groups"]
    names, p_value = found["names"], found["pvals"]
    rows = [pd.Series(p_value[name], index=names[name])[adata.var_names] for name in names.dtype.names]
    return np.array(rows)


def by_scipy(adata: ad.AnnData, genes: int = SCIPY_GENES) -> NDArray[np.float64]:
    labels = adata.obs["target_gene"].to_numpy().astype(str)
    x = adata.X[:, :genes].toarray().astype(np.float64)
    names = [name for name in np.unique(labels) if name != CONTROL]
    tests = [
        stats.mannwhitneyu(x[labels == name], x[labels == CONTROL], axis=0, method="asymptotic")
        for name in names
    ]
    return np.array([np.where(np.isnan(test.pvalue), 1.0, test.pvalue) for test in tests])


def by_cell_eval(real: ad.AnnData, pred: ad.AnnData, profile: str) -> pd.DataFrame:
    from cell_eval import MetricsEvaluator

    with tempfile.TemporaryDirectory() as folder:
        evaluator = MetricsEvaluator(
            adata_pred=pred.copy(), adata_real=real.copy(), control_pert=CONTROL, pert_col="target_gene",
            num_threads=1, outdir=folder,
        )  # fmt: skip
        results, _ = evaluator.compute(profile=profile, write_csv=False)
    return results.to_pandas().sort_values("perturbation").reset_index(drop=True)


def difference(mine: NDArray[np.float64], theirs: NDArray[np.float64]) -> float:
    return float(np.nanmax(np.abs(mine - theirs) / np.maximum(np.abs(theirs), 1e-300)))


def tests_table(rounds: int = 2) -> None:
    """Compare the rank tests on 10,000 controls and 50 times 200 cells of 2,000 genes."""
    adata = screen(10_000, 50, 200, 2000)
    small = adata[:, :20].copy()
    case = "10,000 + 50 x 200 cells, 2,000 genes"
    peers: list[tuple[str, Callable[[ad.AnnData], NDArray[np.float64]], float]] = []
    if find_spec("pdex"):
        peers.append(("pdex, CSR", by_pdex, 1.0))
    if find_spec("scanpy"):
        peers.append(("scanpy, ties", by_scanpy, 1.0))
    peers.append((f"scipy, {SCIPY_GENES} genes scaled", by_scipy, adata.n_vars / SCIPY_GENES))
    for name, work, scale in peers:
        work(small)
        pairs = [(cpu(ours, adata), cpu(work, adata)) for _ in range(rounds if scale == 1 else 1)]
        mine, theirs = min(pair[0][0] for pair in pairs), min(pair[1][0] for pair in pairs) * scale
        p, q = pairs[0][0][1], pairs[0][1][1]
        if name.startswith("scanpy"):
            p = ours(adata, continuity=False)
        accuracy = difference(p[:, : q.shape[1]], q)
        print(
            f"{case} | {name} | {mine:.2f} | {theirs:.1f} | {theirs / mine:.0f} | {accuracy:.0e}", flush=True
        )


def evaluation_table() -> None:
    """Compare whole evaluations of 8,000 cells, 2,000 genes and 40 labels."""
    if not find_spec("cell_eval"):
        return
    real, pred = (screen(1760, 39, 160, 2000, seed=seed) for seed in (1, 2))
    for profile in ("vcc", "anndata", "full"):
        by_cell_eval(real[:, :50].copy(), pred[:, :50].copy(), profile)
        rounds = [cpu(evaluated, real, pred, profile) for _ in range(2)]
        best, found = min(seconds for seconds, _ in rounds), rounds[0][1].per_perturbation
        seconds, theirs = cpu(by_cell_eval, real, pred, profile)
        assert (found["perturbation"] == theirs["perturbation"]).all()
        gap = max(float(np.nanmax(np.abs(found[name] - theirs[name]))) for name in found.columns[1:])
        case = f"evaluate {profile}, 8,000 x 2,000, 40 labels"
        print(
            f"{case} | cell-eval | {best:.2f} | {seconds:.1f} | {seconds / best:.0f} | {gap:.0e} absolute",
            flush=True,
        )


def test_rank_tests_agree_and_are_quick(benchmark: Any) -> None:
    adata = screen(500, 5, 60, 100)
    p_value = benchmark(ours, adata)
    np.testing.assert_allclose(p_value[:, :SCIPY_GENES], by_scipy(adata), rtol=1e-12)


def test_evaluation(benchmark: Any) -> None:
    real, pred = (screen(300, 5, 60, 100, seed=seed) for seed in (1, 2))
    result = benchmark(lambda: ct.tl.evaluate(real, pred, profile="vcc", threads=1))
    assert len(result.per_perturbation) == 5


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    print(HEADER)
    tests_table()
    evaluation_table()
