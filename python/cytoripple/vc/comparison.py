"""A prediction next to the baselines and to the best that is possible."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cytoripple._errors import InputError
from cytoripple._progress import Progress
from cytoripple.vc._screen import read_screen
from cytoripple.vc.aggregate import means_of
from cytoripple.vc.baselines import BASELINES, baseline
from cytoripple.vc.evaluation import Evaluation, check_pair, evaluate_screens, read_pair
from cytoripple.vc.metrics_effects import effects
from cytoripple.vc.profiles import PROFILES, Compat, Profile, columns_of, policy_of
from cytoripple.vc.split_half import Ceiling, ceiling

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

log = logging.getLogger(__name__)

PREDICTION = "prediction"
DEFAULT = ("global_mean", "control_mean", "control_cells", "derangement")
"""Baselines that know the measured means, the control cells, or the wrong perturbation."""
_DRAWN = frozenset({"control_cells", "perturbation_mean", "random"})
_OF_CELLS = frozenset({"control_cells", "derangement"})
"""Baselines made of real cells, where most values are 0."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """Result of `compare`.

    Parameters
    ----------
    prediction
        Evaluation of the prediction.
    baselines
        Evaluation of every baseline, by name. The first is 0 on the scale of scores.
    ceiling
        What one half of the measured cells reaches as a prediction of the other; None when not asked for.
    genes
        (genes,) names.
    real_effects, pred_effects
        (perturbations, genes): mean minus mean of the control, perturbations in the order of the tables.
    n_real, n_pred
        Cells per label, the control first.
    """

    prediction: Evaluation
    baselines: Mapping[str, Evaluation]
    ceiling: Ceiling | None
    genes: NDArray[np.str_]
    real_effects: NDArray[np.float64] = field(repr=False)
    pred_effects: NDArray[np.float64] = field(repr=False)
    n_real: NDArray[np.int64] = field(repr=False)
    n_pred: NDArray[np.int64] = field(repr=False)

    @property
    def reference(self) -> str:
        """Name of the baseline that is 0 on the scale of scores."""
        return next(iter(self.baselines))

    @property
    def table(self) -> pd.DataFrame:
        """One line per metric: its mean for the prediction, every baseline, the ceiling, and the score."""
        import pandas as pd

        columns = {PREDICTION: means_of(self.prediction.aggregate)}
        columns |= {name: means_of(found.aggregate) for name, found in self.baselines.items()}
        if self.ceiling is not None:
            best = self.ceiling.aggregate.iloc[0]
            columns["ceiling"] = {str(name): float(value) for name, value in best.items()}
        scores = self.prediction.score(self.baselines[self.reference]).set_index("metric")["from_baseline"]
        columns["score"] = {str(name): float(value) for name, value in scores.items()}
        order = list(columns[PREDICTION])
        values = {name: [found.get(metric, np.nan) for metric in order] for name, found in columns.items()}
        return pd.DataFrame({"metric": order, **values})

    @property
    def challenge_scores(self) -> dict[str, float]:
        """Challenge score (0 to 100) of the prediction and of every baseline; empty without its metrics."""
        if not set(PROFILES["vcc"]) <= set(self.prediction.aggregate.columns):
            return {}
        base = self.baselines[self.reference]
        runs = {PREDICTION: self.prediction, **self.baselines}
        return {name: run.challenge_score(base) for name, run in runs.items()}


def compare(
    real: AnnData,
    pred: AnnData,
    *,
    baselines: Sequence[str] = DEFAULT,
    with_ceiling: bool = True,
    pert_col: str = "target_gene",
    control: str = "non-targeting",
    cell_type_col: str | None = None,
    profile: Profile = "full",
    compat: Compat | None = None,
    reorder: bool = False,
    seed: int = 0,
    threads: int = 0,
    progress: Progress | None = None,
) -> Comparison:
    """Evaluate a prediction and the baselines against the same measured cells.

    Baselines are made from `real`, which is what the challenge does: they know the measured means, but not
    how perturbations differ. One of them is in memory at a time.

    Parameters
    ----------
    real, pred
        As for `evaluate`.
    baselines
        Names out of `BASELINES`; scores are relative to the first.
    with_ceiling
        Also evaluate one half of the measured cells against the other.
    pert_col, control, compat, reorder, threads
        As for `evaluate`.
    profile
        As for `evaluate`. The time of ``"full"`` and ``"anndata"`` grows with the square of the number of
        control cells (energy distances): above some 20,000 of them take ``"minimal"``.
    cell_type_col
        Column of ``real.obs`` with the cell type; None: there is one.
    seed
        Of random baselines and of the halves.
    progress
        Observer of the evaluations.

    Returns
    -------
    Comparison

    Raises
    ------
    InputError
        As for `evaluate`, or a baseline is unknown or there is none.

    Examples
    --------
    >>> import cytoripple as ct
    >>> found = ct.vc.compare(real, prediction, profile="vcc")  # doctest: +SKIP
    >>> found.table, found.challenge_scores  # doctest: +SKIP
    """
    names = tuple(dict.fromkeys(baselines))
    for name in names:
        if name not in BASELINES:
            raise InputError(f"there is no baseline {name!r}: give some of {', '.join(BASELINES)}")
    if not names:
        raise InputError("no baseline is given: scores are relative to the first, e.g. 'global_mean'")
    total = 1 + len(names) + with_ceiling
    settings: dict[str, Any] = {"pert_col": pert_col, "control": control}
    options: dict[str, Any] = {"profile": profile, "compat": compat, "threads": threads}
    wanted, policy = columns_of(profile), policy_of(compat)
    measured, predicted = read_pair(real, pred, reorder=reorder, **settings)
    prediction = evaluate_screens(measured, predicted, wanted, policy, **options)
    for sentence in prediction.warnings:
        log.warning("%s", sentence)
    _tell(progress, 1, total)
    found = {}
    for done, name in enumerate(names, start=2):
        made = _baseline_cells(name, real, cell_type_col, seed, settings)
        screen = read_screen(made, name=name, **settings)
        check_pair(measured, screen)
        found[name] = evaluate_screens(
            measured, screen, wanted, policy, tests_real=prediction.tests_real, **options
        )
        _tell(progress, done, total)
    best = ceiling(real, seed=seed, **settings, **options) if with_ceiling else None
    _tell(progress, total, total)
    sums = measured.sums("identity", threads), predicted.sums("identity", threads)
    return Comparison(
        prediction=prediction,
        baselines=found,
        ceiling=best,
        genes=measured.genes,
        real_effects=effects(sums[0].means),
        pred_effects=effects(sums[1].means),
        n_real=sums[0].sizes,
        n_pred=sums[1].sizes,
    )


def _baseline_cells(
    name: str, real: AnnData, cell_type_col: str | None, seed: int, settings: dict[str, Any]
) -> AnnData:
    more: dict[str, Any] = {"seed": seed} if name in _DRAWN else {}
    if name == "perturbation_mean":
        more["clip"] = True  # negative values are no log expression
    stream = baseline(name, real, cell_type_col=cell_type_col, **settings, **more)
    return stream.to_adata(pert_col=settings["pert_col"], dense=name not in _OF_CELLS)


def _tell(progress: Progress | None, done: int, total: int) -> None:
    if progress is not None:
        progress.update(done, total, "evaluate")
