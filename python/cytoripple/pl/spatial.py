"""Maps of a tissue: labels, values, and the change a perturbation makes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cytoripple.pl import _style
from cytoripple.pl._values import (
    coordinates,
    gene_values,
    labels_or_values,
    length_unit,
    perturbation_title,
    perturbed_cells,
    result_of,
)

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes

_LEGEND_ROWS = 16


def spatial(
    adata: AnnData,
    color: str,
    *,
    layer: str | None = None,
    title: str | None = None,
    palette: Sequence[str] | None = None,
    cmap: str = "viridis",
    unit: str | None = None,
    spatial_key: str | None = None,
    ax: Axes | None = None,
    save: str | Path | None = None,
) -> Axes:
    """Draw the tissue, one point per cell, colored by a label or a value.

    Parameters
    ----------
    adata
        Tissue with coordinates in ``obsm``.
    color
        Column of ``obs`` (text and categories get a legend, numbers a color bar) or a gene.
    layer
        Layer of the gene; ``None`` is ``X``.
    title
        Text above the map; the default names `color`.
    palette
        One color per category. Default: ``uns[color + "_colors"]`` when present, else a palette that
        color-blind readers can tell apart.
    cmap
        Color map of values; the scale ends at the 99th percentile.
    unit
        Unit of the coordinates at the scale bar; the default looks in ``uns["spatial_units"]``.
    spatial_key
        Key in ``obsm``; the default is the first of ``spatial``, ``X_spatial``, ``spatial_loc``.
    ax, save
        Axes to draw on, file to write (under a temporary name, then renamed).

    Returns
    -------
    The axes.

    Raises
    ------
    InputError
        `color` is neither a column of ``obs`` nor a gene, or the layer is missing.
    CoordinatesError
        No coordinates are found.

    Examples
    --------
    >>> ax = ct.pl.spatial(adata, "cell_type", save="cell_types.png")  # doctest: +SKIP
    """
    xy = coordinates(adata, spatial_key)
    values, is_gene = labels_or_values(adata, color, layer)
    named = _style.gene(color) if is_gene else _style.words(color)
    with _style.style():
        ax = _style.axes(ax, _style.figure_size(xy))
        _style.frame(ax, xy)
        if isinstance(values, np.ndarray):
            label = f"expression ({layer or 'X'})" if is_gene else named
            _draw_values(ax, xy, values, cmap, label)
        else:
            _draw_labels(ax, xy, values, palette if palette is not None else _stored_palette(adata, color))
        ax.set_title(named if title is None else title)
        _style.scale_bar(ax, *(length_unit(adata) if unit is None else (unit, 1.0)))
        _style.save_figure(ax, save)
    return ax


def delta_map(
    adata: AnnData,
    gene: str,
    *,
    key: str = "perturbation",
    limit: float | None = None,
    title: str | None = None,
    unit: str | None = None,
    spatial_key: str | None = None,
    ax: Axes | None = None,
    save: str | Path | None = None,
) -> Axes:
    """Map the change of one gene after a perturbation.

    Blue cells lose expression, red cells gain it, gray cells do not change. The scale is symmetric and
    ends at the 99th percentile of the change, so that a few extreme cells do not fade the others;
    pointed ends of the color bar say that some cells lie beyond. Perturbed cells are outlined when they
    are only a part of the tissue.

    Parameters
    ----------
    adata
        Tissue with the result of :func:`cytoripple.tl.perturb`.
    gene
        Gene to show.
    key
        Name of the result (``key_added`` of the perturbation).
    limit
        End of the color scale, to put several maps on one scale.
    title, unit, spatial_key, ax, save
        As in :func:`spatial`.

    Returns
    -------
    The axes.

    Raises
    ------
    InputError
        There is no such result, or no such gene (the nearest names are given).

    Examples
    --------
    >>> ax = ct.pl.delta_map(adata, "Wnt5a", key="perturbation")  # doctest: +SKIP
    """
    record = result_of(adata, key)
    delta = gene_values(adata, gene, f"{key}_delta")
    xy, scope = coordinates(adata, spatial_key), perturbed_cells(adata, key)
    top = _style.robust_limit(delta) if limit is None else limit
    with _style.style():
        ax = _style.axes(ax, _style.figure_size(xy, legend=1.3))
        _style.frame(ax, xy)
        order = np.argsort(np.abs(delta), kind="stable")  # the largest changes on top
        points = ax.scatter(
            xy[order, 0],
            xy[order, 1],
            c=delta[order],
            cmap=_style.diverging(),
            vmin=-top,
            vmax=top,
            linewidths=0,
            s=_style.marker_size(ax, xy),
            rasterized=len(xy) > _style.RASTER_ABOVE,
        )
        if 0 < scope.sum() < len(xy):
            _outline(ax, xy[scope], xy)
        beyond = bool((np.abs(delta) > top * (1 + 1e-9)).any())
        unit_text = f"change of {record.get('layer') or 'X'}{_style.RELATIVE}"
        _style.color_bar(ax, points, unit_text, extend="both" if beyond else "neither")
        told = f"{_style.gene(gene)} after {perturbation_title(record)}"
        ax.set_title(told if title is None else title)
        _style.scale_bar(ax, *(length_unit(adata) if unit is None else (unit, 1.0)))
        _style.save_figure(ax, save)
    return ax


def _draw_labels(
    ax: Axes, xy: NDArray[np.float64], labels: pd.Categorical[str], palette: Sequence[str] | None
) -> None:
    from matplotlib.lines import Line2D

    names = [str(name) for name in labels.categories]
    colors = _style.category_colors(names, palette)
    size = _style.marker_size(ax, xy)
    ax.scatter(
        xy[:, 0],
        xy[:, 1],
        c=[colors[names[code]] for code in labels.codes],
        s=size,
        linewidths=0,
        rasterized=len(xy) > _style.RASTER_ABOVE,
    )
    entries = [
        Line2D([], [], marker="o", ls="", ms=7, mew=0, color=colors[name], label=name.replace("_", " "))
        for name in names
    ]
    ax.legend(
        handles=entries,
        loc="center left",
        bbox_to_anchor=(1.0, 0.5),
        handletextpad=0.1,
        borderaxespad=0.2,
        ncols=-(-len(names) // _LEGEND_ROWS),
        columnspacing=1.0,
    )


def _draw_values(
    ax: Axes, xy: NDArray[np.float64], values: NDArray[np.float64], cmap: str, label: str
) -> None:
    from matplotlib.colors import Normalize

    finite = values[np.isfinite(values)]
    low, top = (float(finite.min()), float(np.quantile(finite, 0.99))) if finite.size else (0.0, 1.0)
    high = float(finite.max()) if finite.size else 1.0
    top = top if top > low else high
    order = np.argsort(np.nan_to_num(values, nan=-np.inf), kind="stable")
    points = ax.scatter(
        xy[order, 0],
        xy[order, 1],
        c=values[order],
        cmap=cmap,
        norm=Normalize(low, top if top > low else low + 1.0),
        s=_style.marker_size(ax, xy),
        linewidths=0,
        rasterized=len(xy) > _style.RASTER_ABOVE,
        plotnonfinite=False,
    )
    _style.color_bar(ax, points, label, extend="max" if high > top else "neither")


def _outline(ax: Axes, xy: NDArray[np.float64], around: NDArray[np.float64]) -> None:
    from matplotlib.lines import Line2D

    size = _style.marker_size(ax, around)
    width = float(np.clip(0.07 * np.sqrt(size), 0.2, 0.8))
    ax.scatter(
        xy[:, 0],
        xy[:, 1],
        s=1.25 * size,  # around the dot, so that it shows on dark colors too
        facecolors="none",
        edgecolors=_style.INK,
        linewidths=width,
        label="perturbed cells",
        rasterized=len(xy) > _style.RASTER_ABOVE,
    )
    entry = Line2D(
        [], [], marker="o", ls="", ms=7, mfc="none", mec=_style.INK, mew=0.8, label="perturbed cells"
    )
    ax.legend(
        handles=[entry], loc="upper right", bbox_to_anchor=(1.0, 0.0), handletextpad=0.1, borderaxespad=0.1
    )


def _stored_palette(adata: AnnData, color: str) -> Sequence[str] | None:
    stored = adata.uns.get(f"{color}_colors")
    return None if stored is None else [str(value) for value in stored]
