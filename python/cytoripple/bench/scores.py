"""Scores of one fitted model on one tissue."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from cytoripple.bench import truth_metrics as metrics
from cytoripple.bench.design import Arena
from cytoripple.bench.model import Fit, FittedTissue, Propagation
from cytoripple.datasets._ripple_means import ripple_means, type_means
from cytoripple.datasets.ripple import TruePerturbation

Floats = NDArray[np.float64]
GROUPS = {"tf": 0, "lr": 1}


def regulated(arena: Arena) -> NDArray[np.bool_]:
    """Targets that something regulates in truth: all but the masters."""
    edges = arena.tissue.truth.edges
    known = set(edges["target"][edges["kind"] == "tf"])
    return np.array([target in known for target in arena.design.targets])


def edge_scores(arena: Arena, fit: Fit) -> dict[str, float]:
    """AUPR of TF and ligand-receptor edges, and the number of coefficients per target and type.

    Every type, candidates of all regulated genes, scored by the size of the standardized coefficient and
    labeled by what acts in the type; mean over types.
    """
    design, edges = arena.design, arena.tissue.truth.edges
    owner = np.repeat(np.arange(len(design.targets)), np.diff(design.indptr))
    judged = regulated(arena)[owner]
    names = [(m.target, name) for m in design.modulators for name in m.names]
    score = np.abs(fit.coef) * design.moments[1]
    found: dict[str, list[float]] = {kind: [] for kind in GROUPS}
    for k in np.unique(design.types):
        deviation = design.y[design.types == k].std(axis=0)[owner]
        standardized = np.divide(score[:, k], deviation, out=np.zeros(len(owner)), where=deviation > 0)
        acting = edges[edges["cell_type"] == f"type{k}"]
        true = set(zip(acting["target"], acting["modulator"], strict=True))
        label = np.array([name in true for name in names])
        for kind, group in GROUPS.items():
            chosen = judged & (design.columns[:, 0] == group)
            found[kind].append(metrics.average_precision(standardized[chosen], label[chosen]))
    scores = {f"{kind}_aupr": metrics.mean(values) for kind, values in found.items()}
    return {**scores, "n_coefficients": float((fit.coef != 0).sum() / (len(design.targets) * design.n_types))}


def held_out_score(arena: Arena, model: FittedTissue) -> float:
    """Mean R2 of the regulated targets in cells that no fit has seen."""
    design, out = arena.design, arena.held_out
    y = arena.expression[out][:, design.target_genes]
    predicted = model.predict(arena.expression[out], arena.received[out], arena.types[out])
    center = np.empty((design.n_types, y.shape[1]))
    for k in range(design.n_types):
        inside = design.types == k
        center[k] = design.y[inside].mean(axis=0) if inside.any() else design.y.mean(axis=0)
    r2 = metrics.held_out_r2(y, predicted, center[arena.types[out]])
    return metrics.mean(r2[regulated(arena)].tolist())


def perturbation_scores(
    arena: Arena,
    model: FittedTissue,
    *,
    n_propagation: int,
    threads: int,
    step: Callable[[int], object] = lambda done: None,
) -> dict[str, float]:
    """Metrics of predicted effects (perturbed everywhere) and ripples (regions), means over perturbations."""
    propagation = Propagation(model, arena, threads=threads)
    effects, ripples = [], []
    for done, truth in enumerate(arena.tissue.truth.perturbations):
        gene = arena.design.genes.index(truth.gene)
        cells = truth.cells[arena.order]
        delta = propagation.reevaluate(gene, truth.layer_value, cells, n_propagation=n_propagation)
        if truth.ripple is None:
            effects.append(_effect(arena, truth, delta, gene))
        else:
            ripples.append(_ripple(arena, truth.ripple, cells, delta))
        step(done + 1)
    return {
        **{f"effect_{name}": value for name, value in metrics.mean_of(effects).items()},
        **{f"ripple_{name}": value for name, value in metrics.mean_of(ripples).items()},
    }


def _effect(arena: Arena, truth: TruePerturbation, delta: Floats, gene: int) -> dict[str, float]:
    predicted = type_means(delta, arena.types, len(truth.effect))
    return metrics.change_metrics(
        np.delete(truth.effect, gene, axis=1),
        np.delete(predicted, gene, axis=1),
        threshold=metrics.EFFECT_THRESHOLD,
    )


def _ripple(arena: Arena, truth: Floats, cells: NDArray[np.bool_], delta: Floats) -> dict[str, float]:
    predicted = ripple_means(delta, cells, arena.xy, arena.types, truth.shape[1])
    found = metrics.change_metrics(truth, predicted, threshold=metrics.RIPPLE_THRESHOLD)
    for b, (true, guess) in enumerate(zip(truth, predicted, strict=True)):
        of_bin = metrics.change_metrics(true, guess, threshold=metrics.RIPPLE_THRESHOLD)
        if of_bin:
            found[f"pearson_bin{b}"] = of_bin["pearson"]
    return found
