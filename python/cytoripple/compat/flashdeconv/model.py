"""The class FlashDeconv with the names, defaults and numbers of version 0.2.0."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cytoripple.deconv.deconvolver import Estimator
from cytoripple.deconv.flash import FlashFit, flash_deconvolve
from cytoripple.deconv.flash.bootstrap import bootstrap_uncertainty
from cytoripple.deconv.flash.counts import check_counts
from cytoripple.deconv.flash.settings import GeneWeighting, Preprocess, Settings, SpatialMethod
from cytoripple.deconv.flash.sketch import CountSketch
from cytoripple.deconv.flash.uncertainty import ErrorKind, compute_uncertainty

Floats = NDArray[np.float64]
_LOG = logging.getLogger(__name__)


class FlashDeconv(Estimator):
    """Graph-regularized non-negative least squares for cell-type proportions.

    Parameters, defaults, methods and attributes are those of FlashDeconv 0.2.0; see `Deconvolver` for what
    they mean and for the faster solver. Two things differ: bad values raise errors that are also `ValueError`
    or `RuntimeError` but have other texts, and `verbose` writes to the logger instead of the screen. Spots
    without counts take proportions from their neighbors, or equal ones, as there (`Deconvolver` gives NaN);
    log-normalized counts are only warned of.

    Raises
    ------
    SettingsError
        A parameter outside its range.
    """

    def __init__(
        self,
        sketch_dim: int = 512,
        lambda_spatial: float | Literal["auto"] = "auto",
        rho_sparsity: float = 0.01,
        n_hvg: int = 2000,
        n_markers_per_type: int = 50,
        spatial_method: SpatialMethod = "knn",
        k_neighbors: int = 6,
        radius: float | None = None,
        max_iter: int = 1000,
        tol: float = 1e-4,
        preprocess: Preprocess = "log_cpm",
        random_state: int | np.random.RandomState | None = 0,
        verbose: bool = False,
        gene_weighting: GeneWeighting = "expected",
    ) -> None:
        self.sketch_dim = sketch_dim
        self.lambda_spatial = lambda_spatial
        self.rho_sparsity = rho_sparsity
        self.n_hvg = n_hvg
        self.n_markers_per_type = n_markers_per_type
        self.spatial_method = spatial_method
        self.k_neighbors = k_neighbors
        self.radius = radius
        self.max_iter = max_iter
        self.tol = tol
        self.preprocess = preprocess
        self.random_state = random_state
        self.verbose = verbose
        self.gene_weighting = gene_weighting
        names = Settings.__dataclass_fields__
        Settings(**{name: value for name, value in self.get_params().items() if name in names})

    def fit(
        self,
        Y: Any,
        X: Any,
        coords: ArrayLike,
        cell_type_names: Sequence[str] | NDArray[Any] | None = None,
    ) -> Self:
        """Estimate the proportions of spots x genes counts from a types x genes reference."""
        found = flash_deconvolve(
            Y, X, coords, cell_type_names=cell_type_names, allow_logarithms=True, **self.get_params()
        )
        self._fit, self._counts = found, Y
        self.beta_ = found.beta
        self.proportions_ = found.proportions
        self.gene_idx_ = found.representation.genes
        self.lambda_used_ = found.problem.lambda_
        self.info_ = found.info()
        self.adjacency_ = found.problem.adjacency
        self.cell_type_names_ = cell_type_names
        self.n_spots_, self.n_cell_types_ = found.beta.shape
        self.n_genes_ = found.representation.n_genes
        basis = found.representation.basis
        self.gene_weights_ = None if isinstance(basis, CountSketch) else basis
        self.X_repr_ = self.X_sketch_ = found.representation.signatures
        if self.verbose:
            _LOG.info("deconvolved: %s", self.summary())
        return self

    def fit_transform(self, Y: Any, X: Any, coords: ArrayLike, **kwargs: Any) -> Floats:
        """Run `fit` and return the proportions."""
        return self.fit(Y, X, coords, **kwargs).proportions_

    @property
    def Y_repr_(self) -> Any:
        """Represented spots, computed at each access: the fit itself never stores them."""
        fit, counts = self._state()
        return fit.representation.rows(check_counts(counts))

    @property
    def Y_sketch_(self) -> Any:
        """The same as `Y_repr_`."""
        return self.Y_repr_

    def summary(self) -> dict[str, Any]:
        """Sizes, settings and outcome; ``{"fitted": False}`` before `fit`."""
        return self._fit.summary() if self.fitted else {"fitted": False}

    def compute_uncertainty(
        self, alpha: float = 0.05, method: ErrorKind = "sandwich", fdr_q: float = 0.1
    ) -> dict[str, Any]:
        """See `cytoripple.deconv.flash.uncertainty.compute_uncertainty`; also kept as `uncertainty_`."""
        fit, counts = self._state()
        self.uncertainty_ = compute_uncertainty(fit, counts, alpha=alpha, method=method, fdr_q=fdr_q)
        return self.uncertainty_

    def bootstrap_uncertainty(
        self,
        n_bootstrap: int = 100,
        max_iter_boot: int | None = None,
        seed: int = 42,
        verbose: bool = False,
        tol: float | None = None,
        alpha: float = 0.05,
    ) -> dict[str, Any]:
        """See `cytoripple.deconv.flash.bootstrap.bootstrap_uncertainty`; also kept as `bootstrap_`."""
        fit, counts = self._state()
        self.bootstrap_ = bootstrap_uncertainty(
            fit, counts, n_bootstrap=n_bootstrap, max_iter=max_iter_boot, tol=tol, alpha=alpha, seed=seed
        )
        if verbose:
            _LOG.info("%d of %d refits converged", self.bootstrap_["n_converged"], n_bootstrap)
        return self.bootstrap_

    def _state(self) -> tuple[FlashFit, Any]:
        self._check_fitted()
        return self._fit, self._counts
