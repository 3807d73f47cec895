"""The work of ``cytoripple deconvolve``: open, fit or estimate, write, print."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cytoripple._errors import InputError
from cytoripple.cli._shell import Shell

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from rich.console import Console

KEY, SPOTS = "deconvolution", "deconvolved.h5ad"
_PILOT = (1024, 2048)
"""Spots of the two trial fits of an estimate: their difference is the cost of a spot."""
_BYTES = {"default": 150, "fast": 24, "flashdeconv": 60}
"""Bytes per spot and type that a fit takes at most, beside the counts."""
_FIXED_MB = 100
_LISTED = 8
_OPTIONS = ("method", "layer", "reference_layer", "sample_key", "kappa", "stability", "seed", "cell_type_key")


def run_deconvolution(flags: Mapping[str, Any], shell: Shell) -> None:
    """Deconvolve as the flags say, or tell what it would cost."""
    start = time.perf_counter()
    out: Path = flags["out"]
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file: give a folder with --out")
    spots = out / SPOTS
    if spots.exists() and flags["h5ad"].exists() and spots.samefile(flags["h5ad"]):
        raise InputError(f"{spots} is the input: give another folder with --out")
    if flags["table"] not in ("csv", "parquet"):
        raise InputError(f"--table is {flags['table']!r}: give csv or parquet")
    options: dict[str, Any] = {name: flags[name] for name in _OPTIONS}
    options["spatial_key"] = None if flags["spatial_key"] == "none" else flags["spatial_key"]
    options["threads"] = flags["threads"] or 0
    reference = read_reference(flags["reference"])
    with opened(flags["h5ad"], flags["in_memory"] or flags["layer"] is not None, shell) as adata:
        if flags["dry_run"]:
            report = estimate(adata, reference, options)
            shell.result(report, lambda console: show_estimate(console, report))
            return
        from cytoripple import tl

        tl.deconvolve(adata, reference, progress=shell.progress, key_added=KEY, **options)
        report = write_results(adata, flags, shell)
    report["seconds"] = round(time.perf_counter() - start, 3)
    shell.result(report, lambda console: show(console, report))


def read_reference(path: Path) -> AnnData | pd.DataFrame:
    """Annotated cells, or a table types x genes whose first column names the types.

    Raises
    ------
    InputError
        The table cannot be read or is not made of numbers.
    """
    import pandas as pd

    from cytoripple import io

    if path.suffix not in (".csv", ".tsv", ".parquet"):
        return io.read(path)
    if not path.exists():
        raise InputError(f"there is no file {path}")
    if path.suffix == ".parquet":
        table = pd.read_parquet(path)
        table = table if table.index.dtype == object else table.set_index(table.columns[0])
    else:
        table = pd.read_csv(path, sep="\t" if path.suffix == ".tsv" else ",", index_col=0)
    bad = [str(name) for name, kind in table.dtypes.items() if kind.kind not in "biuf"]
    if bad or table.empty:
        raise InputError(
            f"{path}: expected types x genes, the first column with the names of the types"
            + (f"; column {bad[0]!r} holds no numbers" if bad else "")
        )
    return table


@contextmanager
def opened(path: Path, in_memory: bool, shell: Shell) -> Iterator[AnnData]:
    """Spots whose counts stay on disk where the file allows it."""
    from cytoripple import io

    adata = io.read(path, backed=not in_memory)
    try:
        if adata.isbacked and getattr(adata.X, "format", "csr") == "csc":
            shell.say("the counts are stored by columns: they are loaded into memory")
            yield adata.to_memory()
        else:
            yield adata
    finally:
        if adata.isbacked:
            adata.file.close()


def estimate(adata: AnnData, reference: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """Fit the first spots twice and scale up. Nothing is written.

    Times are CPU time over cores, which other work on the machine disturbs least.
    """
    import logging
    import os

    from cytoripple import tl

    seconds, sizes = [], []
    cores = options["threads"] or os.cpu_count() or 1
    log = logging.getLogger("cytoripple")
    before = log.level
    log.setLevel(logging.ERROR)  # warnings about a few spots would mislead
    try:
        for size in _PILOT:
            part = adata[: min(size, adata.n_obs)]
            part = part.to_memory() if part.isbacked else part.copy()
            start = time.process_time()
            tl.deconvolve(part, reference, key_added=KEY, **options)
            seconds.append((time.process_time() - start) / cores)
            sizes.append(part.n_obs)
            genes, types = part.uns[KEY]["n_genes"], part.obsm[KEY].shape[1]
            if part.n_obs == adata.n_obs:
                break
    finally:
        log.setLevel(before)
    total = seconds[-1]
    if sizes[-1] < adata.n_obs:
        slope = max(seconds[-1] - seconds[0], 0.1 * seconds[-1]) / (sizes[-1] - sizes[0])
        total += slope * (adata.n_obs - sizes[-1])
    rise = _BYTES[options["method"]] * adata.n_obs * types / 1e6 + _FIXED_MB
    return {
        "spots": adata.n_obs,
        "genes_shared": genes,
        "types": types,
        "method": options["method"],
        "counts_on_disk": bool(adata.isbacked),
        "spots_tried": sizes[-1],
        "seconds_about": float(f"{total:.2g}"),
        "memory_mb_at_most": round(rise),
    }


def write_results(adata: AnnData, flags: Mapping[str, Any], shell: Shell) -> dict[str, Any]:
    """Write spots, table and pictures; what was found in plain numbers."""
    import numpy as np

    from cytoripple._provenance import atomic_path
    from cytoripple.cli import _pictures
    from cytoripple.cli._tables import peak_memory_mb

    out: Path = flags["out"]
    out.mkdir(parents=True, exist_ok=True)
    shares = adata.obsm[KEY]
    table = out / f"proportions.{flags['table']}"
    with atomic_path(table) as temporary:
        if flags["table"] == "csv":
            shares.to_csv(temporary, float_format="%.5g")
        else:
            shares.to_parquet(temporary)
    spots = out / SPOTS
    with atomic_path(spots) as temporary:
        write_spots(adata, flags["h5ad"], temporary)
    drawn = []
    if flags["pictures"] and flags["spatial_key"] != "none" and _pictures.can_draw(shell):
        drawn = _pictures.of_proportions(adata, out, shell, key=KEY, spatial_key=flags["spatial_key"])
    record = adata.uns[KEY]
    dominant = adata.obs[f"{KEY}_dominant"].value_counts()
    mean = shares.mean().sort_values(ascending=False)
    return {
        "files": [str(spots), str(table)],
        "pictures": drawn,
        "method": flags["method"],
        "spots": adata.n_obs,
        "spots_without_counts": int(np.isnan(shares.to_numpy()[:, 0]).sum()),
        "genes": record["n_genes"],
        "platform_sd": record.get("platform_sd"),
        "mean_share": {str(name): float(value) for name, value in mean.items()},
        "dominant_in": {str(name): int(dominant[name]) for name in mean.index},
        "missing_genes": [str(name) for name in record.get("missing_genes", [])],
        "peak_memory_mb": peak_memory_mb(),
    }


def write_spots(adata: AnnData, source: Path, target: Path) -> None:
    """Write all of `adata`; counts that stay on disk are copied with their file, never loaded."""
    if not adata.isbacked:
        adata.write_h5ad(target, compression="gzip")
        return
    import h5py
    from anndata.io import write_elem

    shutil.copyfile(source, target)
    target.chmod(0o644)
    with h5py.File(target, "r+") as file:
        write_elem(file, "obs", adata.obs)
        for name in (KEY, f"{KEY}_stability"):
            if name in adata.obsm:
                write_elem(file["obsm"], name, adata.obsm[name])
        write_elem(file["uns"], KEY, adata.uns[KEY])


def show(console: Console, report: Mapping[str, Any]) -> None:
    """Print the most abundant types and where the files are."""
    from cytoripple.cli._tables import duration, grid

    rows = [
        [name, f"{100 * share:.1f} %", report["dominant_in"][name]]
        for name, share in list(report["mean_share"].items())[:_LISTED]
    ]
    more = len(report["mean_share"]) - len(rows)
    console.print(grid(["cell type", "mean share", "dominant in"], rows, f"{report['spots']:,} spots"))
    if more > 0:
        console.print(f"and {more} more types")
    if report["spots_without_counts"]:
        console.print(f"{report['spots_without_counts']:,} spots have no counts and no proportions")
    if report["missing_genes"]:
        listed = ", ".join(report["missing_genes"][:_LISTED])
        console.print(
            f"genes that may point to a type missing from the reference (a hint, no test): {listed}"
        )
    for path in (*report["files"], *report["pictures"]):
        console.print(str(path), soft_wrap=True, markup=False)
    console.print(f"done in {duration(report['seconds'])}")


def show_estimate(console: Console, report: Mapping[str, Any]) -> None:
    """Print what a fit would cost."""
    from cytoripple.cli._tables import duration, pairs

    where = "stay on disk" if report["counts_on_disk"] else "are in memory already"
    rows = {
        "spots": f"{report['spots']:,}",
        "shared genes": f"{report['genes_shared']:,}",
        "types": report["types"],
        "time": f"about {duration(report['seconds_about'])} (tried on {report['spots_tried']:,} spots)",
        "memory": f"at most {report['memory_mb_at_most']:,} MB; the counts {where}",
    }
    console.print(pairs(rows, "nothing was written"))
