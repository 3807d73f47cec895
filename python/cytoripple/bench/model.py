"""Fitted models of all targets as one set of matrices: prediction and propagation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cytoripple.bench.design import Arena, RippleDesign
from cytoripple.kernels.perturb import RegulatoryModel, TargetModel

TOLERANCE = 1e-3

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Fit:
    """Coefficients of all targets.

    Attributes
    ----------
    coef
        Raw units, columns of all targets x types.
    intercept
        Targets x types.
    notes
        Figures worth keeping, e.g. the penalty multiplier that was chosen.
    """

    coef: Floats
    intercept: Floats
    notes: dict[str, float]


class FittedTissue:
    """Models of all targets on the distinct columns that they share.

    Parameters
    ----------
    design
        What was fitted.
    fit
        Its coefficients.
    """

    def __init__(self, design: RippleDesign, fit: Fit) -> None:
        owner = np.repeat(np.arange(len(design.targets)), np.diff(design.indptr))
        self.shared, self.fit = design.shared, fit
        self.coef = np.zeros((design.n_types, len(self.shared.table), len(design.targets)))
        for kind in range(design.n_types):
            self.coef[kind, self.shared.place, owner] = fit.coef[:, kind]
        self.intercept = np.ascontiguousarray(fit.intercept.T)
        self.target_genes = design.target_genes

    def predict(self, expression: Floats, received: Floats, types: Ints) -> Floats:
        """Expression of every target, cells x targets."""
        features = self.shared.features(expression, received)
        predicted = np.empty((len(features), len(self.target_genes)))
        for kind in np.unique(types):
            inside = types == kind
            predicted[inside] = features[inside] @ self.coef[kind] + self.intercept[kind]
        return predicted


class Propagation:
    """Repeated evaluation of fitted models on perturbed states of one tissue."""

    def __init__(self, model: FittedTissue, arena: Arena, *, threads: int = 0) -> None:
        self.arena, self._threads = arena, threads
        design = arena.design
        inner = design.indptr[1:-1]
        columns, coef = np.split(design.columns, inner), np.split(model.fit.coef, inner)
        self._model = RegulatoryModel(
            [
                _of_target(int(gene), columns[t], coef[t], model.fit.intercept[t], arena.types)
                for t, gene in enumerate(design.target_genes)
            ],
            n_genes=len(design.genes),
            ligand_genes=arena.sender.genes,
        )
        self._any = np.ones(len(design.ligands), dtype=bool)

    def reevaluate(
        self, gene: int, desired: float, cells: NDArray[np.bool_], *, n_propagation: int
    ) -> Floats:
        """Change of every gene in every cell when `gene` is set to `desired` on the layer in `cells`.

        The rounds are those of `RegulatoryModel.reevaluate`; they end after `n_propagation` of them, or when
        no entry changes by 1e-3.

        Returns
        -------
        Cells x genes, cells sorted as in the arena.
        """
        found = self._model.reevaluate(
            self.arena.expression, [gene], [desired], cells[:, None], signals=self.arena.sender.signals,
            lr_ligands=self._any, tfl_ligands=self._any, n_propagation=n_propagation, tolerance=TOLERANCE,
            threads=self._threads,
        )  # fmt: skip
        return found.simulated - self.arena.expression


def _of_target(gene: int, columns: Ints, coef: Floats, intercept: Floats, types: Ints) -> TargetModel:
    """Model of one target without the columns that act in no type."""
    used = coef.any(axis=1)
    betas = np.column_stack([intercept, coef[used].T])
    return TargetModel(gene, np.ascontiguousarray(betas), np.ascontiguousarray(columns[used]), types)
