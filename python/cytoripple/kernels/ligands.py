"""Ligand received by every cell from all cells around it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cytoripple import _core
from cytoripple._errors import InputError, did_you_mean
from cytoripple._progress import Progress
from cytoripple.kernels import _check

Kernel = Literal["gaussian", "gaussian_truncated", "gaussian_cutoff"]
Method = Literal["auto", "direct", "mesh", "anchors"]

KERNELS: tuple[Kernel, ...] = ("gaussian", "gaussian_truncated", "gaussian_cutoff")
METHODS: tuple[Method, ...] = ("auto", "direct", "mesh", "anchors")

#: Smallest weight of the truncated kernel, at its edge.
EDGE_WEIGHT = 0.001

_STAGE = "received ligands"


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


class ReceivedPlan:
    """Received ligands on fixed coordinates, immutable and reusable for every expression.

    Parameters
    ----------
    xy
        Coordinates, (cells, 2) or (cells, 3), in any unit shared with `radius`.
    radius
        Radius of the signal.
    kernel, method, rtol, factor, cutoff, samples
        As in :func:`received_ligands`.
    n_ligands
        Number of ligands to expect; enters the choice between mesh and direct sum.
    threads
        Threads for making the plan; 0 takes all cores.

    Raises
    ------
    InputError
        An argument is outside its range; the message names it.

    Examples
    --------
    >>> import numpy as np
    >>> from cytoripple.kernels import ReceivedPlan
    >>> xy = np.random.default_rng(0).uniform(0, 1000, (5000, 2))
    >>> plan = ReceivedPlan(xy, radius=100.0)
    >>> plan.method
    'mesh'
    >>> plan.apply(np.ones((5000, 3))).shape
    (5000, 3)
    """

    def __init__(
        self,
        xy: ArrayLike,
        *,
        radius: float,
        kernel: Kernel = "gaussian",
        method: Method = "auto",
        rtol: float = 1e-6,
        factor: float = 0.5,
        cutoff: float | None = None,
        samples: ArrayLike | None = None,
        n_ligands: int = 50,
        threads: int = 0,
    ) -> None:
        points = _coordinates(xy)
        _check_choices(kernel, method, rtol=rtol, factor=factor, cutoff=cutoff, dimensions=points.shape[1])
        groups = None if samples is None else _check.integers("samples", samples, length=len(points))
        try:
            self._native = _core.ReceivedPlan(
                points,
                radius=_check.positive("radius", radius, what="a positive length in the units of xy"),
                kernel=kernel,
                method=method,
                rtol=float(rtol),
                factor=float(factor),
                cutoff=None if cutoff is None else float(cutoff),
                samples=groups,
                n_ligands=n_ligands,
                threads=_threads(threads),
            )
        except ValueError as error:
            raise InputError(str(error)) from error

    @property
    def native(self) -> _core.ReceivedPlan:
        """The plan inside the native module, for kernels that take one."""
        return self._native

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return self._native.n_cells

    @property
    def method(self) -> str:
        """Method in use: ``"mesh"`` as soon as it handles some of the cells, never ``"auto"``."""
        return self._native.method

    @property
    def error_bound(self) -> float:
        """Bound on the absolute error of every value, in units of ``scale * mean(abs(ligand))``."""
        return self._native.error_bound

    def apply(
        self, ligands: ArrayLike, *, scale: float = 1.0, threads: int = 0, progress: Progress | None = None
    ) -> NDArray[np.float64]:
        """Received amount of each ligand at each cell.

        Parameters
        ----------
        ligands
            Expression, (cells, ligands), finite.
        scale
            Factor on the result.
        threads
            0 takes all cores. The result does not depend on it.
        progress
            Observer of the computation.

        Returns
        -------
        Array (cells, ligands), float64.

        Raises
        ------
        InputError
            `ligands` has another number of cells than the plan, or holds NaN or infinity.
        """
        values = _check.real("ligands", ligands, ndim=2, finite=False)  # the native call looks while it reads
        if len(values) != self.n_cells:
            raise InputError(
                f"ligands has {len(values)} rows but xy has {self.n_cells}: "
                "both need one row per cell, in the same order"
            )
        try:
            return self._native.apply(
                values, scale=float(scale), threads=_threads(threads), progress=_callback(progress)
            )
        except ValueError as error:
            raise InputError(str(error)) from error


@overload
def received_ligands(
    xy: ArrayLike,
    ligands: ArrayLike,
    *,
    radius: ArrayLike,
    kernel: Kernel = ...,
    method: Method = ...,
    rtol: float = ...,
    scale: float = ...,
    factor: float = ...,
    threads: int = ...,
    cutoff: float | None = ...,
    samples: ArrayLike | None = ...,
    verify: Literal[0] = ...,
    progress: Progress | None = ...,
) -> NDArray[np.float64]: ...
@overload
def received_ligands(
    xy: ArrayLike,
    ligands: ArrayLike,
    *,
    radius: ArrayLike,
    kernel: Kernel = ...,
    method: Method = ...,
    rtol: float = ...,
    scale: float = ...,
    factor: float = ...,
    threads: int = ...,
    cutoff: float | None = ...,
    samples: ArrayLike | None = ...,
    verify: int,
    progress: Progress | None = ...,
) -> NDArray[np.float64] | tuple[NDArray[np.float64], Verification]: ...


def received_ligands(
    xy: ArrayLike,
    ligands: ArrayLike,
    *,
    radius: ArrayLike,
    kernel: Kernel = "gaussian",
    method: Method = "auto",
    rtol: float = 1e-6,
    scale: float = 1.0,
    factor: float = 0.5,
    threads: int = 0,
    cutoff: float | None = None,
    samples: ArrayLike | None = None,
    verify: int = 0,
    progress: Progress | None = None,
) -> NDArray[np.float64] | tuple[NDArray[np.float64], Verification]:
    """Ligand received by every cell: a sum over all cells that fades with distance.

    ``received[i, l] = scale / n * sum_j kernel(|x_i - x_j|) * ligands[j, l]`` over the ``n`` cells of the
    sample of cell ``i``, itself included.

    Parameters
    ----------
    xy
        Coordinates, (cells, 2) or (cells, 3), finite.
    ligands
        Expression, (cells, ligands), finite; negative values are allowed.
    radius
        Radius in the units of `xy`, one number or one per ligand.
    kernel
        ``"gaussian"``: ``exp(-d**2 / (2 radius**2))``. ``"gaussian_truncated"``: a Gaussian that falls to
        0.001 at ``d = radius`` and is 0 beyond. ``"gaussian_cutoff"``: ``"gaussian"`` up to
        ``d = cutoff`` and 0 beyond.
    method
        ``"direct"``: exact sum over pairs. ``"mesh"``: spreading onto a lattice, convolution and
        interpolation, error controlled by `rtol`; kernel ``"gaussian"`` only; cells whose lattice would be
        nearly empty are summed directly. ``"anchors"``: bilinear interpolation of a coarse grid as in the
        published programs, two dimensions only; exact when the grid would have as many anchors as there are
        cells. ``"auto"``: mesh or direct sum, whichever needs fewer operations.
    rtol
        Error allowed relative to the largest received value of each ligand, 1e-13 to 1e-2. Where a ligand is
        absent around a cell the error is absolute. Exact methods ignore it.
    scale
        Factor on the result.
    factor
        Spacing of the anchors in units of the kernel's standard deviation.
    threads
        0 takes all cores. The result does not depend on it.
    cutoff
        Distance where ``"gaussian_cutoff"`` ends.
    samples
        Whole number per cell: no signal passes between samples, and each divides by its own ``n``.
    verify
        Number of random cells (seeded) to compare with the exact sum.
    progress
        Observer of the computation.

    Returns
    -------
    Array (cells, ligands), float64; with `verify` a pair of it and a :class:`Verification`.

    Raises
    ------
    InputError
        An argument is outside its range or of the wrong shape; the message names it.

    See Also
    --------
    ReceivedPlan : the same for several expressions on the same coordinates.

    References
    ----------
    Barnett, Magland and af Klinteberg (2019), "A parallel nonuniform fast Fourier transform library based on
    an exponential of semicircle kernel", SIAM J. Sci. Comput. 41: the window of the mesh.

    Examples
    --------
    >>> import numpy as np
    >>> from cytoripple.kernels import received_ligands
    >>> received_ligands([[0.0, 0.0], [3.0, 4.0]], [[1.0], [0.0]], radius=5.0).round(3)
    array([[0.5  ],
           [0.303]])
    """
    points = _coordinates(xy)
    values = _check.real("ligands", ligands, ndim=2, finite=False)
    if len(values) != len(points):
        raise InputError(
            f"ligands has {len(values)} rows but xy has {len(points)}: "
            "both need one row per cell, in the same order"
        )
    radii = _radii(radius, values.shape[1])
    cells = _verified_rows(verify, len(points))
    different = np.unique(radii)
    received = np.empty_like(values) if len(different) > 1 else None
    for k, r in enumerate(different):
        chosen = radii == r
        plan = ReceivedPlan(
            points,
            radius=float(r),
            kernel=kernel,
            method=method,
            rtol=rtol,
            factor=factor,
            cutoff=cutoff,
            samples=samples,
            n_ligands=int(chosen.sum()),
            threads=threads,
        )
        step = None if progress is None else _Part(progress, k, len(different))
        if received is None:
            received = plan.apply(values, scale=scale, threads=threads, progress=step)
        else:
            part = np.ascontiguousarray(values[:, chosen])
            received[:, chosen] = plan.apply(part, scale=scale, threads=threads, progress=step)
    if received is None:  # no ligands
        _check_choices(kernel, method, rtol=rtol, factor=factor, cutoff=cutoff, dimensions=points.shape[1])
        received = np.empty_like(values)
    if verify == 0:
        return received
    exact = _exact_rows(points, values, radii, cells, kernel=kernel, cutoff=cutoff, samples=samples)
    return received, _compare(received, scale * exact, cells)


class _Part:
    """Progress of one of several radii, shown as a share of the whole."""

    def __init__(self, progress: Progress, index: int, count: int) -> None:
        self._progress, self._index, self._count = progress, index, count

    def update(self, done: int, total: int, what: str) -> None:
        self._progress.update(self._index * total + done, self._count * total, what)

    def close(self) -> None:
        """Nothing to close: the observer belongs to the caller."""


def _coordinates(xy: ArrayLike) -> NDArray[np.float64]:
    points = _check.real("xy", xy, ndim=2)
    if points.shape[1] not in (2, 3):
        raise InputError(f"xy has {points.shape[1]} columns: expected 2 or 3, one per dimension")
    if len(points) == 0:
        raise InputError("xy has no rows: expected at least one cell")
    return points


def _radii(radius: ArrayLike, n_ligands: int) -> NDArray[np.float64]:
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


def _check_choices(
    kernel: str, method: str, *, rtol: float, factor: float, cutoff: float | None, dimensions: int
) -> None:
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


def _threads(threads: int) -> int:
    if int(threads) < 0:
        raise InputError(f"threads is {threads}: give 0 for all cores, or a positive number")
    return int(threads)


def _callback(progress: Progress | None) -> Callable[[int, int], object] | None:
    if progress is None:
        return None
    return lambda done, total: progress.update(done, total, _STAGE)


def _verified_rows(verify: int, n_cells: int) -> NDArray[np.int64]:
    if int(verify) < 0:
        raise InputError(f"verify is {verify}: give the number of cells to compare, or 0")
    count = min(int(verify), n_cells)
    return np.sort(np.random.default_rng(0).choice(n_cells, size=count, replace=False)).astype(np.int64)


def _exact_rows(
    points: NDArray[np.float64],
    values: NDArray[np.float64],
    radii: NDArray[np.float64],
    cells: NDArray[np.int64],
    *,
    kernel: Kernel,
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


def _compare(
    received: NDArray[np.float64], exact: NDArray[np.float64], cells: NDArray[np.int64]
) -> Verification:
    error = np.abs(received[cells] - exact)
    largest = np.maximum(np.abs(received).max(axis=0, initial=0.0), np.finfo(np.float64).tiny)
    return Verification(
        max_abs_error=float(error.max(initial=0.0)),
        max_rel_error=float((error / largest).max(initial=0.0)),
        rows=cells,
    )
