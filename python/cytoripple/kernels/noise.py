"""Variance of the counting noise of log-normalized expression."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cytoripple import _core
from cytoripple._errors import InputError
from cytoripple.kernels import _check
from cytoripple.kernels.lasso import raising, thread_count

_SEED = 0
_BLOCK = 1 << 22  # values of a block of smoothed genes, 32 MiB


def counting_noise_variance(
    norm: Any,
    factors: ArrayLike,
    clusters: ArrayLike,
    *,
    genes: ArrayLike | None = None,
    n_neighbors: int = 15,
    n_components: int = 20,
    samples: ArrayLike | None = None,
    threads: int = 0,
) -> NDArray[np.float32]:
    """Estimate the variance that Poisson counting puts on every log-normalized value.

    The layer is ``log1p(count * factor)`` with one factor per cell, the total every cell was scaled to over
    its own. The expected count of a cell and gene is the mean of `norm` over the `n_neighbors` nearest cells
    of the same cluster (itself included) in the space of its principal components, taken back to counts and
    clipped to [1e-3, 80]. The variance is that of ``log1p(factor * C)`` for a Poisson count `C` of
    that mean, by the exact sum over counts up to 120. Over-dispersion and dropout are left in the data.

    Parameters
    ----------
    norm
        The layer, cells x genes, dense or CSR: every gene of the tissue.
    factors
        Factor of each cell, above 0.
    clusters
        Cluster of each cell; cells with a negative number get the variance 0.
    genes
        Columns to estimate, all by default. The principal components always use every gene.
    n_neighbors
        Cells averaged, itself included. Clusters with fewer cells average them all.
    n_components
        Principal components of each cluster.
    samples
        Section of each cell: cells of different sections are never averaged.
    threads
        Worker threads, 0 for all cores. The result does not depend on it.

    Returns
    -------
    Cells x genes, float32. Memory beside it: twice 8 bytes x cells of a cluster x genes asked for in blocks
    of 32 MiB, and the expression of one cluster as float32.

    Raises
    ------
    InputError
        Shapes disagree, or a number is outside its range.

    Examples
    --------
    >>> import numpy as np
    >>> from cytoripple.kernels import counting_noise_variance
    >>> counts = np.random.default_rng(0).poisson(3.0, size=(100, 30))
    >>> sums = counts.sum(1)
    >>> norm = np.log1p(counts / sums[:, None] * 90)
    >>> counting_noise_variance(norm, 90.0 / sums, np.zeros(100, dtype=int)).shape
    (100, 30)
    """
    if getattr(norm, "ndim", None) != 2:
        raise InputError("norm must be a matrix, cells x genes, dense or sparse")
    n_cells, n_genes = int(norm.shape[0]), int(norm.shape[1])
    per_cell = _check.real("factors", factors, ndim=1)
    if per_cell.shape[0] != n_cells or not (per_cell > 0).all():
        raise InputError(
            f"factors has shape {per_cell.shape}: expected {n_cells} numbers above 0, one per cell"
        )
    for name, number in (("n_neighbors", n_neighbors), ("n_components", n_components)):
        if int(number) != number or number < 1:
            raise InputError(f"{name} is {number}: give a whole number of at least 1")
    chosen = np.arange(n_genes) if genes is None else _check.integers("genes", genes)
    if chosen.size and (chosen.min() < 0 or chosen.max() >= n_genes):
        raise InputError(f"genes holds {chosen.min()} to {chosen.max()}: expected 0 to {n_genes - 1}")
    parts = _parts(_check.integers("clusters", clusters, length=n_cells), samples)
    rows = norm if isinstance(norm, np.ndarray) else norm.tocsr()
    out = np.zeros((n_cells, chosen.shape[0]), dtype=np.float32)
    for part in np.unique(parts[parts >= 0]):
        cells = np.flatnonzero(parts == part)
        weights = _weights(rows[cells], int(n_neighbors), int(n_components), thread_count(threads))
        _fill(out, rows[cells], weights, cells, chosen, per_cell[cells], threads)
    return out


def _parts(clusters: NDArray[np.int64], samples: ArrayLike | None) -> NDArray[np.int64]:
    """Group of each cell: cluster, or cluster in one section; -1 for cells in none."""
    if samples is None:
        return clusters
    sections = _check.integers("samples", samples, length=clusters.shape[0])
    _, section = np.unique(sections, return_inverse=True)
    _, cluster = np.unique(clusters, return_inverse=True)
    pairs = section * (int(cluster.max(initial=0)) + 1) + cluster
    return np.where(clusters >= 0, pairs, -1).astype(np.int64)


def _weights(expression: Any, n_neighbors: int, n_components: int, threads: int) -> Any:
    """Row-stochastic weights of the mean over a cell and its nearest, or over all cells when they are few."""
    from cytoripple._matrix import dense
    from cytoripple.pp import _smoothing

    n_cells = expression.shape[0]
    if n_neighbors == 1 or n_cells == 1:
        return np.eye(n_cells)
    if n_cells <= n_neighbors:
        return np.full((n_cells, n_cells), 1.0 / n_cells)
    values = expression.astype(np.float32)
    if n_cells * values.shape[1] <= _BLOCK:
        values = dense(values)
    points = _smoothing.principal_components(values, n_components, _SEED)
    return _smoothing.knn_weights(points, n_neighbors - 1, threads=threads)


def _fill(
    out: NDArray[np.float32],
    expression: Any,
    weights: Any,
    cells: NDArray[np.int64],
    genes: NDArray[np.int64],
    factors: NDArray[np.float64],
    threads: int,
) -> None:
    """Write the variances of the cells of one part, some genes at a time."""
    from cytoripple._matrix import dense

    width = max(1, _BLOCK // len(cells))
    by_gene = expression if isinstance(expression, np.ndarray) else expression.tocsc()
    for start in range(0, len(genes), width):
        block = dense(by_gene[:, genes[start : start + width]]).astype(np.float64)
        means = np.expm1(np.asarray(weights @ block)) / factors[:, None]
        means = np.ascontiguousarray(means)
        variance = partial(_core.log_poisson_variance, means, factors, threads=thread_count(threads))
        out[cells, start : start + width] = raising(variance)
