"""Fitted models and requests as the native module takes them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cytoripple._errors import InputError
from cytoripple.kernels import _check

Allowed = Sequence[Collection[int] | NDArray[np.int64] | None]
"""Genes of the TFs that may act, one entry per target; ``None`` leaves a target as it is."""


@dataclass(frozen=True)
class TargetModel:
    """Fitted model of one target gene.

    Attributes
    ----------
    gene
        Position of the target on the gene axis.
    betas
        Coefficients, (rows, 1 + p), intercept first, then one per row of `columns`.
    columns
        What each coefficient multiplies, (p, 3): ``(0, gene, -1)`` a TF, ``(3, gene, -1)`` another gene,
        ``(1, ligand, receptor gene)``, ``(2, ligand, regulator gene)``. Ligands are positions on the ligand
        axis. A member that is missing is -1, and the product is 0.
    rows
        Row of `betas` for each cell, (cells,); -1 where all coefficients are 0.
    """

    gene: int
    betas: NDArray[np.float64]
    columns: NDArray[np.int64]
    rows: NDArray[np.int64]


def share(rows: Sequence[NDArray[np.int64]]) -> tuple[list[NDArray[np.int64]], list[int]]:
    """Distinct row maps, and which one each target uses."""
    maps: list[NDArray[np.int64]] = []
    by_identity: dict[int, int] = {}
    by_content: dict[bytes, int] = {}
    for array in rows:
        if id(array) not in by_identity:
            checked = _check.integers("rows of a target", array)
            place = by_content.setdefault(checked.tobytes(), len(maps))
            if place == len(maps):
                maps.append(checked)
            by_identity[id(array)] = place
    return maps, [by_identity[id(array)] for array in rows]


def columns_of(target: TargetModel) -> NDArray[np.int64]:
    array = np.asarray(target.columns)
    if array.dtype.kind not in "iu" or array.ndim != 2:
        raise InputError(
            f"columns of target {target.gene} has dtype {array.dtype} and shape {array.shape}: "
            "expected whole numbers, (p, 3)"
        )
    return np.ascontiguousarray(array, dtype=np.int64)


def flags(name: str, value: ArrayLike, *, ndim: int) -> NDArray[np.bool_]:
    array = np.asarray(value)
    if array.dtype != np.bool_ or array.ndim != ndim:
        raise InputError(
            f"{name} has dtype {array.dtype} and shape {array.shape}: expected bool with {ndim} dimensions"
        )
    return np.ascontiguousarray(array)


def allowed_genes(lists: Allowed | None) -> list[NDArray[np.int64] | None] | None:
    if lists is None:
        return None
    return [None if genes is None else _check.integers("allowed_tfs", [*genes]) for genes in lists]


def count(name: str, value: int) -> int:
    if isinstance(value, bool) or int(value) != value or value < 0:
        raise InputError(f"{name} is {value}: give a whole number, 0 or more")
    return int(value)
