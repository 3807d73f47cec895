"""Bad input is named before any work; odd input gives documented answers."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from cytoripple._errors import CoordinatesError, InputError, SettingsError
from cytoripple.compat.flashdeconv import FlashDeconv
from cytoripple.deconv import Deconvolver
from cytoripple.deconv.flash import flash_deconvolve
from cytoripple.deconv.flash.graph import spatial_graph
from tests.deconv.flash.data import tissue

GIVEN = tissue()


def replaced(value: float) -> sparse.csr_matrix[np.float64]:
    counts = GIVEN.counts.copy()
    counts.data[7] = value
    return counts


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"Y": replaced(np.nan)}, InputError, "NaN or infinite"),
        ({"Y": replaced(np.inf)}, InputError, "NaN or infinite"),
        ({"Y": replaced(-1)}, InputError, "negative"),
        ({"Y": GIVEN.counts[:, :50]}, InputError, "Y has 50 genes but X has 60"),
        ({"Y": np.ones(60)}, InputError, "spots x genes"),
        ({"Y": np.array([["a"] * 60] * 80)}, InputError, "expected counts"),
        ({"Y": GIVEN.counts[:0], "coords": GIVEN.coords[:0]}, InputError, "at least one spot"),
        ({"X": GIVEN.reference[:0]}, InputError, "at least one cell type"),
        ({"X": GIVEN.reference[0]}, InputError, "types x genes"),
        ({"X": -GIVEN.reference}, InputError, "negative"),
        ({"coords": GIVEN.coords[:-1]}, CoordinatesError, "80 spots"),
        ({"coords": GIVEN.coords[:, 0]}, CoordinatesError, "80 spots"),
        ({"coords": np.full((80, 2), np.nan)}, CoordinatesError, "80 spots without finite"),
        ({"cell_type_names": ["a", "b"]}, InputError, "2 names but X has 4"),
        ({"n_hvg": 0, "n_markers_per_type": 0}, InputError, "no gene was selected"),
        ({"graph": sparse.eye(3)}, InputError, "expected 80 x 80"),
        ({"graph": sparse.csr_matrix(([1.0], ([0], [1])), shape=(80, 80))}, InputError, "symmetric"),
        ({"samples": [0, 1]}, InputError, "expected 80"),
        ({"genes": [60]}, InputError, "positions from 0 to 59"),
        ({"start": np.ones((2, 2))}, InputError, "80 x 4"),
        ({"hashes": ([0], [1]), "gene_weighting": "countsketch"}, InputError, "buckets"),
        ({"sketch_dim": 0}, SettingsError, "sketch_dim is 0"),
        ({"sketch_dim": 2.5}, SettingsError, "sketch_dim is 2.5"),
        ({"k_neighbors": -1}, SettingsError, "k_neighbors"),
        ({"max_iter": float("nan")}, SettingsError, "max_iter"),
        ({"tol": 0.0}, SettingsError, "tol is 0"),
        ({"lambda_spatial": "automatic"}, SettingsError, "lambda_spatial"),
        ({"lambda_spatial": -1.0}, SettingsError, "lambda_spatial"),
        ({"rho_sparsity": -1.0}, SettingsError, "rho_sparsity"),
        ({"radius": 0.0}, SettingsError, "radius"),
        ({"spatial_method": "radius"}, SettingsError, "give radius"),
        ({"spatial_method": "tree"}, SettingsError, "'knn', 'radius', 'grid'"),
        ({"preprocess": "log"}, SettingsError, "preprocess"),
        ({"gene_weighting": "none"}, SettingsError, "gene_weighting"),
        ({"version": "0.3"}, SettingsError, "'0.2.0'"),
        ({"solver": "newton"}, SettingsError, "'jacobi' or 'sor'"),
        ({"sketch_dim": True}, TypeError, "truth value"),
        ({"sketchdim": 5}, TypeError, "sketchdim"),
    ],
)
def test_bad_values_are_named(change: dict[str, Any], error: type[Exception], says: str) -> None:
    arguments: dict[str, Any] = {"Y": GIVEN.counts, "X": GIVEN.reference, "coords": GIVEN.coords}
    with pytest.raises(error, match=says):
        flash_deconvolve(**(arguments | change))


def test_whole_numbers_may_come_as_floats() -> None:
    assert flash_deconvolve(*GIVEN.arrays, sketch_dim=64.0).settings.sketch_dim == 64


def test_an_empty_spot_is_marked_and_said(caplog: pytest.LogCaptureFixture) -> None:
    counts = GIVEN.counts.tolil()
    counts[5] = 0
    with caplog.at_level(logging.WARNING):
        fit = flash_deconvolve(
            counts.tocsr(), GIVEN.reference, GIVEN.coords, graph=sparse.csr_matrix((80, 80))
        )
    assert np.flatnonzero(fit.empty).tolist() == [5]
    assert "spots without counts: 1" in caplog.text
    np.testing.assert_array_equal(fit.proportions[5], 0.25)
    old = flash_deconvolve(
        counts.tocsr(), GIVEN.reference, GIVEN.coords, graph=sparse.csr_matrix((80, 80)), version="0.1.1"
    )
    np.testing.assert_array_equal(old.proportions[5], 0.0)


def test_stopping_too_early_is_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        fit = flash_deconvolve(*GIVEN.arrays, max_iter=2)
    assert not fit.solution.converged and fit.solution.kkt_residual > 1e-6
    assert "unconverged after 2 iterations" in caplog.text


@pytest.mark.parametrize("solver", ["jacobi", "sor"])
@pytest.mark.parametrize("method", ["knn", "grid"])
def test_one_spot_one_type_and_few_spots(solver: Any, method: Any) -> None:
    for n, kinds in ((1, 4), (2, 1), (3, 4), (80, 1)):
        fit = flash_deconvolve(
            GIVEN.counts[:n],
            GIVEN.reference[:kinds],
            GIVEN.coords[:n],
            solver=solver,
            spatial_method=method,
            k_neighbors=6,
        )
        np.testing.assert_allclose(fit.proportions.sum(axis=1), 1.0)
        assert fit.proportions.shape == (n, kinds)


def test_equal_coordinates_and_equal_types_end() -> None:
    same = np.zeros((80, 2))
    fit = flash_deconvolve(GIVEN.counts, GIVEN.reference[[0, 0, 1]], same, solver="sor")
    assert fit.solution.converged
    assert spatial_graph(same, k=3).nnz > 0


def test_a_silent_gene_and_a_silent_type_are_harmless() -> None:
    counts, reference = GIVEN.counts.tolil(), GIVEN.reference.copy()
    counts[:, 3] = 0
    reference[:, 3] = 0
    reference[2] = 0
    fit = flash_deconvolve(counts.tocsr(), reference, GIVEN.coords, solver="sor")
    assert np.isfinite(fit.proportions).all()
    np.testing.assert_array_equal(fit.beta[:, 2], 0.0)


def test_neighbors_tie_by_position_on_lattices() -> None:
    """A hexagonal lattice: rounding of the root of 3 must not decide between neighbors at equal distance."""
    column, row = np.meshgrid(np.arange(12), np.arange(10))
    points = np.c_[(column + 0.5 * (row % 2)).ravel(), (row * np.sqrt(3) / 2).ravel()]
    graph = spatial_graph(points, k=2)
    degree = np.diff(graph.indptr)
    inside = 5 * 12 + 5
    first = np.sort(np.argsort(np.round(np.hypot(*(points - points[inside]).T), 6), kind="stable")[1:3])
    assert set(first) <= set(graph[inside].indices)
    assert degree.min() >= 2
    assert (abs(graph - graph.T)).nnz == 0


def test_logarithms_are_refused_and_the_stand_in_warns(caplog: pytest.LogCaptureFixture) -> None:
    logged = GIVEN.counts.copy()
    logged.data = np.log1p(logged.data)
    with pytest.raises(InputError, match="looks log-normalized"):
        Deconvolver("flashdeconv").fit(logged, GIVEN.reference, GIVEN.coords)
    flash_deconvolve(logged, GIVEN.reference, GIVEN.coords, preprocess="raw")
    with caplog.at_level(logging.WARNING):
        FlashDeconv().fit(logged, GIVEN.reference, GIVEN.coords)
    assert "looks log-normalized" in caplog.text


def test_the_stand_in_fills_empty_spots_as_the_reference_does() -> None:
    """Without neighbors equal shares, with neighbors theirs; never NaN."""
    counts = GIVEN.counts.tolil()
    counts[5] = 0
    alone = FlashDeconv(lambda_spatial=0.0, rho_sparsity=0.0).fit(
        counts.tocsr(), GIVEN.reference, GIVEN.coords
    )
    np.testing.assert_array_equal(alone.proportions_[5], 0.25)
    near = FlashDeconv(lambda_spatial=5000.0).fit(counts.tocsr(), GIVEN.reference, GIVEN.coords)
    assert np.isfinite(near.proportions_).all() and np.ptp(near.proportions_[5]) > 0.01
