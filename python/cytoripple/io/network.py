"""Prior networks: TF edges, ligand-receptor pairs and ligand-TF weights."""

from __future__ import annotations

import hashlib
import logging
import os
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cytoripple._errors import InputError, NetworkError
from cytoripple.io.edge_list import Edges, edges_from_frame, read_edges

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

SPECIES = ("mouse", "human")
# Ours first: whoever sets both wants the second only for the other program.
DATA_DIR_VARIABLES = ("CYTORIPPLE_DATA_DIR", "SPACETRAVLR_DATA_DIR")
_PARENTS = 10


@dataclass(frozen=True, eq=False, repr=False)
class Network:
    """What is known about who may regulate whom, before any data.

    Attributes
    ----------
    tf
        Data frame `source`, `target`: transcription factor and regulated gene.
    lr
        Data frame `ligand`, `receptor`, `signaling`: single genes, complexes already expanded. `signaling` is
        ``"Secreted Signaling"``, ``"ECM-Receptor"``, ``"Cell-Cell Contact"``, another text, or None.
    tfl
        Data frame `ligand`, `tf`, `weight` (float64): how strongly a ligand acts on a transcription factor.
    species
        ``"mouse"``, ``"human"`` or None where nobody said.
    source
        Path of the file, or a description.
    sha256
        Digest of all edges, the same for a file and its copy in memory. Not changed by :meth:`restrict`.

    The order of rows is the order of the database and has a meaning: it orders the modulators.
    """

    tf: pd.DataFrame
    lr: pd.DataFrame
    tfl: pd.DataFrame
    species: str | None
    source: str
    sha256: str

    def __repr__(self) -> str:
        return (
            f"Network({self.species or 'unknown species'}: {len(self.tf):,} TF edges, {len(self.lr):,} "
            f"ligand-receptor pairs, {len(self.tfl):,} ligand-TF edges; {self.source})"
        )

    def restrict(self, var_names: Iterable[str]) -> Network:
        """Keep the edges whose two ends are both measured, in their order.

        Parameters
        ----------
        var_names
            Gene names of the data.
        """
        import pandas as pd

        genes = pd.Index([str(name) for name in var_names])
        return Network(
            _both_in(self.tf, "source", "target", genes),
            _both_in(self.lr, "ligand", "receptor", genes),
            _both_in(self.tfl, "ligand", "tf", genes),
            species=self.species,
            source=self.source,
            sha256=self.sha256,
        )


def read_network(
    path: str | Path | None = None, *, species: str | None = None, data_dir: str | Path | None = None
) -> Network:
    """Read a network from a long Parquet edge list.

    Two forms are known: `kind` (tf, lr, tfl) with `lr_annotation`, and `edge_type` (grn, lr, nichenet) with
    an optional `signaling`. Both have `source`, `target` and `weight`; text may be categorical.

    Parameters
    ----------
    path
        The file. Without it, or with a folder, ``{species}_network.parquet`` is looked for in the folder, in
        `data_dir`, in the folders named by the variables CYTORIPPLE_DATA_DIR and SPACETRAVLR_DATA_DIR, in the
        data folder of the package, in ``data`` and ``../data`` beside the Python executable, and in ``data``
        of the current folder and nine of its parents; the first file found is read.
    species
        ``"mouse"`` or ``"human"``. Needed to look for a file; of a given file it is taken from the file name.
    data_dir
        Folder to look in first (key ``grn.network_data_dir``).

    Returns
    -------
    All edges of the file; :meth:`Network.restrict` keeps those of the genes measured.

    Raises
    ------
    NetworkError
        No file is found (all places tried are listed), or it is damaged, lacks a column, or has an edge of an
        unknown kind.
    InputError
        The species is unknown, or missing although a file has to be looked for.

    Examples
    --------
    >>> network = ct.io.read_network("mouse_network.parquet")  # doctest: +SKIP
    >>> network.restrict(adata.var_names)  # doctest: +SKIP
    Network(mouse: 1,323,673 TF edges, 1,199 ligand-receptor pairs, 2,175 ligand-TF edges;...)
    """
    if species is not None and species not in SPECIES:
        raise InputError(f"species is {species!r}: give 'mouse' or 'human'")
    given = None if path is None else Path(path).expanduser()
    if given is None or given.is_dir():
        if species is None:
            raise InputError(
                "species is needed to look for a network file: "
                "read_network(species='mouse'), or give the path of a .parquet file"
            )
        given = _find(species, [folder for folder in (given, data_dir) if folder is not None])
    start = time.perf_counter()
    network = _network(read_edges(given), species or _species_of_name(given), str(given))
    log.info("read %r in %.2f s", network, time.perf_counter() - start)
    return network


