"""Variance of counting noise on log-normalized expression."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse

from cytoripple import _core
from cytoripple._errors import InputError
from cytoripple.kernels import counting_noise_variance

Tissue = dict[str, Any]


def tissue(seed: int = 0, n: int = 160, genes: int = 30) -> Tissue:
    """Make counts of two clusters with a gradient, and their log-normalized values."""
    rng = np.random.default_rng(seed)
    clusters = np.arange(n) % 2
    rates = rng.gamma(1.0, 3.0, size=(2, genes))[clusters] * np.exp(
        0.5 * rng.normal(size=(n, 1)) * (np.arange(genes) % 3)
    )
    counts = rng.poisson(rates)
    counts[:, 0] += 1
    row_sums = counts.sum(1).astype(float)
    scale = float(np.median(row_sums))
    norm = np.log1p(counts / row_sums[:, None] * scale)
    return {"norm": norm, "factors": scale / row_sums, "clusters": clusters}


def test_the_exact_sum_agrees_with_simulated_counts() -> None:
    """Within 2 % of 100,000 Poisson draws, over the whole range of means and depths."""
    rng = np.random.default_rng(4)
    means = np.array([[0.05, 0.3, 1.0, 4.0, 15.0, 60.0], [0.1, 0.7, 2.0, 8.0, 30.0, 79.0]])
    factors = np.array([0.4, 2.5])
    found = _core.log_poisson_variance(means, factors)
    draws = rng.poisson(means, size=(100_000, *means.shape))
    simulated = np.log1p(factors[:, None] * draws).var(0)
    np.testing.assert_allclose(found, simulated, rtol=0.02)


def test_the_exact_sum_agrees_with_the_plain_sum() -> None:
    """The recurrence that stops early gives the sum over all counts from 0 to 120."""
    from scipy.stats import poisson

    means, factor = np.geomspace(1e-4, 200, 60)[None, :], np.array([1.7])
    values = np.log1p(factor * np.arange(121))
    weights = poisson.pmf(np.arange(121), np.clip(means[0], 1e-3, 80)[:, None])
    weights /= weights.sum(1, keepdims=True)
    expected = weights @ values**2 - (weights @ values) ** 2
    np.testing.assert_allclose(_core.log_poisson_variance(means, factor)[0], expected, rtol=2e-6, atol=1e-9)


def test_the_estimate_is_the_variance_at_the_smoothed_mean() -> None:
    """A plain NumPy version: neighbors in principal components of the cluster, mean, back to counts."""
    t = tissue(genes=24)  # so few that the principal components are exact
    found = counting_noise_variance(**t, n_neighbors=8, n_components=5)
    for c in (0, 1):
        here = np.flatnonzero(t["clusters"] == c)
        norm = t["norm"][here]
        left, lengths, _ = np.linalg.svd(norm - norm.mean(0), full_matrices=False)
        points = left[:, :5] * lengths[:5]
        distance = np.linalg.norm(points[:, None] - points[None], axis=2)
        nearest = np.argsort(distance, axis=1)[:, :8]
        factors = t["factors"][here]
        means = np.expm1(norm[nearest].mean(1)) / factors[:, None]
        expected = _core.log_poisson_variance(means, factors)
        np.testing.assert_allclose(found[here], expected, rtol=1e-4)


def test_the_estimate_is_on_the_safe_side_of_a_known_noise() -> None:
    """Cells of one rate: near the variance of repeated counting for large counts, below it for small ones.

    The mean of logarithms is below the logarithm of the mean, so the expected count of a rare gene is
    underestimated, and its noise with it.
    """
    rng = np.random.default_rng(2)
    rates = np.geomspace(0.2, 20, 40)
    counts = rng.poisson(rates, size=(600, 40))
    row_sums = np.full(600, rates.sum())
    norm = np.log1p(counts)
    found = counting_noise_variance(norm, float(rates.sum()) / row_sums, np.zeros(600, dtype=int))
    ratio = found.mean(0) / norm.var(0)
    assert np.median(ratio[rates < 1]) < 0.9 and ratio.min() > 0.5
    assert abs(np.median(ratio[rates > 5]) - 1) < 0.15


def test_genes_sparse_layers_and_threads_change_nothing() -> None:
    """A subset of genes, CSR input and one or two threads give the same numbers."""
    t = tissue()
    full = counting_noise_variance(**t, threads=1)
    assert full.dtype == np.float32 and full.shape == t["norm"].shape and (full > 0).all()
    np.testing.assert_array_equal(counting_noise_variance(**t, threads=2), full)
    part = counting_noise_variance(**t, genes=[5, 2, 17])
    np.testing.assert_array_equal(part, full[:, [5, 2, 17]])
    sparse = t | {name: scipy.sparse.csr_matrix(t[name]) for name in ("norm",)}
    np.testing.assert_allclose(counting_noise_variance(**sparse), full, rtol=1e-5)


def test_cells_of_other_samples_and_clusters_are_never_averaged() -> None:
    """A section gives the same estimate alone; cells in no cluster get no noise."""
    t = tissue()
    samples = (np.arange(160) // 80).astype(int)
    together = counting_noise_variance(**t, samples=samples)
    alone = {name: value[samples == 1] if np.ndim(value) else value for name, value in t.items()}
    np.testing.assert_array_equal(together[samples == 1], counting_noise_variance(**alone))
    t["clusters"] = np.where(np.arange(160) < 20, -1, t["clusters"])
    found = counting_noise_variance(**t)
    assert not found[:20].any() and found[20:].all()


def test_a_cluster_smaller_than_the_neighborhood_is_averaged_whole() -> None:
    """Five cells, and a single cell, have an estimate too."""
    t = tissue(n=12)
    t["clusters"] = np.array([0] * 6 + [1] * 5 + [2])
    found = counting_noise_variance(**t)
    factors = t["factors"]
    mean = np.expm1(t["norm"][6:11].mean(0, keepdims=True)) / factors[6:11, None]
    np.testing.assert_allclose(found[6:11], _core.log_poisson_variance(mean, factors[6:11]), rtol=1e-5)
    assert found[11].all()


def changed(name: str, value: Any) -> Tissue:
    return tissue() | {name: value}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (changed("factors", np.zeros(160)), "above 0"),
        (changed("factors", np.ones(3)), "one per cell"),
        (changed("clusters", np.zeros(4)), "clusters has 4 entries"),
        (changed("genes", [99]), "genes"),
        (changed("n_neighbors", 0), "n_neighbors"),
        (changed("n_components", 1.5), "n_components"),
        (changed("norm", np.zeros(5)), "matrix"),
    ],
)
def test_bad_input_is_named(arguments: Tissue, message: str) -> None:
    """Every argument that cannot be used is named."""
    with pytest.raises(InputError, match=message):
        counting_noise_variance(**arguments)
