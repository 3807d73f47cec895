"""Simulated perturbations on arrays: fitted models, their derivatives, and two ways to propagate a change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cytoripple import _core
from cytoripple._errors import InputError
from cytoripple.kernels import _check
from cytoripple.kernels._models import Allowed, TargetModel, allowed_genes, columns_of, count, flags, share
from cytoripple.kernels._rules import CYTORIPPLE, PRESETS, PYTHON, RUST, PropagationRules
from cytoripple.kernels.ligands import ReceivedPlan

__all__ = [
    "CYTORIPPLE",
    "PRESETS",
    "PYTHON",
    "RUST",
    "PropagationRules",
    "Reevaluated",
    "RegulatoryModel",
    "TargetModel",
]

MOST_ROUNDS = 30
"""Rounds after which the search for a fixed point gives up."""

DAMPING = 0.7
"""Part of the way to the re-evaluated state that a round of that search goes."""


@dataclass(frozen=True)
class Reevaluated:
    """Tissue after the fitted models were re-evaluated.

    Attributes
    ----------
    simulated
        Expression, (cells, genes), float64.
    rounds
        Rounds done.
    largest_change
        Largest change of an entry in the last round; 0 when there was none.
    converged
        Whether that is below the tolerance.
    """

    simulated: NDArray[np.float64]
    rounds: int
    largest_change: float
    converged: bool


class RegulatoryModel:
    """Fitted models of many targets on one set of cells, ready for any number of perturbations.

    Parameters
    ----------
    targets
        Models, one per target gene. Share one `rows` array between targets with the same rows.
    n_genes
        Length of the gene axis.
    ligand_genes
        Position of each ligand of the ligand axis on the gene axis, (ligands,).

    Raises
    ------
    InputError
        There is no target, a gene is modeled twice, or a shape, an index or a coefficient is wrong.

    Examples
    --------
    >>> import numpy as np
    >>> from cytoripple.kernels.perturb import CYTORIPPLE, RegulatoryModel, TargetModel
    >>> betas = np.array([[0.0, 0.5]])  # the target follows gene 0 with slope 0.5
    >>> target = TargetModel(1, betas, np.array([[0, 0, -1]]), np.zeros(4, dtype=np.int64))
    >>> model = RegulatoryModel([target], n_genes=2, ligand_genes=np.array([], dtype=np.int64))
    >>> flags = np.zeros(0, dtype=bool)
    >>> simulated, delta = model.perturb(
    ...     np.full((4, 2), 2.0), [0], [0.0], np.ones((4, 1), dtype=bool), signals=[], lr_ligands=flags,
    ...     tfl_ligands=flags, rules=CYTORIPPLE, n_propagation=1)
    >>> delta[0].tolist()
    [-2.0, -1.0]
    """

    def __init__(
        self, targets: Sequence[TargetModel], *, n_genes: int, ligand_genes: NDArray[np.int64]
    ) -> None:
        if not targets:
            raise InputError("targets is empty: give at least one model")
        ligands = _check.integers("ligand_genes", ligand_genes)
        maps, places = share([target.rows for target in targets])
        described = [
            (
                int(target.gene),
                _check.real(f"betas of target {target.gene}", target.betas, ndim=2),
                columns_of(target),
                place,
            )
            for target, place in zip(targets, places, strict=True)
        ]
        self.n_cells = len(maps[0])
        self.n_genes = int(n_genes)
        self.n_ligands = len(ligands)
        self.n_targets = len(targets)
        try:
            self._native = _core.RegulatoryModel(self.n_genes, ligands, maps, described)
        except ValueError as error:
            raise InputError(str(error)) from None

    def splash(
        self,
        target: int,
        expression: ArrayLike,
        received: ArrayLike,
        received_tfl: ArrayLike,
        *,
        modulators: NDArray[np.int64],
        beta_scale_factor: float = 1.0,
        beta_cap: float | None = None,
        min_expression: float = 1e-9,
        allowed_tfs: Allowed | None = None,
        threads: int = 0,
    ) -> NDArray[np.float64]:
        """Compute the derivatives of one target with respect to its modulators.

        Parameters
        ----------
        target
            Position of the target in the list of models.
        expression
            (cells, genes); multiply it with the mask of expression thresholds first, if there is one.
        received, received_tfl
            Received ligands of ligand-receptor and TF-ligand pairs, (cells, ligands).
        modulators
            Genes of the derivatives, (m,). A gene that the target does not depend on has derivative 0.
        beta_scale_factor
            Multiplies every term except those of TFs.
        beta_cap
            Largest size of a derivative.
        min_expression
            Expression at or below this counts as none.
        allowed_tfs
            TFs that may act, see `Allowed`.
        threads
            0 takes all cores. The result does not depend on it.

        Returns
        -------
        Derivatives, (cells, m), float64.

        Raises
        ------
        InputError
            A shape, an index or a value does not fit.
        """
        if not 0 <= target < self.n_targets:
            raise InputError(f"target is {target}: expected a position among {self.n_targets} targets")
        try:
            return self._native.splash(
                int(target),
                _check.real("expression", expression, ndim=2, finite=False),
                _check.real("received", received, ndim=2, finite=False),
                _check.real("received_tfl", received_tfl, ndim=2, finite=False),
                _check.integers("modulators", modulators),
                float(beta_scale_factor),
                None if beta_cap is None else float(beta_cap),
                float(min_expression),
                allowed_genes(allowed_tfs),
                count("threads", threads),
            )
        except ValueError as error:
            raise InputError(str(error)) from None

    def perturb(
        self,
        expression: ArrayLike,
        targets: ArrayLike,
        desired: ArrayLike,
        cells: NDArray[np.bool_],
        *,
        signals: Sequence[tuple[ReceivedPlan, NDArray[np.int64]]],
        scale_factor: float = 1.0,
        lr_ligands: NDArray[np.bool_],
        tfl_ligands: NDArray[np.bool_],
        rules: PropagationRules,
        n_propagation: int,
        beta_scale_factor: float = 1.0,
        beta_cap: float | None = None,
        mask: NDArray[np.bool_] | None = None,
        allowed_tfs: Allowed | None = None,
        method: Literal["auto", "plain"] = "auto",
        threads: int = 0,
        progress: Callable[[int, int], object] | None = None,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Set genes to values and propagate the change along the derivatives of the models.

        Parameters
        ----------
        expression
            (cells, genes), finite.
        targets, desired
            Perturbed genes, (m,), and the values they are set to, (m,).
        cells
            Where they are set, (cells, m), bool.
        signals
            Received-ligand plans with the positions of their ligands on the ligand axis. A ligand in no plan
            is received by nobody.
        scale_factor
            Multiplies every received amount.
        lr_ligands, tfl_ligands
            Ligands of ligand-receptor and of TF-ligand pairs, (ligands,), bool.
        rules
            Rules of a step, e.g. `CYTORIPPLE`.
        n_propagation
            Number of steps. 0 sets the perturbed entries and nothing else.
        beta_scale_factor
            Multiplies every term of a derivative except those of TFs.
        beta_cap
            Largest size of a derivative.
        mask
            Where expression counts, (cells, genes), bool: applies to the derivatives and to the senders of
            ligand-receptor pairs, not to those of TF-ligand pairs.
        allowed_tfs
            TFs that may act, see `Allowed`.
        method
            ``"auto"`` multiplies the features of the cells with the betas that groups of cells share;
            ``"plain"`` evaluates every derivative in every cell, slower, as a check.
        threads
            0 takes all cores. The result does not depend on it.
        progress
            Called with the number of finished and of all tasks.

        Returns
        -------
        simulated
            Expression after the perturbation, (cells, genes); perturbed entries have their requested value.
        delta
            Change inside the propagation, (cells, genes), before those entries are set at the end.

        Raises
        ------
        InputError
            A shape, an index or a value does not fit; the message names the argument.
        """
        if method not in ("auto", "plain"):
            raise InputError(f"method is {method!r}: expected 'auto' or 'plain'")
        try:
            return self._native.perturb(
                _check.real("expression", expression, ndim=2, finite=False),
                self._genes(targets),
                _check.real("desired", desired, ndim=1).tolist(),
                flags("cells", cells, ndim=2),
                [(plan.native, _check.integers("positions of a signal", at)) for plan, at in signals],
                float(scale_factor),
                flags("lr_ligands", lr_ligands, ndim=1).tolist(),
                flags("tfl_ligands", tfl_ligands, ndim=1).tolist(),
                (rules.lr_source, rules.pin, rules.clip, rules.exempt_pinned, float(rules.min_expression)),
                count("n_propagation", n_propagation),
                float(beta_scale_factor),
                None if beta_cap is None else float(beta_cap),
                None if mask is None else flags("mask", mask, ndim=2),
                allowed_genes(allowed_tfs),
                method == "plain",
                count("threads", threads),
                progress,
            )
        except ValueError as error:
            raise InputError(str(error)) from None

    def reevaluate(
        self,
        expression: ArrayLike,
        targets: ArrayLike,
        desired: ArrayLike,
        cells: NDArray[np.bool_],
        *,
        signals: Sequence[tuple[ReceivedPlan, NDArray[np.int64]]],
        scale_factor: float = 1.0,
        lr_ligands: NDArray[np.bool_],
        tfl_ligands: NDArray[np.bool_],
        n_propagation: int = 4,
        tolerance: float = 1e-3,
        to_fixed_point: bool = False,
        min_expression: float = 1e-9,
        beta_scale_factor: float = 1.0,
        mask: NDArray[np.bool_] | None = None,
        allowed_tfs: Allowed | None = None,
        threads: int = 0,
        progress: Callable[[int, int], object] | None = None,
    ) -> Reevaluated:
        """Set genes to values and re-evaluate the models on the tissue that results, round by round.

        With E the expression and f(X) the models at a state X, whose received ligands follow from X, a round
        is ``X = clip(E + f(X) - f(E), 0, max(observed maximum, requested value))``. The perturbed entries
        keep their value, genes without a model keep E, and entries that do not change are never moved.

        Parameters
        ----------
        expression, targets, desired, cells, signals, scale_factor, lr_ligands, tfl_ligands
            As for `perturb`.
        n_propagation
            Largest number of rounds. 0 sets the perturbed entries and nothing else.
        tolerance
            The rounds end when no entry changes by as much, in units of the expression.
        to_fixed_point
            Go on to the state that reproduces itself: up to `MOST_ROUNDS` rounds, each damped by `DAMPING`,
            instead of `n_propagation`.
        min_expression
            Expression at or below this is neither sent nor counted in a receptor.
        beta_scale_factor
            Multiplies every term except those of TFs.
        mask
            Where expression counts, (cells, genes), bool: applies to ligands and receptors of
            ligand-receptor pairs.
        allowed_tfs
            TFs that may act, see `Allowed`.
        threads
            0 takes all cores. The result does not depend on it.
        progress
            Called with the number of finished and of all tasks.

        Returns
        -------
        The tissue and how the rounds ended.

        Raises
        ------
        InputError
            A shape, an index or a value does not fit; the message names the argument.
        """
        limit = MOST_ROUNDS if to_fixed_point else count("n_propagation", n_propagation)
        try:
            found = self._native.reevaluate(
                _check.real("expression", expression, ndim=2, finite=False),
                self._genes(targets),
                _check.real("desired", desired, ndim=1).tolist(),
                flags("cells", cells, ndim=2),
                [(plan.native, _check.integers("positions of a signal", at)) for plan, at in signals],
                float(scale_factor),
                flags("lr_ligands", lr_ligands, ndim=1).tolist(),
                flags("tfl_ligands", tfl_ligands, ndim=1).tolist(),
                (limit, DAMPING if to_fixed_point else 1.0, float(tolerance)),
                float(min_expression),
                float(beta_scale_factor),
                None if mask is None else flags("mask", mask, ndim=2),
                allowed_genes(allowed_tfs),
                count("threads", threads),
                progress,
            )
        except ValueError as error:
            raise InputError(str(error)) from None
        return Reevaluated(*found)

    def _genes(self, targets: ArrayLike) -> list[int]:
        genes = _check.integers("targets", targets)
        if len(genes) and (genes.min() < 0 or genes.max() >= self.n_genes):
            raise InputError(f"targets holds a gene outside 0..{self.n_genes - 1}")
        return [int(gene) for gene in genes]
