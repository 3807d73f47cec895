"""Maps of deconvolved spots: pies, one map per type, the dominant type, what is uncertain."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from cytoripple._errors import InputError, did_you_mean
from cytoripple._optional import require
from cytoripple.pl import _style
from cytoripple.pl._raster import raster
from cytoripple.pl._values import coordinates, length_unit
from cytoripple.pp.dominant import proportions_of

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes

Kind = Literal["auto", "pies", "types", "dominant", "uncertainty"]
MOST_PIES = 2000
_LEGEND_ROWS = 16
_SLIVER = 0.005
"""Smallest share that gets a slice."""


def proportions(
    adata: AnnData,
    *,
    key: str = "deconvolution",
    kind: Kind = "auto",
    types: Sequence[str] | None = None,
    title: str | None = None,
    palette: Sequence[str] | None = None,
    cmap: str = "viridis",
    unit: str | None = None,
    spatial_key: str | None = None,
    ax: Axes | None = None,
    save: str | Path | None = None,
) -> Axes | NDArray[Any]:
    """Map the proportions of cell types.

    More than 20,000 spots are drawn as an image: a pixel shows the mean of its spots, or their most frequent
    dominant type. Spots without proportions are left blank.

    Parameters
    ----------
    adata
        Spots with the result of `cytoripple.tl.deconvolve`.
    key
        Name of the result.
    kind
        ``"pies"``, a pie per spot (at most 2,000 spots); ``"types"``, a map per type on scales of their own;
        ``"dominant"``, the type with the largest share; ``"uncertainty"``, the largest standard deviation
        among the shares of a spot if its molecules were drawn again (needs ``stability=True`` of the
        deconvolution; errors of the reference are larger and not in it). ``"auto"`` draws pies where they
        can be read, else the dominant type.
    types
        Types to show, in this order; the default is all, the most abundant first. Pies show the others
        together in gray.
    title
        Text above the picture; not used by ``"types"``.
    palette
        One color per type.
    cmap
        Color map of shares; each scale ends at the 99th percentile.
    unit, spatial_key, ax, save
        As in `cytoripple.pl.spatial`; `ax` cannot be given with ``"types"``.

    Returns
    -------
    The axes, or an array of axes for ``"types"``.

    Raises
    ------
    InputError
        There is no such result or type, or `kind` cannot be drawn.
    CoordinatesError
        No coordinates are found.

    Examples
    --------
    >>> ct.pl.proportions(spots, kind="types", save="types.png")  # doctest: +SKIP
    """
    if kind not in ("auto", "pies", "types", "dominant", "uncertainty"):
        raise InputError(f"kind is {kind!r}: give 'auto', 'pies', 'types', 'dominant' or 'uncertainty'")
    table = proportions_of(adata, key)
    names = _chosen(table, types)
    xy = coordinates(adata, spatial_key)
    if kind == "auto":
        kind = "pies" if len(xy) <= MOST_PIES else "dominant"
    if kind == "pies" and len(xy) > MOST_PIES:
        raise InputError(f"{len(xy):,} pies cannot be read (at most {MOST_PIES:,}): take kind='dominant'")
    if kind == "types" and ax is not None:
        raise InputError("kind='types' draws several maps: it makes its own axes, leave ax out")
    spread = _uncertainty(adata, key) if kind == "uncertainty" else None
    told = length_unit(adata) if unit is None else (unit, 1.0)
    with _style.style():
        if kind == "types":
            panels = _type_maps(xy, table, names, cmap)
            _style.scale_bar(panels.flat[0], *told)
            _style.save_figure(panels.flat[0], save)
            return panels
        rows = min(len(names), _LEGEND_ROWS)
        legend = 1.3 if spread is not None else 1.9 * -(-len(names) // rows)
        ax = _style.axes(ax, _style.figure_size(xy, side=5.4, legend=legend))
        _frame(ax, xy)
        if spread is not None:
            _color_bar(ax, _values(ax, xy, spread, cmap), "largest standard deviation of a share", spread)
        else:
            colors = _style.category_colors(names, palette)
            draw = _pies if kind == "pies" else _dominant
            draw(ax, xy, table, colors)
        _style.scale_bar(ax, *told)
        usual = {"pies": "Cell types", "dominant": "Dominant type", "uncertainty": "Sampling stability"}
        ax.set_title(usual[kind] if title is None else title)
        _style.save_figure(ax, save)
    return ax


def _chosen(table: pd.DataFrame, types: Sequence[str] | None) -> list[str]:
    """Types to show: the given ones, else all by falling abundance."""
    known = [str(name) for name in table.columns]
    if types is None:
        mean = np.nan_to_num(np.nanmean(table.to_numpy(dtype=np.float64), axis=0))
        return [known[at] for at in np.argsort(-mean, kind="stable")]
    for name in types:
        if name not in known:
            raise InputError(f"{name!r} is not among the types{did_you_mean(name, known)}")
    if not len(types):
        raise InputError("types is empty: name at least one")
    return list(types)


def _uncertainty(adata: AnnData, key: str) -> NDArray[np.float64]:
    if f"{key}_stability" not in adata.obsm:
        raise InputError(
            f"obsm has no {f'{key}_stability'!r}: run cytoripple.tl.deconvolve(..., stability=True)"
        )
    values = np.asarray(adata.obsm[f"{key}_stability"], dtype=np.float64)
    empty = np.isnan(values).all(axis=1)
    out = np.full(len(values), np.nan)
    out[~empty] = np.nanmax(values[~empty], axis=1)
    return out


def _frame(ax: Axes, xy: NDArray[np.float64]) -> None:
    """Like the frame of other maps; of very many spots a sample tells the spacing."""
    many = len(xy) > _style.RASTER_ABOVE
    _style.frame(ax, np.vstack([xy[:: len(xy) // 5000], xy.min(axis=0), xy.max(axis=0)]) if many else xy)


def _values(ax: Axes, xy: NDArray[np.float64], values: NDArray[np.float64], cmap: str) -> Any:
    """Draw one value per spot, up to the 99th percentile."""
    known = values[np.isfinite(values)]
    top = float(np.quantile(known, 0.99)) if known.size else 1.0
    top = top if top > 0 else max(float(known.max(initial=0.0)), 1e-6)
    if len(xy) > _style.RASTER_ABOVE:
        grid = raster(xy)
        image = grid.mean(values)
        shown = ax.imshow(image, extent=grid.extent, cmap=cmap, vmin=0.0, vmax=top, interpolation="nearest")
        _frame(ax, xy)  # an image sets limits of its own
        return shown
    order = np.argsort(np.nan_to_num(values, nan=-1.0), kind="stable")
    return ax.scatter(
        xy[order, 0], xy[order, 1], c=values[order], cmap=cmap, vmin=0.0, vmax=top, linewidths=0,
        s=_style.marker_size(ax, xy), plotnonfinite=False,
    )  # fmt: skip


def _color_bar(ax: Axes, artist: Any, label: str, values: NDArray[np.float64]) -> None:
    beyond = bool(np.nanmax(values, initial=0.0) > artist.get_clim()[1])
    _style.color_bar(ax, artist, label, extend="max" if beyond else "neither")


def _type_maps(xy: NDArray[np.float64], table: pd.DataFrame, names: list[str], cmap: str) -> NDArray[Any]:
    """Draw a map per type; panels that are left over are removed."""
    plt = require("matplotlib.pyplot", extra="plot", purpose="drawing")
    columns = min(5, len(names))
    rows = -(-len(names) // columns)
    width, height = _style.figure_size(xy, side=2.5, legend=0.75)
    size = (columns * width, rows * (height - 0.2))
    figure, panels = plt.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False)
    figure.get_layout_engine().set(wspace=0.06, hspace=0.04)
    for panel, name in zip(panels.flat, names, strict=False):
        _frame(panel, xy)
        share = table[name].to_numpy(dtype=np.float64)
        _color_bar(panel, _values(panel, xy, share, cmap), "", share)
        panel.set_title(name.replace("_", " "), fontsize=10)
    for panel in panels.flat[len(names) :]:
        panel.remove()
    return np.asarray(panels)


def _dominant(ax: Axes, xy: NDArray[np.float64], table: pd.DataFrame, colors: dict[str, str]) -> None:
    """Color every spot by the type with its largest share, among those shown."""
    from matplotlib.colors import to_rgb

    values = table[list(colors)].to_numpy(dtype=np.float64)
    empty = np.isnan(values).any(axis=1)
    codes = np.where(empty, -1, np.nan_to_num(values, nan=-1.0).argmax(axis=1)).astype(np.int64)
    palette = np.array([to_rgb(color) for color in colors.values()])
    if len(xy) > _style.RASTER_ABOVE:
        grid = raster(xy)
        ax.imshow(grid.colors(codes, palette), extent=grid.extent, interpolation="nearest")
        _frame(ax, xy)  # an image sets limits of its own
    else:
        known = codes >= 0
        ax.scatter(
            xy[known, 0], xy[known, 1], c=palette[codes[known]], s=_style.marker_size(ax, xy), linewidths=0
        )
    present = set(np.unique(codes).tolist())
    _legend(ax, {name: color for at, (name, color) in enumerate(colors.items()) if at in present})


def _pies(ax: Axes, xy: NDArray[np.float64], table: pd.DataFrame, colors: dict[str, str]) -> None:
    """Draw a pie per spot; types that are not shown make a gray slice."""
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Wedge

    shares = table[list(colors)].to_numpy(dtype=np.float64)
    radius = 0.47 * _style.typical_spacing(xy)
    slices: dict[str, list[Wedge]] = {color: [] for color in [*colors.values(), _style.NO_LABEL]}
    hues = [*colors.values(), _style.NO_LABEL]
    for place, row in zip(xy, shares, strict=True):
        if np.isnan(row).any():
            continue
        ends = np.append(np.cumsum(row), 1.0)
        starts = np.append(0.0, ends[:-1])
        for color, start, end in zip(hues, starts, ends, strict=True):
            if end - start > _SLIVER:
                slices[color].append(Wedge(tuple(place), radius, 90 - 360 * end, 90 - 360 * start))
    for color, wedges in slices.items():
        ax.add_collection(PatchCollection(wedges, facecolor=color, linewidths=0))
    others = {"other": _style.NO_LABEL} if slices[_style.NO_LABEL] and len(colors) < table.shape[1] else {}
    _legend(ax, colors | others)


def _legend(ax: Axes, colors: dict[str, str]) -> None:
    from matplotlib.lines import Line2D

    entries = [
        Line2D([], [], marker="o", ls="", ms=7, mew=0, color=color, label=name.replace("_", " "))
        for name, color in colors.items()
    ]
    ax.legend(
        handles=entries, loc="center left", bbox_to_anchor=(1.0, 0.5), handletextpad=0.1,
        borderaxespad=0.2, ncols=max(-(-len(entries) // _LEGEND_ROWS), 1), columnspacing=1.0,
    )  # fmt: skip
