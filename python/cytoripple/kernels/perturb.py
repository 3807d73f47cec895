"""Perturbation of a fitted tissue on plain arrays: derivatives of a target, and the ripple of a change."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cytoripple import _core
from cytoripple._errors import InputError
from cytoripple.kernels import _check
from cytoripple.kernels.ligands import ReceivedPlan


@dataclass(frozen=True)
class TargetModel:
    """Coefficients of one target gene.

    Parameters
    ----------
    gene
        Column of the target on the gene axis.
    betas
        Rows x (1 + modulators), float64, the intercept first.
    columns
        Modulators x 3, int64: ``(0 or 3, gene, -1)`` for a gene, ``(1, ligand position, receptor gene)``,
        ``(2, ligand position, regulator gene)``. A missing member is -1: its term counts as 0.
    rows
        Row of `betas` of each cell, -1 for all zero.
    """

    gene: int
    betas: NDArray[np.float64]
    columns: NDArray[np.int64]
    rows: NDArray[np.int64]


@dataclass(frozen=True)
class PropagationRules:
    """What a propagation step does with sources, perturbed cells and bounds.

    Parameters
    ----------
    lr_source
        Received ligand in the derivative of a receptor: ``"baseline"`` in every step, or ``"evolving"``, that
        of the previous step.
    pin
        Entries that keep the change asked for: ``"selected"`` cells, or those where it is ``"nonzero"``.
    clip
        Range of each gene: ``"observed"``, ``"zero_observed"`` (0 to the largest observed value) or
        ``"zero_desired"`` (0 to the largest observed or desired value).
    exempt_pinned
        Pinned entries are never clipped.
    min_expression
        Expression counts as absent unless above it.
    """

    lr_source: Literal["baseline", "evolving"] = "evolving"
    pin: Literal["nonzero", "selected"] = "selected"
    clip: Literal["observed", "zero_observed", "zero_desired"] = "zero_desired"
    exempt_pinned: bool = True
    min_expression: float = 1e-9

    @classmethod
    def preset(cls, name: str) -> PropagationRules:
        """Rules of ``"cytoripple"``, or of the published programs ``"python"`` and ``"rust"``.

        Raises
        ------
        InputError
            An unknown name.
        """
        presets = {
            "cytoripple": cls(),
            "python": cls("baseline", "nonzero", "observed", False),
            "rust": cls("evolving", "nonzero", "zero_observed", False),
        }
        if name not in presets:
            raise InputError(f"preset is {name!r}: expected one of {', '.join(presets)}")
        return presets[name]


class RegulatoryModel:
    """Coefficients of all targets of a run, ready for derivatives and perturbations.

    Parameters
    ----------
    targets
        One `TargetModel` per target gene, all for the same cells.
    n_genes
        Length of the gene axis: genes that regulate, signal, are targets or are perturbed.
    ligand_genes
        Gene of each ligand position, (ligands,) int64.

    Raises
    ------
    InputError, ValueError
        Shapes disagree, an index is out of range, or a coefficient is not finite.
    """

    def __init__(self, targets: Sequence[TargetModel], *, n_genes: int, ligand_genes: ArrayLike) -> None:
        self._ligand_genes = _check.integers("ligand_genes", ligand_genes)
        cells = {len(target.rows) for target in targets}
        if len(cells) > 1:
            raise InputError(f"targets have rows for {sorted(cells)} cells: all need the same cells")
        self._n_cells = cells.pop() if cells else 0
        self._n_genes, self._n_targets = n_genes, len(targets)
        tables = [
            (
                int(target.gene),
                _check.real("betas", target.betas, ndim=2),
                np.ascontiguousarray(target.columns, dtype=np.int64).reshape(-1, 3),
                _check.integers("rows", target.rows),
            )
            for target in targets
        ]
        self._native = _core.RegulatoryModel(tables, self._n_cells, n_genes, self._ligand_genes)

    def splash(
        self,
        target: int,
        expression: ArrayLike,
        received: ArrayLike,
        received_tfl: ArrayLike,
        *,
        modulators: ArrayLike,
        beta_scale_factor: float = 1.0,
        beta_cap: float | None = None,
        allowed_tfs: Sequence[Collection[int] | None] | None = None,
        threads: int = 0,
    ) -> NDArray[np.float64]:
        """Derivative of one target with respect to genes.

        Parameters
        ----------
        target
            Position of the target in `targets`.
        expression
            Filtered expression, cells x genes.
        received, received_tfl
            Received ligands of ligand-receptor and of ligand-regulator pairs, cells x ligands.
        modulators
            Genes of the result's columns; the derivative by a gene without a role is 0.
        beta_scale_factor, beta_cap
            Factor of the ligand terms, and the largest absolute derivative after summing the terms of a gene.
        allowed_tfs
            Per target the genes that may act as TFs, None for all.
        threads
            Worker threads, 0 = all cores.

        Returns
        -------
        numpy.ndarray
            Cells x modulators, float64.
        """
        if not 0 <= target < self._n_targets:
            raise InputError(f"target is {target}, but there are {self._n_targets} targets")
        n_ligands = len(self._ligand_genes)
        return self._native.splash(
            target,
            self._matrix("expression", expression, self._n_genes),
            self._matrix("received", received, n_ligands),
            self._matrix("received_tfl", received_tfl, n_ligands),
            _check.integers("modulators", modulators),
            float(beta_scale_factor),
            beta_cap,
            None if allowed_tfs is None else _sorted(allowed_tfs[target]),
            threads=threads,
        )

    def perturb(
        self,
        expression: ArrayLike,
        targets: ArrayLike,
        desired: ArrayLike,
        cells: NDArray[np.bool_],
        *,
        signals: Sequence[tuple[ReceivedPlan, NDArray[np.int64]]],
        lr_ligands: NDArray[np.bool_],
        tfl_ligands: NDArray[np.bool_],
        rules: PropagationRules,
        n_propagation: int,
        scale_factor: float = 1.0,
        beta_scale_factor: float = 1.0,
        beta_cap: float | None = None,
        mask: NDArray[np.bool_] | None = None,
        allowed_tfs: Sequence[Collection[int] | None] | None = None,
        threads: int = 0,
        progress: Callable[[int, int], object] | None = None,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Set genes to values in some cells and let the change run through the model.

        Parameters
        ----------
        expression
            Cells x genes.
        targets, desired
            Perturbed genes and their values, (m,).
        cells
            Where, cells x m.
        signals
            Plans of the received ligands, each with the ligand positions it serves. Others receive 0.
        lr_ligands, tfl_ligands
            Which positions belong to ligand-receptor and to ligand-regulator pairs, (ligands,).
        rules, n_propagation
            Rules and number of the steps.
        scale_factor
            Factor on received ligands.
        beta_scale_factor, beta_cap, allowed_tfs, threads
            As for `splash`.
        mask
            Cells x genes that may signal; None for all.
        progress
            Called with (steps done, steps).

        Returns
        -------
        simulated, delta
            Cells x genes: the expression after the perturbation, and its change inside the last step.
        """
        native_rules = (rules.lr_source, rules.pin, rules.clip, rules.exempt_pinned, rules.min_expression)
        simulated, delta = self._native.perturb(
            self._matrix("expression", expression, self._n_genes),
            _check.integers("targets", targets),
            _check.real("desired", desired, ndim=1),
            np.ascontiguousarray(cells, dtype=np.bool_),
            [(plan.native, _check.integers("signals", positions)) for plan, positions in signals],
            float(scale_factor),
            [bool(flag) for flag in lr_ligands],
            [bool(flag) for flag in tfl_ligands],
            native_rules,
            n_propagation,
            float(beta_scale_factor),
            beta_cap,
            None if mask is None else np.ascontiguousarray(mask, dtype=np.bool_),
            None if allowed_tfs is None else [_sorted(allowed) for allowed in allowed_tfs],
            threads=threads,
            progress=progress,
        )
        return simulated, delta

    def _matrix(self, name: str, value: ArrayLike, width: int) -> NDArray[np.float64]:
        array = _check.real(name, value, ndim=2)
        if array.shape != (self._n_cells, width):
            raise InputError(f"{name} has shape {array.shape}: expected {(self._n_cells, width)}")
        return array


def _sorted(genes: Collection[int] | None) -> list[int] | None:
    return None if genes is None else sorted(int(gene) for gene in genes)
