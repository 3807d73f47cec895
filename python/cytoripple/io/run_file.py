"""The run TOML: written once by the first process, agreed with by every later one."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomli_w

from cytoripple._errors import RunError
from cytoripple._provenance import create_text, write_text
from cytoripple._settings import Settings, read_toml
from cytoripple.io.run import BETADATA_SUFFIXES, RADII_FILE, RUN_FILE

log = logging.getLogger(__name__)

# Settings that do not change a coefficient, or stand for a file whose content is hashed or recorded.
_FREE = frozenset(
    {
        "data.adata_path",
        "grn.network",
        "grn.network_data_dir",
        "grn.tf_priors_feather",
        "grn.extra_modulators_file",
        "grn.extra_lr_file",
        "execution.output_dir",
        "execution.threads",
        "execution.stale_lock_secs",
    }
)
_DATA_HASHES = {"input_hash": "data set", "network_hash": "network"}
_MORE_HASHES = {
    "tf_priors_hash": "TF priors",
    "cell_thresholds_hash": "cell thresholds",
    "size_factors_hash": "table of counts",
}


@dataclass(frozen=True)
class RunRecord:
    """Content of a run TOML."""

    settings: Settings
    provenance: Mapping[str, Any]
    cross_validation: Mapping[str, Any] = field(default_factory=dict)

    def text(self) -> str:
        """TOML text; the same record gives the same text."""
        table: dict[str, Any] = dict(self.settings.as_table())
        table["provenance"] = dict(self.provenance)
        if self.cross_validation:
            table["cross_validation"] = dict(self.cross_validation)
        return tomli_w.dumps(table)


def read_record(run_dir: Path) -> RunRecord:
    """Read the run TOML of a directory.

    Raises
    ------
    RunError
        There is none.
    """
    path = run_dir / RUN_FILE
    if not path.is_file():
        raise RunError(
            f"{run_dir} has no {RUN_FILE}, so there is no run to join: leave out join, or name its directory"
        )
    table = read_toml(path)
    provenance, validation = table.pop("provenance", {}), table.pop("cross_validation", {})
    return RunRecord(Settings.parse(table, str(path)), provenance, validation)


def establish(run_dir: Path, record: RunRecord, radii: Mapping[str, float], *, join: bool) -> RunRecord:
    """Make `run_dir` the directory of this run, or agree with the run that is there.

    The first process writes the run TOML; a later one must have the same data and settings. With `join` the
    settings are those of the directory already, and only the data are compared.

    Returns
    -------
    The record of the directory, with the penalty chosen so far.

    Raises
    ------
    RunError
        The directory belongs to another data set, network or other settings, or holds betadata of unknown
        origin.
    """
    path = run_dir / RUN_FILE
    if not path.is_file():
        if any(any(run_dir.glob(f"*_betadata{suffix}")) for suffix in BETADATA_SUFFIXES):
            raise RunError(f"{run_dir} holds betadata but no {RUN_FILE}: choose an empty run directory")
        if radii:
            rows = "".join(f"{ligand},{radius!r}\n" for ligand, radius in radii.items())
            write_text(run_dir / RADII_FILE, f"ligand,radius\n{rows}")
        if create_text(path, record.text()):
            return record
    stored = read_record(run_dir)
    _same_data(run_dir, record, stored)
    if not join:
        _same_settings(run_dir, record.settings, stored.settings)
    return stored


def store_choice(run_dir: Path, record: RunRecord, choice: Mapping[str, Any]) -> RunRecord:
    """Add the chosen penalty to the run TOML."""
    chosen = RunRecord(record.settings, record.provenance, choice)
    write_text(run_dir / RUN_FILE, chosen.text())
    return chosen


def differing_keys(left: Settings, right: Settings) -> dict[str, tuple[object, object]]:
    """Keys, of those that can change a coefficient, in which two settings differ."""
    one, two = left.model_dump(exclude={"perturbation"}), right.model_dump(exclude={"perturbation"})
    return {
        f"{section}.{name}": (value, two[section][name])
        for section, keys in one.items()
        for name, value in keys.items()
        if f"{section}.{name}" not in _FREE and value != two[section][name]
    }


def _same_data(run_dir: Path, record: RunRecord, stored: RunRecord) -> None:
    for key, noun in (_DATA_HASHES | _MORE_HASHES).items():
        here, there = record.provenance.get(key), stored.provenance.get(key)
        if here != there:
            raise RunError(
                f"{run_dir} is the run of another {noun}: it was trained on {_shape(stored)}, "
                f"and this is {_shape(record)}. Choose another run directory, or delete it to train anew"
            )


def _same_settings(run_dir: Path, here: Settings, there: Settings) -> None:
    changed = differing_keys(here, there)
    if changed:
        listed = "; ".join(
            f"{key} is {_short(new)} here and {_short(old)} there" for key, (new, old) in changed.items()
        )
        raise RunError(
            f"{run_dir} was trained with other settings: {listed}. Use the same settings to resume, join the "
            "run to take its settings, or choose another run directory"
        )


def _shape(record: RunRecord) -> str:
    data = record.provenance
    digest = str(data.get("input_hash", "?"))[:8]
    return (
        f"{data.get('n_cells', '?')} cells x {data.get('n_genes', '?')} genes (hash {digest}) "
        f"with network {data.get('network_name', '?')} ({str(data.get('network_hash', '?'))[:8]})"
    )


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
