"""Small pictures as inline SVG, so that a report needs neither a plotting package nor a network."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

from cytoripple._modulators import MODULATOR_COLORS

# Okabe and Ito's colors for all forms of color vision, then evenly turned hues.
_COLORS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#b8a800", "#555555")
_MOST_POINTS = 6000


def color(position: int) -> str:
    """Color of the cluster at `position`."""
    if position < len(_COLORS):
        return _COLORS[position]
    return f"hsl({(position * 137) % 360} 55% {42 + 12 * (position % 3)}%)"


def cluster_map(xy: NDArray[np.float64], clusters: NDArray[np.int64], labels: Sequence[str]) -> str:
    """Cells at their places, colored by cluster, with a legend; evenly thinned above 6,000 cells."""
    size, edge = 520.0, 8.0
    step = max(1, -(-len(xy) // _MOST_POINTS))
    points, groups = xy[::step, :2], clusters[::step]
    low = points.min(axis=0)
    span = np.maximum(points.max(axis=0) - low, 1e-12)
    scale = (size - 2 * edge) / float(span.max())
    width, height = span * scale + 2 * edge
    places = (points - low) * scale + edge
    places[:, 1] = height - places[:, 1]
    radius = float(np.clip(0.38 * np.sqrt(width * height / max(len(points), 1)), 0.8, 6.0))
    present = np.unique(groups).tolist()
    paths = []
    for position, cluster in enumerate(present):
        dots = "".join(f"M{x:.1f} {y:.1f}h0" for x, y in places[groups == cluster])
        paths.append(
            f'<path d="{dots}" stroke="{color(position)}"><title>{escape(labels[cluster])}</title></path>'
        )
    legend = "".join(
        f'<li><i style="background:{color(position)}"></i>{escape(labels[cluster])} '
        f"<small>{int((clusters == cluster).sum())}</small></li>"
        for position, cluster in enumerate(present)
    )
    return (
        f'<svg viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="map of the clusters" '
        f'fill="none" stroke-linecap="round" stroke-width="{2 * radius:.1f}">{"".join(paths)}</svg>'
        f'<ul class="legend">{legend}</ul>'
    )


def histogram(values: NDArray[np.float64], title: str, *, low: float = -0.2, high: float = 1.0) -> str:
    """Distribution with its median; values outside the axis are counted in the outermost bars."""
    finite = values[np.isfinite(values)]
    if len(finite) == 0:
        return f"<p class='none'>{escape(title)}: not available</p>"
    width, height, floor = 420.0, 170.0, 140.0
    edges = np.linspace(low, high, 31)
    counts, _ = np.histogram(np.clip(finite, low, high), edges)

    def place(value: float) -> float:
        return 20 + (min(max(value, low), high) - low) / (high - low) * (width - 40)

    bar = (width - 40) / len(counts)
    bars = "".join(
        f'<rect x="{20 + position * bar:.1f}" y="{floor - 120 * count / counts.max():.1f}" '
        f'width="{bar - 1:.1f}" height="{120 * count / counts.max():.1f}"><title>{edges[position]:.2f} to '
        f"{edges[position + 1]:.2f}: {count}</title></rect>"
        for position, count in enumerate(counts.tolist())
    )
    ticks = "".join(
        f'<text x="{place(tick):.1f}" y="{floor + 16}" text-anchor="middle">{tick:g}</text>'
        for tick in np.linspace(low, high, 7).round(2).tolist()
    )
    median = float(np.median(finite))
    middle = place(median)
    anchor = "end" if middle > width / 2 else "start"
    shift = -5 if anchor == "end" else 5
    return (
        f'<figure><figcaption>{escape(title)}</figcaption><svg viewBox="0 0 {width:.0f} {height:.0f}" '
        f'role="img" aria-label="{escape(title)}"><g class="bars">{bars}</g>'
        f'<path class="axis" d="M20 {floor}H{width - 20}"/>'
        f'<path class="median" d="M{middle:.1f} {floor}V12"/><text x="{middle + shift:.1f}" y="20" '
        f'text-anchor="{anchor}">median {median:.3f} of {len(finite)}</text>{ticks}</svg></figure>'
    )


def bar_chart(names: Sequence[str], values: Sequence[float], kinds: Sequence[str]) -> str:
    """Horizontal bars, one per name, colored by kind."""
    row, left, width = 19, 170, 520
    largest = max(values)
    bars = []
    for position, (name, value, kind) in enumerate(zip(names, values, kinds, strict=True)):
        y = position * row
        length = (width - left - 60) * value / largest
        bars.append(
            f'<text x="{left - 6}" y="{y + 13}" text-anchor="end">{escape(name)}</text>'
            f'<rect x="{left}" y="{y + 2}" width="{length:.1f}" height="{row - 4}" '
            f'fill="{MODULATOR_COLORS[kind]}"><title>{escape(kind)}</title></rect>'
            f'<text x="{left + length + 5:.1f}" y="{y + 13}">{value:.3g}</text>'
        )
    legend = "".join(
        f'<li><i style="background:{shade}"></i>{kind}</li>'
        for kind, shade in MODULATOR_COLORS.items()
        if kind in kinds
    )
    return (
        f'<svg viewBox="0 0 {width} {row * len(names)}" role="img" aria-label="strongest modulators">'
        f'{"".join(bars)}</svg><ul class="legend">{legend}</ul>'
    )
