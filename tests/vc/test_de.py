"""Differential expression of a screen: table, scanpy's layout, real knock-outs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import cytoripple as ct
from cytoripple._errors import InputError
from tests.vc.screens import CONTROL, dense, labels_of, screen, with_values


def test_the_table_has_one_line_per_perturbation_and_gene() -> None:
    adata = screen()
    table = ct.tl.rank_genes_perturbations(adata, key_added=None)
    assert "rank_genes_groups" not in adata.uns
    assert len(table) == 6 * adata.n_vars
    assert list(table["target"].unique()) == [f"g{k:02d}" for k in range(6)]
    assert list(table["feature"][: adata.n_vars]) == list(adata.var_names)
    row = table[(table["target"] == "g02") & (table["feature"] == "g02")].iloc[0]
    x, labels = dense(adata).astype(float)[:, 2], labels_of(adata)
    target, reference = (np.expm1(x[labels == label].mean()) for label in ("g02", CONTROL))
    assert row["target_mean"] == pytest.approx(target, rel=1e-12)
    assert row["log2_fold_change"] == pytest.approx(np.log2(target / reference), rel=1e-12)
    assert row["percent_change"] == pytest.approx(target / reference - 1, rel=1e-12)
    assert row["fdr"] < 1e-3


def test_scanpys_layout_holds_the_same_tests_by_falling_score() -> None:
    """Field by field what ``scanpy.get.rank_genes_groups_df`` reads."""
    adata = screen()
    table = ct.tl.rank_genes_perturbations(adata).set_index(["target", "feature"])
    stored = adata.uns["rank_genes_groups"]
    assert stored["params"] == {
        "groupby": "target_gene",
        "reference": CONTROL,
        "method": "wilcoxon",
        "use_raw": False,
        "layer": None,
        "corr_method": "benjamini-hochberg",
    }
    fields = ("names", "scores", "pvals", "pvals_adj", "logfoldchanges")
    frame = pd.concat([pd.DataFrame(stored[name]) for name in fields], axis=1, keys=fields)
    assert stored["names"].dtype.names == tuple(table.index.levels[0])
    for target in stored["names"].dtype.names:
        mine = frame.xs(target, axis=1, level=1)
        assert (np.diff(mine["scores"]) <= 0).all()
        expected = table.loc[target].loc[mine["names"]]
        np.testing.assert_array_equal(mine["pvals"], expected["p_value"])
        np.testing.assert_array_equal(mine["pvals_adj"], expected["fdr"])
        np.testing.assert_allclose(mine["logfoldchanges"], expected["log2_fold_change"], rtol=1e-6)
        up = expected["statistic"] > expected["target_membership"] * expected["ref_membership"] / 2
        assert (mine["scores"].to_numpy() > 0).tolist() == up.tolist()


def test_genes_below_the_filter_are_not_tested() -> None:
    adata = screen()
    everything = ct.tl.rank_genes_perturbations(adata, key_added=None)
    table = ct.tl.rank_genes_perturbations(adata, cpm_filter=5000.0)
    assert 0 < len(table) < len(everything)
    both = table.merge(everything, on=["target", "feature"], suffixes=("", "_all"))
    assert (both["p_value"] == both["p_value_all"]).all()
    names = adata.uns["rank_genes_groups"]["names"]
    assert sum((names[target] != "").sum() for target in names.dtype.names) == len(table)


def test_on_target_and_all() -> None:
    adata = screen()
    adata.obs["target_gene"] = adata.obs["target_gene"].replace({"g05": "unmeasured"})
    table = ct.tl.rank_genes_perturbations(adata, key_added=None)
    own = ct.tl.rank_genes_perturbations(adata, mode="on_target", key_added=None)
    assert list(own["target"]) == list(own["feature"]) == [f"g{k:02d}" for k in range(5)]
    same = table[table["target"] == table["feature"]]
    assert (own["p_value"].to_numpy() == same["p_value"].to_numpy()).all()
    assert (own["log2_fold_change"] < -1).all()
    rest = ct.tl.rank_genes_perturbations(adata, mode="all", key_added=None)
    assert set(rest["target"]) == set(labels_of(adata))
    assert (rest["target_membership"] + rest["ref_membership"] == adata.n_obs).all()


def test_storage_and_threads_change_no_bit() -> None:
    adata = screen()
    expected = ct.tl.rank_genes_perturbations(adata, threads=1)
    for X in (dense(adata), np.asfortranarray(dense(adata)), sparse.csc_matrix(adata.X)):
        for threads in (1, 3):
            found = ct.tl.rank_genes_perturbations(with_values(adata, X), threads=threads)
            pd.testing.assert_frame_equal(found, expected, check_exact=True)


def test_counts_are_refused_unless_announced() -> None:
    adata = screen()
    counts = with_values(adata, np.round(np.expm1(dense(adata))))
    with pytest.raises(InputError, match="counts"):
        ct.tl.rank_genes_perturbations(counts)
    assert len(ct.tl.rank_genes_perturbations(counts, is_log1p=False)) == 6 * adata.n_vars
    with pytest.raises(InputError, match="fractions"):
        ct.tl.rank_genes_perturbations(adata, is_log1p=False)
