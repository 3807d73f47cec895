"""Spots and reference in the space where they are compared, and the projection of the one on the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytoripple import _core
from cytoripple.deconv.flash.counts import blocks, stored
from cytoripple.deconv.flash.sketch import CountSketch
from cytoripple.deconv.flash.transform import (
    count_factor,
    scale_genes,
    transform_counts,
    transform_signatures,
)

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Representation:
    """Chosen genes, their preprocessing, and their weights or sketch."""

    genes: NDArray[np.intp]
    n_genes: int
    preprocess: str
    mean_count: Floats
    """Mean count over spots of each chosen gene."""
    leverage: Floats
    basis: Floats | CountSketch
    """Weight per chosen gene, or the sketch."""
    signatures: Floats
    """Types x columns: the represented reference."""

    def rows(self, block: Any) -> Any:
        """Represent a block of spots (all genes, CSR or dense): spots x columns."""
        ready = transform_counts(block[:, self.genes], self.preprocess, self.mean_count)
        if isinstance(self.basis, CountSketch):
            return self.basis.apply(ready)
        return scale_genes(ready, self.basis)

    def project(self, Y: Any, *, threads: int = 0) -> tuple[Floats, Floats]:
        """Spots times reference, and the squared length of every represented spot, in one pass.

        The represented spots are never stored: a sketch is folded into the reference first.
        """
        column = np.full(self.n_genes, -1, dtype=np.int64)
        column[self.genes] = np.arange(self.genes.size)
        log = self.preprocess == "log_cpm"
        factor = None if log else count_factor(self.preprocess, self.mean_count)
        if isinstance(self.basis, CountSketch):
            bucket, weight, width = self.basis.bucket, self.basis.value, self.basis.width
            per_gene = self.signatures[:, bucket]
        else:
            bucket, weight, width = None, self.basis, 0
            per_gene = self.signatures
        transposed = np.ascontiguousarray((per_gene * weight).T)
        parts = [
            _core.flash_project(
                *stored(block),
                column,
                transposed,
                weight,
                factor=factor,
                bucket=bucket,
                width=width,
                threads=threads,
            )
            for block in blocks(Y)
        ]
        if len(parts) == 1:
            return parts[0]
        return np.concatenate([h for h, _ in parts]), np.concatenate([norm for _, norm in parts])


def represent_signatures(X: Floats, preprocess: str, basis: Floats | CountSketch) -> Floats:
    """Types x columns from a types x chosen genes reference."""
    ready = transform_signatures(X, preprocess)
    return basis.apply(ready) if isinstance(basis, CountSketch) else ready * basis
