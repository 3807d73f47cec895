"""Fitted models of all targets as one set of matrices: prediction and propagation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cytoripple.bench.design import Arena, RippleDesign

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
        self.shared = design.shared
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
    """Repeated evaluation of fitted models on perturbed states of one tissue.

    Everything is kept gene by gene: rows are genes, columns or ligands, and cells lie side by side.
    """

    def __init__(self, model: FittedTissue, arena: Arena, *, threads: int = 0) -> None:
        self.model, self.arena, self._threads = model, arena, threads
        self.start = np.ascontiguousarray(arena.expression.T)
        self._received = np.ascontiguousarray(arena.received.T)
        self._gene, self._ligand = _factors(model.shared.table)
        self._features = self._columns(self.start, self._received, np.arange(len(self._gene)))
        self._coef = np.ascontiguousarray(model.coef.transpose(0, 2, 1))
        self._used = model.coef.any(axis=(0, 2))

    def reevaluate(
        self, gene: int, desired: float, cells: NDArray[np.bool_], *, n_propagation: int
    ) -> Floats:
        """Change of every gene in every cell when `gene` is set to `desired` on the layer in `cells`.

        With E the expression and f(X) the models at a state X, whose received signals follow from X, a round
        is ``X = clip(E + f(X) - f(E), 0, max(observed maximum, desired))``; the perturbed entries keep their
        value and genes without a model keep E. It ends after `n_propagation` rounds, or when no entry changes
        by 1e-3.

        Returns
        -------
        Cells x genes, cells sorted as in the arena.
        """
        highest = self.start.max(axis=1, keepdims=True)
        highest[gene] = max(highest[gene, 0], desired)
        state = self.start.copy()
        state[gene, cells] = desired
        for _ in range(n_propagation):
            following = self.start.copy()
            following[self.model.target_genes] += self.change(state)
            np.clip(following, 0.0, highest, out=following)
            following[gene, cells] = desired
            step, state = float(np.abs(following - state).max()), following
            if step < TOLERANCE:
                break
        return (state - self.start).T

    def change(self, state: Floats) -> Floats:
        """Predict the difference to the unperturbed tissue, targets x cells; 0 where nothing moved."""
        gene_moved = (state != self.start).any(axis=1)
        sent = gene_moved[self.arena.sender.genes]
        received = self.arena.sender.received(state.T, sent, self.arena.received, threads=self._threads).T
        moved = gene_moved[self._gene] | (np.append(sent, False)[self._ligand])
        chosen = np.flatnonzero(moved & self._used)
        difference = self._columns(state, np.ascontiguousarray(received), chosen) - self._features[chosen]
        found = np.empty((len(self.model.target_genes), state.shape[1]))
        for cells, coef in zip(self.arena.cells_of_type, self._coef, strict=True):
            found[:, cells] = coef[:, chosen] @ difference[:, cells]
        return found

    def _columns(self, state: Floats, received: Floats, chosen: Ints) -> Floats:
        values = np.asarray(state[self._gene[chosen]])
        products = np.flatnonzero(self._ligand[chosen] >= 0)
        values[products] *= received[self._ligand[chosen[products]]]
        return values


def _factors(table: Ints) -> tuple[Ints, Ints]:
    """Gene and ligand of every column; -1 where no ligand takes part."""
    _, first, second = table.T
    return np.where(second < 0, first, second), np.where(second < 0, -1, first)
