"""Deconvolution as an estimator: parameters in the constructor, arrays in `fit`, results as attributes."""

from __future__ import annotations

from importlib import import_module
from inspect import signature
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cytoripple._errors import RunError, SettingsError, did_you_mean
from cytoripple.deconv.flash import FlashFit, flash_deconvolve
from cytoripple.deconv.flash.settings import Preprocess, Solver, SpatialMethod, VersionName

Floats = NDArray[np.float64]
_METHODS = ("default", "fast", "flashdeconv")


class Estimator:
    """Parameters and results shared by `Deconvolver` and the drop-in `FlashDeconv`.

    Follows scikit-learn: the constructor stores its arguments under their own names, `get_params` and
    `set_params` read and write them, names of results end with an underscore.
    """

    proportions_: Floats
    beta_: Floats

    @classmethod
    def _names(cls) -> list[str]:
        return [name for name in signature(cls.__init__).parameters if name != "self"]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters of the constructor by name. `deep` is there for scikit-learn."""
        return {name: getattr(self, name) for name in self._names()}

    def set_params(self, **params: Any) -> Self:
        """Change parameters.

        Raises
        ------
        SettingsError
            A name is not a parameter.
        """
        known = self._names()
        for name, value in params.items():
            if name not in known:
                hint = did_you_mean(name, known)
                raise SettingsError(f"{type(self).__name__} has no parameter {name!r}{hint}")
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        defaults = signature(type(self).__init__).parameters
        changed = [
            f"{name}={value!r}"
            for name, value in self.get_params().items()
            if value is not defaults[name].default and value != defaults[name].default
        ]
        return f"{type(self).__name__}({', '.join(changed)})"

    @property
    def fitted(self) -> bool:
        """Whether `fit` has run."""
        return hasattr(self, "proportions_")

    def _check_fitted(self) -> None:
        if not self.fitted:
            raise RunError(f"this {type(self).__name__} is not fitted: call fit(Y, X, coords) first")

    def get_cell_type_proportions(self) -> Floats:
        """Shares of each spot's RNA, spots x types.

        Raises
        ------
        RunError
            Not fitted; also for the other getters.
        """
        self._check_fitted()
        return self.proportions_

    def get_abundances(self) -> Floats:
        """Return the weights of the types before normalization, spots x types."""
        self._check_fitted()
        return self.beta_

    def get_dominant_cell_type(self) -> NDArray[np.intp]:
        """Return the position of each spot's largest share, the first of equals; -1 without shares."""
        self._check_fitted()
        shares = self.proportions_
        known = ~np.isnan(shares).any(axis=1)
        out = np.full(shares.shape[0], -1, dtype=np.intp)
        out[known] = shares[known].argmax(axis=1)
        return out


