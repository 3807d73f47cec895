"""What kind of numbers a matrix holds, and ``log1p`` of counts per 10,000 that is safe to repeat."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from cytoripple._errors import InputError, LayerError
from cytoripple._matrix import dense, entries

if TYPE_CHECKING:
    from anndata import AnnData

log = logging.getLogger(__name__)

State = Literal["counts", "lognorm", "norm_unlogged", "scaled"]

TARGET_SUM = 1e4
LOG_CEILING = 15.0
"""No logarithm of a normalized count reaches this: exp(15) is above three million."""
_FRACTION = 1e-3
_SAMPLED_ROWS = 2000
_SAME_SUM = 1e-3
_SCALE_GAP = 10.0
_WHOLE_BY_CHANCE = 0.2
_BLOCK_VALUES = 1 << 22


@dataclass(frozen=True)
class NormReport:
    """What `normalize_adata` found and did.

    Parameters
    ----------
    state
        What the matrix held before.
    target_before
        Sum per cell before the logarithm; NaN when cells differ, as after a choice of genes.
    changed
        Whether the values were changed.
    note
        The same in words.
    """

    state: State
    target_before: float
    changed: bool
    note: str


def expression_state(X: Any) -> State:
    """Tell counts from logarithms.

    The smallest and the largest value are looked for everywhere; fractions in up to 2,000 evenly spaced rows.

    Parameters
    ----------
    X
        Cells x genes, dense, memory-mapped or sparse; never copied whole.

    Returns
    -------
    ``"scaled"`` when a value is negative, ``"counts"`` when the sampled rows hold whole numbers only,
    ``"lognorm"`` when there are fractions and no value reaches 15, else ``"norm_unlogged"``. A matrix of
    zeros counts as ``"counts"``.

    Raises
    ------
    LayerError
        A value is NaN or infinite, or some rows are logarithms and some are not.
    """
    lowest, block_tops = _extremes(X)
    if lowest < 0:
        return "scaled"
    whole, varied, tops = _sampled(X)
    filled = tops > 0
    if not (~whole & filled).any():
        return "counts"
    # A normalized cell is whole by chance when its sum divides the target; its logarithms never are.
    chance = 0.0 if np.median(tops[~whole]) < LOG_CEILING else _WHOLE_BY_CHANCE
    if (raw := int((whole & varied).sum())) > chance * filled.sum():
        raise LayerError(
            f"{raw} of {int(filled.sum())} sampled rows hold counts and the others fractions: "
            "expected one kind of values, convert the parts before joining them"
        )
    tops = np.concatenate([tops[filled], block_tops])
    logged, plain = tops[tops < LOG_CEILING], tops[tops >= LOG_CEILING]
    if len(logged) and len(plain) and np.median(plain) > _SCALE_GAP * np.median(logged):
        raise LayerError(
            f"some rows reach {np.median(plain):.4g} and others only {np.median(logged):.4g}: logarithms and "
            "plain values are mixed, convert the parts before joining them"
        )
    return "lognorm" if not len(plain) else "norm_unlogged"


def require_lognorm(X: Any, name: str = "X") -> None:
    """Raise unless a matrix holds logarithms of normalized counts.

    Rows of one repeated whole number, also rows of zeros, are let through: a constant prediction is odd, but
    it is no counts.

    Raises
    ------
    LayerError
        It holds something else; the message says what to type.
    """
    state = expression_state(X)
    if state == "lognorm" or (state == "counts" and not _sampled(X)[1].any()):
        return
    found = {
        "counts": "counts",
        "norm_unlogged": f"normalized values without logarithm (some reach {LOG_CEILING:g})",
        "scaled": "negative values, so it was scaled or centered",
    }[state]
    remedy = (
        "take the values before scaling"
        if state == "scaled"
        else "call ct.vc.normalize_adata(adata), which gives log1p of counts per 10,000"
    )
    raise LayerError(f"{name} holds {found}, expected log-normalized expression: {remedy}")


def normalize(X: Any, target_sum: float = TARGET_SUM) -> Any:
    """Return ``log1p`` of counts scaled to `target_sum` per cell; safe to repeat.

    Counts are scaled and logged, cells without counts stay zero. Logarithms on another common scale are
    rescaled exactly; logarithms whose cells sum to different numbers (genes were chosen after normalization)
    are left alone, with a warning in the log.

    Parameters
    ----------
    X
        Cells x genes, dense or sparse. It is not changed.
    target_sum
        Sum per cell before the logarithm.

    Returns
    -------
    float32, dense for dense input, else CSR. The input itself when there is nothing to do.

    Raises
    ------
    LayerError
        Negative values (the scaling cannot be undone), NaN, or rows of different kinds.

    Examples
    --------
    >>> import numpy as np
    >>> from cytoripple.vc.guard import normalize
    >>> once = normalize(np.array([[3.0, 1.0], [0.0, 0.0]]), target_sum=4)
    >>> bool(np.allclose(once, np.log1p([[3, 1], [0, 0]]))), normalize(once, target_sum=4) is once
    (True, True)
    """
    return _normalize(X, target_sum)[0]


def normalize_adata(
    adata: AnnData, *, layer: str | None = None, target_sum: float = TARGET_SUM
) -> NormReport:
    """Put ``log1p`` of counts per 10,000 into ``adata.X``, whatever it held; see `normalize`.

    Parameters
    ----------
    adata
        ``X`` is replaced, and ``uns["cytoripple"]`` records the normalization.
    layer
        Where the values are taken from; None is ``X``.
    target_sum
        Sum per cell before the logarithm.

    Returns
    -------
    What was found and done.

    Raises
    ------
    LayerError
        The layer is missing or its values cannot be normalized.
    """
    if layer is not None and layer not in adata.layers:
        raise LayerError(
            f"there is no layer {layer!r}: layers are {', '.join(map(repr, adata.layers)) or 'none'}"
        )
    values, report = _normalize(adata.X if layer is None else adata.layers[layer], target_sum)
    adata.X = values
    record = dict(adata.uns.get("cytoripple", {}))
    adata.uns["cytoripple"] = record | {"norm": "log1p_cp", "target_sum": float(target_sum)}
    log.info("%s", report.note)
    return report


def normalize_counts(counts: Any, target_sum: float = TARGET_SUM) -> Any:
    """``log1p`` of counts scaled to `target_sum` per cell, float32, without looking at what they are."""
    return _by_rows(counts, lambda x, s: np.log1p(x * _factor(target_sum, s)))


def row_blocks(X: Any) -> Iterator[Any]:
    """Blocks of rows of bounded size, dense or CSR."""
    X = as_rows(X)
    rows = max(1, _BLOCK_VALUES // max(1, X.shape[1]))
    for first in range(0, X.shape[0], rows):
        yield X[first : first + rows]


def as_rows(X: Any) -> Any:
    """Return a sparse matrix as CSR, anything else as it is."""
    return cast("Any", X).tocsr() if sparse.issparse(X) and cast("Any", X).format != "csr" else X


def common_sum(sums: NDArray[np.float64]) -> float:
    """Return what filled rows sum to, NaN when they differ by more than one in a thousand."""
    filled = sums[sums > 0]
    if not len(filled) or filled.std() > _SAME_SUM * filled.mean():
        return float("nan")
    return float(np.median(filled))


def _normalize(X: Any, target_sum: float) -> tuple[Any, NormReport]:
    if not (np.isfinite(target_sum) and target_sum > 0):
        raise InputError(f"target_sum is {target_sum}: give a positive number")
    state = expression_state(X)
    if state == "scaled":
        raise LayerError(
            "the matrix holds negative values, so it was scaled or centered, which cannot be undone: "
            "take the values before scaling"
        )
    if state == "counts":
        return normalize_counts(X, target_sum), NormReport(
            state, float("nan"), True, f"counts: scaled to {target_sum:g} and logged"
        )
    undo = np.expm1 if state == "lognorm" else None
    before = common_sum(np.concatenate([_row_sums(block, undo) for block in row_blocks(X)]))
    if np.isnan(before):
        text = "cells sum to different numbers, as after a choice of genes: the scale was left alone"
        log.warning("%s", text)
        if state == "lognorm":
            return X, NormReport(state, before, False, text)
        return _by_rows(X, lambda x, s: np.log1p(x)), NormReport(state, before, True, f"logged; {text}")
    factor = target_sum / before
    if state == "norm_unlogged":
        text = f"normalized values with sum {before:g}: scaled to {target_sum:g} and logged"
        return _by_rows(X, lambda x, s: np.log1p(x * factor)), NormReport(state, before, True, text)
    if abs(factor - 1) <= _SAME_SUM:
        return X, NormReport(state, before, False, f"already log1p of counts per {target_sum:g}")
    text = f"logarithms on the scale {before:g}: moved to {target_sum:g}"
    made = _by_rows(X, lambda x, s: np.log1p(np.expm1(x) * factor))
    return made, NormReport(state, before, True, text)


def _factor(target: float, sums: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(target, sums, out=np.zeros_like(sums), where=sums > 0)


def _by_rows(X: Any, change: Any) -> Any:
    """Apply ``change(values, sum of their row)``, which keeps zero at zero, and return float32."""
    made = []
    for block in row_blocks(X):
        sums = _row_sums(block, None)
        if isinstance(block, np.ndarray):
            made.append(change(block.astype(np.float64), sums[:, None]).astype(np.float32))
            continue
        out = sparse.csr_matrix(block, dtype=np.float64, copy=True)
        out.data = change(out.data, np.repeat(sums, np.diff(out.indptr)))
        made.append(out.astype(np.float32))
    if isinstance(made[0], np.ndarray):
        return np.concatenate(made)
    return sparse.vstack(made, format="csr")


def _row_sums(block: Any, change: Any) -> NDArray[np.float64]:
    if isinstance(block, np.ndarray):
        values = block.astype(np.float64)
        return np.asarray((values if change is None else change(values)).sum(axis=1))
    values = block.astype(np.float64)
    if change is not None:
        values.data = change(values.data)
    return np.asarray(values.sum(axis=1), dtype=np.float64).ravel()


def _extremes(X: Any) -> tuple[float, NDArray[np.float64]]:
    """Smallest value of all, and the largest of every block of rows (every piece of entries of CSC)."""
    if X.shape[0] == 0 or X.shape[1] == 0:
        raise LayerError(f"the matrix has shape {X.shape}: expected cells and genes")
    if X.dtype.kind not in "biuf":
        raise LayerError(f"the matrix has dtype {X.dtype}: expected real numbers")
    lowest, tops, bad = 0.0 if sparse.issparse(X) else np.inf, [], 0
    for piece in _pieces(X):
        if not piece.size:
            continue
        low, top = float(piece.min()), float(piece.max())
        if not (np.isfinite(low) and np.isfinite(top)):
            bad += int(piece.size - np.isfinite(piece).sum())
        lowest = min(lowest, low)
        tops.append(top)
    if bad:
        raise LayerError(f"the matrix holds {bad} values that are NaN or infinite: drop or replace them")
    return lowest, np.array([top for top in tops if top > 0])


def _pieces(X: Any) -> Iterator[NDArray[Any]]:
    if sparse.issparse(X):
        stored = entries(X)
        for first in range(0, stored.size, _BLOCK_VALUES):
            yield stored[first : first + _BLOCK_VALUES]
        return
    for block in row_blocks(X):
        yield np.asarray(block)


def _sampled(X: Any) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.float64]]:
    """Of evenly spaced rows: all values whole; several different non-zero values; largest value."""
    n = X.shape[0]
    rows = np.unique(np.linspace(0, n - 1, min(n, _SAMPLED_ROWS)).astype(np.int64))
    source = as_rows(X)
    whole, varied, tops = [], [], []
    for first in range(0, len(rows), 256):
        block = source[rows[first : first + 256]]
        values = dense(block).astype(np.float64)
        whole.append((np.abs(values - np.round(values)) <= _FRACTION).all(axis=1))
        top = values.max(axis=1)
        tops.append(top)
        varied.append(((values > 0) & (values < top[:, None])).any(axis=1))
    return np.concatenate(whole), np.concatenate(varied), np.concatenate(tops)
