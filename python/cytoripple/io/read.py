"""Read a tissue from an h5ad file or a zarr directory."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from cytoripple._errors import FileError, MissingFileError, did_you_mean

if TYPE_CHECKING:
    from anndata import AnnData

log = logging.getLogger(__name__)

_HDF5 = b"\x89HDF\r\n\x1a\n"
_EXPECTED = "an .h5ad file or a .zarr directory"
_KINDS = {
    b"PK\x03\x04": "a zip archive: unpack it first",
    b"\x1f\x8b": "compressed with gzip: unpack it first, e.g. gunzip",
    b"BZh": "compressed with bzip2: unpack it first",
    b"PAR1": "a parquet table",
    b"ARROW1": "a feather table",
}


def read(path: str | Path, *, backed: bool = False) -> AnnData:
    """Read a tissue.

    Nothing is changed: names that occur twice are kept and reported in the log, because every later step
    refuses them.

    Parameters
    ----------
    path
        An ``.h5ad`` file, or a directory with a zarr store of an AnnData object.
    backed
        Leave ``X`` of an h5ad file on disk; close it with ``adata.file.close()``. A zarr store is loaded.

    Returns
    -------
    The AnnData object.

    Raises
    ------
    FileError
        The path does not exist (also a `FileNotFoundError`), is neither h5ad nor zarr, or is truncated.

    Examples
    --------
    >>> import cytoripple as ct
    >>> adata = ct.io.read("tissue.h5ad")  # doctest: +SKIP
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise MissingFileError(_missing(path))
    if path.is_dir():
        _check_zarr(path)
    else:
        _check_hdf5(path)
    adata = _load(path, backed and not path.is_dir())
    from cytoripple._anndata import repeated_names

    for axis, what, names in (("obs", "cell", adata.obs_names), ("var", "gene", adata.var_names)):
        message = repeated_names(what, names, axis)
        if message:
            log.warning("%s: %s", path, message)
    log.info("read %s: %d cells x %d genes", path, adata.n_obs, adata.n_vars)
    return adata


def _load(path: Path, backed: bool) -> AnnData:
    import anndata

    try:
        with warnings.catch_warnings():
            # Repeated names are reported by `read` in its own words.
            warnings.filterwarnings("ignore", message=".* names are not unique", category=UserWarning)
            if path.is_dir():
                return anndata.read_zarr(path)
            return anndata.read_h5ad(path, backed="r" if backed else None)
    except (OSError, KeyError, ValueError, TypeError, RuntimeError, AttributeError) as error:
        raise FileError(
            f"{path} cannot be read to its end: it is truncated or damaged, "
            f"expected a complete AnnData file. Copy or write it again. "
            f"({type(error).__name__}: {_short(error)})"
        ) from error


def _missing(path: Path) -> str:
    parent = path.parent
    if not parent.is_dir():
        return f"{path} does not exist, nor does its directory: expected {_EXPECTED}"
    known = [entry.name for entry in parent.iterdir() if entry.suffix in {".h5ad", ".zarr"}]
    return f"{path} does not exist{did_you_mean(path.name, known)}: expected {_EXPECTED}"


def _check_zarr(path: Path) -> None:
    markers = {"zarr.json", ".zgroup", ".zmetadata", ".zattrs"}
    if not any((path / marker).exists() for marker in markers):
        inside = sorted(entry.name for entry in path.iterdir() if entry.suffix in {".h5ad", ".zarr"})
        hint = f", e.g. ct.io.read({str(path / inside[0])!r})" if inside else ""
        raise FileError(
            f"{path} is a directory but no zarr store (no zarr.json and no .zgroup in it): "
            f"expected {_EXPECTED}{hint}"
        )
    tables = path / "tables"
    if tables.is_dir():
        inside = sorted(entry.name for entry in tables.iterdir() if entry.is_dir())
        raise FileError(
            f"{path} is a SpatialData store, expected one table of it: "
            f"ct.io.read({str(tables / (inside or ['table'])[0])!r})"
        )
    if not ((path / "obs").exists() and (path / "var").exists()):
        raise FileError(
            f"{path} is a zarr store without obs and var: expected one written by adata.write_zarr"
        )


def _check_hdf5(path: Path) -> None:
    try:
        with path.open("rb") as file:
            start = file.read(512)
    except OSError as error:
        raise FileError(
            f"{path} cannot be opened ({error.strerror}): expected a readable .h5ad file"
        ) from error
    if not start:
        raise FileError(f"{path} is empty (0 bytes): expected an .h5ad file, write or copy it again")
    if not start.startswith(_HDF5):
        kind = next((text for magic, text in _KINDS.items() if start.startswith(magic)), "")
        kind = kind or ("text" if _is_text(start) else "of an unknown format")
        raise FileError(
            f"{path} is no HDF5 file but {kind}: expected an .h5ad file, "
            "make one with anndata or scanpy and adata.write_h5ad('tissue.h5ad')"
        )
    import h5py

    try:
        with h5py.File(path, "r") as file:
            keys = list(file)
    except OSError as error:
        raise FileError(
            f"{path} is truncated or damaged ({_short(error)}): expected a complete .h5ad file, copy it again"
        ) from error
    if not {"obs", "var"} <= set(keys):
        loader = "scanpy.read_10x_h5" if "matrix" in keys else "the program that wrote it"
        raise FileError(
            f"{path} is an HDF5 file with {', '.join(map(repr, keys[:8])) or 'nothing'} in it, "
            f"expected the obs and var of an .h5ad file: read it with {loader} "
            "and save it with adata.write_h5ad"
        )


def _is_text(start: bytes) -> bool:
    return b"\0" not in start and all(sign >= 32 or sign in b"\t\n\r\f" for sign in start)


def _short(error: Exception) -> str:
    return str(error).partition("\n")[0][:120]
