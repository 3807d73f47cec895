"""``cytoripple deconvolve``: cell-type proportions of spots from a single-cell reference."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cytoripple.cli import _options as opt
from cytoripple.cli._shell import Shell, command, progress_name

Spots = Annotated[Path, typer.Option("--h5ad", metavar="FILE", help="Spots with raw counts, .h5ad or .zarr.")]
Reference = Annotated[
    Path,
    typer.Option(
        "--reference", "-r", metavar="FILE",
        help="Annotated cells with raw counts (.h5ad, .zarr), or mean counts, types x genes (.csv).",
    ),
]  # fmt: skip
TypeKey = Annotated[
    str | None, typer.Option("--cell-type-key", help="Column of obs with the types of the reference.")
]
Out = Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder of the results.")]
Method = Annotated[
    str, typer.Option("--method", metavar="NAME", help="default, fast (a tenth of the time) or flashdeconv.")
]
Layer = Annotated[str | None, typer.Option("--layer", help="Layer of the spots with raw counts; default X.")]
ReferenceLayer = Annotated[
    str | None, typer.Option("--reference-layer", help="Layer of the reference with raw counts.")
]
Spatial = Annotated[
    str, typer.Option("--spatial-key", help="Coordinates in obsm; none fits every spot alone.")
]
Kappa = Annotated[
    float,
    typer.Option("--kappa", min=0.0, help="Strength of the neighbors: 2 for sharp borders, 20 for smooth."),
]
Stability = Annotated[
    bool, typer.Option("--stability", help="Also compute how far each share moves by chance.")
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of the sample of spots that gives weights.")]
Table = Annotated[str, typer.Option("--table", metavar="csv|parquet", help="Kind of the table.")]
InMemory = Annotated[
    bool, typer.Option("--in-memory", help="Load the counts instead of reading them in blocks.")
]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Only check the input and estimate time and memory from a few spots."),
]

EXAMPLE = (
    "Example: cytoripple deconvolve --h5ad spots.h5ad --reference cells.h5ad --cell-type-key cell_type -o out"
)


@command
def deconvolve(
    h5ad: Spots,
    reference: Reference,
    out: Out,
    cell_type_key: TypeKey = None,
    method: Method = "default",
    layer: Layer = None,
    reference_layer: ReferenceLayer = None,
    spatial_key: Spatial = "spatial",
    sample_key: opt.SampleKey = None,
    kappa: Kappa = 10.0,
    stability: Stability = False,
    seed: Seed = 0,
    table: Table = "csv",
    in_memory: InMemory = False,
    dry_run: DryRun = False,
    pictures: opt.Pictures = True,
    threads: opt.Threads = None,
    json_output: opt.Json = False,
    progress: opt.ShowProgress = "auto",
    debug: opt.Debug = False,
) -> None:
    """Estimate the cell types in each spot.

    Writes the spots with their proportions (h5ad), the proportions as a table, and maps. Counts of an
    h5ad file are read in blocks and never held as a whole.
    """
    flags: dict[str, Any] = dict(locals())
    from cytoripple.cli._deconvolve_job import run_deconvolution

    run_deconvolution(flags, Shell(json_output, progress_name(progress)))
