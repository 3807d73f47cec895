"""Data sets made on the spot."""

from cytoripple.datasets.toy import ToyTissue, ToyTruth, toy_tissue

__all__ = ["ToyTissue", "ToyTruth", "toy_tissue"]
