"""Shared fixtures: where the golden sets and the real data are."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent

# Started in the background, a process ignores Ctrl-C, and so would the tests of it.
signal.signal(signal.SIGINT, signal.default_int_handler)


def golden_root() -> Path:
    """Folder of the golden sets: ``CYTORIPPLE_GOLDEN``, else ``../shared/golden``, else ``data/golden``."""
    given = os.environ.get("CYTORIPPLE_GOLDEN")
    if given:
        return Path(given)
    shared = ROOT.parent / "shared" / "golden"
    return shared if shared.is_dir() else ROOT / "data" / "golden"


def shared_data() -> Path:
    """Folder of the real tissues: ``$CYTORIPPLE_SHARED/data``, else ``../shared/data``."""
    return Path(os.environ.get("CYTORIPPLE_SHARED", ROOT.parent / "shared")) / "data"


def real_file(name: str) -> Path:
    """Path of a real data file; skips the test where it is absent."""
    path = shared_data() / name
    if not path.exists():
        pytest.skip(f"real data {name} not found: set CYTORIPPLE_SHARED")
    return path


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20261121)
