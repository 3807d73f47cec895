"""Small screens with known structure."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

CONTROL = "non-targeting"


def lognorm(counts: NDArray[np.float64]) -> NDArray[np.float32]:
    """log1p of counts scaled to 10,000 per cell."""
    total = np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return np.log1p(counts / total * 1e4).astype(np.float32)


def as_adata(X: object, labels: NDArray[np.str_], genes: list[str]) -> ad.AnnData:
    obs = pd.DataFrame({"target_gene": labels}, index=[f"cell{i}" for i in range(len(labels))])
    return ad.AnnData(X, obs=obs, var=pd.DataFrame(index=genes))


def screen(
    n_genes: int = 60, n_perturbations: int = 6, n_control: int = 80, n_each: int = 40, seed: int = 0
) -> ad.AnnData:
    """Perturbations named after genes that are knocked down, each with a third of the other genes changed."""
    rng = np.random.default_rng(seed)
    base = rng.gamma(0.7, 4.0, n_genes) + 0.3
    labels, blocks = [CONTROL] * n_control, [_counts(rng, base, n_control)]
    for k in range(n_perturbations):
        factor = np.ones(n_genes)
        hit = rng.choice(n_genes, n_genes // 3, replace=False)
        factor[hit] = np.exp(rng.normal(0, 1.2, len(hit)))
        factor[k] = 0.1
        labels += [f"g{k:02d}"] * n_each
        blocks.append(_counts(rng, base * factor, n_each))
    order = rng.permutation(len(labels))
    genes = [f"g{i:02d}" for i in range(n_genes)]
    X = lognorm(np.vstack(blocks))[order]
    return as_adata(sparse.csr_matrix(X), np.array(labels)[order], genes)


def _counts(rng: np.random.Generator, rate: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    size = rng.lognormal(0, 0.25, n)
    return rng.poisson(rng.gamma(2.0, 0.5, (n, len(rate))) * size[:, None] * rate).astype(np.float64)


def dense(adata: ad.AnnData) -> NDArray[np.float32]:
    return np.asarray(adata.X.toarray() if sparse.issparse(adata.X) else adata.X)


def labels_of(adata: ad.AnnData) -> NDArray[np.str_]:
    return adata.obs["target_gene"].to_numpy().astype(str)


def with_values(adata: ad.AnnData, X: object) -> ad.AnnData:
    """Return the same cells and genes with other expression."""
    return as_adata(X, labels_of(adata), list(adata.var_names))
