"""What is in a tissue file, what is missing for training, and what to type next."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cytoripple.cli._inputs import CLUSTER_KEYS, geometry
from cytoripple.pl._values import SPATIAL_KEYS, length_unit, micrometers_per_unit

if TYPE_CHECKING:
    from anndata import AnnData
    from rich.console import Console

    from cytoripple.io.network import Network

_MOST_LABELS = 60
_SAMPLE_KEYS = ("sample", "section", "slide", "batch", "library_id", "sample_id")


def examine(adata: AnnData, path: Path, network: Network | None, network_path: Path | None) -> dict[str, Any]:
    """Facts about the tissue, problems, and the next commands."""
    from cytoripple._names import infer_species

    layers = {"X": matrix_kind(adata.X)} | {
        str(name): matrix_kind(adata.layers[name]) for name in adata.layers
    }
    report: dict[str, Any] = {
        "file": str(path),
        "cells": adata.n_obs,
        "genes": adata.n_vars,
        "species": infer_species(adata.var_names),
        "layers": layers,
        "coordinates": coordinates_of(adata),
        "clusters": label_columns(adata),
        "samples": [name for name in _SAMPLE_KEYS if name in adata.obs],
    }
    if network is not None:
        report["network"] = overlap(adata, network)
    report["problems"] = problems(adata, report)
    report["next"] = next_commands(report, path, network_path)
    return report


def matrix_kind(matrix: Any) -> str:
    """Storage and content of a matrix in words: counts, log-normalized or other numbers."""
    values = np.asarray(matrix.data if hasattr(matrix, "indptr") else matrix).ravel()
    if hasattr(matrix, "indptr"):
        storage = f"sparse {matrix.dtype}, {values.size / max(1, np.prod(matrix.shape)):.1%} filled"
    else:
        storage = f"dense {matrix.dtype}"
    if values.size == 0:
        return f"empty ({storage})"
    if not np.isfinite(values).all():
        return f"has NaN or infinite values ({storage})"
    low, high = float(values.min()), float(values.max())
    if low < 0:
        kind = f"has negative values down to {low:.3g}"
    elif (values == np.round(values)).all():
        kind = f"counts up to {high:g}"
    elif high < 30:
        kind = f"log-like values up to {high:.3g}"
    else:
        kind = f"continuous values up to {high:.4g}, not logarithmic"
    return f"{kind} ({storage})"


def coordinates_of(adata: AnnData) -> dict[str, Any] | None:
    """Key, spacing and extent of the coordinates and what is known about their unit."""
    key = next((name for name in SPATIAL_KEYS if name in adata.obsm), None)
    if key is None:
        return None
    xy = np.asarray(adata.obsm[key], dtype=np.float64)
    if xy.ndim != 2 or xy.shape[1] < 2 or not np.isfinite(xy).all():
        return {"key": key, "shape": list(xy.shape), "finite": bool(np.isfinite(xy).all())}
    sample = next((name for name in _SAMPLE_KEYS if name in adata.obs), None)
    spacing, extent = geometry(xy[:, :2], None if sample is None else list(adata.obs[sample].astype(str)))
    told = str(adata.uns.get("spatial_units", ""))
    scale = micrometers_per_unit(told) or (1.0 if length_unit(adata) == ("µm", 1.0) else None)
    return {
        "key": key, "shape": list(xy.shape), "finite": True, "spacing": spacing, "extent": extent,
        "unit": told or None, "micrometers_per_unit": scale,
    }  # fmt: skip


def label_columns(adata: AnnData) -> dict[str, int]:
    """Columns of obs that can serve as clusters, with the number of labels; usual names first."""
    found: dict[str, int] = {}
    for name in [*(key for key in CLUSTER_KEYS if key in adata.obs), *adata.obs.columns]:
        column = adata.obs[name]
        distinct = int(column.nunique())
        whole = column.dtype.kind in "iub" or column.dtype.kind not in "fc"
        if whole and 1 <= distinct <= min(_MOST_LABELS, max(1, adata.n_obs // 2)):
            found.setdefault(str(name), distinct)
    return found


def overlap(adata: AnnData, network: Network) -> dict[str, Any]:
    """Edges of the network whose genes are both measured."""
    inside = network.restrict(adata.var_names)
    return {
        "source": network.source, "species": network.species, "tf_edges": len(inside.tf),
        "genes_with_regulator": int(inside.tf["target"].nunique()), "ligand_receptor_pairs": len(inside.lr),
        "ligands": int(inside.lr["ligand"].nunique()), "ligand_tf_edges": len(inside.tfl),
    }  # fmt: skip


def problems(adata: AnnData, report: dict[str, Any]) -> list[str]:
    """List what stands between this file and training."""
    found = []
    where = report["coordinates"]
    if where is None:
        found.append(f"no coordinates: obsm has {sorted(adata.obsm)}, expected one of {list(SPATIAL_KEYS)}")
    elif not where["finite"]:
        found.append(f"obsm[{where['key']!r}] holds NaN or infinite values")
    if not adata.var_names.is_unique:
        found.append("gene names are not unique: adata.var_names_make_unique()")
    if not adata.obs_names.is_unique:
        found.append("cell names are not unique: adata.obs_names_make_unique()")
    if not report["clusters"]:
        found.append("no column of obs looks like clusters: add cell types or a clustering")
    found += [f"layer {name} {kind}" for name, kind in report["layers"].items() if kind.startswith("has ")]
    edges = report.get("network")
    if edges is not None and edges["genes_with_regulator"] == 0:
        found.append(
            f"no gene of the data has a regulator in {edges['source']}: other species or other gene ids?"
        )
    return found


def next_commands(report: dict[str, Any], path: Path, network_path: Path | None) -> list[str]:
    """Commands that lead from this file to a trained network."""
    cluster = next(iter(report["clusters"]), "cell_type")
    ready = next((n for n in ("normalized_count", "imputed_count") if n in report["layers"]), None)
    scale = (report["coordinates"] or {}).get("micrometers_per_unit")
    tissue = path
    commands = []
    if ready is None or scale not in (None, 1.0):
        tissue = Path(f"{path.stem}_prepared.h5ad")
        stretch = f" --coordinate-scale {scale:g}" if scale not in (None, 1.0) else ""
        steps = "" if ready else " --normalize"
        commands.append(
            f"cytoripple data prepare {shlex.quote(str(path))} {shlex.quote(str(tissue))}{steps}{stretch}"
        )
    network = shlex.quote(str(network_path)) if network_path else f"{report['species']}_network.parquet"
    layer = ready or "normalized_count"
    commands.append(
        f"cytoripple train --h5ad {shlex.quote(str(tissue))} --network {network} --layer {layer} "
        f"--cluster-key {shlex.quote(cluster)} --top-variable 500 --output-dir run"
    )
    return commands


def show(console: Console, report: dict[str, Any]) -> None:
    """Print the report."""
    from rich.markup import escape

    from cytoripple.cli._tables import pairs, text

    where = report["coordinates"]
    place = "none"
    if where is not None:
        place = f"obsm[{where['key']!r}]"
        if "spacing" in where:
            place += f", median spacing {where['spacing']:.4g}, extent {where['extent']:.4g}"
            place += f", unit: {where['unit']}" if where["unit"] else ", unit not told (um is assumed)"
    rows: dict[str, object] = {
        "file": report["file"], "cells x genes": f"{report['cells']:,} x {report['genes']:,}",
        "species": f"{report['species']} (from the gene names)",
    }  # fmt: skip
    rows |= {("X" if name == "X" else f"layer {name}"): kind for name, kind in report["layers"].items()}
    rows["coordinates"] = place
    rows["clusters"] = ", ".join(f"{name} ({n} labels)" for name, n in report["clusters"].items()) or "none"
    rows["sections"] = text(report["samples"]) if report["samples"] else "one (no sample column)"
    if "network" in report:
        edges = report["network"]
        rows["network"] = (
            f"{edges['tf_edges']:,} TF edges on {edges['genes_with_regulator']:,} genes, "
            f"{edges['ligand_receptor_pairs']:,} ligand-receptor pairs ({edges['ligands']:,} ligands), "
            f"{edges['ligand_tf_edges']:,} ligand-TF edges"
        )
    console.print(pairs(rows))
    for problem in report["problems"]:
        console.print(f"[red]problem:[/] {escape(problem)}")
    console.print("\nnext:" if not report["problems"] else "\nwhen that is repaired:", style="bold")
    for line in report["next"]:
        console.print(f"  {escape(line)}", soft_wrap=True)
