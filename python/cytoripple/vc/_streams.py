"""Predicted cells as a stream of blocks, so that 100,000 cells x 18,000 genes never stand in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from cytoripple._errors import InputError, did_you_mean
from cytoripple._matrix import dense as as_dense
from cytoripple.vc.dataset import CELL_TYPE, PERTURBATION
from cytoripple.vc.guard import require_lognorm

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

BLOCK_VALUES = 1 << 21
"""Values of one block: 8 MiB of float32."""


@dataclass(frozen=True, eq=False)
class Block:
    """Some predicted cells of one perturbation and cell type.

    Parameters
    ----------
    label, cell_type
        Of all of them.
    expression
        Cells x genes, float32, dense or CSR.
    """

    label: str
    cell_type: str
    expression: NDArray[np.float32] | sparse.csr_matrix[np.float32]


@dataclass(frozen=True, eq=False)
class BlockStream:
    """A prediction that is made while it is read, as often as it is read.

    Parameters
    ----------
    genes
        Names, in the order of the columns.
    counts
        (perturbation, cell type) to number of cells, in the order of the stream.
    """

    genes: tuple[str, ...]
    counts: Mapping[tuple[str, str], int]
    _make: Callable[[], Iterator[Block]]

    def __iter__(self) -> Iterator[Block]:
        return self._make()

    @property
    def n_obs(self) -> int:
        """Number of cells."""
        return sum(self.counts.values())

    def to_adata(
        self, *, pert_col: str = PERTURBATION, cell_type_col: str = CELL_TYPE, dense: bool = False
    ) -> AnnData:
        """Put all cells into memory, as CSR or `dense`, which takes half the room where few values are 0."""
        import pandas as pd
        from anndata import AnnData

        labels, types, parts, n = [], [], [], 0
        whole = np.empty((self.n_obs, len(self.genes)), dtype=np.float32) if dense else None
        for block in self:
            size = block.expression.shape[0]
            labels.append(np.repeat(block.label, size))
            types.append(np.repeat(block.cell_type, size))
            if whole is None:
                parts.append(sparse.csr_matrix(block.expression))
            else:
                whole[n : n + size] = as_dense(block.expression)
            n += size
        names = [str(number) for number in range(n)]
        obs = pd.DataFrame(
            {
                pert_col: pd.Categorical(np.concatenate(labels)),
                cell_type_col: pd.Categorical(np.concatenate(types)),
            },
            index=names,
        )
        cells = sparse.vstack(parts, format="csr") if whole is None else whole
        return AnnData(cells, obs=obs, var=pd.DataFrame(index=list(self.genes)))


class Cells:
    """Log-normalized cells of a data set: an AnnData object in memory, or a row store.

    Parameters
    ----------
    data
        AnnData with log-normalized ``X``, or an open row store.
    pert_col, control, cell_type_col
        Perturbation column, control label, and column of the cell type (None: all cells are of one).

    Raises
    ------
    InputError
        A column or the control is not there.
    LayerError
        ``X`` is not log-normalized.
    """

    def __init__(self, data: Any, pert_col: str, control: str, cell_type_col: str | None) -> None:
        self._adata = data if hasattr(data, "X") else None
        self._store = None if self._adata is not None else data
        self.labels = obs_column(data.obs, pert_col)
        n = len(self.labels)
        self.types = (
            np.full(n, "cell", dtype=object) if cell_type_col is None else obs_column(data.obs, cell_type_col)
        )
        self.control = control
        self.is_control = self.labels == control
        if not self.is_control.any():
            seen = sorted(set(self.labels))
            raise InputError(
                f"no cell has {pert_col} = {control!r}, the control label{did_you_mean(control, seen)}"
            )
        self.genes = tuple(
            str(name) for name in (data.var_names if self._adata is not None else data.var.index)
        )
        if self._adata is not None:
            require_lognorm(self._adata.X)

    def rows(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Cells, dense."""
        if self._store is not None:
            made: NDArray[np.float32] = self._store.rows(rows)
            return made
        assert self._adata is not None
        return np.asarray(as_dense(self._adata.X[rows]), dtype=np.float32)

    def sums(self, codes: NDArray[np.int64], n_groups: int) -> NDArray[np.float64]:
        """Sum of the cells of every group, (n_groups, genes) float64; code -1 leaves a cell out."""
        total = np.zeros((n_groups, len(self.genes)))
        step = block_rows(len(self.genes))
        for first in range(0, len(codes), step):
            part = codes[first : first + step]
            used = np.flatnonzero(part >= 0)
            if not len(used):
                continue
            block = self._range(first, first + len(part))
            # Group x cell matrix of ones: one product sums all groups, without making the block dense.
            ones = sparse.csr_matrix((np.ones(len(used)), (part[used], used)), shape=(n_groups, len(part)))
            total += as_dense(ones @ block)
        return total

    def _range(self, start: int, stop: int) -> Any:
        if self._store is not None:
            return self._store.range(start, stop).astype(np.float64)
        assert self._adata is not None
        return self._adata.X[start:stop].astype(np.float64)

    def means(self, chosen: NDArray[np.bool_]) -> tuple[list[tuple[str, str]], NDArray[np.float64]]:
        """(Cell type, perturbation) of every group of chosen cells, sorted, and the mean of its cells."""
        every = list(zip(self.types.tolist(), self.labels.tolist(), strict=True))
        pairs = sorted({every[row] for row in np.flatnonzero(chosen)})
        position = {pair: number for number, pair in enumerate(pairs)}
        codes = np.array([position.get(pair, -1) for pair in every], dtype=np.int64)
        codes[~chosen] = -1
        n = np.bincount(codes[codes >= 0], minlength=len(pairs))
        return pairs, self.sums(codes, len(pairs)) / n[:, None]


