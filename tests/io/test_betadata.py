"""Betadata files: every dialect is read alike, and nothing is fallen back to silently."""

from __future__ import annotations

import gzip
import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cytoripple._errors import CytorippleError, InputError
from cytoripple.io._beta_columns import classify, split
from cytoripple.io.betadata import BetaTable, read_betadata, write_betadata

KEYS = ["0", "1", "2"]
BETAS = np.array([[0.5, -1.25, 3.0], [0.1, 0.2, 1 / 3], [1e-300, 0.0, -7.0]])
NAMES = ["FOXO1", "TGFB1$TGFBR2", "CCL5#STAT1"]
INTERCEPT = np.array([1.0, -2.0, 0.25])


def frame(*, prefix: str = "beta_", intercept: str = "beta0") -> pd.DataFrame:
    return pd.DataFrame({intercept: INTERCEPT, **{prefix + n: BETAS[:, j] for j, n in enumerate(NAMES)}})


def keyed(values: object, name: str = "Cluster", **columns: str) -> pd.DataFrame:
    table = frame(**columns)
    table.insert(0, name, values)
    return table


def feather(path: Path, table: pd.DataFrame) -> None:
    pa.feather.write_feather(pa.Table.from_pandas(table), str(path), compression="lz4")


def stream(path: Path, table: pd.DataFrame) -> None:
    converted = pa.Table.from_pandas(table)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, converted.schema) as writer:
        writer.write_table(converted)


def csv(path: Path, table: pd.DataFrame) -> None:
    table.to_csv(path, index=False, float_format="%.17g")


WRITERS = {
    ".feather": feather,
    ".arrow": stream,
    ".parquet": lambda path, table: table.to_parquet(path),
    ".csv": csv,
    ".csv.gz": csv,
}


def only(folder: Path, gene: str = "MYC") -> BetaTable:
    return read_betadata(folder)[gene]


def check(table: BetaTable, *, key: str | None = "Cluster", keys: list[str] = KEYS) -> None:
    assert (table.gene, table.key, list(table.keys)) == ("MYC", key, keys)
    assert list(table.modulators) == NAMES
    np.testing.assert_array_equal(table.betas, BETAS)
    np.testing.assert_array_equal(table.intercept, INTERCEPT)


@pytest.mark.parametrize("suffix", WRITERS)
@pytest.mark.parametrize("prefix", ["beta_", ""])
@pytest.mark.parametrize("intercept", ["beta0", "beta_0"])
def test_every_format_and_dialect_gives_the_same_table(
    tmp_path: Path, suffix: str, prefix: str, intercept: str
) -> None:
    """Format, prefix and intercept name are matters of form; `beta_0` does not make a file prefixed."""
    WRITERS[suffix](tmp_path / f"MYC_betadata{suffix}", keyed(KEYS, prefix=prefix, intercept=intercept))
    check(only(tmp_path))


@pytest.mark.parametrize("suffix", WRITERS)
@pytest.mark.parametrize("values", [KEYS, [0, 1, 2], [0.0, 1.0, 2.0], pd.Categorical(KEYS)])
def test_keys_of_any_type_become_the_same_text(tmp_path: Path, suffix: str, values: object) -> None:
    WRITERS[suffix](tmp_path / f"MYC_betadata{suffix}", keyed(values))
    check(only(tmp_path))


@pytest.mark.parametrize("name", ["CellID", "cell_id", "index", "obs_names", "__index_level_0__"])
def test_cell_keys_are_known_by_their_column_name(tmp_path: Path, name: str) -> None:
    """Cell names stay cell names even when they look like cluster ids."""
    WRITERS[".feather"](tmp_path / "MYC_betadata.feather", keyed(KEYS, name))
    check(only(tmp_path), key="CellID")


@pytest.mark.parametrize("index_name", [None, "barcode", "CellID"])
def test_the_stored_pandas_index_keys_a_parquet_file(tmp_path: Path, index_name: str | None) -> None:
    table = frame()
    table.index = pd.Index(["a", "b", "c"], name=index_name)
    table.to_parquet(tmp_path / "MYC_betadata.parquet")
    check(only(tmp_path), key="CellID", keys=["a", "b", "c"])


