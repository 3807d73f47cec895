"""A screen as the metrics take it: log expression, one label per cell, the control first."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cytoripple import _core, _labels, _matrix
from cytoripple._errors import GeneMatchError, InputError, LayerError
from cytoripple.kernels._expression import Parts, check_no_empty_category, encode_groups, expression_parts

if TYPE_CHECKING:
    from anndata import AnnData

_LARGEST_LOG = 15.0

Scale = Literal["log", "counts"]


@dataclass(frozen=True, eq=False)
class Screen:
    """Checked arrays of one screen.

    Parameters
    ----------
    name
        How messages call it.
    matrix
        Cells x genes as it was given.
    parts
        The same for the kernels.
    codes
        Label of each cell as a position in `labels`.
    labels
        The control, then the perturbations in sorted order.
    genes
        Names of the genes.
    """

    name: str
    matrix: Any
    parts: Parts
    codes: NDArray[np.int64]
    labels: tuple[str, ...]
    genes: NDArray[np.str_]
    _energy: list[NDArray[np.float64]] = field(default_factory=list, repr=False)

    @property
    def perturbations(self) -> tuple[str, ...]:
        """Labels without the control."""
        return self.labels[1:]

    def sums(self, transform: str, threads: int = 0) -> GroupSums:
        """Sum ``identity``, ``expm1`` or ``log1p`` of the expression over the cells of each label."""
        sums, varies, sizes = _core.group_sums(
            self.parts, self.codes, len(self.labels), transform=transform, threads=threads
        )
        return GroupSums(sums, varies, sizes.astype(np.int64))

    def energy_distances(self, threads: int = 0) -> NDArray[np.float64]:
        """Energy distance of the cells of each perturbation to the control cells; kept once computed."""
        if not self._energy:
            parts = expression_parts(self.name, self.matrix, rows=True)
            self._energy.append(_core.energy_distances(parts, self.codes, len(self.labels), threads=threads))
        return self._energy[0]


@dataclass(frozen=True, eq=False)
class GroupSums:
    """Sums per label (labels x genes), whether cells differ, and cells per label."""

    sums: NDArray[np.float64]
    varies: NDArray[np.bool_]
    sizes: NDArray[np.int64]

    @property
    def means(self) -> NDArray[np.float64]:
        """Mean per label and gene."""
        return self.sums / self.sizes[:, None]


def read_screen(
    adata: AnnData,
    *,
    pert_col: str,
    control: str,
    name: str = "adata",
    layer: str | None = None,
    scale: Scale = "log",
) -> Screen:
    """Pick and check the arrays of a screen. The AnnData object is not changed.

    Raises
    ------
    InputError
        The column is missing, a cell has no label or a label no cell, no cell is a control or all are, names
        of genes repeat, or the values are not of the scale asked for.
    """
    if not hasattr(adata, "obs"):
        raise InputError(f"{name} is {type(adata).__name__}: expected an AnnData object, see ct.io.read")
    column = _labels.obs_column(adata.obs, pert_col, argument="pert_col", error=InputError)
    if any(pd.isna(label) or not str(label).strip() for label in column.unique()):
        _labels.check_not_missing(column, f"{name}.obs[{pert_col!r}]", error=InputError)
    check_no_empty_category(column, f"{name}.obs[{pert_col!r}]")
    if not adata.var_names.is_unique:
        twice = adata.var_names[adata.var_names.duplicated()][0]
        raise GeneMatchError(f"{name} has the gene {twice!r} more than once: adata.var_names_make_unique()")
    matrix = _values(adata, layer, name)
    check_values(matrix, f"{name}.{'X' if layer is None else f'layers[{layer!r}]'}", scale)
    try:
        codes, labels = encode_groups(
            column.astype(str).to_numpy(dtype=object), n_cells=adata.n_obs, reference=control
        )
    except InputError as error:
        raise InputError(f"{name}: {error}; give control= and pert_col= of your data") from error
    if len(labels) < 2:
        raise InputError(
            f"{name} holds only {control!r} cells: expected at least one perturbation in obs[{pert_col!r}]"
        )
    parts = expression_parts(name, matrix)
    genes = np.asarray(adata.var_names, dtype=np.str_)
    return Screen(name, matrix, parts, codes, tuple(map(str, labels)), genes)


def _values(adata: AnnData, layer: str | None, name: str) -> Any:
    matrix = adata.X if layer is None else adata.layers.get(layer)
    if matrix is None:
        known = ", ".join(map(repr, adata.layers)) or "none"
        where = "X" if layer is None else f"layer {layer!r}"
        raise LayerError(f"{name} has no {where}; layers: {known}")
    if 0 in matrix.shape:
        raise InputError(
            f"{name} has {matrix.shape[0]} cells and {matrix.shape[1]} genes: there is nothing in it"
        )
    return matrix


def check_values(matrix: Any, name: str, scale: Scale) -> None:
    """Raise when the values cannot be of the scale.

    Raises
    ------
    LayerError
        NaN, infinite or negative values, zeros only, counts where logarithms are expected, or the reverse.
    """
    if not (isinstance(matrix, np.ndarray) or hasattr(matrix, "data")):
        return  # refused by `expression_parts`, which says what to do
    low, high = 0.0, 0.0
    for block in _matrix.blocks(matrix):
        if block.size:
            low, high = min(low, float(block.min())), max(high, float(block.max()))
            if np.isnan(block.min()) or not np.isfinite(high):
                raise LayerError(f"{name} holds values that are NaN or infinite: remove or replace them")
    if low < 0:
        raise LayerError(
            f"{name} holds negative values (smallest {low:g}): it was scaled, which cannot be undone. "
            "Give the expression before scaling"
        )
    if high == 0:
        raise LayerError(f"{name} holds zeros only: expected expression")
    whole = _matrix.is_whole(matrix)
    if scale == "counts" and not whole:
        raise LayerError(f"{name} holds fractions: expected raw counts, or say is_log1p=True for logarithms")
    if scale == "log" and whole:
        raise LayerError(
            f"{name} holds whole numbers only (largest {high:g}), these are counts: expected log1p of "
            "normalized counts, e.g. sc.pp.normalize_total(adata, target_sum=1e4); sc.pp.log1p(adata)"
        )
    if scale == "log" and high >= _LARGEST_LOG:
        raise LayerError(
            f"{name} reaches {high:g}: log1p of normalized counts stays below {_LARGEST_LOG:g}. "
            "Take the logarithm, e.g. sc.pp.log1p(adata)"
        )
