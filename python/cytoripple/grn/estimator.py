"""Which objective is fitted, and what it means for the settings that nobody gave.

The choice and the defaults were measured on tissues with known answers; see the page on the benchmark.
"""

from __future__ import annotations

from typing import Literal

from cytoripple._errors import SettingsError
from cytoripple._settings import Settings

Estimator = Literal["joint", "sgl", "reference"]

# What the published scheme uses: hardly a penalty, and an optimizer that is stopped early.
_REFERENCE_PENALTY, _REFERENCE_ITERATIONS = 1e-9, 100
_L1_SHARE = {"joint": 0.1, "sgl": 0.5, "reference": 0.5}
# Dense coefficients beside the sparse ones: what a little of them gains is on the page on the benchmark.
DENSE_SHARE = 0.25
_DENSE_SHARE = {"joint": DENSE_SHARE, "sgl": 0.0, "reference": 0.0}
_TOL = {"joint": 1e-8, "sgl": 1e-6, "reference": 1e-4}
_SCORE_THRESHOLD = {"joint": None, "sgl": 0.2, "reference": 0.2}


def resolve_estimator(settings: Settings) -> Settings:
    """Give every setting that depends on the estimator a value.

    ``"joint"`` fits all cell types of a target together, ``"sgl"`` each alone with one group per kind of
    column, and ``"reference"`` is the published scheme. When none is named it is ``"joint"``, or ``"sgl"`` if
    penalties on raw columns are given, which only that one knows.

    Raises
    ------
    SettingsError
        The estimator does not know a setting that was given.
    """
    lasso, training = settings.lasso, settings.training
    estimator: Estimator = training.estimator or ("joint" if lasso.given is None else "sgl")
    overrides: dict[str, object] = {"training.estimator": estimator}
    if estimator == "reference":
        if lasso.kappa != "cv":
            raise SettingsError('estimator "reference" has no kappa: give group_reg and l1_reg')
        overrides["lasso.solver"] = "reference"
        if lasso.given is None:
            overrides |= {"lasso.group_reg": _REFERENCE_PENALTY, "lasso.l1_reg": _REFERENCE_PENALTY}
        if lasso.n_iter is None:
            overrides["lasso.n_iter"] = _REFERENCE_ITERATIONS
    elif lasso.given is None and lasso.solver != "descent":
        raise SettingsError(
            f'solver is {lasso.solver!r}, but the standardized penalty uses "descent": '
            "give numbers for group_reg and l1_reg"
        )
    if estimator == "joint" and lasso.given is not None:
        raise SettingsError(
            f'group_reg is {lasso.group_reg} and l1_reg is {lasso.l1_reg}, but estimator "joint" has one '
            'penalty, kappa: give that, or estimator="sgl"'
        )
    if training.noise_correction is True and estimator != "joint":
        raise SettingsError(
            f'noise_correction needs estimator "joint", not {estimator!r}: leave it at "auto"'
        )
    if lasso.dense_share and estimator != "joint":
        raise SettingsError(f'dense_share needs estimator "joint", not {estimator!r}: leave it unset')
    for key, given, defaults in (
        ("lasso.dense_share", lasso.dense_share, _DENSE_SHARE),
        ("lasso.l1_share", lasso.l1_share, _L1_SHARE),
        ("lasso.tol", lasso.tol, _TOL),
        ("training.score_threshold", training.score_threshold, _SCORE_THRESHOLD),
    ):
        overrides[key] = defaults[estimator] if given is None else given
    return settings.with_overrides(overrides, where="the settings of the training")


def set_value(value: float | None) -> float:
    """Value of a setting that `resolve_estimator` gives one.

    Raises
    ------
    SettingsError
        It has none.
    """
    if value is None:
        raise SettingsError("a setting has no value: pass the settings through resolve_estimator first")
    return value
