"""What a perfect model could reach: one half of the measured cells predicts the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cytoripple._errors import InputError
from cytoripple.kernels._expression import expression_parts
from cytoripple.vc._screen import Screen, read_screen
from cytoripple.vc.aggregate import means_of
from cytoripple.vc.evaluation import Evaluation, evaluate_screens
from cytoripple.vc.profiles import CEILED, Compat, Profile, columns_of, policy_of

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData


@dataclass(frozen=True, eq=False)
class Ceiling:
    """Result of `ceiling`.

    Parameters
    ----------
    halves
        Evaluation of the second halves against the first.
    aggregate
        One line: ``2 r / (1 + r)`` of the mean r of each metric; NaN where that makes no sense or r is not
        positive.
    """

    halves: Evaluation
    aggregate: pd.DataFrame

    @property
    def per_perturbation(self) -> pd.DataFrame:
        """Metrics between the halves, not corrected."""
        return self.halves.per_perturbation


def ceiling(
    real: AnnData,
    *,
    pert_col: str = "target_gene",
    control: str = "non-targeting",
    profile: Profile = "full",
    compat: Compat | None = None,
    seed: int = 0,
    threads: int = 0,
) -> Ceiling:
    """Estimate the best possible metrics from two halves of the measured cells.

    The cells of each label are split at random into two halves of equal size, the full evaluation is made
    between them, and the mean r of each correlation-like metric is corrected to full size with the formula
    of Spearman and Brown, ``2 r / (1 + r)``. The arguments are those of `evaluate`.

    Parameters
    ----------
    seed
        Seed of the split. Labels are drawn in sorted order from one generator.

    Raises
    ------
    InputError
        As in `evaluate`, or a label has fewer than 2 cells.
    """
    import pandas as pd

    names, policy = columns_of(profile), policy_of(compat)
    whole = read_screen(real, pert_col=pert_col, control=control, name="real")
    first, second = split_halves(whole, seed)
    halves = evaluate_screens(
        _subset(whole, first, "first half"),
        _subset(whole, second, "second half"),
        names,
        policy,
        threads=threads,
        profile=profile,
        compat=compat,
    )
    means = means_of(halves.aggregate)
    corrected = {name: _spearman_brown(means[name]) if name in CEILED else float("nan") for name in names}
    return Ceiling(halves, pd.DataFrame([corrected]))


def split_halves(screen: Screen, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Cells of two disjoint halves of every label, each of half the number of cells, rounded down."""
    rng = np.random.default_rng(seed)
    halves: tuple[list[Any], list[Any]] = ([], [])
    for label in sorted(screen.labels):
        cells = np.flatnonzero(screen.codes == screen.labels.index(label))
        if len(cells) < 2:
            raise InputError(f"label {label!r} has {len(cells)} cell: two halves need at least 2")
        mixed, size = rng.permutation(cells), len(cells) // 2
        halves[0].append(mixed[:size])
        halves[1].append(mixed[size : 2 * size])
    first, second = (np.concatenate(half) for half in halves)
    return first, second


def _subset(screen: Screen, cells: NDArray[np.int64], name: str) -> Screen:
    matrix = screen.matrix[cells]
    return Screen(
        name, matrix, expression_parts(name, matrix), screen.codes[cells], screen.labels, screen.genes
    )


def _spearman_brown(r: float) -> float:
    return 2 * r / (1 + r) if r > 0 else float("nan")
