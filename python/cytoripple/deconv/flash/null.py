"""Center and spread of scores when most spots are ordinary and some are not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from cytoripple._errors import SettingsError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Null:
    """Normal distribution of the scores of ordinary spots."""

    method: str
    center: float
    scale: float


def empirical_null(z: Floats, method: str = "auto") -> Null:
    """Fit the distribution of ordinary spots.

    Parameters
    ----------
    z
        Scores; unusual spots have large ones.
    method
        ``"left_half"``: median, and median minus 16th percentile. ``"central"``: mode of the smoothed
        histogram and its curvature there. ``"auto"``: of the two the one with the smaller spread.

    Raises
    ------
    SettingsError
        Unknown method.
    """
    if method not in ("auto", "left_half", "central"):
        raise SettingsError(f"method is {method!r}: choose 'auto', 'left_half', 'central'")
    left = _left_half(z)
    if method == "left_half":
        return left
    central = _central(z)
    if central is None:
        return left
    if method == "central":
        return central
    return central if central.scale < left.scale else left


def _left_half(z: Floats) -> Null:
    median, low = np.quantile(z, [0.5, 0.16])
    return Null("left_half", float(median), float(max(median - low, 1e-9)))


def _central(z: Floats, drop: float = 1.0) -> Null | None:
    """Log density is a parabola near its top: fit where the density is above ``exp(-drop)`` of it."""
    low, high = np.quantile(z, [0.001, 0.999])
    inside = z[(z >= low) & (z <= high)]
    quartiles = np.quantile(z, [0.25, 0.75])
    if inside.size < 10 or quartiles[1] <= quartiles[0]:
        return None
    n_bins = int(np.clip(z.size / 100, 30, 400))
    count, edges = np.histogram(inside, bins=n_bins, range=(low, high))
    width = edges[1] - edges[0]
    middle = (edges[1:] + edges[:-1]) / 2
    bandwidth = max(0.1 * (quartiles[1] - quartiles[0]) / 1.349, width)
    density = gaussian_filter1d(count.astype(np.float64), bandwidth / width, mode="constant")
    peak = int(density.argmax())
    near = density >= np.exp(-drop) * density[peak]
    first = last = peak
    while first > 0 and near[first - 1]:
        first -= 1
    while last < n_bins - 1 and near[last + 1]:
        last += 1
    window = slice(first, last + 1)
    if last - first < 3:
        return None
    top = density[window]
    curve, slope, _ = np.polyfit(middle[window], np.log(top), 2, w=np.sqrt(top))
    if curve >= 0:
        return None
    variance = -0.5 / curve - bandwidth**2
    if variance <= 0:
        return None
    return Null("central", float(-0.5 * slope / curve), float(np.sqrt(variance)))
