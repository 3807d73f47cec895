"""Data sets made on the spot."""

from cytoripple.datasets.screen import Screen, ScreenTruth, simulate_screen
from cytoripple.datasets.toy import ToyTissue, ToyTruth, toy_tissue

__all__ = ["Screen", "ScreenTruth", "ToyTissue", "ToyTruth", "simulate_screen", "toy_tissue"]