def as_network(network: Network | str | Path | pd.DataFrame, *, species: str | None = None) -> Network:
    """Network from whatever a user may hand over.

    Parameters
    ----------
    network
        A network (returned as it is), a Parquet file, a folder with ``{species}_network.parquet``, or a
        data frame in one of the two forms of :func:`read_network`.
    species
        ``"mouse"``, ``"human"`` or None.

    Raises
    ------
    NetworkError
        See :func:`read_network`.
    InputError
        Something else was given.
    """
    import pandas as pd

    if isinstance(network, Network):
        return network
    if isinstance(network, str | Path):
        return read_network(network, species=species)
    if isinstance(network, pd.DataFrame):
        edges = edges_from_frame(network, "network data frame")
        return _network(edges, species, "data frame")
    raise InputError(
        f"network is a {type(network).__name__}: give a Network, the path of a .parquet file or a data frame"
    )


def digest_of_edges(*tables: pd.DataFrame) -> str:
    """SHA-256 of the rows of the tables in their order, the same for a file and its copy in memory."""
    from pandas.util import hash_pandas_object

    digest = hashlib.sha256()
    for table in tables:
        digest.update("\t".join(map(str, table.columns)).encode())
        digest.update(hash_pandas_object(table, index=False).to_numpy().tobytes())
    return digest.hexdigest()


def _network(edges: Edges, species: str | None, source: str) -> Network:
    sha256 = digest_of_edges(edges.tf, edges.lr, edges.tfl)
    return Network(edges.tf, edges.lr, edges.tfl, species=species, source=source, sha256=sha256)


def _both_in(frame: pd.DataFrame, left: str, right: str, genes: pd.Index) -> pd.DataFrame:
    return frame[frame[left].isin(genes) & frame[right].isin(genes)].reset_index(drop=True)


def _species_of_name(path: Path) -> str | None:
    return next((name for name in SPECIES if path.name.casefold().startswith(name)), None)


def _find(species: str, first: Iterable[str | Path]) -> Path:
    """First existing ``{species}_network.parquet`` of the usual places."""
    name = f"{species}_network.parquet"
    tried = [folder / name for folder in _folders(first)]
    for path in tried:
        if path.is_file():
            return path
    places = "\n".join(f"  {path}" for path in tried)
    variables = " or ".join(DATA_DIR_VARIABLES)
    raise NetworkError(
        f"no network file {name} was found for species {species!r}. Give its path (network=...), set the "
        f"environment variable {variables} to its folder, or the key grn.network_data_dir. Tried:\n{places}"
    )


def _folders(first: Iterable[str | Path]) -> list[Path]:
    folders = [Path(folder).expanduser() for folder in first]
    folders += [Path(os.environ[name]).expanduser() for name in DATA_DIR_VARIABLES if os.environ.get(name)]
    folders.append(Path(__file__).parent.parent / "data")
    beside = Path(sys.executable).parent
    folders += [beside / "data", beside.parent / "data"]
    here = Path.cwd()
    folders += [folder / "data" for folder in (here, *here.parents)[:_PARENTS]]
    return list(dict.fromkeys(folders))
