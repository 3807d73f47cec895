"""Drop-in replacement of FlashDeconv 0.2.0: change the import and nothing else.

>>> from cytoripple.compat.flashdeconv import FlashDeconv
>>> FlashDeconv(lambda_spatial=5000.0)
FlashDeconv(lambda_spatial=5000.0)
"""

from cytoripple.compat.flashdeconv import io, tl, utils
from cytoripple.compat.flashdeconv.model import FlashDeconv
from cytoripple.compat.flashdeconv.refcheck import reference_fit_scores, unexplained_genes
from cytoripple.deconv.flash.unexplained import suggest_missing_types

__all__ = [
    "FlashDeconv",
    "io",
    "reference_fit_scores",
    "suggest_missing_types",
    "tl",
    "unexplained_genes",
    "utils",
]
