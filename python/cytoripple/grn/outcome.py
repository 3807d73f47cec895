"""What a fitted target leaves in the run directory: betadata or an orphan file, and a log."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cytoripple._provenance import write_text, writing
from cytoripple._settings import Settings
from cytoripple.grn.fit import TargetFit
from cytoripple.io.betadata import write_betadata
from cytoripple.io.gene_log import ClusterFit, log_path, log_text

_ROUNDING = 1e-12


@dataclass(frozen=True)
class Exported:
    """Coefficients after the score gate, one row per cluster with cells."""

    clusters: NDArray[np.int64]
    intercept: NDArray[np.float64]
    betas: NDArray[np.float64]
    passed: NDArray[np.bool_]

    @property
    def is_orphan(self) -> bool:
        """Whether no modulator has a coefficient in any cluster."""
        return not bool(self.betas.any())


def gate(fit: TargetFit, sizes: NDArray[np.int64], threshold: float | None) -> Exported:
    """Keep the coefficients of the clusters that reach the score, zeros in the others.

    Parameters
    ----------
    sizes
        Cells per cluster; clusters without cells are left out.
    threshold
        Smallest R2 on the training cells that is kept; None keeps all.
    """
    clusters = np.flatnonzero(sizes > 0).astype(np.int64)
    r2 = fit.r2[clusters]
    # an empty model has the R2 0 up to rounding
    passed = np.isfinite(r2) if threshold is None else np.isfinite(r2) & (r2 >= threshold - _ROUNDING)
    keep = passed[:, np.newaxis]
    betas = np.where(keep, np.nan_to_num(fit.coef[clusters], nan=0.0, posinf=0.0, neginf=0.0), 0.0)
    intercept = np.where(passed, np.nan_to_num(fit.intercept[clusters], nan=0.0, posinf=0.0, neginf=0.0), 0.0)
    return Exported(clusters, intercept, betas, passed)


def write_outcome(run_dir: Path, fit: TargetFit, sizes: NDArray[np.int64], settings: Settings) -> bool:
    """Write log, then betadata or orphan file; ``True`` when the target has betadata.

    The file that marks a gene as finished comes last, so that a killed process repeats the whole gene.

    Raises
    ------
    RunError
        The disk is full.
    """
    gene = fit.modulators.target
    exported = gate(fit, sizes, settings.training.score_threshold)
    header: dict[str, object] = {
        "seed_only": True,
        "per_cell_cnn_export": False,
        "cnn_epochs_config": 0,
        "learning_rate": 0,
        "lasso_n_iter_max": settings.lasso.n_iter if settings.lasso.n_iter is not None else "NA",
        "lasso_tol": settings.lasso.tol,
        "export": "orphan" if exported.is_orphan else "betadata",
    }
    rows, selection = _rows(fit, exported, sizes), _selection(fit, exported)
    write_text(log_path(run_dir, gene), log_text(gene, rows, header, selection))
    if exported.is_orphan:
        write_orphan(run_dir, gene, _why_orphan(fit, exported, settings.training.score_threshold))
    else:
        with writing(run_dir):
            write_betadata(
                run_dir / f"{gene}_betadata.{settings.execution.betadata_format}",
                keys=exported.clusters,
                intercept=exported.intercept,
                modulators=fit.modulators.names,
                betas=exported.betas,
            )
    (run_dir / f"{gene}.failed").unlink(missing_ok=True)
    return not exported.is_orphan


def write_orphan(run_dir: Path, gene: str, reason: str) -> None:
    """Mark a target as one without modulators; the file holds the reason."""
    write_text(run_dir / f"{gene}.orphan", reason + "\n")


def write_failed(run_dir: Path, gene: str, error: BaseException) -> None:
    """Mark a target as failed; the file holds the message."""
    write_text(run_dir / f"{gene}.failed", f"{type(error).__name__}: {error}\n")


def _rows(fit: TargetFit, exported: Exported, sizes: NDArray[np.int64]) -> list[ClusterFit]:
    rows = []
    for passed, cluster in zip(exported.passed.tolist(), exported.clusters.tolist(), strict=True):
        raw = float(fit.r2[cluster])
        rows.append(
            ClusterFit(
                cluster=cluster,
                n_cells=int(sizes[cluster]),
                n_modulators=len(fit.modulators.names),
                r2=raw if passed else 0.0,
                mse=float(fit.mse[cluster]),
                n_iter=int(fit.n_iter[cluster]),
                converged=bool(fit.converged[cluster]),
                r2_raw=raw,
                held_out_r2=float(fit.held_out_r2[cluster]),
                gap=float(fit.gap[cluster]),
                objective=float(fit.objective[cluster]),
                lambda_max=float(fit.lambda_max[cluster]),
            )
        )
    return rows


def _selection(fit: TargetFit, exported: Exported) -> dict[str, float]:
    if fit.entry is None:
        return {}
    kept = np.flatnonzero(np.any(exported.betas != 0.0, axis=0) & (fit.entry > 0.0))
    return {fit.modulators.names[place]: float(fit.entry[place]) for place in kept}


def _why_orphan(fit: TargetFit, exported: Exported, threshold: float | None) -> str:
    count = len(fit.modulators.names)
    if not fit.coef[exported.clusters].any():
        return f"the penalty removes all {count} modulators in every cluster"
    best = float(np.nanmax(fit.r2[exported.clusters]))
    if not exported.passed.any():
        return f"no cluster reaches the score threshold {threshold}: the best R2 is {best:.3f}"
    return f"the clusters that reach the score threshold {threshold} have no modulator left of {count}"
