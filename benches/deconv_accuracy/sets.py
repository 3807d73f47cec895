"""Semi-synthetic spots: of real annotated cells, half are the reference, half are summed into spots.

Truth is known while the variation between genes and between cells is real. A set is a tissue, one of eight
scenarios, and a seed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anndata
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse

Floats = NDArray[np.float64]
SIDE = 20
TISSUES = {
    "cerebellum": (),
    "hypothalamus": ("Ambiguous", "Unstable"),
    "hippo": (),
}
"""Reference files and the labels that are no types."""


@dataclass(frozen=True)
class Scenario:
    """How spots are made: composition, mean counts, platform log-sd, gamma shape of over-dispersion.

    With `half`, half of the types of the reference are not in the tissue. `genes` is the size of a panel.
    """

    composition: str
    depth: float
    platform: float
    gamma: float | None = None
    half: bool = False
    genes: int | None = None


SCENARIOS = {
    "regions": Scenario("regions", 1500, 0.3),
    "smooth": Scenario("smooth", 1500, 0.3),
    "rare": Scenario("rare", 1500, 0.3),
    "common": Scenario("common", 1500, 0.3),
    "missing": Scenario("missing", 600, 0.3, 5.0),
    "shallow": Scenario("regions", 150, 0.3, 5.0),
    "deep": Scenario("regions", 20_000, 0.0),
    "platform": Scenario("smooth", 600, 0.6, 2.0),
}
HARSH = {
    f"{'half-' if half else ''}{composition}-{sd}": Scenario(composition, 5000, sd, half=half, genes=125)
    for sd in (0.6, 0.8, 1.1)
    for composition in ("regions", "smooth")
    for half in (False, True)
}
"""Deep spots of a small panel far from their reference, beside the eight scenarios and not in their means."""


@dataclass(frozen=True)
class Set:
    """Spots, reference cells and truth.

    Parameters
    ----------
    name, tissue, scenario, seed
        What it is.
    counts, coords
        Spots x genes counts and spots x 2 positions on a slightly disturbed lattice.
    cells, labels
        Reference cells x genes counts and the type of each.
    truth
        Spots x types shares of RNA without the absent type, rows of sum 1.
    rare
        Types that hold less than 5 % of the RNA.
    """

    name: str
    tissue: str
    scenario: str
    seed: int
    counts: sparse.csr_matrix[np.float32]
    coords: Floats
    cells: sparse.csr_matrix[np.float32]
    labels: NDArray[np.str_]
    truth: Floats
    rare: NDArray[np.bool_]

    @property
    def means(self) -> Floats:
        """Mean counts of the types (sorted by name) x genes."""
        kinds = np.unique(self.labels, return_inverse=True)[1]
        sums = sparse.csr_matrix((np.ones(len(kinds)), (kinds, np.arange(len(kinds))))) @ self.cells
        return np.asarray(sums.todense()) / np.bincount(kinds)[:, None]


def shared() -> Path:
    """Folder of the references: CYTORIPPLE_SHARED, else ../shared beside the repository."""
    root = os.environ.get("CYTORIPPLE_SHARED")
    return (Path(root) if root else Path(__file__).resolve().parents[3] / "shared") / "data"


def all_sets(seeds: range, tissues: list[str], scenarios: list[str]) -> Iterator[Set]:
    """Make every set once."""
    for tissue in tissues:
        adata = anndata.read_h5ad(shared() / f"{tissue}_ref.h5ad")
        labels = adata.obs["cell_type"].astype(str).to_numpy()
        filled = np.asarray(adata.X.sum(axis=1)).ravel() > 0
        keep = ~np.isin(labels, TISSUES[tissue]) & filled
        counts = sparse.csr_matrix(adata.X[keep], dtype=np.float64)
        for scenario in scenarios:
            for seed in seeds:
                yield _make(tissue, scenario, seed, counts, labels[keep])


def _make(tissue: str, scenario: str, seed: int, counts: Any, labels: NDArray[np.str_]) -> Set:
    known = SCENARIOS | HARSH
    how = known[scenario]
    order = [*TISSUES].index(tissue), [*known].index(scenario), seed
    rng = np.random.default_rng(order)
    types, kinds = np.unique(labels, return_inverse=True)
    half = _halves(kinds, rng)
    field = fields(how.composition, len(types), rng)
    if how.half:
        field = _half_of(field, rng)
    absent = int(np.argsort(field.mean(axis=0))[-2]) if how.composition == "missing" else -1
    sums, truth = _spots(field, counts, kinds, np.flatnonzero(half), rng)
    rates = sums * np.exp(rng.normal(0.0, how.platform, counts.shape[1]))
    if how.gamma is not None:
        rates = rates * rng.gamma(how.gamma, 1 / how.gamma, rates.shape)
    depth = rng.lognormal(np.log(how.depth) - 0.045, 0.3, len(rates))
    spots = rng.poisson(rates / rates.sum(axis=1, keepdims=True) * depth[:, None])
    present = np.arange(len(types)) != absent
    truth = truth[:, present]
    left = truth.sum(axis=1)
    # A spot of nothing but the absent type has no truth: it is left out.
    usable = left > 0.05
    truth = truth[usable] / left[usable, None]
    reference = ~half & (kinds != absent)
    kept: Any = slice(None)
    if how.genes is not None:
        kept = np.sort(rng.choice(counts.shape[1], how.genes, replace=False))
    lattice = np.stack(np.divmod(np.arange(SIDE * SIDE), SIDE), axis=1)
    coords = lattice + rng.uniform(-0.05, 0.05, lattice.shape)  # no ties between neighbors
    return Set(
        name=f"{tissue}-{scenario}-{seed}",
        tissue=tissue,
        scenario=scenario,
        seed=seed,
        counts=sparse.csr_matrix(spots[usable][:, kept].astype(np.float32)),
        coords=coords[usable],
        cells=sparse.csr_matrix(counts[reference][:, kept], dtype=np.float32),
        labels=labels[reference],
        truth=truth,
        rare=truth.mean(axis=0) < 0.05,
    )


def _half_of(field: Floats, rng: np.random.Generator) -> Floats:
    """Take half of the types out of the tissue; spots that had no other get equal shares of the rest."""
    n_types = field.shape[1]
    gone = np.isin(np.arange(n_types), rng.permutation(n_types)[: n_types // 2])
    field = np.where(gone, 0.0, field)
    field[field.sum(axis=1) < 1e-9] = ~gone
    return np.asarray(field / field.sum(axis=1, keepdims=True))


def _halves(kinds: NDArray[np.intp], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Mark a random half of every type: the cells that make spots."""
    half = np.zeros(len(kinds), dtype=bool)
    for kind in range(kinds.max() + 1):
        cells = rng.permutation(np.flatnonzero(kinds == kind))
        half[cells[: len(cells) // 2]] = True
    return half


def fields(composition: str, n_types: int, rng: np.random.Generator) -> Floats:
    """Draw expected shares of cells, spots x types."""
    if composition == "smooth":
        noise = rng.normal(size=(n_types, SIDE, SIDE))
        waves = np.stack([ndimage.gaussian_filter(one, 2.5, mode="wrap") for one in noise])
        waves = 2.0 * waves / waves.std(axis=(1, 2), keepdims=True)
        shares = np.exp(waves.reshape(n_types, -1).T)
        return np.asarray(shares / shares.sum(axis=1, keepdims=True))
    places = np.stack(np.divmod(np.arange(SIDE * SIDE), SIDE), axis=1)
    centers = rng.random((5, 2)) * SIDE
    region = ((places[:, None] - centers) ** 2).sum(axis=2).argmin(axis=1)
    mixtures = np.zeros((5, n_types))
    for mixture in mixtures:
        kinds = rng.choice(n_types, rng.integers(5, 10), replace=False)
        mixture[kinds] = rng.dirichlet(np.ones(len(kinds)))
    if composition in ("rare", "common"):
        special, share = int(rng.integers(n_types)), 0.03 if composition == "rare" else 0.65
        mixtures[:, special] = 0.0
        mixtures *= (1 - share) / mixtures.sum(axis=1, keepdims=True)
        mixtures[:, special] = share
    return mixtures[region]


def _spots(
    field: Floats, counts: Any, kinds: NDArray[np.intp], pool: NDArray[np.intp], rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Add up 2 to 10 cells of the pool per spot: counts, and shares of RNA of the types."""
    of_type = [pool[kinds[pool] == kind] for kind in range(field.shape[1])]
    depth = np.asarray(counts.sum(axis=1)).ravel()
    spot, cell = [], []
    for at, shares in enumerate(field):
        drawn = rng.multinomial(rng.integers(2, 11), shares)
        for kind in np.flatnonzero(drawn):
            cell += rng.choice(of_type[kind], drawn[kind]).tolist()
            spot += [at] * int(drawn[kind])
    which, cells = np.array(spot), np.array(cell)
    takes = sparse.csr_matrix((np.ones(len(which)), (which, cells)), shape=(len(field), len(kinds)))
    truth = np.zeros(field.shape)
    np.add.at(truth, (which, kinds[cells]), depth[cells])
    return np.asarray((takes @ counts).todense()), truth / truth.sum(axis=1, keepdims=True)
