"""Import of packages that only some features need."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def require(module: str, *, extra: str, purpose: str) -> Any:
    """Import `module`, or say which extra brings it.

    Raises
    ------
    ImportError
        The package is not installed; the message holds the line that installs it.
    """
    try:
        return import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise ImportError(f'{purpose} needs {package}: pip install "cytoripple[{extra}]"') from error
