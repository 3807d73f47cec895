"""What baselines share: their arguments, means of labels and effects, draws of controls."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytoripple._errors import InputError
from cytoripple.vc._streams import Block, BlockStream, Cells, pieces, real_controls, wanted_counts
from cytoripple.vc.sampling import draw

Counts = Mapping[Any, int] | None
_Values = Callable[[str, str, slice], "NDArray[np.float32]"]


@dataclass(frozen=True)
class Job:
    """Arguments that all baselines share, checked."""

    cells: Cells
    counts: dict[tuple[str, str], int]
    controls: bool

    def stream(self, values: _Values) -> BlockStream:
        """Stream of ``values(label, cell type, slice of its cells)``, controls last."""
        real = real_controls(self.cells, (t for _, t in self.counts)) if self.controls else {}
        counts = self.counts | {key: len(rows) for key, rows in real.items() if len(rows)}
        n_genes = len(self.cells.genes)

        def make() -> Iterator[Block]:
            for (label, cell_type), n in self.counts.items():
                for part in pieces(n, n_genes):
                    yield Block(label, cell_type, values(label, cell_type, part))
            for (label, cell_type), rows in real.items():
                for part in pieces(len(rows), n_genes):
                    yield Block(label, cell_type, self.cells.rows(rows[part]))

        return BlockStream(self.cells.genes, counts, make)

    def repeat(self, row_of: Callable[[str, str], NDArray[Any]]) -> BlockStream:
        """Stream in which every cell of a perturbation is the same row."""

        def values(label: str, cell_type: str, part: slice) -> NDArray[np.float32]:
            row = row_of(label, cell_type).astype(np.float32)
            return np.repeat(row[None], part.stop - part.start, axis=0)

        return self.stream(values)

    def pool(self, cell_type: str) -> NDArray[np.int64]:
        """Control rows of a cell type."""
        rows = np.flatnonzero(self.cells.is_control & (self.cells.types == cell_type))
        if not len(rows):
            known = ", ".join(sorted({repr(t) for t in self.cells.types[self.cells.is_control]}))
            raise InputError(f"there are no control cells of {cell_type!r}: there are some of {known}")
        return rows


def make_job(
    data: Any, counts: Any, pert_col: str, control: str, cell_type_col: str | None, append_controls: bool
) -> Job:
    """Check the arguments of a baseline."""
    cells = Cells(data, pert_col, control, cell_type_col)
    wanted = wanted_counts(cells, counts, pert_col, cell_type_col)
    if not wanted:
        raise InputError("there is nothing to predict: no cell is perturbed and counts names no perturbation")
    return Job(cells, wanted, append_controls)


def training(cells: Cells, train: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
    """Check a mask of training cells; None is all of them."""
    chosen = np.ones(len(cells.labels), dtype=bool) if train is None else np.asarray(train)
    if chosen.dtype != bool or chosen.shape != (len(cells.labels),):
        raise InputError(f"train has shape {chosen.shape}: expected one True or False per cell")
    return chosen


def label_means(
    cells: Cells, train: NDArray[np.bool_] | None = None
) -> dict[str, dict[str, NDArray[np.float64]]]:
    """Mean of every label in every cell type, of training cells."""
    chosen = training(cells, train)
    pairs, means = cells.means(chosen)
    made: dict[str, dict[str, NDArray[np.float64]]] = {}
    for (cell_type, label), row in zip(pairs, means, strict=True):
        made.setdefault(cell_type, {})[label] = row
    return made


def mean_effects(
    means: dict[str, dict[str, NDArray[np.float64]]], control: str
) -> dict[str, NDArray[np.float64]]:
    """Mean over cell types of what a perturbation adds to the controls."""
    parts: dict[str, list[NDArray[np.float64]]] = {}
    for rows in means.values():
        for label, row in rows.items():
            if label != control and control in rows:
                parts.setdefault(label, []).append(row - rows[control])
    return {label: np.mean(rows, axis=0) for label, rows in parts.items()}


def global_row(cells: Cells, as_delta: bool, include_control: bool, weights: str) -> NDArray[np.float64]:
    """Row of `global_mean_row`, in double precision."""
    if weights not in ("label", "cell"):
        raise InputError(f"weights is {weights!r}: give 'label' or 'cell'")
    names = sorted(set(cells.labels))
    codes = np.searchsorted(names, cells.labels.astype(str))
    n = np.bincount(codes, minlength=len(names))[:, None]
    sums = cells.sums(codes, len(names))
    is_control = np.array(names) == cells.control
    used = np.ones(len(names), dtype=bool) if include_control and not as_delta else ~is_control
    if not used.any():
        raise InputError("no cell is perturbed: there is nothing to average")
    row = (sums / n)[used].mean(axis=0) if weights == "label" else sums[used].sum(axis=0) / n[used].sum()
    return np.asarray(row - (sums / n)[is_control][0] if as_delta else row)


def drawn_controls(job: Job, seed: int, purpose: str) -> dict[tuple[str, str], NDArray[np.int64]]:
    """Control rows for every perturbation; those of one do not depend on the others."""
    return {
        (label, cell_type): draw(named_rng(seed, purpose, label, cell_type), job.pool(cell_type), n)
        for (label, cell_type), n in job.counts.items()
    }


def named_rng(seed: int, *names: str) -> np.random.Generator:
    """Make a generator that depends on the seed and the names alone."""
    digest = hashlib.blake2b("\0".join((str(seed), *names)).encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest, "little")))
