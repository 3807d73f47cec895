"""Checks of a submission while it is streamed: genes, labels, numbers of cells, values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from cytoripple._errors import FileError, InputError, LayerError, MissingFileError, did_you_mean
from cytoripple.vc.guard import LOG_CEILING

if TYPE_CHECKING:
    import pandas as pd

_FRACTION = 1e-3


@dataclass
class Ledger:
    """What has been written so far, and what is allowed."""

    width: int
    control: str
    cell_type_col: str | None
    max_cells: int | None
    allow_discrete: bool
    wanted: Mapping[str, int] | None
    counts: dict[str, int] = field(default_factory=dict)
    labels: list[NDArray[np.object_]] = field(default_factory=list)
    cell_types: list[NDArray[np.object_]] = field(default_factory=list)
    n_cells: int = 0
    whole: bool = True
    varied: bool = False

    def check_announced(self, counts: Any) -> None:
        """Find wrong numbers before any work, when the stream knows them."""
        if not isinstance(counts, Mapping):
            return
        known: dict[str, int] = {}
        for key, n in counts.items():
            label = str(key[0] if isinstance(key, tuple) else key)
            known[label] = known.get(label, 0) + int(n)
        self._check_size(sum(known.values()))
        self._check_counts(known)

    def add(self, block: Any) -> sparse.csr_matrix[Any]:
        """Check one block and count its cells."""
        labels, cell_types, values = _parts(block)
        label = str(labels[0]) if len(labels) else ""
        if values.ndim != 2 or values.shape[1] != self.width:
            raise InputError(f"a block of {label!r} has shape {values.shape}: expected {self.width} columns")
        if values.dtype.kind not in "biuf":
            raise LayerError(f"a block of {label!r} has dtype {values.dtype}: expected real numbers")
        if self.cell_type_col is not None and not all(cell_types):
            raise InputError(f"a block of {label!r} has no cell type: give (label, cell type, matrix)")
        made: sparse.csr_matrix[Any] = sparse.csr_matrix(values)
        whole = _check_values(label, made.data, self.allow_discrete)
        self.n_cells += made.shape[0]
        self._check_size(self.n_cells)
        for name, n in zip(*np.unique(labels.astype(str), return_counts=True), strict=True):
            self.counts[str(name)] = self.counts.get(str(name), 0) + int(n)
        self.labels.append(labels)
        self.cell_types.append(cell_types)
        self.whole &= whole
        if made.nnz:
            self.varied |= bool(made.data.max() != made.data.min())
        return made

    def check_all(self) -> None:
        """Check what only the end shows."""
        self._check_counts(self.counts)
        if self.whole and self.varied and not self.allow_discrete:
            raise LayerError(
                "all values are whole numbers, so they look like counts: submit log1p of counts per 10,000, "
                "see ct.vc.normalize; or give allow_discrete=True (--allow-discrete)"
            )

    def _check_size(self, n: int) -> None:
        if self.max_cells is not None and n > self.max_cells:
            raise InputError(f"the prediction has {n} cells or more: at most {self.max_cells} are allowed")

    def _check_counts(self, counts: Mapping[str, int]) -> None:
        if not counts.get(self.control):
            raise InputError(
                f"the prediction has no cell of the control {self.control!r}"
                f"{did_you_mean(self.control, counts)}: control cells are part of a submission"
            )
        wanted = self.wanted
        if wanted is None:
            return
        for label, n in wanted.items():
            if label != self.control and counts.get(label, 0) != n:
                raise InputError(
                    f"the prediction has {counts.get(label, 0)} cells of {label!r}, expected {n}"
                )
        for label in counts:
            if label != self.control and label not in wanted:
                raise InputError(f"{label!r} is predicted but not wanted{did_you_mean(label, wanted)}")


def _parts(block: Any) -> tuple[NDArray[np.object_], NDArray[np.object_], Any]:
    """Label and cell type of every cell of a block, and its matrix."""
    if hasattr(block, "expression"):
        block = (block.label, block.cell_type, block.expression)
    try:
        label, *rest = block
        values = rest[-1]
        cell_type = rest[0] if len(rest) == 2 else ""
    except (TypeError, ValueError, IndexError):
        raise InputError("a block is no (label, matrix) pair") from None
    matrix: Any = values
    if not sparse.issparse(values):
        matrix = np.asarray(values)
    n = matrix.shape[0] if matrix.ndim else 0
    return _per_cell(label, n), _per_cell(cell_type, n), matrix


def _per_cell(name: Any, n: int) -> NDArray[np.object_]:
    if isinstance(name, str):
        return np.full(n, name, dtype=object)
    names = np.array([str(one) for one in np.atleast_1d(np.asarray(name, dtype=object))], dtype=object)
    if len(names) == 1:
        return np.full(n, names[0], dtype=object)
    if len(names) != n:
        raise InputError(f"a block of {n} cells has {len(names)} labels: give one, or one per cell")
    return names


def _check_values(label: str, values: NDArray[Any], allow_discrete: bool) -> bool:
    """Raise for a value that no prediction has; say whether all are whole numbers."""
    if not values.size:
        return True
    low, top = float(values.min()), float(values.max())
    if not (np.isfinite(low) and np.isfinite(top)):
        bad = int(values.size - np.isfinite(values).sum())
        raise LayerError(f"{label!r} has {bad} values that are NaN or infinite: a prediction must be finite")
    if low < 0:
        raise LayerError(f"{label!r} has negative values (smallest {low:.4g}): clip them at 0")
    whole = bool((np.abs(values - np.round(values)) <= _FRACTION).all())
    if top >= LOG_CEILING and not (whole and allow_discrete):
        raise LayerError(
            f"{label!r} reaches {top:.4g}, but log-normalized values stay below {LOG_CEILING:g}: "
            "submit log1p of counts per 10,000, see ct.vc.normalize"
        )
    return whole


def check_list(names: list[str], n_genes: int | None) -> None:
    """Check the challenge's list of genes."""
    if len(set(names)) < len(names):
        twice = next(name for k, name in enumerate(names) if name in names[:k])
        raise InputError(f"the list of genes names {twice!r} twice")
    if n_genes is not None and len(names) != n_genes:
        raise InputError(
            f"the list has {len(names)} genes, expected {n_genes}: give n_genes (--expected-genes)"
        )


