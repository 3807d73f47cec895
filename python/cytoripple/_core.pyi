"""Native kernels. The public, documented entrance is `cytoripple.kernels`."""

from collections.abc import Callable
from typing import final

import numpy as np
from numpy.typing import NDArray

__version__: str
DEBUG_BUILD: bool

class CoreError(Exception): ...

# ligand

@final
class ReceivedPlan:
    """Received ligands on fixed coordinates, reusable for every expression."""

    def __new__(
        cls,
        xy: NDArray[np.float64],
        *,
        radius: float,
        kernel: str,
        method: str,
        rtol: float,
        factor: float,
        cutoff: float | None = None,
        samples: NDArray[np.int64] | None = None,
        n_ligands: int = 50,
        threads: int = 0,
    ) -> ReceivedPlan: ...
    def apply(
        self,
        ligands: NDArray[np.float64],
        *,
        scale: float = 1.0,
        threads: int = 0,
        progress: Callable[[int, int], object] | None = None,
    ) -> NDArray[np.float64]:
        """Received amount of each ligand at each cell (cells x ligands)."""
    @property
    def method(self) -> str: ...
    @property
    def error_bound(self) -> float: ...
    @property
    def n_cells(self) -> int: ...
