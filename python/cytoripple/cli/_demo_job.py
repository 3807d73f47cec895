"""The work of ``cytoripple demo``."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cytoripple._errors import ClusterError, InputError
from cytoripple.cli import _inputs as inputs
from cytoripple.cli import _pictures, _prepare
from cytoripple.cli._data_check import coordinates_of, label_columns, matrix_kind
from cytoripple.cli._perturb_job import show_genes, simulate, write_results
from cytoripple.cli._shell import Shell
from cytoripple.cli._train_job import report_of, train_and_watch, warn_about_radius

if TYPE_CHECKING:
    from anndata import AnnData
    from rich.console import Console

    from cytoripple._settings import Settings
    from cytoripple.io.network import Network
    from cytoripple.io.run import Run


def run_demo(flags: Mapping[str, Any], shell: Shell) -> None:
    """Train, knock out two genes, draw, and report."""
    start = time.perf_counter()
    out: Path = flags["out"]
    if flags["data"] is None and flags["network"] is not None:
        raise InputError(
            "--network belongs to --data: give the tissue too, or neither for the synthetic tissue"
        )
    adata, network, settings, steps = _toy(flags, shell) if flags["data"] is None else _own(flags, shell)
    warn_about_radius(adata, settings, shell)
    tissue = keep_tissue(adata, settings, out)
    shell.say(f"training {len(settings.training.genes or ())} genes on {adata.n_obs:,} cells")
    run = train_and_watch(adata, settings, network, out / "run", shell)
    trained = report_of(run, time.perf_counter() - start)
    if not run.genes():
        raise InputError(
            "no gene got coefficients: " + "; ".join(trained.get("advice", ["see the run directory"]))
        )
    draw = _pictures.can_draw(shell)
    pictures = _pictures.of_run(run, adata, out, shell) if draw else []
    knocked = {}
    chosen = strongest(run)
    for kind in [kind for kind in ("ligand", "TF") if kind not in chosen]:
        shell.say(f"no {kind} has an edge: none is knocked out")
    for kind, gene in chosen.items():
        cells = main_source(adata, gene, settings) if kind == "ligand" else None
        shell.say(
            f"knocking out {gene}, the strongest {kind}"
            + (f", in {cells}, which makes most of it" if cells else "")
        )
        simulate(adata, run, {gene: 0.0}, cells, {"threads": flags["threads"]}, shell)
        found = write_results(adata, run, out / f"ko_{gene}", shell, top=3, pictures=draw)
        knocked[gene] = {"kind": kind, "cells": cells or "all", **found}
    report = {
        "out": str(out),
        "tissue": tissue,
        "steps": steps,
        "training": trained,
        "knock_outs": knocked,
        "pictures": pictures,
        "seconds": round(time.perf_counter() - start, 3),
    }
    shell.result(report, lambda console: show(console, report))


def _toy(flags: Mapping[str, Any], shell: Shell) -> tuple[AnnData, Network, Settings, list[str]]:
    """Make the synthetic tissue and settings that fit it."""
    from cytoripple import datasets

    toy = datasets.toy_tissue(n_cells=1200, n_genes=80, seed=0)
    adata, network = toy.adata, toy.network
    steps = [
        f"a synthetic tissue of {adata.n_obs} cells and {adata.n_vars} genes, made from a known mechanism"
    ]
    shell.say(steps[0])
    layer = flags["layer"] or _prepare.NORMALIZED
    settings = _settings(flags, layer, flags["cluster_key"] or "cell_type", list(adata.var_names))
    settings = settings.with_overrides(
        {"spatial.radius": toy.truth.radius, "spatial.contact_distance": toy.truth.contact_distance}
    )
    return adata, network, settings, steps


def _own(flags: Mapping[str, Any], shell: Shell) -> tuple[AnnData, Network, Settings, list[str]]:
    """Read the user's tissue and make it ready for training, saying every step."""
    from cytoripple import pp

    adata = inputs.read_tissue_file(flags["data"], None)
    shell.say(f"{flags['data']}: {adata.n_obs:,} cells x {adata.n_vars:,} genes")
    cluster = flags["cluster_key"] or next(iter(label_columns(adata)), None)
    if cluster is None:
        raise ClusterError(
            f"no column of obs looks like clusters: obs has {list(adata.obs.columns)[:25]}; "
            "name one with --cluster-key"
        )
    network = (
        inputs.network_from(flags["network"], adata) if flags["network"] else inputs.usual_network(adata)
    )
    layer, steps = ready_layer(adata, flags, cluster, shell)
    adata.uns["spatial_units"] = _units(adata, flags["coordinate_scale"])
    regulated = set(network.restrict(adata.var_names).tf["target"])
    genes = pp.most_variable_genes(adata, flags["targets"], layer=layer, among=regulated)
    if not genes:
        raise InputError(
            f"no gene of the data has a regulator in {network.source}: other species or other gene ids?"
        )
    return adata, network, _settings(flags, layer, cluster, genes), steps


