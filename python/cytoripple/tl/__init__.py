"""Tools: train a network, differentiate it, perturb it."""

from cytoripple.perturb import affected_genes, effect_by_distance, perturb, splash, write_feather

__all__ = ["affected_genes", "effect_by_distance", "perturb", "splash", "write_feather"]
