"""``cytoripple demo``: the whole way from a tissue to the ripple of a knock-out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cytoripple.cli import _options as opt
from cytoripple.cli._shell import Shell, command, progress_name

Data = Annotated[
    Path | None, typer.Option("--data", metavar="FILE", help="Your tissue; default: a synthetic one.")
]
Out = Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder of the results.")]
Targets = Annotated[int, typer.Option("--targets", min=1, help="Train this many most variable genes.")]
Spots = Annotated[bool, typer.Option("--impute/--no-impute", help="Smooth the expression within clusters.")]

EXAMPLE = "Example: cytoripple demo --data mob.h5ad --network mouse_network.parquet --out demo"


@command
def demo(
    data: Data = None,
    network: opt.NetworkFile = None,
    out: Out = Path("demo"),
    targets: Targets = 200,
    layer: opt.Layer = None,
    cluster_key: opt.ClusterKey = None,
    sample_key: opt.SampleKey = None,
    coordinate_scale: opt.CoordinateScale = None,
    impute: Spots = False,
    threads: opt.Threads = None,
    json_output: opt.Json = False,
    progress: opt.ShowProgress = "auto",
    debug: opt.Debug = False,
) -> None:
    """Train, knock out two genes, draw the ripple.

    The strongest ligand and the strongest TF of the fitted network are knocked out.
    Without --data a small synthetic tissue is made. With --data the tissue is normalized and rescaled as
    needed, and every step is said.
    """
    flags: dict[str, Any] = dict(locals())
    from cytoripple.cli._demo_job import run_demo

    run_demo(flags, Shell(json_output, progress_name(progress)))
