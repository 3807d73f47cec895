"""The benchmark: estimators against tissues whose wiring and responses are known."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cytoripple._errors import InputError, did_you_mean
from cytoripple._progress import Progress, ProgressName, showing
from cytoripple.bench.design import Arena, arena_of
from cytoripple.bench.estimators import BUILTIN, Estimator, OwnEstimator, own
from cytoripple.bench.model import FittedTissue
from cytoripple.bench.scores import edge_scores, held_out_score, perturbation_scores
from cytoripple.datasets.ripple import RippleTissue, ripple_tissue

if TYPE_CHECKING:
    import pandas as pd

METRICS = (
    "tf_aupr",
    "lr_aupr",
    "heldout_r2",
    "effect_pearson",
    "effect_spearman",
    "effect_sign",
    "effect_aupr",
    "effect_slope",
    "ripple_pearson",
    "ripple_sign",
)
N_PROPAGATION = 8


def ripplebench(
    estimators: Sequence[str] | Mapping[str, str | OwnEstimator] = ("joint", "sgl", "reference", "co"),
    seeds: Iterable[int] = range(5),
    *,
    tissues: Iterable[RippleTissue] | None = None,
    n_propagation: int = N_PROPAGATION,
    threads: int = 0,
    progress: ProgressName | Progress | None = None,
    **settings: Any,
) -> pd.DataFrame:
    """Judge estimators by tissues with known wiring and known responses to perturbations.

    Every estimator gets the same columns and the same training cells of layer ``norm``; its fitted model is
    re-evaluated under the 20 perturbations of every tissue.

    Parameters
    ----------
    estimators
        Names of built-in ones: ``"joint"`` (what training does by default), ``"sparse"`` (the same without
        its dense share), ``"sgl"`` (sparse group lasso per type), ``"reference"`` (published scheme),
        ``"co"`` (bagged ridge on TFs without spatial terms). Or a mapping from a name of yours to a built-in
        name or to a function of a `RippleDesign` and the name of a target that returns raw coefficients,
        types x columns in the order of ``design.of(target).names``.
    seeds
        Tissues to make.
    tissues
        Tissues to use instead of `seeds` and `settings`, e.g. from `read_ripple`.
    n_propagation
        Largest number of rounds of the re-evaluation.
    threads
        0 takes all cores. The result does not depend on it.
    progress
        How to show progress, or an observer.
    **settings
        Settings of the generator, see `datasets.RippleSettings`.

    Returns
    -------
    DataFrame
        Means over tissues, indexed by estimator. ``tf_aupr``, ``lr_aupr``: edges, averaged over types
        (random: the prevalence). ``heldout_r2``: cells that no estimator saw. ``effect_*``: mean change per
        gene and type under global perturbations. ``ripple_*``: cells outside the perturbed region, by
        distance.
        ``attrs["per_tissue"]`` is a data frame with a row per tissue and estimator: the same figures, further
        ones, and the seconds spent.

    Raises
    ------
    InputError
        An estimator is unknown, or returns coefficients of the wrong shape.
    SettingsError
        A setting of the generator is unknown or outside its range.

    Examples
    --------
    >>> import cytoripple as ct
    >>> table = ct.bench.ripplebench(["reference", "co"], seeds=[1], n_cells=300, n_targets=20)
    >>> bool(table.loc["reference", "lr_aupr"] > 0)
    True
    """
    import pandas as pd

    fitters = _fitters(estimators)
    chosen, count = _tissues(seeds, tissues, settings, threads)
    steps = count * (1 + 2 * len(fitters))
    rows: list[dict[str, Any]] = []
    with showing(progress) as shown:
        shown.update(0, steps, "benchmark")
        for number, (name, tissue) in enumerate(chosen):
            done = number * (1 + 2 * len(fitters)) + 1
            arena = arena_of(tissue, threads=threads)
            shown.update(done, steps, "benchmark")
            for fitted, (estimator, fit) in enumerate(fitters.items()):
                scores = _judge(arena, fit, n_propagation, threads, shown, (done + 2 * fitted, steps))
                rows.append({"tissue": name, "estimator": estimator, **scores})
    each = pd.DataFrame(rows)
    means = each.groupby("estimator", sort=False)[list(METRICS)].mean()
    means.attrs["per_tissue"] = each.set_index(["tissue", "estimator"])
    return means


def margins(table: pd.DataFrame, over: str) -> pd.DataFrame:
    """Differences to one estimator of a table of `ripplebench`, tissue by tissue.

    Parameters
    ----------
    table
        From `ripplebench`.
    over
        Name of the estimator to compare with.

    Returns
    -------
    Data frame with a row per other estimator and columns ``(metric, "mean")`` and ``(metric, "worst")``, the
    smallest difference over tissues.

    Raises
    ------
    InputError
        The estimator is not in the table.
    """
    import pandas as pd

    if over not in table.index:
        raise InputError(f"{over!r} is not in the table{did_you_mean(over, map(str, table.index))}")
    each = table.attrs["per_tissue"][list(METRICS)]
    base = each.xs(over, level="estimator")
    others = [name for name in table.index if name != over]
    found = {}
    for name in others:
        difference = each.xs(name, level="estimator") - base
        found[name] = pd.concat({"mean": difference.mean(), "worst": difference.min()}).swaplevel()
    return pd.DataFrame.from_dict(found, orient="index", columns=_pairs()) if found else pd.DataFrame()


def _pairs() -> pd.MultiIndex:
    import pandas as pd

    return pd.MultiIndex.from_product([METRICS, ["mean", "worst"]])


def _fitters(estimators: Sequence[str] | Mapping[str, str | OwnEstimator]) -> dict[str, Estimator]:
    given = estimators if isinstance(estimators, Mapping) else {name: name for name in _list(estimators)}
    if not given:
        raise InputError(f"estimators is empty: give some of {', '.join(BUILTIN)}, or functions of yours")
    fitters: dict[str, Estimator] = {}
    for name, estimator in given.items():
        if callable(estimator):
            fitters[name] = own(name, estimator)
        elif estimator in BUILTIN:
            fitters[name] = BUILTIN[estimator]
        else:
            raise InputError(
                f"estimator {estimator!r} is unknown: expected one of {', '.join(BUILTIN)}, or a mapping "
                f"from a name to a function{did_you_mean(str(estimator), BUILTIN)}"
            )
    return fitters


def _list(estimators: Sequence[str]) -> list[str]:
    return [estimators] if isinstance(estimators, str) else list(estimators)


def _tissues(
    seeds: Iterable[int], tissues: Iterable[RippleTissue] | None, settings: dict[str, Any], threads: int
) -> tuple[Iterator[tuple[int, RippleTissue]], int]:
    """Tissues with their numbers, made one at a time, and how many there are."""
    if tissues is None:
        numbers = [int(seed) for seed in seeds]
        if not numbers:
            raise InputError("seeds is empty: give at least one, e.g. range(5)")
        return ((seed, ripple_tissue(seed, threads=threads, **settings)) for seed in numbers), len(numbers)
    if settings:
        raise InputError(f"{', '.join(settings)} cannot be changed in tissues that are given: leave one out")
    given = list(tissues)
    if not given:
        raise InputError("tissues is empty: give at least one, e.g. [bench.read_ripple(folder, 1)]")
    return ((int(t.adata.uns["ripplebench"]["seed"]), t) for t in given), len(given)


def _judge(
    arena: Arena,
    fit: Estimator,
    n_propagation: int,
    threads: int,
    shown: Progress,
    steps: tuple[int, int],
) -> dict[str, float]:
    """All scores of one estimator on one tissue."""
    start = time.perf_counter()
    found = fit(arena.design, threads)
    if not np.isfinite(found.coef).all():
        raise InputError("the fit has coefficients that are not finite")
    fitted = time.perf_counter()
    shown.update(steps[0] + 1, steps[1], "benchmark")
    model = FittedTissue(arena.design, found)
    scores = {
        **dict.fromkeys(METRICS, float("nan")),
        **edge_scores(arena, found),
        "heldout_r2": held_out_score(arena, model),
        **perturbation_scores(arena, model, n_propagation=n_propagation, threads=threads),
        **found.notes,
        "seconds_fit": fitted - start,
    }
    scores["seconds_judged"] = time.perf_counter() - fitted
    shown.update(steps[0] + 2, steps[1], "benchmark")
    return scores
