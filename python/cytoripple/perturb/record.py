"""What is kept about a simulation beside its result."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from cytoripple._anndata import Tissue
    from cytoripple.perturb.betabase import Betabase
    from cytoripple.perturb.engine import Clock, Options, Outcome, Request


def record(
    base: Betabase,
    tissue: Tissue,
    wanted: Request,
    options: Options,
    outcome: Outcome,
    clock: Clock,
    *,
    masked: bool,
) -> dict[str, Any]:
    """Everything about a simulation that AnnData can store in a file."""
    from cytoripple._provenance import hash_tissue, versions

    fitted = base.fitted
    names = tissue.obs_names.to_numpy(dtype=object)
    touched = np.flatnonzero(wanted.cells.any(axis=1))
    ligands = [ligand for ligand in outcome.bound.ligands if fitted.radius_of(ligand) is not None]
    optional = {
        "beta_cap": options.beta_cap,
        "sample_key": tissue.sample_key,
        "contact_distance": fitted.contact_distance,
        "convergence": None if outcome.convergence is None else dict(outcome.convergence),
        "held_out_r2": _held_out(base, tissue, outcome),
    }
    return {
        "magnitude": "relative",
        "targets": np.array(wanted.genes, dtype=object),
        "values": wanted.levels,
        "n_cells": wanted.cells.sum(axis=0),
        "cells": names[touched] if len(touched) < len(names) else "all",
        "run": str(fitted.source),
        "layer": tissue.layer,
        "cluster_key": tissue.cluster_key,
        "spatial_key": tissue.spatial_key,
        "kernel": str(fitted.kernel),
        "scale_factor": fitted.scale_factor or 1.0,
        "ligands": np.array(ligands, dtype=object),
        "radii": np.array([fitted.radius_of(ligand) for ligand in ligands], dtype=np.float64),
        "preset": options.preset,
        "propagation": options.propagation,
        "n_propagation": int(options.n_propagation),
        "to_fixed_point": options.to_fixed_point,
        "beta_scale_factor": options.beta_scale_factor,
        "ligand_method": options.ligand_method,
        "rtol": options.rtol,
        "cell_thresholds": masked,
        **{name: value for name, value in optional.items() if value is not None},
        "report": outcome.bound.report.text(),
        "summary": outcome.summary(),
        "input_hash": fitted.input_hash or hash_tissue(tissue),
        "versions": versions(),
        "timings": dict(clock.laps),
    }


def _held_out(base: Betabase, tissue: Tissue, outcome: Outcome) -> dict[str, Any] | None:
    """Held-out R2 of the targets that changed, as columns; gene names may not be keys of a file."""
    targets = set(outcome.bound.targets)
    changed = [str(gene) for gene in tissue.var_names[outcome.columns] if gene in targets]
    known = {gene: r2 for gene, r2 in base.held_out_r2(changed).items() if not np.isnan(r2)}
    return (
        {"gene": np.array(list(known), dtype=object), "r2": np.array(list(known.values()))} if known else None
    )


def held_out_r2(run_dir: Path, gene: str) -> float:
    """R2 on held-out cells in the log of a gene: mean over clusters, weighted by cells; NaN if not known."""
    from cytoripple.io.gene_log import log_path, read_log

    path = log_path(run_dir, gene)
    fits = read_log(path)[1] if path.is_file() else []
    scored = [(fit.held_out_r2, fit.n_cells) for fit in fits if not math.isnan(fit.held_out_r2)]
    cells = sum(n for _, n in scored)
    return sum(r2 * n for r2, n in scored) / cells if cells else math.nan
