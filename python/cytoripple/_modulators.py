"""Classes of modulators, read from their names, and the color of each class in pictures and reports."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

# Okabe and Ito (2008): told apart with any color vision.
MODULATOR_COLORS = {"TF": "#0072B2", "ligand-receptor": "#D55E00", "ligand-TF": "#009E73", "extra": "#999999"}


def modulator_kind(name: str, extra: AbstractSet[str] = frozenset()) -> str:
    """Class of a modulator; `extra` holds the modulators that a user added."""
    if "$" in name:
        return "ligand-receptor"
    if "#" in name:
        return "ligand-TF"
    return "extra" if name in extra else "TF"
