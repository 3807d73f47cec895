"""Ligand received by every cell from all cells around it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cytoripple import _core
from cytoripple._errors import InputError
from cytoripple._progress import Progress
from cytoripple.kernels import _check, _received
from cytoripple.kernels._received import KernelName, MethodName, Verification

__all__ = ["KernelName", "MethodName", "ReceivedPlan", "Verification", "received_ligands"]

_STAGE = "received ligands"


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
        kernel: KernelName = "gaussian",
        method: MethodName = "auto",
        rtol: float = 1e-6,
        factor: float = 0.5,
        cutoff: float | None = None,
        samples: ArrayLike | None = None,
        n_ligands: int = 50,
        threads: int = 0,
    ) -> None:
        points = _received.coordinates(xy)
        _received.check_choices(
            kernel, method, rtol=rtol, factor=factor, cutoff=cutoff, dimensions=points.shape[1]
        )
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
                threads=_received.thread_count(threads),
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
        """MethodName in use: ``"mesh"`` as soon as it handles some of the cells, never ``"auto"``."""
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
                values,
                scale=float(scale),
                threads=_received.thread_count(threads),
                progress=_callback(progress),
            )
        except ValueError as error:
            raise InputError(str(error)) from error


@overload
def received_ligands(
    xy: ArrayLike,
    ligands: ArrayLike,
    *,
    radius: ArrayLike,
    kernel: KernelName = ...,
    method: MethodName = ...,
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
    kernel: KernelName = ...,
    method: MethodName = ...,
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
    points = _received.coordinates(xy)
    values = _check.real("ligands", ligands, ndim=2, finite=False)
    if len(values) != len(points):
        raise InputError(
            f"ligands has {len(values)} rows but xy has {len(points)}: "
            "both need one row per cell, in the same order"
        )
    radii = _received.radius_per_ligand(radius, values.shape[1])
    cells = _received.verified_rows(verify, len(points))
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
        _received.check_choices(
            kernel, method, rtol=rtol, factor=factor, cutoff=cutoff, dimensions=points.shape[1]
        )
        received = np.empty_like(values)
    if verify == 0:
        return received
    exact = _received.exact_rows(points, values, radii, cells, kernel=kernel, cutoff=cutoff, samples=samples)
    return received, _received.compare(received, scale * exact, cells)


class _Part:
    """Progress of one of several radii, shown as a share of the whole."""

    def __init__(self, progress: Progress, index: int, count: int) -> None:
        self._progress, self._index, self._count = progress, index, count

    def update(self, done: int, total: int, what: str) -> None:
        self._progress.update(self._index * total + done, self._count * total, what)

    def close(self) -> None:
        """Nothing to close: the observer belongs to the caller."""


def _callback(progress: Progress | None) -> Callable[[int, int], object] | None:
    if progress is None:
        return None
    return lambda done, total: progress.update(done, total, _STAGE)
