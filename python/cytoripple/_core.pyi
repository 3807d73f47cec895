"""Native kernels. The public, documented entrance is `cytoripple.kernels`."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

__version__: str
DEBUG_BUILD: bool

class CoreError(Exception): ...

# --- neighbors
def nearest_neighbors(
    points: NDArray[np.float64],
    k: int,
    groups: NDArray[np.int64] | None = None,
    threads: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Find the nearest other cells inside groups: indices and distances, cells x k."""
