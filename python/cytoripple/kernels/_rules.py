"""Rules of the propagation of derivatives, and those of the presets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cytoripple._errors import InputError, did_you_mean


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
