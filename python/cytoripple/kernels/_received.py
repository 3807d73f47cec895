"""Arguments of received ligands, checked, and their verification by the definition."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cytoripple._errors import InputError, did_you_mean
from cytoripple.kernels import _check

KernelName = Literal["gaussian", "gaussian_truncated", "gaussian_cutoff"]
MethodName = Literal["auto", "direct", "mesh", "anchors"]

KERNELS: tuple[KernelName, ...] = ("gaussian", "gaussian_truncated", "gaussian_cutoff")
METHODS: tuple[MethodName, ...] = ("auto", "direct", "mesh", "anchors")

#: Smallest weight of the truncated kernel, at its edge.
EDGE_WEIGHT = 0.001


@dataclass(frozen=True)
class Verification:
    """Comparison of some rows with the exact sum.

    Attributes
    ----------
    max_abs_error
        Largest absolute difference.
    max_rel_error
        Largest difference relative to the largest received value of the same ligand.
    rows
        The cells compared.
    """

    max_abs_error: float
    max_rel_error: float
    rows: NDArray[np.int64]


def coordinates(xy: ArrayLike) -> NDArray[np.float64]:
    """Return `xy` as (cells, 2 or 3), or raise naming what is wrong."""
    points = _check.real("xy", xy, ndim=2)
    if points.shape[1] not in (2, 3):
        raise InputError(f"xy has {points.shape[1]} columns: expected 2 or 3, one per dimension")
    if len(points) == 0:
        raise InputError("xy has no rows: expected at least one cell")
    return points


def radius_per_ligand(radius: ArrayLike, n_ligands: int) -> NDArray[np.float64]:
    """Return one positive radius per ligand."""
    radii = np.asarray(radius)
    if radii.ndim == 0:
        radii = np.full(
            n_ligands, _check.positive("radius", float(radii), what="a positive length in the units of xy")
        )
    radii = _check.real("radius", radii, ndim=1)
    if len(radii) != n_ligands:
        raise InputError(
            f"radius has {len(radii)} entries but ligands has {n_ligands} columns: give one each"
        )
    for r in radii:
        _check.positive("radius", float(r), what="a positive length in the units of xy")
    return radii


def check_choices(
    kernel: str, method: str, *, rtol: float, factor: float, cutoff: float | None, dimensions: int
) -> None:
    """Raise when a choice is unknown, a number is outside its range, or choices exclude each other."""
    if kernel not in KERNELS:
        raise InputError(
            f"kernel is {kernel!r}: expected one of {list(KERNELS)}{did_you_mean(str(kernel), KERNELS)}"
        )
    if method not in METHODS:
        raise InputError(
            f"method is {method!r}: expected one of {list(METHODS)}{did_you_mean(str(method), METHODS)}"
        )
    if not 1e-13 <= float(rtol) <= 1e-2:
        raise InputError(f"rtol is {rtol}: give a relative error from 1e-13 to 1e-2")
    _check.positive("factor", factor, what="a positive anchor spacing in units of the kernel's sigma")
    if kernel == "gaussian_cutoff":
        if cutoff is None:
            raise InputError("kernel 'gaussian_cutoff' needs cutoff, the distance where it ends: cutoff=...")
        _check.positive("cutoff", cutoff, what="a positive length in the units of xy")
    elif cutoff is not None:
        raise InputError(f"cutoff is {cutoff}, but kernel {kernel!r} has none: use kernel='gaussian_cutoff'")
    if method == "mesh" and kernel != "gaussian":
        raise InputError(
            f"method 'mesh' needs kernel 'gaussian', not {kernel!r}, which jumps at its edge: use 'direct'"
        )
    if method == "anchors" and dimensions != 2:
        raise InputError(
            f"method 'anchors' needs 2 dimensions and xy has {dimensions}: use 'mesh' or 'direct'"
        )


def thread_count(threads: int) -> int:
    """Return a number of threads, 0 for all."""
    if int(threads) < 0:
        raise InputError(f"threads is {threads}: give 0 for all cores, or a positive number")
    return int(threads)


def verified_rows(verify: int, n_cells: int) -> NDArray[np.int64]:
    """Seeded random cells to compare with the exact sum, sorted."""
    if int(verify) < 0:
        raise InputError(f"verify is {verify}: give the number of cells to compare, or 0")
    count = min(int(verify), n_cells)
    return np.sort(np.random.default_rng(0).choice(n_cells, size=count, replace=False)).astype(np.int64)


def exact_rows(
    points: NDArray[np.float64],
    values: NDArray[np.float64],
    radii: NDArray[np.float64],
    cells: NDArray[np.int64],
    *,
    kernel: KernelName,
    cutoff: float | None,
    samples: ArrayLike | None,
) -> NDArray[np.float64]:
    """Exact sum at some cells, by the definition: independent of the native code."""
    sample = np.zeros(len(points), dtype=np.int64) if samples is None else np.asarray(samples)
    exact = np.empty((len(cells), values.shape[1]))
    for k, i in enumerate(cells):
        distance = np.sqrt(np.square(points - points[i]).sum(axis=1))
        same = sample == sample[i]
        for r in np.unique(radii):
            sigma = r / np.sqrt(-2.0 * np.log(EDGE_WEIGHT)) if kernel == "gaussian_truncated" else r
            weight = np.where(same, np.exp(-0.5 * np.square(distance / sigma)), 0.0)
            if kernel != "gaussian":
                weight[distance > (r if cutoff is None else cutoff)] = 0.0
            exact[k, radii == r] = weight @ values[:, radii == r] / same.sum()
    return exact


def compare(
    received: NDArray[np.float64], exact: NDArray[np.float64], cells: NDArray[np.int64]
) -> Verification:
    """Largest differences between the received values of some cells and their exact sum."""
    error = np.abs(received[cells] - exact)
    largest = np.maximum(np.abs(received).max(axis=0, initial=0.0), np.finfo(np.float64).tiny)
    return Verification(
        max_abs_error=float(error.max(initial=0.0)),
        max_rel_error=float((error / largest).max(initial=0.0)),
        rows=cells,
    )
