"""Synthetic sections of any size: molecules of eight cells per spot, drawn from known profiles.

15,000 genes, 16 types in four lineages of which two are rare, about 1,000 molecules per spot, a gene-wise
factor of log-sd 0.15 between reference and tissue. Spots are made and written in blocks, so that a section
may be larger than memory.

    python benches/deconv_speed/generate.py FOLDER --spots 100000 [--h5ad]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Floats = NDArray[np.float64]
GENES, TYPES, CELLS_PER_TYPE, CELLS_PER_SPOT, BLOCK = 15_000, 16, 60, 8, 10_000


def profiles(rng: np.random.Generator, genes: int = GENES) -> Floats:
    """Draw types x genes shares: lineages differ in 15 % of the genes, types of a lineage in 11.5 %.

    At these settings other methods have the errors they are known for on such data: FlashDeconv 0.2.0 .077,
    weighted least squares .032, plain least squares .050.
    """
    base = rng.lognormal(0.0, 1.4, genes)
    lineages = [base * np.exp(rng.normal(0, 1, genes) * (rng.random(genes) < 0.15)) for _ in range(4)]
    found = np.stack(
        [
            lineages[kind % 4] * np.exp(rng.normal(0, 1.2, genes) * (rng.random(genes) < 0.115))
            for kind in range(TYPES)
        ]
    )
    return np.asarray(found / found.sum(axis=1, keepdims=True))


class Alias:
    """Draw from a distribution in constant time (Walker 1977, Vose 1991)."""

    def __init__(self, shares: Floats) -> None:
        n = len(shares)
        self.cut, self.other = shares * n, np.arange(n)
        small, large = ([*np.flatnonzero(found)] for found in (self.cut < 1, self.cut >= 1))
        while small and large:
            low, high = small.pop(), large[-1]
            self.other[low] = high
            self.cut[high] -= 1 - self.cut[low]
            if self.cut[high] < 1:
                small.append(large.pop())

    def draw(self, size: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Draw `size` positions."""
        place = rng.integers(len(self.cut), size=size)
        return np.where(rng.random(size) < self.cut[place], place, self.other[place])


def fields(xy: Floats, rng: np.random.Generator) -> Floats:
    """Draw expected shares of cells, spots x types: three soft patches per type, the last two types rare."""
    side = xy.max() + 1
    shares = np.zeros((len(xy), TYPES))
    for kind, centers in enumerate(rng.random((TYPES, 3, 2)) * side):
        for center in centers:
            shares[:, kind] += np.exp(-((xy - center) ** 2).sum(axis=1) / (2 * (side / 8) ** 2))
    shares[:, -2:] *= 0.1
    shares += 1e-3
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))


def molecules(
    cells: Floats, kinds: list[Alias], depth: float, rng: np.random.Generator
) -> sparse.csr_matrix[np.float32]:
    """Draw the counts of a block of spots from their cells per type."""
    total = rng.poisson(rng.lognormal(np.log(depth), 0.3, len(cells)))
    per_type = rng.multinomial(total, cells / cells.sum(axis=1, keepdims=True))
    spots, genes = [], []
    for kind, alias in enumerate(kinds):
        spots.append(np.repeat(np.arange(len(cells), dtype=np.int32), per_type[:, kind]))
        genes.append(alias.draw(int(per_type[:, kind].sum()), rng).astype(np.int32))
    spot, gene = np.concatenate(spots), np.concatenate(genes)
    counts = sparse.coo_matrix((np.ones(len(spot), np.float32), (spot, gene)), (len(cells), GENES)).tocsr()
    counts.sum_duplicates()
    return counts


