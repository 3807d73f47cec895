"""``cytoripple perturb``: simulate a perturbation on a trained run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cytoripple.cli import _options as opt
from cytoripple.cli._shell import Shell, command, progress_name

RunDir = Annotated[
    Path, typer.Option("--run", "--run-toml", metavar="DIR", help="Run directory of the training.")
]
Genes = Annotated[
    list[str],
    typer.Option(
        "--gene", "-g", metavar="GENE[=VALUE]", help="Gene to set; repeat for a joint perturbation."
    ),
]
Value = Annotated[
    float, typer.Option("--desired-expr", help="Value of genes given without one; 0 is a knock-out.")
]
Out = Annotated[Path, typer.Option("--out", "--export", "-o", metavar="DIR", help="Folder of the results.")]
Cells = Annotated[
    str | None, typer.Option("--cells", metavar="LABEL,..", help="Perturb only these clusters or cells.")
]
CellsCsv = Annotated[
    Path | None, typer.Option("--cells-csv", metavar="FILE", help="Table whose columns are lists of cells.")
]
CellsColumn = Annotated[str | None, typer.Option("--cells-csv-column", help="Which list to perturb.")]
Propagation = Annotated[
    str | None, typer.Option("--propagation", metavar="WAY", help="reevaluate (default) or linear.")
]
Steps = Annotated[int | None, typer.Option("--n-propagation", min=1, help="Steps of propagation.")]
FixedPoint = Annotated[
    bool, typer.Option("--to-fixed-point", help="Re-evaluate until nothing changes any more.")
]
Preset = Annotated[str | None, typer.Option("--preset", metavar="NAME", help="cytoripple, python or rust.")]
BetaScale = Annotated[float | None, typer.Option("--beta-scale-factor", help="Factor on the ligand terms.")]
BetaCap = Annotated[float | None, typer.Option("--beta-cap", help="Largest derivative (linear only).")]
Top = Annotated[int, typer.Option("--top", min=1, help="Genes per cell type in the printed table.")]

EXAMPLE = (
    "Example: cytoripple perturb --run run --h5ad tissue.h5ad --gene Wnt5a --out ko_Wnt5a; "
    "with derivatives instead: add --propagation linear"
)


@command
def perturb(
    run: RunDir,
    gene: Genes,
    out: Out,
    h5ad: opt.H5ad = None,
    desired_expr: Value = 0.0,
    cells: Cells = None,
    cells_csv: CellsCsv = None,
    cells_csv_column: CellsColumn = None,
    propagation: Propagation = None,
    n_propagation: Steps = None,
    to_fixed_point: FixedPoint = False,
    preset: Preset = None,
    beta_scale_factor: BetaScale = None,
    beta_cap: BetaCap = None,
    coordinate_scale: opt.CoordinateScale = None,
    top: Top = 5,
    pictures: opt.Pictures = True,
    threads: opt.Threads = None,
    json_output: opt.Json = False,
    progress: opt.ShowProgress = "auto",
    debug: opt.Debug = False,
) -> None:
    """Knock genes out, see what changes where.

    Writes the simulated expression and its change (feather), the most affected genes per cell type
    (csv) and pictures. Sizes of changes are relative: read ranks and signs.
    """
    flags: dict[str, Any] = dict(locals())
    from cytoripple.cli._perturb_job import run_perturbation

    run_perturbation(flags, Shell(json_output, progress_name(progress)))
