"""Scores of a predicted screen against the measured one."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cytoripple._errors import GeneMatchError, InputError
from cytoripple.vc import aggregate
from cytoripple.vc._screen import GroupSums, Screen, read_screen
from cytoripple.vc.de import DifferentialExpression, differential_expression
from cytoripple.vc.metrics_cells import clustering_agreement, energy_correlation
from cytoripple.vc.metrics_de import de_metrics
from cytoripple.vc.metrics_effects import discrimination_scores, effects, error_metrics, own_genes
from cytoripple.vc.profiles import ANNDATA, DE, PDS, PROFILES, Compat, Policy, Profile, columns_of, policy_of

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

log = logging.getLogger(__name__)

_WITHOUT_DE = ("de_direction_match", "de_spearman_lfc_sig", "de_sig_genes_recall")
_CONSTANT_SHARE = 0.5


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Result of `evaluate`.

    Parameters
    ----------
    per_perturbation
        One line per perturbation: ``perturbation``, then the metrics of the profile. NaN is no value.
    aggregate
        ``statistic`` (count, null_count, mean, std, min, 25%, 50%, 75%, max), then the same metrics.
    warnings
        Sentences about what inflates or voids a metric in this prediction.
    profile, compat
        As asked for.
    """

    per_perturbation: pd.DataFrame
    aggregate: pd.DataFrame
    warnings: list[str]
    profile: str
    compat: str | None
    tests_real: DifferentialExpression | None = field(repr=False, default=None)
    tests_pred: DifferentialExpression | None = field(repr=False, default=None)
    absent: dict[str, NDArray[np.bool_]] = field(repr=False, default_factory=dict)

    @property
    def de_real(self) -> pd.DataFrame | None:
        """Differential expression of the measured cells; None where the profile needs none."""
        return None if self.tests_real is None else self.tests_real.table

    @property
    def de_pred(self) -> pd.DataFrame | None:
        """Differential expression of the predicted cells; None where the profile needs none."""
        return None if self.tests_pred is None else self.tests_pred.table

    def score(self, baseline: Evaluation | pd.DataFrame) -> pd.DataFrame:
        """Place each metric between a baseline (0) and the best value (1).

        Parameters
        ----------
        baseline
            Evaluation of a baseline on the same cells, or its aggregate table.

        Returns
        -------
        Data frame with columns ``metric`` and ``from_baseline``, the mean in the last row, ``avg_score``.
        """
        table = baseline.aggregate if isinstance(baseline, Evaluation) else baseline
        return aggregate.score(self.aggregate, table)

    def challenge_score(self, baseline: Evaluation | pd.DataFrame) -> float:
        """100 times the mean of the scores of ``overlap_at_N``, ``discrimination_score_l1`` and ``mae``.

        Raises
        ------
        InputError
            One of the three is missing on either side.
        """
        scores = self.score(baseline).set_index("metric")["from_baseline"]
        missing = [name for name in PROFILES["vcc"] if name not in scores.index]
        if missing:
            raise InputError(f"the challenge score needs {', '.join(missing)}: evaluate with profile='vcc'")
        return 100.0 * float(scores[list(PROFILES["vcc"])].mean())

    def write(self, directory: str | Path) -> list[Path]:
        """Write ``results.csv``, ``agg_results.csv`` and, with tests, ``real_de.csv`` and ``pred_de.csv``.

        A value that does not exist is an empty field, one that is undefined reads ``NaN``.
        """
        from cytoripple._provenance import atomic_path

        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        tables = {
            "results.csv": _text_of(self.per_perturbation, self.absent),
            "agg_results.csv": self.aggregate,
            "real_de.csv": self.de_real,
            "pred_de.csv": self.de_pred,
        }
        written = []
        for name, table in tables.items():
            if table is not None:
                with atomic_path(directory / name) as path:
                    table.to_csv(path, index=False, na_rep="NaN")
                written.append(directory / name)
        return written


def _text_of(table: pd.DataFrame, absent: dict[str, NDArray[np.bool_]]) -> pd.DataFrame:
    out = table.copy()
    for name, mask in absent.items():
        if mask.any():
            text = out[name].astype(object)
            text[mask] = ""
            out[name] = text
    return out