def make(folder: Path, n: int, *, seed: int = 0, depth: float = 1000, platform: float = 0.15) -> None:
    """Write a section: counts as raw CSR arrays, coordinates, truth, and reference cells."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    shares = profiles(rng)
    tissue = shares * np.exp(rng.normal(0, platform, GENES))
    tissue /= tissue.sum(axis=1, keepdims=True)
    kinds = [Alias(row) for row in tissue]
    side = int(np.ceil(np.sqrt(n)))
    xy = np.stack(np.divmod(np.arange(n), side), axis=1).astype(np.float64)
    expected = fields(xy, rng)
    truth = np.empty((n, TYPES), np.float32)
    starts = [np.zeros(1, np.int64)]
    files: dict[str, IO[bytes]] = {name: (folder / name).open("wb") for name in ("data", "indices")}
    for first in range(0, n, BLOCK):
        cells = rng.multinomial(CELLS_PER_SPOT, expected[first : first + BLOCK]).astype(np.float64)
        truth[first : first + BLOCK] = cells / CELLS_PER_SPOT
        counts = molecules(cells, kinds, depth, rng)
        counts.data.tofile(files["data"])
        counts.indices.astype(np.int32).tofile(files["indices"])
        starts.append(counts.indptr[1:].astype(np.int64) + starts[-1][-1])
    for file in files.values():
        file.close()
    indptr = np.concatenate(starts)
    labels = np.repeat(np.arange(TYPES), CELLS_PER_TYPE)
    rates = shares[labels] * rng.lognormal(np.log(3000), 0.4, len(labels))[:, None]
    sparse.save_npz(folder / "cells.npz", sparse.csr_matrix(rng.poisson(rates).astype(np.float32)))
    np.savez(folder / "rest.npz", coords=xy, truth=truth, labels=labels, indptr=indptr)
    (folder / "about.json").write_text(json.dumps({"spots": n, "stored": int(indptr[-1]), "seed": seed}))


def load(folder: Path) -> tuple[sparse.csr_matrix[np.float32], dict[str, Any], sparse.csr_matrix[Any]]:
    """Load the counts, everything else by name, and the reference cells."""
    with np.load(folder / "rest.npz") as file:
        rest = {name: file[name] for name in file.files}
    data = np.fromfile(folder / "data", np.float32)
    indices = np.fromfile(folder / "indices", np.int32)
    indptr = rest["indptr"] if rest["indptr"][-1] >= 2**31 else rest["indptr"].astype(np.int32)
    counts = sparse.csr_matrix((data, indices, indptr), shape=(len(indptr) - 1, GENES), copy=False)
    counts.has_sorted_indices = counts.has_canonical_format = True
    return counts, rest, sparse.load_npz(folder / "cells.npz")


def write_h5ad(folder: Path) -> Path:
    """Write the section as h5ad without holding its counts."""
    import anndata
    import h5py
    import pandas as pd

    path = folder / "spots.h5ad"
    with np.load(folder / "rest.npz") as rest:
        coords, indptr = rest["coords"], rest["indptr"]
    names = pd.DataFrame(index=np.char.add("s", np.arange(len(coords)).astype(str)))
    genes = pd.DataFrame(index=[f"g{at}" for at in range(GENES)])
    anndata.AnnData(obs=names, var=genes, obsm={"spatial": coords}).write_h5ad(path)
    with h5py.File(path, "r+") as file:
        if "X" in file:
            del file["X"]
        group = file.create_group("X")
        group.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0"})
        group.attrs["shape"] = np.array([len(coords), GENES])
        group.create_dataset("indptr", data=indptr)
        for name, kind in (("data", np.float32), ("indices", np.int32)):
            source = np.memmap(folder / name, kind, "r")
            target = group.create_dataset(name, source.shape, kind, chunks=(1 << 20,))
            for first in range(0, len(source), 1 << 24):
                target[first : first + (1 << 24)] = source[first : first + (1 << 24)]
    return path


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="make a synthetic section")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--spots", type=int, default=10_000)
    parser.add_argument("--depth", type=float, default=1000)
    parser.add_argument("--platform", type=float, default=0.15)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--h5ad", action="store_true", help="also write spots.h5ad")
    given = parser.parse_args()
    make(given.folder, given.spots, seed=given.seed, depth=given.depth, platform=given.platform)
    if given.h5ad:
        write_h5ad(given.folder)


if __name__ == "__main__":
    main()
