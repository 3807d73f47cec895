"""Submission files: the layout of the reference, checked while they are written, whole or not at all."""

import shutil
import subprocess
import tarfile

import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

import cytoripple as ct
from cytoripple._errors import FileError, InputError, LayerError
from cytoripple.vc import baselines
from cytoripple.vc.submission import read_submission, write_vcc
from tests.conftest import golden_root

CTRL = "non-targeting"
GENES = ["A", "B", "C"]
EXAMPLES = sorted(golden_root().glob("**/*.prep.vcc"))


def blocks(rng=None, n=4):
    rng = rng or np.random.default_rng(0)
    for label in ("P1", "P2", CTRL):
        yield label, rng.gamma(1.0, 1.0, (n, 3)) * (rng.random((n, 3)) < 0.6)


def write(path, stream=None, genes=GENES, **settings):
    return write_vcc(path, blocks() if stream is None else stream, genes, **{"n_genes": None} | settings)


def layout(path, folder):
    """Names, attributes and kinds of everything in the container."""
    with tarfile.open(path) as archive:
        names = archive.getnames()
        archive.extractall(folder, filter="data")
    whole = read_submission(path)
    found = {"members": names, "watermark": (folder / "watermark.txt").read_bytes()}
    copy = folder / "copy.h5ad"
    subprocess.run(["zstd", "-dqf", folder / "pred.h5ad.zst", "-o", copy], check=True)
    with h5py.File(copy) as file:

        def visit(name, node):
            attributes = {k: str(v) for k, v in node.attrs.items() if k != "shape"}
            found[name] = (attributes, str(getattr(node, "dtype", "")))

        file.visititems(visit)
        found["/"] = {k: str(v) for k, v in file.attrs.items()}
    return found, whole


