"""Deconvolution of spots on plain arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from cytoripple._errors import InputError
from cytoripple._progress import Progress
from cytoripple.kernels import _check

if TYPE_CHECKING:
    from cytoripple.deconv.profiles import Signatures
    from cytoripple.deconv.result import Deconvolution
    from cytoripple.deconv.weights import GeneWeights


def deconvolve(
    Y: Any,
    X: ArrayLike | Signatures,
    coords: ArrayLike | None,
    *,
    method: Literal["default", "fast"] = "default",
    kappa: float = 10.0,
    samples: ArrayLike | None = None,
    labels: ArrayLike | None = None,
    graph: Any = None,
    weights: GeneWeights | None = None,
    stability: bool = False,
    seed: int = 0,
    threads: int = 0,
    progress: Progress | None = None,
) -> Deconvolution:
    """Explain the counts of every spot as a mixture of types.

    Parameters
    ----------
    Y
        Spots x genes, raw counts: dense or sparse, in memory or on disk (it is read in blocks of rows).
    X
        Types x genes of mean counts; or cells x genes of raw counts with `labels`; or the result of
        `cytoripple.deconv.signatures`. Same genes in the same order as `Y`.
    coords
        Spots x dimensions (2 or 3), any unit; None fits every spot alone.
    method
        ``"default"``, or ``"fast"``: one weighted least squares fit per spot, without platform factor and
        neighbors. It costs less and errs more.
    kappa
        Strength of the neighbors in counts: 10 suits tissue sections, 2 single-cell resolution and sharp
        borders, 20 very smooth tissue. Spots with many counts follow their own counts. Without coordinates
        the mean over all spots takes the neighbors' place with 0.3 times this strength.
    samples
        Section of each spot (whole numbers): sections share the gene weights and nothing else.
    labels
        Type of each row of `X` when these are cells.
    graph
        Sparse symmetric spots x spots matrix of neighbors in place of the 6 nearest; `coords` is not used.
    weights
        ``result.weights`` of another fit with the same genes and reference.
    stability
        Also compute the standard deviation of every share if the molecules were drawn again.
    seed
        Chooses the 5,000 spots from which gene weights are learned when there are more.
    threads
        0 takes every core. The result does not depend on it.
    progress
        Observer.

    Returns
    -------
    Deconvolution
        ``proportions`` (spots x types, float32, shares of RNA) and the diagnostics of the fit.

    Raises
    ------
    LayerError
        `Y` or the reference cells are not raw counts.
    CoordinatesError
        Coordinates have the wrong shape, are not finite, or all equal.
    InputError
        Any other argument does not fit; always before the work begins.

    Notes
    -----
    Not a test for types missing from the reference: a neighboring type absorbs them. Errors of the profiles
    dominate beyond some 1,500 counts per spot; more reference cells help there, more counts do not. A common
    type present everywhere gains little, and neighbors blur sharp borders (use a smaller `kappa`).

    Examples
    --------
    >>> import numpy as np
    >>> import cytoripple as ct
    >>> X = np.array([[8.0, 1.0, 1.0, 4.0], [1.0, 8.0, 1.0, 4.0], [1.0, 1.0, 8.0, 4.0]])
    >>> Y = np.array([[80, 10, 10, 40], [10, 80, 10, 40], [10, 10, 80, 40], [45, 45, 10, 40]])
    >>> found = ct.kernels.deconvolve(Y, X, None, method="fast")
    >>> found.proportions[:3].argmax(axis=1).tolist()
    [0, 1, 2]
    """
    from cytoripple.deconv.counts import Counts
    from cytoripple.deconv.fit import Job, fit, totals
    from cytoripple.deconv.graph import check_coords, given, nearest
    from cytoripple.deconv.reference import signatures

    if method not in ("default", "fast"):
        raise InputError(f"method is {method!r}: give 'default' or 'fast'")
    _check.positive("kappa", kappa, what="a positive number of counts, e.g. 10")
    matrix = Y if hasattr(Y, "shape") else np.asarray(Y)
    if len(matrix.shape) != 2:
        raise InputError(f"Y has shape {tuple(matrix.shape)}: expected spots x genes")
    reference = signatures(X, labels=labels, threads=threads)
    n_spots, n_genes = map(int, matrix.shape)
    if reference.profile.shape[1] != n_genes:
        raise InputError(f"Y has {n_genes} genes and X has {reference.profile.shape[1]}: give the same genes")
    if n_spots == 0:
        raise InputError("Y has no spots")
    if weights is not None and weights.mean.shape != (n_genes,):
        raise InputError(f"weights are for {len(weights.mean)} genes, expected {n_genes}")
    sections = np.zeros(n_spots, dtype=np.int64)
    if samples is not None:
        sections = _check.integers("samples", samples, length=n_spots)
    places = None if coords is None or graph is not None else check_coords(coords, sections)
    position = np.arange(n_genes, dtype=np.int32)
    counts = Counts(matrix, position, n_genes, name="Y", hint="Give raw counts")
    job = Job(counts, reference, sections, method, float(kappa), stability, seed, threads, weights)
    spans, sums = totals(job)
    links = None
    if method == "default" and graph is not None:
        links = given(graph, sections, sums.depth <= 0)
    elif method == "default" and places is not None:
        links = nearest(places, sections, sums.depth <= 0, threads)
    return fit(job, spans, sums, links, progress)
