"""Differential expression of every perturbation in a screen."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from cytoripple import _core
from cytoripple._errors import InputError
from cytoripple.kernels._expression import expression_parts
from cytoripple.kernels.wilcoxon import benjamini_hochberg
from cytoripple.vc._screen import GroupSums, Screen, read_screen

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

Mode = Literal["ref", "all", "on_target"]

COLUMNS = (
    "target",
    "feature",
    "target_mean",
    "ref_mean",
    "target_membership",
    "ref_membership",
    "log2_fold_change",
    "percent_change",
    "p_value",
    "statistic",
    "fdr",
)


@dataclass(frozen=True, eq=False)
class DifferentialExpression:
    """Tests of all perturbations; every matrix is targets x genes.

    Parameters
    ----------
    targets, genes
        Names of rows and columns.
    target_mean, ref_mean
        Mean expression of the cells of the target and of the reference, in linear space.
    n_target, n_ref
        Number of these cells, per target.
    log2_fold_change, percent_change
        Change of the mean; infinite where one mean is 0.
    statistic, score, p_value, fdr
        U, standardized U, two-sided p-value, and its Benjamini-Hochberg adjustment over the genes of the row.
    kept
        Tests that were made; the others hold NaN.
    """

    targets: tuple[str, ...]
    genes: NDArray[np.str_]
    target_mean: NDArray[np.float64]
    ref_mean: NDArray[np.float64]
    n_target: NDArray[np.int64]
    n_ref: NDArray[np.int64]
    log2_fold_change: NDArray[np.float64]
    percent_change: NDArray[np.float64]
    statistic: NDArray[np.float64]
    score: NDArray[np.float64]
    p_value: NDArray[np.float64]
    fdr: NDArray[np.float64]
    kept: NDArray[np.bool_]

    @cached_property
    def table(self) -> pd.DataFrame:
        """One line per test, with the columns `COLUMNS`; targets in order, genes in order inside."""
        import pandas as pd

        row, column = np.nonzero(self.kept)
        values: dict[str, Any] = {
            "target": np.asarray(self.targets, dtype=object)[row],
            "feature": self.genes.astype(object)[column],
            "target_membership": self.n_target[row],
            "ref_membership": self.n_ref[row],
        }
        for name in COLUMNS:
            if name not in values:
                values[name] = np.broadcast_to(getattr(self, name), self.kept.shape)[row, column]
        return pd.DataFrame({name: values[name] for name in COLUMNS})


def differential_expression(
    screen: Screen,
    *,
    mode: Mode = "ref",
    is_log1p: bool = True,
    geometric_mean: bool = True,
    epsilon: float = 0.0,
    cpm_filter: float | None = None,
    sums: GroupSums | None = None,
    threads: int = 0,
) -> DifferentialExpression:
    """Test every perturbation of a screen; `rank_genes_perturbations` says what the arguments mean.

    `sums` are those of ``screen.sums("identity")``, when they are known already.
    """
    rest = mode == "all"
    order = sorted(range(0 if rest else 1, len(screen.labels)), key=screen.labels.__getitem__)
    targets = tuple(screen.labels[at] for at in order)
    statistic, score, p_value = _tests(screen, order, mode, threads)
    transform = _TRANSFORM[is_log1p, geometric_mean]
    known = sums if sums is not None and transform == "identity" else screen.sums(transform, threads)
    target_mean, ref_mean, n_target, n_ref = _means(known, order, rest=rest)
    if geometric_mean:
        target_mean, ref_mean = np.expm1(target_mean), np.expm1(ref_mean)
    kept = np.isfinite(p_value)
    if cpm_filter is not None:
        linear = screen.sums("expm1" if is_log1p else "identity", threads)
        kept &= _expressed(linear, order, rest=rest, threshold=cpm_filter)
    lfc, percent = fold_changes(target_mean, ref_mean, epsilon)
    return DifferentialExpression(
        targets=targets,
        genes=screen.genes,
        target_mean=target_mean,
        ref_mean=ref_mean,
        n_target=n_target,
        n_ref=n_ref,
        log2_fold_change=lfc,
        percent_change=percent,
        statistic=statistic,
        score=score,
        p_value=p_value,
        fdr=_adjusted(np.where(kept, p_value, np.nan), together=mode == "on_target"),
        kept=kept,
    )


_TRANSFORM = {
    (True, True): "identity",
    (True, False): "expm1",
    (False, True): "log1p",
    (False, False): "identity",
}
"""What is summed, by (logarithms, geometric mean)."""


def _tests(screen: Screen, order: list[int], mode: Mode, threads: int) -> tuple[NDArray[np.float64], ...]:
    """Statistic, score and p-value per target and gene; NaN where ``on_target`` tests nothing."""
    rest = mode == "all"
    settings: dict[str, Any] = {"rest": rest, "tie_correct": True, "continuity": True, "threads": threads}
    n_labels = len(screen.labels)
    if mode != "on_target":
        found = _core.rank_sums(screen.parts, screen.codes, n_labels, **settings)
        rows = np.asarray(order) - (0 if rest else 1)
        return tuple(values if (rows == np.arange(len(rows))).all() else values[rows] for values in found)
    place = {gene: at for at, gene in enumerate(screen.genes.tolist())}
    measured = [(row, place[screen.labels[at]]) for row, at in enumerate(order) if screen.labels[at] in place]
    out = tuple(np.full((len(order), len(screen.genes)), np.nan) for _ in range(3))
    if measured:
        rows, columns = np.array(measured).T
        parts = expression_parts(screen.name, screen.matrix[:, columns])
        found = _core.rank_sums(parts, screen.codes, n_labels, **settings)
        for whole, part in zip(out, found, strict=True):
            whole[rows, columns] = part[rows, np.arange(len(rows))]
    return out


def _means(
    sums: GroupSums, order: list[int], *, rest: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Mean per target and gene of the target and of what it is compared with, and both numbers of cells."""
    own, size = sums.sums[order], sums.sizes[order]
    if rest:
        others, n_others = sums.sums.sum(axis=0) - own, sums.sizes.sum() - size
    else:
        others = np.broadcast_to(sums.sums[0], own.shape)
        n_others = np.full(len(order), sums.sizes[0])
    return own / size[:, None], others / n_others[:, None], size, n_others


