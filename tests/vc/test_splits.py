"""Splits keep back what they promise, and a rule that matches nothing is an error."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cytoripple._errors import FileError, InputError, SettingsError
from cytoripple.vc.splits import SPLITS, Splits, read_splits

CTRL = "non-targeting"


def obs(*types, genes="ABCD"):
    rows = [(t, g) for t in types for g in (*genes, CTRL) for _ in range(3)]
    return pd.DataFrame(rows, columns=["cell_type", "target_gene"])


TABLES = {"rep": obs("jurkat", "hepg2", "rpe1"), "h1": obs("H1.x"), "old": obs("k562")}
TOML = """
[datasets]
rep = "rep/*.h5ad"
h1 = "h1.h5ad"
old = "old.h5ad"
[training]
rep = "train"
h1 = "train"
[zeroshot]
"rep.jurkat" = "test"
"h1.H1.x" = "val"
[fewshot."rep.hepg2"]
val = ["A"]
test = ["A", "B"]
[heldout]
perturbations = ["D"]
"""


@pytest.fixture
def table(tmp_path):
    (tmp_path / "split.toml").write_text(TOML)
    return read_splits(tmp_path / "split.toml").assign(TABLES)


def where(table, dataset, cell_type, label):
    frame = table.tables[dataset]
    rows = (frame["cell_type"] == cell_type) & (frame["target_gene"] == label)
    return {split for split in SPLITS if table.cells(split, dataset)[rows].all()}


def test_the_rules(table):
    assert where(table, "rep", "jurkat", "A") == {"test"}
    assert where(table, "rep", "jurkat", CTRL) == {"test", "train"}
    assert where(table, "h1", "H1.x", "A") == {"val"}  # the key is split at its first dot
    assert where(table, "rep", "hepg2", "A") == {"val", "test"}
    assert where(table, "rep", "hepg2", "B") == {"test"}
    assert where(table, "rep", "hepg2", "C") == {"train"}
    assert where(table, "rep", "hepg2", CTRL) == {"train", "val", "test"}
    assert where(table, "rep", "rpe1", "A") == {"train"}
    assert where(table, "rep", "rpe1", CTRL) == {"train"}
    assert where(table, "old", "k562", "A") == set()
    assert where(table, "old", "k562", "D") == set()


def test_held_out_perturbations_train_nowhere(table):
    for cell_type, wanted in {"rpe1": "test", "jurkat": "test", "hepg2": "test"}.items():
        assert where(table, "rep", cell_type, "D") == {wanted}
    assert where(table, "h1", "H1.x", "D") == {"val"}


def test_zeroshot_wins_over_fewshot():
    rules = Splits(
        {"old": "x"}, zeroshot={("old", "k562"): "val"}, fewshot={("old", "k562"): {"test": frozenset("A")}}
    )
    assert where(rules.assign({"old": TABLES["old"]}), "old", "k562", "A") == {"val"}


def test_report_counts_everything(table):
    report = table.split_report().set_index(["dataset", "cell_type", "split"])
    assert report.loc[("rep", "jurkat", "test")].tolist() == [15, 3, 5, 4]
    assert report.loc[("rep", "jurkat", "train")].tolist() == [3, 3, 1, 0]
    assert report.loc[("rep", "hepg2", "train")].tolist() == [6, 3, 2, 1]
    assert report.loc[("old", "k562", "unused"), "cells"] == 15
    assert table.perturbations() == ("A", "B", "C", "D")


def test_the_report_finds_a_leak(table):
    table.flags["rep"][np.flatnonzero(table.cells("test", "rep"))[0], 0] = True
    with pytest.raises(InputError, match="1 perturbed cells of rep train"):
        table.split_report()


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_nothing_kept_back_ever_trains(data):
    keys = [(name, t) for name, frame in TABLES.items() for t in frame["cell_type"].unique()]
    split = st.sampled_from(SPLITS)
    some = st.frozensets(st.sampled_from("ABCD"))
    rules = Splits(
        dict.fromkeys(TABLES, "x"),
        data.draw(st.frozensets(st.sampled_from(sorted(TABLES)))),
        data.draw(st.dictionaries(st.sampled_from(keys), split)),
        data.draw(st.dictionaries(st.sampled_from(keys), st.fixed_dictionaries({"val": some, "test": some}))),
        data.draw(some),
    )
    table = rules.assign(TABLES)
    report = table.split_report()
    unused = report.loc[report["split"] == "unused", "cells"].sum()
    used = sum(flags.any(axis=1).sum() for flags in table.flags.values())
    assert used + unused == sum(map(len, TABLES.values()))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("[zeroshot]", "[zeroshoot]", "unknown section .*nearest: 'zeroshot'"),
        ('"rep.jurkat" = "test"', '"rap.jurkat" = "test"', "names 'rap', .*nearest: 'rep'"),
        ('"rep.jurkat" = "test"', '"jurkat" = "test"', "dataset.cell_type"),
        ('"rep.jurkat" = "test"', '"rep.jurkat" = "tests"', "give train, val or test"),
        ('h1 = "train"', 'h1 = "test"', "the only choice"),
        ('val = ["A"]', 'valid = ["A"]', "unknown key 'valid'"),
        ('val = ["A"]', 'val = "A"', "expected a list"),
        ("perturbations = ", "genes = ", "unknown key 'genes'"),
        ('rep = "rep/*.h5ad"', "rep = 3", "must name data sets"),
        ("[datasets]", "[[datasets]]", "expected a section"),
    ],
)
def test_mistakes_in_the_file(tmp_path, old, new, says):
    (tmp_path / "split.toml").write_text(TOML.replace(old, new, 1))
    with pytest.raises(SettingsError, match=says):
        read_splits(tmp_path / "split.toml")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"rep.jurkat"', '"rep.jurkatt"', "no cell of rep has the cell type 'jurkatt'; nearest: 'jurkat'"),
        ('"rep.hepg2"', '"rep.hepg"', "cell type 'hepg'"),
        ('val = ["A"]', 'val = ["Z"]', "no cell of rep.hepg2 has the perturbation 'Z'"),
        (
            'perturbations = ["D"]',
            'perturbations = ["Q"]',
            "no cell of any data set has the perturbation 'Q'",
        ),
    ],
)
def test_rules_that_match_nothing(tmp_path, old, new, says):
    (tmp_path / "split.toml").write_text(TOML.replace(old, new, 1))
    with pytest.raises(InputError, match=says):
        read_splits(tmp_path / "split.toml").assign(TABLES)


def test_tables_that_do_not_fit(tmp_path):
    (tmp_path / "split.toml").write_text(TOML)
    rules = read_splits(tmp_path / "split.toml")
    with pytest.raises(InputError, match="no table of the data set 'old'"):
        rules.assign({name: TABLES[name] for name in ("rep", "h1")})
    with pytest.raises(InputError, match="'new' is not in"):
        rules.assign({**TABLES, "new": TABLES["old"]})
    with pytest.raises(InputError, match="control label 'ntc'"):
        rules.assign(TABLES, control="ntc")
    with pytest.raises(InputError, match="no column 'cell_type'"):
        rules.assign({**TABLES, "old": TABLES["old"][["target_gene"]]})
    with pytest.raises(InputError, match="give train"):
        rules.assign(TABLES).cells("dev", "rep")
    with pytest.raises(InputError, match="no data set 'ref'"):
        rules.assign(TABLES).cells("val", "ref")


def test_files_of_a_data_set(tmp_path):
    for name in ("a/x1.h5ad", "a/x2.h5ad", "a/y.h5", "a/notes.txt", "b.h5ad"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    rules = Splits({"folder": "a", "braces": "a/x{1,2}.h5ad", "star": "a/x*", "one": "b.h5ad"})
    found = {name: [path.name for path in paths] for name, paths in rules.files(tmp_path).items()}
    assert found == {
        "folder": ["x1.h5ad", "x2.h5ad", "y.h5"],
        "braces": ["x1.h5ad", "x2.h5ad"],
        "star": ["x1.h5ad", "x2.h5ad"],
        "one": ["b.h5ad"],
    }
    absolute = Splits({"all": str(tmp_path / "a" / "x{1,2}*")})
    assert len(absolute.files()["all"]) == 2
    with pytest.raises(FileError, match="finds no file"):
        Splits({"none": "c/*.h5ad"}).files(tmp_path)
