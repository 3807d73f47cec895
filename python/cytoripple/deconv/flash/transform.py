"""Preprocessing of counts and reference on the selected genes."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Floats = NDArray[np.float64]
SCALE = 1e4
THETA = 100.0


def log_counts(Y: Any) -> Any:
    """``log(1 + 1e4 count / total)``, the total over the given genes.

    Sparse stays sparse. A spot without counts stays zero.
    """
    if not sparse.issparse(Y):
        total = Y.sum(axis=1, keepdims=True, dtype=np.float64)
        return np.log1p(Y * (SCALE / np.where(total == 0, 1.0, total)))
    out: Any = sparse.csr_matrix(cast("Any", Y), dtype=np.float64, copy=True)
    total = np.asarray(out.sum(axis=1)).ravel()
    total[total == 0] = 1.0
    out.data *= np.repeat(SCALE / total, np.diff(out.indptr))
    np.log1p(out.data, out=out.data)
    return out


def log_signatures(X: Floats) -> Floats:
    """``log(1 + 1e4 x / total)`` of types x genes."""
    return np.asarray(np.log1p(X / (X.sum(axis=1, keepdims=True) + 1e-10) * SCALE))


def pearson_factor(mean: Floats) -> Floats:
    """One over the standard deviation of a negative binomial with dispersion 100 and this mean per gene."""
    mu = mean + 1e-6
    return np.asarray(1.0 / np.sqrt(mu + mu**2 / THETA))


def scale_genes(Y: Any, factor: Floats) -> Any:
    """Multiply each gene by its factor. Sparse stays sparse."""
    if not sparse.issparse(Y):
        return Y * factor
    out: Any = sparse.csr_matrix(cast("Any", Y), dtype=np.float64, copy=True)
    out.data *= factor[out.indices]
    return out


def transform_counts(Y: Any, preprocess: str, mean: Floats) -> Any:
    """Apply ``"log_cpm"``, ``"pearson"`` or ``"raw"`` to counts of the selected genes with these means."""
    if preprocess == "log_cpm":
        return log_counts(Y)
    return scale_genes(Y, count_factor(preprocess, mean))


def count_factor(preprocess: str, mean: Floats) -> Floats:
    """Factor per gene of the two linear kinds of preprocessing."""
    return pearson_factor(mean) if preprocess == "pearson" else np.ones_like(mean)


def transform_signatures(X: Floats, preprocess: str) -> Floats:
    """Apply the same kind to a reference on its own means over types."""
    if preprocess == "log_cpm":
        return log_signatures(X)
    return np.asarray(X * count_factor(preprocess, X.mean(axis=0)))
