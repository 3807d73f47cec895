"""Look of all pictures: colors safe for color-blind readers, marker sizes, scale bars, saving."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cytoripple._errors import InputError
from cytoripple._optional import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

# Okabe and Ito (2008) without black and with the light yellow last, then shades of Tol (2021).
CATEGORIES = (
    "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442",
    "#332288", "#999933", "#882255", "#44AA99", "#DDCC77", "#AA4499", "#117733",
    "#88CCEE", "#661100", "#6699CC", "#AA4466", "#4477AA", "#BBCC33",
)  # fmt: skip
NO_LABEL = "#CFCFCF"
DOWN, NEUTRAL, UP = "#2166AC", "#EDEDED", "#B2182B"
INK, FAINT = "#262626", "#8A8A8A"
RASTER_ABOVE = 20_000
RELATIVE = " (relative)"
"""Mark of a predicted change, whose size is comparable between genes and cells but too small."""

_NOT_LABELS = frozenset({"", "na", "nan", "none", "unassigned", "undetermined", "unknown", "unlabeled"})
_RC = {
    "font.size": 10.0,
    "axes.titlesize": 12.0,
    "axes.titleweight": "regular",
    "axes.labelsize": 10.0,
    "axes.edgecolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlepad": 10.0,
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 9.0,
    "ytick.labelsize": 9.0,
    "legend.fontsize": 9.0,
    "legend.frameon": False,
    "mathtext.fontset": "dejavusans",
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
}


@contextmanager
def style() -> Iterator[None]:
    """Change settings of matplotlib while a picture is drawn; the user's settings come back afterwards."""
    matplotlib = require("matplotlib", extra="plot", purpose="drawing")
    with matplotlib.rc_context(_RC):
        yield


def axes(ax: Axes | None, size: tuple[float, float]) -> Axes:
    """Return the given axes, or those of a new figure of `size` inches."""
    if ax is not None:
        return ax
    plt = require("matplotlib.pyplot", extra="plot", purpose="drawing")
    made: Axes = plt.subplots(figsize=size, layout="constrained")[1]
    return made


def _figure(ax: Axes) -> Figure:
    figure = ax.get_figure(root=True)
    if figure is None:
        raise InputError("ax belongs to no figure: take axes from plt.subplots()")
    return figure


def save_figure(ax: Axes, path: str | Path | None) -> None:
    """Write the figure of the axes under a temporary name, then rename it: no half picture is left."""
    if path is None:
        return
    from cytoripple._provenance import atomic_path

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = path.suffix.removeprefix(".") or "png"
    with atomic_path(path) as temporary:
        _figure(ax).savefig(temporary, format=kind, dpi=200, bbox_inches="tight", pad_inches=0.08)


def gene(name: str) -> str:
    """Gene name as mathtext in italics, for titles that mix it with upright text."""
    return " ".join(_italic(part) for part in name.split(" "))


def _italic(part: str) -> str:
    escaped = "".join(f"\\{sign}" if sign in "_$%#&{}^" else sign for sign in part)
    # In math mode a hyphen would be drawn as a wide minus sign.
    return "$\\mathit{" + escaped.replace("-", "}$-$\\mathit{") + "}$"


def words(name: str) -> str:
    """Column name as a title: "cell_type" becomes "Cell type"."""
    text = name.replace("_", " ").strip()
    return text[:1].upper() + text[1:]


def category_colors(labels: Sequence[str], given: Sequence[str] | None = None) -> dict[str, str]:
    """One color per label, in the order of the labels; labels that say "no label" are gray."""
    if given is not None and len(given) >= len(labels):
        return dict(zip(labels, given, strict=False))
    colors: dict[str, str] = {}
    used = 0
    for label in labels:
        if label.strip().casefold() in _NOT_LABELS:
            colors[label] = NO_LABEL
            continue
        colors[label] = CATEGORIES[used] if used < len(CATEGORIES) else _spread_color(used)
        used += 1
    return colors


def _spread_color(index: int) -> str:
    """Color number `index` of an endless sequence: golden-ratio steps in hue, three levels of lightness."""
    from matplotlib.colors import hsv_to_rgb, to_hex

    hue = (index * 0.618033988749895) % 1.0
    level = ((0.75, 0.85), (0.45, 0.95), (0.90, 0.55))[index % 3]
    red, green, blue = hsv_to_rgb((hue, *level))
    return str(to_hex((float(red), float(green), float(blue))))


