"""Deconvolution on plain arrays: properties that hold for any data."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

import cytoripple as ct
from cytoripple._errors import CoordinatesError, InputError, LayerError
from tests.deconv.spots import Planted, planted


@pytest.fixture(scope="module")
def data() -> Planted:
    return planted()


@pytest.fixture(scope="module")
def signatures(data: Planted) -> ct.deconv.Signatures:
    return ct.deconv.signatures(data.cells, labels=data.labels)


def rmse(found: ct.deconv.Deconvolution, truth: np.ndarray) -> float:
    return float(np.sqrt(((found.proportions - truth) ** 2).mean()))


def test_planted_shares_are_found_and_neighbors_help(data: Planted, signatures: ct.deconv.Signatures) -> None:
    near = ct.kernels.deconvolve(data.counts, signatures, data.coords)
    alone = ct.kernels.deconvolve(data.counts, signatures, None)
    fast = ct.kernels.deconvolve(data.counts, signatures, data.coords, method="fast")
    assert rmse(near, data.truth) < rmse(alone, data.truth) < 0.06
    assert rmse(fast, data.truth) < 0.06
    np.testing.assert_allclose(near.proportions.sum(axis=1), 1, rtol=1e-5)
    assert near.residuals is not None
    assert np.median(near.residuals.spots) == pytest.approx(1, abs=0.3)
    assert near.pairs[0].counts_to_separate >= near.pairs[-1].counts_to_separate > 0


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_the_order_of_genes_and_types_does_not_matter(seed: int) -> None:
    data = planted(n=60, seed=seed)
    X = ct.deconv.signatures(data.cells, labels=data.labels)
    found = ct.kernels.deconvolve(data.counts, X, data.coords).proportions
    rng = np.random.default_rng(seed)
    order = rng.permutation(data.counts.shape[1])
    genes = ct.kernels.deconvolve(data.counts[:, order], X.take(order), data.coords).proportions
    np.testing.assert_allclose(genes, found, atol=1e-4)
    renamed = np.array([f"{9 - int(label[-1])}" for label in data.labels])
    types = ct.kernels.deconvolve(data.counts, data.cells, data.coords, labels=renamed).proportions
    np.testing.assert_allclose(types[:, ::-1], found, atol=1e-4)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_the_order_of_spots_does_not_matter_without_neighbors(seed: int) -> None:
    data = planted(n=60, seed=seed)
    X = ct.deconv.signatures(data.cells, labels=data.labels)
    order = np.random.default_rng(seed).permutation(60)
    for method in ("default", "fast"):
        found = ct.kernels.deconvolve(data.counts, X, None, method=method).proportions
        moved = ct.kernels.deconvolve(data.counts[order], X, None, method=method).proportions
        np.testing.assert_allclose(moved, found[order], atol=1e-4)


def test_with_neighbors_the_order_of_spots_matters_less_than_the_noise(
    data: Planted, signatures: ct.deconv.Signatures
) -> None:
    order = np.random.default_rng(3).permutation(len(data.coords))
    found = ct.kernels.deconvolve(data.counts, signatures, data.coords).proportions
    moved = ct.kernels.deconvolve(data.counts[order], signatures, data.coords[order]).proportions
    off = np.abs(moved - found[order])
    assert off.mean() < 1e-3
    assert off.max() < 0.03


def test_many_genes_are_merged_almost_without_loss() -> None:
    data = planted(n=150, n_genes=1500, depth=800, seed=4)
    X = ct.deconv.signatures(data.cells, labels=data.labels)
    found = ct.kernels.deconvolve(data.counts, X, data.coords)
    assert found.weights is not None
    assert found.weights.groups.max() < 512
    order = np.random.default_rng(1).permutation(1500)
    moved = ct.kernels.deconvolve(data.counts[:, order], X.take(order), data.coords)
    np.testing.assert_allclose(moved.proportions, found.proportions, atol=5e-3)
    few = np.argsort(-X.profile.max(axis=0))[:1000]
    exact = ct.kernels.deconvolve(data.counts[:, few], X.take(few), data.coords)
    assert rmse(found, data.truth) < rmse(exact, data.truth) + 0.003


def test_copies_of_a_spot_get_one_answer_without_neighbors(
    data: Planted, signatures: ct.deconv.Signatures
) -> None:
    twice = sparse.vstack([data.counts, data.counts], format="csr")
    found = ct.kernels.deconvolve(twice, signatures, None).proportions
    assert found[:200].tobytes() == found[200:].tobytes()
    once = ct.kernels.deconvolve(data.counts, signatures, None).proportions
    np.testing.assert_allclose(found[:200], once, atol=2e-3)  # gene weights are those of twice the counts


def test_a_tiny_kappa_leaves_every_spot_alone(data: Planted, signatures: ct.deconv.Signatures) -> None:
    learned = ct.kernels.deconvolve(data.counts, signatures, data.coords).weights
    options = {"weights": learned, "kappa": 1e-9}
    near = ct.kernels.deconvolve(data.counts, signatures, data.coords, **options).proportions
    order = np.random.default_rng(0).permutation(len(data.coords))
    other = ct.kernels.deconvolve(data.counts, signatures, data.coords[order], **options).proportions
    np.testing.assert_allclose(other, near, atol=1e-6)


def test_more_counts_of_one_mixture_weigh_more_against_the_neighbors(
    data: Planted, signatures: ct.deconv.Signatures
) -> None:
    """A pure spot amid others: the deeper it is, the nearer its answer is to what it holds."""
    pure = np.rint(signatures.profile[0] * 50)
    shares = []
    for depth in (1, 10, 100):
        counts = data.counts.toarray()
        counts[105] = depth * pure
        shares.append(ct.kernels.deconvolve(counts, signatures, data.coords).proportions[105, 0])
    assert shares[0] < shares[1] < shares[2]
    assert shares[2] > 0.95


def test_sections_alone_equal_sections_together(signatures: ct.deconv.Signatures, data: Planted) -> None:
    """Interleaved rows, equal coordinates: only the gene weights are shared."""
    other = planted(seed=5)
    counts = sparse.vstack([data.counts, other.counts], format="csr")
    coords = np.vstack([data.coords, other.coords])
    order = np.random.default_rng(2).permutation(len(coords))
    samples = np.repeat([3, 8], [len(data.coords), len(other.coords)])[order]
    together = ct.kernels.deconvolve(
        counts[order], signatures, coords[order], samples=samples, stability=True
    )
    for section in (3, 8):
        rows = order[samples == section]
        alone = ct.kernels.deconvolve(
            counts[rows], signatures, coords[rows], weights=together.weights, stability=True
        )
        assert alone.proportions.tobytes() == together.proportions[samples == section].tobytes()
        assert alone.stability is not None
        assert together.stability is not None
        assert alone.stability.tobytes() == together.stability[samples == section].tobytes()


def test_weights_from_a_sample_of_the_spots(
    monkeypatch: pytest.MonkeyPatch, data: Planted, signatures: ct.deconv.Signatures
) -> None:
    """More spots than are needed to learn gene weights: the same for sparse, dense and two threads."""
    monkeypatch.setattr("cytoripple.deconv.fit.SAMPLE", 120)
    monkeypatch.setattr("cytoripple.deconv.counts.BLOCK", 64)
    found = ct.kernels.deconvolve(data.counts, signatures, data.coords, threads=1)
    assert found.weights is not None
    assert found.weights.sampled
    assert rmse(found, data.truth) < 0.05
    for matrix in (data.counts.toarray(), data.counts.tocsc(), data.counts.astype(np.uint16)):
        again = ct.kernels.deconvolve(matrix, signatures, data.coords, threads=2)
        assert again.proportions.tobytes() == found.proportions.tobytes()
    seeded = ct.kernels.deconvolve(data.counts, signatures, data.coords, seed=1)
    assert seeded.proportions.tobytes() != found.proportions.tobytes()


def test_empty_spots_are_kept_as_nan_and_change_nothing_else(
    data: Planted, signatures: ct.deconv.Signatures, caplog: pytest.LogCaptureFixture
) -> None:
    counts = data.counts.toarray()
    counts[[0, 17]] = 0
    counts[:, 5] = 0
    found = ct.kernels.deconvolve(counts, signatures, data.coords, stability=True)
    assert np.flatnonzero(found.empty).tolist() == [0, 17]
    assert found.stability is not None
    assert np.isnan(found.stability[[0, 17]]).all()
    assert np.isfinite(np.delete(found.proportions, [0, 17], axis=0)).all()
    assert found.dominant()[0] == -1
    assert "2 of 200 spots have no counts" in caplog.text


@pytest.mark.parametrize("method", ["default", "fast"])
def test_common_genes_that_the_tissue_lacks_do_not_decide(
    data: Planted, signatures: ct.deconv.Signatures, method: str
) -> None:
    """As if they were not there; a gene without a probe is one."""
    counts = data.counts.toarray()
    kept = np.sort(np.argsort(-signatures.profile.mean(axis=0))[4:])
    counts[:, np.setdiff1d(np.arange(120), kept)] = 0
    for spots in (slice(None), slice(0, 20)):
        found = ct.kernels.deconvolve(counts[spots], signatures, data.coords[spots], method=method)
        expected = ct.kernels.deconvolve(
            counts[spots][:, kept], signatures.take(kept), data.coords[spots], method=method
        )
        np.testing.assert_allclose(found.proportions, expected.proportions, atol=2e-3)
        assert rmse(found, data.truth[spots]) < 0.06


def test_stability_shrinks_with_depth(data: Planted, signatures: ct.deconv.Signatures) -> None:
    shallow = ct.kernels.deconvolve(data.counts, signatures, data.coords, stability=True).stability
    more = planted(depth=4000).counts
    deep = ct.kernels.deconvolve(more, signatures, data.coords, stability=True).stability
    assert shallow is not None
    assert deep is not None
    assert 0 < deep.mean() < 0.6 * shallow.mean()


def test_a_platform_effect_is_found_and_undone() -> None:
    data = planted(n=300, n_genes=400, depth=2000, seed=7)
    factor = np.exp(np.random.default_rng(0).normal(0, 0.6, 400))
    X = ct.deconv.signatures(data.cells, labels=data.labels)
    counts = np.random.default_rng(1).poisson(data.counts.toarray() * factor)
    found = ct.kernels.deconvolve(counts, X, data.coords)
    assert found.weights is not None
    assert found.weights.platform_sd == pytest.approx(0.6, abs=0.08)
    assert np.corrcoef(np.log(found.weights.platform), np.log(factor))[0, 1] > 0.9
    assert rmse(found, data.truth) < rmse(
        ct.kernels.deconvolve(counts, X, data.coords, method="fast"), data.truth
    )


def test_genes_of_a_missing_type_are_listed() -> None:
    data = planted(n=300, n_genes=400, depth=2000, seed=9)
    kept = data.labels != "type 3"
    markers = np.arange(12)
    counts = data.counts.toarray()
    counts[:, markers] += np.random.default_rng(0).poisson(40 * data.truth[:, [3]], (300, 12))
    found = ct.kernels.deconvolve(counts, data.cells[kept], data.coords, labels=data.labels[kept])
    assert found.residuals is not None
    listed = set(found.residuals.missing_genes.tolist())
    assert len(listed & set(markers.tolist())) >= 8
    assert np.corrcoef(found.residuals.missing_excess, data.truth[:, 3])[0, 1] > 0.8


def test_three_dimensions_and_few_spots(
    data: Planted, signatures: ct.deconv.Signatures, caplog: pytest.LogCaptureFixture
) -> None:
    deep = np.column_stack([np.ones(len(data.coords)), data.coords])
    flat = ct.kernels.deconvolve(data.counts, signatures, data.coords)
    assert np.array_equal(ct.kernels.deconvolve(data.counts, signatures, deep).proportions, flat.proportions)
    for n in (1, 2, 5):
        found = ct.kernels.deconvolve(data.counts[:n], signatures, data.coords[:n])
        assert np.isfinite(found.proportions).all()
    assert "only 5 spots" in caplog.text


def test_tables_and_kinds_of_profiles(data: Planted) -> None:
    kinds = {
        kind: ct.deconv.signatures(data.cells, labels=data.labels, kind=kind)
        for kind in ("mean", "pooled", "depth_weighted")
    }
    half = (kinds["mean"].profile + kinds["pooled"].profile) / 2
    np.testing.assert_allclose(kinds["depth_weighted"].profile, half, rtol=1e-12)
    means = np.stack(
        [np.asarray(data.cells[data.labels == name].mean(axis=0)).ravel() for name in kinds["mean"].types]
    )
    np.testing.assert_allclose(kinds["pooled"].profile, means / means.sum(axis=1, keepdims=True), rtol=1e-12)
    for table in (means, means / means.sum(axis=1, keepdims=True)):
        assert rmse(ct.kernels.deconvolve(data.counts, table, data.coords), data.truth) < 0.06
    cells = ct.kernels.deconvolve(data.counts, kinds["mean"], data.coords).cell_proportions()
    np.testing.assert_allclose(cells.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "error", "sentence"),
    [
        (lambda Y, c: (Y - 1, c), LayerError, r"negative \(-1\) in row"),
        (lambda Y, c: (Y - Y.mean(), c), LayerError, "negative .* scaled"),
        (lambda Y, c: (np.where(Y > 20, np.nan, Y), c), LayerError, "not finite"),
        (lambda Y, c: (np.where(Y > 20, np.inf, Y), c), LayerError, "not finite"),
        (lambda Y, c: (np.log1p(Y), c), LayerError, "looks log-normalized"),
        (lambda Y, c: (Y / Y.sum(axis=1, keepdims=True) * 1e4, c), LayerError, "looks normalized"),
        (lambda Y, c: (Y.astype(str), c), LayerError, "dtype"),
        (lambda Y, c: (Y * 0, c), InputError, "no spot has a count"),
        (lambda Y, c: (Y[:0], c[:0]), InputError, "no spots"),
        (lambda Y, c: (Y[:, :50], c), InputError, "50 genes and X has 120"),
        (lambda Y, c: (Y, c[:10]), CoordinatesError, "10 rows"),
        (lambda Y, c: (Y, np.where(c == 3, np.nan, c)), CoordinatesError, "NaN"),
        (lambda Y, c: (Y, np.ones_like(c)), CoordinatesError, "the same coordinates"),
    ],
)
def test_bad_spots(
    data: Planted, signatures: ct.deconv.Signatures, change: object, error: type, sentence: str
) -> None:
    Y, coords = change(data.counts.toarray().astype(float), data.coords)  # type: ignore[operator]
    with pytest.raises(error, match=sentence):
        ct.kernels.deconvolve(Y, signatures, coords)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"method": "slow"}, "method is 'slow'"),
        ({"kappa": 0}, "kappa is 0"),
        ({"samples": [1, 2]}, "samples has 2 entries"),
        ({"graph": np.eye(3)}, "graph has shape"),
        ({"graph": sparse.csr_matrix(([1], ([0], [1])), shape=(200, 200))}, "not symmetric"),
    ],
)
def test_bad_arguments(
    data: Planted, signatures: ct.deconv.Signatures, options: dict[str, object], sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        ct.kernels.deconvolve(data.counts, signatures, data.coords, **options)


def test_bad_references(data: Planted) -> None:
    def made(cells: object, labels: object) -> ct.deconv.Signatures:
        return ct.deconv.signatures(cells, labels=labels)

    one = np.where(np.arange(80) == 0, "rare", data.labels)
    with pytest.raises(InputError, match="'rare' has a single cell"):
        made(data.cells, one)
    with pytest.raises(InputError, match="1 type"):
        made(data.cells, ["T"] * 80)
    with pytest.raises(InputError, match="the same name"):
        made(data.cells, np.where(data.labels == "type 0", "Type 1 ", data.labels))
    with pytest.raises(InputError, match="labels has 3 entries"):
        made(data.cells, ["a", "b", "c"])
    with pytest.raises(InputError, match="have the same profile"):
        ct.deconv.signatures(np.ones((2, 20)))
    with pytest.raises(LayerError, match="log-normalized"):
        made(np.log1p(data.cells.toarray()), data.labels)
    with pytest.raises(InputError, match="kind is 'median'"):
        ct.deconv.signatures(data.cells, labels=data.labels, kind="median")
    with pytest.raises(InputError, match="'type_1' has no counts"):
        ct.deconv.signatures([[1.0, 2.0], [0.0, 0.0]])
