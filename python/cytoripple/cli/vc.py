"""``cytoripple vc``: perturbation screens and their prediction."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cytoripple.cli import _options as opt
from cytoripple.cli import _vc_data, _vc_report
from cytoripple.cli._shell import Shell, command, progress_name

if TYPE_CHECKING:
    from rich.console import Console

EXAMPLE = "Example: cytoripple vc evaluate --real real.h5ad --pred pred.h5ad --out scores"

app = typer.Typer(
    help="Predict and score perturbation screens.",
    epilog=EXAMPLE.removesuffix(" --real real.h5ad --pred pred.h5ad --out scores"),
    no_args_is_help=True,
)

Real = Annotated[Path, typer.Option("--real", "-r", metavar="FILE", help="Measured cells, .h5ad or .zarr.")]
Pred = Annotated[Path, typer.Option("--pred", "-p", metavar="FILE", help="Predicted cells, the same genes.")]
Out = Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder of the tables.")]
PertCol = Annotated[str, typer.Option("--pert-col", help="Column of obs with the perturbation.")]
Control = Annotated[str, typer.Option("--control", help="Label of the control cells.")]
ProfileName = Annotated[
    str, typer.Option("--profile", metavar="NAME", help="full, minimal, vcc, de, anndata or pds.")
]
CompatName = Annotated[
    str | None, typer.Option("--compat", metavar="NAME", help="cell-eval-0.8.2 for that program's numbers.")
]
Baseline = Annotated[
    Path | None,
    typer.Option("--baseline", metavar="FILE", help="agg_results.csv of a baseline: adds score.csv."),
]
Reorder = Annotated[bool, typer.Option("--reorder", help="Bring the predicted genes into measured order.")]
WithCeiling = Annotated[
    bool, typer.Option("--ceiling", help="Also write what two halves of the measured cells reach.")
]
Seed = Annotated[int, typer.Option("--seed", help="Seed of these halves.")]


@app.command(epilog=EXAMPLE)
@command
def evaluate(
    real: Real,
    pred: Pred,
    out: Out,
    pert_col: PertCol = "target_gene",
    control: Control = "non-targeting",
    profile: ProfileName = "full",
    compat: CompatName = None,
    baseline: Baseline = None,
    reorder: Reorder = False,
    ceiling: WithCeiling = False,
    seed: Seed = 0,
    threads: opt.Threads = None,
    json_output: opt.Json = False,
    progress: opt.ShowProgress = "auto",
    debug: opt.Debug = False,
) -> None:
    """Score predicted cells against measured ones.

    Writes results.csv (per perturbation), agg_results.csv, and real_de.csv and pred_de.csv.
    """
    flags: dict[str, Any] = dict(locals())
    report = run_evaluation(flags)
    Shell(json_output, progress_name(progress)).result(report, lambda console: _show(console, report))


def run_evaluation(flags: dict[str, Any]) -> dict[str, Any]:
    """Evaluate, write the tables, and collect what is printed.

    Raises
    ------
    CytorippleError
        A file or a value cannot be used; nothing is written.
    """
    from cytoripple import io
    from cytoripple._provenance import atomic_path
    from cytoripple.vc import aggregate, profiles
    from cytoripple.vc.evaluation import evaluate as evaluate_prediction
    from cytoripple.vc.split_half import ceiling as best_possible

    names: Any = flags["profile"]
    profiles.columns_of(names)
    profiles.policy_of(flags["compat"])
    base = None if flags["baseline"] is None else _read_table(flags["baseline"])
    common: dict[str, Any] = {name: flags[name] for name in ("pert_col", "control", "profile", "compat")}
    common["threads"] = flags["threads"] or 0
    real = io.read(flags["real"])
    result = evaluate_prediction(real, io.read(flags["pred"]), reorder=flags["reorder"], **common)
    tables = {}
    report: dict[str, Any] = {"metrics": aggregate.means_of(result.aggregate), "warnings": result.warnings}
    if base is not None:
        tables["score.csv"] = result.score(base)
        report["scores"] = dict(tables["score.csv"].to_numpy().tolist())
    if flags["ceiling"]:
        best = best_possible(real, seed=flags["seed"], **common)
        tables |= {"ceiling_results.csv": best.per_perturbation, "agg_ceiling.csv": best.aggregate}
        report["ceiling"] = best.aggregate.iloc[0].to_dict()
    files = result.write(flags["out"])
    for name, table in tables.items():
        with atomic_path(flags["out"] / name) as path:
            table.to_csv(path, index=False, na_rep="NaN")
        files.append(flags["out"] / name)
    return report | {"files": files}


def _read_table(path: Path) -> Any:
    import pandas as pd

    from cytoripple._errors import FileError, MissingFileError
    from cytoripple.vc.aggregate import means_of

    if not path.is_file():
        raise MissingFileError(f"{path} does not exist: expected the agg_results.csv of a baseline")
    try:
        table = pd.read_csv(path)
        means_of(table)
    except ValueError as error:
        raise FileError(
            f"{path} is no aggregate table: expected the agg_results.csv of a baseline"
        ) from error
    return table


def _show(console: Console, report: dict[str, Any]) -> None:
    from cytoripple.cli._tables import grid

    extra = [name for name in ("scores", "ceiling") if name in report]
    rows = [
        [name, value, *(report[column].get(name, float("nan")) for column in extra)]
        for name, value in report["metrics"].items()
    ]
    if "scores" in report:
        average = report["scores"]["avg_score"]
        rows.append(
            ["avg_score", float("nan"), *(average if name == "scores" else float("nan") for name in extra)]
        )
    console.print(grid(["metric", "mean", *extra], rows))
    for path in report["files"]:
        console.print(str(path), soft_wrap=True, markup=False)


_vc_data.register(app)
_vc_report.register(app)
