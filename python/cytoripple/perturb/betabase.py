"""All coefficients of a run, and their connection with a tissue."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from cytoripple._errors import GeneMatchError, InputError, did_you_mean
from cytoripple.io._beta_columns import LIGAND_RECEPTOR, TF, TF_LIGAND
from cytoripple.io.betadata import Betadata, BetaTable, read_betadata
from cytoripple.perturb.fitted import Fitted
from cytoripple.perturb.rows import Missing, RowMap

if TYPE_CHECKING:
    import pandas as pd

    from cytoripple._anndata import Tissue
    from cytoripple.io.run import Run
    from cytoripple.kernels.perturb import RegulatoryModel
    from cytoripple.perturb.interactions import Aggregate

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
            lines.append(f"targets that are not in the data, not used: {_some(self.missing_targets)}")
        if self.missing_modulators:
            lines.append(
                f"modulators that are not in the data, taken as not expressed: {_some(self.missing_modulators)}"
            )
        if self.ligands_without_radius:
            lines.append(f"ligands without a radius, received by nobody: {_some(self.ligands_without_radius)}")
        if self.cells_without_row:
            lines.append(f"targets whose coefficients are 0 in some cells: {_some(self.cells_without_row)}")
        lines += [f"left out: {reason}" for reason in self.skipped.values()]
        if self.n_nulls:
            lines.append(f"missing coefficients read as 0: {self.n_nulls}")
        return "\n".join(lines)


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


class Betabase:
    """Coefficients of all targets of a run.

    Made by `Betabase.open` or `Betabase.from_folder`; keep it to simulate several perturbations without reading
    the files again.

    Attributes
    ----------
    betadata
        Tables by target gene.
    fitted
        What the coefficients were fitted with.
    strict
        Whether genes that are not in the data are an error.
    missing
        What happens to cells without a row: ``"error"``, or ``"zero"`` for coefficients 0.
    """

    def __init__(
        self, betadata: Betadata, fitted: Fitted, *, strict: bool = False, missing: Missing = "error"
    ) -> None:
        self.betadata = betadata
        self.fitted = fitted
        self.strict = strict
        self.missing: Missing = missing
        terms = [term for table in betadata.values() for term in table.terms]
        self.tfs = frozenset(gene for kind, gene, _ in terms if kind == TF)
        self.lr_ligands = frozenset(ligand for kind, ligand, _ in terms if kind == LIGAND_RECEPTOR)
        self.receptors = frozenset(receptor for kind, _, receptor in terms if kind == LIGAND_RECEPTOR)
        self.tfl_ligands = frozenset(ligand for kind, ligand, _ in terms if kind == TF_LIGAND)

    @classmethod
    def open(
        cls,
        run: Betabase | Run | str | Path,
        *,
        genes: Iterable[str] | None = None,
        strict: bool = False,
        missing: Missing = "error",
        on_error: Literal["raise", "skip"] = "raise",
        **keywords: Any,
    ) -> Betabase:
        """Open the coefficients of a run.

        Parameters
        ----------
        run
            A run, its directory or run file, a plain folder of betadata, or a Betabase.
        genes
            Load only these targets.
        strict
            Raise when a target or a modulator is not a gene of the data, instead of reporting it.
        missing
            ``"zero"`` gives cells without a row coefficients 0; ``"error"`` refuses them.
        on_error
            ``"skip"`` leaves unreadable files out.
        **keywords
            What a plain folder does not record: `layer`, `cluster_key`, `spatial_key`, `sample_key`, `kernel`,
            `scale_factor`, `radii`, `radius`, `contact_distance`. A run refuses values that differ from its own.

        Raises
        ------
        InputError
            Files cannot be used (see `cytoripple.io.read_betadata`), or a keyword is out of range.
        RunError
            A keyword disagrees with the run.
        """
        if isinstance(run, Betabase):
            fitted = run.fitted.with_keywords(**keywords)
            return run if fitted == run.fitted else cls(run.betadata, fitted, strict=run.strict, missing=run.missing)
        found = _run_of(run)
        if found is None:
            folder = Path(str(run)).expanduser()
            return cls.from_folder(
                folder, genes=genes, strict=strict, missing=missing, on_error=on_error, **keywords
            )
        fitted = Fitted.of_run(found).with_keywords(**keywords)
        tables = read_betadata(found.directory, genes=genes, on_error=on_error)
        return cls(tables, fitted, strict=strict, missing=missing)

    @classmethod
    def from_folder(
        cls,
        folder: str | Path,
        *,
        genes: Iterable[str] | None = None,
        strict: bool = False,
        missing: Missing = "error",
        on_error: Literal["raise", "skip"] = "raise",
        **keywords: Any,
    ) -> Betabase:
        """Load a folder of betadata and forget what a run file may say, for use on other data.

        Parameters as for `Betabase.open`.
        """
        fitted = Fitted(source=Path(folder)).with_keywords(**keywords)
        tables = read_betadata(folder, genes=genes, on_error=on_error)
        return cls(tables, fitted, strict=strict, missing=missing)

    @property
    def targets(self) -> tuple[str, ...]:
        """Genes with coefficients, sorted."""
        return tuple(self.betadata)

    @property
    def ligands(self) -> tuple[str, ...]:
        """Ligands of any pair, sorted."""
        return tuple(sorted(self.lr_ligands | self.tfl_ligands))

    def __repr__(self) -> str:
        return f"Betabase({str(self.fitted.source)!r}, {len(self.targets)} targets, {len(self.ligands)} ligands)"

    def collect_interactions(
        self,
        cluster: str | None = None,
        aggregate: Aggregate = "mean",
        *,
        labels: pd.Series[Any] | None = None,
    ) -> pd.DataFrame:
        """Long table of the coefficients, see `cytoripple.perturb.interactions.collect_interactions`."""
        from cytoripple.perturb.interactions import collect_interactions

        return collect_interactions(self, cluster=cluster, aggregate=aggregate, labels=labels)

    def bind(
        self,
        tissue: Tissue,
        *,
        targets: Iterable[str] | None = None,
        with_genes: Iterable[str] = (),
        keep_missing: bool = False,
    ) -> BoundModel:
        """Connect the coefficients with the genes and the cells of a tissue.

        Parameters
        ----------
        tissue
            Cells, genes and clusters.
        targets
            Only these targets.
        with_genes
            Genes of the data that must be on the gene axis.
        keep_missing
            Keep modulators that are not in the data on the gene axis, with expression 0.

        Raises
        ------
        GeneMatchError
            No target is a gene of the data, or `strict` and some gene is not.
        InputError
            A target has no coefficients, or a cell has no row.
        """
        from cytoripple.kernels.perturb import RegulatoryModel

        tables = [self.table(gene) for gene in (self.targets if targets is None else targets)]
        measured = {gene: place for place, gene in enumerate(tissue.var_names)}
        used = [table for table in tables if table.gene in measured]
        absent = _count_absent(used, measured)
        self._check_genes(tables, used, absent)
        wanted = {gene for table in used for gene in (table.gene, *table.modulator_genes)} | set(with_genes)
        genes = sorted(wanted & measured.keys(), key=measured.__getitem__)
        genes += sorted(wanted - measured.keys()) if keep_missing else []
        axis = {gene: place for place, gene in enumerate(genes)}
        pairs = [term for table in used for term in table.terms if term[0] != TF and term[1] in axis]
        ligands = sorted({ligand for _, ligand, _ in pairs})
        ligand_axis = {ligand: place for place, ligand in enumerate(ligands)}
        row_map = RowMap(tissue, cluster_labels=self.fitted.cluster_labels, missing=self.missing)
        rows = {table.gene: row_map.of(table) for table in used}
        ligand_genes = np.array([axis[ligand] for ligand in ligands], dtype=np.int64)
        model = RegulatoryModel(
            [_target_model(table, axis, ligand_axis, rows[table.gene]) for table in used],
            n_genes=len(genes),
            ligand_genes=ligand_genes,
        )
        report = LoadReport(
            missing_targets=tuple(table.gene for table in tables if table.gene not in measured),
            missing_modulators=absent,
            ligands_without_radius=tuple(g for g in ligands if self.fitted.radius_of(g) is None),
            cells_without_row={gene: n for gene, row in rows.items() if (n := int((row < 0).sum()))},
            skipped=self.betadata.skipped,
            n_nulls=sum(table.n_nulls for table in used),
        )
        return BoundModel(
            genes=tuple(genes),
            positions=np.array([measured.get(gene, -1) for gene in genes], dtype=np.int64),
            targets=tuple(table.gene for table in used),
            ligands=tuple(ligands),
            ligand_genes=ligand_genes,
            lr_ligands=_of_kind(pairs, LIGAND_RECEPTOR, ligands),
            tfl_ligands=_of_kind(pairs, TF_LIGAND, ligands),
            model=model,
            report=report,
        )

    def table(self, gene: str) -> BetaTable:
        """Table of a target.

        Raises
        ------
        InputError
            The gene has no coefficients; the nearest names are offered.
        """
        if gene not in self.betadata:
            if gene in self.betadata.orphans:
                raise InputError(f"{gene!r} has no coefficients: no modulator survived its training")
            raise InputError(f"{gene!r} is not a target of {self.fitted.source}{did_you_mean(gene, self.betadata)}")
        return self.betadata[gene]

    def _check_genes(self, tables: list[BetaTable], used: list[BetaTable], absent: Mapping[str, int]) -> None:
        if not used:
            raise GeneMatchError(
                f"none of the {len(tables)} targets of {self.fitted.source} ({_some([t.gene for t in tables])}) is a "
                "gene of the data: give the data of the training, or use the same gene names on both sides"
            )
        lost = [table.gene for table in tables if table not in used] if len(used) < len(tables) else []
        if self.strict and (lost or absent):
            raise GeneMatchError(
                f"{len(lost)} targets ({_some(lost)}) and {len(absent)} modulators ({_some(absent)}) of "
                f"{self.fitted.source} are not in the data: open it with strict=False to go on without them"
            )


def _run_of(run: Run | str | Path) -> Run | None:
    from cytoripple import _reference_settings as reference
    from cytoripple.io.run import RUN_FILE, Run, open_run

    if isinstance(run, Run):
        return run
    path = Path(run).expanduser()
    is_run = path.suffix == ".toml" or any((path / name).is_file() for name in (RUN_FILE, reference.RUN_NAME))
    return open_run(path) if is_run else None


def _count_absent(tables: list[BetaTable], measured: Mapping[str, int]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for table in tables:
        for gene in table.modulator_genes:
            if gene not in measured:
                counts[gene] = counts.get(gene, 0) + 1
    return dict(sorted(counts.items()))


def _target_model(
    table: BetaTable, axis: Mapping[str, int], ligand_axis: Mapping[str, int], rows: NDArray[np.int64]
) -> Any:
    from cytoripple.kernels.perturb import TargetModel

    columns = [
        (TF, axis.get(first, -1), -1) if kind == TF else (kind, ligand_axis.get(first, -1), axis.get(second, -1))
        for kind, first, second in table.terms
    ]
    return TargetModel(
        gene=axis[table.gene],
        betas=np.column_stack([table.intercept, table.betas]),
        columns=np.array(columns, dtype=np.int64).reshape(-1, 3),
        rows=rows,
    )


def _of_kind(pairs: list[tuple[int, str, str]], kind: int, ligands: list[str]) -> NDArray[np.bool_]:
    found = {ligand for pair_kind, ligand, _ in pairs if pair_kind == kind}
    return np.array([ligand in found for ligand in ligands], dtype=bool)


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    shown = ", ".join(listed[:10])
    return shown if len(listed) <= 10 else f"{shown} and {len(listed) - 10} more"
