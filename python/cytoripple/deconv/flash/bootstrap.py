"""Uncertainty by refitting counts drawn anew."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from scipy import sparse

from cytoripple.deconv.flash.counts import blocks, check_counts
from cytoripple.deconv.flash.fit import FlashFit
from cytoripple.deconv.flash.settings import version_of
from cytoripple.deconv.flash.solve import proportions_of, solve


def bootstrap_uncertainty(
    fit: FlashFit,
    Y: Any,
    *,
    n_bootstrap: int = 100,
    max_iter: int | None = None,
    tol: float | None = None,
    alpha: float = 0.05,
    seed: int = 42,
    threads: int = 0,
) -> dict[str, Any]:
    """Spread of the proportions over Poisson draws around the observed counts.

    Genes, weights, graph and penalties stay as fitted; every refit starts from the fitted abundances.

    Parameters
    ----------
    fit
        A fit of `Y`.
    Y
        The counts that were fitted, spots x genes.
    n_bootstrap
        Number of draws.
    max_iter, tol
        Of the refits, by default those of the fit.
    alpha
        The interval runs from the ``alpha / 2`` to the ``1 - alpha / 2`` quantile of the draws.
    seed
        Of the draws.
    threads
        0 takes every core.

    Returns
    -------
    boot_mean, boot_std, boot_ci_lower, boot_ci_upper, boot_cv (spots x types, float32), n_bootstrap,
    n_converged, and n_iterations and final_change per draw.

    Notes
    -----
    Keeps ``n_bootstrap`` float32 arrays of spots x types.
    """
    old = fit.representation
    chosen = np.arange(old.genes.size, dtype=np.intp)
    parts = list(blocks(check_counts(Y), genes=old.genes))
    counts: Any = sparse.csr_matrix(sparse.vstack(parts, format="csr"), dtype=np.float64, copy=True)
    observed = counts.data.copy()
    rng = np.random.default_rng(seed)
    draws = np.empty((n_bootstrap, *fit.beta.shape), dtype=np.float32)
    converged, iterations, changes = 0, [], []
    for draw in draws:
        counts.data[:] = rng.poisson(observed)
        mean = np.asarray(counts.mean(axis=0)).ravel()
        again = replace(old, genes=chosen, n_genes=chosen.size, mean_count=mean)
        h, norms = again.project(counts, threads=threads)
        found = solve(
            replace(fit.problem, h=h, norms=norms),
            solver=fit.solver,
            max_iter=fit.settings.max_iter if max_iter is None else max_iter,
            tol=fit.settings.tol if tol is None else tol,
            start=fit.beta,
            threads=threads,
        )
        draw[:] = proportions_of(found.beta, uniform_if_zero=version_of(fit.version).uniform_if_zero)
        converged += found.converged
        iterations.append(found.n_iterations)
        changes.append(found.final_change)
    mean, spread = draws.mean(axis=0), draws.std(axis=0)
    return {
        "boot_mean": mean,
        "boot_std": spread,
        "boot_ci_lower": np.quantile(draws, alpha / 2, axis=0).astype(np.float32),
        "boot_ci_upper": np.quantile(draws, 1 - alpha / 2, axis=0).astype(np.float32),
        "boot_cv": np.where(mean > 0, spread / np.maximum(mean, 1e-10), 0.0).astype(np.float32),
        "n_bootstrap": n_bootstrap,
        "n_converged": converged,
        "n_iterations": np.array(iterations),
        "final_change": np.array(changes),
    }
