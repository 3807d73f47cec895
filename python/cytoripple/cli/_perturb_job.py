"""The work of ``cytoripple perturb``: targets, scope, simulation, files, and the printed table."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cytoripple._errors import InputError, SettingsError
from cytoripple.cli import _inputs as inputs
from cytoripple.cli import _pictures
from cytoripple.cli._options import names
from cytoripple.cli._shell import Shell
from cytoripple.pl._values import targets_of

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from rich.console import Console

    from cytoripple.io.run import Run

KEY = "perturbation"
_MAPS, _LISTED = 4, 50
_GOES = {1: "up", -1: "down", 0: "both ways"}
_OPTIONS = (
    "propagation",
    "n_propagation",
    "to_fixed_point",
    "preset",
    "beta_scale_factor",
    "beta_cap",
    "threads",
)


def run_perturbation(flags: Mapping[str, Any], shell: Shell) -> None:
    """Simulate as the flags say and write the result."""
    from cytoripple.io.run import open_run

    start = time.perf_counter()
    out: Path = flags["out"]
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file: give a folder with --out")
    targets = parse_targets(flags["gene"], flags["desired_expr"])
    run = open_run(flags["run"])
    settings = run.settings
    scale = flags["coordinate_scale"] or settings.spatial.coordinate_scale
    path = flags["h5ad"] or settings.data.adata_path
    adata = inputs.read_tissue_file(path, scale, settings.data.spatial_key)
    options = {name: flags[name] for name in _OPTIONS}
    simulate(adata, run, targets, _scope(flags, run), options, shell)
    report = write_results(adata, run, out, shell, top=flags["top"], pictures=flags["pictures"])
    report["seconds"] = round(time.perf_counter() - start, 3)
    shell.result(report, lambda console: show(console, report))


def parse_targets(texts: Sequence[str], value: float) -> dict[str, float]:
    """Genes and values of ``--gene GENE`` and ``--gene GENE=VALUE``.

    Raises
    ------
    SettingsError
        A value is not a number of at least 0, or a gene is given twice.
    """
    targets: dict[str, float] = {}
    for text in texts:
        name, sign, given = text.partition("=")
        name = name.strip()
        try:
            wanted = float(given) if sign else value
        except ValueError:
            raise SettingsError(f"--gene {text}: {given!r} is not a number") from None
        if not (math.isfinite(wanted) and wanted >= 0):
            raise SettingsError(f"--gene {text}: the value is {wanted:g}, expected 0 or more")
        if not name or name in targets:
            raise SettingsError(
                f"--gene {text}: " + ("the gene is given twice" if name else "there is no gene name")
            )
        targets[name] = wanted
    return targets


def _scope(flags: Mapping[str, Any], run: Run) -> Any:
    """Cells to perturb: flags first, then the settings of the run, else all."""
    stored = run.settings.perturbation
    table, column = flags["cells_csv"], flags["cells_csv_column"]
    if flags["cells"] and table:
        raise SettingsError("--cells and --cells-csv both choose cells: give one")
    if flags["cells"]:
        return names(flags["cells"])
    if table is None and stored.cells_csv:
        table, column = Path(stored.cells_csv), column or stored.cells_csv_column
    if table is None:
        return None
    if column is None:
        raise SettingsError("--cells-csv needs --cells-csv-column, the name of the list")
    return (Path(table), column)


def simulate(
    adata: AnnData,
    run: Run,
    targets: Mapping[str, float],
    cells: Any,
    options: Mapping[str, Any],
    shell: Shell,
) -> None:
    """Perturb in place, with defaults from the run's settings and progress on stderr."""
    from cytoripple import tl
    from cytoripple._progress import showing

    stored = run.settings.perturbation
    given = {name: value for name, value in options.items() if value is not None}
    chosen: dict[str, Any] = {
        "preset": stored.preset, "beta_scale_factor": stored.beta_scale_factor, "beta_cap": stored.beta_cap,
    }  # fmt: skip
    if "preset" not in given:
        chosen["propagation"] = stored.propagation
    if not given.get("to_fixed_point"):
        chosen["n_propagation"] = stored.n_propagation
    chosen |= given
    with showing(shell.progress) as progress:
        tl.perturb(adata, run, dict(targets), cells=cells, key_added=KEY, progress=progress, **chosen)


