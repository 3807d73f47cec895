"""The work of one process on one run directory."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cytoripple._anndata import Tissue
from cytoripple._core import CoreError
from cytoripple._errors import RunError
from cytoripple._progress import Progress, ProgressName, showing
from cytoripple._provenance import host_id, sweep_temporary, versions, write_text, writing
from cytoripple._settings import Settings
from cytoripple.grn.fit import Fitter, TargetFit
from cytoripple.grn.outcome import write_failed, write_orphan, write_outcome
from cytoripple.grn.penalty import choose_kappa
from cytoripple.grn.plan import Plan, plan_training
from cytoripple.grn.queue import Claims, Counts, is_finished, run_queue
from cytoripple.grn.report import write_report
from cytoripple.io.effects import write_edges, write_scales
from cytoripple.io.network import Network
from cytoripple.io.run import MANIFEST_FILE, SCALES_FILE, Run, open_run
from cytoripple.io.run_file import RunRecord, differing_keys, establish, read_record, store_choice

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

_PENALTY_CLAIM = "_penalty"
_MANIFEST_CLAIM = "_manifest"


@dataclass(frozen=True)
class Inputs:
    """What training takes besides the tissue and the settings."""

    network: Network | str | Path | pd.DataFrame | None = None
    tf_priors: pd.DataFrame | str | Path | None = None
    cell_thresholds: pd.DataFrame | None = None


@dataclass
class Stages:
    """Seconds of each stage."""

    started: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time the block and log it."""
        start = time.perf_counter()
        yield
        took = time.perf_counter() - start
        self.seconds[name] = round(took, 3)
        log.info("%s: %.1f s", name, took)


def joined_settings(run_dir: Path, own: Settings) -> Settings:
    """Take the settings of the run in `run_dir`, with own threads; say which own ones are ignored."""
    stored = read_record(run_dir).settings
    ignored = differing_keys(own, stored)
    if ignored:
        log.warning("joining %s: its settings are used, these are ignored: %s", run_dir, ", ".join(ignored))
    execution = own.execution
    return stored.with_overrides(
        {"execution.threads": execution.threads, "execution.stale_lock_secs": execution.stale_lock_secs}
    )


def train_tissue(
    tissue: Tissue,
    settings: Settings,
    inputs: Inputs,
    run_dir: Path,
    *,
    join: bool = False,
    progress: ProgressName | Progress | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> Run:
    """Train all targets of a tissue and return the run.

    Parameters
    ----------
    provenance
        Further entries of the run TOML.
    """
    stages = Stages()
    with stages.stage("check"):
        plan = plan_training(
            tissue,
            settings,
            network=inputs.network,
            tf_priors=inputs.tf_priors,
            thresholds=inputs.cell_thresholds,
        )
        plan.provenance.update(provenance or {})
    _make(run_dir)
    sweep_temporary(run_dir)
    sweep_temporary(run_dir / "log")
    # threads change nothing, and an empty directory means that of the run TOML, so that a run can be moved
    recorded = settings.with_overrides({"execution.threads": 0, "execution.output_dir": ""})
    record = establish(run_dir, RunRecord(recorded, plan.provenance), plan.radii, join=join)
    with (
        showing(progress) as shown,
        Claims(run_dir, stale_secs=settings.execution.stale_lock_secs) as claims,
    ):
        counts = _train(plan, record, run_dir, claims, shown, stages)
        run = open_run(run_dir)
        with stages.stage("report"):
            write_edges(run)
            write_report(run, tissue)
        with claims.waiting_for(_MANIFEST_CLAIM):
            _write_manifest(run_dir, plan, counts, stages)
    _say_outcome(run_dir, counts)
    _say_unpredictable(run)
    return run


def _make(run_dir: Path) -> None:
    try:
        with writing(run_dir.parent):
            (run_dir / "log").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"cannot make the run directory {run_dir}: {error.strerror}") from None


def _train(
    plan: Plan, record: RunRecord, run_dir: Path, claims: Claims, progress: Progress, stages: Stages
) -> Counts:
    if all(is_finished(run_dir, gene) for gene in plan.targets) and (run_dir / SCALES_FILE).exists():
        progress.update(len(plan.targets), len(plan.targets), "train")
        return Counts(skipped=len(plan.targets))
    with stages.stage("ligands"):
        fitter = Fitter(plan, progress)
    with_modulators = [gene for gene in plan.targets if plan.index.of(gene).names]
    with stages.stage("scales"):
        if not (run_dir / SCALES_FILE).exists():
            _write_scales(fitter, with_modulators, run_dir)
    lasso, training = plan.settings.lasso, plan.settings.training
    kappa = None if lasso.kappa == "cv" else lasso.kappa
    dense_share = lasso.dense_share
    if lasso.chosen and with_modulators:
        with stages.stage("penalty"):
            choice = _agreed_choice(fitter, with_modulators, record, run_dir, claims, progress)
        kappa, dense_share = float(choice["kappa"]), choice.get("dense_share", dense_share)
    if kappa is not None:
        kappa *= training.effect_kappa_factor
    sizes = np.bincount(plan.tissue.clusters, minlength=len(plan.tissue.cluster_labels)).astype(np.int64)

    def work(genes: list[str]) -> Counts:
        return _work(genes, lambda some: fitter.fit(some, kappa, dense_share), fitter.plan, sizes, run_dir)

    with stages.stage("train"):
        return run_queue(plan.targets, run_dir=run_dir, claims=claims, work=work, progress=progress)


