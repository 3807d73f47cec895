"""Averages over similar cells: principal components, neighbors, and the weights made from them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from cytoripple._matrix import dense
from cytoripple.kernels.neighbors import nearest_neighbors

_OVERSAMPLING = 20
_POWER_ITERATIONS = 3
_SMALLEST_WEIGHT = 1e-4


def principal_components(expression: Any, n_components: int, seed: int) -> NDArray[np.float64]:
    """Points with the distances of the leading principal components, by randomized subspace iteration.

    When there are no more genes than components these are the genes themselves. The matrix is centered
    implicitly, so a sparse one stays sparse: ``(X - 1 m') V = X V - 1 (m' V)``.

    Parameters
    ----------
    expression
        Cells x genes, float32, dense or CSR.
    n_components
        At most ``min(cells - 1, genes)`` are returned.
    seed
        Seed of the random start.

    Returns
    -------
    Cells x components (or genes), float64.

    References
    ----------
    Halko, Martinsson and Tropp (2011), Finding structure with randomness, algorithms 4.4 and 5.1.
    """
    n_cells, n_genes = expression.shape
    if n_genes <= n_components:  # a rotation keeps all distances, without one equal ones stay equal
        return np.ascontiguousarray(dense(expression), dtype=np.float64)
    n_components = min(n_components, n_cells - 1)
    mean = np.asarray(expression.mean(axis=0, dtype=np.float64)).ravel()
    size = n_components + _OVERSAMPLING
    if min(n_cells, n_genes) <= size:  # the whole spectrum costs no more
        left, lengths, _ = np.linalg.svd(dense(expression) - mean, full_matrices=False)
        exact: NDArray[np.float64] = left[:, :n_components] * lengths[:n_components]
        return exact
    transposed: Any = expression.T  # of CSR: CSC, multiplied without a copy
    genes = np.random.default_rng(seed).standard_normal((n_genes, size))
    for _ in range(_POWER_ITERATIONS):
        cells = _orthonormal(expression @ genes.astype(np.float32) - mean @ genes)
        genes = _orthonormal(transposed @ cells.astype(np.float32) - np.outer(mean, cells.sum(axis=0)))
    scores = expression @ genes.astype(np.float32) - mean @ genes
    _, axes = np.linalg.eigh(scores.T @ scores)  # ascending
    kept: NDArray[np.float64] = np.ascontiguousarray(scores @ axes[:, : -n_components - 1 : -1])
    return kept


def _orthonormal(columns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Orthonormal basis of the columns, from their small Gram matrix; what they lack in rank is left out.

    Stathopoulos and Wu (2002), A block orthogonalization procedure with constant synchronization
    requirements.
    """
    lengths, axes = np.linalg.eigh(columns.T @ columns)
    kept = lengths > 1e-12 * lengths[-1]
    kept[-1] = True
    basis: NDArray[np.float64] = columns @ (axes[:, kept] / np.sqrt(np.maximum(lengths[kept], 1e-300)))
    return basis


def diffusion_weights(
    points: NDArray[np.float64], n_neighbors: int, *, threads: int
) -> sparse.csr_matrix[np.float64]:
    """Row-stochastic weights of one diffusion step, after MAGIC.

    ``K_ij = exp(-d_ij / s_i)`` with `s_i` the distance to the `n_neighbors`-th neighbor, over at most three
    times as many neighbors and the cell itself; weights below 1e-4 are dropped; then ``(K + K') / 2`` with
    rows divided by their sums.

    References
    ----------
    van Dijk et al. (2018), Recovering gene interactions from single-cell data using data diffusion.
    """
    neighbors, distances = nearest_neighbors(points, 3 * n_neighbors, threads=threads)
    bandwidth = distances[:, n_neighbors - 1, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        # A bandwidth of 0 (that many copies of the cell) is the limit: copies weigh 1, all others 0.
        weights = np.where(distances == 0, 1.0, np.exp(-distances / bandwidth))
    kept = (neighbors >= 0) & (weights >= _SMALLEST_WEIGHT)
    kernel = _matrix_of(neighbors, weights, kept) + sparse.identity(len(points), format="csr")
    return _row_stochastic(kernel + kernel.T)


def knn_weights(
    points: NDArray[np.float64], n_neighbors: int, *, threads: int
) -> sparse.csr_matrix[np.float64]:
    """Row-stochastic weights of the plain mean over a cell and its `n_neighbors` nearest."""
    neighbors, distances = nearest_neighbors(points, n_neighbors, threads=threads)
    links = _matrix_of(neighbors, np.ones_like(distances), neighbors >= 0)
    return _row_stochastic(links + sparse.identity(len(points), format="csr"))


def _matrix_of(
    neighbors: NDArray[np.int64], weights: NDArray[np.float64], kept: NDArray[np.bool_]
) -> sparse.csr_matrix[np.float64]:
    n = len(neighbors)
    indptr = np.concatenate([[0], np.cumsum(kept.sum(axis=1))])
    return sparse.csr_matrix((weights[kept], neighbors[kept], indptr), shape=(n, n))


def _row_stochastic(kernel: Any) -> sparse.csr_matrix[np.float64]:
    rows = sparse.csr_matrix(kernel)
    rows.sort_indices()  # one order of summation for every run
    sums = np.asarray(rows.sum(axis=1), dtype=np.float64).ravel()
    rows.data /= np.repeat(sums, np.diff(rows.indptr))
    return rows


def smooth(
    weights: sparse.csr_matrix[np.float64], expression: Any, steps: int, out: NDArray[np.float32], cells: Any
) -> None:
    """Write ``weights**steps @ expression`` (float32) into the rows `cells` of `out`, some genes at a time.

    Memory beside `out`: two blocks of at most 32 MiB (one gene at least), whatever the number of genes.
    """
    n_cells, n_genes = expression.shape
    width = max(1, min(n_genes, (1 << 22) // max(n_cells, 1)))
    by_gene = expression if isinstance(expression, np.ndarray) else expression.tocsc()
    for start in range(0, n_genes, width):
        block = dense(by_gene[:, start : start + width]).astype(np.float64)
        for _ in range(steps):
            block = np.asarray(weights @ block)
        out[cells, start : start + width] = block