def test_a_stored_index_of_clusters_keys_by_cluster(tmp_path: Path) -> None:
    table = frame()
    table.index = pd.Index([0, 1, 2], name="Cluster")
    table.to_parquet(tmp_path / "MYC_betadata.parquet")
    check(only(tmp_path))


@pytest.mark.parametrize("suffix", WRITERS)
def test_without_a_key_column_rows_are_numbered(tmp_path: Path, suffix: str) -> None:
    WRITERS[suffix](tmp_path / f"MYC_betadata{suffix}", frame())
    check(only(tmp_path), key=None)


def test_the_gene_is_everything_before_the_suffix(tmp_path: Path) -> None:
    for gene in ("H2_K1", "HLA-A.1", "a_betadata_b"):
        csv(tmp_path / f"{gene}_betadata.csv", keyed(KEYS))
    assert list(read_betadata(tmp_path)) == ["H2_K1", "HLA-A.1", "a_betadata_b"]


def test_the_prefix_is_stripped_once_at_the_start() -> None:
    columns = classify(["Cluster", "beta0", "beta_TGFbeta_1", "beta_beta_2"])
    assert columns.modulators == ("TGFbeta_1", "beta_2")


def test_columns_without_prefix_are_ignored_in_a_prefixed_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    csv(tmp_path / "MYC_betadata.csv", keyed(KEYS).assign(note="text"))
    with caplog.at_level(logging.INFO):
        check(only(tmp_path))
    assert "note" in caplog.text


def test_dollar_decides_before_hash_and_the_first_separator_splits() -> None:
    assert split("A#B$C") == (1, "A#B", "C")
    assert split("A#B") == (2, "A", "B")
    assert split("A") == (0, "A", "")


@pytest.mark.parametrize("name", ["A$B$C", "A#B#C", "$B", "A$", "#B", "A#"])
def test_a_modulator_that_is_not_one_pair_is_refused(tmp_path: Path, name: str) -> None:
    csv(tmp_path / "MYC_betadata.csv", keyed(KEYS).assign(**{f"beta_{name}": 1.0}))
    with pytest.raises(InputError, match=r"MYC_betadata\.csv"):
        read_betadata(tmp_path)


@pytest.mark.parametrize("suffix", WRITERS)
def test_missing_coefficients_count_as_zero(
    tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture
) -> None:
    table = keyed(KEYS)
    table.loc[1, "beta_FOXO1"] = np.nan
    WRITERS[suffix](tmp_path / f"MYC_betadata{suffix}", table)
    found = only(tmp_path)
    assert found.n_nulls == 1
    assert found.betas[1, 0] == 0.0
    assert "1 missing" in caplog.text


@pytest.mark.parametrize("suffix", WRITERS)
@pytest.mark.parametrize("values", [["0", None, "2"], [0.0, np.nan, 2.0]])
def test_an_empty_row_key_is_an_error(tmp_path: Path, suffix: str, values: object) -> None:
    """A skipped key would shift all later rows."""
    WRITERS[suffix](tmp_path / f"MYC_betadata{suffix}", keyed(values))
    with pytest.raises(InputError, match="row 2 of the key column 'Cluster' is empty"):
        read_betadata(tmp_path)


BAD_TABLES = {
    "occurs more than once in column 'Cluster'": keyed(["0", "1", "1"]),
    r"holds 0\.5": keyed([0.5, 1.0, 2.0]),
    "no rows": keyed(KEYS).iloc[:0],
    "infinite": keyed(KEYS).replace(-7.0, -np.inf),
    "must be numbers": keyed(KEYS, prefix="").assign(note=["a", "b", "c"]),
    "both look like row keys": keyed(KEYS, prefix="").assign(obs_names=["a", "b", "c"]),
    "given twice": keyed(KEYS).assign(beta_0=1.0),
    "without a gene": keyed(KEYS).assign(beta_=1.0),
}