def _agreed_choice(
    fitter: Fitter, genes: list[str], record: RunRecord, run_dir: Path, claims: Claims, progress: Progress
) -> Mapping[str, Any]:
    """Choice in the run TOML; the process that holds the claim makes it when there is none."""

    def known() -> Mapping[str, Any]:
        return read_record(run_dir).cross_validation

    if not (choice := known()):
        with claims.waiting_for(_PENALTY_CLAIM, lambda: bool(known())):
            if not (choice := known()):
                choice = choose_kappa(fitter, genes, run_dir, progress)
                store_choice(run_dir, record, choice)
    return choice


def _work(
    genes: list[str],
    fit_all: Callable[[list[str]], list[TargetFit]],
    plan: Plan,
    sizes: NDArray[np.int64],
    run_dir: Path,
) -> Counts:
    counts = Counts()
    fitted: list[str] = []
    for gene in genes:
        if plan.index.of(gene).names:
            fitted.append(gene)
        else:
            write_orphan(run_dir, gene, "the network has no modulator of this gene among the measured genes")
            counts.orphan += 1
    if not fitted:
        return counts
    try:
        fits = fit_all(fitted)
    except (ValueError, ArithmeticError, CoreError) as error:
        if len(fitted) > 1:  # find the gene that fails, and keep the others
            for gene in fitted:
                counts.add(_work([gene], fit_all, plan, sizes, run_dir))
            return counts
        log.warning("%s failed: %s", fitted[0], error)
        write_failed(run_dir, fitted[0], error)
        counts.failed += 1
        return counts
    for fit in fits:
        if write_outcome(run_dir, fit, sizes, plan.settings):
            counts.ok += 1
        else:
            counts.orphan += 1
    return counts


def _write_scales(fitter: Fitter, genes: list[str], run_dir: Path) -> None:
    names: dict[str, None] = dict.fromkeys(genes)
    for gene in genes:
        names.update(dict.fromkeys(fitter.plan.index.of(gene).names))
    tissue = fitter.plan.tissue
    write_scales(run_dir, names, fitter.column, tissue.clusters, len(tissue.cluster_labels))


def _write_manifest(run_dir: Path, plan: Plan, counts: Counts, stages: Stages) -> None:
    path = run_dir / MANIFEST_FILE
    sessions: list[dict[str, Any]] = []
    if path.is_file():
        try:
            sessions = json.loads(path.read_text(encoding="utf-8"))["sessions"]
        except (ValueError, KeyError):
            log.warning("%s could not be read and is written anew", path)
    sessions.append(
        {
            "host": host_id(),
            "pid": os.getpid(),
            "started": stages.started,
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "threads": plan.settings.execution.threads,
            "seconds": stages.seconds,
            "counts": asdict(counts),
        }
    )
    hashes = {key: value for key, value in plan.provenance.items() if key.endswith("_hash")}
    content = {"versions": versions(), "hashes": hashes, "sessions": sessions}
    write_text(path, json.dumps(content, indent=2) + "\n")


def _say_outcome(run_dir: Path, counts: Counts) -> None:
    log.info(
        "%s: %d genes trained, %d orphans, %d failed, %d finished before",
        run_dir,
        counts.ok,
        counts.orphan,
        counts.failed,
        counts.skipped,
    )
    if counts.ok == 0 and counts.skipped == 0:
        log.warning(
            "no gene has coefficients: look at the reasons in *.orphan; usual causes are a wrong layer or "
            "cluster column, coordinates in another unit than the radius, or too high a score threshold"
        )
    elif 20 * counts.ok < counts.orphan:
        log.info(
            "few targets keep an edge: held-out tissue supports no more. A smaller kappa than the chosen one "
            "shows weaker edges, as guesses"
        )


def _say_unpredictable(run: Run) -> None:
    targets = run.target_scores()
    scored = targets["held_out_r2"].notna()
    if scored.any() and not targets["predictable"].any():
        log.warning(
            "none of %d targets is predicted better than by its cluster's mean in held-out cells: take no "
            "edge and no perturbation of this run for evidence. Too few counts per cell, too few cells per "
            "cluster, or a network of another tissue can be the cause",
            int(scored.sum()),
        )
