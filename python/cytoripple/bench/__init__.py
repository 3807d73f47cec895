"""Benchmarks with known answers."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cytoripple.bench.design import RippleDesign, TargetDesign
    from cytoripple.bench.runner import ripplebench
    from cytoripple.bench.stored import read_ripple

__all__ = ["RippleDesign", "TargetDesign", "read_ripple", "ripplebench"]

_MODULE = {
    "RippleDesign": "design",
    "TargetDesign": "design",
    "read_ripple": "stored",
    "ripplebench": "runner",
}


def __getattr__(name: str) -> object:
    if name in _MODULE:
        return getattr(import_module(f"cytoripple.bench.{_MODULE[name]}"), name)
    raise AttributeError(f"module 'cytoripple.bench' has no attribute {name!r}")
