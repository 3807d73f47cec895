"""Command line. Modules of commands are light; data libraries are imported when a command runs."""

from __future__ import annotations

from typing import Annotated

import typer

from cytoripple.cli import bench, data, deconvolve, demo, doctor, perturb, run, train, vc

app = typer.Typer(
    name="cytoripple",
    epilog="Example: cytoripple demo",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(epilog=demo.EXAMPLE)(demo.demo)
app.command(epilog=train.EXAMPLE)(train.train)
app.command(epilog=perturb.EXAMPLE)(perturb.perturb)
app.command(epilog=deconvolve.EXAMPLE)(deconvolve.deconvolve)
app.add_typer(data.app, name="data")
app.add_typer(run.app, name="run")
app.add_typer(bench.app, name="bench")
app.add_typer(vc.app, name="vc")
app.command(epilog=doctor.EXAMPLE)(doctor.doctor)


def _version(asked: bool) -> None:
    if asked:
        from cytoripple._core import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Predict how a perturbation ripples through a tissue."""
    del version


def main() -> None:
    """Entry point of the installed command."""
    app(prog_name="cytoripple")
