"""Deconvolution: shares of cell types in spots that hold several cells."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cytoripple.deconv.deconvolver import Deconvolver

__all__ = ["Deconvolver"]

_HOME = {"Deconvolver": "cytoripple.deconv.deconvolver"}


def __getattr__(name: str) -> object:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'cytoripple.deconv' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
