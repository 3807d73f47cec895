"""One simulation on arrays: checked arguments in, changed columns out."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cytoripple._errors import GeneMatchError, InputError, RunError, did_you_mean
from cytoripple._progress import Progress
from cytoripple.perturb.fitted import PRESETS
from cytoripple.perturb.scope import Scope, select_cells
from cytoripple.perturb.signals import plan_signals

if TYPE_CHECKING:
    from cytoripple._anndata import Tissue
    from cytoripple.kernels.ligands import MethodName
    from cytoripple.perturb.betabase import Betabase
    from cytoripple.perturb.bind import BoundModel
    from cytoripple.perturb.fitted import Fitted

log = logging.getLogger(__name__)

STEPS = {"reevaluate": 4, "linear": 3}
"""Ways to propagate a change, and how many steps each takes when nothing is said."""


@dataclass(frozen=True)
class Options:
    """Numbers of a simulation, checked when made; `Options.chosen` fills in what a preset implies.

    Raises
    ------
    InputError
        A number is out of range, the preset or the propagation is unknown, or they do not go together.
    """

    preset: str = "cytoripple"
    propagation: str = "reevaluate"
    n_propagation: int = 4
    to_fixed_point: bool = False
    beta_scale_factor: float = 1.0
    beta_cap: float | None = None
    ligand_method: MethodName = "auto"
    rtol: float = 1e-6
    threads: int = 0

    def __post_init__(self) -> None:
        if self.preset not in PRESETS:
            raise InputError(f"preset is {self.preset!r}: expected one of {', '.join(PRESETS)}")
        if self.propagation not in STEPS:
            raise InputError(f"propagation is {self.propagation!r}: expected one of {', '.join(STEPS)}")
        if self.n_propagation != int(self.n_propagation) or self.n_propagation < 0:
            raise InputError(
                f"n_propagation is {self.n_propagation}: give a whole number of steps, 0 or more"
            )
        if not np.isfinite(self.beta_scale_factor):
            raise InputError(f"beta_scale_factor is {self.beta_scale_factor}: give a finite number")
        if self.beta_cap is not None and not (np.isfinite(self.beta_cap) and self.beta_cap > 0):
            raise InputError(f"beta_cap is {self.beta_cap}: give a positive number, or None for no limit")
        if self.propagation == "linear":
            if self.to_fixed_point:
                raise InputError("to_fixed_point needs propagation='reevaluate'")
            return
        if self.preset != "cytoripple":
            raise InputError(
                f"preset {self.preset!r} propagates derivatives: leave propagation out, or give "
                "preset='cytoripple' to re-evaluate the models"
            )
        if self.beta_cap is not None:
            raise InputError(
                f"beta_cap is {self.beta_cap}, a limit on derivatives, which re-evaluation does not use: "
                "leave it out or give propagation='linear'"
            )

    @classmethod
    def chosen(
        cls,
        *,
        preset: str,
        propagation: str | None,
        n_propagation: int | None,
        to_fixed_point: bool = False,
        **others: Any,
    ) -> Options:
        """Options in which None stands for the way and the steps that the preset implies."""
        from cytoripple.kernels.perturb import MOST_ROUNDS

        if to_fixed_point and n_propagation is not None:
            raise InputError("n_propagation and to_fixed_point both say when to stop: give one of them")
        way = propagation or ("reevaluate" if preset == "cytoripple" else "linear")
        usual = MOST_ROUNDS if to_fixed_point else STEPS.get(way, 0)
        steps = usual if n_propagation is None else n_propagation
        return cls(preset, way, steps, to_fixed_point, **others)


@dataclass(frozen=True)
class Request:
    """What is set where.

    Attributes
    ----------
    genes
        Perturbed genes.
    levels
        (genes,), what they are set to.
    cells
        (cells, genes), where.
    """

    genes: tuple[str, ...]
    levels: NDArray[np.float64]
    cells: NDArray[np.bool_]


@dataclass(frozen=True)
class Outcome:
    """Columns that a simulation changed.

    Attributes
    ----------
    columns
        Position of each in the data, ascending.
    baseline, simulated
        (cells, columns), float64.
    convergence
        How the rounds of a re-evaluation ended; None for derivatives.
    """

    bound: BoundModel
    columns: NDArray[np.int64]
    baseline: NDArray[np.float64]
    simulated: NDArray[np.float64]
    convergence: Mapping[str, float | int | bool] | None = None

    def summary(self) -> dict[str, float | int]:
        """Size of the effect.

        ``largest_relative_change`` is the largest change in units of the range of a gene over the cells; far
        above 1 the models extrapolate.
        """
        if len(self.columns) == 0:
            return {"n_changed_genes": 0, "largest_change": 0.0, "largest_relative_change": 0.0}
        largest = np.abs(self.simulated - self.baseline).max(axis=0)
        spread = self.baseline.max(axis=0) - self.baseline.min(axis=0)
        relative = largest[spread > 0] / spread[spread > 0]
        return {
            "n_changed_genes": len(self.columns),
            "largest_change": float(largest.max()),
            "largest_relative_change": float(relative.max(initial=0.0)),
        }


@dataclass
class Clock:
    """Seconds of each stage."""

    laps: dict[str, float] = field(default_factory=dict)
    _since: float = field(default_factory=time.perf_counter)

    def lap(self, stage: str) -> None:
        """End a stage."""
        now = time.perf_counter()
        self.laps[stage] = round(now - self._since, 6)
        self._since = now


def check_targets(targets: Mapping[str, float], var_names: pd.Index[str]) -> None:
    """Check perturbed genes and their values before anything is read.

    Raises
    ------
    GeneMatchError
        A gene is not in the data; the nearest names are offered.
    InputError
        There is no target, or a value is negative or not a finite number.
    """
    if not isinstance(targets, Mapping) or not targets:
        raise InputError('targets names no gene: give values by gene, e.g. {"Tgfb1": 0.0}')
    known = set(var_names)
    for gene, value in targets.items():
        if gene not in known:
            raise GeneMatchError(f"{gene!r} is not a gene of the data{did_you_mean(str(gene), known)}")
        if isinstance(value, str) or not (np.isfinite(value) and value >= 0):
            raise InputError(f"{gene} is to be set to {value!r}: give a number >= 0, 0 knocks it out")


def request(targets: Mapping[str, float], cells: Scope | Mapping[str, Scope], tissue: Tissue) -> Request:
    """Resolve the cells of each target.

    Raises
    ------
    InputError
        A scope selects no cell or is not understood, or belongs to a gene that is not a target.
    """
    scopes: Mapping[str, Scope] = cells if isinstance(cells, Mapping) else dict.fromkeys(targets, cells)
    for gene in scopes:
        if gene not in targets:
            raise InputError(f"cells names {gene!r}, which is not a target{did_you_mean(gene, targets)}")
    if isinstance(cells, Mapping):
        chosen = [select_cells(scopes.get(gene), tissue) for gene in targets]
    else:
        chosen = [select_cells(cells, tissue)] * len(targets)
    levels = np.array([float(value) for value in targets.values()])
    return Request(tuple(targets), levels, np.column_stack(chosen))


def thresholds(
    table: pd.DataFrame | None, fitted: Fitted, tissue: Tissue, preset: str
) -> NDArray[np.bool_] | None:
    """Mask of the cells and genes that may signal, None for no restriction.

    Raises
    ------
    RunError
        The run was trained with thresholds and none are given.
    """
    from cytoripple._anndata import cell_thresholds

    if table is None:
        if fitted.thresholds_hash is not None and preset != "rust":
            raise RunError(f"{fitted.source} was trained with cell_thresholds: give the same table")
        return None
    if preset == "rust":
        log.info("preset 'rust' has no cell thresholds: the table is not used")
        return None
    return cell_thresholds(table, tissue, absent=True)


def allowed(
    tfs: Mapping[str, Collection[str]] | None, base: Betabase, bound: BoundModel
) -> list[NDArray[np.int64] | None] | None:
    """Positions of the TFs that may act, per target; None does not restrict.

    Raises
    ------
    InputError
        A target has no coefficients.
    """
    if tfs is None:
        return None
    for gene in tfs:
        base.table(gene)
    axis = {gene: place for place, gene in enumerate(bound.genes)}
    return [
        np.array(sorted(axis[tf] for tf in tfs[gene] if tf in axis), dtype=np.int64) if gene in tfs else None
        for gene in bound.targets
    ]


def simulate(
    base: Betabase,
    tissue: Tissue,
    wanted: Request,
    options: Options,
    *,
    mask: NDArray[np.bool_] | None,
    allowed_tfs: Mapping[str, Collection[str]] | None,
    clock: Clock,
    bar: Progress,
) -> Outcome:
    """Run the propagation on the genes that take part."""
    from cytoripple.kernels.perturb import PropagationRules

    bound = base.bind(tissue, with_genes=wanted.genes)
    bound.report.log()
    signals = plan_signals(bound, base.fitted, tissue, options)
    expression = bound.expression(tissue)
    clock.lap("prepare")
    axis = {gene: place for place, gene in enumerate(bound.genes)}
    genes = np.array([axis[gene] for gene in wanted.genes], dtype=np.int64)
    common: dict[str, Any] = {
        "signals": signals,
        "scale_factor": base.fitted.scale_factor or 1.0,
        "lr_ligands": bound.lr_ligands,
        "tfl_ligands": bound.tfl_ligands,
        "beta_scale_factor": options.beta_scale_factor,
        "mask": None if mask is None else np.ascontiguousarray(mask[:, bound.positions]),
        "allowed_tfs": allowed(allowed_tfs, base, bound),
        "n_propagation": options.n_propagation,
        "threads": options.threads,
        "progress": lambda done, total: bar.update(done, total, "perturb"),
    }
    convergence = None
    if options.propagation == "linear":
        rules = replace(PropagationRules.preset(options.preset), min_expression=base.fitted.min_expression)
        simulated = bound.model.perturb(
            expression, genes, wanted.levels, wanted.cells, rules=rules, beta_cap=options.beta_cap, **common
        )[0]
    else:
        found = bound.model.reevaluate(
            expression,
            genes,
            wanted.levels,
            wanted.cells,
            to_fixed_point=options.to_fixed_point,
            min_expression=base.fitted.min_expression,
            **common,
        )
        simulated = found.simulated
        convergence = {
            "rounds": found.rounds,
            "largest_last_change": found.largest_change,
            "converged": found.converged,
        }
        if options.to_fixed_point and not found.converged:
            log.warning(
                "no fixed point after %d rounds, the last one changed an entry by %.2g: the models feed back "
                "on each other too strongly; give n_propagation instead",
                found.rounds,
                found.largest_change,
            )
    clock.lap("propagate")
    changed = _changed_columns(expression, simulated)
    return Outcome(
        bound, bound.positions[changed], expression[:, changed], simulated[:, changed], convergence
    )


def _changed_columns(before: NDArray[np.float64], after: NDArray[np.float64]) -> NDArray[np.int64]:
    """Columns with any difference, found over blocks of rows so that no large temporary is made."""
    changed = np.zeros(before.shape[1], dtype=bool)
    for start in range(0, len(before), 1024):
        rows = slice(start, start + 1024)
        changed |= (before[rows] != after[rows]).any(axis=0)
    return np.flatnonzero(changed)
