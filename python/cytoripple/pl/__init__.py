"""Pictures (needs the extra ``plot``): a tissue, deconvolved spots, a perturbation, a trained run.

Every function draws on the given axes or on a new figure, returns the axes, writes a file when ``save`` is
given, and never opens a window.
"""

from __future__ import annotations

from cytoripple.pl.agreement import compare_proportions
from cytoripple.pl.effects import effect_by_distance, top_genes
from cytoripple.pl.proportions import proportions
from cytoripple.pl.spatial import delta_map, spatial
from cytoripple.pl.training import r2_summary, strongest_modulators

__all__ = [
    "compare_proportions",
    "delta_map",
    "effect_by_distance",
    "proportions",
    "r2_summary",
    "spatial",
    "strongest_modulators",
    "top_genes",
]
