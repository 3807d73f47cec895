"""Maps of very many spots as images: what a pixel shows is computed here, matplotlib only places it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
PIXELS = 900
"""Most pixels along the longer side."""


@dataclass(frozen=True, eq=False)
class Raster:
    """Pixel of every spot.

    Parameters
    ----------
    pixel
        Position of each spot's pixel in the flattened image.
    shape
        Rows and columns.
    extent
        Left, right, bottom, top in coordinates, y downward, as ``imshow`` takes it.
    """

    pixel: NDArray[np.int64]
    shape: tuple[int, int]
    extent: tuple[float, float, float, float]

    def mean(self, values: Floats) -> NDArray[np.float64]:
        """Mean of the finite values in each pixel, NaN where there are none."""
        known = np.isfinite(values)
        size = self.shape[0] * self.shape[1]
        count = np.bincount(self.pixel[known], minlength=size)
        total = np.bincount(self.pixel[known], weights=values[known], minlength=size)
        with np.errstate(invalid="ignore"):
            return np.asarray((total / count).reshape(self.shape))

    def colors(self, codes: NDArray[np.int64], colors: Floats) -> Floats:
        """Color of the most frequent label in each pixel, transparent where there is none; -1 is no label."""
        size, known = self.shape[0] * self.shape[1], codes >= 0
        pair = self.pixel[known] * len(colors) + codes[known]
        found, count = np.unique(pair, return_counts=True)
        order = np.argsort(count, kind="stable")  # the most frequent is written last
        image = np.zeros((size, 4))
        image[found[order] // len(colors), :3] = colors[found[order] % len(colors)]
        image[found // len(colors), 3] = 1.0
        return image.reshape(*self.shape, 4)


def raster(xy: Floats, pixels: int = PIXELS) -> Raster:
    """Lay a grid of square pixels over the spots, none smaller than what holds one spot on average."""
    low, span = xy.min(axis=0), np.maximum(np.ptp(xy, axis=0), 1e-12)
    step = max(float(span.max()) / pixels, float(np.sqrt(span[0] * span[1] / len(xy))))
    columns, rows = (int(size) for size in np.floor(span / step) + 1)
    place = np.minimum(((xy - low) / step).astype(np.int64), [columns - 1, rows - 1])
    left, top = low
    return Raster(
        pixel=place[:, 1] * columns + place[:, 0],
        shape=(rows, columns),
        extent=(left, left + columns * step, top + rows * step, top),
    )
