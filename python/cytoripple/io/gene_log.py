"""The log of one fitted gene: a tab-separated text file with one row per cluster."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from cytoripple._errors import RunError

_FIRST = "format\tspacetravlr_training_log\t"
_OLD = [
    "cluster_id",
    "n_cells",
    "n_modulators",
    "lasso_r2",
    "lasso_train_mse",
    "lasso_fista_iters",
    "lasso_converged",
    "cnn_epochs_ran",
    "cnn_mse_first",
    "cnn_mse_last",
]
_SELECTION = "# selection: largest multiplier of the penalty at which the modulator has a coefficient"
_NEW = ["lasso_r2_raw", "held_out_r2", "gap", "objective", "lambda_max"]


@dataclass(frozen=True)
class ClusterFit:
    """Fit of one target gene in one cluster.

    ``r2`` is that of the exported coefficients (0 for a cluster below the threshold), ``r2_raw`` that of the
    fit, both on the training cells; ``held_out_r2`` comes from the cross-validation folds. ``gap`` is the
    duality gap, ``lambda_max`` the smallest multiplier of the penalty that makes every coefficient 0. Values
    that a log does not hold are NaN.
    """

    cluster: int
    n_cells: int
    n_modulators: int
    r2: float
    mse: float
    n_iter: int
    converged: bool
    r2_raw: float = math.nan
    held_out_r2: float = math.nan
    gap: float = math.nan
    objective: float = math.nan
    lambda_max: float = math.nan


COLUMNS = tuple(field.name for field in fields(ClusterFit))


def log_path(run_dir: Path, gene: str) -> Path:
    """Path of the log of a gene."""
    return run_dir / "log" / f"{gene.replace('/', '_').replace(chr(92), '_')}.log"


def log_text(
    gene: str,
    rows: Sequence[ClusterFit],
    header: Mapping[str, object],
    selection: Mapping[str, float] | None = None,
) -> str:
    """Text of a log in the layout ``v2``.

    The first ten columns are those of ``v1``, with six decimals; further columns follow at the right with
    all digits. Nothing in it depends on time or machine. `selection` is, of every modulator with a
    coefficient, the largest multiplier of the penalty at which it has one.
    """
    lines = [f"{_FIRST}v2", f"gene\t{gene}"]
    lines += [f"{key}\t{_text(value)}" for key, value in header.items()]
    lines += ["", "# summary: one row per cluster; r2 on the training cells", "\t".join((*_OLD, *_NEW))]
    for row in rows:
        old = (row.cluster, row.n_cells, row.n_modulators, f"{row.r2:.6f}", f"{row.mse:.6f}", row.n_iter)
        new = (row.r2_raw, row.held_out_r2, row.gap, row.objective, row.lambda_max)
        cells = (*old, _text(row.converged), 0, "NA", "NA", *(_text(value) for value in new))
        lines.append("\t".join(map(str, cells)))
    if selection:
        lines += ["", _SELECTION, *(f"{name}\t{_text(value)}" for name, value in selection.items())]
    return "\n".join(lines) + "\n"


def read_selection(path: Path) -> dict[str, float]:
    """Largest multiplier at which each modulator has a coefficient; empty where a log does not say."""
    lines = path.read_text(encoding="utf-8").splitlines()
    if _SELECTION not in lines:
        return {}
    pairs = (line.split("\t") for line in lines[lines.index(_SELECTION) + 1 :])
    try:
        return {name: float(value) for name, value in pairs}
    except ValueError:
        raise RunError(f"{path} has a selection that cannot be read: train the gene again") from None


def read_log(path: Path) -> tuple[dict[str, str], list[ClusterFit]]:
    """Header and rows of a log of cytoripple (``v2``) or of the reference (``v1``).

    Raises
    ------
    RunError
        The file is not such a log or breaks off.
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    if not lines or not lines[0].startswith(_FIRST):
        raise RunError(f"{path} is not a training log: it does not begin with {_FIRST!r}")
    header: dict[str, str] = {}
    rows: list[ClusterFit] = []
    names: list[str] | None = None
    for line in lines[1:]:
        cells = line.split("\t")
        if cells[0] == "cluster_id" and "lasso_r2" in cells:
            names = cells
        elif names is None and len(cells) == 2 and not line.startswith("#"):
            header[cells[0]] = cells[1]
        elif names is not None:
            if len(cells) != len(names):
                break
            rows.append(_row(dict(zip(names, cells, strict=True)), path))
    if names is None:
        raise RunError(
            f"{path} breaks off before the rows of the clusters: delete it and train the gene again"
        )
    return header, rows


def _row(cells: Mapping[str, str], path: Path) -> ClusterFit:
    def number(name: str) -> float:
        text = cells.get(name, "NA")
        return math.nan if text == "NA" else float(text)

    try:
        return ClusterFit(
            cluster=int(cells["cluster_id"]),
            n_cells=int(cells["n_cells"]),
            n_modulators=int(cells["n_modulators"]),
            r2=number("lasso_r2"),
            mse=number("lasso_train_mse"),
            n_iter=int(cells["lasso_fista_iters"]),
            converged=cells["lasso_converged"].casefold() in ("true", "1"),
            r2_raw=number("lasso_r2_raw"),
            held_out_r2=number("held_out_r2"),
            gap=number("gap"),
            objective=number("objective"),
            lambda_max=number("lambda_max"),
        )
    except (KeyError, ValueError) as error:
        raise RunError(f"{path} has a row that cannot be read: {error}") from None


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return "NA" if math.isnan(value) else repr(float(value))
    return str(value)
