"""Random cells: the row store against a raw memory-mapped read and against h5ad files.

Run ``OPENBLAS_NUM_THREADS=1 python benches/ratio.py record store`` for the table, or pytest for a small
accuracy-checked version. Times are per row, one thread, files in the page cache. Every reader returns the
same cells as dense float32; the store can also normalize counts. The raw read is numpy's indexing of a
memory-mapped dense float32 file, or of memory-mapped CSR arrays row by row.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from cytoripple.vc.dataset import DatasetSpec
from cytoripple.vc.store import H5adRows, RowStore, pack

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from ratio import Ratio, in_turns

Rows = NDArray[np.int64]
Reader = Callable[[Rows], NDArray[np.float32]]


def write_screen(folder: Path, n: int, g: int, share: float) -> sparse.csr_matrix:
    """Write counts of the given share of non-zeros as h5ad, CSR."""
    import pandas as pd
    from anndata import AnnData

    rng = np.random.default_rng(0)
    parts = []
    for first in range(0, n, 2000):
        block = rng.poisson(1.2, (min(2000, n - first), g)) + 1
        parts.append(sparse.csr_matrix((block * (rng.random(block.shape) < share)).astype(np.float32)))
    counts = sparse.vstack(parts, format="csr")
    labels = np.where(
        np.arange(n) % 10 == 0, "non-targeting", np.char.add("P", (np.arange(n) % 40).astype(str))
    )
    obs = pd.DataFrame({"target_gene": labels}, index=np.arange(n).astype(str))
    AnnData(counts, obs=obs, var=pd.DataFrame(index=np.arange(g).astype(str))).write_h5ad(folder / "x.h5ad")
    return counts


def readers(folder: Path, n: int, g: int, share: float) -> dict[str, Reader]:
    """Return all ways to read."""
    counts = write_screen(folder, n, g, share)
    store = RowStore(pack(DatasetSpec(folder / "x.h5ad", "target_gene"), folder / "x.rows"))
    counts = counts[store.obs["row_in_source"].to_numpy()]
    dense = counts.toarray()
    dense.tofile(folder / "dense.f32")
    mapped = np.memmap(folder / "dense.f32", dtype=np.float32, mode="r", shape=(n, g))
    for name, array in (("data", counts.data), ("indices", counts.indices), ("indptr", counts.indptr)):
        np.save(folder / f"{name}.npy", array)
    data, indices = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("data", "indices"))
    with h5py.File(folder / "gzip.h5", "w") as file:
        file.create_dataset("auto", data=dense, compression="gzip", chunks=True)
        file.create_dataset("rows", data=dense, compression="gzip", chunks=(64, g))
    file = h5py.File(folder / "gzip.h5", "r")
    counts.sort_indices()
    from anndata import AnnData

    AnnData(counts).write_h5ad(folder / "sorted.h5ad")
    plain = H5adRows(folder / "sorted.h5ad")

    def raw_csr(rows: Rows) -> NDArray[np.float32]:
        out = np.zeros((len(rows), g), dtype=np.float32)
        for k, row in enumerate(rows):
            part = slice(counts.indptr[row], counts.indptr[row + 1])
            out[k, indices[part]] = data[part]
        return out

    def one_by_one(name: str) -> Reader:
        return lambda rows: np.stack([file[name][row] for row in rows])

    return {
        "store, counts": lambda rows: store.rows(rows, normalized=False, threads=1),
        "store, normalized": lambda rows: store.rows(rows, threads=1),
        "raw memmap, dense": lambda rows: np.asarray(mapped[rows]),
        "raw memmap, CSR": raw_csr,
        "h5ad CSR, coalesced": lambda rows: plain.rows(rows, normalized=False, threads=1),
        "gzip h5, automatic chunks": one_by_one("auto"),
        "gzip h5, 64-row chunks": one_by_one("rows"),
    }


def ratios() -> Iterator[Ratio]:
    """Measure every row of the table."""
    n, g, share = 20_000, 2_000, 0.25
    with tempfile.TemporaryDirectory() as folder:
        made = readers(Path(folder), n, g, share)
        rows = np.random.default_rng(1).integers(0, n, 2000)
        for name in [name for name in made if not name.startswith("store")]:
            few = rows[:20] if "gzip" in name else rows
            ours, peer = partial(made["store, counts"], rows), partial(made[name], few)
            error = float(np.abs(ours()[: len(few)] - peer()).max())
            *seconds, matmul, copy = in_turns(ours, peer, 7)
            case = f"{n:,} x {g:,}, {share:.0%} non-zero, one random row"
            each = seconds[0] / len(rows), seconds[1] / len(few)
            yield Ratio("store", case, name, *each, error, error, "cells, difference", matmul, copy)


def test_all_readers_agree(tmp_path: Path) -> None:
    made = readers(tmp_path, 400, 60, 0.25)
    rows = np.random.default_rng(2).integers(0, 400, 30)
    wanted = made["raw memmap, dense"](rows)
    for name, read in made.items():
        got = read(rows)
        if name == "store, normalized":
            scale = 1e4 / np.maximum(wanted.sum(1, keepdims=True), 1)
            np.testing.assert_allclose(got, np.log1p(wanted * scale), rtol=1e-6)
        else:
            np.testing.assert_array_equal(got, wanted)
