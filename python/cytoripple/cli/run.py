"""``cytoripple run``: look at what a training left."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cytoripple.cli import _options as opt
from cytoripple.cli._shell import Shell, command, progress_name

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from cytoripple.io.run import Run

app = typer.Typer(
    help="Look at a trained run.",
    epilog="Example: cytoripple run show run",
    no_args_is_help=True,
)

Directory = Annotated[Path, typer.Argument(help="Run directory that training wrote.")]
Gene = Annotated[str | None, typer.Option("--gene", help="Show the coefficients of this target gene.")]
Top = Annotated[int, typer.Option("--top", min=1, help="Rows per table.")]


@app.command(epilog="Example: cytoripple run show run --gene Sox2")
@command
def show(
    directory: Directory,
    gene: Gene = None,
    top: Top = 10,
    json_output: opt.Json = False,
    progress: opt.ShowProgress = "auto",
    debug: opt.Debug = False,
) -> None:
    """Show a run, or one gene of it.

    Settings, counts, the best genes and the strongest modulators; with --gene its coefficients.
    """
    from cytoripple.io.run import open_run

    shell = Shell(json_output, progress_name(progress))
    run = open_run(directory)
    report = gene_report(run, gene) if gene else overview(run, top)
    draw = _show_gene if gene else _show_overview
    shell.result(report, lambda console: draw(console, report, top))


@app.command(epilog="Example: cytoripple run summary run")
@command
def summary(
    directory: Directory,
    h5ad: opt.H5ad = None,
    json_output: opt.Json = False,
    progress: opt.ShowProgress = "auto",
    debug: opt.Debug = False,
) -> None:
    """Write the HTML report again.

    With the tissue it also holds the map of the clusters.
    """
    from cytoripple.cli._inputs import tissue_of_run
    from cytoripple.grn.report import write_report
    from cytoripple.io.run import open_run

    shell = Shell(json_output, progress_name(progress))
    run = open_run(directory)
    page = write_report(run, tissue_of_run(run, h5ad, shell), times=True)
    shell.result(
        {"report": str(page)}, lambda console: console.print(str(page), soft_wrap=True, markup=False)
    )


def overview(run: Run, top: int) -> dict[str, Any]:
    """Collect settings, counts, best genes and strongest modulators of a run."""
    report: dict[str, Any] = {"summary": run.summary(), "settings": run.settings.as_table()}
    report["best_genes"] = records(best_genes(run).head(top))
    strongest = strongest_modulators(run)
    report["strongest_modulators"] = None if strongest is None else records(strongest.head(top))
    return report


def best_genes(run: Run) -> pd.DataFrame:
    """Trained genes by R2 out of sample (in sample when that was not measured), clusters weighted by cells.

    ``modulators`` counts those with a coefficient in some cluster.
    """
    import numpy as np

    from cytoripple.io import read_betadata

    genes = run.genes()
    scores = run.scores()
    scores = scores[scores["gene"].isin(genes)]
    raw = scores["r2_raw"].fillna(scores["r2"])
    sums = scores.assign(part=raw * scores["n_cells"]).groupby("gene")[["part", "n_cells"]].sum()
    held_out = run.target_scores().set_index("gene")["held_out_r2"].reindex(sums.index)
    used = {gene: int(table.betas.any(axis=0).sum()) for gene, table in read_betadata(run.directory).items()}
    table = sums.assign(
        r2_in_sample=sums["part"] / sums["n_cells"],
        r2_out_of_sample=held_out,
        modulators=[used.get(str(gene), 0) for gene in sums.index],
    )[["r2_in_sample", "r2_out_of_sample", "modulators"]]
    order = np.where(table["r2_out_of_sample"].isna(), table["r2_in_sample"], table["r2_out_of_sample"])
    return table.iloc[np.argsort(-order, kind="stable")].rename_axis("gene").reset_index()


def strongest_modulators(run: Run) -> pd.DataFrame | None:
    """Modulators by the sum of their absolute standardized effects; None when the run cannot tell them."""
    from cytoripple._errors import RunError
    from cytoripple.pl.training import modulator_strength

    try:
        return modulator_strength(run)
    except RunError:
        return None


def gene_report(run: Run, gene: str) -> dict[str, Any]:
    """Coefficients and scores of one target gene.

    Raises
    ------
    RunError
        The gene has no coefficients in this run; the message says why.
    """
    from cytoripple._errors import RunError, did_you_mean
    from cytoripple.io import read_betadata

    genes = run.genes()
    if gene not in genes:
        reason = run.orphans().get(gene) or run.failed().get(gene)
        if reason:
            raise RunError(f"gene {gene!r} has no coefficients: {reason}")
        raise RunError(f"gene {gene!r} was not trained in {run.directory}{did_you_mean(gene, genes)}")
    table = read_betadata(run.directory, genes=[gene])[gene]
    labels = [cluster_label(run, key) for key in table.keys]
    coefficients = {"intercept": dict(zip(labels, table.intercept.tolist(), strict=True))}
    for position, modulator in enumerate(table.modulators):
        coefficients[modulator] = dict(zip(labels, table.betas[:, position].tolist(), strict=True))
    scores = run.scores()
    mine = scores[scores["gene"] == gene].copy()
    mine["cluster"] = [cluster_label(run, key) for key in mine["cluster"]]
    return {
        "gene": gene,
        "clusters": labels,
        "coefficients": coefficients,
        "scores": records(mine.drop(columns="gene")),
    }


def cluster_label(run: Run, key: object) -> str:
    """Text of a cluster id, else the key itself."""
    text = str(key)
    if text.isdigit() and int(text) < len(run.cluster_labels):
        return run.cluster_labels[int(text)]
    return text


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of a data frame as dictionaries."""
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def _show_overview(console: Console, report: dict[str, Any], top: int) -> None:
    from cytoripple.cli._tables import pairs, text

    counts = report["summary"]
    rows = {name.replace("_", " "): value for name, value in counts.items() if value not in (None, [])}
    console.print(pairs(rows, title="run"))
    chosen = {
        f"{section}.{name}": text(value)[:100]
        for section, keys in report["settings"].items()
        for name, value in keys.items()
        if section in ("data", "spatial", "lasso", "training") and value not in ("", [], None)
    }
    console.print()
    console.print(pairs(chosen, title="settings"))
    console.print()
    _grid_of(console, report["best_genes"], f"best explained genes (first {top})")
    if report["strongest_modulators"] is None:
        console.print(
            "strongest modulators: not available, the run has no column scales (it was not finished)"
        )
    else:
        _grid_of(console, report["strongest_modulators"], f"strongest modulators (first {top})")


def _show_gene(console: Console, report: dict[str, Any], top: int) -> None:
    from rich.markup import escape

    from cytoripple.cli._tables import grid

    labels = report["clusters"]
    named = report["coefficients"].items()
    size = {name: max(abs(value) for value in row.values()) for name, row in named}
    strongest = sorted((name for name in size if name != "intercept"), key=lambda name: -size[name])
    body = [
        [name, *(report["coefficients"][name][label] for label in labels)]
        for name in ("intercept", *strongest[:top])
    ]
    title = f"coefficients of {report['gene']} (largest {min(top, len(strongest))} of {len(strongest)})"
    console.print(grid(["modulator", *labels], body, escape(title)))
    keep = ("cluster", "n_cells", "r2_raw", "held_out_r2", "converged")
    _grid_of(console, [{name: row[name] for name in keep} for row in report["scores"]], "fit per cluster")


def _grid_of(console: Console, rows: list[dict[str, Any]], title: str) -> None:
    from cytoripple.cli._tables import grid

    if rows:
        header = [name.replace("_", " ") for name in rows[0]]
        console.print(grid(header, [list(row.values()) for row in rows], title))