def ready_layer(
    adata: AnnData, flags: Mapping[str, Any], cluster: str, shell: Shell
) -> tuple[str, list[str]]:
    """Rescale and normalize as far as the file needs it, and impute if asked to."""
    where = coordinates_of(adata) or {}
    scale = flags["coordinate_scale"] or where.get("micrometers_per_unit")
    shell.say(f"clusters: obs[{cluster!r}]")
    kinds = (_prepare.IMPUTED, _prepare.NORMALIZED) if flags["impute"] else (_prepare.NORMALIZED,)
    layer = flags["layer"] or next((kind for kind in kinds if kind in adata.layers), None)
    counts = layer is None and matrix_kind(adata.X).startswith("counts")
    done = layer is not None or not flags["impute"]
    choice = _prepare.Choice(
        normalize=counts, impute="none" if done else "diffusion", cluster_key=cluster, layer=None,
        sample_key=flags["sample_key"], scale=None if scale in (None, 1.0) else scale, spacing=None,
    )  # fmt: skip
    steps = _prepare.apply(adata, choice, shell)
    if layer is None:
        layer = _prepare.IMPUTED if flags["impute"] else _prepare.NORMALIZED if counts else "X"
    return layer, steps


def _units(adata: AnnData, scale: float | None) -> str:
    told = (coordinates_of(adata) or {}).get("micrometers_per_unit")
    return "um" if scale or told else str(adata.uns.get("spatial_units", ""))


def _settings(flags: Mapping[str, Any], layer: str, cluster: str, genes: list[str]) -> Settings:
    from cytoripple._settings import Settings

    return Settings().with_overrides(
        {
            "data.adata_path": str((flags["out"] / "tissue.h5ad").absolute()),
            "data.layer": layer,
            "data.cluster_annot": cluster,
            "data.sample_key": flags["sample_key"],
            "training.genes": tuple(genes),
            "execution.threads": flags["threads"] or 0,
            "execution.output_dir": str(flags["out"] / "run"),
        }
    )


def strongest(run: Run) -> dict[str, str]:
    """Find the ligand and the TF with the largest total standardized effect on other genes.

    Ligands that reach other cells are preferred: those that act by contact make no ripple between spots.
    """
    effects = run.effects()
    named = effects["modulator"].astype(str)
    received = named.str.contains(r"[$#]")
    ligand = named.str.split(r"[$#]", regex=True).str[0]
    near = received & (ligand.map(dict(run.radii)).fillna(np.inf) < run.settings.spatial.radius)
    if (received & ~near).any():
        effects, named, received, ligand = effects[~near], named[~near], received[~near], ligand[~near]
    size = effects["effect"].abs().to_numpy()
    found = {}
    for kind, rows, text in (
        ("ligand", received.to_numpy(), ligand),
        ("TF", ~received.to_numpy(), named),
    ):
        if rows.any():
            totals = {
                name: float(size[rows & (text == name).to_numpy()].sum()) for name in np.unique(text[rows])
            }
            found[kind] = max(sorted(totals), key=lambda name: totals[name])
    return found


def keep_tissue(adata: AnnData, settings: Settings, out: Path) -> str:
    """Write the tissue as it is trained on, where ``cytoripple perturb`` will look for it."""
    out.mkdir(parents=True, exist_ok=True)
    _prepare.write(adata, Path(settings.data.adata_path))
    return settings.data.adata_path


def main_source(adata: AnnData, gene: str, settings: Settings) -> str | None:
    """Find the cell type that makes most of a ligand, so that the ripple into the others can be seen."""
    from cytoripple.pl._values import as_labels, gene_values

    labels = as_labels(adata.obs[settings.data.cluster_annot])
    if len(labels.categories) < 2:
        return None
    totals = np.bincount(labels.codes, weights=gene_values(adata, gene, settings.data.layer))
    return str(labels.categories[int(totals.argmax())])


def show(console: Console, report: Mapping[str, Any]) -> None:
    """Print what was found and where to look."""
    from rich.markup import escape

    from cytoripple.cli._tables import duration, pairs, text

    trained = report["training"]
    rows = {
        "genes trained": f"{trained['genes']} ({trained['orphans']} without a modulator left)",
        "median R2 in sample": text(trained["median_r2"]),
        "median R2 on held-out tissue": text(trained["median_held_out_r2"]),
        "wall time": duration(report["seconds"]),
        "report": text(trained["report"]),
    }
    console.print(pairs(rows))
    for gene, found in report["knock_outs"].items():
        table = found["affected_genes"]
        if table:
            show_genes(console, table, f"knock-out of {gene} ({found['kind']}) in {found['cells']} cells")
    console.print("look at:", style="bold")
    for path in report["pictures"]:
        console.print(f"  {escape(path)}", soft_wrap=True)
    for found in report["knock_outs"].values():
        for path in (*found["pictures"], *found["files"]):
            console.print(f"  {escape(path)}", soft_wrap=True)
    where = escape(f"{report['out']}")
    console.print(
        f"\nnext: cytoripple perturb --run {where}/run --gene GENE --out {where}/ko_GENE", soft_wrap=True
    )
