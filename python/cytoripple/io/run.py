"""A run directory: what was trained, with which settings, on which data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cytoripple import _reference_settings as reference
from cytoripple._errors import RunError, SettingsError
from cytoripple._settings import Settings, known_keys, read_toml
from cytoripple.io.gene_log import COLUMNS, read_log

if TYPE_CHECKING:
    import pandas as pd

RUN_FILE = "cytoripple_run.toml"
RADII_FILE = "ligand_radii.csv"
SCALES_FILE = "scales.feather"
EDGES_FILE = "edges.csv"
CURVE_FILE = "cv.feather"
MANIFEST_FILE = "manifest.json"
SUMMARY_FILE = "cytoripple_run_summary.html"
CONDITIONS = "conditions"
BETADATA_SUFFIXES = (".feather", ".parquet", ".csv")


@dataclass(frozen=True)
class Run:
    """An opened run directory.

    Attributes
    ----------
    directory
        Folder with the betadata.
    settings
        Everything as executed.
    cluster_labels
        Text of each cluster id; empty for a run of the reference, which does not store them.
    radii
        Radius of every ligand, in the unit of the coordinates; empty for a run of the reference, where
        ``settings.spatial.radius`` holds for all.
    kernel
        Kernel of the received ligands.
    provenance
        Version, hashes of the input and the network, species, seed and what else identifies the run.
    """

    directory: Path
    settings: Settings
    cluster_labels: tuple[str, ...] = ()
    radii: Mapping[str, float] = field(default_factory=dict)
    kernel: str = "gaussian"
    provenance: Mapping[str, Any] = field(default_factory=dict)
    cross_validation: Mapping[str, Any] = field(default_factory=dict)

    def genes(self) -> list[str]:
        """Genes with betadata, sorted."""
        found = {
            path.name.removesuffix(f"_betadata{suffix}")
            for suffix in BETADATA_SUFFIXES
            for path in self.directory.glob(f"*_betadata{suffix}")
        }
        return sorted(found)

    def orphans(self) -> dict[str, str]:
        """Genes without any modulator left, with the reason (empty for a run of the reference)."""
        return self._reasons("orphan")

    def failed(self) -> dict[str, str]:
        """Genes whose fit failed, with the message."""
        return self._reasons("failed")

    def _reasons(self, suffix: str) -> dict[str, str]:
        paths = sorted(self.directory.glob(f"*.{suffix}"))
        return {
            path.name.removesuffix(f".{suffix}"): path.read_text(encoding="utf-8").strip() for path in paths
        }

    def conditions(self) -> dict[str, Run]:
        """Open the groups of a condition split, by label; empty for a run without a split."""
        found = {}
        for note in sorted((self.directory / CONDITIONS).glob("*/condition_label.txt")):
            found[note.read_text(encoding="utf-8").rstrip("\n")] = open_run(note.parent)
        return found

    def scores(self) -> pd.DataFrame:
        """One row per fitted gene and cluster.

        Returns
        -------
        Columns ``gene, cluster, n_cells, n_modulators, r2, mse, n_iter, converged, r2_raw, held_out_r2, gap,
        objective, lambda_max``; see `cytoripple.io.gene_log.ClusterFit`.
        """
        import pandas as pd

        rows: list[tuple[Any, ...]] = []
        for path in sorted((self.directory / "log").glob("*.log")):
            header, fits = read_log(path)
            gene = header.get("gene", path.stem)
            rows += [(gene, *(getattr(fit, name) for name in COLUMNS)) for fit in fits]
        return pd.DataFrame(rows, columns=["gene", *COLUMNS])

    def target_scores(self) -> pd.DataFrame:
        """One row per fitted gene: how well held-out cells are predicted, all clusters together.

        Returns
        -------
        Columns ``gene``, ``held_out_r2`` (1 - squared error / squared distance from the mean of the cluster
        in the training cells, both summed over clusters; NaN without folds) and ``predictable`` (whether it
        is above 0), best first.
        """
        import numpy as np

        scores = self.scores()
        # the variance of the target in the cluster, from the fit to the training cells
        left = (1.0 - scores["r2_raw"].fillna(scores["r2"])).clip(lower=1e-12)
        weight = scores["n_cells"] * scores["mse"] / left
        weight = weight.where(scores["held_out_r2"].notna(), 0.0)
        parts = scores.assign(weight=weight, part=weight * scores["held_out_r2"].fillna(0.0))
        sums = parts.groupby("gene", sort=True)[["weight", "part"]].sum()
        r2 = (sums["part"] / sums["weight"].where(sums["weight"] > 0.0, np.nan)).rename("held_out_r2")
        found = r2.reset_index().assign(predictable=(r2 > 0.0).to_numpy())
        return found.sort_values("held_out_r2", ascending=False, kind="stable", ignore_index=True)

    def manifest(self) -> dict[str, Any]:
        """Versions, hashes and, per process that worked here, timings and counts."""
        path = self.directory / MANIFEST_FILE
        if not path.is_file():
            return {}
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return found

    def summary(self) -> dict[str, Any]:
        """Give counts and median scores, ready for JSON."""
        scores = self.scores()
        genes = self.genes()
        kept = scores[scores["gene"].isin(genes)]
        expected = self.provenance.get("n_targets")
        orphans, failed = len(self.orphans()), len(self.failed())
        done = len(genes) + orphans
        targets = self.target_scores()
        return {
            "directory": str(self.directory),
            "genes": len(genes),
            "orphans": orphans,
            "failed": failed,
            "targets": expected,
            "complete": None if expected is None else done == expected,
            "clusters": list(self.cluster_labels),
            "median_r2": _median(kept["r2_raw"].fillna(kept["r2"])),
            "median_held_out_r2": _median(scores["held_out_r2"]),
            "predictable": int(targets.loc[targets["gene"].isin(genes), "predictable"].sum()),
            "converged": float(scores["converged"].mean()) if len(scores) else None,
            "kappa": self.cross_validation.get("kappa"),
            "conditions": sorted(self.conditions()),
        }

    def effects(self, genes: list[str] | None = None) -> pd.DataFrame:
        """Coefficients on the common scale ``beta * sd(column) / sd(target)`` inside each cluster.

        Parameters
        ----------
        genes
            Targets to list; all trained ones when not given.

        Returns
        -------
        Columns ``gene, cluster, modulator, beta, effect``, largest absolute effect first: non-zero
        coefficients, of a joint fit those of modulators in its sparse model (all are in the betadata).

        Raises
        ------
        RunError
            The run has no column scales (it was stopped before its end, or is one of the reference).
        """
        from cytoripple.io.effects import standardized_effects

        return standardized_effects(self, self.genes() if genes is None else genes)

    def edges(self, genes: list[str] | None = None) -> pd.DataFrame:
        """Edges with their importance, all clusters together; training writes them as ``edges.csv``.

        Parameters
        ----------
        genes
            Targets to list; all trained ones when not given.

        Returns
        -------
        One row per target and modulator in its sparse model (the dense share of a joint fit makes no edge),
        most important first: ``gene``, ``modulator``, ``kind`` (TF, ligand-receptor, ligand-TF or extra),
        ``importance`` (mean over cells of the absolute effect in standard deviations, see `effects`),
        ``sign`` (of the mean effect), ``clusters`` (how many have a coefficient), ``selection`` (largest
        multiplier of the penalty at which the edge is in the model: the larger, the surer; NaN where the
        estimator is not the joint one) and ``predictable`` (whether held-out cells of the target are
        predicted better than by the mean).

        Raises
        ------
        RunError
            The run has no column scales (it was stopped before its end, or is one of the reference).
        """
        from cytoripple.io.effects import edge_list

        return edge_list(self, self.genes() if genes is None else genes)


def open_run(path: str | Path) -> Run:
    """Open a run directory of cytoripple or of the reference.

    Parameters
    ----------
    path
        The directory, or the run TOML in it. For a run TOML of the reference the betadata are looked for
        where it says, and beside it when there are none.

    Raises
    ------
    RunError
        There is no such directory or no run TOML in it.

    Examples
    --------
    >>> run = open_run("run")  # doctest: +SKIP
    >>> run.scores().groupby("cluster")["held_out_r2"].median()  # doctest: +SKIP
    """
    path = Path(path).expanduser()
    folder = path.parent if path.suffix == ".toml" else path
    if not folder.is_dir():
        raise RunError(f"no run directory {folder}")
    names = (path.name,) if path.suffix == ".toml" else (RUN_FILE, reference.RUN_NAME)
    for name in names:
        if (folder / name).is_file():
            return _open(folder, folder / name)
    raise RunError(
        f"{folder} holds neither {RUN_FILE} nor {reference.RUN_NAME}: give the directory that training "
        "wrote, or load a plain folder of betadata with its settings by keyword"
    )


def _open(folder: Path, file: Path) -> Run:
    table = read_toml(file)
    if file.name == reference.RUN_NAME:
        output = table.get("execution", {}).get("output_dir", "")
        settings = Settings.parse(reference.translate(file, table, known_keys()), str(file))
        stored = (folder / output).expanduser()
        return Run(directory=stored if output and _has_betadata(stored) else folder, settings=settings)
    provenance = table.pop("provenance", {})
    validation = table.pop("cross_validation", {})
    try:
        settings = Settings.parse(table, str(file))
    except SettingsError as error:
        raise RunError(
            f"{error}: the run was written by cytoripple {provenance.get('version', '?')}"
        ) from None
    return Run(
        directory=folder,
        settings=settings,
        cluster_labels=tuple(provenance.get("cluster_labels", ())),
        radii=_read_radii(folder, provenance),
        kernel=settings.spatial.kernel,
        provenance=provenance,
        cross_validation=validation,
    )


def _read_radii(folder: Path, provenance: Mapping[str, Any]) -> dict[str, float]:
    name = provenance.get("ligand_radii")
    if name is None:
        return {}
    try:
        lines = (folder / name).read_text(encoding="utf-8").splitlines()[1:]
        pairs = (line.rpartition(",") for line in lines)
        return {ligand: float(radius) for ligand, _, radius in pairs}
    except (OSError, ValueError) as error:
        raise RunError(f"the table of ligand radii {folder / name} cannot be read: {error}") from None


def _has_betadata(folder: Path) -> bool:
    return any(any(folder.glob(f"*_betadata{suffix}")) for suffix in BETADATA_SUFFIXES)


def _median(values: pd.Series[float]) -> float | None:
    values = values.dropna()
    return float(values.median()) if len(values) else None
