"""Benchmark tissues stored as files, with their answers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cytoripple._errors import FileError, MissingFileError
from cytoripple.datasets._ripple_network import edge_table
from cytoripple.datasets.ripple import (
    CELL_TYPES,
    RippleTissue,
    RippleTruth,
    TruePerturbation,
    normalized,
)

if TYPE_CHECKING:
    import pandas as pd
    from numpy.lib.npyio import NpzFile

KINDS = {"ko": "knockout", "oe": "overexpression"}


def read_ripple(folder: str | Path, seed: int) -> RippleTissue:
    """Read a stored benchmark tissue.

    Parameters
    ----------
    folder
        Holds ``ripple_seed{seed}.h5ad``, ``ripple_seed{seed}_network.parquet`` and
        ``ripple_seed{seed}_truth.npz``.
    seed
        Number of the tissue.

    Returns
    -------
    RippleTissue
        As `datasets.ripple_tissue` makes them, but without the mechanism, and with the change of single
        cells for those perturbations only for which it was stored.

    Raises
    ------
    MissingFileError
        A file is missing.
    FileError
        The answers lack an array.
    """
    from cytoripple import io

    stem = Path(folder) / f"ripple_seed{seed}"
    answers = stem.with_name(f"{stem.name}_truth.npz")
    if not answers.is_file():
        raise MissingFileError(f"{answers} does not exist: give the folder of the stored tissues")
    adata = io.read(stem.with_name(f"{stem.name}.h5ad"))
    network = io.read_network(stem.with_name(f"{stem.name}_network.parquet"))
    with np.load(answers) as stored:
        try:
            truth = _truth(stored, adata.n_obs)
        except KeyError as error:
            raise FileError(f"{answers} lacks an array: {error}") from None
    adata.layers["norm"] = normalized(np.asarray(adata.X.toarray(), dtype=np.float64), truth.scale)
    return RippleTissue(adata, network, truth)


def _truth(stored: NpzFile, n_cells: int) -> RippleTruth:
    genes = tuple(str(gene) for gene in stored["genes"])
    return RippleTruth(
        edges=_edges(stored, genes),
        perturbations=tuple(
            _perturbation(stored, i, genes, n_cells) for i in range(len(stored["perturb_gene"]))
        ),
        state=stored["x0"].astype(np.float64),
        latent=stored["latent"].astype(np.float64),
        capture=stored["kappa"],
        scale=float(stored["scale"]),
        _genes=genes,
    )


def _perturbation(stored: NpzFile, i: int, genes: tuple[str, ...], n_cells: int) -> TruePerturbation:
    where, delta = str(stored["perturb_where"][i]), f"delta_cells_{i}"
    return TruePerturbation(
        gene=genes[stored["perturb_gene"][i]],
        kind=KINDS[str(stored["perturb_kind"][i])],
        where=where,
        cells=np.unpackbits(stored["perturb_mask"][i])[:n_cells].astype(bool),
        value=float(stored["perturb_value_latent"][i]),
        layer_value=float(stored["perturb_value_layer"][i]),
        effect=stored["effect_mean"][i].astype(np.float64),
        ripple=None if where == "all" else stored["ripple_mean"][i].astype(np.float64),
        delta=stored[delta].astype(np.float32) if delta in stored else None,
    )


def _edges(stored: NpzFile, genes: tuple[str, ...]) -> pd.DataFrame:
    names = np.array(genes, dtype=object)
    ligands, receptors, factors = (_of_kind(names, prefix) for prefix in ("LG", "RC", "TF"))
    tf, lr, tfl = (stored[f"{kind}_edges"] for kind in ("tf", "lr", "tfl"))
    return edge_table(
        [
            ("tf", names[tf[:, 0]], factors[tf[:, 1]], stored["tf_weights"]),
            ("lr", names[lr[:, 0]], ligands[lr[:, 1]] + "$" + receptors[lr[:, 2]], stored["lr_weights"]),
            ("tfl", names[tfl[:, 0]], ligands[tfl[:, 1]] + "#" + factors[tfl[:, 2]], stored["tfl_weights"]),
        ],
        CELL_TYPES,
    )


def _of_kind(names: NDArray[np.object_], prefix: str) -> NDArray[np.object_]:
    return names[[str(name).startswith(prefix) for name in names]]
