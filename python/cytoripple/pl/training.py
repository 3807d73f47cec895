"""Pictures of a trained run: how well genes are explained, and by what."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cytoripple._errors import RunError
from cytoripple._modulators import MODULATOR_COLORS, modulator_kind
from cytoripple.pl import _style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from cytoripple.io.run import Run

_SHOWN_R2 = (-0.5, 1.0)


def r2_summary(run: Run | str | Path, *, ax: Axes | None = None, save: str | Path | None = None) -> Axes:
    """Distribution of R2 per cluster, in sample and on held-out tissue.

    One box per cluster and kind over the genes; the box is the middle half, the line the median, the
    whiskers the 5th and 95th percentile. A large distance between the two boxes of a cluster means
    over-fitting. Values below -0.5 are drawn at -0.5.

    Parameters
    ----------
    run
        Run directory or opened run.
    ax, save
        Axes to draw on, file to write.

    Returns
    -------
    The axes.

    Raises
    ------
    RunError
        The run has no scores.
    """
    run = _opened(run)
    scores = run.scores()
    scores = scores[scores["gene"].isin(run.genes())]
    if scores.empty:
        raise RunError(f"{run.directory} has no scores: no gene was trained")
    clusters = sorted(scores["cluster"].unique())
    kinds = {
        "in sample": (scores["r2_raw"].fillna(scores["r2"]), _style.CATEGORIES[4]),
        "held out": (scores["held_out_r2"], _style.CATEGORIES[0]),
    }
    kinds = {name: entry for name, entry in kinds.items() if entry[0].notna().any()}
    with _style.style():
        ax = _style.axes(ax, (2.6 + 0.62 * len(clusters), 4.2))
        ax.axhline(0.0, color=_style.FAINT, lw=0.8, ls=(0, (3, 3)), zorder=0)
        for offset, (name, (values, color)) in zip(_offsets(len(kinds)), kinds.items(), strict=True):
            parts = [
                values[scores["cluster"] == cluster].dropna().to_numpy(np.float64) for cluster in clusters
            ]
            _boxes(ax, parts, np.arange(len(clusters), dtype=np.float64) + offset, color, name)
        ax.set_xticks(np.arange(len(clusters)), [_cluster_name(run, scores, cluster) for cluster in clusters])
        ax.tick_params(axis="x", length=0, rotation=30)
        for label in ax.get_xticklabels():
            label.set_horizontalalignment("right")
            label.set_rotation_mode("anchor")
        ax.set_ylim(bottom=max(_SHOWN_R2[0], min(0.0, ax.get_ylim()[0])) - 0.03, top=_SHOWN_R2[1] + 0.02)
        ax.set_ylabel("$R^2$ of a gene")
        ax.set_title(f"How well {scores['gene'].nunique():,} genes are explained")
        ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
        _style.save_figure(ax, save)
    return ax


def strongest_modulators(
    run: Run | str | Path, *, n: int = 20, ax: Axes | None = None, save: str | Path | None = None
) -> Axes:
    """Show the modulators with the largest total effect on the trained genes.

    A bar is the sum over genes and clusters of ``|beta| * sd(modulator) / sd(gene)``, so that modulators
    on different scales can be compared.

    Parameters
    ----------
    run
        Run directory or opened run.
    n
        Number of bars.
    ax, save
        Axes to draw on, file to write.

    Returns
    -------
    The axes.

    Raises
    ------
    RunError
        The run has no coefficients or no column scales.
    """
    run = _opened(run)
    table = modulator_strength(run).head(n).iloc[::-1]
    if table.empty:
        raise RunError(f"{run.directory} has no coefficients: no gene was trained")
    with _style.style():
        ax = _style.axes(ax, (6.4, 1.3 + 0.24 * len(table)))
        colors = [MODULATOR_COLORS[kind] for kind in table["kind"]]
        ax.barh(np.arange(len(table)), table["strength"], color=colors, height=0.74)
        ax.set_yticks(
            np.arange(len(table)), [shown_name(name) for name in table["modulator"]], fontstyle="italic"
        )
        ax.tick_params(axis="y", length=0)
        ax.margins(y=0.01)
        ax.set_xlabel("total standardized effect")
        ax.set_title("Strongest modulators")
        present = [kind for kind in MODULATOR_COLORS if kind in set(table["kind"])]
        _kind_legend(ax, present)
        _style.save_figure(ax, save)
    return ax


def modulator_strength(run: Run) -> pd.DataFrame:
    """Modulators by their total standardized effect, largest first.

    Returns
    -------
    Columns ``modulator, kind, strength, targets``; `kind` is ``TF``, ``ligand-receptor``, ``ligand-TF`` or
    ``extra``; `targets` is the number of genes with a coefficient.

    Raises
    ------
    RunError
        The run has no column scales.
    """
    effects = run.effects()
    effects["size"] = effects["effect"].abs()
    table = effects.groupby("modulator", sort=True).agg(strength=("size", "sum"), targets=("gene", "nunique"))
    table = table.reset_index().sort_values("strength", ascending=False, kind="stable", ignore_index=True)
    extra = set(run.settings.grn.extra_modulators)
    table.insert(1, "kind", [modulator_kind(str(name), extra) for name in table["modulator"]])
    return table


def shown_name(modulator: str) -> str:
    """Name for a picture: an arrow from the ligand to what it acts on, no sign that mathtext would eat."""
    return modulator.replace("$", " → ").replace("#", " ⇢ ")


def _opened(run: Run | str | Path) -> Run:
    from cytoripple.io.run import Run, open_run

    return run if isinstance(run, Run) else open_run(run)


def _offsets(count: int) -> list[float]:
    return [0.0] if count == 1 else [-0.2, 0.2]


def _boxes(
    ax: Axes, parts: list[NDArray[np.float64]], positions: NDArray[np.float64], color: str, name: str
) -> None:
    shown = [(at, np.clip(part, *_SHOWN_R2)) for at, part in zip(positions, parts, strict=True) if part.size]
    drawn = ax.boxplot(
        [part for _, part in shown],
        positions=[at for at, _ in shown],
        widths=0.32,
        whis=(5, 95),
        showfliers=False,
        patch_artist=True,
        manage_ticks=False,
        medianprops={"color": _style.INK, "lw": 1.3},
        whiskerprops={"color": color},
        capprops={"color": color, "lw": 0.0},
        boxprops={"facecolor": color, "lw": 0.0},
    )
    if drawn["boxes"]:
        drawn["boxes"][0].set_label(name)


def _cluster_name(run: Run, scores: pd.DataFrame, cluster: int) -> str:
    labels = run.cluster_labels
    name = labels[cluster] if 0 <= cluster < len(labels) else f"cluster {cluster}"
    cells = int(scores.loc[scores["cluster"] == cluster, "n_cells"].iloc[0])
    return f"{name} ({cells:,})"


def _kind_legend(ax: Axes, kinds: list[str]) -> None:
    from matplotlib.patches import Patch

    handles = [Patch(color=MODULATOR_COLORS[kind], label=kind) for kind in kinds]
    ax.legend(handles=handles, loc="center left", bbox_to_anchor=(1.0, 0.5))
