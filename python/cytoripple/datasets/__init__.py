"""Data sets made on the spot."""

from cytoripple.datasets.ripple import (
    RippleSettings,
    RippleTissue,
    RippleTruth,
    TruePerturbation,
    ripple_tissue,
)
from cytoripple.datasets.screen import Screen, ScreenTruth, simulate_screen
from cytoripple.datasets.toy import ToyTissue, ToyTruth, toy_tissue

__all__ = [
    "RippleSettings",
    "RippleTissue",
    "RippleTruth",
    "Screen",
    "ScreenTruth",
    "ToyTissue",
    "ToyTruth",
    "TruePerturbation",
    "ripple_tissue",
    "simulate_screen",
    "toy_tissue",
]
