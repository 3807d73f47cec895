"""Settings of the published method and what changed between its versions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from cytoripple._errors import SettingsError

VersionName = Literal["0.1.1", "0.1.6", "0.2.0"]
Solver = Literal["jacobi", "sor"]
Preprocess = Literal["log_cpm", "pearson", "raw"]
SpatialMethod = Literal["knn", "radius", "grid"]
GeneWeighting = Literal["expected", "countsketch"]


@dataclass(frozen=True)
class Version:
    """What a version of the method does differently."""

    gene_weighting: GeneWeighting
    lambda_spatial: float | Literal["auto"]
    max_iter: int
    relative_rho: bool
    """The sparsity penalty is multiplied by the mean diagonal of the Gram matrix."""
    full_lambda: bool
    """The reported objective counts the spatial term twice. The minimum is the same."""
    uniform_if_zero: bool
    """A spot whose abundances are all zero gets equal proportions, else zeros."""


VERSIONS: dict[str, Version] = {
    "0.1.1": Version("countsketch", 5000.0, 100, False, True, False),
    "0.1.6": Version("countsketch", "auto", 100, True, False, True),
    "0.2.0": Version("expected", "auto", 1000, True, False, True),
}


@dataclass(frozen=True)
class Settings:
    """Checked settings of one fit, with the names and meanings of the published method.

    Raises
    ------
    SettingsError
        A value outside its range, an unknown choice.
    TypeError
        `sketch_dim` is a truth value.
    """

    sketch_dim: int = 512
    lambda_spatial: float | Literal["auto"] = "auto"
    rho_sparsity: float = 0.01
    n_hvg: int = 2000
    n_markers_per_type: int = 50
    spatial_method: SpatialMethod = "knn"
    k_neighbors: int = 6
    radius: float | None = None
    max_iter: int = 1000
    tol: float = 1e-4
    preprocess: Preprocess = "log_cpm"
    gene_weighting: GeneWeighting = "expected"

    def __post_init__(self) -> None:
        if isinstance(self.sketch_dim, bool):
            raise TypeError("sketch_dim is a truth value: give a positive whole number")
        for name in ("sketch_dim", "n_hvg", "n_markers_per_type", "k_neighbors", "max_iter"):
            self._whole(name, least=1 if name == "sketch_dim" else 0)
        if isinstance(self.lambda_spatial, str):
            _choice("lambda_spatial", self.lambda_spatial, ("auto",), "or a number that is not negative")
        else:
            _not_negative("lambda_spatial", self.lambda_spatial)
        _not_negative("rho_sparsity", self.rho_sparsity)
        if not self.tol > 0:
            raise SettingsError(f"tol is {self.tol}: give a positive number")
        _choice("spatial_method", self.spatial_method, get_args(SpatialMethod))
        _choice("preprocess", self.preprocess, get_args(Preprocess))
        _choice("gene_weighting", self.gene_weighting, get_args(GeneWeighting))
        if self.radius is not None and not (np.isfinite(self.radius) and self.radius > 0):
            raise SettingsError(f"radius is {self.radius}: give a positive length")
        if self.spatial_method == "radius" and self.radius is None:
            raise SettingsError("spatial_method is 'radius' but radius is None: give radius=<length>")

    def _whole(self, name: str, *, least: int) -> None:
        value = getattr(self, name)
        if value != value or int(value) != value or value < least:
            raise SettingsError(f"{name} is {value}: give a whole number of at least {least}")
        object.__setattr__(self, name, int(value))


def version_of(name: str) -> Version:
    """Differences of a version.

    Raises
    ------
    SettingsError
        The version is not one of the three that are reproduced.
    """
    _choice("version", name, tuple(VERSIONS))
    return VERSIONS[name]


def _not_negative(name: str, value: float) -> None:
    if not (np.isfinite(value) and value >= 0):
        raise SettingsError(f"{name} is {value}: give a number that is not negative")


def _choice(name: str, value: object, known: tuple[str, ...], more: str = "") -> None:
    if value not in known:
        options = ", ".join(map(repr, known))
        raise SettingsError(f"{name} is {value!r}: choose {options}{' ' + more if more else ''}")
