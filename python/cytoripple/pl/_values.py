"""What the pictures read from an AnnData: coordinates, values, and the record of a perturbation."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cytoripple._errors import CoordinatesError, InputError, did_you_mean
from cytoripple.pl._style import gene as italic

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

SPATIAL_KEYS = ("spatial", "X_spatial", "spatial_loc")


def coordinates(adata: AnnData, spatial_key: str | None = None) -> NDArray[np.float64]:
    """First two columns of the coordinates, float64.

    Raises
    ------
    CoordinatesError
        No coordinates are found, or they are not finite.
    """
    keys = (spatial_key,) if spatial_key else SPATIAL_KEYS
    found = next((key for key in keys if key in adata.obsm), None)
    if found is None:
        raise CoordinatesError(
            f"no coordinates: adata.obsm has {sorted(adata.obsm)}, expected one of {list(keys)}; "
            "name it with spatial_key="
        )
    xy = np.asarray(adata.obsm[found], dtype=np.float64)
    if xy.ndim != 2 or xy.shape[1] < 2 or not np.isfinite(xy[:, :2]).all():
        raise CoordinatesError(f"adata.obsm[{found!r}] must have two columns of finite numbers")
    return np.ascontiguousarray(xy[:, :2])


def gene_values(adata: AnnData, gene: str, layer: str | None) -> NDArray[np.float64]:
    """Dense column of one gene.

    Raises
    ------
    InputError
        The gene or the layer is missing.
    """
    if gene not in adata.var_names:
        raise InputError(f"{gene!r} is not a gene of the data{did_you_mean(gene, adata.var_names)}")
    if layer not in (None, "", "X") and layer not in adata.layers:
        raise InputError(f"there is no layer {layer!r}{did_you_mean(str(layer), adata.layers)}")
    matrix = adata.X if layer in (None, "", "X") else adata.layers[layer]
    column = matrix[:, int(adata.var_names.get_loc(gene))]
    column = column.toarray() if hasattr(column, "toarray") else column
    return np.asarray(column, dtype=np.float64).ravel()


def labels_or_values(
    adata: AnnData, color: str, layer: str | None
) -> tuple[pd.Categorical[str] | NDArray[np.float64], bool]:
    """Values of an obs column or a gene, and whether it is a gene."""
    import pandas as pd

    if color not in adata.obs:
        if color not in adata.var_names:
            known = [*adata.obs.columns, *adata.var_names]
            raise InputError(f"{color!r} is neither a column of obs nor a gene{did_you_mean(color, known)}")
        return gene_values(adata, color, layer), True
    column = adata.obs[color]
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        return column.to_numpy(np.float64), False
    return as_labels(column), False


def as_labels(column: pd.Series[Any]) -> pd.Categorical[str]:
    """Text categories of a column, those that occur, in the order of the column's categories."""
    import pandas as pd

    order = column.cat.categories if isinstance(column.dtype, pd.CategoricalDtype) else None
    text = column.astype("object").where(column.notna(), "NA").astype(str)
    names = sorted(set(text)) if order is None else [str(name) for name in order]
    names += sorted(set(text) - set(names))
    present = set(text)
    return pd.Categorical(text.tolist(), categories=[name for name in names if name in present])


def length_unit(adata: AnnData) -> tuple[str, float]:
    """Find a unit for the scale bar and how many of it one unit of the coordinates is.

    The text "1 unit = 200 um" is of the coordinates before `cytoripple.pp.rescale_coordinates`.
    """
    told = str(adata.uns.get("spatial_units", "")).strip().casefold()
    if re.match(r"(µm|μm|um|micromet|micron)", told):
        return "µm", 1.0
    size = micrometers_per_unit(told)
    if size is not None:
        return "µm", size / _factor(adata)
    return ("px" if "pixel" in told else "units"), 1.0


def _factor(adata: AnnData) -> float:
    """By what the coordinates were multiplied since they were read."""
    record = adata.uns.get("spatial_unscaled", {})
    return float(record.get("parameters", {}).get("factor", 1.0))


def micrometers_per_unit(told: str) -> float | None:
    """Length in a text such as "array index (1 unit = 200 um)", None when there is none."""
    found = re.search(r"1 unit\s*(?:=|is(?: about)?)\s*([0-9.]+)\s*(?:µm|μm|um|micron)", told.casefold())
    return float(found[1]) if found else None


def result_of(adata: AnnData, key: str) -> Mapping[str, Any]:
    """Record that a perturbation left in ``uns``.

    Raises
    ------
    InputError
        There is no perturbation of that name.
    """
    if key not in adata.uns or f"{key}_delta" not in adata.layers:
        raise InputError(
            f"there is no perturbation {key!r} in the data: "
            f"run cytoripple.tl.perturb(adata, ..., key_added={key!r})"
        )
    record: Mapping[str, Any] = adata.uns[key]
    return record


def perturbation_title(record: Mapping[str, Any]) -> str:
    """Text like "knock-out of Wnt5a in 40 cells", with the genes in italics."""
    targets = targets_of(record)
    knocked = [italic(name) for name, value in targets.items() if value == 0]
    set_to = [f"{italic(name)} = {value:g}" for name, value in targets.items() if value != 0]
    parts = [f"knock-out of {' + '.join(knocked)}"] if knocked else []
    parts += [f"setting {', '.join(set_to)}"] if set_to else []
    cells = record.get("cells")
    where = "" if cells is None or isinstance(cells, str) else f" in {len(cells):,} cells"
    return " and ".join(parts) + where


def targets_of(record: Mapping[str, Any]) -> dict[str, float]:
    """Perturbed genes and the values they were set to."""
    return {str(name): float(value) for name, value in zip(record["targets"], record["values"], strict=True)}


def perturbed_cells(adata: AnnData, key: str) -> NDArray[np.bool_]:
    """Which cells were perturbed: those recorded, else all."""
    recorded = adata.uns[key].get("cells")
    if recorded is None or isinstance(recorded, str):
        return np.ones(adata.n_obs, dtype=np.bool_)
    recorded = np.asarray(recorded)
    if recorded.dtype == np.bool_:
        return recorded
    return np.asarray(adata.obs_names.isin([str(name) for name in recorded]), dtype=np.bool_)


def sample_labels(adata: AnnData, record: Mapping[str, Any]) -> NDArray[np.str_] | None:
    """Section of each cell when the perturbation knew sections."""
    key = record.get("sample_key")
    return np.asarray(adata.obs[key].astype(str), dtype=np.str_) if key in adata.obs else None
