"""All coefficients of a run, and their connection with a tissue."""

from __future__ import annotations

import math
from collections.abc import Iterable
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cytoripple._errors import GeneMatchError, InputError, did_you_mean
from cytoripple.io._beta_columns import LIGAND_RECEPTOR, TF, TF_LIGAND, split
from cytoripple.io.betadata import Betadata, BetaTable, read_betadata
from cytoripple.perturb.bind import BoundModel, LoadReport, bind, distinct_modulators, some
from cytoripple.perturb.fitted import Fitted
from cytoripple.perturb.record import held_out_r2
from cytoripple.perturb.rows import Missing, RowMap

if TYPE_CHECKING:
    import pandas as pd

    from cytoripple._anndata import Tissue
    from cytoripple.io.run import Run
    from cytoripple.perturb.interactions import Aggregate


class Betabase:
    """Coefficients of all targets of a run.

    Made by `Betabase.open` or `Betabase.from_folder`; keep it to simulate several perturbations without
    reading the files again.

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
        self._scores: dict[str, float] = {}
        # tables share most of their modulators, so that each is split once
        terms = [split(modulator) for modulator in distinct_modulators(betadata.values())]
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
            What a plain folder does not record: `layer`, `cluster_key`, `spatial_key`, `sample_key`,
            `kernel`, `scale_factor`, `radii`, `radius`, `contact_distance`. A run refuses values that differ
            from its own.

        Raises
        ------
        InputError
            Files cannot be used (see `cytoripple.io.read_betadata`), or a keyword is out of range.
        RunError
            A keyword disagrees with the run.
        """
        if isinstance(run, Betabase):
            fitted = run.fitted.with_keywords(**keywords)
            return (
                run
                if fitted == run.fitted
                else cls(run.betadata, fitted, strict=run.strict, missing=run.missing)
            )
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

    def for_preset(self, preset: str) -> Betabase:
        """Return the same coefficients with the kernel that a preset uses where none is recorded or given."""
        fitted = replace(self.fitted, kernel=self.fitted.kernel_for(preset))
        return self if fitted == self.fitted else self._with(fitted)

    def _with(self, fitted: Fitted) -> Betabase:
        other = copy(self)
        other.fitted = fitted
        return other

    @property
    def targets(self) -> tuple[str, ...]:
        """Genes with coefficients, sorted."""
        return tuple(self.betadata)

    @property
    def ligands(self) -> tuple[str, ...]:
        """Ligands of any pair, sorted."""
        return tuple(sorted(self.lr_ligands | self.tfl_ligands))

    def __repr__(self) -> str:
        return (
            f"Betabase({str(self.fitted.source)!r}, {len(self.targets)} targets, {len(self.ligands)} ligands)"
        )

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
        tables = [self.table(gene) for gene in (self.targets if targets is None else targets)]
        rows = RowMap(tissue, cluster_labels=self.fitted.cluster_labels, missing=self.missing)
        bound = bind(tables, tissue, rows, with_genes=with_genes, keep_missing=keep_missing)
        self._check_genes(bound.report)
        silent = tuple(ligand for ligand in bound.ligands if self.fitted.radius_of(ligand) is None)
        report = replace(bound.report, ligands_without_radius=silent, skipped=self.betadata.skipped)
        return replace(bound, report=report)

    def held_out_r2(self, genes: Iterable[str]) -> dict[str, float]:
        """R2 of targets on cells that their fits did not see, NaN where the run has not recorded it.

        It is the mean over the clusters, weighted by their cells. Logs are read once.
        """
        found = {}
        for gene in genes:
            if gene not in self._scores:
                recorded = self.fitted.recorded
                self._scores[gene] = held_out_r2(self.fitted.source, gene) if recorded else math.nan
            found[gene] = self._scores[gene]
        return found

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
            raise InputError(
                f"{gene!r} is not a target of {self.fitted.source}{did_you_mean(gene, self.betadata)}"
            )
        return self.betadata[gene]

    def _check_genes(self, report: LoadReport) -> None:
        lost, absent = report.missing_targets, report.missing_modulators
        if self.strict and (lost or absent):
            raise GeneMatchError(
                f"{len(lost)} targets ({some(lost)}) and {len(absent)} modulators ({some(absent)}) of "
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
