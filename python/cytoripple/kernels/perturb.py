"""Simulated perturbations on arrays: derivatives of fitted models and their propagation."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cytoripple import _core
from cytoripple._errors import InputError, did_you_mean
from cytoripple.kernels import _check
from cytoripple.kernels.ligands import ReceivedPlan

Allowed = Sequence[Collection[int] | NDArray[np.int64] | None]
"""Genes of the TFs that may act, one entry per target; ``None`` leaves a target as it is."""


@dataclass(frozen=True)
class PropagationRules:
    """Rules of one propagation step; the defaults are those of the preset ``"cytoripple"``.

    Attributes
    ----------
    lr_source
        Received ligands in the derivatives of ligand-receptor pairs: those of the unperturbed tissue in every
        step, or those of the state one step before.
    pin
        Entries that are set back to the requested change after every step: where that change is not 0, or all
        selected cells of the perturbed genes.
    clip
        Range of the simulated expression of a gene: observed minimum to maximum, 0 to observed maximum, or 0
        to the larger of the observed maximum and the requested value. Entries that do not change are never
        moved.
    exempt_pinned
        Pinned entries are not clipped.
    min_expression
        Expression at or below this counts as none.
    """

    lr_source: Literal["baseline", "evolving"] = "evolving"
    pin: Literal["nonzero", "selected"] = "selected"
    clip: Literal["observed", "zero_observed", "zero_desired"] = "zero_desired"
    exempt_pinned: bool = True
    min_expression: float = 1e-9

    @classmethod
    def preset(cls, name: str) -> PropagationRules:
        """Look up the rules of a preset: ``"python"``, ``"rust"`` or ``"cytoripple"``.

        Raises
        ------
        InputError
            The preset is unknown.
        """
        if name not in PRESETS:
            raise InputError(
                f"preset is {name!r}: expected one of {', '.join(PRESETS)}{did_you_mean(name, PRESETS)}"
            )
        return PRESETS[name]


PYTHON = PropagationRules("baseline", "nonzero", "observed", exempt_pinned=False)
"""Rules of the published Python program."""

RUST = PropagationRules("evolving", "nonzero", "zero_observed", exempt_pinned=False)
"""Rules of the published Rust program."""

CYTORIPPLE = PropagationRules()
"""Rules of this package: a requested value stays in force during the whole propagation."""

PRESETS = {"python": PYTHON, "rust": RUST, "cytoripple": CYTORIPPLE}


@dataclass(frozen=True)
class TargetModel:
    """Fitted model of one target gene.

    Attributes
    ----------
    gene
        Position of the target on the gene axis.
    betas
        Coefficients, (rows, 1 + p), intercept first, then one per row of `columns`.
    columns
        What each coefficient multiplies, (p, 3): ``(0, gene, -1)`` a TF, ``(3, gene, -1)`` another gene,
        ``(1, ligand, receptor gene)``, ``(2, ligand, regulator gene)``. Ligands are positions on the ligand
        axis. A member that is missing is -1, and the product is 0.
    rows
        Row of `betas` for each cell, (cells,); -1 where all coefficients are 0.
    """

    gene: int
    betas: NDArray[np.float64]
    columns: NDArray[np.int64]
    rows: NDArray[np.int64]


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
        maps, places = _share([target.rows for target in targets])
        described = [
            (
                int(target.gene),
                _check.real(f"betas of target {target.gene}", target.betas, ndim=2),
                _columns(target),
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
                _allowed(allowed_tfs),
                _count("threads", threads),
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
        """Set genes to values and propagate the change.

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
        genes = _check.integers("targets", targets)
        if len(genes) and (genes.min() < 0 or genes.max() >= self.n_genes):
            raise InputError(f"targets holds a gene outside 0..{self.n_genes - 1}")
        try:
            return self._native.perturb(
                _check.real("expression", expression, ndim=2, finite=False),
                genes.tolist(),
                _check.real("desired", desired, ndim=1).tolist(),
                _flags("cells", cells, ndim=2),
                [(plan.native, _check.integers("positions of a signal", at)) for plan, at in signals],
                float(scale_factor),
                _flags("lr_ligands", lr_ligands, ndim=1).tolist(),
                _flags("tfl_ligands", tfl_ligands, ndim=1).tolist(),
                (rules.lr_source, rules.pin, rules.clip, rules.exempt_pinned, float(rules.min_expression)),
                _count("n_propagation", n_propagation),
                float(beta_scale_factor),
                None if beta_cap is None else float(beta_cap),
                None if mask is None else _flags("mask", mask, ndim=2),
                _allowed(allowed_tfs),
                method == "plain",
                _count("threads", threads),
                progress,
            )
        except ValueError as error:
            raise InputError(str(error)) from None


def _share(rows: Sequence[NDArray[np.int64]]) -> tuple[list[NDArray[np.int64]], list[int]]:
    """Distinct row maps, and which one each target uses."""
    maps: list[NDArray[np.int64]] = []
    by_identity: dict[int, int] = {}
    by_content: dict[bytes, int] = {}
    for array in rows:
        if id(array) not in by_identity:
            checked = _check.integers("rows of a target", array)
            place = by_content.setdefault(checked.tobytes(), len(maps))
            if place == len(maps):
                maps.append(checked)
            by_identity[id(array)] = place
    return maps, [by_identity[id(array)] for array in rows]


def _columns(target: TargetModel) -> NDArray[np.int64]:
    array = np.asarray(target.columns)
    if array.dtype.kind not in "iu" or array.ndim != 2:
        raise InputError(
            f"columns of target {target.gene} has dtype {array.dtype} and shape {array.shape}: "
            "expected whole numbers, (p, 3)"
        )
    return np.ascontiguousarray(array, dtype=np.int64)


def _flags(name: str, value: ArrayLike, *, ndim: int) -> NDArray[np.bool_]:
    array = np.asarray(value)
    if array.dtype != np.bool_ or array.ndim != ndim:
        raise InputError(
            f"{name} has dtype {array.dtype} and shape {array.shape}: expected bool with {ndim} dimensions"
        )
    return np.ascontiguousarray(array)


def _allowed(lists: Allowed | None) -> list[NDArray[np.int64] | None] | None:
    if lists is None:
        return None
    return [None if genes is None else _check.integers("allowed_tfs", [*genes]) for genes in lists]


def _count(name: str, value: int) -> int:
    if isinstance(value, bool) or int(value) != value or value < 0:
        raise InputError(f"{name} is {value}: give a whole number, 0 or more")
    return int(value)