def gene_order(own: list[str], names: list[str], reorder: bool) -> NDArray[np.int64] | None:
    """Where the columns of the blocks go, None when they are in order."""
    if own == names:
        return None
    missing, extra = sorted(set(names) - set(own)), sorted(set(own) - set(names))
    if missing or extra or len(own) != len(names):
        what = [
            f"{len(part)} {word} ({part[0]!r})"
            for part, word in ((missing, "missing"), (extra, "extra"))
            if part
        ]
        raise InputError(f"the genes are not those of the list: {', '.join(what) or 'a name occurs twice'}")
    if not reorder:
        raise InputError("the genes are in another order than in the list: give reorder=True (--reorder)")
    place = {name: number for number, name in enumerate(names)}
    return np.array([place[name] for name in own], dtype=np.int64)


def wanted_cells(counts: Mapping[str, int] | pd.DataFrame | str | Path, pert_col: str) -> dict[str, int]:
    """Cells wanted of every label, from a mapping, a table or a csv."""
    import pandas as pd

    if isinstance(counts, Mapping):
        return {str(label): int(n) for label, n in counts.items()}
    if isinstance(counts, str | Path):
        path = Path(counts).expanduser()
        if not path.is_file():
            raise MissingFileError(f"{path} does not exist: expected a csv with target_gene and n_cells")
        try:
            counts = pd.read_csv(path)
        except (ValueError, UnicodeDecodeError) as error:
            raise FileError(f"{path} is no csv with target_gene and n_cells: {error}") from error
    column = "target_gene" if "target_gene" in counts else pert_col
    for name in (column, "n_cells"):
        if name not in counts:
            raise InputError(f"the table of counts has no column {name!r}: expected target_gene and n_cells")
    return {str(label): int(n) for label, n in zip(counts[column], counts["n_cells"], strict=True)}
