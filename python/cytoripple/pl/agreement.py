"""Two sets of proportions against each other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cytoripple._errors import InputError, did_you_mean
from cytoripple._optional import require
from cytoripple.pl import _style
from cytoripple.pp.dominant import proportions_of

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes

_DOTS = 5000
"""Most spots that are drawn as dots; more are counted in hexagons."""


def compare_proportions(
    adata: AnnData,
    first: str,
    second: str | pd.DataFrame,
    *,
    types: Sequence[str] | None = None,
    labels: tuple[str, str] | None = None,
    save: str | Path | None = None,
) -> NDArray[Any]:
    """Compare two results, a panel per type that both have, with correlation and root mean square difference.

    Parameters
    ----------
    adata
        Spots with proportions in ``obsm``.
    first, second
        Names of the two results; `second` may be a data frame, spots x types, e.g. of another method.
    types
        Types to show; the default is all that both have, the most abundant in `first` at the front.
    labels
        Names of the axes; the default is the names of the results.
    save
        File to write (under a temporary name, then renamed).

    Returns
    -------
    Array of axes.

    Raises
    ------
    InputError
        There is no such result or type, the two have no type in common, or the spots differ.

    Examples
    --------
    >>> ct.pl.compare_proportions(spots, "deconvolution", "fast")  # doctest: +SKIP
    """
    mine = proportions_of(adata, first)
    other = proportions_of(adata, second) if isinstance(second, str) else second
    if not other.index.equals(mine.index):
        if not mine.index.isin(other.index).all():
            raise InputError("the rows of the second table are not the spots: index it by adata.obs_names")
        other = other.loc[mine.index]
    names = _shared(mine, other, types)
    given = labels or (first, second if isinstance(second, str) else "other")
    plt = require("matplotlib.pyplot", extra="plot", purpose="drawing")
    with _style.style():
        columns = min(5, len(names))
        rows = -(-len(names) // columns)
        size = (2.3 * columns + 0.3, 2.5 * rows + 0.2)
        figure, panels = plt.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False)
        for panel, name in zip(panels.flat, names, strict=False):
            _panel(panel, mine[name].to_numpy(dtype=np.float64), other[name].to_numpy(dtype=np.float64), name)
        for panel in panels.flat[len(names) :]:
            panel.remove()
        figure.supxlabel(given[0].replace("_", " "), fontsize=10)
        figure.supylabel(given[1].replace("_", " "), fontsize=10)
        _style.save_figure(panels.flat[0], save)
    return np.asarray(panels)


def _shared(mine: pd.DataFrame, other: pd.DataFrame, types: Sequence[str] | None) -> list[str]:
    both = [str(name) for name in mine.columns if name in other.columns]
    if not both:
        raise InputError(
            f"no type in common: {', '.join(map(str, mine.columns[:5]))} against "
            f"{', '.join(map(str, other.columns[:5]))}"
        )
    if types is None:
        mean = mine[both].mean().fillna(0.0).to_numpy()
        return [both[at] for at in np.argsort(-mean, kind="stable")]
    for name in types:
        if name not in both:
            raise InputError(f"{name!r} is not a type of both results{did_you_mean(name, both)}")
    return list(types)


def _panel(ax: Axes, x: NDArray[np.float64], y: NDArray[np.float64], name: str) -> None:
    known = np.isfinite(x) & np.isfinite(y)
    x, y = x[known], y[known]
    top = max(float(max(x.max(initial=0.0), y.max(initial=0.0))) * 1.04, 1e-6)
    if len(x) > _DOTS:
        ax.hexbin(
            x, y, gridsize=40, extent=(0, top, 0, top), bins="log", mincnt=1, cmap="Blues", linewidths=0
        )
    else:
        ax.plot(x, y, ".", ms=3, alpha=0.5, mew=0, color=_style.CATEGORIES[0])
    ax.plot([0, top], [0, top], color=_style.FAINT, lw=0.8, zorder=0)
    ax.set_xlim(0, top)
    ax.set_ylim(0, top)
    ax.set_aspect("equal")
    ax.set_title(name.replace("_", " "), fontsize=10)
    varies = len(x) > 1 and x.std() > 0 and y.std() > 0
    r = f"r = {np.corrcoef(x, y)[0, 1]:.2f}" if varies else "r: constant"
    off = float(np.sqrt(((x - y) ** 2).mean())) if len(x) else float("nan")
    ax.text(0.04, 0.96, f"{r}\nRMS {off:.3f}", transform=ax.transAxes, va="top", fontsize=8)
