"""Screens that cannot be evaluated are refused in one sentence that names what to do."""

from __future__ import annotations

from collections.abc import Callable

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import cytoripple as ct
from tests.vc.screens import CONTROL, dense, labels_of, screen, with_values

Change = Callable[[ad.AnnData], ad.AnnData]


def values(change: Callable[[np.ndarray], np.ndarray], *, compressed: bool = False) -> Change:
    def apply(adata: ad.AnnData) -> ad.AnnData:
        X = change(dense(adata).copy())
        return with_values(adata, sparse.csr_matrix(X) if compressed else X)

    return apply


def with_nan(X: np.ndarray) -> np.ndarray:
    X[3, 2] = np.nan
    return X


def labels(change: Callable[[pd.Series], pd.Series]) -> Change:
    def apply(adata: ad.AnnData) -> ad.AnnData:
        out = adata.copy()
        out.obs["target_gene"] = change(out.obs["target_gene"].astype(object))
        return out

    return apply


def one_cell_of(adata: ad.AnnData) -> ad.AnnData:
    drop = np.flatnonzero(labels_of(adata) == "g02")[1:]
    return adata[np.delete(np.arange(adata.n_obs), drop)].copy()


def renamed_gene(adata: ad.AnnData) -> ad.AnnData:
    out = adata.copy()
    out.var_names = ["other", *out.var_names[1:]]
    return out


def twice_the_same_gene(adata: ad.AnnData) -> ad.AnnData:
    out = adata.copy()
    out.var_names = [out.var_names[1], *out.var_names[1:]]
    return out


BAD: dict[str, tuple[Change, str]] = {
    "counts": (values(lambda X: np.round(np.expm1(X))), "counts.*log1p"),
    "normalized without logarithm": (values(np.expm1), "Take the logarithm"),
    "scaled": (values(lambda X: X - 1), "negative"),
    "nan": (values(with_nan), "NaN or infinite"),
    "nan in sparse": (values(with_nan, compressed=True), "NaN or infinite"),
    "infinite": (values(lambda X: X / 0.0 if X[0, 0] else X + np.inf), "NaN or infinite"),
    "zeros": (values(np.zeros_like), "zeros only"),
    "other gene": (renamed_gene, "genes of .* are missing.*'(g00|other)'"),
    "other order": (lambda adata: adata[:, ::-1].copy(), "reorder=True"),
    "repeated gene": (twice_the_same_gene, "more than once"),
    "no control": (labels(lambda s: s.replace({CONTROL: "ctrl"})), "no cell has the reference label"),
    "only control": (lambda adata: adata[labels_of(adata) == CONTROL].copy(), "only 'non-targeting' cells"),
    "one side only": (labels(lambda s: s.replace({"g01": "new"})), "perturbations of .* are missing in"),
    "empty group": (lambda adata: adata[labels_of(adata) != "g01"].copy(), "perturbations of .* are missing"),
    "one cell": (one_cell_of, "single cell.*'g02'"),
    "missing column": (lambda adata: with_column(adata, "gene"), "no column 'target_gene'"),
    "missing label": (labels(lambda s: s.where(s != "g01", None)), "no value for 40"),
    "empty category": (
        labels(lambda s: s.astype("category").cat.add_categories(["g99"])),
        "no cell is in 1 groups of .*'g99'",
    ),
    "no cells": (lambda adata: adata[:0].copy(), "no value|there is nothing|no cell is in"),
}


def with_column(adata: ad.AnnData, name: str) -> ad.AnnData:
    out = adata.copy()
    out.obs = out.obs.rename(columns={"target_gene": name})
    return out


@pytest.mark.filterwarnings("ignore:divide by zero")
@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("side", ["real", "pred"])
@pytest.mark.parametrize("name", list(BAD))
def test_refused(name: str, side: str) -> None:
    change, words = BAD[name]
    sides = {"real": screen(), "pred": screen()}
    sides[side] = change(sides[side])
    with pytest.raises(ct.CytorippleError, match=words) as caught:
        ct.tl.evaluate(sides["real"], sides["pred"])
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, ValueError)


def test_the_same_genes_in_another_order_are_reordered_when_asked() -> None:
    real, pred = screen(), screen()
    expected = ct.tl.evaluate(real, pred, profile="vcc")
    found = ct.tl.evaluate(real, pred[:, ::-1].copy(), profile="vcc", reorder=True)
    pd.testing.assert_frame_equal(found.per_perturbation, expected.per_perturbation)


def test_single_cells_per_label_are_enough_for_means() -> None:
    real = one_cell_of(screen())
    assert len(ct.tl.evaluate(real, real, profile="anndata").per_perturbation) == 6


def test_unknown_words_are_refused() -> None:
    real = screen()
    with pytest.raises(ct.CytorippleError, match="profile is 'ful'; nearest: 'full'"):
        ct.tl.evaluate(real, real, profile="ful")  # type: ignore[arg-type]
    with pytest.raises(ct.CytorippleError, match="compat"):
        ct.tl.evaluate(real, real, compat="cell-eval")  # type: ignore[arg-type]
    with pytest.raises(ct.CytorippleError, match="AnnData"):
        ct.tl.evaluate(dense(real), real)  # type: ignore[arg-type]
    with pytest.raises(ct.CytorippleError, match="layer 'raw'"):
        ct.tl.rank_genes_perturbations(real, layer="raw")


def test_nothing_in_the_input_is_changed() -> None:
    real, pred = screen(), screen(seed=4)
    before = real.X.copy()
    ct.tl.evaluate(real, pred, profile="de")
    assert (before != real.X).nnz == 0
    assert not real.uns
