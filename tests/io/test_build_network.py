"""Networks made from CellOracle, CellChat, LIANA and NicheNet tables."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from cytoripple._errors import InputError, NetworkError, RunError
from cytoripple.io.build_network import base_grn_edges, build_network
from cytoripple.io.network import read_network
from tests.conftest import golden_root, real_file

FOLDER = golden_root() / "training"
has_golden = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no golden set in {FOLDER}")


def base_grn() -> pd.DataFrame:
    """Wide table: Vim has two peaks, and one peak has no gene."""
    return pd.DataFrame(
        {
            "peak_id": ["p1", "p2", "p3", "p4"],
            "gene_short_name": ["Vim", "Myc", "Vim", None],
            "Sox2": [1.0, 0.0, 1.0, 1.0],
            "Myc": [0.0, 1.0, 1.0, 0.0],
        }
    )


def cellchat() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "ligand": ["Tgfb1", "Itga9_Itgb1", "Tgfb1"],
            "receptor": ["Tgfbr1_Tgfbr2", "Vcam1_Cd44", "Tgfbr2"],
            "pathway": ["TGFb", "VCAM", "TGFb"],
            "signaling": ["Secreted Signaling", "Cell-Cell Contact", "ECM-Receptor"],
        }
    )


def nichenet() -> pd.DataFrame:
    return pd.DataFrame(
        [[0.1, 0.2], [0.3, np.nan], [0.5, 0.6]], index=["Sox2", "Myc", "Gapdh"], columns=["Tgfb1", "Wnt5a"]
    )


def test_tf_edges_count_the_peaks_of_each_gene() -> None:
    edges = base_grn_edges(base_grn())
    found = list(zip(edges["source"], edges["target"], edges["weight"], strict=True))
    assert found == [("Sox2", "Vim", 2.0), ("Myc", "Vim", 1.0), ("Myc", "Myc", 1.0)]


def test_complexes_become_pairs_and_the_first_of_equal_pairs_stays() -> None:
    network = build_network(lr_csv=cellchat())
    secreted, contact = "Secreted Signaling", "Cell-Cell Contact"
    assert list(network.lr.itertuples(index=False, name=None)) == [
        ("Tgfb1", "Tgfbr1", secreted),
        ("Tgfb1", "Tgfbr2", secreted),
        ("Itga9", "Vcam1", contact),
        ("Itga9", "Cd44", contact),
        ("Itgb1", "Vcam1", contact),
        ("Itgb1", "Cd44", contact),
    ]


def test_weights_are_read_from_a_matrix_and_from_a_long_table(tmp_path: Path) -> None:
    expected = [("Tgfb1", "Sox2", 0.1), ("Wnt5a", "Sox2", 0.2), ("Tgfb1", "Myc", 0.3)]
    whole = [*expected, ("Tgfb1", "Gapdh", 0.5), ("Wnt5a", "Gapdh", 0.6)]
    long = pd.DataFrame(whole, columns=["ligand", "target", "weight"])
    nichenet().to_csv(tmp_path / "matrix.csv")
    nichenet().to_parquet(tmp_path / "matrix.parquet")
    long.to_feather(tmp_path / "long.feather")
    sources = [nichenet(), long, long.rename(columns={"ligand": "source"})]
    sources += [tmp_path / name for name in ("matrix.csv", "matrix.parquet", "long.feather")]
    for source in sources:
        alone = build_network(ligand_target=source).tfl
        assert list(alone.itertuples(index=False, name=None)) == whole
        # Gapdh is no TF of the base network: no regulator could ever lead to it.
        both = build_network(base_grn=base_grn(), ligand_target=source).tfl
        assert list(both.itertuples(index=False, name=None)) == expected


def test_the_file_holds_what_is_returned(tmp_path: Path) -> None:
    out = tmp_path / "new" / "mouse_network.parquet"
    made = build_network(base_grn=base_grn(), lr_csv=cellchat(), ligand_target=nichenet(), out=out)
    assert pq.read_schema(out).names == ["source", "target", "edge_type", "weight", "signaling"]
    assert made.species == "mouse"
    again = read_network(out)
    assert again.sha256 == made.sha256
    in_memory = build_network(base_grn=base_grn(), lr_csv=cellchat(), ligand_target=nichenet())
    for kind in ("tf", "lr", "tfl"):
        pd.testing.assert_frame_equal(getattr(again, kind), getattr(made, kind))
        pd.testing.assert_frame_equal(getattr(in_memory, kind), getattr(made, kind))
    assert [path.name for path in out.parent.iterdir()] == [out.name]


def test_a_failed_write_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "network.parquet"
    out.write_text("old")

    def full(self: pd.DataFrame, path: Path, **_: Any) -> None:
        Path(path).write_bytes(b"PAR1 half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_parquet", full)
    with pytest.raises(RunError, match="no space left"):
        build_network(lr_csv=cellchat(), out=out)
    assert [path.name for path in tmp_path.iterdir()] == ["network.parquet"]
    assert out.read_text() == "old"


def fake_liana(table: pd.DataFrame) -> ModuleType:
    module = ModuleType("liana")
    module.rs = SimpleNamespace(  # type: ignore[attr-defined]
        select_resource=lambda name: table, show_resources=lambda: ["consensus", "mouseconsensus"]
    )
    return module


@pytest.mark.parametrize("columns", [("ligand", "receptor"), ("source_genesymbol", "target_genesymbol")])
def test_a_liana_resource_has_pairs_without_classes(
    columns: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    table = pd.DataFrame({columns[0]: ["TGFB1", "IL6"], columns[1]: ["TGFBR1_TGFBR2", "COMPLEX:IL6R_IL6ST"]})
    monkeypatch.setitem(sys.modules, "liana", fake_liana(table))
    assert list(build_network(lr_resource="consensus").lr.itertuples(index=False, name=None)) == [
        ("TGFB1", "TGFBR1", None),
        ("TGFB1", "TGFBR2", None),
        ("IL6", "IL6R", None),
        ("IL6", "IL6ST", None),
    ]
    with pytest.raises(InputError, match="no resource 'concensus'; nearest: 'consensus'"):
        build_network(lr_resource="concensus")


def test_without_liana_the_line_that_installs_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "liana", None)
    with pytest.raises(ImportError, match="pip install liana"):
        build_network(lr_resource="consensus")


@pytest.mark.parametrize(
    ("sources", "error", "message"),
    [
        ({}, InputError, "nothing to build from"),
        ({"lr_csv": cellchat(), "lr_resource": "consensus"}, InputError, "both given"),
        ({"lr_csv": "nowhere.csv"}, NetworkError, "lr_csv nowhere.csv cannot be read"),
        ({"base_grn": "nowhere.parquet"}, NetworkError, "base_grn nowhere.parquet cannot be read"),
        ({"base_grn": cellchat()}, NetworkError, "no column gene_short_name"),
        ({"lr_csv": cellchat().drop(columns="receptor")}, NetworkError, "no column receptor"),
        ({"base_grn": base_grn().assign(Sox2="yes")}, NetworkError, "column 'Sox2' holds object"),
        ({"ligand_target": nichenet().reset_index(drop=True)}, NetworkError, "no TF names"),
    ],
)
def test_bad_sources_are_refused(sources: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        build_network(**sources)


@has_golden
def test_the_golden_sources_make_the_golden_network(tmp_path: Path) -> None:
    golden = next(FOLDER.glob("*_network.parquet"))
    genes = anndata.read_h5ad(FOLDER / "tissue_input.h5ad", backed="r").var_names
    made = build_network(
        base_grn=FOLDER / "tissue_base_grn.parquet",
        lr_csv=FOLDER / "tissue_lr.csv",
        ligand_target=FOLDER / "tissue_nichenet.parquet",
        out=tmp_path / golden.name,
    ).restrict(genes)
    stored = read_network(golden).restrict(genes)
    assert made.tf.astype(str).equals(stored.tf.astype(str))
    assert made.tfl.astype({"ligand": str, "tf": str}).equals(stored.tfl.astype({"ligand": str, "tf": str}))
    # The golden list repeats a pair; a made network has each pair once.
    first = stored.lr.drop_duplicates(["ligand", "receptor"]).reset_index(drop=True)
    assert made.lr.equals(first)
    weights = pd.read_parquet(tmp_path / golden.name).query("edge_type == 'grn'")["weight"]
    assert weights.tolist() == pd.read_parquet(golden).query("edge_type == 'grn'")["weight"].tolist()


def test_the_real_base_network_gives_the_known_edges(tmp_path: Path) -> None:
    """2 678 008 edges were counted in this file without self-edges, by another program."""
    edges = base_grn_edges(real_file("networks/mm10_promoter_base_grn.parquet"))
    assert (edges["source"] != edges["target"]).sum() == 2_678_008
    assert edges["weight"].min() == 1.0
    assert not edges.duplicated(["source", "target"]).any()


def test_the_real_cellchat_table_gives_the_known_pairs() -> None:
    made = build_network(lr_csv=real_file("networks/cellchat_mouse.csv")).lr
    expected = read_network(real_file("networks/mouse_network.parquet")).lr
    pd.testing.assert_frame_equal(made, expected)
