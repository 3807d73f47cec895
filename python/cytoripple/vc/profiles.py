"""The columns of each profile, and what their values mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cytoripple._errors import InputError, did_you_mean

Profile = Literal["full", "minimal", "vcc", "de", "anndata", "pds"]
Compat = Literal["cell-eval-0.8.2"]

TOPS: tuple[int | None, ...] = (None, 50, 100, 200, 500)
"""Lengths of the lists that are compared; None is all significant genes."""


def _top_names(kind: str) -> tuple[str, ...]:
    return tuple(f"{kind}_at_{'N' if top is None else top}" for top in TOPS)


OVERLAP, PRECISION = _top_names("overlap"), _top_names("precision")
PDS = ("discrimination_score_l1", "discrimination_score_l2", "discrimination_score_cosine")
DE = (
    *OVERLAP,
    *PRECISION,
    "de_spearman_sig",
    "de_direction_match",
    "de_spearman_lfc_sig",
    "de_sig_genes_recall",
    "de_nsig_counts_real",
    "de_nsig_counts_pred",
    "pr_auc",
    "roc_auc",
)
ERRORS = ("mse", "mae", "mse_delta", "mae_delta")
"""Metrics whose best value is 0."""
ANNDATA = ("pearson_delta", *ERRORS, *PDS, "pearson_edistance", "clustering_agreement")
COUNTS = ("de_nsig_counts_real", "de_nsig_counts_pred")
"""Columns that are reported, not scored."""

PROFILES: dict[str, tuple[str, ...]] = {
    "full": (*DE, *ANNDATA),
    "de": DE,
    "anndata": ANNDATA,
    "minimal": (
        "overlap_at_N",
        "precision_at_N",
        *COUNTS,
        "pearson_delta",
        "mse",
        "mae",
        "discrimination_score_l1",
    ),
    "vcc": ("overlap_at_N", "mae", "discrimination_score_l1"),
    "pds": PDS[:1],
}
CEILED = frozenset(
    {
        *OVERLAP,
        *PRECISION,
        *PDS,
        "pearson_delta",
        "de_spearman_sig",
        "de_spearman_lfc_sig",
        "de_direction_match",
        "de_sig_genes_recall",
        "pr_auc",
        "roc_auc",
    }
)
"""Metrics whose split-half value can be corrected to full size."""


def columns_of(profile: str) -> tuple[str, ...]:
    """Metrics of a profile in the order of the tables.

    Raises
    ------
    InputError
        There is no such profile.
    """
    if profile not in PROFILES:
        raise InputError(
            f"profile is {profile!r}{did_you_mean(str(profile), PROFILES)}: give one of {', '.join(PROFILES)}"
        )
    return PROFILES[profile]


@dataclass(frozen=True)
class Policy:
    """What to do where a metric is not defined, or is rounding noise.

    Parameters
    ----------
    reference
        Follow cell-eval 0.8.2: a perturbation without differential expression scores 0 even for a perfect
        prediction, one NaN makes the mean NaN, and effects that are rounding noise are taken at face value.
        Otherwise two empty sets agree (1), NaN is no value, and effects below 1e-6 are 0.
    """

    reference: bool

    @property
    def both_empty(self) -> float:
        """Agreement of two empty sets of genes."""
        return 0.0 if self.reference else 1.0

    @property
    def noise(self) -> float:
        """Effects smaller than this are 0."""
        return 0.0 if self.reference else 1e-6


def policy_of(compat: str | None) -> Policy:
    """Policy for the `compat` argument.

    Raises
    ------
    InputError
        It is neither None nor ``"cell-eval-0.8.2"``.
    """
    if compat not in (None, "cell-eval-0.8.2"):
        raise InputError(f"compat is {compat!r}: give None or 'cell-eval-0.8.2'")
    return Policy(reference=compat is not None)
