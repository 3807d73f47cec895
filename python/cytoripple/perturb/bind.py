"""Coefficients connected with the genes and the cells of a tissue."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cytoripple._errors import GeneMatchError
from cytoripple.io._beta_columns import LIGAND_RECEPTOR, TF, TF_LIGAND, split
from cytoripple.io.betadata import BetaTable

if TYPE_CHECKING:
    from cytoripple._anndata import Tissue
    from cytoripple.kernels.perturb import RegulatoryModel, TargetModel
    from cytoripple.perturb.rows import RowMap

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoadReport:
    """What of the coefficients could not be connected with the tissue.

    Attributes
    ----------
    missing_targets
        Targets that are not genes of the tissue; their tables are not used.
    missing_modulators
        Modulators that are not genes of the tissue, with the number of targets they belong to; they count
        as not expressed.
    ligands_without_radius
        Ligands that nobody receives.
    cells_without_row
        Cells, per target, whose coefficients are 0 because their cluster or name has no row.
    skipped
        Files left out while loading, with the reason.
    n_nulls
        Missing coefficients read as 0.
    """

    missing_targets: tuple[str, ...] = ()
    missing_modulators: Mapping[str, int] = field(default_factory=dict)
    ligands_without_radius: tuple[str, ...] = ()
    cells_without_row: Mapping[str, int] = field(default_factory=dict)
    skipped: Mapping[Path, str] = field(default_factory=dict)
    n_nulls: int = 0

    def text(self) -> str:
        """One line per finding, empty when everything is connected."""
        lines = []
        if self.missing_targets:
            lines.append(f"targets that are not in the data, not used: {some(self.missing_targets)}")
        if self.missing_modulators:
            names = some(self.missing_modulators)
            lines.append(f"modulators that are not in the data, taken as not expressed: {names}")
        if self.ligands_without_radius:
            lines.append(f"ligands without a radius, received by nobody: {some(self.ligands_without_radius)}")
        if self.cells_without_row:
            lines.append(f"targets whose coefficients are 0 in some cells: {some(self.cells_without_row)}")
        lines += [f"left out: {reason}" for reason in self.skipped.values()]
        if self.n_nulls:
            lines.append(f"missing coefficients read as 0: {self.n_nulls}")
        return "\n".join(lines)

    def log(self) -> None:
        """Say what was found: as a warning when coefficients lose their effect."""
        lost = self.missing_targets or self.missing_modulators or self.cells_without_row or self.skipped
        if self.text():
            log.log(logging.WARNING if lost else logging.INFO, "%s", self.text())


@dataclass(frozen=True)
class BoundModel:
    """Coefficients connected with a tissue, on the axis of the genes that take part.

    Attributes
    ----------
    genes
        Gene axis: every target, modulator and asked-for gene of the data, in the order of the data.
    positions
        Column of each gene of the axis in the data; -1 for a gene that is not in the data.
    targets
        Genes with a model, in the order of `model`.
    ligands
        Ligand axis, sorted.
    lr_ligands, tfl_ligands
        (ligands,), whether some pair with a receptor, or with a regulator, has the ligand.
    model
        The native model.
    report
        What could not be connected.
    """

    genes: tuple[str, ...]
    positions: NDArray[np.int64]
    targets: tuple[str, ...]
    ligands: tuple[str, ...]
    ligand_genes: NDArray[np.int64]
    lr_ligands: NDArray[np.bool_]
    tfl_ligands: NDArray[np.bool_]
    model: RegulatoryModel
    report: LoadReport

    def expression(self, tissue: Tissue) -> NDArray[np.float64]:
        """Expression on the gene axis, (cells, genes), float64; 0 for genes that are not in the data."""
        measured = np.flatnonzero(self.positions >= 0)
        values = tissue.columns([self.genes[place] for place in measured])
        if len(measured) == len(self.genes):
            return values
        full = np.zeros((len(tissue.obs_names), len(self.genes)))
        full[:, measured] = values
        return full


def bind(
    tables: Sequence[BetaTable],
    tissue: Tissue,
    rows: RowMap,
    *,
    with_genes: Iterable[str] = (),
    keep_missing: bool = False,
) -> BoundModel:
    """Connect tables with a tissue; see `Betabase.bind`."""
    from cytoripple.kernels.perturb import RegulatoryModel

    measured = {gene: place for place, gene in enumerate(tissue.var_names)}
    used = [table for table in tables if table.gene in measured]
    if not used:
        raise GeneMatchError(
            f"none of the {len(tables)} targets ({some(table.gene for table in tables)}) is a gene of the "
            "data: give the data of the training, or use the same gene names on both sides"
        )
    terms = {modulator: split(modulator) for modulator in distinct_modulators(used)}
    wanted = {gene for _, *members in terms.values() for gene in members if gene}
    wanted |= {table.gene for table in used} | set(with_genes)
    genes = sorted(wanted & measured.keys(), key=measured.__getitem__)
    genes += sorted(wanted - measured.keys()) if keep_missing else []
    axis = {gene: place for place, gene in enumerate(genes)}
    pairs = {(kind, ligand) for kind, ligand, _ in terms.values() if kind != TF and ligand in axis}
    ligands = sorted({ligand for _, ligand in pairs})
    ligand_axis = {ligand: place for place, ligand in enumerate(ligands)}
    ligand_genes = np.array([axis[ligand] for ligand in ligands], dtype=np.int64)
    columns = _Columns(terms, axis, ligand_axis)
    row_of = {table.gene: rows.of(table) for table in used}
    model = RegulatoryModel(
        [_target_model(table, axis, columns, row_of[table.gene]) for table in used],
        n_genes=len(genes),
        ligand_genes=ligand_genes,
    )
    return BoundModel(
        genes=tuple(genes),
        positions=np.array([measured.get(gene, -1) for gene in genes], dtype=np.int64),
        targets=tuple(table.gene for table in used),
        ligands=tuple(ligands),
        ligand_genes=ligand_genes,
        lr_ligands=np.array([(LIGAND_RECEPTOR, ligand) in pairs for ligand in ligands], dtype=bool),
        tfl_ligands=np.array([(TF_LIGAND, ligand) in pairs for ligand in ligands], dtype=bool),
        model=model,
        report=LoadReport(
            missing_targets=tuple(table.gene for table in tables if table.gene not in measured),
            missing_modulators=_count_absent(used, wanted - measured.keys()),
            cells_without_row={gene: n for gene, row in row_of.items() if (n := int((row < 0).sum()))},
            n_nulls=sum(table.n_nulls for table in used),
        ),
    )


def distinct_modulators(tables: Iterable[BetaTable]) -> list[str]:
    """Modulators of any table once, sorted."""
    return sorted(set().union(*(table.modulators for table in tables)))


def _count_absent(tables: Sequence[BetaTable], absent: set[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for table in tables if absent else ():
        for gene in absent & set(table.modulator_genes):
            counts[gene] = counts.get(gene, 0) + 1
    return dict(sorted(counts.items()))


class _Columns:
    """Kind and axis positions of modulators, looked up once per modulator."""

    def __init__(
        self,
        terms: Mapping[str, tuple[int, str, str]],
        axis: Mapping[str, int],
        ligand_axis: Mapping[str, int],
    ) -> None:
        self._place = {modulator: place for place, modulator in enumerate(terms)}
        rows = [
            (TF, axis.get(first, -1), -1)
            if kind == TF
            else (kind, ligand_axis.get(first, -1), axis.get(second, -1))
            for kind, first, second in terms.values()
        ]
        self._rows = np.array(rows, dtype=np.int64).reshape(-1, 3)

    def of(self, table: BetaTable) -> NDArray[np.int64]:
        """Columns of a table as a target model has them, (modulators, 3)."""
        found = map(self._place.__getitem__, table.modulators)
        return self._rows[np.fromiter(found, dtype=np.int64, count=len(table.modulators))]


def _target_model(
    table: BetaTable, axis: Mapping[str, int], columns: _Columns, rows: NDArray[np.int64]
) -> TargetModel:
    from cytoripple.kernels.perturb import TargetModel

    return TargetModel(
        gene=axis[table.gene],
        betas=np.column_stack([table.intercept, table.betas]),
        columns=columns.of(table),
        rows=rows,
    )


def some(names: Iterable[str]) -> str:
    """List the first ten names."""
    listed = list(names)
    shown = ", ".join(listed[:10])
    return shown if len(listed) <= 10 else f"{shown} and {len(listed) - 10} more"
