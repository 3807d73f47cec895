"""Received ligands against other ways to compute them, interleaved in one process on one thread.

Run ``OPENBLAS_NUM_THREADS=1 python benches/ratio.py record ligands`` for the table, or pytest for a small
accuracy-checked version. Plans are made outside of the timed part for every side that has them. finufft is
measured when it is installed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cytoripple.kernels.ligands import ReceivedPlan

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from ratio import Ratio, in_turns

Array = NDArray[np.float64]


def tissue(n: int, extent: float, ligands: int) -> tuple[Array, Array]:
    """Uniform cells, sparse log-normal ligands, radius 1."""
    rng = np.random.default_rng(0)
    values = rng.lognormal(0.0, 1.0, (n, ligands)) * (rng.random((n, ligands)) < 0.3)
    return rng.uniform(0.0, extent, (n, 2)), values


def exact_rows(xy: Array, values: Array, rows: NDArray[np.int64]) -> Array:
    """Sum by the definition for some cells."""
    weights = np.exp(-0.5 * np.square(xy[rows, None, :] - xy[None, :, :]).sum(axis=2))
    return np.asarray(weights @ values / len(xy))


def numpy_chunked(xy: Array, values: Array) -> Array:
    """Every pair, in blocks of 500 cells: what one writes without a library."""
    out = np.empty_like(values)
    squares = np.square(xy).sum(axis=1)
    for first in range(0, len(xy), 500):
        block = slice(first, first + 500)
        d2 = squares[block, None] + squares[None, :] - 2.0 * (xy[block] @ xy.T)
        out[block] = np.exp(-0.5 * d2) @ values / len(xy)
    return out


def finufft_transform(xy: Array, values: Array, eps: float) -> Callable[[], Array]:
    """Gauss transform through two nonuniform FFTs, plans reused, ligands packed in complex pairs."""
    import finufft

    reach = np.sqrt(2.0 * np.log(1.0 / eps))
    period = np.ptp(xy, axis=0).max() + reach
    modes = 2 * int(np.ceil(reach * period / (2 * np.pi))) + 1
    k = 2 * np.pi / period * (np.arange(modes) - modes // 2)
    line = np.sqrt(2 * np.pi) / period * np.exp(-0.5 * k * k)
    spectrum = line[:, None] * line[None, :] / len(xy)
    packed = np.ascontiguousarray((values[:, 0::2] + 1j * values[:, 1::2]).T)
    x, y = np.ascontiguousarray(((xy - xy.min(axis=0)) * (2 * np.pi / period) - np.pi).T)
    plans = []
    for kind, sign in ((1, -1), (2, 1)):
        plan = finufft.Plan(kind, (modes, modes), len(packed), eps=eps, isign=sign, nthreads=1)
        plan.setpts(x, y)
        plans.append(plan)

    def transform() -> Array:
        pairs = plans[1].execute(plans[0].execute(packed) * spectrum)
        return np.ascontiguousarray(pairs.T).view(np.float64)

    return transform


def compare(
    n: int, extent: float, peers: list[str], *, ligands: int = 50, rounds: int = 3
) -> Iterator[Ratio]:
    """Our mesh at 1e-6 against each peer."""
    xy, values = tissue(n, extent, ligands)
    some = np.sort(np.random.default_rng(2).choice(n, size=min(n, 200), replace=False))
    exact = exact_rows(xy, values, some)
    plan = ReceivedPlan(xy, radius=1.0, n_ligands=ligands, threads=1)

    def ours() -> Array:
        return plan.apply(values, threads=1)

    def error(result: Array) -> float:
        return float((np.abs(result[some] - exact) / np.abs(result).max(axis=0)).max())

    for peer in peers:
        if peer == "anchors":
            grid = ReceivedPlan(xy, radius=1.0, method="anchors", threads=1)

            def theirs(grid: ReceivedPlan = grid) -> Array:
                return grid.apply(values, threads=1)
        elif peer == "numpy":

            def theirs() -> Array:
                return numpy_chunked(xy, values)
        else:
            theirs = finufft_transform(xy, values, 1e-5)
        our_error, peer_error = error(ours()), error(theirs())
        seconds = in_turns(ours, theirs, rounds)
        yield Ratio(
            "ligands",
            f"N={n} L={ligands} D/s={extent:g} {plan.method}",
            peer,
            *seconds[:2],
            our_error,
            peer_error,
            "received signal / its maximum",
            *seconds[2:],
        )


def ratios() -> Iterator[Ratio]:
    """Measure every row of the table."""
    nufft = ["finufft"] if find_spec("finufft") else []
    for n, extent, peers, rounds in [
        (100_000, 5.0, ["anchors", *nufft], 5),
        (100_000, 20.0, [*nufft], 5),
        (100_000, 20.0, ["anchors"], 2),
        (100_000, 80.0, [*nufft], 3),
        (10_000, 5.0, ["numpy"], 5),
        (10_000, 10.0, ["numpy"], 5),
    ]:
        yield from compare(n, extent, peers, rounds=rounds)


def test_the_mesh_is_more_accurate_than_its_peers() -> None:
    """A small version: the errors are checked."""
    for row in compare(5000, 5.0, ["anchors", "numpy"]):
        assert row.ours_error <= 1e-6
        assert row.ours_error <= max(row.peer_error, 1e-6)
