"""One penalty for the whole run, chosen by spatially blocked cross-validation."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytoripple._progress import Progress
from cytoripple._provenance import atomic_path
from cytoripple.grn.estimator import set_value
from cytoripple.grn.fit import Fitter
from cytoripple.grn.grid import KAPPAS, telling, walk_grid
from cytoripple.io.run import CURVE_FILE

log = logging.getLogger(__name__)

_STREAM = 2
_BATCH = 10


def choose_kappa(fitter: Fitter, genes: Sequence[str], run_dir: Path, progress: Progress) -> dict[str, Any]:
    """Multiplier of the penalty for the run, by the held-out error over a random subset of the targets.

    The error of a target is the sum, over clusters and held-out cells, of the squared error of the target
    scaled to unit variance in its cluster. The sum over targets is computed on the grid 2, sqrt(2), ...,
    1/64, down to where it has been rising for three values. The multiplier is the largest that explains at
    least 98 % of what the best one explains beyond a multiplier of 2, with the error between the values of
    the grid taken from the parabola through the smallest and its neighbors, and 0.71 where the best one
    explains next to nothing; the fits then get no dense share either. The curve is also written to
    ``cv.feather``.

    Parameters
    ----------
    genes
        Targets with modulators; at most ``training.cv_targets`` of them are used.

    Returns
    -------
    ``kappa``, ``dense_share``, ``l1_share``, the grid, the error per cell and target, the number of folds
    and targets used.
    """
    settings = fitter.plan.settings
    used = pick(genes, settings.training.cv_targets, settings.training.seed)
    steps, done = len(KAPPAS) * len(used), 0

    def errors_of(kappas: NDArray[np.float64]) -> NDArray[np.float64]:
        nonlocal done
        sums = np.zeros(len(kappas))
        for first in range(0, len(used), _BATCH):
            progress.update(done, steps, "penalty")
            batch = used[first : first + _BATCH]
            # summed target by target, so that the batches do not change the order of the additions
            for of_target in fitter.validation_errors(batch, kappas):
                sums += of_target
            done += len(batch) * len(kappas)
        return sums

    kappa, errors = walk_grid(errors_of)
    progress.update(steps, steps, "penalty")
    kappas, curve = KAPPAS[: len(errors)], errors / (len(fitter.plan.tissue.obs_names) * len(used))
    _write_curve(run_dir, kappas, curve)
    log.info("penalty multiplier %.4g, chosen on %d targets", kappa, len(used))
    dense_share = set_value(settings.lasso.dense_share) if telling(errors) else 0.0
    if not telling(errors):
        log.warning(
            "no multiplier predicts held-out cells better than the mean of their cluster (%.2f %% at best): "
            "%.3g is taken, read the targets flagged predictable only. Too few cells per cluster, a noisy "
            "layer, or a radius in another unit can be the cause",
            100.0 * (1.0 - errors.min() / errors[0]),
            kappa,
        )
    return {
        "kappa": kappa,
        "dense_share": dense_share,
        "l1_share": settings.lasso.l1_share,
        "n_folds": settings.training.cv_folds,
        "n_targets": len(used),
        "kappas": kappas.tolist(),
        "errors": curve.tolist(),
    }


def pick(genes: Sequence[str], count: int, seed: int) -> list[str]:
    """Random subset of at most `count` genes, in the given order; the same for the same seed."""
    if len(genes) <= count:
        return list(genes)
    random = np.random.default_rng(np.random.SeedSequence([seed, _STREAM]))
    return [genes[position] for position in np.sort(random.choice(len(genes), count, replace=False))]


def _write_curve(run_dir: Path, kappas: NDArray[np.float64], curve: NDArray[np.float64]) -> None:
    import pandas as pd

    with atomic_path(run_dir / CURVE_FILE) as temporary:
        pd.DataFrame({"kappa": kappas, "error": curve}).to_feather(temporary)
