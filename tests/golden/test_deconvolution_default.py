"""The default deconvolution on semi-synthetic spots made of real cells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import sparse

import cytoripple as ct
from cytoripple.deconv import Deconvolution
from tests.conftest import golden_root

NEEDED = {"Y_indptr", "ref_indptr", "ref_type", "default_proportions", "truth"}
RMSE = {
    "cerebellum_smooth": 0.039,
    "cerebellum_missing": 0.068,
    "hypothalamus_smooth": 0.098,
    "hypothalamus_missing": 0.109,
}
AUPR = {
    "cerebellum_smooth": 0.91,
    "cerebellum_missing": 0.88,
    "hypothalamus_smooth": 0.84,
    "hypothalamus_missing": 0.84,
}


def sets() -> list[Path]:
    """Every file with spots, reference cells and results of this method, whatever its name."""
    found = []
    for path in sorted(golden_root().glob("**/*.npz")):
        with np.load(path) as data:
            if set(data.files) >= NEEDED:
                found.append(path)
    return found


class Set:
    """Spots, reference and the fit of one file."""

    def __init__(self, path: Path) -> None:
        with np.load(path) as data:
            self.data = {name: data[name] for name in data.files}
        self.name = path.stem
        n, n_genes = (int(size) for size in self.data["shape"][:2])
        self.Y = self.matrix("Y", (n, n_genes))
        cells = self.matrix("ref", (len(self.data["ref_type"]), n_genes))
        names = self.data["type_names"]
        # Names in front of which their number stands keep the order of the file when they are sorted.
        labels = np.array([f"{kind:03d} {names[kind]}" for kind in self.data["ref_type"]])
        self.signatures = ct.deconv.signatures(cells, labels=labels)
        links = self.data["graph_indices"]
        self.graph = sparse.csr_matrix((np.ones(len(links)), links, self.data["graph_indptr"]), shape=(n, n))
        self.fit = self.run()
        self.truth = self.data["truth"]

    def matrix(self, name: str, shape: tuple[int, int]) -> Any:
        parts = (self.data[f"{name}_{part}"] for part in ("data", "indices", "indptr"))
        return sparse.csr_matrix(tuple(parts), shape=shape)

    def run(self, **options: Any) -> Deconvolution:
        return ct.kernels.deconvolve(
            self.Y, self.signatures, self.data["coords"], graph=self.graph, **options
        )


@pytest.fixture(scope="module", params=sets(), ids=lambda path: path.stem)
def one(request: pytest.FixtureRequest) -> Set:
    return Set(request.param)


def rmse(shares: NDArray[Any], truth: NDArray[Any]) -> float:
    return float(np.sqrt(((shares - truth) ** 2).mean()))


def aupr(shares: NDArray[Any], truth: NDArray[Any]) -> float:
    """Area under precision and recall over all entries; present means above 0.01."""
    present = (truth > 0.01).ravel()[np.argsort(-shares.ravel(), kind="stable")]
    hits = np.cumsum(present)
    return float(np.trapezoid(hits / np.arange(1, len(hits) + 1), hits / present.sum()))


def test_there_is_a_golden_set() -> None:
    assert sets()


def test_profiles_are_shrunk_alike(one: Set) -> None:
    np.testing.assert_allclose(one.fit.profiles, one.data["default_signature"], rtol=1e-6, atol=1e-12)


def test_platform_factor_and_weights(one: Set) -> None:
    weights = one.fit.weights
    assert weights is not None
    assert weights.platform_sd == pytest.approx(float(one.data["default_tau"]), rel=1e-3)
    np.testing.assert_allclose(weights.platform, one.data["default_platform"], rtol=1e-3)
    np.testing.assert_allclose(weights.weight, one.data["default_weight"], rtol=1e-3)


def test_proportions(one: Set) -> None:
    off = np.abs(one.fit.proportions - one.data["default_proportions"])
    assert off.max() <= 0.02
    assert off.mean() <= 0.002


def test_the_planted_truth_is_found(one: Set) -> None:
    """Also of an unknown set: no worse than the stored result."""
    shares, stored = one.fit.proportions, one.data["default_proportions"]
    assert rmse(shares, one.truth) <= RMSE.get(one.name, 1.02 * rmse(stored, one.truth))
    assert aupr(shares, one.truth) >= AUPR.get(one.name, 0.98 * aupr(stored, one.truth))


def test_one_and_two_threads_and_dense_counts_agree_in_every_bit(one: Set) -> None:
    alone = one.run(threads=1).proportions
    assert one.run(threads=2).proportions.tobytes() == alone.tobytes()
    found = ct.kernels.deconvolve(
        one.Y.toarray(), one.signatures, one.data["coords"], graph=one.graph, threads=2
    )
    assert found.proportions.tobytes() == alone.tobytes()


def test_fast_is_worse_and_still_better_than_plain_least_squares(one: Set) -> None:
    from scipy.optimize import nnls

    fast = rmse(one.run(method="fast").proportions, one.truth)
    X = one.data["X"] / one.data["X"].sum(axis=1, keepdims=True)
    depth = np.asarray(one.Y.sum(axis=1))
    plain = np.stack([nnls(X.T, row)[0] for row in one.Y.toarray() / depth])
    plain /= plain.sum(axis=1, keepdims=True)
    assert rmse(one.fit.proportions, one.truth) < fast < rmse(plain, one.truth)
