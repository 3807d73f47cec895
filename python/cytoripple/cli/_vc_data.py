"""``cytoripple vc pack`` and ``cytoripple vc submit``: screens on disk, and submission files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cytoripple.cli import _options as opt
from cytoripple.cli._shell import Shell, command, progress_name

if TYPE_CHECKING:
    from rich.console import Console

    from cytoripple.vc.dataset import DatasetSpec

PACK = "Example: cytoripple vc pack screen.h5ad screen.rows --pert-col gene --group-by batch"
SUBMIT = "Example: cytoripple vc submit pred.h5ad --genes gene_names.csv --pert-counts pert_counts.csv"

Source = Annotated[
    Path, typer.Argument(metavar="FILE", help="Screen (.h5ad), or a .toml with [[datasets]] tables.")
]
Target = Annotated[Path, typer.Argument(metavar="OUT", help="Store to write; a folder of stores for .toml.")]
PertCol = Annotated[str, typer.Option("--pert-col", help="Column of obs with the perturbation.")]
ControlLabel = Annotated[str, typer.Option("--control", help="Label of the control cells in it.")]
GroupBy = Annotated[
    str | None, typer.Option("--group-by", metavar="A,B", help="Columns of obs that make up a batch.")
]
CellTypeCol = Annotated[str | None, typer.Option("--cell-type-col", help="Column of obs with the cell type.")]
CellType = Annotated[str | None, typer.Option("--cell-type", help="One cell type for all cells.")]
GeneIds = Annotated[str | None, typer.Option("--gene-id-col", help="Column of var with Ensembl ids.")]
Multiplets = Annotated[
    str | None, typer.Option("--multiplet-col", help="Perturbations per cell; cells with more are dropped.")
]
GeneTables = Annotated[
    list[Path] | None,
    typer.Option("--genes", metavar="FILE", help="Gene names and ids: HGNC, GTF, features.tsv, csv, .h5ad."),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an existing store.")]

Prediction = Annotated[
    Path, typer.Argument(metavar="PRED", help="Predicted cells (.h5ad), controls included.")
]
GeneList = Annotated[Path, typer.Option("--genes", "-g", metavar="FILE", help="The list: one gene per line.")]
Vcc = Annotated[Path | None, typer.Option("--out", "-o", metavar="FILE", help="Default PRED.prep.vcc.")]
PertCounts = Annotated[
    Path | None,
    typer.Option("--pert-counts", metavar="FILE", help="Cells wanted: csv with target_gene and n_cells."),
]
ExpectedGenes = Annotated[int, typer.Option("--expected-genes", help="Length of the list; -1 takes any.")]
MaxCells = Annotated[int, typer.Option("--max-cells", help="Most cells, controls included; -1 takes any.")]
Encoding = Annotated[int, typer.Option("--encoding", "-e", metavar="32|64", help="Bits per value.")]
Discrete = Annotated[bool, typer.Option("--allow-discrete", help="Let whole numbers through.")]
Reorder = Annotated[bool, typer.Option("--reorder", help="Bring the genes into the order of the list.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command(epilog=PACK)(pack)
    app.command(epilog=SUBMIT)(submit)


@command
def pack(
    file: Source,
    out: Target,
    pert_col: PertCol = "target_gene",
    control: ControlLabel = "non-targeting",
    group_by: GroupBy = None,
    cell_type_col: CellTypeCol = None,
    cell_type: CellType = None,
    gene_id_col: GeneIds = None,
    multiplet_col: Multiplets = None,
    layer: opt.Layer = None,
    genes: GeneTables = None,
    overwrite: Overwrite = False,
    json_output: opt.Json = False,
    progress: opt.ShowProgress = "auto",
    debug: opt.Debug = False,
) -> None:
    """Rewrite a screen for fast random reading.

    The store is sorted by cell type, batch and perturbation. It appears when it is complete.
    """
    shell = Shell(json_output, progress_name(progress))
    columns: dict[str, Any] = {
        "pert_col": pert_col,
        "ctrl_label": control,
        "group_by": tuple(opt.names(group_by)),
        "cell_type_col": cell_type_col,
        "cell_type": cell_type,
        "gene_id_col": gene_id_col,
        "multiplet_col": multiplet_col,
        "layer": None if layer in (None, "X") else layer,
    }
    stores = [
        _pack_one(spec, path, genes or [], overwrite, shell) for spec, path in _jobs(file, out, columns)
    ]
    report = {"stores": stores}
    shell.result(report, lambda console: _show_stores(console, stores))


def _jobs(file: Path, out: Path, columns: dict[str, Any]) -> list[tuple[DatasetSpec, Path]]:
    from cytoripple.vc.dataset import DatasetSpec, read_specs

    if file.suffix != ".toml":
        return [(DatasetSpec(file, **columns), out)]
    specs = read_specs(file)
    out.mkdir(exist_ok=True)
    return [(spec, out / f"{spec.name}.rows") for spec in specs]


def _pack_one(
    spec: DatasetSpec, out: Path, genes: list[Path], overwrite: bool, shell: Shell
) -> dict[str, Any]:
    from cytoripple._progress import showing
    from cytoripple.vc.genes import GeneResolver
    from cytoripple.vc.store import RowStore
    from cytoripple.vc.store import pack as pack_rows

    resolver = GeneResolver(*genes) if genes else None
    with showing(shell.progress) as progress:
        path = pack_rows(spec, out, genes=resolver, overwrite=overwrite, progress=progress)
    store = RowStore(path)
    return {
        "path": path,
        "cells": store.n_obs,
        "genes": store.n_vars,
        "groups": len(store.groups),
        "values": store.norm,
        "with_id": int((store.var["ensembl_id"] != "").sum()),
        "bytes": sum(part["bytes"] for part in store.meta["files"].values()),
    }


def _show_stores(console: Console, stores: list[dict[str, Any]]) -> None:
    for store in stores:
        console.print(
            f"{store['path']}: {store['cells']} cells x {store['genes']} genes ({store['with_id']} with id), "
            f"{store['groups']} groups, {store['values']}, {store['bytes'] / 1e6:.1f} MB",
            soft_wrap=True,
            markup=False,
        )


@command
def submit(
    pred: Prediction,
    genes: GeneList,
    out: Vcc = None,
    pert_counts: PertCounts = None,
    pert_col: PertCol = "target_gene",
    control: ControlLabel = "non-targeting",
    cell_type_col: CellTypeCol = None,
    expected_genes: ExpectedGenes = 18080,
    max_cells: MaxCells = 100_000,
    encoding: Encoding = 32,
    reorder: Reorder = False,
    allow_discrete: Discrete = False,
    json_output: opt.Json = False,
    progress: opt.ShowProgress = "auto",
    debug: opt.Debug = False,
) -> None:
    """Check a prediction and write it for the Virtual Cell Challenge.

    Nothing is written unless genes, labels, numbers of cells and values are what the challenge takes.
    """
    from cytoripple.vc._h5ad import H5adMatrix
    from cytoripple.vc.submission import file_blocks, write_vcc

    shell = Shell(json_output, progress_name(progress))
    target = out or pred.with_suffix(".prep.vcc")
    with H5adMatrix(pred) as source:
        made = write_vcc(
            target,
            file_blocks(source, pert_col, cell_type_col),
            genes,
            block_genes=[str(name) for name in source.table("var").index],
            pert_counts=pert_counts,
            pert_col=pert_col,
            control=control,
            cell_type_col=cell_type_col,
            n_genes=None if expected_genes == -1 else expected_genes,
            max_cells=None if max_cells == -1 else max_cells,
            reorder=reorder,
            encoding=encoding,
            allow_discrete=allow_discrete,
        )
    report = {
        "path": made.path,
        "cells": made.n_cells,
        "controls": made.n_controls,
        "genes": made.n_genes,
        "perturbations": len(made.counts) - 1,
        "reordered": made.reordered,
        "bytes": made.n_bytes,
    }
    text = (
        f"{made.path}: {made.n_cells} cells ({made.n_controls} controls) x {made.n_genes} genes, "
        f"{len(made.counts) - 1} perturbations, {made.n_bytes / 1e6:.1f} MB"
    )
    shell.result(report, lambda console: console.print(text, soft_wrap=True, markup=False))