class Deconvolver(Estimator):
    """Cell-type proportions of spots from a single-cell reference, on plain arrays.

    Parameters
    ----------
    method
        ``"default"`` and ``"fast"``: see `cytoripple.kernels.deconvolve`. ``"flashdeconv"``: the published
        graph-regularized least squares.
    kappa
        Strength of the neighbors in counts; of ``"default"`` only.
    version
        ``"0.1.1"``, ``"0.1.6"`` or ``"0.2.0"`` of the published method. This and what follows, down to
        `gene_weighting`, is of ``"flashdeconv"`` only.
    solver
        ``"jacobi"`` iterates as published; ``"sor"`` minimizes the same objective to an optimality residual.
    sketch_dim
        Columns of the sketch, and the strength of the expected weights.
    lambda_spatial
        Smoothing; None takes the version's default.
    rho_sparsity
        Sparsity penalty.
    n_hvg, n_markers_per_type
        Genes to choose.
    spatial_method, k_neighbors, radius
        Graph: ``"knn"``, ``"radius"`` or ``"grid"``.
    max_iter, tol
        None take the defaults of version and solver.
    preprocess
        ``"log_cpm"``, ``"pearson"`` or ``"raw"``.
    gene_weighting
        ``"expected"`` or ``"countsketch"``; None takes the version's default.
    seed
        Of the count sketch, or of the sample of spots from which gene weights are learned.
    threads
        0 takes every core; results do not depend on it.

    Attributes
    ----------
    proportions_
        Spots x types, rows of sum 1; NaN for spots without counts.
    beta_
        Abundances, spots x types: the weights of the fit, or counts of each type for the two own methods.
    empty_
        Spots without counts among the chosen genes.
    fit_
        All that the fit found: a `FlashFit`, or the `Deconvolution` of the two own methods.
    cell_type_names_
        Names of the types.

    Examples
    --------
    >>> import numpy as np
    >>> from cytoripple.deconv.deconvolver import Deconvolver
    >>> X = np.array([[9.0, 1.0, 0.0], [0.0, 1.0, 9.0]])
    >>> Y = np.array([[90, 10, 0], [0, 10, 90]])
    >>> model = Deconvolver("flashdeconv", solver="sor", lambda_spatial=0.0, rho_sparsity=0.0)
    >>> model.fit_transform(Y, X, [[0.0, 0.0], [1.0, 0.0]]).round(6).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """

    def __init__(
        self,
        method: Literal["default", "fast", "flashdeconv"] = "default",
        *,
        kappa: float = 10.0,
        version: VersionName = "0.2.0",
        solver: Solver = "jacobi",
        sketch_dim: int = 512,
        lambda_spatial: float | Literal["auto"] | None = None,
        rho_sparsity: float = 0.01,
        n_hvg: int = 2000,
        n_markers_per_type: int = 50,
        spatial_method: SpatialMethod = "knn",
        k_neighbors: int = 6,
        radius: float | None = None,
        max_iter: int | None = None,
        tol: float | None = None,
        preprocess: Preprocess = "log_cpm",
        gene_weighting: Literal["expected", "countsketch"] | None = None,
        seed: int = 0,
        threads: int = 0,
    ) -> None:
        self.method = method
        self.kappa = kappa
        self.version = version
        self.solver = solver
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
        self.gene_weighting = gene_weighting
        self.seed = seed
        self.threads = threads

    def fit(
        self,
        Y: Any,
        X: Any,
        coords: ArrayLike,
        cell_type_names: ArrayLike | None = None,
        *,
        samples: ArrayLike | None = None,
    ) -> Self:
        """Estimate the proportions.

        Parameters
        ----------
        Y
            Spots x genes counts, sparse, dense or on disk.
        X
            Types x genes mean counts, the same genes.
        coords
            Spots x dimensions.
        cell_type_names
            Names of the types.
        samples
            Integer per spot: spots of different samples are not linked.

        Raises
        ------
        InputError
            Bad data.
        SettingsError
            Bad parameters.
        """
        if self.method not in _METHODS:
            hint = did_you_mean(str(self.method), _METHODS)
            options = ", ".join(map(repr, _METHODS))
            raise SettingsError(f"method is {self.method!r}: choose {options}{hint}")
        if self.method == "flashdeconv":
            self._fit_published(Y, X, coords, cell_type_names, samples)
        else:
            self._fit_own(Y, X, coords, cell_type_names, samples)
        return self

    def _fit_published(self, Y: Any, X: Any, coords: ArrayLike, names: Any, samples: Any) -> None:
        settings = self.get_params()
        settings["random_state"] = settings.pop("seed")
        del settings["method"], settings["kappa"]
        found = flash_deconvolve(Y, X, coords, cell_type_names=names, samples=samples, **settings)
        self.fit_: Any = found
        self.empty_ = found.empty
        self.beta_ = found.beta
        self.proportions_ = np.where(found.empty[:, None], np.nan, found.proportions)
        self.cell_type_names_ = found.names

    def _fit_own(self, Y: Any, X: Any, coords: ArrayLike, names: Any, samples: Any) -> None:
        kernels: Any = import_module("cytoripple.kernels")
        if names is not None:
            home: Any = import_module("cytoripple.deconv.reference")
            X = home.signatures(X, types=names)
        found = kernels.deconvolve(
            Y,
            X,
            coords,
            method=self.method,
            kappa=self.kappa,
            samples=samples,
            seed=self.seed,
            threads=self.threads,
        )
        self.fit_ = found
        self.empty_ = np.asarray(found.empty)
        self.proportions_ = np.asarray(found.proportions, dtype=np.float64)
        self.beta_ = np.where(self.empty_[:, None], 0.0, self.proportions_ * found.depth[:, None])
        self.cell_type_names_ = tuple(found.types)

    def fit_transform(self, Y: Any, X: Any, coords: ArrayLike, **more: Any) -> Floats:
        """Run `fit` with the same arguments and return the proportions."""
        return self.fit(Y, X, coords, **more).proportions_

    def summary(self) -> dict[str, Any]:
        """Sizes, settings and outcome in plain numbers; ``{"fitted": False}`` before `fit`."""
        if not self.fitted:
            return {"fitted": False}
        n_spots, n_types = self.proportions_.shape
        shared = {"method": self.method, "n_empty_spots": int(self.empty_.sum())}
        if isinstance(self.fit_, FlashFit):
            outcome = {"solver": self.solver, "kkt_residual": self.fit_.solution.kkt_residual}
            return self.fit_.summary() | outcome | shared
        sizes = {"fitted": True, "n_spots": n_spots, "n_cell_types": n_types}
        outcome = {"kappa": self.kappa, "converged": self.fit_.converged, "n_iterations": self.fit_.sweeps}
        return sizes | outcome | shared
