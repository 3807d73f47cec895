"""Rank tests and challenge metrics against other programs, interleaved in one process on one thread.

Run ``OPENBLAS_NUM_THREADS=1 python benches/ratio.py record wilcoxon`` for the table, or pytest for a small
accuracy-checked version. Errors of p-values are relative to SciPy on some genes. Peers are measured when
they are installed: pdex 0.3.0, scanpy 1.11.5, cell-eval 0.8.2 (their first call, which compiles, is not
timed); SciPy is always there, its time scaled to all genes.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
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

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from ratio import Ratio, in_turns

CONTROL = "non-targeting"
SCIPY_GENES = 40
RELATIVE = "p-value, relative to SciPy"
DIFFERENCE = "metrics, difference between both"


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


def by_scipy(adata: ad.AnnData, *, genes: int = SCIPY_GENES, continuity: bool = True) -> NDArray[np.float64]:
    labels = adata.obs["target_gene"].to_numpy().astype(str)
    x = adata.X[:, :genes].toarray().astype(np.float64)
    names = [name for name in np.unique(labels) if name != CONTROL]
    tests = [
        stats.mannwhitneyu(
            x[labels == name],
            x[labels == CONTROL],
            axis=0,
            method="asymptotic",
            use_continuity=continuity,
        )
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


class Kept:
    """A call whose last result is kept."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self.work = work
        self.result: Any = None

    def __call__(self) -> None:
        """Call and keep."""
        self.result = self.work()


def rank_tests(peer: str, adata: ad.AnnData, rounds: int) -> Ratio:
    """Compare the rank tests with those of a peer."""
    case = "10,000 + 50 x 200 cells, 2,000 genes"
    work = {"pdex": by_pdex, "pdex, dense": by_pdex, "scanpy": by_scanpy, "scipy": by_scipy}[peer]
    given = adata
    if peer == "pdex, dense":
        given = adata.copy()
        given.X = given.X.toarray()
    work(given[:, :SCIPY_GENES].copy())
    continuity = peer != "scanpy"
    mine, theirs = Kept(lambda: ours(adata, continuity=continuity)), Kept(lambda: work(given))
    ours_s, peer_s, matmul, copy = in_turns(mine, theirs, rounds)
    truth = theirs.result if peer == "scipy" else by_scipy(adata, continuity=continuity)
    errors = [difference(found[:, :SCIPY_GENES], truth) for found in (mine.result, theirs.result)]
    if peer.startswith("pdex"):
        assert difference(mine.result, theirs.result) < 1e-12
    scale = adata.n_vars / SCIPY_GENES if peer == "scipy" else 1.0
    return Ratio("wilcoxon", case, peer, ours_s, peer_s * scale, *errors, RELATIVE, matmul, copy)


def evaluation(profile: str, rounds: int) -> Ratio:
    """Compare whole evaluations of 8,000 cells, 2,000 genes and 40 labels."""
    real, pred = (screen(1760, 39, 160, 2000, seed=seed) for seed in (1, 2))
    by_cell_eval(real[:, :50].copy(), pred[:, :50].copy(), profile)
    mine = Kept(lambda: evaluated(real, pred, profile).per_perturbation)
    theirs = Kept(lambda: by_cell_eval(real, pred, profile))
    ours_s, peer_s, matmul, copy = in_turns(mine, theirs, rounds)
    found, expected = mine.result, theirs.result
    assert (found["perturbation"] == expected["perturbation"]).all()
    names = [name for name in found.columns[1:] if name != "clustering_agreement"]
    gap = max(float(np.nanmax(np.abs(found[name] - expected[name]))) for name in names)
    case = f"evaluate {profile}, 8,000 cells, 2,000 genes, 40 labels"
    return Ratio("wilcoxon", case, "cell-eval", ours_s, peer_s, gap, gap, DIFFERENCE, matmul, copy)


def ratios() -> Iterator[Ratio]:
    """Measure every row of the table."""
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    adata = screen(10_000, 50, 200, 2000)
    if find_spec("pdex"):
        yield rank_tests("pdex", adata, 3)
        yield rank_tests("pdex, dense", adata, 1)
    if find_spec("scanpy"):
        yield rank_tests("scanpy", adata, 1)
    yield rank_tests("scipy", adata, 1)
    if find_spec("cell_eval"):
        for profile in ("vcc", "anndata", "full"):
            yield evaluation(profile, 2 if profile == "vcc" else 1)


def test_rank_tests_agree_and_are_quick(benchmark: Any) -> None:
    adata = screen(500, 5, 60, 100)
    p_value = benchmark(ours, adata)
    np.testing.assert_allclose(p_value[:, :SCIPY_GENES], by_scipy(adata), rtol=1e-12)


def test_evaluation(benchmark: Any) -> None:
    real, pred = (screen(300, 5, 60, 100, seed=seed) for seed in (1, 2))
    result = benchmark(lambda: ct.tl.evaluate(real, pred, profile="vcc", threads=1))
    assert len(result.per_perturbation) == 5
