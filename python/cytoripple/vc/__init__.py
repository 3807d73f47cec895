"""Virtual cell: data, baselines and metrics of perturbation prediction."""

from __future__ import annotations

from importlib import import_module

_HOME = {
    "Ceiling": "cytoripple.vc.split_half",
    "DEDetails": "cytoripple.vc.training_metrics",
    "Evaluation": "cytoripple.vc.evaluation",
    "RunningMean": "cytoripple.vc.training_metrics",
    "ceiling": "cytoripple.vc.split_half",
    "compute_de": "cytoripple.vc.training_metrics",
    "compute_mae": "cytoripple.vc.training_metrics",
    "compute_pds": "cytoripple.vc.training_metrics",
    "evaluate": "cytoripple.vc.evaluation",
    "rank_genes_perturbations": "cytoripple.vc.de",
}
"""Where each public name lives; a module is loaded when a name of it is first used."""

__all__ = sorted(_HOME)  # noqa: PLE0605 - one table for the names and their modules


def __getattr__(name: str) -> object:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'cytoripple.vc' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
