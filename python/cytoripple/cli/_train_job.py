"""The work of ``cytoripple train``: settings, checks, training, and the table at the end."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cytoripple._errors import SettingsError
from cytoripple.cli import _inputs as inputs
from cytoripple.cli._options import names
from cytoripple.cli._shell import Shell
from cytoripple.cli._train_options import SETTINGS

if TYPE_CHECKING:
    from anndata import AnnData
    from rich.console import Console

    from cytoripple._settings import Settings
    from cytoripple.io.network import Network
    from cytoripple.io.run import Run

_LEADER_DECIDES = frozenset({"h5ad", "network", "tf_prior", "threads", "output_dir", "stale_lock_secs"})


def run_training(flags: Mapping[str, Any], shell: Shell) -> None:
    """Train as the flags say and write the result."""
    start = time.perf_counter()
    join: Path | None = flags["join_output_dir"]
    settings = _joined(flags, join, shell) if join else _own(flags)
    adata = inputs.read_tissue_file(
        settings.data.adata_path, settings.spatial.coordinate_scale, settings.data.spatial_key
    )
    network = inputs.read_network_for(settings, adata)
    if join is None:
        settings = _completed(settings, adata, network, flags, shell)
    run_dir = join or Path(settings.execution.output_dir)
    run = train_and_watch(adata, settings, network, run_dir, shell, join=join is not None)
    report = report_of(run, time.perf_counter() - start)
    shell.result(report, lambda console: show(console, report))


def train_and_watch(
    adata: AnnData, settings: Settings, network: Network, run_dir: Path, shell: Shell, *, join: bool = False
) -> Run:
    """Train with progress on stderr and write the HTML report into the run directory."""
    from cytoripple._progress import showing
    from cytoripple.grn.train import train_with

    with showing(shell.progress) as progress:
        return train_with(adata, settings, network=network, run_dir=run_dir, join=join, progress=progress)


def _own(flags: Mapping[str, Any]) -> Settings:
    """Read the settings of a run of its own: file, then flags."""
    if flags["top_variable"] is not None and (flags["genes"] or flags["max_genes"]):
        raise SettingsError("--top-variable chooses the genes itself: leave out --genes and --max-genes")
    given = {key: _converted(name, flags[name]) for name, key in SETTINGS.items() if flags[name] is not None}
    given["spatial.coordinate_scale"] = flags["coordinate_scale"]
    settings = inputs.read_settings(flags["config"], given)
    if not settings.execution.output_dir:
        stem = Path(settings.data.adata_path).stem or "run"
        settings = settings.with_overrides({"execution.output_dir": f"{stem}_{date.today():%Y-%m-%d}"})
    return settings


def _joined(flags: Mapping[str, Any], join: Path, shell: Shell) -> Settings:
    """Read the settings of the run that is joined; only where the work is done may differ."""
    from cytoripple import io

    if flags["condition"]:
        raise SettingsError("--join-output-dir joins one run, not a split: leave out --condition")
    settings = io.run.open_run(join).settings
    ignored = [name for name in SETTINGS if flags[name] is not None and name not in _LEADER_DECIDES]
    if ignored:
        listed = ", ".join(f"--{name.replace('_', '-')}" for name in ignored)
        shell.warn(f"the run's own settings are used, so {listed} are ignored")
    own = {
        SETTINGS[name]: str(flags[name])
        for name in ("h5ad", "network", "tf_prior")
        if flags[name] is not None
    }
    own |= {SETTINGS[name]: flags[name] for name in ("threads", "stale_lock_secs") if flags[name] is not None}
    return settings.with_overrides(own, where="the command line") if own else settings


def _converted(name: str, value: object) -> object:
    if name in ("group_reg", "l1_reg", "kappa"):
        return inputs.penalty(str(value))
    if name in ("genes", "extra_modulators"):
        return tuple(names(str(value)))
    if name == "extra_lr":
        return tuple(pair_list(str(value)))
    return str(value) if isinstance(value, Path) else value


def pair_list(text: str) -> list[str]:
    """Ligand-receptor pairs of ``L1$R1,L2$R2`` or ``L1,R1;L2,R2``."""
    if ";" in text:
        return [part.strip() for part in text.split(";") if part.strip()]
    return names(text) if "$" in text else [text.strip()]


def _completed(
    settings: Settings, adata: AnnData, network: Network, flags: Mapping[str, Any], shell: Shell
) -> Settings:
    """Add to the settings what the data decide: clusters when nobody named them, the most variable genes."""
    from cytoripple import pp

    default = (
        settings.data.cluster_annot == type(settings)().data.cluster_annot and flags["cluster_key"] is None
    )
    key = inputs.cluster_key(adata, settings.data.cluster_annot, is_default=default, shell=shell)
    more: dict[str, object] = {"data.cluster_annot": key}
    warn_about_radius(adata, settings, shell)
    if flags["top_variable"] is not None:
        regulated = set(network.restrict(adata.var_names).tf["target"])
        chosen = pp.most_variable_genes(
            adata, flags["top_variable"], layer=settings.data.layer, among=regulated
        )
        shell.say(f"targets: the {len(chosen)} most variable genes that have a regulator")
        more["training.genes"] = tuple(chosen)
    return settings.with_overrides(more)


def warn_about_radius(adata: AnnData, settings: Settings, shell: Shell) -> None:
    """Say when the radius does not fit the coordinates. Bad coordinates are reported by the training."""
    import numpy as np

    from cytoripple.pl._values import SPATIAL_KEYS

    keys = [settings.data.spatial_key] if settings.data.spatial_key else list(SPATIAL_KEYS)
    found = next((adata.obsm[key] for key in keys if key in adata.obsm), None)
    if found is None:
        return
    xy = np.asarray(found, dtype=np.float64)
    if xy.ndim != 2 or xy.shape[1] < 2 or not np.isfinite(xy).all():
        return
    key = settings.data.sample_key
    samples = list(adata.obs[key].astype(str)) if key in adata.obs else None
    odd = inputs.radius_warning(settings.spatial.radius, *inputs.geometry(xy[:, :2], samples))
    if odd:
        shell.warn(odd)


def report_of(run: Run, seconds: float) -> dict[str, Any]:
    """Collect counts, scores, cost and places of a finished run."""
    from cytoripple.cli._tables import peak_memory_mb
    from cytoripple.io.run import SUMMARY_FILE

    report = run.summary()
    page = run.directory / SUMMARY_FILE
    report |= {
        "seconds": round(seconds, 3),
        "peak_memory_mb": peak_memory_mb(),
        "report": str(page) if page.is_file() else None,
    }
    if not report["genes"] and not report["conditions"]:
        report["advice"] = why_nothing(run)
    return report


def why_nothing(run: Run) -> list[str]:
    """Reasons why no gene has coefficients, the most frequent first, each with the typical remedy."""
    from collections import Counter

    reasons = Counter([*run.orphans().values(), *run.failed().values()])
    advice = [f"{count} genes: {reason}" for reason, count in reasons.most_common(3)]
    text = " ".join(reasons)
    if "score threshold" in text:
        advice.append("lower --score-threshold, or use --estimator joint, which has none")
    if "penalty removes" in text:
        advice.append(
            "the held-out cells are predicted best without coefficients: the data may be too shallow or the "
            "clusters too small; --kappa 0.35 fits nevertheless"
        )
    if not reasons or "modulator" in text:
        advice.append("check the species and the gene names: cytoripple data check TISSUE --network NETWORK")
    return advice


def show(console: Console, report: Mapping[str, Any]) -> None:
    """Print the table at the end of a training."""
    from rich.markup import escape

    from cytoripple.cli._tables import duration, pairs, text

    rows: dict[str, object] = {
        "genes trained": report["genes"],
        "orphans (no coefficient left)": report["orphans"],
        "failed": report["failed"],
        "penalty multiplier (kappa)": text(report["kappa"]),
        "median R2 in sample": text(report["median_r2"]),
        "median R2 out of sample": text(report["median_held_out_r2"]),
        "targets above the mean out of sample": report["predictable"],
        "wall time": duration(report["seconds"]),
        "peak memory": "-" if report["peak_memory_mb"] is None else f"{report['peak_memory_mb']:,.0f} MB",
        "run directory": report["directory"],
        "report": text(report["report"]),
    }
    if report["conditions"]:
        rows["conditions"] = text(report["conditions"])
    console.print(pairs(rows))
    for line in report.get("advice", ()):
        console.print(f"[yellow]nothing was written:[/] {escape(line)}")
    if report["genes"]:
        where = shlex.quote(str(report["directory"]))
        console.print(
            f"\nnext: cytoripple perturb --run {escape(where)} --gene GENE --out ko_GENE", soft_wrap=True
        )
