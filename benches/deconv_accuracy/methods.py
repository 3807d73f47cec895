"""Methods that are compared. Each takes a set and returns shares of RNA, spots x types sorted by name."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import nnls

import cytoripple as ct

if TYPE_CHECKING:
    from sets import Set

Floats = NDArray[np.float64]
Method = Callable[["Set"], Floats]
PEER = Path(__file__).with_name("peer.py")


def own(given: Set, method: str) -> Floats:
    """Run a method of this package."""
    signatures = ct.deconv.signatures(given.cells, labels=given.labels)
    found = ct.kernels.deconvolve(given.counts, signatures, given.coords, method=method)
    return found.proportions.astype(np.float64)


def published(given: Set) -> Floats:
    """Run the published method as this package computes it."""
    model = ct.deconv.Deconvolver("flashdeconv")
    return model.fit_transform(given.counts.astype(np.float64), given.means, given.coords)


def published_package(given: Set, python: str) -> Floats:
    """Run the published package itself, in the Python where it is installed."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        sparse.save_npz(path / "counts.npz", given.counts)
        np.savez(path / "rest.npz", means=given.means, coords=given.coords)
        subprocess.run([python, str(PEER), folder], check=True, stdout=subprocess.DEVNULL)
        return np.asarray(np.load(path / "shares.npy"))


def least_squares(given: Set, *, weighted: bool) -> Floats:
    """Non-negative least squares on shares of counts."""
    counts = np.asarray(given.counts.todense(), dtype=np.float64)
    rates = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    profiles = given.means / given.means.sum(axis=1, keepdims=True)
    weight = 1 / np.sqrt(rates.mean(axis=0) + 2e-6) if weighted else np.ones(counts.shape[1])
    design = (profiles * weight).T
    shares = np.stack([nnls(design, row)[0] for row in rates * weight])
    return np.asarray(shares / np.maximum(shares.sum(axis=1, keepdims=True), 1e-12))


def poisson(given: Set, steps: int = 300) -> Floats:
    """Maximum likelihood of Poisson counts, by expectation and maximization from equal shares."""
    counts = np.asarray(given.counts.todense(), dtype=np.float64)
    profiles = given.means / given.means.sum(axis=1, keepdims=True) + 1e-9
    shares = np.full((len(counts), len(profiles)), 1 / len(profiles))
    for _ in range(steps):
        shares *= (counts / (shares @ profiles)) @ profiles.T
        shares /= np.maximum(shares.sum(axis=1, keepdims=True), 1e-12)
    return shares


def methods(peer_python: str | None) -> dict[str, Method]:
    """Every method by name."""
    flash: Method = published if peer_python is None else partial(published_package, python=peer_python)
    return {
        "default": partial(own, method="default"),
        "fast": partial(own, method="fast"),
        "FlashDeconv 0.2.0" if peer_python else "flashdeconv (ours)": flash,
        "NNLS": partial(least_squares, weighted=False),
        "NNLS weighted": partial(least_squares, weighted=True),
        "Poisson ML": poisson,
    }
