"""A small tissue with known proportions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Tissue:
    counts: sparse.csr_matrix[np.float64]
    reference: Floats
    coords: Floats
    truth: Floats

    @property
    def arrays(self) -> tuple[sparse.csr_matrix[np.float64], Floats, Floats]:
        return self.counts, self.reference, self.coords


def tissue(
    n_spots: int = 80, n_genes: int = 60, n_types: int = 4, *, seed: int = 0, umi: int = 400
) -> Tissue:
    """Multinomial counts; random coordinates, so that no distances are tied."""
    rng = np.random.default_rng(seed)
    reference = rng.gamma(0.5, 1.0, (n_types, n_genes)) * 20
    truth = rng.dirichlet(np.full(n_types, 0.6), n_spots)
    rates = truth @ (reference / reference.sum(axis=1, keepdims=True))
    counts = rng.multinomial(umi, rates / rates.sum(axis=1, keepdims=True)).astype(np.float64)
    return Tissue(sparse.csr_matrix(counts), reference, rng.random((n_spots, 2)) * 10, truth)
