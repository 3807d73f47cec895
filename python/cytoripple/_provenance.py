"""Where a result came from: hashes, versions, and files that appear whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
import platform
import re
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cytoripple._core import __version__
from cytoripple._errors import RunError

if TYPE_CHECKING:
    import pandas as pd

    from cytoripple._anndata import Tissue

_TEMPORARY = re.compile(r"^\..+@(?P<host>.+)@(?P<pid>\d+)\.tmp$")
_ROWS_PER_BLOCK = 4096
_FULL = frozenset(code for code in (errno.ENOSPC, getattr(errno, "EDQUOT", None)) if code is not None)
_PACKAGES = ("numpy", "scipy", "pandas", "anndata", "pyarrow", "pydantic")


@cache
def host_id() -> str:
    """Name of the machine and, where the system has them, of its process namespace.

    Two containers may share a host name and a folder; their process ids mean different processes.
    """
    name = re.sub(r"[^A-Za-z0-9.-]", "_", socket.gethostname()) or "host"
    with suppress(OSError):
        return f"{name}.{os.stat('/proc/self/ns/pid').st_ino}"  # noqa: PTH116 - a link that must be followed
    return name


def process_start(pid: int) -> str | None:
    """Start time of a live process as the kernel counts it; ``""`` if unknown, ``None`` if there is none.

    A zombie counts as dead. The start time tells a process from a later one with the same id.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return _start_without_proc(pid)
    return None if fields[0] in "ZX" else fields[19]


def _start_without_proc(pid: int) -> str | None:
    if os.name == "nt" or Path("/proc/self/stat").exists():
        return "" if os.name == "nt" else None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        return ""
    return ""


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turn a full disk into one sentence.

    Raises
    ------
    RunError
        The disk of `folder` is full, or the quota is used up.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL or "No space left" in str(error):
            raise RunError(
                f"no space left on the disk of {folder}: nothing half-written was kept. "
                "Free some space and run the same command again; what is finished is not repeated"
            ) from error
        raise


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary name in the folder of `path`, renamed to `path` when the block succeeds.

    A failure inside the block removes the temporary file and leaves an older `path` as it was.
    """
    temporary = path.with_name(f".{path.name}@{host_id()}@{os.getpid()}.tmp")
    try:
        with writing(path.parent):
            yield temporary
            temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Write `text` (UTF-8, line ends unchanged) so that `path` appears whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def create_text(path: Path, text: str) -> bool:
    """Write `path` whole unless it exists; ``False`` when another process was first."""
    temporary = path.with_name(f".{path.name}@{host_id()}@{os.getpid()}.tmp")
    try:
        with writing(path.parent):
            temporary.write_text(text, encoding="utf-8", newline="\n")
            try:
                os.link(temporary, path)
            except FileExistsError:
                return False
            except OSError:  # a file system without hard links: the window between the two calls stays
                if path.exists():
                    return False
                temporary.replace(path)
        return True
    finally:
        temporary.unlink(missing_ok=True)


def sweep_temporary(folder: Path) -> int:
    """Remove temporary files that killed processes of this machine left in `folder`; return how many."""
    removed = 0
    for path in folder.glob(".*.tmp"):
        found = _TEMPORARY.match(path.name)
        if found and found["host"] == host_id() and process_start(int(found["pid"])) is None:
            path.unlink(missing_ok=True)
            removed += 1
    return removed


def versions() -> dict[str, str]:
    """Versions of cytoripple, Python and the packages that take part in a result."""
    found = {"cytoripple": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


def hash_tissue(tissue: Tissue) -> str:
    """SHA-256 of everything training reads from a tissue.

    The digest does not depend on how the matrix is stored (dense or sparse, dtype of the file), nor on the
    machine.
    """
    digest = hashlib.sha256()
    for names in (tissue.obs_names, tissue.var_names, tissue.cluster_labels, tissue.sample_labels):
        _add_names(digest, names)
    for array in (tissue.xy, tissue.clusters, tissue.samples):
        if array is not None:
            _add_array(digest, array)
    _add_matrix(digest, tissue.expression)
    for cluster, label in sorted(tissue.cell_types.items()):
        digest.update(f"{cluster}={label}\0".encode())
    return digest.hexdigest()


def hash_array(array: NDArray[Any]) -> str:
    """SHA-256 of the shape and the values of an array."""
    digest = hashlib.sha256()
    _add_array(digest, array)
    return digest.hexdigest()


def hash_table(table: pd.DataFrame) -> str:
    """SHA-256 of the column names and the values of a table, in order, ignoring its index."""
    digest = hashlib.sha256()
    _add_names(digest, table.columns)
    for name in table.columns:
        _add_names(digest, table[name])
    return digest.hexdigest()


def _add_names(digest: hashlib._Hash, names: Iterable[object]) -> None:
    texts = [str(name) for name in names]
    digest.update(f"{len(texts)}:".encode())
    digest.update("\0".join(texts).encode())


def _add_array(digest: hashlib._Hash, array: NDArray[Any]) -> None:
    digest.update(f"{array.dtype.kind}{array.shape}".encode())
    digest.update(np.ascontiguousarray(array).tobytes())


def _add_matrix(digest: hashlib._Hash, matrix: Any) -> None:
    digest.update(f"{matrix.shape}".encode())
    for first in range(0, matrix.shape[0], _ROWS_PER_BLOCK):
        block = matrix[first : first + _ROWS_PER_BLOCK]
        if isinstance(block, np.ndarray):
            rows, columns = np.nonzero(block)
            counts, values = np.bincount(rows, minlength=block.shape[0]), block[rows, columns]
        else:
            kept = block.data != 0.0
            rows = np.repeat(np.arange(block.shape[0]), np.diff(block.indptr))[kept]
            counts = np.bincount(rows, minlength=block.shape[0])
            columns, values = block.indices[kept], block.data[kept]
        for part in (counts.astype(np.int64), columns.astype(np.int64), values.astype(np.float64)):
            digest.update(part.tobytes())
