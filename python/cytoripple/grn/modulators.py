"""Which genes, ligand-receptor pairs and ligand-TF pairs may explain a target gene, and in which order."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cytoripple._errors import GeneMatchError, InputError, did_you_mean
from cytoripple.grn.lists import Pair, parse_gene_list, parse_lr_list
from cytoripple.grn.pools import LigandReceptorPool, LigandTfPool, Regulators
from cytoripple.grn.priors import TfPriors, read_tf_priors
from cytoripple.io.network import Network

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ModulatorIndex", "Modulators", "parse_gene_list", "parse_lr_list", "read_tf_priors"]

log = logging.getLogger(__name__)

SECRETED = "Secreted Signaling"


@dataclass(frozen=True)
class Modulators:
    """Columns of the design of one target gene, in design order.

    Attributes
    ----------
    target
        The gene to explain.
    regulators
        Transcription factors.
    lr_pairs
        (ligand, receptor).
    tfl_pairs
        (ligand, transcription factor).
    extra
        Genes the user added.
    allowed_tfs
        Cell-type label -> transcription factors that may act there; cell types that are not named allow all.
        None without priors for this target.
    """

    target: str
    regulators: tuple[str, ...]
    lr_pairs: tuple[Pair, ...]
    tfl_pairs: tuple[Pair, ...]
    extra: tuple[str, ...]
    allowed_tfs: Mapping[str, frozenset[str]] | None = None

    def __len__(self) -> int:
        return len(self.regulators) + len(self.lr_pairs) + len(self.tfl_pairs) + len(self.extra)

    @property
    def names(self) -> tuple[str, ...]:
        """Column names: ``"Sox2"``, ``"Tgfb1$Tgfbr1"``, ``"Wnt5a#Tcf7"``, then extra genes."""
        return (
            *self.regulators,
            *(f"{ligand}${receptor}" for ligand, receptor in self.lr_pairs),
            *(f"{ligand}#{regulator}" for ligand, regulator in self.tfl_pairs),
            *self.extra,
        )

    @property
    def groups(self) -> NDArray[np.int64]:
        """Penalty group per column: 0 TF, 1 ligand-receptor, 2 ligand-TF, 3 extra."""
        sizes = [len(self.regulators), len(self.lr_pairs), len(self.tfl_pairs), len(self.extra)]
        return np.repeat(np.arange(4, dtype=np.int64), sizes)


class ModulatorIndex:
    """Modulators of every gene, ready to be asked for one target after the other.

    Ligand-receptor pairs are the same for every target but for its own, so they are shared, not copied.

    Parameters
    ----------
    network
        Prior network; only edges between genes of the data are used.
    var_names
        Genes of the data.
    tf_ligand_cutoff
        A ligand-TF edge must weigh more than this. The five heaviest of each regulator are used.
    max_ligands
        Keep only the pairs of this many ligands, those with the highest mean expression.
    mean_expression
        Gene -> mean over the training cells; needed with `max_ligands`.
    use_tf, use_lr, use_tfl
        Whether TF, ligand-receptor and ligand-TF columns are used.
    extra_modulators
        Genes to add as columns of their own where they do not take part already.
    extra_lr
        (ligand, receptor) to add to those of the network; they reach as far as secreted ones.
    tf_priors
        Data frame `source`, `target`, `cell_type`: replaces the regulators of the targets it names.
    tfl_exclude_ligand_regulators
        Leave out ligand-TF pairs whose TF, or whose target, regulates the ligand.

    Raises
    ------
    InputError
        A setting is out of its range, or mean expression is missing.
    """

    def __init__(
        self,
        network: Network,
        var_names: Iterable[str],
        *,
        tf_ligand_cutoff: float = 0.15,
        max_ligands: int | None = None,
        mean_expression: Mapping[str, float] | None = None,
        use_tf: bool = True,
        use_lr: bool = True,
        use_tfl: bool = True,
        extra_modulators: Sequence[str] = (),
        extra_lr: Sequence[Pair] = (),
        tf_priors: pd.DataFrame | None = None,
        tfl_exclude_ligand_regulators: bool = False,
    ) -> None:
        if not isfinite(tf_ligand_cutoff):
            raise InputError(f"tf_ligand_cutoff is {tf_ligand_cutoff}: give a finite number")
        self._genes = dict.fromkeys(str(name) for name in var_names)
        measured = network.restrict(self._genes)
        self._use_tf, self._use_lr, self._use_tfl = use_tf, use_lr, use_tfl
        self._exclude = tfl_exclude_ligand_regulators
        self._regulators = Regulators(measured.tf)
        ranked = _rank(measured.lr["ligand"], max_ligands, mean_expression)
        pairs = zip(measured.lr["ligand"], measured.lr["receptor"], strict=True)
        self._lr = LigandReceptorPool(pairs, ranked, max_ligands)
        self._tfl = LigandTfPool(measured.tfl, self._lr.all_ligands, tf_ligand_cutoff)
        self._priors = None if tf_priors is None else TfPriors(tf_priors, self._genes)
        self._extra_lr = _known_pairs(extra_lr, self._genes) if use_lr else ()
        self._extra = _known_genes(extra_modulators, self._genes)
        self.ligands: tuple[str, ...] = self._used_ligands()
        self._short_range = _short_range(network, measured)

    def of(self, target: str) -> Modulators:
        """Modulators of one target; none (length 0) for a gene that nothing can explain.

        Raises
        ------
        GeneMatchError
            The gene is not in the data.
        """
        if target not in self._genes:
            raise GeneMatchError(
                f"target gene {target!r} is not among the {len(self._genes)} genes of the data"
                f"{did_you_mean(target, self._genes)}"
            )
        regulators = self._regulators.of(target)
        lr_pairs, ligands = self._lr.without(target)
        tfl_pairs: tuple[Pair, ...] = ()
        if self._use_tfl:
            tfl_pairs = tuple(pair for tf in regulators for pair in self._tfl.of(tf, ligands))
            if self._exclude:
                tfl_pairs = tuple(pair for pair in tfl_pairs if not self._regulated(target, *pair))
        if not self._use_lr:
            lr_pairs = ()
        allowed = None
        if not self._use_tf:
            regulators = ()
        elif self._priors is not None and (known := self._priors.of(target)) is not None:
            regulators, allowed = known
            tfl_pairs = tuple(pair for pair in tfl_pairs if pair[1] in regulators)
        lr_pairs = self._with_extra_pairs(target, lr_pairs)
        extra = self._extra_for(target, regulators, lr_pairs, tfl_pairs)
        return Modulators(target, regulators, lr_pairs, tfl_pairs, extra, allowed)

    def radii(self, radius: float, contact_distance: float) -> dict[str, float]:
        """Reach of every ligand, in units of the coordinates.

        `radius` if the ligand's first pair in the network is secreted, else `contact_distance`. All ligands
        of a network without signaling classes, and those of extra pairs alone, have `radius`.
        """
        return {
            ligand: contact_distance if ligand in self._short_range else radius for ligand in self.ligands
        }

    def _regulated(self, target: str, ligand: str, tf: str) -> bool:
        of_ligand = self._regulators.of(ligand)
        return target in of_ligand or tf in of_ligand

    def _with_extra_pairs(self, target: str, pairs: tuple[Pair, ...]) -> tuple[Pair, ...]:
        wanted = [pair for pair in self._extra_lr if target not in pair]
        if not wanted:
            return pairs
        known = set(pairs)
        return (*pairs, *(pair for pair in wanted if pair not in known))

    def _extra_for(
        self,
        target: str,
        regulators: tuple[str, ...],
        lr_pairs: tuple[Pair, ...],
        tfl_pairs: tuple[Pair, ...],
    ) -> tuple[str, ...]:
        if not self._extra:
            return ()
        taken = {target, *regulators}
        taken.update(gene for pairs in (lr_pairs, tfl_pairs) for pair in pairs for gene in pair)
        dropped = [gene for gene in self._extra if gene in taken]
        if dropped:
            log.debug("%s: extra modulators %s take part already", target, ", ".join(dropped))
        return tuple(gene for gene in self._extra if gene not in taken)

    def _used_ligands(self) -> tuple[str, ...]:
        reachable = self._lr.reachable_ligands()
        used = reachable if self._use_lr else frozenset()
        if self._use_tfl:
            used = used | (reachable & self._tfl.ligands)
        extra = [ligand for ligand, _ in self._extra_lr]
        return tuple(dict.fromkeys([*(name for name in self._lr.all_ligands if name in used), *extra]))


def _rank(
    ligands: Iterable[str], max_ligands: int | None, means: Mapping[str, float] | None
) -> tuple[str, ...]:
    """Distinct ligands, the most expressed first; in database order without a cap."""
    names = tuple(dict.fromkeys(ligands))
    if max_ligands is None:
        return names
    if max_ligands < 1:
        raise InputError(f"max_ligands is {max_ligands}: give a whole number of at least 1, or None for all")
    if means is None:
        raise InputError("max_ligands needs mean_expression (gene -> mean over the training cells)")
    lost = [name for name in names if name not in means]
    if lost:
        raise InputError(f"mean_expression lacks {len(lost)} ligands, e.g. {', '.join(lost[:3])}")
    # sorted() is stable: equal means keep the order of the database.
    return tuple(sorted(names, key=lambda name: -means[name]))


def _known_pairs(pairs: Sequence[Pair], genes: Collection[str]) -> tuple[Pair, ...]:
    absent = [f"{ligand}${receptor}" for ligand, receptor in pairs if {ligand, receptor} - set(genes)]
    if absent:
        log.warning("extra ligand-receptor pairs with a gene that is not in the data: %s", ", ".join(absent))
    return tuple(dict.fromkeys(pair for pair in pairs if pair[0] in genes and pair[1] in genes))


def _known_genes(names: Sequence[str], genes: Collection[str]) -> tuple[str, ...]:
    absent = [f"{name}{did_you_mean(name, genes)}" for name in names if name not in genes]
    if absent:
        log.warning("extra modulators that are not in the data: %s", ", ".join(absent))
    return tuple(dict.fromkeys(name for name in names if name in genes))


def _short_range(network: Network, measured: Network) -> frozenset[str]:
    """Ligands whose first measured pair is not secreted, none if the network has no signaling classes."""
    if not network.lr["signaling"].notna().any():
        return frozenset()
    first = measured.lr.drop_duplicates("ligand")
    return frozenset(first["ligand"][first["signaling"] != SECRETED])