def evaluate(
    real: AnnData,
    pred: AnnData,
    *,
    pert_col: str = "target_gene",
    control: str = "non-targeting",
    profile: Profile = "full",
    compat: Compat | None = None,
    reorder: bool = False,
    threads: int = 0,
) -> Evaluation:
    """Score a prediction with the metrics of the Virtual Cell Challenge.

    Effects are differences to the control cells of the same object, so both need control cells.

    Parameters
    ----------
    real, pred
        Measured and predicted cells over the same genes and labels, ``log1p`` of normalized counts.
    pert_col
        Column of ``obs`` with the perturbation of each cell.
    control
        Label of the control cells.
    profile
        ``"full"``: 28 metrics; ``"vcc"``: overlap_at_N (DES), discrimination_score_l1 (PDS), mae;
        ``"minimal"``, ``"de"``, ``"anndata"``, ``"pds"``: parts. Without DE metrics no tests are made.
    compat
        None: two empty sets of genes agree, undefined values are skipped, effects below 1e-6 are 0.
        ``"cell-eval-0.8.2"``: numbers equal to that program's, where even a perfect prediction can score
        below 1.
    reorder
        Bring the genes of `pred` into the order of `real` when both have the same ones.
    threads
        0 takes every core. The result does not depend on it.

    Returns
    -------
    Tables per perturbation and over all, tests of both sides, and warnings, which are also logged.

    Raises
    ------
    InputError
        Genes or labels differ, there is no control, a value is not log expression, or a test is asked for
        of a perturbation with one cell.

    Examples
    --------
    >>> import cytoripple as ct
    >>> result = ct.tl.evaluate(real, prediction, profile="vcc")  # doctest: +SKIP
    >>> result.score(ct.tl.evaluate(real, baseline, profile="vcc"))  # doctest: +SKIP
    """
    names, policy = columns_of(profile), policy_of(compat)
    measured, predicted = read_pair(real, pred, pert_col=pert_col, control=control, reorder=reorder)
    result = evaluate_screens(
        measured, predicted, names, policy, threads=threads, profile=profile, compat=compat
    )
    for sentence in result.warnings:
        log.warning("%s", sentence)
    return result


def read_pair(
    real: AnnData, pred: AnnData, *, pert_col: str, control: str, reorder: bool
) -> tuple[Screen, Screen]:
    """Read and check both sides of an evaluation; `evaluate` says what is refused."""
    if reorder:
        pred = _in_order_of(real, pred)
    measured = read_screen(real, pert_col=pert_col, control=control, name="real")
    predicted = read_screen(pred, pert_col=pert_col, control=control, name="pred")
    check_pair(measured, predicted)
    return measured, predicted


def _in_order_of(real: AnnData, pred: AnnData) -> AnnData:
    if set(real.var_names) != set(pred.var_names) or real.n_vars != pred.n_vars:
        return pred  # refused by `check_pair`, which names the genes
    return pred if (real.var_names == pred.var_names).all() else pred[:, real.var_names]


def check_pair(real: Screen, pred: Screen) -> None:
    """Both sides must have the same genes in the same order, and the same labels.

    Raises
    ------
    GeneMatchError
        Genes or their order differ.
    InputError
        A label is on one side only.
    """
    if not np.array_equal(real.genes, pred.genes):
        for here, there in ((real, pred), (pred, real)):
            only = sorted(set(here.genes.tolist()) - set(there.genes.tolist()))
            if only:
                raise GeneMatchError(
                    f"{len(only)} genes of {here.name} are missing in {there.name}, the first is "
                    f"{only[0]!r}: expected the same genes in the same order"
                )
        raise GeneMatchError(
            "real and pred have the same genes in another order: pass reorder=True, "
            "or pred = pred[:, real.var_names].copy()"
        )
    for here, there in ((real, pred), (pred, real)):
        only = sorted(set(here.perturbations) - set(there.perturbations))
        if only:
            raise InputError(
                f"{len(only)} perturbations of {here.name} are missing in {there.name}, the first is "
                f"{only[0]!r}: expected cells of every perturbation on both sides"
            )


