"""Native kernels. The public, documented entrance is `cytoripple.kernels`."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

__version__: str
DEBUG_BUILD: bool

class CoreError(Exception): ...

# received ligands

class ReceivedPlan:
    """Plan on fixed coordinates, reusable for any expression."""

    def __new__(
        cls,
        xy: NDArray[np.float64],
        sigma: float,
        cutoff: float,
        method: str,
        rtol: float,
        factor: float,
        samples: NDArray[np.int64] | None = None,
        n_ligands: int = 50,
        threads: int = 0,
    ) -> ReceivedPlan: ...
    def apply(
        self,
        ligands: NDArray[np.float64],
        scale: float = 1.0,
        *,
        threads: int = 0,
        progress: Callable[[int, int], object] | None = None,
    ) -> NDArray[np.float64]: ...
    @property
    def method(self) -> str: ...
    @property
    def error_bound(self) -> float: ...
    @property
    def n_cells(self) -> int: ...
