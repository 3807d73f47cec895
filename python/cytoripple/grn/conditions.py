"""Training every group of cells of a condition by itself."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cytoripple._anndata import Tissue
from cytoripple._core import __version__
from cytoripple._errors import InputError, did_you_mean
from cytoripple._progress import Progress, ProgressName
from cytoripple._provenance import hash_tissue, write_text
from cytoripple._settings import Settings
from cytoripple.grn.session import Inputs, train_tissue
from cytoripple.io.run import CONDITIONS, Run, open_run
from cytoripple.io.run_file import RunRecord, establish

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

_MISSING = "_na"
_LONGEST = 64


def train_conditions(
    obs: pd.DataFrame,
    tissue: Tissue,
    settings: Settings,
    inputs: Inputs,
    run_dir: Path,
    progress: ProgressName | Progress | None,
) -> Run:
    """Train the groups one after the other in ``conditions/<group>``; return the run above them.

    The ids of the clusters are those of the whole data. Each group's run TOML holds the column, the value and
    the directory; ``condition_cells.txt`` holds its cells.

    Raises
    ------
    InputError
        The column is missing.
    """
    column = settings.data.condition or ""
    groups = split(obs, column)
    folders = folder_names(list(groups))
    log.info("condition %s: %d groups", column, len(groups))
    run_dir.mkdir(parents=True, exist_ok=True)
    above = {
        "version": __version__,
        "input_hash": hash_tissue(tissue),
        "cluster_labels": list(tissue.cluster_labels),
        "condition_groups": dict(zip(folders, groups, strict=True)),
    }
    establish(run_dir, RunRecord(settings, above), {}, join=False)
    for folder, (label, rows) in zip(folders, groups.items(), strict=True):
        part = subset(tissue, rows)
        directory = run_dir / CONDITIONS / folder
        log.info("condition %s = %s: %d cells", column, label, len(rows))
        where = {"column": column, "value": label, "directory": f"{CONDITIONS}/{folder}"}
        train_tissue(part, settings, inputs, directory, progress=progress, provenance={"condition": where})
        write_text(directory / "condition_cells.txt", "".join(f"{name}\n" for name in part.obs_names))
        write_text(directory / "condition_label.txt", f"{label}\n")
    return open_run(run_dir)


def split(obs: pd.DataFrame, column: str) -> dict[str, NDArray[np.intp]]:
    """Rows of each group, by label in text order; missing and blank labels are the group ``_na``.

    Raises
    ------
    InputError
        There is no such column.
    """
    if column not in obs.columns:
        names = [str(name) for name in obs.columns]
        raise InputError(
            f"no column {column!r} in adata.obs to split by{did_you_mean(column, names)}; "
            f"columns: {names[:25]}"
        )
    missing = obs[column].isna().to_numpy()
    texts = [str(value).strip() for value in obs[column]]
    labels = np.array(
        [_MISSING if gone or not text else text for gone, text in zip(missing, texts, strict=True)]
    )
    return {str(label): np.flatnonzero(labels == label) for label in np.unique(labels)}


def folder_names(labels: Sequence[str]) -> list[str]:
    """Make a distinct directory name for each label."""
    names: list[str] = []
    for label in labels:
        safe = re.sub(r"_+", "_", re.sub(r"[^A-Za-z0-9\-_.]", "_", label.strip()))[:_LONGEST]
        base = safe.strip("_.") or "group"
        name, count = base, 1
        while name in names:
            count += 1
            name = f"{base}_{count}"
        names.append(name)
    return names


def subset(tissue: Tissue, rows: NDArray[np.intp]) -> Tissue:
    """Tissue of some cells; cluster ids stay, labels beyond the largest id present are dropped."""
    clusters = tissue.clusters[rows]
    n_clusters = int(clusters.max()) + 1
    return replace(
        tissue,
        obs_names=tissue.obs_names[rows],
        expression=tissue.expression[rows],
        xy=tissue.xy[rows],
        clusters=clusters,
        cluster_labels=tissue.cluster_labels[:n_clusters],
        samples=None if tissue.samples is None else tissue.samples[rows],
        size_factors=None if tissue.size_factors is None else tissue.size_factors[rows],
        cell_types={cluster: label for cluster, label in tissue.cell_types.items() if cluster < n_clusters},
    )
