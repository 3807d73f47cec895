"""Spatial folds: whole blocks, balanced, seeded, never across samples."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from cytoripple.grn.folds import cell_spacing, spatial_folds


def grid(side: int, spacing: float = 15.0) -> NDArray[np.float64]:
    return spacing * np.stack(np.meshgrid(np.arange(side), np.arange(side)), axis=-1).reshape(-1, 2).astype(
        float
    )


@settings(deadline=None)  # the first example imports scipy
@given(
    arrays(np.float64, st.tuples(st.integers(1, 60), st.sampled_from([2, 3])), elements=st.floats(-1e4, 1e4)),
    st.integers(2, 7),
    st.integers(0, 3),
)
def test_every_cell_has_one_fold_and_the_seed_decides(
    xy: NDArray[np.float64], n_folds: int, seed: int
) -> None:
    """Any coordinates, also repeated ones, give valid and repeatable folds."""
    folds = spatial_folds(xy, n_folds=n_folds, seed=seed)
    assert folds.shape == (len(xy),)
    assert folds.dtype == np.int64
    assert ((folds >= 0) & (folds < n_folds)).all()
    assert (folds == spatial_folds(xy, n_folds=n_folds, seed=seed)).all()


def test_blocks_are_six_spacings_wide_and_whole() -> None:
    """On a regular grid every block of 6 x 6 cells lies in one fold."""
    xy = grid(36)
    assert cell_spacing(xy) == 15.0
    folds = spatial_folds(xy, n_folds=5, seed=0).reshape(6, 6, 6, 6)  # block row, row, block column, column
    assert (folds == folds[:, :1, :, :1]).all()
    assert len(np.unique(folds)) == 5


def test_folds_have_nearly_equal_size() -> None:
    sizes = np.bincount(spatial_folds(grid(60), n_folds=5, seed=1))
    assert sizes.max() - sizes.min() <= 36, "differ by at most one block"


def test_another_seed_gives_other_folds() -> None:
    assert (spatial_folds(grid(40), seed=0) != spatial_folds(grid(40), seed=1)).any()


def test_neighbors_share_a_fold_far_more_often_than_by_chance() -> None:
    folds = spatial_folds(grid(60), n_folds=5, seed=3).reshape(60, 60)
    assert (folds[:, 1:] == folds[:, :-1]).mean() > 0.8


def test_each_sample_is_split_by_itself() -> None:
    """Samples at the same place do not influence each other, and each reaches every fold."""
    xy = np.concatenate([grid(30), grid(30)])
    samples = np.repeat([0, 1], 900)
    folds = spatial_folds(xy, seed=2, samples=samples)
    for sample in (0, 1):
        assert len(np.unique(folds[samples == sample])) == 5
    shuffled = np.random.default_rng(0).permutation(len(xy))
    again = spatial_folds(xy[shuffled], seed=2, samples=samples[shuffled])
    assert (again == folds[shuffled]).all(), "the order of the cells does not matter"


def test_a_small_section_gets_four_blocks_per_fold() -> None:
    """Nine blocks of six spacings for five folds would take whole regions out of the training cells."""
    xy = grid(16)
    folds = spatial_folds(xy, n_folds=5, seed=0).reshape(16, 16)
    sizes = np.bincount(folds.reshape(-1))
    assert sizes.max() - sizes.min() <= 16
    assert (folds[:, 1:] == folds[:, :-1]).mean() > 0.6
    assert all(np.ptp(np.argwhere(folds == fold), axis=0).min() >= 8 for fold in range(5))


@pytest.mark.parametrize("n_cells", [1, 2, 7, 20])
def test_a_tiny_tissue_gets_smaller_blocks(n_cells: int) -> None:
    xy = np.random.default_rng(0).uniform(0, 30, (n_cells, 2))
    folds = spatial_folds(xy, n_folds=5, seed=0)
    assert len(np.unique(folds)) >= min(n_cells, 2)