def obs_column(obs: pd.DataFrame, name: str) -> NDArray[np.object_]:
    """Texts of a column of obs.

    Raises
    ------
    InputError
        It is not there, or a value is missing.
    """
    if name not in obs:
        known = ", ".join(map(repr, list(obs.columns)[:25])) or "none"
        raise InputError(
            f"obs has no column {name!r}{did_you_mean(name, map(str, obs.columns))}: columns are {known}"
        )
    if obs[name].isna().any():
        raise InputError(f"{name} is missing in {int(obs[name].isna().sum())} cells: label or drop them")
    return obs[name].astype(str).to_numpy(dtype=object)


def block_rows(n_genes: int) -> int:
    """Cells per block."""
    return max(1, BLOCK_VALUES // max(1, n_genes))


def pieces(n: int, n_genes: int) -> Iterator[slice]:
    """Cut `n` cells into blocks."""
    step = block_rows(n_genes)
    yield from (slice(first, min(first + step, n)) for first in range(0, n, step))


def wanted_counts(
    cells: Cells, counts: Mapping[Any, int] | pd.DataFrame | None, pert_col: str, cell_type_col: str | None
) -> dict[tuple[str, str], int]:
    """Return how many cells of every (perturbation, cell type) to predict, sorted; the control is left out.

    Raises
    ------
    InputError
        A number is not positive, or a cell type has to be guessed among several.
    """
    if counts is None:
        perturbed = ~cells.is_control
        found: dict[tuple[str, str], int] = {}
        for pair in zip(cells.labels[perturbed], cells.types[perturbed], strict=True):
            found[pair] = found.get(pair, 0) + 1
        return dict(sorted(found.items()))
    items: Iterable[tuple[Any, Any]]
    if isinstance(counts, Mapping):
        items = counts.items()
    else:
        for name in (pert_col, "n_cells"):
            if name not in counts:
                raise InputError(
                    f"counts has no column {name!r}{did_you_mean(name, map(str, counts.columns))}"
                )
        keys = [pert_col, cell_type_col] if cell_type_col and cell_type_col in counts else [pert_col]
        items = [(tuple(row[:-1]), row[-1]) for row in counts[[*keys, "n_cells"]].itertuples(index=False)]
    known = sorted(set(cells.types))
    made: dict[tuple[str, str], int] = {}
    for key, n in items:
        parts = key if isinstance(key, tuple) else (key,)
        if len(parts) == 1 and len(known) > 1:
            raise InputError(
                f"counts names no cell type, but there are {len(known)}: give (label, cell type) pairs"
            )
        pair = (str(parts[0]), str(parts[1]) if len(parts) > 1 else known[0])
        if int(n) != n or n < 1:
            raise InputError(f"counts wants {n} cells of {pair[0]!r}: give a whole number of at least 1")
        if pair[0] != cells.control:
            made[pair] = int(n)
    return dict(sorted(made.items()))


def real_controls(cells: Cells, types: Iterable[str]) -> dict[tuple[str, str], NDArray[np.int64]]:
    """Rows of the control cells of the cell types that a prediction has."""
    return {
        (cells.control, name): np.flatnonzero(cells.is_control & (cells.types == name))
        for name in sorted(set(types))
    }
