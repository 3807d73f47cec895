"""A small screen on disk, in every layout an h5ad file may have."""

from pathlib import Path

import h5py
import numpy as np
from scipy import sparse

import cytoripple as ct
from cytoripple.vc.dataset import DatasetSpec


def screen_file(folder: Path, layout: str = "csr", values: str = "counts", **settings):
    """Write a screen; return its path and what was written."""
    adata, _ = ct.datasets.simulate_screen(
        **{"n_ctrl": 40, "P": 4, "n_per": 12, "G": 35, "n_ct": 2} | settings
    )
    matrix = {"counts": lambda: adata.X, "lognorm": lambda: adata.layers["lognorm"]}[values]()
    adata.X = {"csr": sparse.csr_matrix, "csc": sparse.csc_matrix, "dense": lambda x: x.toarray()}[layout](
        matrix
    )
    del adata.layers["lognorm"]
    path = folder / f"{layout}_{values}.h5ad"
    adata.write_h5ad(path, compression="gzip" if layout == "dense" else None)
    return path, adata


def spec_of(path: Path, **changes) -> DatasetSpec:
    settings = {"pert_col": "target_gene", "group_by": ("batch",), "cell_type_col": "cell_type"}
    return DatasetSpec(path, **settings | {"gene_id_col": "gene_id"} | changes)


def overwrite_matrix(path: Path, name: str, values) -> None:
    """Replace one array of the matrix of a CSR file."""
    with h5py.File(path, "r+") as file:
        file[f"X/{name}"][...] = np.asarray(values)
