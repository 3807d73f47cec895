"""A comparison as one self-contained HTML page."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytoripple._page import fill, script_json
from cytoripple._provenance import write_text
from cytoripple.vc.comparison import PREDICTION, Comparison
from cytoripple.vc.metrics_de import calls
from cytoripple.vc.metrics_effects import own_genes
from cytoripple.vc.profiles import COUNTS, ERRORS, PROFILES

_SHORT = {
    "overlap_at_N": "DES",
    "discrimination_score_l1": "PDS",
    "mae": "MAE",
    "pearson_delta": "Pearson of effects",
    "de_direction_match": "direction match",
    "de_sig_genes_recall": "recall",
    "roc_auc": "ROC AUC",
    "de_nsig_counts_real": "DE genes, measured",
    "de_nsig_counts_pred": "DE genes, predicted",
}
"""Metrics of the table of perturbations, and what they are called there."""
_MOST_POINTS = 100_000
_FEWEST_GENES = 100
_SMALLEST = 1e-300
_WIDTH, _HEIGHT, _EDGE = 130.0, 18.0, 6.0


def write_report(
    comparison: Comparison, path: str | Path, *, title: str = "Predicted perturbation effects"
) -> Path:
    """Write a comparison as a page that needs no network and no other file.

    It shows every metric of the prediction beside the baselines and the ceiling, a table of the
    perturbations, and for any one of them the predicted against the measured effect and both volcano plots.
    Of large screens it draws the strongest genes of each perturbation and an even choice of the others.

    Parameters
    ----------
    comparison
        Result of `compare`. Volcano plots need a profile with tests, any but ``"anndata"`` and ``"pds"``.
    path
        Where to write; a file that is there is replaced.
    title
        Heading.

    Returns
    -------
    Path of the page.

    Raises
    ------
    FileError
        The folder does not exist, or the disk is full.

    Examples
    --------
    >>> import cytoripple as ct
    >>> ct.vc.write_report(ct.vc.compare(real, prediction), "report.html")  # doctest: +SKIP
    """
    target = Path(path).expanduser()
    write_text(target, fill("cytoripple.vc", _parts(comparison, title)))
    return target


def _parts(found: Comparison, title: str) -> dict[str, str]:
    scores = found.challenge_scores
    mine = scores.get(PREDICTION)
    badge = "no challenge score" if mine is None else f"challenge score {mine:.1f} of 100"
    notes = "".join(f"<li>{escape(sentence)}</li>" for sentence in found.prediction.warnings)
    with_ceiling = found.ceiling is not None
    return {
        "title": escape(title),
        "badge": badge,
        "badge_kind": "part" if not mine else "good",
        "tiles": _tiles(found),
        "notes": f"<ul class='notes'>{notes}</ul>" if notes else "",
        "explanation": _explanation(found),
        "scores": _scores(found, scores),
        "ceiling_legend": "<li><i style='background:var(--good)'></i>ceiling</li>" if with_ceiling else "",
        "data": script_json(page_data(found)),
    }


def _tiles(found: Comparison) -> str:
    means = found.prediction.aggregate.set_index("statistic").loc["mean"]
    tiles = {
        _SHORT[name]: f"{means[name]:.3f}"
        for name in ("overlap_at_N", "discrimination_score_l1", "mae")
        if name in means
    }
    tiles |= {
        "perturbations": f"{len(found.real_effects):,}",
        "genes": f"{len(found.genes):,}",
        "measured cells": f"{int(found.n_real.sum()):,}",
        "predicted cells": f"{int(found.n_pred.sum()):,}",
    }
    return "".join(f"<div><b>{value}</b><span>{escape(name)}</span></div>" for name, value in tiles.items())


def _explanation(found: Comparison) -> str:
    text = (
        f"Score: 0 is the baseline {found.reference}, 1 the best value there is. "
        "Errors, marked with a falling arrow, are better when small; the other metrics when large."
    )
    if found.ceiling is not None:
        text += " Ceiling: one half of the measured cells as prediction of the other, corrected to full size."
    return escape(text)


def _scores(found: Comparison, challenge: dict[str, float]) -> str:
    table = found.table.set_index("metric")
    columns = [name for name in table.columns if name != "score"]
    heads = "".join(f"<th class='number'>{escape(name)}</th>" for name in (*columns, "score"))
    lines = []
    if challenge:
        cells = "".join(_number(challenge.get(name, np.nan), 1) for name in (*columns, "score"))
        lines.append(f"<tr><td><b>challenge score</b></td>{cells}<td></td></tr>")
    order = sorted(table.index, key=lambda name: (name not in PROFILES["vcc"], list(table.index).index(name)))
    for name in order:
        row = table.loc[name]
        arrow = "" if name in COUNTS else " ↓" if name in ERRORS else " ↑"
        label = f"{name} ({_SHORT[name]})" if name in PROFILES["vcc"] else name
        cells = "".join(_number(float(row[column])) for column in (*columns, "score"))
        strip = "" if name in COUNTS else _strip(row.drop("score"), best_is_zero=name in ERRORS)
        lines.append(f"<tr><td>{escape(label)}{arrow}</td>{cells}<td class='strip'>{strip}</td></tr>")
    return (
        f"<table id='scores'><thead><tr><th>metric</th>{heads}<th></th></tr></thead>"
        f"<tbody>{''.join(lines)}</tbody></table>"
    )


def _number(value: float, digits: int = 3) -> str:
    small = 1e-9 < abs(value) < 1e-3
    text = "-" if not np.isfinite(value) else f"{value:.1e}" if small else f"{value:.{digits}f}"
    return f"<td class='number'>{text}</td>"


def _strip(row: Any, *, best_is_zero: bool) -> str:
    """Prediction, baselines and ceiling of a metric on one line."""
    values = {str(name): float(value) for name, value in row.items() if np.isfinite(value)}
    low = min(0.0, *values.values()) if values else 0.0
    high = max(*values.values(), low) if best_is_zero and values else 1.0
    high = high if high > low else low + 1.0
    marks = []
    for name, value in values.items():
        x = _EDGE + (value - low) / (high - low) * (_WIDTH - 2 * _EDGE)
        tip = f"<title>{escape(name)} {value:.3f}</title>"
        if name == PREDICTION:
            marks.append(f'<circle class="dot" cx="{x:.1f}" cy="9" r="5">{tip}</circle>')
        else:
            kind = "best" if name == "ceiling" else "tick"
            marks.insert(0, f'<path class="{kind}" d="M{x:.1f} 3V15">{tip}</path>')
    return (
        f'<svg viewBox="0 0 {_WIDTH:.0f} {_HEIGHT:.0f}" role="img" aria-label="values on one line">'
        f'<path class="axis" d="M{_EDGE} 9H{_WIDTH - _EDGE}"/>{"".join(marks)}</svg>'
    )


def page_data(found: Comparison) -> dict[str, Any]:
    """Collect what the pictures and the table of perturbations show, as JSON types.

    Fold changes that are infinite read ``"Infinity"`` and ``"-Infinity"``.
    """
    table = found.prediction.per_perturbation
    shown = [name for name in _SHORT if name in table]
    labels = [str(name) for name in table["perturbation"]]
    cells = zip(found.n_real[1:].tolist(), found.n_pred[1:].tolist(), strict=True)
    values = table[shown].to_numpy(dtype=np.float64)
    rows = [
        [label, *n, *(_plain(value, whole=name in COUNTS) for name, value in zip(shown, line, strict=True))]
        for label, n, line in zip(labels, cells, values, strict=True)
    ]
    genes_each = max(_FEWEST_GENES, _MOST_POINTS // len(labels))
    own = own_genes(labels, found.genes)
    perturbations = [_one(found, at, label, int(own[at]), genes_each) for at, label in enumerate(labels)]
    used = sorted({gene for one in perturbations for gene in one["genes"]})
    place = {gene: at for at, gene in enumerate(used)}
    for one in perturbations:
        one["genes"] = [place[gene] for gene in one["genes"]]
        one["own"] = place.get(one["own"], -1)
    return {
        "columns": ["perturbation", "cells, measured", "cells, predicted", *(_SHORT[name] for name in shown)],
        "whole": [1, 2, *(3 + at for at, name in enumerate(shown) if name in COUNTS)],
        "rows": rows,
        "genes": [str(found.genes[gene]) for gene in used],
        "genes_measured": len(found.genes),
        "perturbations": perturbations,
    }


def _one(found: Comparison, at: int, label: str, own: int, most: int) -> dict[str, Any]:
    effects = found.real_effects[at], found.pred_effects[at]
    strength = [np.abs(effect) for effect in effects]
    tests = found.prediction.tests_real, found.prediction.tests_pred
    pair = [] if tests[0] is None or tests[1] is None else [tests[0], tests[1]]
    rates = [-np.log10(np.maximum(test.fdr[at], _SMALLEST)) for test in pair]
    genes = _drawn([*strength, *rates], own, most)
    one: dict[str, Any] = {"name": label, "own": own, "genes": genes.tolist()}
    one |= {side: _digits(effect[genes]) for side, effect in zip(("real", "pred"), effects, strict=True)}
    bits = np.zeros(len(found.genes), dtype=np.int64)
    for power, test in enumerate(pair):
        bits[calls(test, at).ranked] += 1 << power
    one["significant"] = bits[genes].tolist()
    for side, test, rate in zip(("real", "pred"), pair, rates, strict=False):
        one[f"lfc_{side}"] = _digits(test.log2_fold_change[at][genes])
        one[f"q_{side}"] = _digits(rate[genes])
    return one


def _drawn(strengths: list[NDArray[np.float64]], own: int, most: int) -> NDArray[np.int64]:
    """At most `most` genes: the strongest by any measure, the own one, and every k-th of the others."""
    n = len(strengths[0])
    if n <= most:
        return np.arange(n)
    ranks = np.stack([np.argsort(np.argsort(-values, kind="stable")) for values in strengths])
    best = ranks.min(axis=0)
    if own >= 0:
        best[own] = -1
    order = np.argsort(best, kind="stable")
    strong, others = order[: most // 2], np.sort(order[most // 2 :])
    even = others[np.linspace(0, len(others) - 1, most - len(strong)).astype(np.int64)]
    return np.sort(np.concatenate([strong, even]))


def _plain(value: float, *, whole: bool) -> float | int | None:
    if not np.isfinite(value):
        return None
    return int(value) if whole else float(f"{value:.6g}")


def _digits(values: NDArray[np.float64]) -> list[float | str]:
    """Four digits are more than a picture shows."""
    infinite = {np.inf: "Infinity", -np.inf: "-Infinity"}
    return [infinite.get(value, float(f"{value:.4g}")) for value in values.tolist()]
