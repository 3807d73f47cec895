"""What is kept about a simulation beside its result."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from cytoripple._anndata import Tissue
    from cytoripple.perturb.betabase import Betabase
    from cytoripple.perturb.engine import Clock, Options, Outcome, Request
    from cytoripple.perturb.fitted import Fitted


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
        "held_out_r2": _held_out(fitted, tissue, outcome),
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


def _held_out(fitted: Fitted, tissue: Tissue, outcome: Outcome) -> dict[str, Any] | None:
    """Held-out R2 of the targets that changed, as columns; gene names may not be keys of a file."""
    if not fitted.recorded:
        return None
    targets = set(outcome.bound.targets)
    changed = [str(gene) for gene in tissue.var_names[outcome.columns] if gene in targets]
    found = held_out_r2(fitted.source, changed)
    return (
        {"gene": np.array(list(found), dtype=object), "r2": np.array(list(found.values()))} if found else None
    )


def held_out_r2(run_dir: Path, genes: Iterable[str]) -> dict[str, float]:
    """R2 on cells that the fit did not see: mean over the clusters of a run, weighted by their cells.

    Genes without such a score in their log are left out.
    """
    from cytoripple.io.gene_log import log_path, read_log

    found = {}
    for gene in genes:
        path = log_path(run_dir, gene)
        if not path.is_file():
            continue
        scored = [
            (fit.held_out_r2, fit.n_cells) for fit in read_log(path)[1] if not np.isnan(fit.held_out_r2)
        ]
        if sum(n for _, n in scored) > 0:
            values, cells = np.array(scored).T
            found[gene] = float(np.average(values, weights=cells))
    return found