@pytest.mark.parametrize("reason", BAD_TABLES)
def test_an_unusable_table_is_refused_with_its_file(tmp_path: Path, reason: str) -> None:
    WRITERS[".feather"](tmp_path / "MYC_betadata.feather", BAD_TABLES[reason])
    with pytest.raises(InputError, match=rf"(?s)MYC_betadata\.feather.*{reason}"):
        read_betadata(tmp_path)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("Cluster,beta0,beta_A,beta_A\n0,1,2,3\n", "'beta_A' occurs more than once"),
        (",beta_A\nx,1\n", "column 1 has no name"),
        ("Cluster,beta_A\n0,1\n1\n", "damaged"),
        ("Cluster,beta_A\n0,one\n", "one"),
    ],
)
def test_an_unusable_csv_is_refused_with_its_file(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "MYC_betadata.csv").write_text(text)
    with pytest.raises(InputError, match=rf"(?s)MYC_betadata\.csv.*{reason}"):
        read_betadata(tmp_path)


@pytest.mark.parametrize("suffix", [".feather", ".arrow", ".parquet", ".csv.gz"])
@pytest.mark.parametrize("kept", [0, 5, 200])
def test_a_truncated_file_is_refused(tmp_path: Path, suffix: str, kept: int) -> None:
    path = tmp_path / f"MYC_betadata{suffix}"
    WRITERS[suffix](path, keyed(KEYS))
    path.write_bytes(path.read_bytes()[: min(kept, path.stat().st_size - 9)])
    with pytest.raises(InputError, match=r"MYC_betadata"):
        read_betadata(tmp_path)


def test_two_formats_for_one_gene_are_an_error_that_names_both(tmp_path: Path) -> None:
    csv(tmp_path / "MYC_betadata.csv", keyed(KEYS))
    feather(tmp_path / "MYC_betadata.feather", keyed(KEYS))
    with pytest.raises(InputError, match=r"MYC_betadata\.csv and MYC_betadata\.feather"):
        read_betadata(tmp_path)


def test_all_failures_are_reported_together_or_skipped(tmp_path: Path) -> None:
    csv(tmp_path / "MYC_betadata.csv", keyed(KEYS))
    for gene in ("A", "B"):
        (tmp_path / f"{gene}_betadata.feather").write_bytes(b"no")
    with pytest.raises(InputError, match=r"(?s)2 of 3 .*A_betadata.*B_betadata"):
        read_betadata(tmp_path)
    kept = read_betadata(tmp_path, on_error="skip")
    assert list(kept) == ["MYC"]
    assert sorted(path.name for path in kept.skipped) == ["A_betadata.feather", "B_betadata.feather"]


def test_a_folder_without_betadata_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no"):
        read_betadata(tmp_path)
    with pytest.raises(CytorippleError, match="not a folder"):
        read_betadata(tmp_path / "absent")


def test_some_genes_can_be_asked_for(tmp_path: Path) -> None:
    for gene in ("MYC", "IL10"):
        csv(tmp_path / f"{gene}_betadata.csv", keyed(KEYS))
    (tmp_path / "GATA3.orphan").touch()
    (tmp_path / "STAT1_betadata.feather").write_bytes(b"not read")
    assert list(read_betadata(tmp_path, genes=["IL10"])) == ["IL10"]
    assert read_betadata(tmp_path, genes=["IL10"]).orphans == ("GATA3",)
    with pytest.raises(InputError, match="nearest: 'MYC'"):
        read_betadata(tmp_path, genes=["Myc"])
    with pytest.raises(InputError, match="orphan"):
        read_betadata(tmp_path, genes=["GATA3"])


def test_equal_cell_lists_are_kept_once(tmp_path: Path) -> None:
    for gene in ("A", "B"):
        csv(tmp_path / f"{gene}_betadata.csv", keyed(["x", "y", "z"], "CellID"))
    tables = read_betadata(tmp_path)
    assert tables["A"].keys is tables["B"].keys


