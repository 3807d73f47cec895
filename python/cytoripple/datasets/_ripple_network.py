"""Random wiring of the benchmark tissue: true edges with weights per type, and the imperfect prior."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

CONTACT_SHARE = 0.3
LIGANDS_PER_TF = 3


@dataclass(frozen=True)
class Genes:
    """Positions of the kinds of genes on the gene axis: TFs (masters first), ligands, receptors, targets."""

    n_tf: int
    n_masters: int
    n_ligands: int
    n_receptors: int
    n_targets: int

    @property
    def ligands(self) -> Ints:
        """Gene of each ligand."""
        return np.arange(self.n_tf, self.n_tf + self.n_ligands, dtype=np.int64)

    @property
    def receptors(self) -> Ints:
        """Gene of each receptor."""
        start = self.n_tf + self.n_ligands
        return np.arange(start, start + self.n_receptors, dtype=np.int64)

    @property
    def total(self) -> int:
        """Number of genes."""
        return self.n_tf + self.n_ligands + self.n_receptors + self.n_targets

    @property
    def names(self) -> list[str]:
        """Symbols that say the kind."""
        kinds = (("TF", self.n_tf), ("LG", self.n_ligands), ("RC", self.n_receptors), ("TG", self.n_targets))
        return [f"{kind}{i:0{3 if kind == 'TG' else 2}d}" for kind, n in kinds for i in range(n)]

    @property
    def kinds(self) -> list[str]:
        """``tf``, ``ligand``, ``receptor`` or ``target`` per gene."""
        counts = (self.n_tf, self.n_ligands, self.n_receptors, self.n_targets)
        return [str(kind) for kind in np.repeat(["tf", "ligand", "receptor", "target"], counts)]

    def kind(self, gene: int) -> str:
        """Kind of one gene, with masters told from other TFs."""
        if gene < self.n_masters:
            return "master"
        starts = (self.n_tf, self.ligands[-1] + 1, self.receptors[-1] + 1)
        return ("tf", "ligand", "receptor", "target")[sum(gene >= start for start in starts)]


@dataclass(frozen=True, eq=False)
class Wiring:
    """True edges with their weights per type, 0 where they do not act.

    Attributes
    ----------
    tf
        Regulated gene, TF.
    lr, tfl
        Regulated gene, ligand number, gene of the receptor or TF.
    tf_weights, lr_weights, tfl_weights
        Edges x types.
    pairs
        Ligand number and receptor gene of every true pair.
    contact
        Per ligand, whether it acts by contact.
    """

    tf: Ints
    tf_weights: Floats
    lr: Ints
    lr_weights: Floats
    tfl: Ints
    tfl_weights: Floats
    pairs: Ints
    contact: NDArray[np.bool_]

    def out_strength(self, genes: Genes) -> Floats:
        """Sum of the absolute weights of what a gene regulates, over types.

        A TF counts by its own edges; a ligand by its pairs, and by half of its edges that need a TF too.
        """
        strength = np.zeros(genes.total)
        np.add.at(strength, self.tf[:, 1], np.abs(self.tf_weights).sum(axis=1))
        by_pair = np.abs(self.lr_weights).sum(axis=1)
        np.add.at(strength, genes.ligands[self.lr[:, 1]], by_pair)
        np.add.at(strength, self.lr[:, 2], by_pair)
        np.add.at(strength, genes.ligands[self.tfl[:, 1]], 0.5 * np.abs(self.tfl_weights).sum(axis=1))
        return strength

    def strongest_factor(self, gene: int) -> int:
        """TF with the largest weight on `gene`, over types."""
        into = self.tf[:, 0] == gene
        return int(self.tf[into, 1][np.abs(self.tf_weights[into]).sum(axis=1).argmax()])

    def edges(self, genes: Genes, types: Sequence[str]) -> pd.DataFrame:
        """Table of the acting edges, one row per edge and type."""
        ligands, names = (
            np.array(genes.names, dtype=object)[genes.ligands],
            np.array(genes.names, dtype=object),
        )
        pair, joint = (ligands[ends[:, 1]] + sign + names[ends[:, 2]] for ends, sign in (
            (self.lr, "$"), (self.tfl, "#")))  # fmt: skip
        return edge_table(
            [
                ("tf", names[self.tf[:, 0]], names[self.tf[:, 1]], self.tf_weights),
                ("lr", names[self.lr[:, 0]], pair, self.lr_weights),
                ("tfl", names[self.tfl[:, 0]], joint, self.tfl_weights),
            ],
            types,
        )


def edge_table(
    parts: Sequence[tuple[str, NDArray[np.object_], NDArray[np.object_], Floats]], types: Sequence[str]
) -> pd.DataFrame:
    """Table of acting edges; a part is a kind, target and modulator names, and weights, edges x types."""
    import pandas as pd

    frames = []
    for kind, targets, modulators, weights in parts:
        edge, cell_type = np.nonzero(weights)
        frames.append(
            pd.DataFrame(
                {
                    "target": targets[edge],
                    "modulator": modulators[edge],
                    "kind": kind,
                    "cell_type": np.array(types, dtype=object)[cell_type],
                    "weight": weights[edge, cell_type],
                }
            )
        )
    return pd.concat([frame for frame in frames if len(frame)], ignore_index=True)


def draw_wiring(genes: Genes, n_types: int, active: float, signal: float, rng: np.random.Generator) -> Wiring:
    """Draw the true network; an edge acts in a type with probability `active`, in one type at least."""
    contact = rng.random(genes.n_ligands) < CONTACT_SHARE
    pairs = np.array(
        [
            (ligand, receptor)
            for ligand in range(genes.n_ligands)
            for receptor in rng.choice(genes.receptors, size=rng.integers(1, 3), replace=False)
        ],
        dtype=np.int64,
    )
    tf: list[tuple[int, int]] = []
    lr: list[tuple[int, int, int]] = []
    tfl: list[tuple[int, int, int]] = []
    for gene in range(genes.n_masters, genes.total):
        kind = genes.kind(gene)
        chosen = _regulators(gene, kind, genes, rng)
        tf += [(gene, factor) for factor in chosen]
        allowed = pairs[(genes.ligands[pairs[:, 0]] != gene) & (pairs[:, 1] != gene)]
        n_inputs = min(_draw_inputs(kind, rng), len(allowed))
        if n_inputs:
            rows = rng.choice(len(allowed), size=n_inputs, replace=False)
            lr += [(gene, int(allowed[row, 0]), int(allowed[row, 1])) for row in rows]
        if kind == "target" and rng.random() < 0.4:
            tfl.append((gene, int(rng.integers(genes.n_ligands)), chosen[0]))
    return Wiring(
        tf=np.array(tf, dtype=np.int64).reshape(-1, 2),
        tf_weights=_weights(len(tf), n_types, active, (1.5, 3.5), rng),
        lr=np.array(lr, dtype=np.int64).reshape(-1, 3),
        lr_weights=signal * _weights(len(lr), n_types, active, (1.5, 3.5), rng),
        tfl=np.array(tfl, dtype=np.int64).reshape(-1, 3),
        tfl_weights=signal * _weights(len(tfl), n_types, active, (2.0, 4.0), rng),
        pairs=pairs,
        contact=contact,
    )


def _regulators(gene: int, kind: str, genes: Genes, rng: np.random.Generator) -> list[int]:
    low, high = {"tf": (2, 3), "ligand": (2, 3), "receptor": (1, 2), "target": (2, 4)}[kind]
    pool = np.arange(genes.n_masters if kind == "tf" else genes.n_tf)
    return [int(factor) for factor in rng.choice(pool, size=rng.integers(low, high + 1), replace=False)]


def _draw_inputs(kind: str, rng: np.random.Generator) -> int:
    """Draw the number of ligand-receptor inputs of a gene."""
    if kind == "target":
        return int(rng.poisson(0.9))
    return int(rng.random() < {"tf": 0.6, "ligand": 0.2, "receptor": 0.0}[kind])


def _weights(
    n: int, n_types: int, active: float, magnitude: tuple[float, float], rng: np.random.Generator
) -> Floats:
    base = rng.uniform(*magnitude, n) * np.where(rng.random(n) < 0.3, -1.0, 1.0)
    acts = rng.random((n, n_types)) < active
    acts[np.arange(n), rng.integers(n_types, size=n)] |= ~acts.any(axis=1)
    return np.asarray(base[:, None] * acts * rng.uniform(0.6, 1.4, (n, n_types)))


@dataclass(frozen=True)
class Prior:
    """What an estimator is told: some true edges are missing, many false ones are mixed in.

    Attributes
    ----------
    tf
        TF gene, regulated gene.
    lr
        Ligand number, receptor gene.
    tfl
        Ligand number, TF gene.
    """

    tf: list[tuple[int, int]]
    lr: list[tuple[int, int]]
    tfl: list[tuple[int, int]]


def draw_prior(
    genes: Genes, wiring: Wiring, keep: float, false_per_true: float, n_pairs: int, rng: np.random.Generator
) -> Prior:
    """Hide a share of the truth and surround the rest with false edges."""
    tf: list[tuple[int, int]] = []
    for gene in range(genes.total):
        true = wiring.tf[wiring.tf[:, 0] == gene, 1]
        free = np.setdiff1d(np.arange(genes.n_tf), np.append(true, gene))
        n_false = min(len(free), round(false_per_true * max(1, len(true))))
        known = np.concatenate([_some(true, keep, rng), rng.choice(free, size=n_false, replace=False)])
        tf += [(int(factor), gene) for factor in np.sort(known)]
    tfl: list[tuple[int, int]] = []
    for factor in range(genes.n_tf):
        true = np.unique(wiring.tfl[wiring.tfl[:, 2] == factor, 1])
        kept = _some(true, keep, rng)
        free = np.setdiff1d(np.arange(genes.n_ligands), true)
        n_false = min(len(free), max(0, LIGANDS_PER_TF - len(kept)))
        known = np.concatenate([kept, rng.choice(free, size=n_false, replace=False)])
        tfl += [(int(ligand), factor) for ligand in np.sort(known)]
    return Prior(tf, _pairs(genes, wiring, keep, n_pairs, rng), tfl)


def _pairs(
    genes: Genes, wiring: Wiring, keep: float, n_pairs: int, rng: np.random.Generator
) -> list[tuple[int, int]]:
    """Ligand-receptor pairs of the prior, true and false ones in random order."""
    kept = _some(wiring.pairs, keep, rng)
    known = {(int(a), int(b)) for a, b in wiring.pairs}
    every = ((a, int(b)) for a in range(genes.n_ligands) for b in genes.receptors)
    others = [pair for pair in every if pair not in known]
    fill = rng.permutation(len(others))[: max(0, n_pairs - len(kept))]
    pairs = [(int(a), int(b)) for a, b in kept] + [others[i] for i in fill]
    return [pairs[i] for i in rng.permutation(len(pairs))]


def _some(rows: Ints, keep: float, rng: np.random.Generator) -> Ints:
    return np.asarray(rows[rng.random(len(rows)) < keep], dtype=np.int64)
