"""Rank-sum tests of many groups of cells, gene by gene, and the control of false discoveries."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cytoripple import _core
from cytoripple._errors import InputError
from cytoripple._progress import Progress
from cytoripple.kernels import _check
from cytoripple.kernels._expression import encode_groups, expression_parts

Mode = Literal["ref", "all", "on_target"]


class RankSums(NamedTuple):
    """Result of `wilcoxon`: groups x genes, the groups in sorted order."""

    statistic: NDArray[np.float64]
    p_value: NDArray[np.float64]


def wilcoxon(
    X: Any,
    groups: ArrayLike,
    *,
    reference: Any,
    mode: Mode = "ref",
    tie_correct: bool = True,
    continuity: bool = True,
    threads: int = 0,
    targets: ArrayLike | None = None,
    progress: Progress | None = None,
) -> RankSums:
    """Test every group of cells against a reference, two-sided, for every gene (Mann-Whitney).

    The normal approximation with mid-ranks is used at every size. All values of a gene are sorted once for
    all groups; zeros of sparse matrices are counted, not stored. The result has the same bits for any
    number of threads and for dense, CSR, CSC and memory-mapped input.

    Parameters
    ----------
    X
        Cells x genes, dense or sparse, finite. Any increasing function of the values gives the same result.
    groups
        Label per cell: text, whole numbers or categories. None and NaN leave a cell out.
    reference
        Label of the reference cells. May be None with ``mode="all"``.
    mode
        ``"ref"`` compares each other group with the reference; ``"all"`` each group, the reference too,
        with all other cells; ``"on_target"`` is ``"ref"`` for one gene per group.
    tie_correct
        Subtract the ties from the variance.
    continuity
        Move the statistic by one half toward its mean.
    threads
        0 takes every core.
    targets
        For ``mode="on_target"``: per row of the result the column of its gene, -1 for none.
    progress
        Observer of the tests.

    Returns
    -------
    statistic
        Groups x genes, float64: U of the group, the number of pairs in which its cell is larger, ties
        counting one half. One row per label in sorted order, without the reference unless ``mode="all"``.
    p_value
        Groups x genes, float64; 1 where all values are equal. Entries that ``"on_target"`` leaves out are
        NaN in both.

    Raises
    ------
    InputError
        Lengths disagree, no cell has the reference label, there is nothing to compare, or a value is NaN or
        infinite.

    Notes
    -----
    H. B. Mann and D. R. Whitney, Ann. Math. Stat. 18 (1947) 50.

    Examples
    --------
    >>> import numpy as np
    >>> from cytoripple.kernels.wilcoxon import wilcoxon
    >>> x = np.array([[0.0], [1.0], [2.0], [3.0]])
    >>> result = wilcoxon(x, ["control", "control", "a", "a"], reference="control")
    >>> result.statistic.tolist()
    [[4.0]]
    """
    if mode not in ("ref", "all", "on_target"):
        raise InputError(f"mode is {mode!r}: give 'ref', 'all' or 'on_target'")
    if (mode == "on_target") != (targets is not None):
        raise InputError("targets holds one gene per group: it goes with mode='on_target', and only there")
    if mode != "all" and reference is None:
        raise InputError(f"reference is None: mode={mode!r} needs the label of the reference cells")
    shape = np.shape(X)
    if len(shape) != 2:
        raise InputError(f"X has {len(shape)} dimensions (shape {shape}): expected cells x genes")
    codes, labels = encode_groups(groups, n_cells=shape[0], reference=None if mode == "all" else reference)
    if len(labels) < 2:
        raise InputError(f"groups holds {len(labels)} label: expected the reference and at least one other")
    settings: dict[str, Any] = {"tie_correct": tie_correct, "continuity": continuity, "threads": threads}
    tick = None if progress is None else lambda done, total: progress.update(done, total, "rank tests")

    def test(matrix: Any) -> RankSums:
        parts = expression_parts("X", matrix)
        try:
            statistic, _, p_value = _core.rank_sums(
                parts, codes, len(labels), rest=mode == "all", progress=tick, **settings
            )
        except ValueError as error:
            raise InputError(str(error)) from error
        return RankSums(statistic, p_value)

    if targets is None:
        return test(X)
    genes = _check.integers("targets", targets, length=len(labels) - 1)
    if genes.size and genes.max(initial=-1) >= shape[1]:
        raise InputError(f"targets holds the column {genes.max()}, X has {shape[1]} genes")
    rows = np.flatnonzero(genes >= 0)
    out = RankSums(*(np.full((len(genes), shape[1]), np.nan) for _ in range(2)))
    if rows.size:
        columns, place = np.unique(genes[rows], return_inverse=True)
        subset = X[:, columns] if hasattr(X, "shape") else np.asarray(X)[:, columns]
        for whole, part in zip(out, test(subset), strict=True):
            whole[rows, genes[rows]] = part[rows, place]
    return out


def benjamini_hochberg(p: ArrayLike) -> NDArray[np.float64]:
    """Adjust p-values so that a cut at q keeps the expected share of false discoveries at q.

    Parameters
    ----------
    p
        p-values, any shape; each line along the last axis is a family of its own. NaN stays NaN and is not
        counted.

    Returns
    -------
    float64 of the shape of `p`: ``min over j >= i of p_(j) m / j``, at most 1.

    Raises
    ------
    InputError
        A value is not between 0 and 1.

    Notes
    -----
    Y. Benjamini and Y. Hochberg, J. R. Stat. Soc. B 57 (1995) 289.

    Examples
    --------
    >>> from cytoripple.kernels.wilcoxon import benjamini_hochberg
    >>> benjamini_hochberg([0.01, 0.04, 0.03, 0.5]).round(4).tolist()
    [0.04, 0.0533, 0.0533, 0.5]
    """
    values = np.asarray(p, dtype=np.float64)
    wrong = values[(values < 0) | (values > 1)]
    if wrong.size:
        raise InputError(f"p holds {wrong.size} values outside 0 to 1, the first is {wrong[0]:g}")
    if values.ndim == 0 or values.size == 0:
        return values.copy()
    lines = values.reshape(-1, values.shape[-1])
    order = np.argsort(lines, axis=1, kind="stable")  # NaN comes last
    ranked = np.take_along_axis(lines, order, axis=1)
    counted = np.isfinite(ranked).sum(axis=1, keepdims=True)
    ranked *= counted / np.arange(1, lines.shape[1] + 1)
    adjusted = np.fmin.accumulate(ranked[:, ::-1], axis=1)[:, ::-1]
    out = np.empty_like(lines)
    np.put_along_axis(out, order, np.minimum(adjusted, 1.0), axis=1)
    out[np.isnan(lines)] = np.nan
    return out.reshape(values.shape)
