"""A row store gives back what was packed, at random, whole or not at all."""

import json
import os
import shutil
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

import cytoripple as ct
from cytoripple._errors import FileError, InputError, LayerError
from cytoripple.vc import _h5ad
from cytoripple.vc.dataset import DatasetSpec
from cytoripple.vc.genes import GeneResolver
from cytoripple.vc.guard import normalize
from cytoripple.vc.store import H5adRows, RowStore, gather_rows, open_rows, pack
from tests.conftest import real_file
from tests.vc.helpers import screen_file, spec_of


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    path, adata = screen_file(folder)
    return pack(spec_of(path), folder / "screen.rows"), adata


def dense(x):
    return x.toarray() if sparse.issparse(x) else np.asarray(x)


@pytest.mark.parametrize("small_pieces", [False, True])
@pytest.mark.parametrize("values", ["counts", "lognorm"])
@pytest.mark.parametrize("layout", ["csr", "csc", "dense"])
def test_packing_and_reading_returns_the_matrix(tmp_path, monkeypatch, layout, values, small_pieces):
    """From every layout, also when the source is read in many pieces."""
    if small_pieces:
        monkeypatch.setattr(_h5ad, "_VALUES", 97)
    path, adata = screen_file(tmp_path, layout, values)
    store = RowStore(pack(spec_of(path), tmp_path / "x.rows"), verify=True)
    source = store.obs["row_in_source"].to_numpy()
    assert sorted(source) == list(range(adata.n_obs))
    np.testing.assert_array_equal(
        store.rows(np.arange(store.n_obs), normalized=False), dense(adata.X)[source]
    )
    assert store.norm == ("counts" if values == "counts" else "log1p_cp")
    assert store.meta["data"] == ("u16" if values == "counts" else "f32")
    lognorm = dense(normalize(adata.X))[source]
    np.testing.assert_allclose(store.rows(np.arange(store.n_obs)), lognorm, rtol=2e-7)
    np.testing.assert_array_equal(store.range(3, 17).toarray(), lognorm[3:17])
    assert list(store.obs.index) == list(adata.obs_names[source])
    assert store.var_names == list(adata.var_names)
    assert list(store.var["ensembl_id"]) == list(adata.var["gene_id"])


def test_groups_are_ranges(packed):
    store = RowStore(packed[0])
    assert store.groups["start"].tolist() == [0, *store.groups["stop"][:-1]]
    assert store.groups["stop"].iloc[-1] == store.n_obs
    for _, group in store.groups.iterrows():
        part = store.obs.iloc[group["start"] : group["stop"]]
        for key in ("cell_type", "batch", "target_gene"):
            assert set(part[key]) == {group[key]}
    assert len(store.groups.drop_duplicates(["cell_type", "batch", "target_gene"])) == len(store.groups)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_random_rows_with_mapped_columns(packed, data):
    store, adata = RowStore(packed[0]), packed[1]
    rows = data.draw(st.lists(st.integers(0, store.n_obs - 1), max_size=20))
    ids = store.var["ensembl_id"].tolist()
    genes = [*data.draw(st.permutations(ids))[: data.draw(st.integers(1, len(ids)))], "ENSG00000999999"]
    mapped = store.gene_map(genes)
    lognorm = dense(normalize(adata.X))[store.obs["row_in_source"].to_numpy()[rows]]
    wanted = mapped.lift(lognorm.reshape(len(rows), store.n_vars))
    np.testing.assert_allclose(store.rows(rows, genes=mapped), wanted, rtol=2e-7)
    assert not mapped.present_mask[-1]


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    index=st.sampled_from(["uint16", "uint32", "int32", "int64"]),
    kind=st.sampled_from(["uint16", "uint32", "float32", "float64", "int64"]),
    starts=st.sampled_from(["int32", "int64"]),
    threads=st.sampled_from([1, 2]),
)
def test_gather_takes_every_type(seed, index, kind, starts, threads):
    rng = np.random.default_rng(seed)
    matrix = sparse.random(9, 13, 0.4, format="csr", rng=rng)
    matrix.data = np.ceil(matrix.data * 80)
    whole = matrix.toarray()
    matrix.data, matrix.indices = matrix.data.astype(kind), matrix.indices.astype(index)
    matrix.indptr = matrix.indptr.astype(starts)
    rows = rng.integers(0, 9, 6)
    colmap = rng.integers(-1, 5, 13).astype(np.int32)
    move = np.zeros((13, 5))
    move[np.flatnonzero(colmap >= 0), colmap[colmap >= 0]] = 1
    np.testing.assert_array_equal(gather_rows(matrix, rows, threads=threads), whole[rows])
    got = gather_rows(matrix, rows, colmap=colmap, n_columns=5, target_sum=1e4)
    scale = 1e4 / np.maximum(whole[rows].sum(1, keepdims=True), 1)
    np.testing.assert_allclose(got, np.log1p((whole[rows] @ move) * scale), rtol=1e-6)


