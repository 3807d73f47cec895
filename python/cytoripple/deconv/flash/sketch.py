"""Random count sketch of the genes: every gene is hashed to one column with a sign."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from cytoripple._errors import InputError
from cytoripple._matrix import dense
from cytoripple.deconv.flash.leverage import amplitudes
from cytoripple.kernels._check import integers

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class CountSketch:
    """A genes x columns matrix with one entry per row."""

    bucket: NDArray[np.int64]
    value: Floats
    width: int

    def matrix(self) -> sparse.csr_matrix[np.float64]:
        """Genes x columns."""
        starts = np.arange(self.bucket.size + 1)
        return sparse.csr_matrix((self.value, self.bucket, starts), shape=(self.bucket.size, self.width))

    def apply(self, values: Any) -> Floats:
        """Sketch rows over genes, dense or sparse, to a dense matrix."""
        out = values @ self.matrix()
        return dense(out)


def draw_hashes(
    n_genes: int, width: int, random_state: int | np.random.RandomState | None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Columns and signs as the published method draws them: columns first, then signs, one legacy stream.

    None draws from a fresh, unseeded stream; the state of numpy's global generator is never touched.
    """
    given = isinstance(random_state, np.random.RandomState)
    stream: Any = random_state if given else np.random.RandomState(cast("Any", random_state))
    bucket = stream.randint(0, width, size=n_genes)
    sign = stream.choice([-1, 1], size=n_genes)
    return bucket.astype(np.int64), sign.astype(np.int64)


def count_sketch(leverage: Floats, width: int, bucket: ArrayLike, sign: ArrayLike) -> CountSketch:
    """Sketch with columns of equal length: amplitudes by leverage, then each column to ``sqrt(g / width)``.

    Parameters
    ----------
    leverage
        Per gene.
    width
        Number of columns.
    bucket, sign
        Column (0 to ``width - 1``) and sign (-1 or 1) of each gene.

    Raises
    ------
    InputError
        Columns or signs do not fit the genes.
    """
    n_genes = leverage.size
    where = integers("buckets", bucket, length=n_genes)
    signs = integers("signs", sign, length=n_genes)
    if n_genes and (where.min() < 0 or where.max() >= width):
        raise InputError(f"buckets reach from {where.min()} to {where.max()}: expected 0 to {width - 1}")
    if not np.isin(signs, (-1, 1)).all():
        raise InputError("signs holds values other than -1 and 1")
    a = amplitudes(leverage)
    length = np.maximum(np.sqrt(np.bincount(where, a**2, minlength=width)), 1e-10)
    value = signs * a * np.sqrt(n_genes / width) / length[where]
    return CountSketch(where, value, width)
