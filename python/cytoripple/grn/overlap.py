"""How well the genes of the data and of a network agree, told before any work."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from cytoripple._errors import GeneMatchError
from cytoripple.io.network import Network

_ENSEMBL = re.compile(r"ENS[A-Z]{0,4}G\d{6,}(\.\d+)?")
_SMALLEST_SHARE = 0.05
# From this share of the genes on, agreement without case means another spelling or another species; below,
# a few names agree by chance.
_SAME_NAMES = 0.2
_SHOWN = 5


@dataclass(frozen=True)
class KindOverlap:
    """Edges of one kind: in the network, and with both genes in the data."""

    total: int
    kept: int


@dataclass(frozen=True)
class OverlapReport:
    """Agreement of the genes of the data with a network.

    Attributes
    ----------
    network
        Path or description of the network.
    n_genes
        Genes of the data.
    n_known
        Those that the network has in any role.
    tf, lr, tfl
        TF edges, ligand-receptor pairs and ligand-TF edges.
    case_pairs
        (name in the data, name in the network) that agree only when upper and lower case are ignored.
    ensembl_names
        Genes of the data that look like Ensembl identifiers.
    n_targets
        Genes to explain.
    n_with_regulators
        Targets that a transcription factor of the data regulates.
    without_regulators, without_modulators
        Targets without a regulator, and without regulator or ligand-receptor pair.
    n_unclassed_ligands
        Ligands whose first pair has no signaling class although the network has classes; they are given the
        contact distance.
    """

    network: str
    n_genes: int
    n_known: int
    tf: KindOverlap
    lr: KindOverlap
    tfl: KindOverlap
    case_pairs: tuple[tuple[str, str], ...]
    ensembl_names: tuple[str, ...]
    n_targets: int
    n_with_regulators: int
    without_regulators: tuple[str, ...]
    without_modulators: tuple[str, ...]
    n_unclassed_ligands: int

    def text(self) -> str:
        """Report of a few lines for a reader."""
        known = _percent(self.n_known, self.n_genes)
        edges = ", ".join(
            f"{part.kept:,} of {part.total:,} {name}"
            for name, part in (
                ("TF edges", self.tf),
                ("ligand-receptor pairs", self.lr),
                ("ligand-TF edges", self.tfl),
            )
        )
        lines = [
            f"network  {self.network}",
            f"genes    {self.n_known:,} of {self.n_genes:,} ({known}) are known to it",
            f"edges    {edges}",
            f"targets  {self.n_with_regulators:,} of {self.n_targets:,} "
            f"({_percent(self.n_with_regulators, self.n_targets)}) have a regulator"
            + _some(", without: ", self.without_regulators),
        ]
        if self.without_modulators:
            lines.append(
                f"         {len(self.without_modulators):,} have no modulator at all and are not trained"
            )
        if self.case_pairs:
            pairs = tuple(f"{ours}/{theirs}" for ours, theirs in self.case_pairs)
            lines.append(f"case     {len(pairs):,} names agree only when case is ignored{_some(': ', pairs)}")
        if self.ensembl_names:
            names = self.ensembl_names
            lines.append(f"names    {len(names):,} look like Ensembl identifiers{_some(': ', names)}")
        if self.n_unclassed_ligands:
            lines.append(
                f"ligands  {self.n_unclassed_ligands:,} have no signaling class and get the contact distance"
            )
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def overlap_report(
    network: Network, var_names: Iterable[str], targets: Sequence[str] | None = None
) -> OverlapReport:
    """Compare the genes of the data with a network.

    Parameters
    ----------
    network
        Not restricted to the data.
    var_names
        Genes of the data.
    targets
        Genes to explain; all by default.

    Returns
    -------
    The counts and the names that miss.

    Raises
    ------
    GeneMatchError
        No edge has both genes in the data, or fewer than 5 % of the targets have a modulator. The message
        holds the likely reason and the line to type.
    """
    genes = pd.Index([str(name) for name in var_names])
    wanted = genes if targets is None else pd.Index([str(name) for name in targets])
    measured = network.restrict(genes)
    known = _names(network)
    regulated = _regulated(measured)
    without_regulators = tuple(name for name in wanted if name not in regulated)
    report = OverlapReport(
        network=network.source,
        n_genes=len(genes),
        n_known=int(genes.isin(known).sum()),
        tf=KindOverlap(len(network.tf), len(measured.tf)),
        lr=KindOverlap(len(network.lr), len(measured.lr)),
        tfl=KindOverlap(len(network.tfl), len(measured.tfl)),
        case_pairs=_case_pairs(genes, known),
        ensembl_names=tuple(name for name in genes if _ENSEMBL.fullmatch(name)),
        n_targets=len(wanted),
        n_with_regulators=len(wanted) - len(without_regulators),
        without_regulators=without_regulators,
        without_modulators=_without_pairs(without_regulators, measured),
        n_unclassed_ligands=_unclassed(measured),
    )
    _require_enough(report)
    return report


def _names(network: Network) -> pd.Index:
    """Every gene the network names, in order of first appearance."""
    names: dict[str, None] = {}
    for frame in (network.tf, network.lr[["ligand", "receptor"]], network.tfl[["ligand", "tf"]]):
        for column in frame:
            names.update(dict.fromkeys(map(str, frame[column].unique())))
    return pd.Index(names)


def _regulated(measured: Network) -> set[str]:
    """Genes with a regulator other than themselves. Codes are compared: text of a million edges is slow."""
    source = measured.tf["source"].astype("category")
    target = measured.tf["target"].astype("category")
    same = target.cat.set_categories(source.cat.categories).cat.codes == source.cat.codes
    return set(target[~same].unique())


def _case_pairs(genes: pd.Index, known: pd.Index) -> tuple[tuple[str, str], ...]:
    folded = {name.casefold(): name for name in known}
    unmatched = genes[~genes.isin(known)]
    return tuple((name, folded[name.casefold()]) for name in unmatched if name.casefold() in folded)


def _without_pairs(targets: Sequence[str], measured: Network) -> tuple[str, ...]:
    """Those of the targets that no ligand-receptor pair is left for: pairs never explain their own genes."""
    pairs = set(zip(measured.lr["ligand"], measured.lr["receptor"], strict=True))
    common = set.intersection(*map(set, pairs)) if pairs else set(targets)
    return tuple(name for name in targets if name in common)


def _unclassed(measured: Network) -> int:
    if not measured.lr["signaling"].notna().any():
        return 0
    return int(measured.lr.drop_duplicates("ligand")["signaling"].isna().sum())


def _require_enough(report: OverlapReport) -> None:
    n_edges = report.tf.kept + report.lr.kept
    n_modulated = report.n_targets - len(report.without_modulators)
    if n_edges and n_modulated >= _SMALLEST_SHARE * report.n_targets:
        return
    if n_edges:
        found = f"only {n_modulated:,} of {report.n_targets:,} targets have a modulator in the network"
    else:
        found = f"no edge of the network has both genes among the {report.n_genes:,} of the data"
    raise GeneMatchError(f"{found} ({report.network}). {_remedy(report)}")


def _remedy(report: OverlapReport) -> str:
    if len(report.ensembl_names) > report.n_genes / 2:
        return (
            f"The data have Ensembl identifiers ({report.ensembl_names[0]}), the network has symbols: "
            'adata.var_names = adata.var["gene_symbols"].astype(str); adata.var_names_make_unique()'
        )
    if len(report.case_pairs) > max(report.n_known, _SAME_NAMES * report.n_genes):
        ours, theirs = report.case_pairs[0]
        change = "str.upper()" if theirs.isupper() else "str.capitalize()"
        species = "human" if ours.isupper() else "mouse"
        return (
            f"{len(report.case_pairs):,} names agree once case is ignored ({ours!r} in the data, {theirs!r} "
            "in the network): take the network of the other species, "
            f"ct.io.read_network(species={species!r}), or, if only the spelling differs, "
            f"adata.var_names = adata.var_names.{change}"
        )
    return (
        f"{report.n_known:,} of the {report.n_genes:,} genes are known to the network: use gene symbols of "
        "its species, the whole transcriptome where there is one, or a network of the measured genes "
        "(ct.io.build_network)"
    )


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "0 %"


def _some(lead: str, names: Sequence[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return f"{lead}{', '.join(names[:_SHOWN])}{more}"
