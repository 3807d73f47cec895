"""What must hold for every data set: symmetries, limits, the same bits however the counts are read."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from cytoripple.deconv.flash import flash_deconvolve
from cytoripple.deconv.flash.genes import gene_moments
from cytoripple.deconv.flash.graph import spatial_graph
from tests.deconv.flash.data import tissue

SEEDS = st.integers(0, 10_000)
TIGHT: dict[str, Any] = {"solver": "sor", "tol": 1e-12, "n_hvg": 30, "n_markers_per_type": 5}


@settings(max_examples=10, deadline=None)
@given(SEEDS)
def test_order_of_spots_does_not_matter(seed: int) -> None:
    given = tissue(seed=seed)
    order = np.random.default_rng(seed).permutation(given.counts.shape[0])
    plain = flash_deconvolve(*given.arrays, **TIGHT)
    moved = flash_deconvolve(given.counts[order], given.reference, given.coords[order], **TIGHT)
    np.testing.assert_allclose(moved.proportions, plain.proportions[order], atol=1e-8)


@settings(max_examples=10, deadline=None)
@given(SEEDS)
def test_order_of_genes_does_not_matter(seed: int) -> None:
    given = tissue(seed=seed)
    order = np.random.default_rng(seed).permutation(given.counts.shape[1])
    plain = flash_deconvolve(*given.arrays, **TIGHT)
    moved = flash_deconvolve(given.counts[:, order], given.reference[:, order], given.coords, **TIGHT)
    np.testing.assert_array_equal(np.sort(order[moved.representation.genes]), plain.representation.genes)
    np.testing.assert_allclose(moved.proportions, plain.proportions, atol=1e-8)


@settings(max_examples=10, deadline=None)
@given(SEEDS)
def test_order_of_types_does_not_matter(seed: int) -> None:
    given = tissue(seed=seed)
    order = np.random.default_rng(seed).permutation(given.reference.shape[0])
    plain = flash_deconvolve(*given.arrays, **TIGHT)
    moved = flash_deconvolve(given.counts, given.reference[order], given.coords, **TIGHT)
    np.testing.assert_allclose(moved.proportions, plain.proportions[:, order], atol=1e-8)


def test_without_smoothing_every_spot_stands_alone() -> None:
    """Lambda 0 equals a fit without links, for both solvers."""
    given = tissue()
    no_links = sparse.csr_matrix((80, 80))
    for solver in ("jacobi", "sor"):
        more: dict[str, Any] = TIGHT | {"solver": solver, "max_iter": 20_000}
        free = flash_deconvolve(*given.arrays, lambda_spatial=0.0, **more)
        alone = flash_deconvolve(*given.arrays, lambda_spatial=7.0, graph=no_links, **more)
        np.testing.assert_allclose(free.beta, alone.beta, atol=1e-9)


def test_strong_smoothing_makes_linked_spots_alike() -> None:
    given = tissue()
    fit = flash_deconvolve(*given.arrays, lambda_spatial=1e7, **(TIGHT | {"tol": 1e-6, "max_iter": 5000}))
    assert fit.solution.converged
    assert np.ptp(fit.beta, axis=0).max() < 0.01


@pytest.mark.parametrize("lambda_spatial", ["auto", 1.0, 30.0, 1000.0])
def test_both_solvers_find_the_same_optimum(lambda_spatial: Any) -> None:
    given = tissue()
    both = {
        solver: flash_deconvolve(
            *given.arrays,
            **(TIGHT | {"solver": solver, "lambda_spatial": lambda_spatial, "max_iter": 100_000}),
        )
        for solver in ("jacobi", "sor")
    }
    assert all(fit.solution.converged for fit in both.values())
    np.testing.assert_allclose(both["sor"].proportions, both["jacobi"].proportions, atol=1e-6)
    assert both["sor"].solution.n_iterations < both["jacobi"].solution.n_iterations


def test_the_truth_is_found_when_counts_are_deep() -> None:
    given = tissue(umi=1_000_000)
    fit = flash_deconvolve(*given.arrays, preprocess="raw", rho_sparsity=0.0, lambda_spatial=0.0, **TIGHT)
    assert np.abs(fit.proportions - given.truth).max() < 0.03


@pytest.mark.parametrize("solver", ["jacobi", "sor"])
def test_bits_do_not_depend_on_threads(solver: Any) -> None:
    given = tissue(n_spots=3000, n_genes=40)
    one, many = (
        flash_deconvolve(*given.arrays, solver=solver, lambda_spatial=20.0, threads=n) for n in (1, 3)
    )
    np.testing.assert_array_equal(one.beta, many.beta)
    np.testing.assert_array_equal(one.problem.h, many.problem.h)
    assert one.solution.n_iterations == many.solution.n_iterations


class OnDisk:
    """Rows by slicing only, as a matrix in a file gives them."""

    def __init__(self, counts: Any) -> None:
        self._counts, self.shape, self.dtype = counts, counts.shape, counts.dtype

    def __getitem__(self, rows: slice) -> Any:
        assert rows.stop - rows.start < self.shape[0], "the whole matrix was read"
        return self._counts[rows]


@pytest.mark.parametrize("kind", ["csc", "dense", "uint16", "int32", "int64", "float32", "disk"])
def test_bits_do_not_depend_on_how_counts_are_stored(kind: str) -> None:
    given = tissue(n_spots=20_000, n_genes=12, n_types=3)
    counts: Any = given.counts
    forms: dict[str, Any] = {"csc": counts.tocsc, "dense": counts.toarray, "disk": lambda: OnDisk(counts)}
    other = forms.get(kind, lambda: counts.astype(kind))()
    plain, stored = gene_moments(counts), gene_moments(other)
    np.testing.assert_array_equal(plain.mean, stored.mean)
    np.testing.assert_array_equal(plain.variance, stored.variance)
    few: dict[str, Any] = {"n_hvg": 8, "max_iter": 2, "spatial_method": "knn"}
    expected = flash_deconvolve(counts, given.reference, given.coords, **few)
    found = flash_deconvolve(other, given.reference, given.coords, **few)
    np.testing.assert_array_equal(found.beta, expected.beta)


def test_repeated_entries_of_a_sparse_matrix_are_summed() -> None:
    given = tissue()
    half = given.counts / 2
    twice = sparse.csr_matrix(
        (np.repeat(half.data, 2), np.repeat(half.indices, 2), 2 * half.indptr), shape=half.shape
    )
    before = twice.data.copy()
    fit = flash_deconvolve(twice, given.reference, given.coords)
    np.testing.assert_allclose(fit.beta, flash_deconvolve(*given.arrays).beta, atol=1e-12)
    np.testing.assert_array_equal(twice.data, before)


def test_samples_are_never_linked() -> None:
    """Two sections on the same coordinates: with shared genes each equals its fit alone."""
    given = tissue(n_spots=60)
    counts = sparse.vstack([given.counts, given.counts[::-1]]).tocsr()
    coords = np.concatenate([given.coords, given.coords])
    samples = np.repeat([0, 1], 60)
    graph = spatial_graph(coords, samples=samples)
    assert graph[:60, 60:].nnz == 0
    more = TIGHT | {"lambda_spatial": 5.0}
    both = flash_deconvolve(counts, given.reference, coords, samples=samples, **more)
    genes = both.representation.genes
    first = flash_deconvolve(*given.arrays, genes=genes, **more)
    np.testing.assert_allclose(both.proportions[:60], first.proportions, atol=1e-9)


def test_a_start_near_the_end_saves_iterations() -> None:
    given = tissue()
    cold = flash_deconvolve(*given.arrays)
    warm = flash_deconvolve(*given.arrays, start=cold.beta)
    assert warm.solution.n_iterations < cold.solution.n_iterations
    none = flash_deconvolve(*given.arrays, max_iter=0)
    assert none.solution.n_iterations == 0 and (none.beta == 0.25).all()


def test_drawn_hashes_can_be_handed_in() -> None:
    given = tissue()
    more: dict[str, Any] = {"gene_weighting": "countsketch", "sketch_dim": 16, "n_hvg": 30}
    drawn = flash_deconvolve(*given.arrays, random_state=3, **more)
    basis = drawn.representation.basis
    assert not isinstance(basis, np.ndarray)
    hashes = basis.bucket, np.sign(basis.value).astype(int)
    handed = flash_deconvolve(*given.arrays, hashes=hashes, **more)
    np.testing.assert_array_equal(drawn.beta, handed.beta)
    other = flash_deconvolve(*given.arrays, random_state=4, **more)
    assert not np.array_equal(drawn.beta, other.beta)
