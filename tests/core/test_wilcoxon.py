"""Rank-sum tests against SciPy, and what must not change their result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import sparse, stats

from cytoripple._errors import InputError
from cytoripple.kernels import benjamini_hochberg, wilcoxon

LABELS = np.array(["c"] * 40 + ["a"] * 21 + ["b"] * 30 + ["d"])


def expression(seed: int = 0, n_genes: int = 12) -> NDArray[np.float32]:
    """Values with many ties and zeros, a constant gene, a silent gene and a gene with negative values."""
    rng = np.random.default_rng(seed)
    shape = (len(LABELS), n_genes)
    x = np.round(rng.gamma(1.0, 1.0, shape) * (rng.random(shape) < 0.5), 1).astype(np.float32)
    x[:, 0], x[:, 1] = 0, 2.5
    x[:, 2] -= 1
    return x


def scipy_test(
    x: NDArray[Any], mine: NDArray[np.bool_], others: NDArray[np.bool_], continuity: bool = True
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    values = x.astype(np.float64)
    found = stats.mannwhitneyu(
        values[mine], values[others], axis=0, method="asymptotic", use_continuity=continuity
    )
    return found.statistic, np.where(np.isnan(found.pvalue), 1.0, found.pvalue)


@pytest.mark.parametrize("continuity", [True, False])
def test_every_group_is_compared_with_the_reference(continuity: bool) -> None:
    x = expression()
    statistic, p_value = wilcoxon(x, LABELS, reference="c", continuity=continuity)
    assert statistic.shape == p_value.shape == (3, x.shape[1])
    for row, label in enumerate(["a", "b", "d"]):
        expected = scipy_test(x, label == LABELS, LABELS == "c", continuity)
        np.testing.assert_array_equal(statistic[row], expected[0])
        np.testing.assert_allclose(p_value[row], expected[1], rtol=1e-12)


def test_all_compares_each_label_with_the_rest() -> None:
    x = expression(1)
    statistic, p_value = wilcoxon(sparse.csr_matrix(x), LABELS, reference=None, mode="all")
    for row, label in enumerate(["a", "b", "c", "d"]):
        expected = scipy_test(x, label == LABELS, label != LABELS)
        np.testing.assert_array_equal(statistic[row], expected[0])
        np.testing.assert_allclose(p_value[row], expected[1], rtol=1e-12)


def test_on_target_tests_one_gene_per_group() -> None:
    x = expression(2)
    whole = wilcoxon(x, LABELS, reference="c")
    some = wilcoxon(x, LABELS, reference="c", mode="on_target", targets=[5, -1, 3])
    for all_values, values in zip(whole, some, strict=True):
        assert values[0, 5] == all_values[0, 5]
        assert values[2, 3] == all_values[2, 3]
        assert np.isfinite(values).sum() == 2


def test_far_tails_keep_their_digits() -> None:
    """A p-value near the smallest number still agrees with the normal tail."""
    for n in (50, 400, 900):
        x = np.arange(2.0 * n)[:, None]
        groups = np.repeat(["c", "a"], n)
        p_value = wilcoxon(x, groups, reference="c").p_value
        mean, sd = n * n / 2, np.sqrt(n * n * (2 * n + 1) / 12)
        expected = 2 * stats.norm.sf((n * n - mean - 0.5) / sd)
        np.testing.assert_allclose(p_value, expected, rtol=1e-12)
    assert 0 < p_value[0, 0] < 1e-290


def test_storage_and_threads_change_no_bit(tmp_path: Path) -> None:
    x = expression(3, n_genes=40)
    np.save(tmp_path / "x.npy", x)
    forms: list[Any] = [
        np.asfortranarray(x),
        np.load(tmp_path / "x.npy", mmap_mode="r"),
        x.astype(np.float64),
        np.repeat(x, 2, axis=1)[:, ::2],
        sparse.csr_matrix(x),
        sparse.csc_matrix(x),
        sparse.csr_array(x.astype(np.float64)),
        sparse.coo_matrix(x),
    ]
    full = np.indices(x.shape)[1]  # every zero is stored
    starts = np.arange(0, x.size + 1, x.shape[1])
    forms.append(sparse.csr_matrix((x.ravel(), full.ravel(), starts), shape=x.shape))
    long = sparse.csr_matrix(x)
    long.indices, long.indptr = long.indices.astype(np.int64), long.indptr.astype(np.int64)
    forms.append(long)
    for mode in ("ref", "all"):
        expected = wilcoxon(x, LABELS, reference="c", mode=mode, threads=1)
        for form in forms:
            for threads in (1, 2, 3):
                found = wilcoxon(form, LABELS, reference="c", mode=mode, threads=threads)
                assert all((a == b).all() for a, b in zip(found, expected, strict=True))


def test_unsorted_and_repeated_entries_are_brought_into_order_without_touching_the_input() -> None:
    x = sparse.csr_matrix(([1.0, 2.0, 3.0, 4.0], [1, 0, 0, 0], [0, 2, 4]), shape=(2, 2))
    before = x.indices.copy()
    found = wilcoxon(x, ["c", "a"], reference="c")
    assert found.statistic.tolist() == [[1.0, 0.0]]
    np.testing.assert_array_equal(x.indices, before)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 60), st.integers(2, 60), st.booleans())
def test_ranks_decide_alone(seed: int, n1: int, n2: int, single: bool) -> None:
    """A rising map changes nothing; swapped roles give U1 + U2 = n1 n2 and the same p."""
    rng = np.random.default_rng(seed)
    x = np.round(rng.normal(0, 2, (n1 + n2, 3)), 1).astype(np.float32 if single else np.float64)
    groups = rng.permutation(np.repeat(["a", "b"], [n1, n2]))
    there, back = wilcoxon(x, groups, reference="b"), wilcoxon(x, groups, reference="a")
    np.testing.assert_array_equal(there.statistic + back.statistic, n1 * n2)
    np.testing.assert_allclose(there.p_value, back.p_value, rtol=1e-13)
    mapped = wilcoxon(np.exp(x.astype(np.float64)), groups, reference="b")
    np.testing.assert_array_equal(mapped.p_value, there.p_value)


def test_long_genes_take_the_radix_sort(rng: np.random.Generator) -> None:
    x = np.where(rng.random((3000, 2)) < 0.7, rng.normal(0, 1, (3000, 2)).round(2), 0.0)
    groups = rng.choice(["c", "a", "b"], 3000)
    for values in (x, x.astype(np.float32)):
        found = wilcoxon(values, groups, reference="c")
        for row, label in enumerate("ab"):
            expected = scipy_test(values, groups == label, groups == "c")
            np.testing.assert_array_equal(found.statistic[row], expected[0])
            np.testing.assert_allclose(found.p_value[row], expected[1], rtol=1e-12)


def test_cells_without_a_label_take_no_part() -> None:
    x = expression()
    groups = np.array([None if label == "d" else label for label in LABELS], dtype=object)
    expected = wilcoxon(x[LABELS != "d"], LABELS[LABELS != "d"], reference="c")
    np.testing.assert_array_equal(wilcoxon(x, groups, reference="c").p_value, expected.p_value)
    numbers = np.array([{"c": 0, "a": 1, "b": 2, "d": 3}[label] for label in LABELS])
    np.testing.assert_array_equal(
        wilcoxon(x, numbers, reference=0).p_value, wilcoxon(x, LABELS, reference="c").p_value
    )


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"groups": LABELS[:-1]}, "one per cell"),
        ({"reference": "control"}, "no cell has the reference label 'control'"),
        ({"reference": None}, "needs the label of the reference"),
        ({"groups": np.full(len(LABELS), "c")}, "at least one other"),
        ({"mode": "rest"}, "mode is 'rest'"),
        ({"mode": "on_target"}, "targets"),
        ({"X": np.full((len(LABELS), 2), np.nan)}, "not finite"),
        ({"X": sparse.csc_matrix(np.full((len(LABELS), 2), np.inf))}, "not finite"),
        ({"X": np.zeros(3)}, "dimensions"),
        ({"X": np.full((len(LABELS), 2), "x")}, "real numbers"),
    ],
)
def test_what_cannot_be_tested_is_refused_in_one_sentence(change: dict[str, Any], word: str) -> None:
    arguments: dict[str, Any] = {"X": expression(), "groups": LABELS, "reference": "c"} | change
    with pytest.raises(ValueError, match=word):
        wilcoxon(arguments.pop("X"), arguments.pop("groups"), **arguments)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_adjusted_p_values_follow_the_definition(values: list[float]) -> None:
    p = np.array(values)
    q = benjamini_hochberg(p)
    np.testing.assert_allclose(q, stats.false_discovery_control(p), rtol=1e-13, atol=0)
    assert (np.diff(q[np.argsort(p, kind="stable")]) >= 0).all()


def test_adjustment_is_by_line_and_skips_missing_tests() -> None:
    p = np.array([[0.01, np.nan, 0.04], [0.5, 0.001, 1.0]])
    q = benjamini_hochberg(p)
    np.testing.assert_allclose(q, [[0.02, np.nan, 0.04], [0.75, 0.003, 1.0]])
    with pytest.raises(InputError, match="outside 0 to 1"):
        benjamini_hochberg([0.5, 1.5])
