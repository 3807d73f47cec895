"""Deconvolution: shares of cell types in spots that hold several cells."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cytoripple.deconv.deconvolver import Deconvolver
    from cytoripple.deconv.profiles import Signatures
    from cytoripple.deconv.reference import signatures
    from cytoripple.deconv.result import Deconvolution, Pair, Residuals
    from cytoripple.deconv.tool import deconvolve
    from cytoripple.deconv.weights import GeneWeights

__all__ = [
    "Deconvolution",
    "Deconvolver",
    "GeneWeights",
    "Pair",
    "Residuals",
    "Signatures",
    "deconvolve",
    "signatures",
]

_HOME = {
    "Deconvolution": "cytoripple.deconv.result",
    "Deconvolver": "cytoripple.deconv.deconvolver",
    "GeneWeights": "cytoripple.deconv.weights",
    "Pair": "cytoripple.deconv.result",
    "Residuals": "cytoripple.deconv.result",
    "Signatures": "cytoripple.deconv.profiles",
    "deconvolve": "cytoripple.deconv.tool",
    "signatures": "cytoripple.deconv.reference",
}


def __getattr__(name: str) -> object:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'cytoripple.deconv' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
