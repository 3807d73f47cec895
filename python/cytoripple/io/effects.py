"""Column scales of a run and the standardized coefficients they allow."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cytoripple._errors import RunError
from cytoripple._modulators import modulator_kind
from cytoripple._provenance import atomic_path
from cytoripple.io.gene_log import log_path, read_selection
from cytoripple.io.run import EDGES_FILE, SCALES_FILE, Run

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
    table = pd.read_feather(path)
    row_of = {str(name): row for row, name in enumerate(table["column"])}
    scales = table.drop(columns="column").to_numpy(dtype=np.float64)
    parts: dict[str, list[NDArray[Any]]] = {name: [] for name in columns}
    for gene, betadata in read_betadata(run.directory, genes=genes).items():
        edges = read_selection(log_path(run.directory, gene))
        # the dense share of a joint fit gives every column a coefficient: those are no edges
        sparse = np.array([not edges or name in edges for name in betadata.modulators], dtype=np.bool_)
        rows, places = np.nonzero(betadata.betas * sparse)
        clusters = np.array([int(key) for key in betadata.keys], dtype=np.int64)[rows]
        beta = betadata.betas[rows, places]
        of_column = np.array([row_of[name] for name in betadata.modulators], dtype=np.int64)[places]
        sd_column, sd_target = scales[of_column, clusters], scales[row_of[gene], clusters]
        effect = np.divide(beta * sd_column, sd_target, out=np.zeros_like(beta), where=sd_target > 0)
        modulators = np.array(betadata.modulators, dtype=object)[places]
        values = (np.full(len(beta), gene, dtype=object), clusters, modulators, beta, effect)
        for name, value in zip(columns, values, strict=True):
            parts[name].append(value)
    found = pd.DataFrame({name: np.concatenate(arrays) for name, arrays in parts.items()})
    # betadata come sorted by gene, so that a stable sort orders equal effects by gene
    order = np.argsort(-found["effect"].abs().to_numpy(), kind="stable")
    return found.iloc[order].reset_index(drop=True)


def edge_list(run: Run, genes: Sequence[str]) -> pd.DataFrame:
    """Table of `Run.edges`."""
    scores, targets = run.scores(), run.target_scores()
    effects = standardized_effects(run, genes)
    cells = scores.set_index(["gene", "cluster"])["n_cells"]
    weight = cells.reindex([effects["gene"], effects["cluster"]]).fillna(0.0).to_numpy(dtype=np.float64)
    parts = effects[["gene", "modulator"]].assign(
        size=weight * effects["effect"].abs(), signed=weight * effects["effect"], clusters=1
    )
    sums = parts.groupby(["gene", "modulator"], sort=True)[["size", "signed", "clusters"]].sum().reset_index()
    total = scores.groupby("gene")["n_cells"].sum().reindex(sums["gene"]).to_numpy(dtype=np.float64)
    selection = {
        (gene, name): value
        for gene in sums["gene"].unique()
        for name, value in read_selection(log_path(run.directory, gene)).items()
    }
    extra = set(run.settings.grn.extra_modulators)
    predictable = dict(zip(targets["gene"], targets["predictable"], strict=True))
    pairs = list(zip(sums["gene"], sums["modulator"], strict=True))
    table = sums.assign(
        kind=[modulator_kind(str(name), extra) for _, name in pairs],
        importance=sums["size"] / total,
        sign=np.sign(sums["signed"]).astype(np.int64),
        selection=np.array([selection.get(pair, np.nan) for pair in pairs], dtype=np.float64),
        predictable=np.array([bool(predictable.get(gene, False)) for gene, _ in pairs], dtype=np.bool_),
    )
    names = ["gene", "modulator", "kind", "importance", "sign", "clusters", "selection", "predictable"]
    order = np.argsort(-table["importance"].to_numpy(), kind="stable")
    return table[names].iloc[order].reset_index(drop=True)


def write_edges(run: Run) -> None:
    """Write the edge list of a run as CSV."""
    with atomic_path(run.directory / EDGES_FILE) as temporary:
        edge_list(run, run.genes()).to_csv(temporary, index=False)
