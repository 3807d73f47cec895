"""What a perturbation data set calls its columns, and the same columns for all of them."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cytoripple._errors import InputError, MissingFileError, SettingsError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

CONTROL = "non-targeting"
PERTURBATION, CELL_TYPE, BATCH = "target_gene", "cell_type", "batch"
VAR_INDEX = "var-index"


@dataclass(frozen=True)
class DatasetSpec:
    """Names of the columns of one data set.

    Parameters
    ----------
    path
        The h5ad file.
    pert_col
        Column of obs with the perturbation.
    ctrl_label
        What controls are called in it; NaN is called ``"nan"``.
    group_by
        Columns of obs that make up a batch.
    cell_type_col
        Column of obs with the cell type.
    cell_type
        One cell type for all cells; instead of `cell_type_col`.
    gene_id_col
        Column of var with Ensembl ids.
    gene_name_col
        Column of var with symbols; ``"var-index"`` is the index.
    multiplet_col
        Column of obs that counts perturbations per cell; cells with more than one are dropped.
    layer
        Layer with the values; None is ``X``.
    name
        Name of the data set; default is the file name without ending.

    Raises
    ------
    SettingsError
        Cell types are given twice or a name is empty.
    """

    path: Path
    pert_col: str
    ctrl_label: str = CONTROL
    group_by: tuple[str, ...] = ()
    cell_type_col: str | None = None
    cell_type: str | None = None
    gene_id_col: str | None = None
    gene_name_col: str = VAR_INDEX
    multiplet_col: str | None = None
    layer: str | None = None
    name: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", Path(self.path).expanduser())
        group_by = (self.group_by,) if isinstance(self.group_by, str) else tuple(self.group_by)
        object.__setattr__(self, "group_by", group_by)
        object.__setattr__(self, "name", self.name or self.path.stem)
        if self.cell_type_col is not None and self.cell_type is not None:
            raise SettingsError("cell_type_col and cell_type are both given: give one of them")
        if not self.pert_col:
            raise SettingsError("pert_col is empty: give the column of obs with the perturbation")

    @classmethod
    def from_table(cls, table: Mapping[str, Any], folder: Path | None = None) -> DatasetSpec:
        """Make it of one ``[[datasets]]`` table; a relative path starts at `folder`.

        Raises
        ------
        SettingsError
            A key is unknown (the nearest known one is named), missing, or has the wrong type.
        """
        known = {field.name for field in fields(cls)}
        for key, value in table.items():
            if key not in known:
                raise SettingsError(f"unknown key {key!r} in [[datasets]]{did_you_mean(key, known)}")
            wants = list if key == "group_by" and not isinstance(value, str) else str
            if not isinstance(value, wants):
                raise SettingsError(f"{key} in [[datasets]] is {value!r}: expected text")
        if missing := [key for key in ("path", "pert_col") if key not in table]:
            raise SettingsError(f"{missing[0]} is missing in [[datasets]]")
        path = Path(table["path"]).expanduser()
        return cls(**{**table, "path": path if folder is None else folder / path})


def read_specs(path: str | Path) -> list[DatasetSpec]:
    """Read the ``[[datasets]]`` tables of a TOML file.

    Parameters
    ----------
    path
        Paths in it are relative to its folder.

    Raises
    ------
    SettingsError
        The file is no TOML, has no such table, an unknown key, or two data sets of one name.
    """
    path = Path(path).expanduser()
    content = read_toml(path)
    if unknown := sorted(set(content) - {"datasets"}):
        raise SettingsError(f"unknown key {unknown[0]!r} in {path}: expected [[datasets]] tables")
    tables = content.get("datasets")
    if not isinstance(tables, list) or not tables:
        raise SettingsError(f"{path} has no [[datasets]] table")
    specs = [DatasetSpec.from_table(table, path.parent) for table in tables]
    names = [spec.name for spec in specs]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise SettingsError(f"two data sets of {path} are called {twice[0]!r}: give each a name")
    return specs


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file, with one sentence for a missing or broken one."""
    if not path.is_file():
        raise MissingFileError(f"{path} does not exist: expected a TOML file")
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is no valid TOML: {error}") from error


