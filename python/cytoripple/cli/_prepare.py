"""Normalization, imputation and coordinates of a tissue, step by step and said aloud."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from cytoripple._errors import InputError, SettingsError
from cytoripple.cli._shell import Shell

if TYPE_CHECKING:
    from anndata import AnnData

    from cytoripple.io.network import Network

NORMALIZED, IMPUTED = "normalized_count", "imputed_count"


@dataclass(frozen=True)
class Choice:
    """What to do with a tissue."""

    normalize: bool
    impute: str
    cluster_key: str | None
    layer: str | None
    sample_key: str | None
    scale: float | None
    spacing: float | None

    def check(self, out: Path) -> None:
        """Refuse what cannot be done, before anything is read.

        Raises
        ------
        SettingsError
            The choice contradicts itself or asks for nothing.
        """
        if self.impute not in ("diffusion", "knn", "none"):
            raise SettingsError(f"--impute is {self.impute!r}: give diffusion, knn or none")
        if self.impute != "none" and self.cluster_key is None:
            raise SettingsError("--impute smooths within clusters: add --cluster-key COLUMN")
        if self.scale is not None and self.spacing is not None:
            raise SettingsError("--coordinate-scale and --spacing both rescale: give one")
        if not (self.normalize or self.impute != "none" or self.scale or self.spacing):
            raise SettingsError("nothing to do: add --normalize, --impute, --coordinate-scale or --spacing")
        if out.suffix not in (".h5ad", ".zarr"):
            raise SettingsError(f"{out} is neither .h5ad nor .zarr")
        if not out.absolute().parent.is_dir():
            raise InputError(f"there is no folder {out.absolute().parent}")


def apply(adata: AnnData, choice: Choice, shell: Shell) -> list[str]:
    """Do the steps in place.

    Returns
    -------
    One sentence per step, in order.
    """
    from cytoripple import pp
    from cytoripple._progress import showing

    steps: list[str] = []
    if choice.scale is not None or choice.spacing is not None:
        steps.append(_rescale(adata, choice))
    if choice.normalize:
        pp.normalize(adata, layer=choice.layer, key_added=NORMALIZED)
        steps.append(f"layer {NORMALIZED}: {choice.layer or 'X'} scaled to 10,000 per cell, then log(1 + x)")
    if choice.impute != "none":
        source = NORMALIZED if NORMALIZED in adata.layers else (choice.layer or "X")
        method = cast('Literal["diffusion", "knn"]', choice.impute)
        with showing(shell.progress) as progress:
            pp.impute(
                adata,
                cluster_key=str(choice.cluster_key),
                method=method,
                layer=source,
                sample_key=choice.sample_key,
                key_added=IMPUTED,
                progress=progress,
            )
        steps.append(f"layer {IMPUTED}: {source} smoothed by {choice.impute} within {choice.cluster_key}")
    return steps


def _rescale(adata: AnnData, choice: Choice) -> str:
    """Rescale the coordinates and say how."""
    from cytoripple import pp

    if choice.scale is not None:
        pp.rescale_coordinates(adata, scale=choice.scale)
        adata.uns["spatial_units"] = "um"
        return f"coordinates multiplied by {choice.scale:g}, now taken as micrometers"
    pp.rescale_coordinates(adata, spacing=float(choice.spacing or 0), sample_key=choice.sample_key)
    factor = adata.uns["spatial_unscaled"]["parameters"]["factor"]
    adata.uns["spatial_units"] = "rescaled"
    return f"coordinates rescaled to a median spacing of {choice.spacing:g} (factor {factor:.4g})"


def write(adata: AnnData, out: Path) -> None:
    """Write under a temporary name and rename, so that no half file is left."""
    from cytoripple._provenance import atomic_path

    if out.suffix == ".zarr":
        _write_folder(adata, out)
        return
    with atomic_path(out) as temporary:
        adata.write_h5ad(temporary, compression="gzip")


def _write_folder(adata: AnnData, out: Path) -> None:
    import shutil

    from cytoripple._provenance import writing

    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        with writing(out.parent):
            adata.write_zarr(temporary)
        if out.is_dir():
            shutil.rmtree(out)
        temporary.replace(out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_network(network: Network, out: Path) -> None:
    """Write a network as a long edge list, the form `io.read_network` reads."""
    import pandas as pd

    from cytoripple._provenance import atomic_path

    tf = network.tf.assign(kind="tf", weight=1.0)
    lr = network.lr.rename(columns={"ligand": "source", "receptor": "target", "signaling": "lr_annotation"})
    tfl = network.tfl.rename(columns={"ligand": "source", "tf": "target"}).assign(kind="tfl")
    edges = pd.concat([tf, lr.assign(kind="lr", weight=1.0), tfl], ignore_index=True)
    edges = edges[["source", "target", "kind", "weight", "lr_annotation"]].astype(
        {"source": "str", "target": "str"}
    )
    with atomic_path(out) as temporary:
        edges.to_parquet(temporary, index=False)


def write_toy(out_dir: Path, cells: int, genes: int, seed: int) -> dict[str, Any]:
    """Write the toy tissue, its network and the truth it was made from."""
    from cytoripple import datasets

    toy = datasets.toy_tissue(n_cells=cells, n_genes=genes, seed=seed)
    out_dir.mkdir(parents=True, exist_ok=True)
    tissue_path, network_path = out_dir / "toy.h5ad", out_dir / "network.parquet"
    write(toy.adata, tissue_path)
    write_network(toy.network, network_path)
    return {
        "tissue": str(tissue_path),
        "network": str(network_path),
        "cells": toy.adata.n_obs,
        "genes": toy.adata.n_vars,
    }
