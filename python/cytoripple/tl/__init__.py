"""Tools: train a spatial gene network, perturb it; deconvolve spots; test and score perturbation screens."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cytoripple.deconv.tool import deconvolve
    from cytoripple.grn.train import train_grn
    from cytoripple.perturb.simulate import perturb, splash
    from cytoripple.vc.de import rank_genes_perturbations
    from cytoripple.vc.evaluation import evaluate

__all__ = ["deconvolve", "evaluate", "perturb", "rank_genes_perturbations", "splash", "train_grn"]

_HOME = {
    "deconvolve": "cytoripple.deconv.tool",
    "evaluate": "cytoripple.vc.evaluation",
    "perturb": "cytoripple.perturb.simulate",
    "rank_genes_perturbations": "cytoripple.vc.de",
    "splash": "cytoripple.perturb.simulate",
    "train_grn": "cytoripple.grn.train",
}


def __getattr__(name: str) -> object:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'cytoripple.tl' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
