"""Pictures of a perturbation's effect: against distance, and per cell type."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cytoripple._errors import InputError, did_you_mean
from cytoripple.pl import _style
from cytoripple.pl._values import (
    as_labels,
    coordinates,
    gene_values,
    length_unit,
    perturbation_title,
    perturbed_cells,
    result_of,
    sample_labels,
    targets_of,
)

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes

_BINS, _LEAST_CELLS = 14, 3
_LEAST_COLUMNS = 12  # a narrower picture has no room for its title and legend
_VISIBLE = 20  # a change below this fraction of the color scale looks like none


def effect_by_distance(
    adata: AnnData,
    genes: Sequence[str] | None = None,
    *,
    key: str = "perturbation",
    unit: str | None = None,
    spatial_key: str | None = None,
    ax: Axes | None = None,
    save: str | Path | None = None,
) -> Axes:
    """Show how the effect of a perturbation fades with the distance from where it acts.

    The distance of a cell is that to the nearest source cell of its section. Source cells are the perturbed
    cells in which the perturbed genes changed; when these are more than a quarter of the tissue, the quarter
    that changed most.

    Parameters
    ----------
    adata
        Tissue with the result of :func:`cytoripple.tl.perturb`.
    genes
        Draw the mean change of each of these genes. Default: the mean absolute change over all genes that
        change anywhere, without the perturbed ones.
    key
        Name of the result.
    unit, spatial_key, ax, save
        As in :func:`cytoripple.pl.spatial`.

    Returns
    -------
    The axes. Lines are means over cells in rings of equal width, the band the middle half of the cells.

    Raises
    ------
    InputError
        There is no such result, or nothing changed.
    """
    record = result_of(adata, key)
    targets = targets_of(record)
    sources = source_cells(adata, key)
    distance = _distance_to(coordinates(adata, spatial_key), sources, sample_labels(adata, record))
    name, per_unit = length_unit(adata) if unit is None else (unit, 1.0)
    curves = (
        {"all genes": _mean_absolute_change(adata, key, targets)}
        if genes is None
        else {gene: gene_values(adata, gene, f"{key}_delta") for gene in genes}
    )
    with _style.style():
        ax = _style.axes(ax, (6.2, 4.0))
        for position, (label, values) in enumerate(curves.items()):
            color = _style.CATEGORIES[position % len(_style.CATEGORIES)]
            _curve(ax, distance * per_unit, values, color, label, italic=genes is not None)
        if genes is not None:
            ax.axhline(0.0, color=_style.FAINT, lw=0.8, ls=(0, (3, 3)), zorder=0)
            ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), prop={"style": "italic", "size": 9})
        else:
            ax.set_ylim(bottom=0)
        ax.set_xlim(left=0)
        ax.set_xlabel(f"distance from the nearest source cell ({name})")
        ax.set_ylabel(
            f"mean change{_style.RELATIVE}"
            if genes is not None
            else f"mean absolute change per gene{_style.RELATIVE}"
        )
        ax.set_title(f"Reach of the {perturbation_title(record)}")
        _style.save_figure(ax, save)
    return ax


def top_genes(
    adata: AnnData,
    *,
    groupby: str | None = None,
    n: int = 24,
    key: str = "perturbation",
    ax: Axes | None = None,
    save: str | Path | None = None,
) -> Axes:
    """Show the most affected genes in each cell type.

    Color is the mean change over the cells of a type, the size of a dot the share of these cells that
    change by more than a twentieth of the end of the color scale. The perturbed genes themselves are left
    out.

    Parameters
    ----------
    adata
        Tissue with the result of :func:`cytoripple.tl.perturb`.
    groupby
        Column of ``obs`` with the cell types; the default is the clusters of the run.
    n
        Number of genes at most: those with the largest mean change in any type, each type in turn. Genes
        whose color would look like no change are left out.
    key
        Name of the result.
    ax, save
        Axes to draw on, file to write.

    Returns
    -------
    The axes.

    Raises
    ------
    InputError
        There is no such result or column, or nothing changed.
    """
    record = result_of(adata, key)
    column = str(groupby or record.get("cluster_key") or "")
    if column not in adata.obs:
        raise InputError(
            f"there is no column {column!r} in obs{did_you_mean(column, adata.obs.columns)}: give groupby="
        )
    labels = as_labels(adata.obs[column])
    groups = [str(name) for name in labels.categories]
    mean = mean_change(adata, labels, key)
    mean[:, adata.var_names.isin(list(targets_of(record)))] = 0.0
    chosen = _in_turn(mean, n)
    if not chosen:
        raise InputError(f"the perturbation {key!r} changes no gene but the perturbed ones")
    least = float(np.abs(mean[:, chosen]).max()) / _VISIBLE
    chosen = [gene for gene in chosen if np.abs(mean[:, gene]).max() >= least]
    chosen = sorted(chosen, key=lambda gene: -float(mean[np.abs(mean[:, gene]).argmax(), gene]))
    with _style.style():
        ax = _style.axes(ax, (2.9 + 0.3 * max(len(chosen), _LEAST_COLUMNS), 1.9 + 0.36 * len(groups)))
        limit = float(np.abs(mean[:, chosen]).max())
        share = _share_above(adata, labels, key, chosen, limit / _VISIBLE)
        x, y = np.meshgrid(np.arange(len(chosen)), np.arange(len(groups)))
        points = ax.scatter(
            x.ravel(),
            y.ravel(),
            c=mean[:, chosen].ravel(),
            s=12 + 110 * share.ravel(),
            cmap=_style.diverging(),
            vmin=-limit,
            vmax=limit,
            edgecolors="#9A9A9A",
            linewidths=0.35,
        )
        names = [str(adata.var_names[gene]) for gene in chosen]
        ax.set_xticks(np.arange(len(names)), names, rotation=90, fontstyle="italic")
        ax.set_yticks(np.arange(len(groups)), [group.replace("_", " ") for group in groups])
        ax.set_xlim(-0.7, max(len(names), _LEAST_COLUMNS) - 0.3)
        ax.set_ylim(len(groups) - 0.4, -0.6)
        ax.tick_params(length=0)
        for side in ax.spines.values():
            side.set_visible(False)
        _dot_legend(ax, points, limit)
        ax.set_title(f"Most affected genes after {perturbation_title(record)}")
        _style.save_figure(ax, save)
    return ax


def mean_change(adata: AnnData, labels: pd.Categorical[str], key: str) -> NDArray[np.float64]:
    """Mean change of every gene in every group, groups x genes."""
    delta = adata.layers[f"{key}_delta"]
    rows = [np.flatnonzero(labels.codes == group) for group in range(len(labels.categories))]
    return np.stack([np.asarray(delta[row].mean(axis=0), dtype=np.float64).ravel() for row in rows])


def _share_above(
    adata: AnnData, labels: pd.Categorical[str], key: str, genes: Sequence[int], least: float
) -> NDArray[np.float64]:
    """Share of the cells of each group in which a gene changes by more than `least`, groups x genes."""
    block = adata.layers[f"{key}_delta"][:, list(genes)]
    moved = np.abs(block.toarray() if hasattr(block, "toarray") else np.asarray(block)) > least
    return np.stack([moved[labels.codes == group].mean(axis=0) for group in range(len(labels.categories))])


def source_cells(adata: AnnData, key: str) -> NDArray[np.bool_]:
    """Cells where the perturbation acts: those whose perturbed genes changed, at most the strongest quarter.

    Raises
    ------
    InputError
        The perturbed genes changed nowhere.
    """
    targets = targets_of(result_of(adata, key))
    change = np.sum([np.abs(gene_values(adata, gene, f"{key}_delta")) for gene in targets], axis=0)
    change = np.where(perturbed_cells(adata, key), change, 0.0)
    if not change.any():
        raise InputError(f"the perturbed genes {', '.join(targets)} did not change in any cell")
    if np.count_nonzero(change) <= max(1, len(change) // 4):
        return np.asarray(change > 0)
    return np.asarray(change >= np.quantile(change, 0.75)) & (change > 0)


def _distance_to(
    xy: NDArray[np.float64], sources: NDArray[np.bool_], samples: NDArray[np.str_] | None
) -> NDArray[np.float64]:
    """Distance to the nearest source of the same section, infinite in sections without one."""
    from scipy.spatial import cKDTree

    distance = np.full(len(xy), np.inf)
    groups = (
        np.zeros(len(xy), dtype=np.int64) if samples is None else np.unique(samples, return_inverse=True)[1]
    )
    for group in np.unique(groups):
        here = groups == group
        if (here & sources).any():
            distance[here] = cKDTree(xy[here & sources]).query(xy[here])[0]
    return distance


def _mean_absolute_change(adata: AnnData, key: str, targets: dict[str, float]) -> NDArray[np.float64]:
    """Per cell, the mean of |change| over the genes that change in any cell, without the perturbed genes."""
    delta = adata.layers[f"{key}_delta"]
    size = np.asarray(
        abs(delta).max(axis=0).todense() if hasattr(delta, "indptr") else np.abs(delta).max(axis=0)
    ).ravel()
    moving = np.flatnonzero((size > 0) & ~adata.var_names.isin(list(targets)))
    if moving.size == 0:
        raise InputError(f"the perturbation {key!r} changes no gene but the perturbed ones")
    return np.asarray(abs(delta[:, moving]).mean(axis=1), dtype=np.float64).ravel()


def _curve(
    ax: Axes,
    distance: NDArray[np.float64],
    values: NDArray[np.float64],
    color: str,
    label: str,
    *,
    italic: bool,
) -> None:
    near = np.isfinite(distance)
    distance, values = distance[near], values[near]
    if not italic:
        ax.scatter(
            distance,
            values,
            s=5,
            color=color,
            alpha=0.25,
            linewidths=0,
            rasterized=len(values) > _style.RASTER_ABOVE,
        )
    edges = np.linspace(0.0, max(float(distance.max()), 1e-12), _BINS + 1)
    ring = np.where(distance > 0, np.clip(np.digitize(distance, edges, right=True), 1, _BINS), 0)
    rows = []
    for number in range(_BINS + 1):
        inside = values[ring == number]
        if inside.size >= _LEAST_CELLS:
            center = 0.0 if number == 0 else float(distance[ring == number].mean())
            rows.append((center, inside.mean(), *np.quantile(inside, (0.25, 0.75))))
    if rows:
        x, mean, low, high = np.array(rows).T
        ax.fill_between(x, low, high, color=color, alpha=0.18, linewidth=0)
        ax.plot(x, mean, color=color, lw=2.0, marker="o", ms=4, label=label)


def _in_turn(mean: NDArray[np.float64], n: int) -> list[int]:
    """Genes with the largest |mean| of each group, one per group in turn, until there are `n`."""
    order = np.argsort(-np.abs(mean), axis=1, kind="stable")
    chosen: dict[int, None] = {}
    for rank in range(mean.shape[1]):
        for group in range(mean.shape[0]):
            gene = int(order[group, rank])
            if mean[group, gene] != 0 and len(chosen) < n:
                chosen.setdefault(gene)
        if len(chosen) >= n:
            break
    return list(chosen)


def _dot_legend(ax: Axes, points: object, limit: float) -> None:
    from matplotlib.lines import Line2D

    place = ax.inset_axes((1.02, 0.0, 0.012, 0.45))
    bar = ax.figure.colorbar(points, cax=place)  # type: ignore[arg-type, unused-ignore]
    bar.set_label(f"mean change{_style.RELATIVE}")
    bar.outline.set_visible(False)  # type: ignore[operator, unused-ignore]
    bar.set_ticks([-limit, 0, limit], labels=[f"{-limit:.2g}", "0", f"{limit:.2g}"])
    bar.ax.tick_params(length=2.5, width=0.6)
    sizes = [
        Line2D(
            [],
            [],
            marker="o",
            ls="",
            ms=float(np.sqrt(12 + 110 * part)),
            mfc="#BBBBBB",
            mec="#9A9A9A",
            mew=0.35,
            label=f"{part:.0%}",
        )
        for part in (0.1, 0.5, 1.0)
    ]
    ax.legend(
        handles=sizes,
        title=f"cells that change\nby more than {limit / _VISIBLE:.1g}",
        loc="upper left",
        bbox_to_anchor=(1.01, 1.06),
        title_fontsize=9,
        labelspacing=0.6,
        borderaxespad=0.0,
    )