def test_out_and_threads(packed):
    store = RowStore(packed[0])
    rows = np.tile(np.arange(store.n_obs), 60)  # enough for the parallel path
    out = np.full((len(rows), store.n_vars), np.nan, dtype=np.float32)
    assert store.rows(rows, out=out, threads=2) is out
    assert out.size > 1 << 18
    np.testing.assert_array_equal(store.rows(rows, threads=1), out)
    for wrong in (out[:, ::-1], out[1:], out.astype(np.float64)):
        with pytest.raises(InputError, match="out is"):
            store.rows(rows, out=wrong)


@pytest.mark.parametrize("rows", [[-1], [10**6], [0.5]])
def test_rows_out_of_range(packed, rows):
    with pytest.raises(InputError):
        RowStore(packed[0]).rows(rows)


def test_a_map_of_other_data_is_refused(packed, tmp_path):
    path, _ = screen_file(tmp_path, G=20)
    other = RowStore(pack(spec_of(path), tmp_path / "other.rows"))
    store = RowStore(packed[0])
    with pytest.raises(InputError, match="maps 20 columns, but there are 35"):
        store.rows([0], genes=other.gene_map(other.var["ensembl_id"].tolist()))


@pytest.mark.parametrize("layout", ["csr", "dense"])
@pytest.mark.parametrize("values", ["counts", "lognorm"])
def test_plain_files_read_the_same(tmp_path, layout, values):
    path, adata = screen_file(tmp_path, layout, values)
    plain = open_rows(path)
    assert isinstance(plain, H5adRows)
    rows = np.random.default_rng(0).integers(0, adata.n_obs, 50)
    np.testing.assert_allclose(plain.rows(rows), dense(normalize(adata.X))[rows], rtol=2e-7)
    np.testing.assert_array_equal(plain.rows(rows, normalized=False), dense(adata.X)[rows])
    assert plain.rows([]).shape == (0, adata.n_vars)
    with pytest.raises(InputError, match="index"):
        plain.rows([adata.n_obs])
    plain.close()


def test_columns_cannot_be_read_by_row(tmp_path):
    path, _ = screen_file(tmp_path, "csc")
    with pytest.raises(InputError, match="pack it first"):
        open_rows(path)


def test_large_counts_and_other_scales(tmp_path):
    path, adata = screen_file(tmp_path)
    adata.X.data[0] = 70000
    adata.write_h5ad(path)
    store = RowStore(pack(spec_of(path), tmp_path / "large.rows"))
    assert (store.norm, store.meta["data"]) == ("counts", "f32")
    assert store.rows(np.arange(store.n_obs), normalized=False).max() == 70000
    adata.X = normalize(adata.X, 500)
    adata.write_h5ad(path)
    store = RowStore(pack(spec_of(path), tmp_path / "scaled.rows"))
    np.testing.assert_allclose(np.expm1(store.rows([0, 5]).astype(float)).sum(1), 1e4, rtol=1e-5)
    adata.X = adata.X[:, ::-1].multiply(np.arange(35) < 20).tocsr()  # genes chosen after normalization
    adata.write_h5ad(path)
    assert RowStore(pack(spec_of(path), tmp_path / "subset.rows")).norm == "log1p"


