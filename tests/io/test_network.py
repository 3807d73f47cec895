"""Reading prior networks in both forms, from anywhere, and refusing bad ones."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cytoripple._errors import InputError, NetworkError
from cytoripple.io.network import Network, as_network, read_network
from tests.conftest import golden_root, real_file

SECRETED = "Secreted Signaling"


def edge_types() -> pd.DataFrame:
    """Give a small network in the form of the published programs."""
    return pd.DataFrame(
        {
            "source": ["Sox2", "Myc", "Sox2", "Tgfb1", "Dll1", "Tgfb1"],
            "target": ["Vim", "Vim", "Myc", "Tgfbr1", "Notch1", "Sox2"],
            "edge_type": ["grn", "grn", "grn", "lr", "lr", "nichenet"],
            "weight": [1.0, 2.0, np.nan, np.nan, np.nan, 0.4],
            "signaling": [None, None, None, SECRETED, "Cell-Cell Contact", None],
        }
    )


def kinds() -> pd.DataFrame:
    """Give the same in the other form, with columns that nobody reads."""
    table = edge_types().rename(columns={"edge_type": "kind", "signaling": "lr_annotation"})
    table["kind"] = table["kind"].map({"grn": "tf", "lr": "lr", "nichenet": "tfl"})
    table["lr_annotation"] = table["lr_annotation"].fillna("")
    return table.assign(sign=np.int8(1), resource="somewhere")


def rows(network: Network) -> dict[str, list[tuple[Any, ...]]]:
    """Content as plain tuples."""
    return {
        kind: list(frame.itertuples(index=False, name=None))
        for kind, frame in (("tf", network.tf), ("lr", network.lr), ("tfl", network.tfl))
    }


EXPECTED = {
    "tf": [("Sox2", "Vim"), ("Myc", "Vim"), ("Sox2", "Myc")],
    "lr": [("Tgfb1", "Tgfbr1", SECRETED), ("Dll1", "Notch1", "Cell-Cell Contact")],
    "tfl": [("Tgfb1", "Sox2", 0.4)],
}


@pytest.mark.parametrize("table", [edge_types(), kinds()], ids=["edge_type", "kind"])
def test_both_forms_give_the_same_network_from_a_file_and_from_memory(
    table: pd.DataFrame, tmp_path: Path
) -> None:
    path = tmp_path / "edges.parquet"
    table.to_parquet(path)
    assert rows(read_network(path)) == EXPECTED
    assert rows(as_network(table)) == EXPECTED
    assert rows(as_network(str(path))) == EXPECTED
    assert list(as_network(table).tf) == ["source", "target"]
    assert list(as_network(table).lr) == ["ligand", "receptor", "signaling"]
    assert list(as_network(table).tfl) == ["ligand", "tf", "weight"]
    assert as_network(table).tfl["weight"].dtype == np.float64


def test_categorical_text_and_many_row_groups_change_nothing(tmp_path: Path) -> None:
    """Every row group has a dictionary of its own; the codes must not be mixed up."""
    path = tmp_path / "edges.parquet"
    table = edge_types().astype({"source": "category", "target": "category", "edge_type": "category"})
    table.to_parquet(path, row_group_size=1)
    assert rows(read_network(path)) == EXPECTED
    large = pa.Table.from_pandas(edge_types(), preserve_index=False)
    large = large.set_column(0, "source", large["source"].cast(pa.large_string()))
    pq.write_table(large, path)
    assert rows(read_network(path)) == EXPECTED


def test_names_are_stripped_and_rows_without_a_name_are_left_out(caplog: pytest.LogCaptureFixture) -> None:
    table = edge_types()
    table.loc[0, "source"] = " Sox2 "
    table.loc[1, "target"] = "  "
    table.loc[3, "source"] = None
    table.loc[4, "signaling"] = " "
    table.loc[5, "weight"] = np.nan
    with caplog.at_level(logging.WARNING):
        found = rows(as_network(table))
    assert found == {"tf": [("Sox2", "Vim"), ("Sox2", "Myc")], "lr": [("Dll1", "Notch1", None)], "tfl": []}
    assert "3 rows without a name or a weight are left out" in caplog.text


def test_a_network_without_signaling_or_weight_needs_neither() -> None:
    table = edge_types().drop(columns=["signaling", "weight"])
    found = rows(as_network(table[table["edge_type"] != "nichenet"]))
    assert found["lr"] == [("Tgfb1", "Tgfbr1", None), ("Dll1", "Notch1", None)]
    with pytest.raises(NetworkError, match="no column weight"):
        as_network(table)


def test_restriction_keeps_edges_between_measured_genes_in_order() -> None:
    network = as_network(edge_types())
    kept = network.restrict(["Vim", "Sox2", "Tgfb1", "Notch1"])
    assert rows(kept) == {"tf": [("Sox2", "Vim")], "lr": [], "tfl": [("Tgfb1", "Sox2", 0.4)]}
    assert kept.sha256 == network.sha256
    assert kept.tf.index.tolist() == [0]


names = st.text(alphabet="ABab12", min_size=1, max_size=3)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(names, names, st.sampled_from(["grn", "lr", "nichenet"]), st.floats(0, 1)), max_size=30
    ),
    st.sets(names),
)
def test_any_edge_list_survives_reading_and_restriction(
    edges: list[tuple[str, str, str, float]], genes: set[str]
) -> None:
    """Order and multiplicity of the rows are those of the list, whatever the names."""
    table = pd.DataFrame(edges, columns=["source", "target", "edge_type", "weight"])
    table = table.astype({"source": object, "target": object, "edge_type": object, "weight": float})
    kept = rows(as_network(table).restrict(genes))
    inside = [edge for edge in edges if edge[0] in genes and edge[1] in genes]
    assert kept["tf"] == [(a, b) for a, b, kind, _ in inside if kind == "grn"]
    assert kept["lr"] == [(a, b, None) for a, b, kind, _ in inside if kind == "lr"]
    assert kept["tfl"] == [(a, b, w) for a, b, kind, w in inside if kind == "nichenet"]


def test_digest_follows_the_content_and_not_the_encoding() -> None:
    table = edge_types()
    digest = as_network(table).sha256
    assert as_network(table.astype({"source": "category"})).sha256 == digest
    assert as_network(table.assign(weight=0.5)).sha256 != digest


def test_species_comes_from_the_file_name(tmp_path: Path) -> None:
    path = tmp_path / "mouse_network_small.parquet"
    edge_types().to_parquet(path)
    assert read_network(path).species == "mouse"
    assert read_network(path, species="human").species == "human"
    assert as_network(edge_types()).species is None
    with pytest.raises(InputError, match="species is 'fly'"):
        read_network(path, species="fly")


def broken(path: Path) -> None:
    edge_types().to_parquet(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (broken, "cannot be read as Parquet"),
        (lambda path: path.write_text("source,target,kind\n"), "cannot be read as Parquet"),
        (lambda path: path.write_bytes(b""), "cannot be read as Parquet"),
        (lambda path: None, "does not exist"),
        (
            lambda path: edge_types().drop(columns="target").to_parquet(path),
            "no column target; its columns are source, edge_type",
        ),
        (lambda path: edge_types().drop(columns="edge_type").to_parquet(path), "no column kind"),
        (
            lambda path: edge_types().rename(columns={"source": "Source"}).to_parquet(path),
            "nearest: 'Source'",
        ),
        (
            lambda path: edge_types().replace({"grn": "motif"}).to_parquet(path),
            "edges of kind 'motif' in column edge_type",
        ),
        (lambda path: edge_types().replace({"grn": None}).to_parquet(path), "edges of kind blank"),
        (lambda path: edge_types().assign(weight="high").to_parquet(path), "it must hold numbers"),
    ],
)
def test_a_bad_file_ends_with_one_sentence(make: Any, message: str, tmp_path: Path) -> None:
    path = tmp_path / "edges.parquet"
    make(path)
    with pytest.raises(NetworkError, match=message) as caught:
        read_network(path)
    assert "\n" not in str(caught.value)
    assert "edges.parquet" in str(caught.value)


def test_a_damaged_page_is_found_too(tmp_path: Path) -> None:
    """The footer of the file is whole, so only reading the data can tell."""
    path = tmp_path / "edges.parquet"
    pd.concat([edge_types()] * 500).to_parquet(path, compression="zstd")
    content = bytearray(path.read_bytes())
    content[4:200] = bytes(196)
    path.write_bytes(bytes(content))
    with pytest.raises(NetworkError, match="cannot be read as Parquet"):
        read_network(path)


def test_what_is_no_network_is_refused() -> None:
    with pytest.raises(InputError, match="network is a int"):
        as_network(3)  # type: ignore[arg-type]
    with pytest.raises(NetworkError, match="mixed types"):
        as_network(edge_types().assign(source=[1, "a", 2.0, "b", "c", "d"]))


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Move to a folder without any network, and no variables set."""
    here = tmp_path / "project" / "notebooks"
    here.mkdir(parents=True)
    monkeypatch.chdir(here)
    for name in ("CYTORIPPLE_DATA_DIR", "SPACETRAVLR_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_the_first_place_with_a_file_wins(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Places are filled from the last to the first; each new one takes over."""
    places = {
        "data": nowhere / "project" / "data",
        "here": nowhere / "project" / "notebooks" / "data",
        "other": nowhere / "other",
        "ours": nowhere / "ours",
        "key": nowhere / "key",
        "path": nowhere / "path",
    }
    arguments: dict[str, Any] = {"species": "mouse"}
    for name, folder in places.items():
        folder.mkdir()
        edge_types().to_parquet(folder / "mouse_network.parquet")
        if name == "other":
            monkeypatch.setenv("SPACETRAVLR_DATA_DIR", str(folder))
        elif name == "ours":
            monkeypatch.setenv("CYTORIPPLE_DATA_DIR", str(folder))
        elif name == "key":
            arguments["data_dir"] = folder
        elif name == "path":
            arguments["path"] = folder
        assert read_network(**arguments).source == str(folder / "mouse_network.parquet")


def test_a_missing_network_names_every_place_and_remedy(
    nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPACETRAVLR_DATA_DIR", str(nowhere / "other"))
    with pytest.raises(NetworkError) as caught:
        read_network(species="human", data_dir=nowhere / "key")
    message = str(caught.value)
    for part in (
        "human_network.parquet",
        "species 'human'",
        "CYTORIPPLE_DATA_DIR",
        "SPACETRAVLR_DATA_DIR",
        "grn.network_data_dir",
        str(nowhere / "key"),
        str(nowhere / "other"),
        str(nowhere / "project" / "data"),
    ):
        assert part in message
    with pytest.raises(InputError, match="species is needed"):
        read_network()


def test_the_golden_network_is_read_whole() -> None:
    path = golden_root() / "training" / "mouse_network.parquet"
    if not path.is_file():
        pytest.skip(f"no golden set in {path.parent}")
    table = pd.read_parquet(path)
    network = read_network(path)
    counts = table["edge_type"].value_counts()
    assert [len(network.tf), len(network.lr), len(network.tfl)] == [
        counts["grn"],
        counts["lr"],
        counts["nichenet"],
    ]
    lr = table[table["edge_type"] == "lr"]
    assert network.lr["signaling"].tolist() == lr["signaling"].tolist()
    assert network.species == "mouse"


def test_a_real_network_of_millions_of_edges_is_read_whole(tmp_path: Path) -> None:
    path = real_file("networks/mouse_network.parquet")
    expected = pq.read_table(path, columns=["kind"]).column("kind").value_counts().to_pylist()
    network = read_network(path)
    found = {"tf": len(network.tf), "lr": len(network.lr), "tfl": len(network.tfl)}
    assert found == {item["values"]: item["counts"] for item in expected}
    # Codes of two bytes: as text the edges would take fifty times as much.
    assert network.tf.memory_usage(deep=True).sum() < 20e6
    shutil.copy(path, tmp_path / "copy.parquet")
    assert read_network(tmp_path / "copy.parquet").sha256 == network.sha256
