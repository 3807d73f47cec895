"""What a deconvolution returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cytoripple.deconv.profiles import Signatures
from cytoripple.deconv.weights import GeneWeights


class Pair(NamedTuple):
    """Two types and how hard they are to tell apart."""

    first: str
    second: str
    similarity: float
    """Cosine of the two profiles with every gene divided by its noise; 1 means the same direction."""
    counts_to_separate: float
    """Counts a pure spot needs until the two differ by three standard deviations."""


@dataclass(frozen=True, eq=False)
class Residuals:
    """What the fit leaves unexplained.

    Parameters
    ----------
    spots
        Per spot, mean over genes of the squared residual relative to its variance in the tissue: about 1
        where the types explain the counts as well as elsewhere. NaN for spots without counts.
    genes
        Per gene, variance of the counts around the fit relative to Poisson.
    log2_ratio
        Per gene, log2 of counts seen over counts expected.
    missing_genes
        Genes seen far more often than the types explain, the strongest first: they point to a type that the
        reference lacks. A hint, not a test.
    missing_excess
        Per spot, counts of those genes above expectation, as a share of the spot's counts.
    """

    spots: NDArray[np.float32]
    genes: NDArray[np.float64]
    log2_ratio: NDArray[np.float64]
    missing_genes: NDArray[np.int64]
    missing_excess: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Deconvolution:
    """Shares of RNA of every type in every spot, and how they were found.

    Parameters
    ----------
    proportions
        Spots x types, float32, rows that sum to 1; NaN for spots without counts.
    types
        Names of the types.
    method
        ``"default"`` or ``"fast"``.
    signatures, profiles
        The reference, and its profiles after shrinkage (types x genes).
    weights
        Weights of the genes; None for ``"fast"``.
    depth
        Counts of each spot in the genes used.
    kappa
        Prior counts.
    sweeps, change
        Sweeps over the spots, and the largest change of a share in the last one; the most of any section.
    converged
        The last sweep changed no share by more than 5e-4. Six sweeps (four for more than 5,000 spots) seldom
        reach that: single shares still move by a few hundredths between types that are hard to tell apart.
        Going on to the end changed the error against planted truth by less than 2 %, in either direction.
    residuals
        None for ``"fast"``.
    stability
        Spots x types, standard deviation of each share if the molecules were drawn again. It knows nothing of
        errors of the reference or of the smoothing, which are larger: it is no confidence interval. None
        unless asked for.
    pairs
        Pairs of types, the hardest to tell apart first.
    """

    proportions: NDArray[np.float32]
    types: tuple[str, ...]
    method: str
    signatures: Signatures
    profiles: NDArray[np.float64]
    weights: GeneWeights | None
    depth: NDArray[np.float64]
    kappa: float
    sweeps: int
    change: float
    converged: bool
    residuals: Residuals | None
    stability: NDArray[np.float32] | None
    pairs: tuple[Pair, ...]

    @property
    def empty(self) -> NDArray[np.bool_]:
        """Spots without proportions."""
        return np.asarray(np.isnan(self.proportions[:, 0]))

    def cell_proportions(self) -> NDArray[np.float32]:
        """Shares of cells: shares of RNA divided by the mean counts per cell of each type, rows scaled to 1.

        Right only as far as cells of the reference were read as deeply as those of the tissue.
        """
        cells = self.proportions / self.signatures.mean_depth.astype(np.float32)
        return np.asarray(cells / cells.sum(axis=1, keepdims=True))

    def dominant(self) -> NDArray[np.int64]:
        """Type with the largest share (the first of equal ones), -1 for spots without counts."""
        filled = np.where(self.empty[:, None], 0.0, self.proportions)
        return np.where(self.empty, -1, filled.argmax(axis=1)).astype(np.int64)
