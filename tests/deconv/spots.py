"""Small spots with planted shares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import anndata
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse


@dataclass
class Planted:
    """Spots, reference cells and truth."""

    counts: sparse.csr_matrix
    coords: NDArray[Any]
    truth: NDArray[Any]
    cells: sparse.csr_matrix
    labels: NDArray[Any]

    def spots(self, **layers: Any) -> anndata.AnnData:
        names = [f"gene{at}" for at in range(self.counts.shape[1])]
        adata = anndata.AnnData(
            self.counts.astype(np.float32),
            obs=pd.DataFrame(index=[f"spot{at}" for at in range(self.counts.shape[0])]),
            var=pd.DataFrame(index=names),
            layers=layers,
        )
        adata.obsm["spatial"] = self.coords
        return adata

    def reference(self) -> anndata.AnnData:
        n_cells, n_genes = self.cells.shape
        return anndata.AnnData(
            self.cells.astype(np.float32),
            obs=pd.DataFrame(
                {"cell_type": pd.Categorical(self.labels)}, index=[f"cell{at}" for at in range(n_cells)]
            ),
            var=pd.DataFrame(index=[f"gene{at}" for at in range(n_genes)]),
        )


def planted(
    n: int = 200, n_genes: int = 120, n_types: int = 4, depth: float = 400.0, seed: int = 0
) -> Planted:
    """Smooth fields of shares on a square, Poisson counts."""
    rng = np.random.default_rng(seed)
    profile = rng.lognormal(0, 0.5, n_genes) * np.exp(rng.normal(0, 1, (n_types, n_genes)))
    profile /= profile.sum(axis=1, keepdims=True)
    side = int(np.ceil(np.sqrt(n)))
    coords = np.stack(np.divmod(np.arange(n), side), axis=1).astype(float)
    center = rng.random((n_types, 2)) * side
    near = np.exp(-((coords[:, None] - center) ** 2).sum(axis=2) / (0.1 * side**2))
    truth = (near + 0.01) / (near + 0.01).sum(axis=1, keepdims=True)
    counts = rng.poisson(truth @ profile * rng.lognormal(np.log(depth), 0.3, n)[:, None])
    labels = np.repeat([f"type {at}" for at in range(n_types)], 20)
    kinds = np.repeat(np.arange(n_types), 20)
    cells = rng.poisson(profile[kinds] * rng.lognormal(np.log(2000), 0.3, len(kinds))[:, None])
    return Planted(sparse.csr_matrix(counts), coords, truth, sparse.csr_matrix(cells), labels)