def evaluate_screens(
    real: Screen,
    pred: Screen,
    names: tuple[str, ...],
    policy: Policy,
    *,
    threads: int = 0,
    profile: str = "full",
    compat: str | None = None,
    tests_real: DifferentialExpression | None = None,
) -> Evaluation:
    """Compute the metrics `names` of two checked screens with the same genes and labels.

    `tests_real` are the tests of `real`, when they are known already.
    """
    import pandas as pd

    sums = real.sums("identity", threads), pred.sums("identity", threads)
    values: dict[str, NDArray[np.float64]] = {}
    notes = constant_cells(real, pred, *sums)
    tests_pred = None
    if any(name in DE for name in names):
        _enough_cells(real, sums[0])
        _enough_cells(pred, sums[1])
        if tests_real is None:
            tests_real = differential_expression(real, sums=sums[0], threads=threads)
        tests_pred = differential_expression(pred, sums=sums[1], threads=threads)
        values |= de_metrics(tests_real, tests_pred, policy)
    if any(name in ANNDATA for name in names):
        found, more = _anndata_metrics(real, pred, sums, names, policy, threads)
        values |= found
        notes += more
    absent = {name: np.zeros(len(real.perturbations), dtype=bool) for name in names}
    if "de_nsig_counts_real" in values:
        for name in _WITHOUT_DE:
            if name in absent:
                absent[name] = values["de_nsig_counts_real"] == 0
    columns = {name: values[name] for name in names}
    table = pd.DataFrame({"perturbation": list(real.perturbations), **columns})
    summary = aggregate.aggregate(columns, absent, policy)
    return Evaluation(table, summary, notes, profile, compat, tests_real, tests_pred, absent)


def _enough_cells(side: Screen, sums: GroupSums) -> None:
    lone = [label for label, size in zip(side.labels, sums.sizes, strict=True) if size < 2]
    if lone:
        raise InputError(
            f"{side.name} has a single cell for {len(lone)} labels, the first is {lone[0]!r}: "
            "rank tests need at least 2; give single cells, or take profile='anndata' or 'pds'"
        )


def _anndata_metrics(
    real: Screen,
    pred: Screen,
    sums: tuple[GroupSums, GroupSums],
    names: tuple[str, ...],
    policy: Policy,
    threads: int,
) -> tuple[dict[str, NDArray[np.float64]], list[str]]:
    """Metrics of means and cells, and what there is to say about them."""
    means = sums[0].means, sums[1].means
    delta = effects(means[0]), effects(means[1], policy.noise)
    notes = []
    silent = [name for name, row in zip(pred.perturbations, delta[1], strict=True) if not row.any()]
    if silent:
        notes.append(
            f"{len(silent)} predicted perturbations do not differ from the predicted control cells (the "
            f"first is {silent[0]!r}): their correlation is undefined and their discrimination is chance"
        )
    values = error_metrics(*means, *delta)
    wanted = [name for name in PDS if name in names]
    values |= discrimination_scores(
        delta[1], delta[0], own_genes(real.perturbations, real.genes), wanted, threads
    )
    n = len(real.perturbations)
    if "pearson_edistance" in names:
        values["pearson_edistance"] = np.full(
            n, energy_correlation(real, pred, noise=policy.noise, threads=threads)
        )
    if "clustering_agreement" in names:
        try:
            agreement = clustering_agreement(means[0][1:], means[1][1:])
        except ImportError as error:
            agreement = float("nan")
            notes.append(str(error))
        values["clustering_agreement"] = np.full(n, agreement)
    return values, notes


def constant_cells(real: Screen, pred: Screen, real_sums: GroupSums, pred_sums: GroupSums) -> list[str]:
    """Say which predicted perturbations have equal cells in most genes that vary in the measured cells."""
    vary = real_sums.varies[1:]
    still = (vary & ~pred_sums.varies[1:]).sum(axis=1) > _CONSTANT_SHARE * np.maximum(vary.sum(axis=1), 1)
    flat = [name for name, constant in zip(pred.perturbations, still, strict=True) if constant]
    if not flat:
        return []
    return [
        f"the cells of {len(flat)} of {len(pred.perturbations)} predicted perturbations are equal in more "
        f"than half of the genes that vary in {real.name} (the first is {flat[0]!r}): rank tests then call "
        "nearly every gene, which inflates or voids the metrics of differential expression"
    ]
