"""Run summary as one self-contained HTML page."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cytoripple._anndata import Tissue
from cytoripple._modulators import modulator_kind
from cytoripple._page import fill, script_json
from cytoripple._provenance import write_text
from cytoripple.grn._drawing import bar_chart, cluster_map, histogram
from cytoripple.io.run import SCALES_FILE, SUMMARY_FILE, Run

if TYPE_CHECKING:
    import pandas as pd

_MODULATORS = 20
_EDGES = 25
_INNER = [
    "cluster",
    "n_cells",
    "n_modulators",
    "raw",
    "held_out_r2",
    "mse",
    "n_iter",
    "converged",
    "gap",
]


def write_report(
    run: Run, tissue: Tissue | None = None, *, path: str | Path | None = None, times: bool = False
) -> Path:
    """Write the summary of a run.

    Parameters
    ----------
    run
        A run of cytoripple or of the reference; the groups of a condition split are shown together.
    tissue
        The training data, for the map and the counts of cells.
    path
        Where to write; ``cytoripple_run_summary.html`` in the run directory when not given.
    times
        Show when the processes started and ended. Without it the page depends on the results alone.

    Returns
    -------
    Path of the page.

    Raises
    ------
    RunError
        The disk is full, or a log cannot be read.
    """
    target = run.directory / SUMMARY_FILE if path is None else Path(path).expanduser()
    write_text(target, fill("cytoripple.grn", _parts(run, tissue, times)))
    return target


def _parts(run: Run, tissue: Tissue | None, times: bool) -> dict[str, str]:
    runs = run.conditions() or {"": run}
    summaries = {label: part.summary() for label, part in runs.items()}
    scores = _scores(runs)
    badge, kind = status(list(summaries.values()))
    labels = run.cluster_labels
    total = {key: sum(item[key] for item in summaries.values()) for key in ("genes", "orphans", "failed")}
    tiles = {
        "cells": len(tissue.obs_names) if tissue else run.provenance.get("n_cells", "?"),
        "genes in the data": len(tissue.var_names) if tissue else run.provenance.get("n_genes", "?"),
        "genes with coefficients": total["genes"],
        "genes with a log": scores["gene"].nunique(),
    }
    data = {"labels": list(labels), "genes": _gene_rows(scores, runs)}
    return {
        "title": escape(Path(run.settings.data.adata_path).stem or "Training run"),
        "badge": escape(badge),
        "badge_kind": kind,
        "tiles": "".join(
            f"<div><b>{value}</b><span>{escape(name)}</span></div>" for name, value in tiles.items()
        ),
        "data_card": _card("Data", _data_facts(run, tissue)),
        "training_card": _card("Training", _training_facts(run, total)),
        "times": _times(runs) if times else "",
        "map": cluster_map(tissue.xy, tissue.clusters, tissue.cluster_labels)
        if tissue
        else _none("no data given"),
        "r2": histogram(
            np.asarray(_raw(scores), dtype=np.float64), "R² on the training cells, before the threshold"
        ),
        "held_out": histogram(
            np.asarray(scores["held_out_r2"], dtype=np.float64), "R² on held-out spatial blocks"
        ),
        "modulators": _modulators(runs, labels),
        "reasons": _reasons(runs),
        "settings": escape(_toml(run)),
        "data": script_json(data),
    }


def status(summaries: list[Mapping[str, Any]]) -> tuple[str, str]:
    """Badge text and kind (``good``, ``part`` or ``bad``) from the counts of a run or its groups."""
    failed = sum(item["failed"] for item in summaries)
    genes = sum(item["genes"] for item in summaries)
    if failed:
        return f"{failed} genes failed", "bad"
    if genes == 0:
        return "no gene has coefficients", "bad"
    if any(item["complete"] is False for item in summaries):
        done = sum(item["genes"] + item["orphans"] for item in summaries)
        return f"{done} of {sum(item['targets'] or 0 for item in summaries)} genes", "part"
    return ("complete", "good") if all(item["complete"] for item in summaries) else (f"{genes} genes", "part")


def _scores(runs: Mapping[str, Run]) -> pd.DataFrame:
    import pandas as pd

    parts = []
    for label, run in runs.items():
        part = run.scores()
        parts.append(part.assign(gene=[_shown(label, gene) for gene in part["gene"]]))
    return pd.concat(parts, ignore_index=True)


def _shown(label: str, gene: str) -> str:
    return f"{label}::{gene}" if label else gene


def _raw(scores: pd.DataFrame) -> pd.Series[float]:
    return scores["r2_raw"].fillna(scores["r2"])


def _gene_rows(scores: pd.DataFrame, runs: Mapping[str, Run]) -> list[dict[str, Any]]:
    kept = {_shown(label, gene) for label, run in runs.items() for gene in run.genes()}
    rows = []
    table = scores.assign(raw=_raw(scores)).sort_values(["gene", "cluster"], kind="stable")
    cells = table[_INNER].to_numpy(dtype=object)
    names = table["gene"].to_numpy(dtype=object)
    bounds = [0, *(np.flatnonzero(names[1:] != names[:-1]) + 1).tolist(), len(names)]
    for first, last in pairwise(bounds if len(names) else []):
        part = cells[first:last]
        raw, held = part[:, 3].astype(np.float64), part[:, 4].astype(np.float64)
        rows.append(
            {
                "gene": names[first],
                "mean": _number(float(raw.mean())),
                "min": _number(float(raw.min())),
                "max": _number(float(raw.max())),
                "held": _number(float(held[np.isfinite(held)].mean())) if np.isfinite(held).any() else None,
                "converged": _number(float(part[:, 7].astype(np.float64).mean())),
                "clusters": len(part),
                "export": "betadata" if names[first] in kept else "orphan",
                "rows": [
                    [_number(value) if isinstance(value, float) else value for value in row]
                    for row in part.tolist()
                ],
            }
        )
    return rows


def _number(value: float) -> float | None:
    return float(f"{value:.6g}") if np.isfinite(value) else None


def _data_facts(run: Run, tissue: Tissue | None) -> dict[str, object]:
    data = run.settings.data
    facts: dict[str, object] = {
        "file": data.adata_path or "given as an object",
        "layer": data.layer,
        "cluster column": data.cluster_annot,
        "clusters": len(run.cluster_labels),
        "coordinates": tissue.spatial_key if tissue else data.spatial_key or "found by itself",
        "sample column": data.sample_key or "none",
        "species": run.provenance.get("species", "?"),
        "network": run.provenance.get("network_name", "?"),
    }
    if tissue is not None:
        facts["shape"] = f"{len(tissue.obs_names)} cells x {len(tissue.var_names)} genes"
    return facts


def _training_facts(run: Run, total: Mapping[str, int]) -> dict[str, object]:
    lasso, spatial = run.settings.lasso, run.settings.spatial
    chosen = run.cross_validation.get("kappa")
    if chosen is not None:
        penalty = f"cross-validated, κ = {chosen:.4g}"
    else:
        penalty = (
            f"group {lasso.group_reg}, l1 {lasso.l1_reg}" if lasso.kappa == "cv" else f"κ = {lasso.kappa:.4g}"
        )
    noise = "taken out" if "size_factors_hash" in run.provenance else "left in"
    threshold = run.settings.training.score_threshold
    return {
        "estimator": run.settings.training.estimator or "?",
        "noise of counting": noise,
        "penalty": penalty,
        "solver": lasso.solver,
        "radius": f"{spatial.radius:g}, contact {spatial.contact_distance:g}",
        "kernel": run.kernel,
        "score threshold": "none" if threshold is None else threshold,
        "folds": run.settings.training.cv_folds,
        "orphans": total["orphans"],
        "failed": total["failed"],
        "version": run.provenance.get("version", "?"),
    }


def _card(title: str, facts: Mapping[str, object]) -> str:
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(str(value))}</dd>" for name, value in facts.items())
    return f"<section class='card'><h2>{escape(title)}</h2><dl>{rows}</dl></section>"


def _times(runs: Mapping[str, Run]) -> str:
    sessions = [session for run in runs.values() for session in run.manifest().get("sessions", ())]
    if not sessions:
        return ""
    first, last = min(item["started"] for item in sessions), max(item["finished"] for item in sessions)
    return f"<p class='times'>started {escape(first)}, finished {escape(last)}, {len(sessions)} processes</p>"


def _modulators(runs: Mapping[str, Run], labels: tuple[str, ...]) -> str:
    import pandas as pd

    usable = {
        label: run for label, run in runs.items() if run.genes() and (run.directory / SCALES_FILE).is_file()
    }
    if not usable:
        return _none("no coefficients")
    parts = []
    for label, run in usable.items():
        part = run.effects()
        parts.append(part.assign(gene=[_shown(label, gene) for gene in part["gene"]]))
    effects = pd.concat(parts, ignore_index=True)
    strength = (
        effects["effect"]
        .abs()
        .groupby(effects["modulator"])
        .sum()
        .sort_values(ascending=False, kind="stable")
    )
    top = strength.iloc[:_MODULATORS]
    names = [str(name) for name in top.index]
    extra = {name for run in usable.values() for name in run.settings.grn.extra_modulators}
    chart = bar_chart(names, top.tolist(), [modulator_kind(name, extra) for name in names])
    order = np.argsort(-effects["effect"].abs().to_numpy(), kind="stable")[:_EDGES]
    rows = "".join(
        f"<tr><td>{escape(gene)}</td><td>{escape(_label(labels, cluster))}</td><td>{escape(modulator)}</td>"
        f"<td>{beta:.4g}</td><td>{effect:+.3f}</td></tr>"
        for gene, cluster, modulator, beta, effect in effects.iloc[order].to_numpy(dtype=object).tolist()
    )
    return (
        f"<h3>Sum of |effect| over targets and clusters</h3>{chart}<h3>Largest single effects</h3>"
        "<table><thead><tr><th>target</th><th>cluster</th><th>modulator</th><th>beta</th><th>effect</th></tr></thead>"
        f"<tbody>{rows}</tbody></table>"
    )


def _label(labels: tuple[str, ...], cluster: int) -> str:
    return labels[cluster] if cluster < len(labels) else str(cluster)


def _reasons(runs: Mapping[str, Run]) -> str:
    parts = []
    for title, found in (
        (
            "Failed",
            {_shown(label, gene): why for label, run in runs.items() for gene, why in run.failed().items()},
        ),
        (
            "Orphans",
            {_shown(label, gene): why for label, run in runs.items() for gene, why in run.orphans().items()},
        ),
    ):
        if found:
            rows = "".join(
                f"<tr><td>{escape(gene)}</td><td>{escape(why)}</td></tr>" for gene, why in found.items()
            )
            parts.append(
                f"<details><summary>{title} ({len(found)})</summary>"
                f"<table><tbody>{rows}</tbody></table></details>"
            )
    return "".join(parts)


def _none(text: str) -> str:
    return f"<p class='none'>{escape(text)}</p>"


def _toml(run: Run) -> str:
    import tomli_w

    table: dict[str, Any] = dict(run.settings.as_table())
    if run.provenance:
        table["provenance"] = dict(run.provenance)
    if run.cross_validation:
        table["cross_validation"] = dict(run.cross_validation)
    return tomli_w.dumps(table)
