"""Edges of a network arranged so that the part of one target is found at once."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cytoripple.grn.lists import Pair

if TYPE_CHECKING:
    import pandas as pd

# Ligand-TF pairs per regulator, as in the published models.
_TFL_PER_REGULATOR = 5


class Regulators:
    """Transcription factors of every gene, in database order.

    Parameters
    ----------
    edges
        Data frame `source`, `target`.
    """

    def __init__(self, edges: pd.DataFrame) -> None:
        source, self._names = _codes(edges["source"])
        target, targets = _codes(edges["target"])
        order = np.argsort(target, kind="stable")
        self._source = source[order]
        counts = np.bincount(target, minlength=len(targets))
        ends = np.cumsum(counts)
        self._span = {
            name: (int(start), int(end))
            for name, start, end in zip(targets, ends - counts, ends, strict=True)
            if end > start
        }

    def of(self, target: str) -> tuple[str, ...]:
        """Distinct regulators of the target but itself."""
        start, end = self._span.get(target, (0, 0))
        names = dict.fromkeys(self._names[code] for code in self._source[start:end].tolist())
        names.pop(target, None)
        return tuple(names)


class LigandReceptorPool:
    """Ligand-receptor pairs, which every target shares but for those it takes part in.

    Parameters
    ----------
    pairs
        In database order; of equal pairs the first counts.
    ranked
        Distinct ligands, the most wanted first.
    max_ligands
        How many ligands a target may have; None for all.
    """

    def __init__(self, pairs: Iterable[Pair], ranked: tuple[str, ...], max_ligands: int | None) -> None:
        self._all = tuple(dict.fromkeys(pairs))
        self._ranked = ranked
        self._cap = len(ranked) if max_ligands is None else max_ligands
        self.all_ligands = tuple(dict.fromkeys(ligand for ligand, _ in self._all))
        self._members = {gene for pair in self._all for gene in pair}
        self._common = self._cut(self._all)

    def without(self, target: str) -> tuple[tuple[Pair, ...], frozenset[str]]:
        """Pairs of a target after the cap, and their ligands."""
        if target not in self._members:
            return self._common
        return self._cut(tuple(pair for pair in self._all if target not in pair))

    def reachable_ligands(self) -> frozenset[str]:
        """Ligands that some target may use: a target that is a ligand itself lets another one move up."""
        common = self._common[1]
        if self._cap >= len(self._ranked):
            return common
        return common.union(*(self.without(gene)[1] for gene in self._members))

    def _cut(self, pairs: tuple[Pair, ...]) -> tuple[tuple[Pair, ...], frozenset[str]]:
        present = frozenset(ligand for ligand, _ in pairs)
        if len(present) <= self._cap:
            return pairs, present
        kept = frozenset(islice((ligand for ligand in self._ranked if ligand in present), self._cap))
        return tuple(pair for pair in pairs if pair[0] in kept), kept


class LigandTfPool:
    """Ligands that act on each transcription factor, the heaviest first.

    Parameters
    ----------
    edges
        Data frame `ligand`, `tf`, `weight`.
    ligands
        Ligands of the network's pairs; others are left out.
    cutoff
        Only edges heavier than this count.
    """

    def __init__(self, edges: pd.DataFrame, ligands: Iterable[str], cutoff: float) -> None:
        kept = edges[(edges["weight"] > cutoff) & edges["ligand"].isin(set(ligands))]
        kept = kept.sort_values("weight", ascending=False, kind="stable")
        self._by_tf: dict[str, dict[str, Pair]] = {}
        for ligand, tf in zip(kept["ligand"], kept["tf"], strict=True):
            self._by_tf.setdefault(tf, {}).setdefault(ligand, (ligand, tf))
        self.ligands = frozenset(kept["ligand"])

    def of(self, tf: str, ligands: frozenset[str]) -> list[Pair]:
        """Give the heaviest pairs of one transcription factor among the given ligands."""
        heaviest_first = self._by_tf.get(tf, {}).items()
        found = (pair for ligand, pair in heaviest_first if ligand in ligands)
        return list(islice(found, _TFL_PER_REGULATOR))


def _codes(column: pd.Series) -> tuple[NDArray[np.integer[Any]], list[str]]:
    import pandas as pd

    if isinstance(column.dtype, pd.CategoricalDtype):
        return np.asarray(column.cat.codes), [str(name) for name in column.cat.categories]
    codes, names = pd.factorize(column)
    return np.asarray(codes, dtype=np.int64), [str(name) for name in names]
