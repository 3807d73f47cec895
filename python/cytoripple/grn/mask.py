"""Optional mask of which cell may send or sense which gene."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cytoripple._errors import InputError

if TYPE_CHECKING:
    import pandas as pd
    from cytoripple._anndata import Tissue


@dataclass(frozen=True)
class CellMask:
    """Cells x genes mask; a gene that the table does not name is off everywhere."""

    values: NDArray[np.bool_]
    column_of: dict[str, int]

    def columns(self, genes: Sequence[str]) -> NDArray[np.bool_]:
        """Mask of the named genes, cells x genes."""
        out = np.zeros((len(self.values), len(genes)), dtype=np.bool_)
        for position, gene in enumerate(genes):
            if gene in self.column_of:
                out[:, position] = self.values[:, self.column_of[gene]]
        return out


def read_mask(thresholds: pd.DataFrame | NDArray[Any] | None, tissue: Tissue) -> CellMask | None:
    """Check a table of thresholds; a value above 0 is on.

    Parameters
    ----------
    thresholds
        Data frame with cells as index (any order) and genes as columns, or an array cells x genes in the
        order of the data.

    Raises
    ------
    InputError
        Cells are missing from the table, or the array has another shape, or values are NaN.
    """
    if thresholds is None:
        return None
    if isinstance(thresholds, np.ndarray):
        shape = (len(tissue.obs_names), len(tissue.var_names))
        if thresholds.shape != shape:
            raise InputError(f"cell_thresholds has shape {thresholds.shape}, expected cells x genes {shape}")
        values, names = thresholds, [str(name) for name in tissue.var_names]
    else:
        missing = tissue.obs_names.difference(thresholds.index)
        if len(missing):
            raise InputError(
                f"cell_thresholds lacks {len(missing)} of {len(tissue.obs_names)} cells, for example "
                f"{missing[0]!r}: its index must hold the obs names"
            )
        values = thresholds.loc[tissue.obs_names].to_numpy()
        names = [str(name) for name in thresholds.columns]
    if values.dtype.kind == "f" and bool(np.isnan(values).any()):
        raise InputError("cell_thresholds holds NaN: use 0 for cells and genes that are off")
    return CellMask(
        np.asarray(values > 0, dtype=np.bool_), {name: position for position, name in enumerate(names)}
    )
