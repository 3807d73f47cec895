"""The regulation that makes a synthetic tissue: saturating, in part by ligands of other cells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse
from scipy.spatial import KDTree

SPACING = 15.0
SECRETED_RADIUS = 60.0
CONTACT_RADIUS = 20.0
_REACH = 3.0
"""A signal ends this many radii away, where its kernel is 1 % of the maximum."""
_MAXIMUM = 4.0
"""Expression of a gene that is fully on, before cell-to-cell variation."""


@dataclass(frozen=True)
class Roles:
    """Positions of transcription factors, ligands, receptors and targets among the genes."""

    names: tuple[str, ...]
    masters: NDArray[np.int64]
    tfs: NDArray[np.int64]
    ligands: NDArray[np.int64]
    receptors: NDArray[np.int64]
    targets: NDArray[np.int64]

    @classmethod
    def divide(cls, n_genes: int) -> Roles:
        """Make a quarter transcription factors, an eighth ligands, an eighth receptors, the rest targets."""
        counts = {"Tf": n_genes // 4, "Lig": n_genes // 8, "Rec": n_genes // 8}
        counts["Tgt"] = n_genes - sum(counts.values())
        digits = max(2, len(str(max(counts.values()))))
        names = tuple(f"{kind}{i + 1:0{digits}d}" for kind, count in counts.items() for i in range(count))
        ends = np.cumsum(list(counts.values()))
        tfs, ligands, receptors, targets = np.split(np.arange(n_genes), ends[:-1])
        return cls(names, tfs[: max(2, len(tfs) // 3)], tfs, ligands, receptors, targets)


@dataclass(frozen=True, eq=False)
class Wiring:
    """Who regulates whom, per cluster.

    The genes form levels (master factors; early ligands and receptors; other factors; late ligands;
    targets) and edges only lead to a later one, so the steady state exists and is unique.
    """

    lr_pairs: NDArray[np.int64]
    """Pairs x 2: ligand gene, receptor gene."""
    tfl_pairs: NDArray[np.int64]
    """Pairs x 2: ligand gene, transcription factor gene."""
    weights: NDArray[np.float64]
    """Clusters x features x genes; features are all factors, then LR pairs, then TFL pairs."""
    contact: NDArray[np.int64]
    """Ligand genes that act by contact."""

    def edges(self, roles: Roles, clusters: tuple[str, ...]) -> pd.DataFrame:
        """One row per target, modulator and cluster in which it acts."""
        names = roles.names
        modulators = [names[tf] for tf in roles.tfs]
        modulators += [f"{names[ligand]}${names[receptor]}" for ligand, receptor in self.lr_pairs]
        modulators += [f"{names[ligand]}#{names[tf]}" for ligand, tf in self.tfl_pairs]
        kinds = ["tf"] * len(roles.tfs) + ["lr"] * len(self.lr_pairs) + ["tfl"] * len(self.tfl_pairs)
        gene, feature, cluster = np.nonzero(self.weights.transpose(2, 1, 0))
        return pd.DataFrame(
            {
                "target": [names[i] for i in gene],
                "modulator": [modulators[i] for i in feature],
                "kind": [kinds[i] for i in feature],
                "cell_type": [clusters[i] for i in cluster],
                "weight": self.weights[cluster, feature, gene],
            }
        )


def wire(roles: Roles, n_clusters: int, rng: np.random.Generator) -> Wiring:
    """Draw the true regulation."""
    ligands = rng.permutation(roles.ligands)
    contact = np.sort(ligands[: max(1, round(0.3 * len(ligands)))])
    lr_pairs = np.array(
        [
            (ligand, receptor)
            for ligand in roles.ligands
            for receptor in rng.choice(roles.receptors, size=rng.integers(1, 3), replace=False)
        ]
    )
    early = roles.ligands[: (len(roles.ligands) + 1) // 2]
    drawn: list[tuple[int, int, float]] = []  # feature, gene, weight
    tfl: list[tuple[int, int]] = []
    any_pair = cycle(rng.permutation(len(lr_pairs)))
    early_pair = cycle(rng.permutation(np.flatnonzero(np.isin(lr_pairs[:, 0], early))))
    n_tf = len(roles.tfs)
    for gene in range(len(roles.names)):
        if gene in roles.masters:
            continue
        first = gene in early or gene in roles.receptors
        pool = roles.masters if first or gene in roles.tfs else roles.tfs
        factors = rng.choice(pool, size=min(len(pool), int(rng.integers(2, 4))), replace=False)
        drawn += [(int(tf), gene, _weight(rng, 1.5, 3.5)) for tf in factors]
        if first:
            continue
        pairs = any_pair if gene in roles.targets else early_pair
        n_pairs = rng.choice([0, 1, 2], p=[0.25, 0.5, 0.25] if gene in roles.targets else [0.3, 0.7, 0.0])
        drawn += [(n_tf + int(pair), gene, _weight(rng, 2.0, 4.0)) for pair in islice(pairs, n_pairs)]
        if gene in roles.targets and rng.random() < 0.3:
            tfl.append((int(rng.choice(roles.ligands)), int(factors[0])))
            drawn.append((n_tf + len(lr_pairs) + len(tfl) - 1, gene, _weight(rng, 2.0, 4.0)))
    tfl_pairs = np.array(tfl, dtype=np.int64).reshape(-1, 2)
    weights = np.zeros((n_clusters, n_tf + len(lr_pairs) + len(tfl_pairs), len(roles.names)))
    for feature, gene, weight in drawn:
        active = rng.random(n_clusters) < 0.7
        active[rng.integers(n_clusters)] = True
        weights[active, feature, gene] = weight * rng.uniform(0.6, 1.4, active.sum())
    return Wiring(lr_pairs, tfl_pairs, weights, contact)


def _weight(rng: np.random.Generator, low: float, high: float) -> float:
    sign = -1.0 if rng.random() < 0.3 else 1.0
    return sign * rng.uniform(low, high)


@dataclass(frozen=True, eq=False)
class Mechanism:
    """Everything that decides the expression of every cell, except counting."""

    roles: Roles
    wiring: Wiring
    clusters: NDArray[np.int64]
    base: NDArray[np.float64]
    """Cells x genes: drive of each gene without its regulators."""
    variation: NDArray[np.float64]
    """Cells x genes: factor by which a cell differs from its kind."""
    contact_kernel: Any  # sparse, cells x cells
    secreted_kernel: Any

    def steady_state(self, silenced: Mapping[int, NDArray[np.bool_]] | None = None) -> NDArray[np.float64]:
        """Expression of every gene in every cell when nothing changes any more.

        Parameters
        ----------
        silenced
            Gene -> cells (mask) in which it is held at 0.
        """
        expression = np.ones_like(self.base)
        for _ in range(len(self.roles.names)):  # as many rounds as there are levels, at most
            following = self._follow(expression)
            for gene, cells in (silenced or {}).items():
                following[cells, gene] = 0.0
            if np.array_equal(following, expression):
                break
            expression = following
        return expression

    def received(self, expression: NDArray[np.float64]) -> NDArray[np.float64]:
        """Amount of each gene that arrives at each cell as a ligand; 0 for genes that are none."""
        arriving = np.zeros_like(expression)
        contact = self.wiring.contact
        secreted = np.setdiff1d(self.roles.ligands, contact)
        arriving[:, contact] = self.contact_kernel @ expression[:, contact]
        arriving[:, secreted] = self.secreted_kernel @ expression[:, secreted]
        return arriving

    def _follow(self, now: NDArray[np.float64]) -> NDArray[np.float64]:
        arriving = self.received(now)
        squared = now**2
        factors = squared / (1 + squared)
        bound = arriving[:, self.wiring.lr_pairs[:, 0]] * now[:, self.wiring.lr_pairs[:, 1]]
        sensed = arriving[:, self.wiring.tfl_pairs[:, 0]]
        features = np.hstack(
            [
                factors[:, self.roles.tfs] - 0.5,
                bound / (1 + bound) - 0.5,
                sensed / (1 + sensed) * factors[:, self.wiring.tfl_pairs[:, 1]] - 0.25,
            ]
        )
        drive = self.base.copy()
        for cluster, weights in enumerate(self.wiring.weights):
            cells = self.clusters == cluster
            drive[cells] += features[cells] @ weights
        expression: NDArray[np.float64] = _MAXIMUM * self.variation / (1 + np.exp(-drive))
        return expression


def kernel(xy: NDArray[np.float64], radius: float) -> Any:
    """Gaussian weights between cells (sparse, cells x cells); rows of a large tissue sum to about 1."""
    n = len(xy)
    left, right = KDTree(xy).query_pairs(_REACH * radius, output_type="ndarray").T
    squared = ((xy[left] - xy[right]) ** 2).sum(axis=1)
    weights = np.exp(-squared / (2 * radius**2))
    half = sparse.csr_matrix((weights, (left, right)), shape=(n, n))
    full = sparse.csr_matrix(half + half.T + sparse.identity(n))
    full.sort_indices()
    return full * (SPACING**2 / (2 * np.pi * radius**2))
