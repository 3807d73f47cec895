"""From values per perturbation to one table, and from two tables to scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cytoripple._errors import InputError
from cytoripple.vc.profiles import COUNTS, ERRORS, Policy

if TYPE_CHECKING:
    import pandas as pd

STATISTICS = ("count", "null_count", "mean", "std", "min", "25%", "50%", "75%", "max")


def aggregate(
    columns: dict[str, NDArray[np.float64]], absent: dict[str, NDArray[np.bool_]], policy: Policy
) -> pd.DataFrame:
    """Count, missing values, mean, standard deviation (n - 1) and quantiles of each metric.

    `absent` marks values that do not exist. They are skipped; NaN is skipped too, unless the policy follows
    the reference, where it makes mean and deviation NaN and sorts behind all numbers.
    """
    import pandas as pd

    table: dict[str, object] = {"statistic": list(STATISTICS)}
    for name, values in columns.items():
        missing = absent[name] if policy.reference else ~np.isfinite(values)
        table[name] = _describe(values[~missing], int(missing.sum()))
    return pd.DataFrame(table)


def _describe(values: NDArray[np.float64], n_missing: int) -> list[float]:
    n = len(values)
    if n == 0:
        return [0.0, float(n_missing), *[float("nan")] * (len(STATISTICS) - 2)]
    ordered = np.sort(values)  # NaN last
    numbers = ordered[~np.isnan(ordered)]
    extremes = (float(numbers[0]), float(numbers[-1])) if numbers.size else (float("nan"),) * 2
    quantiles = [float(ordered[int(np.floor(share * (n - 1) + 0.5))]) for share in (0.25, 0.5, 0.75)]
    deviation = float(values.std(ddof=1)) if n > 1 else float("nan")
    return [float(n), float(n_missing), float(values.mean()), deviation, extremes[0], *quantiles, extremes[1]]


def means_of(table: pd.DataFrame) -> dict[str, float]:
    """Mean of each metric of an aggregate table.

    Raises
    ------
    InputError
        The table has no column ``statistic`` with a row ``mean``.
    """
    if "statistic" not in table or "mean" not in set(table["statistic"]):
        raise InputError("the table has no column 'statistic' with a row 'mean': give an aggregate table")
    row = table[table["statistic"] == "mean"].drop(columns="statistic").iloc[0]
    return dict(zip(map(str, row.index), row.to_numpy(dtype=np.float64).tolist(), strict=True))


def score(result: pd.DataFrame, baseline: pd.DataFrame) -> pd.DataFrame:
    """Place each metric between a baseline (0) and the best value (1), and average.

    Metrics whose best value is 0 score ``1 - u / b``, the others ``(u - b) / (1 - b)``; undefined and
    negative scores are 0. Numbers of genes are not scored.

    Parameters
    ----------
    result, baseline
        Aggregate tables; metrics of both are scored.

    Returns
    -------
    Data frame with columns ``metric`` and ``from_baseline``, the row ``avg_score`` last.

    Raises
    ------
    InputError
        The tables have no metric in common.
    """
    import pandas as pd

    user, base = means_of(result), means_of(baseline)
    common = [name for name in user if name in base and name not in COUNTS]
    if not common:
        raise InputError("result and baseline have no metric in common: evaluate both with one profile")
    order = [name for name in ERRORS if name in common] + [name for name in common if name not in ERRORS]
    scores = [_normalized(user[name], base[name], best_is_zero=name in ERRORS) for name in order]
    return pd.DataFrame({"metric": [*order, "avg_score"], "from_baseline": [*scores, float(np.mean(scores))]})


def _normalized(user: float, base: float, *, best_is_zero: bool) -> float:
    room = base if best_is_zero else 1.0 - base
    gain = base - user if best_is_zero else user - base
    if np.isnan(user) or np.isnan(base) or room == 0:
        return 0.0
    return max(0.0, gain / room)
