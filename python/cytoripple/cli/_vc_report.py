"""``cytoripple vc report``: a prediction, the baselines and the ceiling on one page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cytoripple.cli import _options as opt
from cytoripple.cli._shell import Shell, command, progress_name

if TYPE_CHECKING:
    from rich.console import Console

EXAMPLE = "Example: cytoripple vc report --real real.h5ad --pred pred.h5ad --out report.html"

Real = Annotated[Path, typer.Option("--real", "-r", metavar="FILE", help="Measured cells, .h5ad or .zarr.")]
Pred = Annotated[Path, typer.Option("--pred", "-p", metavar="FILE", help="Predicted cells, the same genes.")]
Page = Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="Page to write, .html.")]
Baselines = Annotated[
    str | None,
    typer.Option(
        "--baselines", metavar="A,B", help="Baselines to compare with; scores count from the first."
    ),
]
PertCol = Annotated[str, typer.Option("--pert-col", help="Column of obs with the perturbation.")]
Control = Annotated[str, typer.Option("--control", help="Label of the control cells.")]
CellTypeCol = Annotated[str | None, typer.Option("--cell-type-col", help="Column of obs with the cell type.")]
ProfileName = Annotated[
    str,
    typer.Option(
        "--profile", metavar="NAME", help="full, minimal, vcc, de, anndata or pds; minimal is quick."
    ),
]
CompatName = Annotated[
    str | None, typer.Option("--compat", metavar="NAME", help="cell-eval-0.8.2 for that program's numbers.")
]
Reorder = Annotated[bool, typer.Option("--reorder", help="Bring the predicted genes into measured order.")]
WithCeiling = Annotated[bool, typer.Option("--ceiling/--no-ceiling", help="Estimate the best that can be.")]
Seed = Annotated[int, typer.Option("--seed", help="Seed of random baselines and of the ceiling.")]
Title = Annotated[str | None, typer.Option("--title", help="Heading; default the name of the prediction.")]


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command(epilog=EXAMPLE)(report)


@command
def report(
    real: Real,
    pred: Pred,
    out: Page,
    baselines: Baselines = None,
    pert_col: PertCol = "target_gene",
    control: Control = "non-targeting",
    cell_type_col: CellTypeCol = None,
    profile: ProfileName = "full",
    compat: CompatName = None,
    reorder: Reorder = False,
    ceiling: WithCeiling = True,
    seed: Seed = 0,
    title: Title = None,
    threads: opt.Threads = None,
    json_output: opt.Json = False,
    progress: opt.ShowProgress = "auto",
    debug: opt.Debug = False,
) -> None:
    """Draw a prediction, baselines and ceiling on one page.

    The page needs no network: scores, a table of perturbations, and pictures of any of them.
    """
    from cytoripple import io
    from cytoripple._progress import showing
    from cytoripple.vc.comparison import DEFAULT, compare
    from cytoripple.vc.report import write_report

    shell = Shell(json_output, progress_name(progress))
    settings: dict[str, Any] = {"profile": profile, "compat": compat}
    measured, predicted = io.read(real), io.read(pred)
    with showing(shell.progress) as observer:
        found = compare(
            measured,
            predicted,
            baselines=opt.names(baselines) or DEFAULT,
            with_ceiling=ceiling,
            pert_col=pert_col,
            control=control,
            cell_type_col=cell_type_col,
            reorder=reorder,
            seed=seed,
            threads=threads or 0,
            progress=observer,
            **settings,
        )
    made = write_report(found, out, title=title or pred.stem)
    result = {
        "path": made,
        "challenge_scores": found.challenge_scores,
        "metrics": found.table.set_index("metric").T.to_dict(),
        "warnings": found.prediction.warnings,
    }
    shell.result(result, lambda console: _show(console, result))


def _show(console: Console, result: dict[str, Any]) -> None:
    from cytoripple.cli._tables import grid

    names = list(next(iter(result["metrics"].values())))
    rows = [[metric, *(found[name] for name in names)] for metric, found in result["metrics"].items()]
    console.print(grid(["metric", *names], rows))
    for name, score in result["challenge_scores"].items():
        console.print(f"challenge score of {name}: {score:.1f}", soft_wrap=True, markup=False)
    console.print(str(result["path"]), soft_wrap=True, markup=False)