def _expressed(linear: GroupSums, order: list[int], *, rest: bool, threshold: float) -> NDArray[np.bool_]:
    """Mark tests whose gene is above the threshold, in counts per million, on at least one side."""
    target, reference, _, _ = _means(linear, order, rest=rest)
    per_million = [1e6 * mean / mean.sum(axis=1, keepdims=True) for mean in (target, reference)]
    above: NDArray[np.bool_] = np.maximum(*per_million) > threshold
    return above


def _adjusted(p_value: NDArray[np.float64], *, together: bool) -> NDArray[np.float64]:
    """FDR over the genes of each target, or over all tests together."""
    if together:
        return benjamini_hochberg(p_value.ravel()).reshape(p_value.shape)
    return benjamini_hochberg(p_value)


def fold_changes(
    target: NDArray[np.float64], reference: NDArray[np.float64], epsilon: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """``log2((t + e) / (r + e))`` and ``(t - r) / (r + e)``, both 0 for 0/0 and infinite for a lone 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        lfc = np.log2((target + epsilon) / (reference + epsilon))
        percent = (target - reference) / (reference + epsilon)
    nothing = (target + epsilon == 0) & (reference + epsilon == 0)
    lfc[nothing] = percent[nothing] = 0.0
    return lfc, percent


def rank_genes_perturbations(
    adata: AnnData,
    *,
    pert_col: str = "target_gene",
    control: str = "non-targeting",
    mode: Mode = "ref",
    layer: str | None = None,
    is_log1p: bool = True,
    geometric_mean: bool = True,
    epsilon: float = 0.0,
    cpm_filter: float | None = None,
    key_added: str | None = "rank_genes_groups",
    threads: int = 0,
) -> pd.DataFrame:
    """Test every gene in every perturbation against the control cells (Mann-Whitney, two-sided).

    Parameters
    ----------
    adata
        Cells x genes, ``log1p`` of normalized counts, dense or sparse.
    pert_col
        Column of ``adata.obs`` with the perturbation of each cell.
    control
        Label of the control cells.
    mode
        ``"ref"`` compares with the control; ``"all"`` each label, the control too, with all other cells;
        ``"on_target"`` is ``"ref"`` for the gene that has the name of the perturbation only.
    layer
        Layer with the expression; None is ``adata.X``.
    is_log1p
        False for raw counts; only the means depend on it.
    geometric_mean
        Means are ``expm1`` of the mean logarithm; False takes the mean of the linear values.
    epsilon
        Added to both means of a fold change. 0 gives infinite fold changes where one mean is 0.
    cpm_filter
        Leave out genes that have at most this many counts per million in both groups; the false discovery
        rate is then over the genes that remain.
    key_added
        Where the result goes in ``adata.uns``, in the form of ``scanpy.tl.rank_genes_groups``, so that
        scanpy's plots work on it; None leaves `adata` as it is.
    threads
        0 takes every core. The result does not depend on it.

    Returns
    -------
    Data frame with one line per test: target, feature, target_mean, ref_mean, target_membership,
    ref_membership, log2_fold_change, percent_change, p_value, statistic, fdr. The false discovery rate is
    over the genes of a target; over all targets with ``"on_target"``.

    Raises
    ------
    InputError
        The column or the control is missing, a cell has no label, or the values are not of the scale.

    Examples
    --------
    >>> import cytoripple as ct
    >>> table = ct.tl.rank_genes_perturbations(adata, pert_col="gene")  # doctest: +SKIP
    >>> table[table["fdr"] < 0.05]  # doctest: +SKIP
    """
    if mode not in ("ref", "all", "on_target"):
        raise InputError(f"mode is {mode!r}: give 'ref', 'all' or 'on_target'")
    if not epsilon >= 0:
        raise InputError(f"epsilon is {epsilon}: give 0 or a positive number")
    screen = read_screen(
        adata, pert_col=pert_col, control=control, layer=layer, scale="log" if is_log1p else "counts"
    )
    found = differential_expression(
        screen,
        mode=mode,
        is_log1p=is_log1p,
        geometric_mean=geometric_mean,
        epsilon=epsilon,
        cpm_filter=cpm_filter,
        threads=threads,
    )
    if key_added is not None:
        from cytoripple.vc._scanpy_form import as_rank_genes_groups

        adata.uns[key_added] = as_rank_genes_groups(
            found, groupby=pert_col, reference="rest" if mode == "all" else control, layer=layer
        )
    return found.table