def harmonize_obs(
    obs: pd.DataFrame, spec: DatasetSpec, *, control: str = CONTROL, keep_multiplets: bool = False
) -> tuple[pd.DataFrame, NDArray[np.bool_]]:
    """Give obs the columns every data set has.

    Parameters
    ----------
    obs
        As in the file.
    spec
        Names of its columns.
    control
        The one label of controls.
    keep_multiplets
        Keep cells with several perturbations.

    Returns
    -------
    obs
        All cells, with ``dataset``, ``cell_type``, ``batch`` (values of `group_by`, joined by ``|``),
        ``target_gene`` and ``pert_original`` in addition.
    keep
        (cells,) bool: no multiplet.

    Raises
    ------
    InputError
        A column is missing, no cell is a control, or no cell is perturbed.
    """
    labels = _column(obs, spec.pert_col, "pert_col")
    is_control = labels == str(spec.ctrl_label)
    if not is_control.any():
        seen = list(dict.fromkeys(labels))
        near = did_you_mean(str(spec.ctrl_label), seen)
        raise InputError(
            f"no cell of {spec.name} has {spec.pert_col} = {str(spec.ctrl_label)!r}, the control label"
            f"{near}: set ctrl_label to one of {', '.join(map(repr, seen[:8]))}"
        )
    keep = np.ones(len(obs), dtype=bool)
    if spec.multiplet_col is not None and not keep_multiplets:
        keep = _counts(obs, spec.multiplet_col) <= 1
    if not (keep & is_control).any() or not (keep & ~is_control).any():
        raise InputError(f"{spec.name} needs control and perturbed cells with one perturbation each")
    batches = [_column(obs, name, "group_by") for name in spec.group_by]
    cell_type = (
        np.full(len(obs), spec.cell_type or "cell", dtype=object)
        if spec.cell_type_col is None
        else _column(obs, spec.cell_type_col, "cell_type_col")
    )
    labels = np.where(is_control, control, labels)
    made = obs.assign(
        dataset=spec.name,
        pert_original=_column(obs, spec.pert_col, "pert_col"),
        **{
            CELL_TYPE: cell_type,
            BATCH: ["|".join(parts) for parts in zip(*batches, strict=True)] if batches else "all",
            PERTURBATION: labels,
        },
    )
    return made.astype(
        dict.fromkeys(("dataset", CELL_TYPE, BATCH, PERTURBATION, "pert_original"), "category")
    ), keep


def read_dataset(spec: DatasetSpec, *, control: str = CONTROL, keep_multiplets: bool = False) -> AnnData:
    """Read a data set into memory, with the columns of `harmonize_obs`, without multiplets.

    Raises
    ------
    FileError
        The file is missing or damaged.
    InputError
        A column, the layer or the control label is not there.
    """
    from cytoripple import io

    adata = io.read(spec.path)
    if spec.layer is not None:
        if spec.layer not in adata.layers:
            raise InputError(
                f"{spec.name} has no layer {spec.layer!r}{did_you_mean(spec.layer, adata.layers)}"
            )
        adata.X = adata.layers[spec.layer]
    adata.obs, keep = harmonize_obs(adata.obs, spec, control=control, keep_multiplets=keep_multiplets)
    return adata if keep.all() else adata[keep].copy()


def gene_columns(var: pd.DataFrame, spec: DatasetSpec) -> tuple[list[str], list[str] | None]:
    """Symbols and, where the data set has them, ids of its genes.

    Raises
    ------
    InputError
        A column of var is not there.
    """
    names = [str(name) for name in var.index]
    if spec.gene_name_col != VAR_INDEX:
        names = _column(var, spec.gene_name_col, "gene_name_col").tolist()
    if spec.gene_id_col is None:
        return names, None
    if spec.gene_id_col == VAR_INDEX:
        return names, [str(name) for name in var.index]
    return names, _column(var, spec.gene_id_col, "gene_id_col").tolist()


def _column(table: pd.DataFrame, name: str, setting: str) -> NDArray[np.object_]:
    """Texts of a column; a missing value is ``"nan"``."""
    if name not in table.columns:
        known = ", ".join(map(repr, list(table.columns)[:25])) or "none"
        near = did_you_mean(name, map(str, table.columns))
        raise InputError(f"there is no column {name!r} ({setting}){near}: columns are {known}")
    values = table[name].astype(object)
    return np.array(["nan" if value != value else str(value) for value in values], dtype=object)


def _counts(obs: pd.DataFrame, name: str) -> NDArray[np.float64]:
    import pandas as pd

    texts = _column(obs, name, "multiplet_col")
    numbers = np.asarray(pd.to_numeric(pd.Series(texts), errors="coerce"), dtype=np.float64)
    if np.isnan(numbers).any():
        raise InputError(f"{name} (multiplet_col) is not a number in {int(np.isnan(numbers).sum())} cells")
    return numbers