def test_resolver_and_multiplets(tmp_path):
    path, adata = screen_file(tmp_path)
    adata.obs["guides"] = np.where(np.arange(adata.n_obs) % 5 == 0, 2, 1)
    adata.write_h5ad(path)
    spec = spec_of(path, gene_id_col=None, multiplet_col="guides")
    store = RowStore(pack(spec, tmp_path / "x.rows", genes=GeneResolver(adata.var), control="ctrl"))
    assert store.n_obs == (adata.obs["guides"] == 1).sum()
    np.testing.assert_array_equal(
        store.rows(np.arange(store.n_obs), normalized=False), dense(adata.X)[store.obs["row_in_source"]]
    )
    assert list(store.var["ensembl_id"]) == list(adata.var["gene_id"])
    controls = store.obs["target_gene"] == "ctrl"
    assert set(store.obs.loc[controls, "pert_original"]) == {"non-targeting"}
    assert set(store.obs.loc[controls, "target_id"]) == {"ctrl"}
    wanted = adata.var["gene_id"].reindex(store.obs.loc[~controls, "target_gene"].astype(str)).tolist()
    assert store.obs.loc[~controls, "target_id"].tolist() == wanted


DAMAGE = {
    "truncated data": lambda p: os.truncate(p / "data.u16", 100),
    "truncated starts": lambda p: os.truncate(p / "indptr.i64", 8),
    "missing": lambda p: (p / "indices.u16").unlink(),
    "changed table": lambda p: (p / "obs.parquet").write_bytes(bytes((p / "obs.parquet").stat().st_size)),
    "no meta": lambda p: (p / "meta.json").unlink(),
    "broken meta": lambda p: (p / "meta.json").write_text("{"),
    "foreign meta": lambda p: (p / "meta.json").write_text("{}"),
    "lacking meta": lambda p: (p / "meta.json").write_text('{"format": "cytoripple-rows", "version": 1}'),
    "newer": lambda p: (p / "meta.json").write_text('{"format": "cytoripple-rows", "version": 9}'),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_stores_are_refused(packed, tmp_path, kind):
    copy = tmp_path / "copy.rows"
    shutil.copytree(packed[0], copy)
    DAMAGE[kind](copy)
    with pytest.raises(FileError, match=r"damaged|no row store|version 9"):
        RowStore(copy)


def test_a_changed_value_is_found_by_its_hash(packed, tmp_path):
    copy = tmp_path / "copy.rows"
    shutil.copytree(packed[0], copy)
    with (copy / "data.u16").open("r+b") as file:
        file.write(b"\x07")
    RowStore(copy)
    for check in (lambda: RowStore(copy, verify=True), RowStore(copy).verify):
        with pytest.raises(FileError, match=r"data\.u16 has changed"):
            check()


def test_missing_and_existing_paths(packed, tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        open_rows(tmp_path / "none.rows")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        RowStore(tmp_path / "none.rows")
    path, _ = screen_file(tmp_path)
    out = tmp_path / "x.rows"
    pack(spec_of(path), out)
    with pytest.raises(FileError, match="overwrite=True"):
        pack(spec_of(path), out)
    pack(spec_of(path), out, overwrite=True)
    (tmp_path / "mine").mkdir()
    with pytest.raises(FileError, match="no row store"):
        pack(spec_of(path), tmp_path / "mine", overwrite=True)
    with pytest.raises(FileError, match="make it first"):
        pack(spec_of(path), tmp_path / "no" / "x.rows")


@pytest.mark.parametrize(
    ("value", "says"),
    [(np.nan, "NaN or infinite"), (-1.0, "negative"), (0.5, "convert the parts")],
)
def test_values_that_cannot_be_packed(tmp_path, value, says):
    path, adata = screen_file(tmp_path)
    if value == 0.5:
        adata.X = sparse.vstack([normalize(adata.X)[:50], adata.X[50:]], format="csr")
    else:
        adata.X.data[11] = value
    adata.write_h5ad(path)
    with pytest.raises(LayerError, match=says):
        pack(spec_of(path), tmp_path / "x.rows")
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("stage", ["looking", "packing"])
def test_an_interruption_leaves_nothing(tmp_path, stage):
    class Stop:
        def update(self, done, total, what):
            if what == stage:
                raise KeyboardInterrupt

        def close(self):
            pass

    path, _ = screen_file(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        pack(spec_of(path), tmp_path / "x.rows", progress=Stop())
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_an_old_store_survives_an_interruption(tmp_path):
    class Stop:
        def update(self, done, total, what):
            if what == "packing":
                raise KeyboardInterrupt

        def close(self):
            pass

    path, _ = screen_file(tmp_path)
    out = pack(spec_of(path), tmp_path / "x.rows")
    with pytest.raises(KeyboardInterrupt):
        pack(spec_of(path), out, overwrite=True, progress=Stop())
    RowStore(out, verify=True)


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_what_a_killed_process_left_is_swept(tmp_path):
    path, _ = screen_file(tmp_path)
    code = textwrap.dedent(f"""
        import os, signal
        from tests.vc.helpers import spec_of
        from cytoripple.vc.store import pack
        class Kill:
            def update(self, done, total, what):
                if what == "packing":
                    os.kill(os.getpid(), signal.SIGKILL)
        pack(spec_of({str(path)!r}), {str(tmp_path / "x.rows")!r}, progress=Kill())
    """)
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == -9
    assert not (tmp_path / "x.rows").exists()
    assert list(tmp_path.glob("*.part")) or list(tmp_path.glob(".*.part"))
    pack(spec_of(path), tmp_path / "x.rows")
    assert not list(tmp_path.glob(".*.part"))


def test_a_truncated_source(tmp_path):
    path, _ = screen_file(tmp_path)
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(FileError, match="truncated"):
        pack(spec_of(path), tmp_path / "x.rows")
    (tmp_path / "text.h5ad").write_text("hello")
    with pytest.raises(FileError, match="no HDF5"):
        open_rows(tmp_path / "text.h5ad")


def test_meta_says_where_it_comes_from(packed):
    meta = json.loads((packed[0] / "meta.json").read_text())
    assert meta["format"] == "cytoripple-rows"
    assert meta["version"] == 1
    assert len(meta["sha256"]) == 64
    assert (meta["n_obs"], meta["n_vars"]) == packed[1].shape
    assert set(meta["files"]) == {entry.name for entry in packed[0].iterdir()} - {"meta.json"}


def test_import_of_the_package_stays_light():
    code = "import sys, cytoripple; assert not {'pandas', 'anndata', 'scipy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert ct.__version__


def test_a_real_screen(tmp_path):
    """Knock-outs of a published screen come back from the store, group by group."""
    path = real_file("papalexi_thp1.h5ad")
    spec = DatasetSpec(path, "target", group_by=("replicate",), cell_type="THP-1")
    store = RowStore(pack(spec, tmp_path / "p.rows"))
    adata = ct.io.read(path)
    assert (store.n_obs, store.n_vars) == adata.shape
    assert store.obs["target_gene"].nunique() == 26
    rows = np.random.default_rng(0).integers(0, store.n_obs, 300)
    source = store.obs["row_in_source"].to_numpy()[rows]
    np.testing.assert_array_equal(store.rows(rows, normalized=False), dense(adata.X[source]))
    np.testing.assert_allclose(store.rows(rows), dense(normalize(adata.X[source])), rtol=1e-6)
    label = store.obs["target_gene"].astype(str).to_numpy()
    knocked = store.rows(np.flatnonzero(label == "STAT1")).mean(0)
    control = store.rows(np.flatnonzero(label == "non-targeting")).mean(0)
    assert (knocked - control)[store.var_names.index("STAT1")] < -1
