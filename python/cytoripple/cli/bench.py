"""``cytoripple bench``: judge estimators by tissues whose answers are known."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cytoripple._errors import InputError
from cytoripple.cli import _options as opt
from cytoripple.cli._shell import Shell, command, progress_name

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

app = typer.Typer(
    help="Judge estimators by known answers.",
    epilog="Example: cytoripple bench truth --seeds 1-5",
    no_args_is_help=True,
)

Estimators = Annotated[
    str, typer.Option("--estimators", metavar="A,B", help="Any of joint, sgl, reference, co.")
]
Seeds = Annotated[str, typer.Option("--seeds", metavar="1-5|1,4,7", help="Tissues to make.")]
Stored = Annotated[
    Path | None,
    typer.Option("--stored", metavar="DIR", help="Use the stored tissues of this folder with those seeds."),
]
Rounds = Annotated[int, typer.Option("--rounds", min=0, help="Largest number of rounds of a propagation.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Setting of the tissues, e.g. depth=300; repeatable."),
]
Csv = Annotated[
    Path | None, typer.Option("--out", "-o", metavar="FILE", help="Write all figures per tissue (csv).")
]

TRUTH = "Example: cytoripple bench truth --seeds 1-5 --estimators joint,reference,co --out per_tissue.csv"
BASELINES = ("reference", "co")


@app.command(epilog=TRUTH)
@command
def truth(
    estimators: Estimators = "joint,sgl,reference,co",
    seeds: Seeds = "1-5",
    stored: Stored = None,
    setting: Set = None,
    rounds: Rounds = 8,
    out: Csv = None,
    threads: opt.Threads = None,
    json_output: opt.Json = False,
    progress: opt.ShowProgress = "auto",
    debug: opt.Debug = False,
) -> None:
    """Compare estimators on tissues with known answers.

    Edges, held-out cells, effects of perturbations and their ripples are scored; the margins over the
    published scheme (reference) and over a non-spatial tool (co) are shown with the worst tissue.
    """
    from cytoripple import bench

    shell = Shell(json_output, progress_name(progress))
    numbers = whole_numbers(seeds)
    settings = settings_from(setting or [])
    if stored is not None and settings:
        raise InputError("--set changes tissues that are made: leave it out with --stored")
    tissues = None if stored is None else [bench.read_ripple(stored, seed) for seed in numbers]
    table = bench.ripplebench(
        opt.names(estimators),
        numbers,
        tissues=tissues,
        n_propagation=rounds,
        threads=threads or 0,
        progress=shell.progress,
        **settings,
    )
    if out is not None:
        table.attrs["per_tissue"].to_csv(out)
    report = report_of(table, numbers, stored, settings)
    shell.result(report, lambda console: show(console, table, report))


def whole_numbers(text: str) -> list[int]:
    """Numbers of "1-5", "1,4,7" or both mixed, in order and without duplicates."""
    numbers: list[int] = []
    for part in opt.names(text):
        first, dash, last = part.partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise InputError(f"--seeds has {part!r}: give whole numbers like 1-5 or 1,4,7")
        numbers += range(int(first), int(last if dash else first) + 1)
    if not numbers:
        raise InputError(f"--seeds is {text!r}: give whole numbers like 1-5 or 1,4,7")
    return list(dict.fromkeys(numbers))


def settings_from(given: list[str]) -> dict[str, float]:
    """Numbers by name of "depth=300"; whole ones become integers."""
    settings: dict[str, float] = {}
    for text in given:
        name, _, value = text.partition("=")
        try:
            number = float(value)
        except ValueError:
            raise InputError(f"--set has {text!r}: write NAME=NUMBER, e.g. depth=300") from None
        settings[name.strip()] = int(number) if number.is_integer() else number
    return settings


def report_of(
    table: pd.DataFrame, seeds: list[int], stored: Path | None, settings: dict[str, float]
) -> dict[str, Any]:
    """Means, margins and figures per tissue as plain types."""
    from cytoripple.bench.runner import margins

    each = table.attrs["per_tissue"].reset_index()
    return {
        "seeds": seeds,
        "stored": stored,
        "settings": settings,
        "estimators": {str(name): row.to_dict() for name, row in table.iterrows()},
        "margins": {base: _nested(margins(table, base)) for base in BASELINES if base in table.index},
        "per_tissue": each.to_dict(orient="records"),
    }


def _nested(differences: pd.DataFrame) -> dict[str, dict[str, dict[str, float]]]:
    """Margins by estimator, metric and ``mean`` or ``worst``."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    columns: list[tuple[str, str]] = [*differences.columns]
    for (metric, which), values in zip(columns, differences.to_numpy().T, strict=True):
        for name, value in zip(differences.index, values, strict=True):
            found.setdefault(str(name), {}).setdefault(metric, {})[which] = float(value)
    return found


def show(console: Console, table: pd.DataFrame, report: dict[str, Any]) -> None:
    """Draw the table and the margins."""
    from cytoripple.cli._tables import grid

    header = [name.replace("_", " ").replace("heldout", "held-out") for name in table.columns]
    n = len(report["seeds"])
    rows = [
        [name, *(f"{value:.3f}" for value in row)]
        for name, row in zip(table.index, table.to_numpy(), strict=True)
    ]
    console.print(grid(["estimator", *header], rows, f"Means over {n} tissue{'s' * (n > 1)}"))
    for base, others in report["margins"].items():
        lines = [
            [label, *(f"{found[metric][which]:+.3f}" for metric in table.columns)]
            for name, found in others.items()
            for which, label in (("mean", name), ("worst", "  worst"))
        ]
        if lines:
            console.print(grid(["estimator", *header], lines, f"Margin over {base}, mean and worst tissue"))
