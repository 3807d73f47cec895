"""A simulated tissue as an Arrow file that other programs read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cytoripple._errors import InputError
from cytoripple._matrix import dense

if TYPE_CHECKING:
    from anndata import AnnData

_ROWS = 4096
_FORBIDDEN = str.maketrans(dict.fromkeys("/\\:\0", "_"))


def write_feather(adata: AnnData, path: str | Path, *, key: str = "perturbation") -> Path:
    """Write simulated expression as ``{gene}_perturb_expr.feather``.

    The file (Arrow IPC, LZ4) has the column ``CellID`` and one float64 column per gene; its schema metadata
    holds the settings of the simulation as JSON under ``cytoripple``. It appears complete or not at all.

    Parameters
    ----------
    adata
        With the result of `cytoripple.tl.perturb`.
    path
        Folder, or the name of the file when it ends in ``.feather``. In a folder the file is named after the
        perturbed gene, or ``joint`` when there are several.
    key
        Name of the result.

    Returns
    -------
    The file written.

    Raises
    ------
    InputError
        There is no such result, or the folder does not exist.
    RunError
        The disk is full; no partial file is left.
    """
    import pyarrow as pa

    from cytoripple._provenance import atomic_path

    if key not in adata.uns or key not in adata.layers:
        raise InputError(f"adata has no simulation {key!r}: make one with ct.tl.perturb(adata, run, targets)")
    record = adata.uns[key]
    path = Path(path).expanduser()
    if path.suffix != ".feather":
        targets = [str(gene) for gene in record["targets"]]
        name = targets[0].translate(_FORBIDDEN) if len(targets) == 1 else "joint"
        path = path / f"{name}_perturb_expr.feather"
    if not path.parent.is_dir():
        raise InputError(f"{path.parent} is not a folder: make it first")
    fields = [
        pa.field("CellID", pa.string()),
        *(pa.field(str(gene), pa.float64()) for gene in adata.var_names),
    ]
    settings = json.dumps(_plain(record), ensure_ascii=False)
    schema = pa.schema(fields, metadata={"cytoripple": settings})
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with atomic_path(path) as temporary, pa.ipc.new_file(str(temporary), schema, options=options) as file:
        matrix: Any = adata.layers[key]
        for start in range(0, adata.n_obs, _ROWS):
            rows = matrix[start : start + _ROWS]
            columns = np.ascontiguousarray(dense(rows).T, dtype=np.float64)
            names = pa.array(adata.obs_names[start : start + _ROWS].astype(str), type=pa.string())
            file.write_batch(pa.record_batch([names, *map(pa.array, columns)], schema=schema))
    return path


def _plain(value: Any) -> Any:
    """Value that JSON can hold."""
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, np.ndarray):
        return value.tolist()
    return value.item() if isinstance(value, np.generic) else value