def write_results(
    adata: AnnData, run: Run, out: Path, shell: Shell, *, top: int, pictures: bool
) -> dict[str, Any]:
    """Write tables and pictures of a perturbation into `out`.

    Returns
    -------
    The paths written and the most affected genes per cell type.
    """
    from cytoripple.perturb.export import write_feather
    from cytoripple.perturb.summary import affected_genes

    table = affected_genes(adata, key=KEY, n=max(top, _LISTED))
    out.mkdir(parents=True, exist_ok=True)
    files = [
        str(write_feather(adata, out, key=KEY)),
        write_delta(adata, out / "delta.feather"),
        write_table(table, out / "affected_genes.csv"),
    ]
    drawn: list[str] = []
    if pictures and _pictures.can_draw(shell):
        drawn = _pictures.of_perturbation(adata, _mapped_genes(table), out, shell, key=KEY)
    shown = table[table["rank"] <= top].astype(object)
    shown = shown.where(shown.notna(), None)
    record = adata.uns[KEY]
    return {
        "run": str(run.directory),
        "targets": targets_of(record),
        "propagation": record["propagation"],
        "convergence": record.get("convergence"),
        "magnitude": record["magnitude"],
        "files": files,
        "pictures": drawn,
        "affected_genes": shown.to_dict("records"),
    }


def _mapped_genes(table: pd.DataFrame) -> list[str]:
    """List the genes most affected in any cell type."""
    ranked = table.sort_values("relative_abs_delta", ascending=False, kind="stable")["gene"]
    return [str(name) for name in dict.fromkeys(ranked)][:_MAPS]


def write_delta(adata: AnnData, path: Path) -> str:
    """Write the change as feather: the column ``CellID``, then the genes that change, float64."""
    import numpy as np
    import pyarrow as pa
    from pyarrow import feather

    delta = adata.layers[f"{KEY}_delta"]
    columns = {"CellID": pa.array([str(name) for name in adata.obs_names])}
    for position in np.unique(delta.nonzero()[1]):
        column = delta[:, [position]]
        dense = column.toarray() if hasattr(column, "toarray") else column
        columns[str(adata.var_names[position])] = pa.array(np.asarray(dense, dtype=np.float64).ravel())
    table = pa.table(columns)
    return _atomic(path, lambda temporary: feather.write_feather(table, str(temporary), compression="lz4"))


def write_table(table: pd.DataFrame, path: Path) -> str:
    """Write a data frame as csv."""
    return _atomic(path, lambda temporary: table.to_csv(temporary, index=False))


def _atomic(path: Path, write: Any) -> str:
    from cytoripple._provenance import atomic_path

    with atomic_path(path) as temporary:
        write(temporary)
    return str(path)


def show(console: Console, report: Mapping[str, Any]) -> None:
    """Print the most affected genes and where the files are."""
    from cytoripple.cli._tables import duration, text

    told = ", ".join(f"{name} = {text(value)}" for name, value in report["targets"].items())
    if report["affected_genes"]:
        show_genes(console, report["affected_genes"], f"most affected genes ({told})")
    else:
        console.print("no gene changes but the perturbed ones: they modulate no trained gene in these cells")
    for path in (*report["files"], *report["pictures"]):
        console.print(str(path), soft_wrap=True, markup=False)
    console.print(f"done in {duration(report['seconds'])}, {_ending(report['convergence'])}")


def show_genes(console: Console, rows: Sequence[Mapping[str, Any]], title: str) -> None:
    """Print affected genes: rank and direction first, sizes as what they are."""
    from cytoripple.cli._tables import grid

    header = ["cell type", "rank", "gene", "goes", "predictable", "relative size"]
    cells = [
        [row["cell_type"], row["rank"], row["gene"], _GOES[row["sign"]], row["predictable"],
         row["relative_abs_delta"]]
        for row in rows
    ]  # fmt: skip
    console.print(grid(header, cells, title))
    console.print("sizes are relative and too small: compare ranks and directions, not fold changes")
    if any(row["predictable"] is False for row in rows):
        console.print("not predictable: the model of the gene has no R2 above 0 on held-out cells")


def _ending(convergence: Mapping[str, Any] | None) -> str:
    """How the propagation ended."""
    if convergence is None:
        return "derivatives propagated"
    change = convergence["largest_last_change"]
    end = (
        "nothing changes any more" if convergence["converged"] else f"the last changed by up to {change:.2g}"
    )
    return f"models re-evaluated in {convergence['rounds']} rounds ({end})"
