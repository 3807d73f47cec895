"""``cytoripple data``: look at, prepare and make input files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cytoripple.cli import _options as opt
from cytoripple.cli._shell import Shell, command, progress_name

app = typer.Typer(
    help="Look at, prepare and make input files.",
    epilog="Example: cytoripple data check tissue.h5ad",
    no_args_is_help=True,
)

Tissue = Annotated[Path, typer.Argument(metavar="FILE", help="Tissue, .h5ad or .zarr.")]
Output = Annotated[Path, typer.Argument(metavar="OUT", help="File to write (.h5ad).")]
Impute = Annotated[
    str,
    typer.Option("--impute", metavar="diffusion|knn|none", help="Smooth within clusters into imputed_count."),
]
Normalize = Annotated[
    bool, typer.Option("--normalize", help="Counts to log1p per 10,000 in normalized_count.")
]
Spacing = Annotated[
    float | None,
    typer.Option("--spacing", min=0.0, help="Rescale so that the median distance of neighbors is this."),
]
CellOracle = Annotated[
    Path | None, typer.Option("--base-grn", metavar="FILE", help="CellOracle base network (wide parquet).")
]
LrCsv = Annotated[
    Path | None,
    typer.Option("--lr", metavar="FILE", help="CellChat table (csv: ligand, receptor, signaling)."),
]
LrResource = Annotated[
    str | None, typer.Option("--lr-resource", metavar="NAME", help="LIANA resource instead of a table.")
]
LigandTarget = Annotated[
    Path | None, typer.Option("--ligand-target", metavar="FILE", help="Ligand-TF weights (NicheNet table).")
]
OutDir = Annotated[Path, typer.Argument(metavar="OUT_DIR", help="Folder to write into.")]

CHECK = "Example: cytoripple data check mob.h5ad --network mouse_network.parquet"
PREPARE = (
    "Example: cytoripple data prepare mob.h5ad ready.h5ad --normalize --impute diffusion "
    "--cluster-key cell_type --coordinate-scale 200"
)
NETWORK = (
    "Example: cytoripple data network mine.parquet --base-grn mm10_base_grn.parquet --lr cellchat_mouse.csv"
)
TOY = "Example: cytoripple data toy toy && cytoripple data check toy/toy.h5ad --network toy/network.parquet"


@app.command(epilog=CHECK)
@command
def check(
    file: Tissue,
    network: opt.NetworkFile = None,
    json_output: opt.Json = False,
    progress: opt.ShowProgress = "auto",
    debug: opt.Debug = False,
) -> None:
    """Say what is in a tissue file.

    Also what is missing for training, and what to type next.
    """
    from cytoripple import io
    from cytoripple.cli import _data_check
    from cytoripple.cli._inputs import network_from

    shell = Shell(json_output, progress_name(progress))
    adata = io.read(file)
    edges = None if network is None else network_from(network, adata)
    report = _data_check.examine(adata, file, edges, network)
    shell.result(report, lambda console: _data_check.show(console, report))


@app.command(epilog=PREPARE)
@command
def prepare(
    file: Tissue,
    out: Output,
    normalize: Normalize = False,
    impute: Impute = "none",
    cluster_key: opt.ClusterKey = None,
    layer: Annotated[str | None, typer.Option("--layer", help="Where the counts are; default X.")] = None,
    sample_key: opt.SampleKey = None,
    coordinate_scale: opt.CoordinateScale = None,
    spacing: Spacing = None,
    json_output: opt.Json = False,
    progress: opt.ShowProgress = "auto",
    debug: opt.Debug = False,
) -> None:
    """Normalize, impute and rescale a tissue.

    Every step is said. The input file is not changed.
    """
    from cytoripple import io
    from cytoripple.cli import _prepare

    shell = Shell(json_output, progress_name(progress))
    choice = _prepare.Choice(normalize, impute, cluster_key, layer, sample_key, coordinate_scale, spacing)
    choice.check(out)
    adata = io.read(file)
    steps = _prepare.apply(adata, choice, shell)
    _prepare.write(adata, out)
    report: dict[str, Any] = {
        "input": str(file),
        "output": str(out),
        "steps": steps,
        "layers": ["X", *adata.layers],
    }
    shell.result(report, lambda console: console.print(str(out), soft_wrap=True, markup=False))


@app.command(epilog=NETWORK)
@command
def network(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Network file to write (.parquet).")],
    base_grn: CellOracle = None,
    lr: LrCsv = None,
    lr_resource: LrResource = None,
    ligand_target: LigandTarget = None,
    json_output: opt.Json = False,
    progress: opt.ShowProgress = "auto",
    debug: opt.Debug = False,
) -> None:
    """Make a network file from other resources.

    A CellOracle base network gives TF edges, a CellChat table ligand-receptor pairs, a NicheNet table
    ligand-TF weights.
    """
    from cytoripple import io
    from cytoripple._errors import InputError

    shell = Shell(json_output, progress_name(progress))
    if base_grn is None and lr is None and lr_resource is None and ligand_target is None:
        raise InputError("nothing to build from: give --base-grn, --lr, --lr-resource or --ligand-target")
    made = io.build_network(
        base_grn=base_grn, lr_csv=lr, lr_resource=lr_resource, ligand_target=ligand_target, out=out
    )
    report = {"output": str(out), "tf_edges": len(made.tf), "ligand_receptor_pairs": len(made.lr),
              "ligand_tf_edges": len(made.tfl), "species": made.species}  # fmt: skip
    shell.result(
        report,
        lambda console: console.print(
            f"{out}: {len(made.tf):,} TF edges, {len(made.lr):,} ligand-receptor pairs, "
            f"{len(made.tfl):,} ligand-TF edges",
            soft_wrap=True,
            markup=False,
        ),
    )


@app.command(epilog=TOY)
@command
def toy(
    out_dir: OutDir,
    cells: Annotated[int, typer.Option("--cells", min=20, help="Cells.")] = 600,
    genes: Annotated[int, typer.Option("--genes", min=10, help="Genes.")] = 60,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed.")] = 0,
    json_output: opt.Json = False,
    progress: opt.ShowProgress = "auto",
    debug: opt.Debug = False,
) -> None:
    """Write a small synthetic tissue and its network."""
    from cytoripple.cli import _prepare

    shell = Shell(json_output, progress_name(progress))
    report = _prepare.write_toy(out_dir, cells, genes, seed)
    shell.result(
        report,
        lambda console: console.print(
            f"{report['tissue']}\n{report['network']}", soft_wrap=True, markup=False
        ),
    )
