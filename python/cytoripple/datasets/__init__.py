"""Data sets made on the spot."""

from cytoripple.datasets.ripple import (
    RippleSettings,
    RippleTissue,
    RippleTruth,
    TruePerturbation,
    ripple_tissue,
)
from cytoripple.datasets.toy import ToyTissue, ToyTruth, toy_tissue

__all__ = [
    "RippleSettings",
    "RippleTissue",
    "RippleTruth",
    "ToyTissue",
    "ToyTruth",
    "TruePerturbation",
    "ripple_tissue",
    "toy_tissue",
]
