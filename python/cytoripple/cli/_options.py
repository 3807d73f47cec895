"""Options that several commands share, so that a name means the same everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Write the result as one JSON object on stdout.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show debug messages and the traceback of an error.")]
ShowProgress = Annotated[
    str,
    typer.Option(
        "--progress",
        metavar="auto|bar|json|none",
        help="Progress on stderr. auto is a bar in a terminal; json writes one line per update.",
    ),
]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c",
        help="Settings file; default cytoripple.toml (or spaceship_config.toml) here. Flags win.",
    ),
]  # fmt: skip
H5ad = Annotated[Path | None, typer.Option("--h5ad", metavar="FILE", help="Tissue, .h5ad or .zarr.")]
NetworkFile = Annotated[
    Path | None,
    typer.Option(
        "--network",
        metavar="FILE",
        help="Gene network (parquet), or a folder with {species}_network.parquet.",
    ),
]
Layer = Annotated[str | None, typer.Option("--layer", help="Expression layer; X is adata.X.")]
ClusterKey = Annotated[str | None, typer.Option("--cluster-key", help="Column of obs with the clusters.")]
SampleKey = Annotated[
    str | None,
    typer.Option("--sample-key", help="Column of obs with the section; sections never signal to each other."),
]
SpatialKey = Annotated[str | None, typer.Option("--spatial-key", help="Coordinates in obsm.")]
Species = Annotated[
    str | None, typer.Option("--species", metavar="mouse|human", help="Default: from gene names.")
]
CoordinateScale = Annotated[
    float | None,
    typer.Option(
        "--coordinate-scale", metavar="X", help="Multiply the coordinates, e.g. 200 when 1 unit is 200 µm."
    ),
]
Threads = Annotated[int | None, typer.Option("--threads", min=0, help="Threads; 0 is all cores.")]
Pictures = Annotated[bool, typer.Option("--pictures/--no-pictures", help="Draw pictures (needs matplotlib).")]


def names(text: str | None) -> list[str]:
    """Entries of a comma-separated list, without blanks and duplicates, in order."""
    parts = [part.strip() for part in (text or "").split(",")]
    return list(dict.fromkeys(part for part in parts if part))
