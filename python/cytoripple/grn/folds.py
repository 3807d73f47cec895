"""Cross-validation folds of whole spatial blocks.

Neighboring cells share signals and noise, so a fold of scattered single cells would be predicted too well.
"""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import NDArray

log = logging.getLogger(__name__)

_BLOCKS_PER_FOLD = 4  # with fewer, a fold of a small section takes a whole region out of the training cells
_STREAM = 1  # keeps the stream of the folds apart from others of the same seed


def spatial_folds(
    xy: NDArray[np.float64],
    *,
    n_folds: int = 5,
    seed: int = 0,
    samples: NDArray[np.int64] | None = None,
    spacings: float = 6.0,
) -> NDArray[np.int64]:
    """Fold of every cell: square blocks of the tissue, whole blocks to a fold, folds of nearly equal size.

    Parameters
    ----------
    xy
        Coordinates, cells x 2 or cells x 3.
    n_folds
        Number of folds, at least 2.
    seed
        Decides which block goes to which fold.
    samples
        Sample of each cell; blocks never span two samples and every sample is spread over the folds.
    spacings
        Side of a block in median distances between nearest neighbors. A tissue with fewer than four blocks
        per fold gets smaller blocks, and one whose cells share too few places random folds, with a warning.

    Returns
    -------
    Fold ids 0 to ``n_folds - 1``, one per cell, int64.
    """
    folds = np.zeros(len(xy), dtype=np.int64)
    sizes = np.zeros(n_folds, dtype=np.int64)
    labels = np.zeros(len(xy), dtype=np.int64) if samples is None else samples
    for sample in np.unique(labels):
        cells = np.flatnonzero(labels == sample)
        blocks = _blocks(xy[cells], spacings, n_folds)
        if blocks.max() + 1 < min(n_folds, len(cells)):
            log.warning(
                "%d cells lie at fewer than %d places, so the cross-validation folds are random cells, not "
                "blocks of tissue: held-out scores will look too good",
                len(cells),
                n_folds,
            )
            blocks = np.arange(len(cells), dtype=np.int64)
        random = np.random.default_rng(np.random.SeedSequence([seed, _STREAM, int(sample)]))
        here = np.zeros(n_folds, dtype=np.int64)
        counts = np.bincount(blocks)
        fold_of_block = np.zeros(len(counts), dtype=np.int64)
        for block in random.permutation(len(counts)):
            # the emptiest fold inside the sample, and among equals the emptiest overall
            fold = int(np.lexsort((sizes, here))[0])
            fold_of_block[block] = fold
            here[fold] += counts[block]
            sizes[fold] += counts[block]
        folds[cells] = fold_of_block[blocks]
    return folds


def cell_spacing(xy: NDArray[np.float64]) -> float:
    """Median distance from a cell to its nearest neighbor elsewhere; 0 when all cells share one place."""
    from scipy.spatial import cKDTree

    places = np.unique(xy, axis=0)
    if len(places) < 2:
        return 0.0
    distances, _ = cKDTree(places).query(places, k=2)
    return float(np.median(np.asarray(distances)[:, 1]))


def _blocks(xy: NDArray[np.float64], spacings: float, n_folds: int) -> NDArray[np.int64]:
    corner = xy.min(axis=0)
    span = float((xy.max(axis=0) - corner).max())
    side = max(spacings * cell_spacing(xy), 1e-6 * span)  # clumps of cells must not overflow the block ids
    if side < 1e-300:
        return np.zeros(len(xy), dtype=np.int64)
    for _ in range(24):
        cells = np.floor((xy - corner) / side).astype(np.int64)
        _, blocks = np.unique(cells, axis=0, return_inverse=True)
        if blocks.max() + 1 >= _BLOCKS_PER_FOLD * n_folds:
            break
        side *= 0.75
    return np.asarray(blocks, dtype=np.int64).reshape(-1)
