"""Prepare a tissue: normalize, impute, make or encode clusters, rescale coordinates.

Each function adds its result under its own key, writes what it did into ``adata.uns`` and logs one line.
``adata.X`` is never modified.
"""

from cytoripple.pp.coordinates import rescale_coordinates
from cytoripple.pp.dominant import dominant_types
from cytoripple.pp.genes import most_variable_genes
from cytoripple.pp.impute import impute
from cytoripple.pp.labels import encode_clusters
from cytoripple.pp.normalize import normalize

__all__ = [
    "dominant_types",
    "encode_clusters",
    "impute",
    "most_variable_genes",
    "normalize",
    "rescale_coordinates",
]
