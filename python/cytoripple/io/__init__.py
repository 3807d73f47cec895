"""Read and write: tissues, networks, betadata and run directories."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

# Not lazy: their modules have the same names, and an import of the module alone must not hide the function.
from cytoripple.io.build_network import build_network
from cytoripple.io.read import read

if TYPE_CHECKING:
    from cytoripple.io.betadata import read_betadata, write_betadata
    from cytoripple.io.network import as_network, read_network
    from cytoripple.io.run import open_run

__all__ = [
    "as_network",
    "build_network",
    "open_run",
    "read",
    "read_betadata",
    "read_network",
    "write_betadata",
]

_MODULE_OF = {
    "as_network": "network",
    "open_run": "run",
    "read_betadata": "betadata",
    "read_network": "network",
    "write_betadata": "betadata",
}


def __getattr__(name: str) -> object:
    if name in _MODULE_OF:
        value: object = getattr(import_module(f"cytoripple.io.{_MODULE_OF[name]}"), name)
        return value
    raise AttributeError(f"module 'cytoripple.io' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
