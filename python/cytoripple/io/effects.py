"""Column scales of a run and the standardized coefficients they allow."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cytoripple._errors import RunError
from cytoripple._provenance import atomic_path
from cytoripple.io.run import SCALES_FILE, Run

if TYPE_CHECKING:
    import pandas as pd


def write_scales(
    run_dir: Path,
    names: Iterable[str],
    column: Callable[[str], NDArray[np.float64]],
    clusters: NDArray[np.int64],
    n_clusters: int,
) -> None:
    """Write the standard deviation of design columns and targets inside every cluster.

    Parameters
    ----------
    names
        Names of columns; targets and TFs are plain genes and share theirs.
    column
        Values of a column, one per cell.
    """
    import pandas as pd

    names = list(names)
    order = np.argsort(clusters, kind="stable")
    sizes = np.bincount(clusters, minlength=n_clusters)
    filled = np.flatnonzero(sizes)
    starts = np.concatenate([[0], np.cumsum(sizes[filled])[:-1]])
    table = np.zeros((len(names), n_clusters))
    for row, name in enumerate(names):
        values = column(name)[order]
        means = np.add.reduceat(values, starts) / sizes[filled]
        centered = values - np.repeat(means, sizes[filled])
        table[row, filled] = np.sqrt(np.add.reduceat(centered * centered, starts) / sizes[filled])
    frame = pd.DataFrame(table, columns=[str(cluster) for cluster in range(n_clusters)])
    frame.insert(0, "column", names)
    with atomic_path(run_dir / SCALES_FILE) as temporary:
        frame.to_feather(temporary)


def standardized_effects(run: Run, genes: Sequence[str]) -> pd.DataFrame:
    """Table of `Run.effects`."""
    import pandas as pd

    from cytoripple.io.betadata import read_betadata

    path = run.directory / SCALES_FILE
    if not path.is_file():
        raise RunError(
            f"{run.directory} has no {SCALES_FILE}: run the training again, which resumes and writes it"
        )
    columns = ["gene", "cluster", "modulator", "beta", "effect"]
    if not genes:
        return pd.DataFrame({name: [] for name in columns})
    scales = pd.read_feather(path).set_index("column")
    parts = []
    for gene, table in read_betadata(run.directory, genes=genes).items():
        rows, places = np.nonzero(table.betas)
        clusters = np.array(table.keys)[rows]
        beta = table.betas[rows, places]
        position = scales.columns.get_indexer(pd.Index(clusters))
        modulators = np.array(table.modulators)[places]
        sd_column = scales.to_numpy()[scales.index.get_indexer(pd.Index(modulators)), position]
        sd_target = scales.loc[gene].to_numpy(dtype=np.float64)[position]
        effect = np.divide(beta * sd_column, sd_target, out=np.zeros_like(beta), where=sd_target > 0)
        parts.append(
            pd.DataFrame(
                {
                    "gene": gene,
                    "cluster": clusters.astype(np.int64),
                    "modulator": modulators,
                    "beta": beta,
                    "effect": effect,
                }
            )
        )
    found = pd.concat(parts, ignore_index=True)
    order = np.lexsort((found["modulator"], found["gene"], -found["effect"].abs()))
    return found.iloc[order].reset_index(drop=True)
