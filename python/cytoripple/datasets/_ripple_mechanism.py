"""Stages of the benchmark tissue: where cells are, what drives them, what is measured."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import pi

import numpy as np
from numpy.typing import NDArray

from cytoripple import _core
from cytoripple.datasets._ripple_network import Genes, Wiring
from cytoripple.kernels.ligands import ReceivedPlan

N_TYPES = 5
SPACING = 15.0
BLOCK = 90.0
CONTACT_RADIUS, SECRETED_RADIUS = 20.0, 60.0
# The last type is left out: its cells are strewn over all domains.
_TYPE_OF_CENTER = np.array([0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 3, 3])

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Place:
    """Coordinates, type, block and split of every cell."""

    xy: Floats
    types: Ints
    blocks: Ints
    held_out: Flags


def place_cells(n_cells: int, rng: np.random.Generator) -> Place:
    """Cells on a jittered lattice, types in domains with strangers, a fifth of the blocks held out."""
    side = int(np.ceil(np.sqrt(n_cells)))
    cell = np.arange(n_cells)
    xy = SPACING * np.column_stack([cell % side, cell // side]) + rng.uniform(-4, 4, (n_cells, 2))
    centers = rng.uniform(0, SPACING * side, (len(_TYPE_OF_CENTER), 2))
    nearest = ((xy[:, None, :] - centers[None, :, :]) ** 2).sum(axis=2).argmin(axis=1)
    types = np.where(rng.random(n_cells) < 0.12, rng.integers(4, size=n_cells), _TYPE_OF_CENTER[nearest])
    types = np.where(rng.random(n_cells) < 0.07, 4, types)
    corner = np.floor((xy - xy.min(axis=0)) / BLOCK)
    blocks = np.unique(corner, axis=0, return_inverse=True)[1].reshape(-1)
    n_blocks = int(blocks.max()) + 1
    chosen = rng.choice(n_blocks, size=max(1, round(0.2 * n_blocks)), replace=False)
    return Place(xy, types.astype(np.int64), blocks.astype(np.int64), np.isin(blocks, chosen))


def exogenous(genes: Genes, place: Place, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Input of every gene without regulators, and its variation, a hidden confounder included."""
    n, total, masters = len(place.xy), genes.total, genes.n_masters
    base = rng.normal(-1.1, 0.4, total) + rng.normal(0, 0.3, (N_TYPES, total))[place.types]
    base[:, :masters] += rng.normal(0, 0.6, (N_TYPES, masters))[place.types]
    waves = rng.normal(0, 2 * pi / 400, (3, 2, masters))
    phases = rng.uniform(0, 2 * pi, (3, 1, masters))
    base[:, :masters] += 0.5 * np.cos(place.xy @ waves + phases).sum(axis=0)
    loading = rng.normal(size=(3, total)) * (rng.random((3, total)) < 0.2)
    variation = 0.30 * rng.normal(size=(n, total)) + 0.20 * rng.normal(size=(n, 3)) @ loading
    return base, variation


def measure(state: Floats, depth: float, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Draw counts with capture bias, over-dispersion and dropout; return them and the capture weights."""
    kappa = np.exp(rng.normal(0, 0.6, state.shape[1]))
    cell_depth = depth * np.exp(rng.normal(0, 0.35, (len(state), 1)))
    mean = cell_depth * state * kappa / (state * kappa).sum(axis=1, keepdims=True)
    counts = rng.poisson(mean * rng.gamma(10.0, 0.1, mean.shape)).astype(np.float64)
    counts[rng.random(mean.shape) < 0.5 * np.exp(-0.5 * mean)] = 0.0
    return counts, kappa


@dataclass(eq=False)
class Mechanism:
    """Saturating regulation with received ligands, and its steady states."""

    genes: Genes
    wiring: Wiring
    place: Place
    base: Floats
    variation: Floats
    threads: int
    plans: list[tuple[_core.ReceivedPlan, Ints, float]] = field(init=False)

    def __post_init__(self) -> None:
        n_cells = len(self.place.xy)
        self.plans = []
        for radius, acts in ((CONTACT_RADIUS, self.wiring.contact), (SECRETED_RADIUS, ~self.wiring.contact)):
            ligands = np.flatnonzero(acts).astype(np.int64)
            if not len(ligands):
                continue
            plan = ReceivedPlan(self.place.xy, radius=radius, n_ligands=len(ligands), threads=self.threads)
            # The plan divides by the number of cells, the mechanism by the cells under the kernel.
            self.plans.append((plan.native, ligands, n_cells * SPACING**2 / (2 * pi * radius**2)))

    def steady_state(
        self, start: Floats, gene: int | None = None, value: float = 0.0, cells: Flags | None = None
    ) -> Floats:
        """Iterate from `start`, with `gene` held at `value` in `cells`."""
        wiring = self.wiring
        held = np.zeros(len(start), dtype=bool) if cells is None else cells
        return _core.ripple_steady_state(
            (self.place.types, self.base, self.variation, self.genes.ligands),
            (wiring.tf, wiring.tf_weights),
            (wiring.lr, wiring.lr_weights),
            (wiring.tfl, wiring.tfl_weights),
            self.plans,
            start,
            None if gene is None else (gene, value, held),
            threads=self.threads,
        )