@pytest.mark.skipif(shutil.which("zstd") is None, reason="the zstd program is not here")
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_the_container_is_that_of_the_reference(tmp_path, example):
    """The example is read, written anew, and has the same members, groups, types and cells."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    wanted, cells = layout(example, tmp_path / "one")
    labels = cells.obs["target_gene"].astype(str).to_numpy()
    stream = ((label, cells.X[k]) for k, label in enumerate(labels))
    write(tmp_path / "two.vcc", stream, genes=list(cells.var_names))
    made, again = layout(tmp_path / "two.vcc", tmp_path / "two")
    assert made == wanted
    np.testing.assert_array_equal(again.X.toarray(), cells.X.toarray())
    assert again.obs.equals(cells.obs)
    assert list(again.var_names) == list(cells.var_names)


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    form=st.sampled_from(["dense", "csr", "csc"]),
    encoding=st.sampled_from([32, 64]),
)
def test_what_is_written_is_read(tmp_path_factory, seed, form, encoding):
    rng = np.random.default_rng(seed)
    make = {"dense": np.asarray, "csr": sparse.csr_matrix, "csc": sparse.csc_matrix}[form]
    given_blocks = [(label, x) for label, x in blocks(rng, int(rng.integers(1, 6)))]
    path = tmp_path_factory.mktemp("v") / "x.vcc"
    report = write(path, [(label, make(x)) for label, x in given_blocks], encoding=encoding)
    back = read_submission(path)
    wanted = np.concatenate([x for _, x in given_blocks])
    np.testing.assert_array_equal(back.X.toarray(), wanted.astype(f"f{encoding // 8}"))
    assert back.obs["target_gene"].astype(str).tolist() == [label for label, x in given_blocks for _ in x]
    assert report.n_cells == back.n_obs
    assert back.obs_names.tolist() == [str(k) for k in range(back.n_obs)]


def test_a_baseline_is_a_submission(tmp_path):
    adata = ct.datasets.simulate_screen(20, 3, 8, 15).adata
    adata.X = adata.layers["lognorm"]
    (tmp_path / "genes.csv").write_text("\n".join(adata.var_names) + "\n")
    counts = adata.obs["target_gene"].value_counts().rename_axis("target_gene").reset_index(name="n_cells")
    counts.assign(median_umi=1).to_csv(tmp_path / "counts.csv", index=False)
    stream = baselines.perturbation_mean(adata, clip=True)
    report = write_vcc(
        tmp_path / "x.vcc", stream, tmp_path / "genes.csv", n_genes=15, pert_counts=tmp_path / "counts.csv",
        cell_type_col="cell_type",
    )  # fmt: skip
    assert (report.n_cells, report.n_controls, report.reordered) == (44, 20, False)
    back = read_submission(report.path)
    np.testing.assert_allclose(back.X.toarray(), stream.to_adata().X.toarray(), rtol=1e-6)
    assert list(back.obs.columns) == ["target_gene", "cell_type"]
    assert report.n_bytes == report.path.stat().st_size


def test_columns_are_reordered_only_when_asked(tmp_path):
    values = list(blocks())
    turned = [(label, x[:, [2, 0, 1]]) for label, x in values]
    with pytest.raises(InputError, match="reorder=True"):
        write(tmp_path / "x.vcc", turned, block_genes=["C", "A", "B"])
    assert write(tmp_path / "x.vcc", turned, block_genes=["C", "A", "B"], reorder=True).reordered
    back = read_submission(tmp_path / "x.vcc")
    np.testing.assert_allclose(back.X.toarray(), np.concatenate([x for _, x in values]), rtol=1e-6)
    assert back.X.has_sorted_indices


def changed(value):
    def make():
        for label, x in blocks():
            x[1, 1] = value
            yield label, x

    return make()


BAD = {
    "NaN": (lambda: changed(np.nan), {}, LayerError, "NaN or infinite"),
    "infinite": (lambda: changed(np.inf), {}, LayerError, "NaN or infinite"),
    "negative": (lambda: changed(-0.1), {}, LayerError, "negative values .*clip"),
    "not logged": (lambda: changed(15.0), {}, LayerError, "reaches 15"),
    "counts": (
        lambda: ((p, np.minimum(np.round(3 * x), 9)) for p, x in blocks()),
        {},
        LayerError,
        "look like counts",
    ),
    "text": (lambda: [(CTRL, np.array([["a", "b", "c"]]))], {}, LayerError, "dtype"),
    "no control": (lambda: list(blocks())[:2], {}, InputError, "no cell of the control"),
    "nothing": (list, {}, InputError, "no cell of the control"),
    "width": (lambda: ((p, x[:, :2]) for p, x in blocks()), {}, InputError, "expected 3 columns"),
    "no pair": (lambda: [3], {}, InputError, "no .label, matrix. pair"),
    "missing gene": (None, {"block_genes": ["A", "B", "D"]}, InputError, "1 missing .'C'., 1 extra .'D'."),
    "gene twice": (None, {"genes": ["A", "B", "A"]}, InputError, "names 'A' twice"),
    "number of genes": (None, {"n_genes": 18_080}, InputError, "has 3 genes, expected 18080"),
    "too many cells": (None, {"max_cells": 9}, InputError, "at most 9"),
    "encoding": (None, {"encoding": 16}, InputError, "give 32 or 64"),
    "no cell type": (None, {"cell_type_col": "celltype"}, InputError, "has no cell type"),
    "too few": (None, {"pert_counts": {"P1": 4, "P2": 5}}, InputError, "has 4 cells of 'P2', expected 5"),
    "absent": (None, {"pert_counts": {"P1": 4, "P2": 4, "P3": 1}}, InputError, "0 cells of 'P3'"),
    "unwanted": (None, {"pert_counts": {"P1": 4}}, InputError, "'P2' is predicted but not wanted"),
    "table": (
        None,
        {"pert_counts": pd.DataFrame({"target_gene": ["P1"]})},
        InputError,
        "no column 'n_cells'",
    ),
    "no list": (None, {"genes": "none.csv"}, FileError, "does not exist"),
    "no counts": (None, {"pert_counts": "none.csv"}, FileError, "does not exist"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_predictions_leave_no_file(tmp_path, kind):
    make, settings, error, says = BAD[kind]
    with pytest.raises(error, match=says):
        write(tmp_path / "x.vcc", None if make is None else make(), **settings)
    assert list(tmp_path.iterdir()) == []


def test_whole_numbers_may_be_allowed(tmp_path):
    write(tmp_path / "x.vcc", ((p, np.round(3 * x)) for p, x in blocks()), allow_discrete=True)
    write(tmp_path / "y.vcc", ((p, np.ones((2, 3))) for p in ("P", CTRL)))  # constant, so no counts


def test_a_stream_announces_too_many_cells_before_any_work(tmp_path):
    class Announced:
        genes = tuple(GENES)

        def __init__(self):
            self.counts = {("P", "t"): 200_000, (CTRL, "t"): 10}

        def __iter__(self):
            raise AssertionError("must not be read")

    with pytest.raises(InputError, match="at most 100000"):
        write(tmp_path / "x.vcc", Announced())


def test_an_interrupted_stream_keeps_the_old_file(tmp_path):
    write(tmp_path / "x.vcc")
    before = (tmp_path / "x.vcc").read_bytes()

    def stopping():
        yield from list(blocks())[:1]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "x.vcc", stopping())
    assert (tmp_path / "x.vcc").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1
    with pytest.raises(FileError, match="make it first"):
        write(tmp_path / "no" / "x.vcc")


def test_damaged_files(tmp_path):
    write(tmp_path / "x.vcc")
    whole = (tmp_path / "x.vcc").read_bytes()
    (tmp_path / "cut.vcc").write_bytes(whole[:2000])
    (tmp_path / "text.vcc").write_text("hello")
    (tmp_path / "mark.vcc").write_bytes(whole.replace(b"vcc-prep", b"vcc-prap"))
    for name in ("cut", "text", "mark"):
        with pytest.raises(FileError, match=r"damaged|no submission"):
            read_submission(tmp_path / f"{name}.vcc")
    with pytest.raises(FileNotFoundError):
        read_submission(tmp_path / "none.vcc")
    for text, says in (("", "is empty"), ("A,B\n", "several columns")):
        (tmp_path / "genes.csv").write_text(text)
        with pytest.raises(FileError, match=says):
            write(tmp_path / "y.vcc", genes=tmp_path / "genes.csv")


@pytest.mark.skipif(shutil.which("zstd") is None, reason="the zstd program is not here")
@pytest.mark.filterwarnings("ignore")
def test_the_reference_program_changes_nothing(tmp_path):
    """It reads what is inside, takes the values as log expression, and writes the same cells again."""
    prep = pytest.importorskip("cell_eval._cli._prep")
    adata = ct.datasets.simulate_screen(20, 3, 8, 15).adata
    adata.X = adata.layers["lognorm"]
    write(tmp_path / "ours.vcc", baselines.control_cells(adata), genes=list(adata.var_names))
    with tarfile.open(tmp_path / "ours.vcc") as archive:
        archive.extractall(tmp_path, filter="data")
    subprocess.run(["zstd", "-dqf", tmp_path / "pred.h5ad.zst", "-o", tmp_path / "pred.h5ad"], check=True)
    prep.strip_anndata(
        ct.io.read(tmp_path / "pred.h5ad"), str(tmp_path / "theirs.vcc"), list(adata.var_names), encoding=32
    )
    ours, theirs = read_submission(tmp_path / "ours.vcc"), read_submission(tmp_path / "theirs.vcc")
    np.testing.assert_array_equal(ours.X.toarray(), theirs.X.toarray())
    assert ours.obs.equals(theirs.obs)
    assert list(ours.var_names) == list(theirs.var_names)
