"""Received ligands: Gaussian sums of ligand expression over the cells around each cell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cytoripple import _core
from cytoripple._errors import CoordinatesError, InputError, did_you_mean
from cytoripple._progress import Progress
from cytoripple.kernels import _check

KernelName = Literal["gaussian", "gaussian_truncated", "gaussian_cutoff"]
MethodName = Literal["auto", "direct", "mesh", "anchors"]

# the truncated kernel has weight 0.001 at its radius
_TRUNCATED = float(np.sqrt(-2.0 * np.log(0.001)))


@dataclass(frozen=True)
class Verification:
    """Comparison of some rows with the exact sum.

    Attributes
    ----------
    max_abs_error
        Largest absolute difference.
    max_rel_error
        Largest difference relative to the largest exact value of the same ligand among the rows.
    rows
        Cells that were recomputed.
    """

    max_abs_error: float
    max_rel_error: float
    rows: NDArray[np.int64]


class ReceivedPlan:
    """Everything that depends on the coordinates, computed once and reused for any expression.

    Parameters
    ----------
    xy
        Coordinates, cells x 2 or cells x 3, finite.
    radius
        Reach of the kernel, in units of the coordinates.
    kernel
        ``"gaussian"``: ``exp(-d^2 / (2 radius^2))``, no limit. ``"gaussian_truncated"``: standard deviation
        ``radius / 3.717``, 0 beyond `radius`. ``"gaussian_cutoff"``: the plain Gaussian, 0 beyond `cutoff`.
    method
        ``"direct"``: all pairs within reach. ``"mesh"``: lattice with the error bound `rtol` (plain Gaussian
        only). ``"anchors"``: the bilinear grid of earlier tools. ``"auto"``: the cheaper of the first two.
    rtol
        Largest error of the mesh, relative to the largest value of a ligand; 1e-13 to 1e-2.
    factor
        Spacing of the anchor grid in standard deviations.
    cutoff
        Largest distance of ``"gaussian_cutoff"``.
    samples
        Label of each cell: cells of different samples never hear each other, and the sum is divided by the
        number of cells of the sample.
    n_ligands
        Number of ligands for which the cheaper method is chosen.
    threads
        Worker threads, 0 = all cores. The result does not depend on it.

    Raises
    ------
    InputError
        An argument has the wrong shape or is out of range.
    """

    def __init__(
        self,
        xy: ArrayLike,
        *,
        radius: float,
        kernel: KernelName = "gaussian",
        method: MethodName = "auto",
        rtol: float = 1e-6,
        factor: float = 0.5,
        cutoff: float | None = None,
        samples: ArrayLike | None = None,
        n_ligands: int = 50,
        threads: int = 0,
    ) -> None:
        points = _coordinates(xy)
        sigma, limit = _kernel(kernel, radius, cutoff)
        _one_of("method", method, get_args(MethodName))
        if method == "mesh" and kernel != "gaussian":
            raise InputError(f"method 'mesh' needs kernel 'gaussian', not {kernel!r}: use method='direct'")
        if not 1e-13 <= rtol <= 1e-2:
            raise InputError(f"rtol is {rtol}: give a number from 1e-13 to 1e-2")
        _check.positive("factor", factor, what="a positive number, for example 0.5")
        labels = None if samples is None else _check.integers("samples", samples, length=len(points))
        self.native = _core.ReceivedPlan(
            points, sigma, limit, method, rtol, factor, labels, n_ligands, threads
        )

    @property
    def method(self) -> str:
        """Method in use: ``"direct"``, ``"mesh"`` or ``"anchors"``."""
        return self.native.method

    @property
    def error_bound(self) -> float:
        """Bound on the absolute error, as a multiple of ``scale`` times the mean absolute expression of a ligand."""
        return self.native.error_bound

    def apply(
        self, ligands: ArrayLike, *, scale: float = 1.0, threads: int = 0, progress: Progress | None = None
    ) -> NDArray[np.float64]:
        """Received amount of each ligand at each cell.

        Parameters
        ----------
        ligands
            Expression of the ligands, cells x ligands, finite.
        scale
            Factor on the result.
        threads
            Worker threads, 0 = all cores.
        progress
            Observer, stage ``"ligands"``.

        Returns
        -------
        numpy.ndarray
            Cells x ligands, float64.
        """
        values = _check.real("ligands", ligands, ndim=2)
        if len(values) != self.native.n_cells:
            raise InputError(f"ligands has {len(values)} rows, the plan {self.native.n_cells} cells")
        tick = None if progress is None else (lambda done, total: progress.update(done, total, "ligands"))
        return self.native.apply(values, float(scale), threads=threads, progress=tick)


@overload
def received_ligands(
    xy: ArrayLike, ligands: ArrayLike, *, radius: float | ArrayLike, kernel: KernelName = ...,
    method: MethodName = ..., rtol: float = ..., scale: float = ..., factor: float = ..., threads: int = ...,
    cutoff: float | None = ..., samples: ArrayLike | None = ..., verify: Literal[0] = ...,
    progress: Progress | None = ...,
) -> NDArray[np.float64]: ...  # fmt: skip
@overload
def received_ligands(
    xy: ArrayLike, ligands: ArrayLike, *, radius: float | ArrayLike, kernel: KernelName = ...,
    method: MethodName = ..., rtol: float = ..., scale: float = ..., factor: float = ..., threads: int = ...,
    cutoff: float | None = ..., samples: ArrayLike | None = ..., verify: int,
    progress: Progress | None = ...,
) -> tuple[NDArray[np.float64], Verification]: ...  # fmt: skip
def received_ligands(
    xy: ArrayLike,
    ligands: ArrayLike,
    *,
    radius: float | ArrayLike,
    kernel: KernelName = "gaussian",
    method: MethodName = "auto",
    rtol: float = 1e-6,
    scale: float = 1.0,
    factor: float = 0.5,
    threads: int = 0,
    cutoff: float | None = None,
    samples: ArrayLike | None = None,
    verify: int = 0,
    progress: Progress | None = None,
) -> NDArray[np.float64] | tuple[NDArray[np.float64], Verification]:
    """Amount of each ligand that reaches each cell.

    ``received[i, l] = scale / n * sum_j K(|x_i - x_j|) * ligands[j, l]``, the cell itself included, n the
    number of cells (of the sample).

    Parameters
    ----------
    xy
        Coordinates, cells x 2 or cells x 3.
    ligands
        Expression, cells x ligands.
    radius
        One radius, or one per ligand; ligands of the same radius share a plan.
    kernel, method, rtol, factor, cutoff, samples, threads
        See `ReceivedPlan`.
    scale
        Factor on the result.
    verify
        Recompute this many random cells by the exact sum and return the comparison too.
    progress
        Observer, stage ``"ligands"``.

    Returns
    -------
    numpy.ndarray
        Cells x ligands, float64; with `verify` a tuple of it and a `Verification`.

    Raises
    ------
    InputError
        An argument has the wrong shape, is not finite or is out of range.

    Notes
    -----
    `rtol` is relative to the largest value of a ligand: where nearly nothing is received, the error is
    absolute. See Barnett, Magland and af Klinteberg (2019) for the window of the mesh.

    Examples
    --------
    >>> import numpy as np
    >>> xy = np.array([[0.0, 0.0], [100.0, 0.0]])
    >>> received_ligands(xy, np.array([[1.0], [0.0]]), radius=100.0).round(4).tolist()
    [[0.5], [0.3033]]
    """
    points = _coordinates(xy)
    values = _check.real("ligands", ligands, ndim=2)
    if len(values) != len(points):
        raise InputError(
            f"xy has {len(points)} rows but ligands has {len(values)}: both need one row per cell"
        )
    radii = np.asarray(radius, dtype=np.float64)
    if radii.ndim > 1 or (radii.ndim == 1 and len(radii) != values.shape[1]):
        raise InputError(
            f"radius has shape {radii.shape}: give one number, or one per ligand ({values.shape[1]})"
        )
    radii = np.broadcast_to(radii, values.shape[1:])
    out = np.empty_like(values)
    for one in np.unique(radii) if radii.size else [float(np.asarray(radius).flat[0])]:
        chosen = np.flatnonzero(radii == one)
        plan = ReceivedPlan(
            points, radius=float(one), kernel=kernel, method=method, rtol=rtol, factor=factor, cutoff=cutoff,
            samples=samples, n_ligands=len(chosen), threads=threads,
        )  # fmt: skip
        block = plan.apply(values[:, chosen], scale=scale, threads=threads, progress=progress)
        out[:, chosen] = block
    if verify <= 0:
        return out
    return out, _verify(points, values, out, radii, kernel, scale, cutoff, samples, verify)


def _verify(
    points: NDArray[np.float64], values: NDArray[np.float64], out: NDArray[np.float64],
    radii: NDArray[np.float64], kernel: KernelName, scale: float, cutoff: float | None,
    samples: ArrayLike | None, count: int,
) -> Verification:  # fmt: skip
    n = len(points)
    rows = np.sort(np.random.default_rng(0).choice(n, size=min(count, n), replace=False))
    labels = np.zeros(n, dtype=np.int64) if samples is None else np.asarray(samples)
    exact = np.empty((len(rows), values.shape[1]))
    for at, row in enumerate(rows):
        same = labels == labels[row]
        d2 = ((points[same] - points[row]) ** 2).sum(axis=1)
        for one in np.unique(radii):
            chosen = radii == one
            sigma, limit = _kernel(kernel, float(one), cutoff)
            weights = np.where(d2 <= limit**2, np.exp(-0.5 * d2 / sigma**2), 0.0)
            exact[at, chosen] = scale / same.sum() * (weights @ values[same][:, chosen])
    error = np.abs(out[rows] - exact)
    largest = np.abs(exact).max(axis=0, initial=0.0)
    relative = error.max(axis=0, initial=0.0) / np.where(largest > 0, largest, 1.0)
    return Verification(
        float(error.max(initial=0.0)), float(relative.max(initial=0.0)), rows.astype(np.int64)
    )


def _coordinates(xy: ArrayLike) -> NDArray[np.float64]:
    try:
        points = _check.real("xy", xy, ndim=2)
    except InputError as error:
        raise CoordinatesError(str(error)) from None
    if points.shape[1] not in (2, 3):
        raise CoordinatesError(f"xy has {points.shape[1]} columns: expected 2 or 3 coordinates per cell")
    if len(points) == 0:
        raise CoordinatesError("xy has no rows: at least one cell is needed")
    return points


def _kernel(kernel: str, radius: float, cutoff: float | None) -> tuple[float, float]:
    """Return the standard deviation and the largest distance of a kernel."""
    _one_of("kernel", kernel, get_args(KernelName))
    length = _check.positive("radius", radius, what="a positive length in the units of the coordinates")
    if kernel != "gaussian_cutoff":
        if cutoff is not None:
            raise InputError(f"cutoff belongs to kernel 'gaussian_cutoff', not to {kernel!r}: leave it out")
        return (length, np.inf) if kernel == "gaussian" else (length / _TRUNCATED, length)
    if cutoff is None:
        raise InputError("kernel 'gaussian_cutoff' needs cutoff, the largest distance that is heard")
    return length, _check.positive("cutoff", cutoff, what="a positive length in the units of the coordinates")


def _one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise InputError(
            f"{name} is {value!r}: give one of {', '.join(known)}{did_you_mean(str(value), known)}"
        )