@pytest.mark.parametrize("suffix", [".feather", ".parquet", ".csv"])
@settings(max_examples=30, deadline=None)
@given(
    betas=arrays(np.float64, (3, 4), elements=st.floats(-1e9, 1e9).filter(lambda value: value != 0)),
    intercept=arrays(np.float64, 3, elements=st.floats(-1e9, 1e9)),
)
def test_what_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, betas: np.ndarray, intercept: np.ndarray
) -> None:
    """Every bit of every coefficient survives in every format."""
    folder = tmp_path_factory.mktemp("round")
    names = [*NAMES, "a b,c"]
    path = folder / f"MYC_betadata{suffix}"
    written = write_betadata(path, keys=[0, 1, 5], intercept=intercept, modulators=names, betas=betas)
    assert written == path
    table = only(folder)
    assert (table.key, table.keys, list(table.modulators)) == ("Cluster", ("0", "1", "5"), names)
    np.testing.assert_array_equal(table.betas, betas)
    np.testing.assert_array_equal(table.intercept, intercept)


def test_written_feather_has_the_documented_schema(tmp_path: Path) -> None:
    """Whole-number clusters first, then the intercept and the coefficients; columns of zeros are left out."""
    betas = BETAS.copy()
    betas[:, 1] = 0.0
    path = tmp_path / "MYC_betadata.feather"
    write_betadata(
        path, keys=[0, 1, 2], intercept=np.zeros(3), modulators=NAMES, betas=betas, metadata={"a": "b"}
    )
    table = pa.feather.read_table(str(path))
    assert table.column_names == ["Cluster", "beta_FOXO1", "beta_CCL5#STAT1"]
    assert [str(kind) for kind in table.schema.types] == ["int64", "double", "double"]
    assert table.schema.metadata[b"a"] == b"b"
    assert [path.name for path in tmp_path.iterdir()] == [path.name]


def test_per_cell_betas_are_keyed_by_cell_name(tmp_path: Path) -> None:
    path = tmp_path / "MYC_betadata.parquet"
    write_betadata(
        path, keys=["a", "b", "c"], intercept=INTERCEPT, modulators=NAMES, betas=BETAS, key="CellID"
    )
    check(only(tmp_path), key="CellID", keys=["a", "b", "c"])


def test_a_gene_without_coefficients_becomes_an_orphan(tmp_path: Path) -> None:
    path = tmp_path / "MYC_betadata.feather"
    written = write_betadata(
        path, keys=[0, 1], intercept=np.ones(2), modulators=["A"], betas=np.zeros((2, 1))
    )
    assert written == tmp_path / "MYC.orphan"
    assert written.read_bytes() == b""
    assert not path.exists()


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "MYC_betadata.feather"
    write_betadata(path, keys=[0, 1, 2], intercept=INTERCEPT, modulators=NAMES, betas=BETAS)
    before = path.read_bytes()

    def fail(table: pa.Table, dest: str, compression: str) -> None:
        Path(dest).write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(pa.feather, "write_feather", fail)
    with pytest.raises(OSError, match="disk full"):
        write_betadata(path, keys=[0, 1, 2], intercept=INTERCEPT, modulators=NAMES, betas=2 * BETAS)
    assert path.read_bytes() == before
    assert [found.name for found in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("name", "betas", "reason"),
    [
        ("MYC.feather", BETAS, "not a betadata name"),
        ("MYC_betadata.csv.gz", BETAS, "write betadata as"),
        ("MYC_betadata.feather", BETAS[:2], "shape"),
        ("MYC_betadata.feather", BETAS * np.nan, "NaN"),
    ],
)
def test_what_cannot_be_written_is_refused(tmp_path: Path, name: str, betas: np.ndarray, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        write_betadata(tmp_path / name, keys=[0, 1, 2], intercept=INTERCEPT, modulators=NAMES, betas=betas)
    assert list(tmp_path.iterdir()) == []


def test_gzip_is_read_by_content_not_by_luck(tmp_path: Path) -> None:
    """A plain text file called .gz is damaged, not guessed."""
    (tmp_path / "MYC_betadata.csv.gz").write_text("Cluster,beta_A\n0,1\n")
    with pytest.raises(InputError, match="damaged"):
        read_betadata(tmp_path)
    (tmp_path / "MYC_betadata.csv.gz").write_bytes(gzip.compress(b"Cluster,beta_A\n0,1\n"))
    assert only(tmp_path).modulators == ("A",)