def diverging() -> Colormap:
    """Blue for less, red for more, light gray (visible on white paper) for no change."""
    from matplotlib.colors import LinearSegmentedColormap

    stops = ["#0B3C6F", DOWN, "#7FB2D5", NEUTRAL, "#EE9D7E", UP, "#690018"]
    return LinearSegmentedColormap.from_list("cytoripple_delta", stops)


def robust_limit(values: NDArray[np.float64], quantile: float = 0.99) -> float:
    """Symmetric color limit: the quantile of the absolute non-zero values, 1 when all are zero."""
    size = np.abs(values[np.isfinite(values) & (values != 0)])
    return float(np.quantile(size, quantile)) if size.size else 1.0


def typical_spacing(xy: NDArray[np.float64]) -> float:
    """Median distance from a cell to its nearest other place; the extent over sqrt(n) for one place."""
    from scipy.spatial import cKDTree

    places = np.unique(xy, axis=0)
    if len(places) < 2:
        return 1.0
    return float(np.median(np.asarray(cKDTree(places).query(places, k=2)[0])[:, 1]))


def frame(ax: Axes, xy: NDArray[np.float64]) -> None:
    """Show all cells with the same scale on both axes, y downward as in an image, without ticks."""
    low, high = xy.min(axis=0), xy.max(axis=0)
    pad = 0.03 * max(float((high - low).max()), 1e-12) + 0.5 * typical_spacing(xy)
    ax.set_xlim(low[0] - pad, high[0] + pad)
    ax.set_ylim(high[1] + pad, low[1] - pad)
    ax.set_aspect("equal")
    ax.set_xticks([])
    ax.set_yticks([])
    for side in ax.spines.values():
        side.set_visible(False)


def figure_size(xy: NDArray[np.float64], *, side: float = 4.6, legend: float = 1.7) -> tuple[float, float]:
    """Inches for a tissue of this shape plus a legend at the right."""
    span = np.maximum(np.ptp(xy, axis=0), 1e-12)
    ratio = float(np.clip(span[1] / span[0], 0.35, 2.2))
    width, height = (side, side * ratio) if ratio <= 1 else (side / ratio, side)
    return width + legend, height + 0.7


def marker_size(ax: Axes, xy: NDArray[np.float64]) -> float:
    """Area in points squared that lets neighboring cells just touch, within readable limits."""
    box = ax.get_position()
    width, height = _figure(ax).get_size_inches() * 72.0
    span = np.maximum(np.abs([np.diff(ax.get_xlim())[0], np.diff(ax.get_ylim())[0]]), 1e-12)
    points_per_unit = min(box.width * width / span[0], box.height * height / span[1])
    diameter = float(np.clip(0.86 * typical_spacing(xy) * points_per_unit, 1.2, 16.0))
    return diameter**2


def scale_bar(ax: Axes, unit: str, per_unit: float = 1.0) -> None:
    """Bar of a round length below the tissue at the left, labeled with its length.

    `per_unit` is the length of one unit of the coordinates in `unit`.
    """
    from matplotlib.transforms import blended_transform_factory, offset_copy

    left, right = sorted(ax.get_xlim())
    told = _round_length(0.2 * (right - left) * per_unit)
    start, length = left + 0.03 * (right - left), told / per_unit
    below = blended_transform_factory(ax.transData, ax.transAxes)
    bar = offset_copy(below, _figure(ax), y=-4, units="points")
    text = offset_copy(below, _figure(ax), y=-8, units="points")
    ax.plot([start, start + length], [0, 0], transform=bar, color=INK, lw=2.2, clip_on=False,
            solid_capstyle="butt", label="_scale_bar")  # fmt: skip
    ax.text(start + length / 2, 0, f"{told:g} {unit}", transform=text, ha="center", va="top", fontsize=8.5)


def _round_length(length: float) -> float:
    """Largest of 1, 2, 5 times a power of ten that is not above `length`."""
    power = 10.0 ** np.floor(np.log10(length))
    return float(max(step * power for step in (1, 2, 5) if step * power <= length * (1 + 1e-9)))


def color_bar(ax: Axes, artist: Any, label: str, *, extend: str = "neither") -> Any:
    """Slim color bar at the right, as tall as a part of the map whatever the map's shape."""
    place = ax.inset_axes((1.03, 0.18, 0.028, 0.64))
    bar = ax.figure.colorbar(artist, cax=place, extend=extend)
    bar.set_label(label)
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=2.5, width=0.6)
    return bar
