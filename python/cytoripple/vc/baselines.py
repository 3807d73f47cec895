"""Predictions that know nothing of a model: what any model has to beat.

All are block streams: cells are made while they are read, block by block, and the same arguments give the
same cells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from cytoripple._errors import InputError
from cytoripple._matrix import dense
from cytoripple.vc._baseline_job import (
    Counts,
    drawn_controls,
    global_row,
    label_means,
    make_job,
    mean_effects,
    named_rng,
    training,
)
from cytoripple.vc._streams import Block, BlockStream, Cells, pieces
from cytoripple.vc.dataset import CONTROL, PERTURBATION

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "BASELINES",
    "Block",
    "BlockStream",
    "baseline",
    "context_mean",
    "control_cells",
    "control_mean",
    "derangement",
    "fixed_pseudobulk",
    "global_mean",
    "global_mean_row",
    "perturbation_mean",
    "random_counts",
]

_DRAWN_TOGETHER = 64
"""Random cells per generator, so that a cell does not depend on where blocks begin."""


def control_mean(
    data: Any,
    counts: Counts | pd.DataFrame = None,
    *,
    pert_col: str = PERTURBATION,
    control: str = CONTROL,
    cell_type_col: str | None = None,
    append_controls: bool = True,
) -> BlockStream:
    """Predict for every cell the mean of the controls of its cell type.

    Parameters
    ----------
    data
        Log-normalized AnnData, or an open row store.
    counts
        Cells to predict: (label, cell type) or label to number, or a data frame with `pert_col` and n_cells.
        None takes the numbers of `data`.
    pert_col, control, cell_type_col
        Column of the perturbation, label of controls, column of the cell type (None: there is one).
    append_controls
        The real control cells come last, as submissions and metrics need them.

    Returns
    -------
    BlockStream

    Raises
    ------
    InputError
        A column, the control or a cell type is not there.
    LayerError
        ``X`` is not log-normalized.
    """
    job = make_job(data, counts, pert_col, control, cell_type_col, append_controls)
    means = label_means(job.cells)
    for _, cell_type in job.counts:
        job.pool(cell_type)
    return job.repeat(lambda _, cell_type: means[cell_type][job.cells.control])


def control_cells(
    data: Any,
    counts: Counts | pd.DataFrame = None,
    *,
    seed: int = 0,
    pert_col: str = PERTURBATION,
    control: str = CONTROL,
    cell_type_col: str | None = None,
    append_controls: bool = True,
) -> BlockStream:
    """Predict control cells of the same cell type, drawn anew for every perturbation.

    Keeps the variance between cells. Drawn without replacement while the pool lasts. Parameters and errors as
    `control_mean`.
    """
    job = make_job(data, counts, pert_col, control, cell_type_col, append_controls)
    chosen = drawn_controls(job, seed, "control_cells")
    return job.stream(lambda label, cell_type, part: job.cells.rows(chosen[label, cell_type][part]))


def perturbation_mean(
    data: Any,
    counts: Counts | pd.DataFrame = None,
    *,
    train: NDArray[np.bool_] | None = None,
    clip: bool = False,
    seed: int = 0,
    pert_col: str = PERTURBATION,
    control: str = CONTROL,
    cell_type_col: str | None = None,
    append_controls: bool = True,
) -> BlockStream:
    """Add to control cells the mean effect the perturbation has in the training cell types.

    delta(c, p) = mean(c, p) - mean(c, control) in every training cell type c; delta(p) is their mean, 0 for a
    perturbation never seen. Other parameters and errors as `control_mean`.

    Parameters
    ----------
    train
        (cells,) bool: cells to learn from; None takes all.
    clip
        Raise negative predictions to 0, which a submission needs.
    seed
        Of the control cells.
    """
    job = make_job(data, counts, pert_col, control, cell_type_col, append_controls)
    delta = mean_effects(label_means(job.cells, train), job.cells.control)
    chosen = drawn_controls(job, seed, "perturbation_mean")

    def values(label: str, cell_type: str, part: slice) -> NDArray[np.float32]:
        made = job.cells.rows(chosen[label, cell_type][part])
        if label in delta:
            made += delta[label].astype(np.float32)
        return np.maximum(made, 0, out=made) if clip else made

    return job.stream(values)


def context_mean(
    data: Any,
    counts: Counts | pd.DataFrame = None,
    *,
    train: NDArray[np.bool_] | None = None,
    pert_col: str = PERTURBATION,
    control: str = CONTROL,
    cell_type_col: str | None = None,
    append_controls: bool = True,
) -> BlockStream:
    """Predict the mean of all perturbed training cells of the cell type, for any perturbation.

    Parameters and errors as `perturbation_mean`; a cell type without perturbed training cells is an error.
    """
    job = make_job(data, counts, pert_col, control, cell_type_col, append_controls)
    perturbed = training(job.cells, train) & ~job.cells.is_control
    names = sorted(set(job.cells.types[perturbed]))
    codes = np.full(len(perturbed), -1, dtype=np.int64)
    codes[perturbed] = np.searchsorted(names, job.cells.types[perturbed].astype(str))
    sums = job.cells.sums(codes, len(names))
    rows = {name: sums[k] / (codes == k).sum() for k, name in enumerate(names)}
    for _, cell_type in job.counts:
        if cell_type not in rows:
            raise InputError(
                f"no perturbed training cell is of the type {cell_type!r}: there are {', '.join(names)}"
            )
    return job.repeat(lambda _, cell_type: rows[cell_type])


def global_mean_row(
    data: Any,
    *,
    as_delta: bool = False,
    include_control: bool = True,
    weights: Literal["label", "cell"] = "label",
    pert_col: str = PERTURBATION,
    control: str = CONTROL,
) -> NDArray[np.float32]:
    """One row for everything: the reference point of the challenge score.

    Parameters
    ----------
    data
        As for `control_mean`.
    as_delta
        Return the mean over perturbations of (their mean - mean of the controls), which is no expression.
    include_control
        The control is one of the labels that are averaged.
    weights
        ``"label"``: every label counts the same. ``"cell"``: every cell does.
    pert_col, control
        Column of the perturbation and label of controls.

    Returns
    -------
    (genes,) float32

    Raises
    ------
    InputError
        A column or the control is not there, or `weights` is unknown.
    """
    cells = Cells(data, pert_col, control, None)
    return global_row(cells, as_delta, include_control, weights).astype(np.float32)


def global_mean(
    data: Any,
    counts: Counts | pd.DataFrame = None,
    *,
    as_delta: bool = False,
    include_control: bool = True,
    weights: Literal["label", "cell"] = "label",
    pert_col: str = PERTURBATION,
    control: str = CONTROL,
    cell_type_col: str | None = None,
    append_controls: bool = True,
) -> BlockStream:
    """Predict the same row for every cell: the mean over the means of all labels.

    With `as_delta` the row is the mean of the controls plus the mean effect; see `global_mean_row`. Other
    parameters and errors as `control_mean`.
    """
    job = make_job(data, counts, pert_col, control, cell_type_col, append_controls)
    row = global_row(job.cells, as_delta, include_control, weights)
    if as_delta:
        codes = np.where(job.cells.is_control, 0, -1)
        row = row + job.cells.sums(codes, 1)[0] / job.cells.is_control.sum()
    return job.repeat(lambda *_: row)


def random_counts(
    data: Any,
    counts: Counts | pd.DataFrame = None,
    *,
    seed: int = 0,
    pert_col: str = PERTURBATION,
    control: str = CONTROL,
    cell_type_col: str | None = None,
    append_controls: bool = True,
) -> BlockStream:
    """Predict ``log1p`` of whole numbers drawn evenly from 0 to 9999. Parameters as `control_mean`."""
    job = make_job(data, counts, pert_col, control, cell_type_col, append_controls)
    n_genes = len(job.cells.genes)

    def values(label: str, cell_type: str, part: slice) -> NDArray[np.float32]:
        first, last = part.start // _DRAWN_TOGETHER, -(-part.stop // _DRAWN_TOGETHER)
        drawn = np.concatenate(
            [
                named_rng(seed, "random", label, cell_type, str(k)).integers(
                    0, 10_000, (_DRAWN_TOGETHER, n_genes)
                )
                for k in range(first, last)
            ]
        )[part.start - first * _DRAWN_TOGETHER :][: part.stop - part.start]
        made: NDArray[np.float32] = np.log1p(drawn).astype(np.float32)
        return made

    return job.stream(values)


def derangement(
    data: Any,
    counts: Counts | pd.DataFrame = None,
    *,
    pert_col: str = PERTURBATION,
    control: str = CONTROL,
    cell_type_col: str | None = None,
    append_controls: bool = True,
) -> BlockStream:
    """Predict for every perturbation the real cells of the next one, the first one's for the last.

    Cells are repeated in order where the next perturbation has fewer. Inside every cell type. Parameters and
    errors as `control_mean`; a cell type with a single perturbation is an error.
    """
    job = make_job(data, counts, pert_col, control, cell_type_col, append_controls)
    source: dict[tuple[str, str], NDArray[np.int64]] = {}
    for label, cell_type in job.counts:
        here = (job.cells.types == cell_type) & ~job.cells.is_control
        names = sorted(set(job.cells.labels[here]))
        later = [name for name in names if name > label]
        following = (later or names or [label])[0]
        if following == label:
            raise InputError(
                f"{label!r} is the only perturbation of {cell_type!r}: nothing to exchange it with"
            )
        source[label, cell_type] = np.flatnonzero(here & (job.cells.labels == following))

    def values(label: str, cell_type: str, part: slice) -> NDArray[np.float32]:
        rows = source[label, cell_type]
        return job.cells.rows(rows[np.arange(part.start, part.stop) % len(rows)])

    return job.stream(values)


def fixed_pseudobulk(prediction: BlockStream, *, control: str = CONTROL) -> BlockStream:
    """Replace every predicted cell by the mean of its perturbation and cell type; controls stay cells.

    The mean absolute error falls, but differential expression calls nearly every gene, because cells no
    longer vary: `evaluate` warns.

    Parameters
    ----------
    prediction
        Stream of any model, the blocks of a perturbation one after the other.
    control
        Label that is left alone.
    """
    n_genes = len(prediction.genes)

    def make() -> Iterator[Block]:
        key, total, n = ("", ""), np.zeros(n_genes), 0
        for block in prediction:
            if (block.label, block.cell_type) != key or block.label == control:
                yield from _means(key, total, n)
                key, total, n = (block.label, block.cell_type), np.zeros(n_genes), 0
            if block.label == control:
                yield block
                continue
            total += dense(block.expression).sum(axis=0, dtype=np.float64)
            n += block.expression.shape[0]
        yield from _means(key, total, n)

    return BlockStream(prediction.genes, prediction.counts, make)


BASELINES: Mapping[str, Callable[..., BlockStream]] = {
    "control_mean": control_mean,
    "control_cells": control_cells,
    "perturbation_mean": perturbation_mean,
    "context_mean": context_mean,
    "global_mean": global_mean,
    "random": random_counts,
    "derangement": derangement,
}
"""Baselines by name. The eighth, `fixed_pseudobulk`, wraps a prediction."""


def baseline(name: str, data: Any, counts: Counts | pd.DataFrame = None, **settings: Any) -> BlockStream:
    """Make the baseline called `name`; see `BASELINES`.

    Raises
    ------
    InputError
        There is no such baseline.
    """
    if name not in BASELINES:
        raise InputError(f"there is no baseline {name!r}: give one of {', '.join(BASELINES)}")
    return BASELINES[name](data, counts, **settings)


def _means(key: tuple[str, str], total: NDArray[np.float64], n: int) -> Iterator[Block]:
    if n:
        row = (total / n).astype(np.float32)[None]
        for part in pieces(n, len(total)):
            yield Block(*key, np.repeat(row, part.stop - part.start, axis=0))
