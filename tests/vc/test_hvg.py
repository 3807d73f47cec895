"""Both rules for one gene list of several data sets, worked out by hand."""

import pandas as pd
import pytest

import cytoripple as ct
from cytoripple._errors import FileError, GeneMatchError, InputError
from cytoripple.vc.hvg import hvg_table, select_hvgs


def table(flagged, **variances):
    names = list(variances)
    return pd.DataFrame(
        {
            "gene_name": names,
            "variances_normalized": list(variances.values()),
            "highly_variable": [name in flagged for name in names],
        }
    )


ONE = table("ABD", A=5.0, B=4.0, C=3.0, D=2.0)
TWO = table("BDE", A=1.0, B=2.0, D=9.0, E=8.0)


def test_intersection_then_count():
    # ranks of ONE: A 1, B 2, C 3, D 4, E 6 (absent); of TWO: D 1, E 2, B 3, A 4, C 6
    assert select_hvgs([ONE, TWO], 5) == ["B", "D", "A", "E"]
    assert select_hvgs([ONE, TWO], 2) == ["B", "D"]


def test_mean_rank():
    assert select_hvgs([ONE, TWO], 5, "mean_rank") == ["A", "B", "D", "E", "C"]


def test_presence_and_forced_genes():
    assert select_hvgs([ONE, TWO], 5, "mean_rank", require_present="all") == ["A", "B", "D"]
    assert select_hvgs([ONE, TWO], 5, "mean_rank", require_present=2) == ["A", "B", "D"]
    assert select_hvgs([ONE, TWO], 3, force_include=["C", "D"]) == ["C", "D", "B"]
    assert select_hvgs([ONE, TWO], 1, force_include=["C", "E"]) == ["C", "E"]


def test_order_of_tables_and_files_do_not_matter(tmp_path):
    ONE.to_csv(tmp_path / "one.csv")
    assert select_hvgs([TWO, tmp_path / "one.csv"], 4) == select_hvgs([ONE, TWO], 4)


def test_wrong_tables(tmp_path):
    with pytest.raises(InputError, match="no column 'highly_variable'"):
        select_hvgs([ONE.drop(columns="highly_variable")])
    with pytest.raises(InputError, match="names 'A' twice"):
        select_hvgs([pd.concat([ONE, ONE])])
    with pytest.raises(InputError, match="True or False"):
        select_hvgs([ONE.assign(highly_variable="maybe")])
    with pytest.raises(FileNotFoundError):
        select_hvgs([tmp_path / "none.csv"])
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(FileError, match="no csv"):
        select_hvgs([tmp_path / "empty.csv"])


def test_wrong_arguments():
    for wrong in ({"n_top": 0}, {"method": "best"}, {"require_present": 3}, {"require_present": "most"}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            select_hvgs([ONE, TWO], **wrong)
    with pytest.raises(InputError, match="no table"):
        select_hvgs([])
    with pytest.raises(GeneMatchError, match="'Z' of force_include"):
        select_hvgs([ONE], force_include=["Z"])


def test_scanpy_ranks_one_data_set():
    pytest.importorskip("scanpy")
    adata, _ = ct.datasets.simulate_screen(60, 3, 20, 50)
    adata.X = adata.layers["lognorm"]
    made = hvg_table(adata, n_top=10)
    assert made["highly_variable"].sum() == 10
    assert len(select_hvgs([made], 10)) == 10
