"""Simulation of perturbations on the coefficients of a trained run."""

from cytoripple.perturb.betabase import Betabase
from cytoripple.perturb.bind import LoadReport
from cytoripple.perturb.export import write_feather
from cytoripple.perturb.simulate import perturb, splash
from cytoripple.perturb.summary import affected_genes, effect_by_distance

__all__ = [
    "Betabase",
    "LoadReport",
    "affected_genes",
    "effect_by_distance",
    "perturb",
    "splash",
    "write_feather",
]
