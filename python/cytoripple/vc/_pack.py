"""Turn an h5ad file into a row store: two passes over the source, bounded memory, whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cytoripple._errors import FileError, LayerError
from cytoripple._progress import Progress, Silent
from cytoripple._provenance import host_id, process_start, writing
from cytoripple.vc._h5ad import H5adMatrix
from cytoripple.vc.dataset import (
    BATCH,
    CELL_TYPE,
    CONTROL,
    PERTURBATION,
    DatasetSpec,
    gene_columns,
    harmonize_obs,
)
from cytoripple.vc.genes import GeneResolver
from cytoripple.vc.guard import LOG_CEILING, TARGET_SUM, State, common_sum

if TYPE_CHECKING:
    import pandas as pd

FORMAT, VERSION = "cytoripple-rows", 1
GROUP_KEYS = (CELL_TYPE, BATCH, PERTURBATION)
_FRACTION = 1e-3


@dataclass
class _Survey:
    """What the first pass learns."""

    nonzeros: NDArray[np.int64]
    sums: NDArray[np.float64]
    undone: NDArray[np.float64]
    fractional: NDArray[np.bool_]
    tops: NDArray[np.float64]
    bottoms: NDArray[np.float64]
    column_sums: NDArray[np.float64]
    lowest: float = 0.0
    bad: int = 0

    def state(self) -> State:
        """Kind of the values, from all of them; see `expression_state`."""
        if self.bad:
            raise LayerError(
                f"the matrix holds {self.bad} values that are NaN or infinite: drop or replace them"
            )
        if self.lowest < 0:
            raise LayerError(
                "the matrix holds negative values, so it was scaled or centered, which cannot be undone: "
                "pack the values before scaling"
            )
        if not self.fractional.any():
            return "counts"
        filled = self.tops > 0
        small = filled & (self.tops < LOG_CEILING)
        logs = bool(np.median(self.tops[self.fractional]) < LOG_CEILING)
        wrong = (~self.fractional & (self.tops > self.bottoms)) | (filled & ~small)
        if not logs:
            far = small.any() and np.median(self.tops[filled & ~small]) > 10 * np.median(self.tops[small])
            wrong = small if far else np.zeros_like(small)
        if wrong.any():
            raise LayerError(
                f"{int(wrong.sum())} of {int(filled.sum())} cells hold other values than the rest, which "
                f"holds {'logarithms' if logs else 'plain values'}: convert the parts before joining them"
            )
        return "lognorm" if logs else "norm_unlogged"


@dataclass(frozen=True)
class _Plan:
    """How values are stored."""

    norm: str
    target_sum: float
    data: str
    factor: float = field(default=1.0)
    state: State = "counts"

    def change(self, values: NDArray[Any]) -> NDArray[Any]:
        if self.norm == "counts":
            return np.round(values).astype(_TYPES[self.data])
        wide = values.astype(np.float64)
        if self.state == "lognorm":
            wide = wide if self.factor == 1.0 else np.log1p(np.expm1(wide) * self.factor)
        else:
            wide = np.log1p(wide * self.factor)
        return wide.astype("<f4")


_TYPES = {"u16": "<u2", "f32": "<f4"}


def pack(
    spec: DatasetSpec,
    out: str | Path,
    *,
    genes: GeneResolver | None = None,
    control: str = CONTROL,
    keep_multiplets: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Write a data set as a row store, which reads random cells fast.

    Rows are sorted by cell type, batch and perturbation, so that a group is one range. Counts stay counts
    (16 bits where they fit) and are normalized when they are read; logarithms are brought to a sum of 10,000
    per cell where cells have a common sum.

    Parameters
    ----------
    spec
        The data set and its columns.
    out
        Folder to write, usually ``NAME.rows``.
    genes
        Finds Ensembl ids, stored in ``var["ensembl_id"]`` and ``obs["target_id"]``. Without it only ids that
        the data set has itself are stored.
    control
        The one label of controls.
    keep_multiplets
        Keep cells with several perturbations.
    overwrite
        Replace an existing store.
    progress
        Observer.

    Returns
    -------
    Path of the store. It appears when it is complete; after an interruption there is none.

    Raises
    ------
    InputError
        A column or the control label is not there, or values are neither counts nor logarithms.
    FileError
        The source is damaged, or `out` exists.
    """
    out, watch = Path(out).expanduser(), progress or Silent()
    if out.exists() and not (overwrite and (out / "meta.json").exists()):
        what = "is no row store" if overwrite else "exists: give overwrite=True (--overwrite)"
        raise FileError(f"{out} {what}, or another folder")
    if not out.parent.is_dir():
        raise FileError(f"the folder {out.parent} does not exist: make it first")
    with H5adMatrix(spec.path, spec.layer) as source:
        obs, keep = harmonize_obs(source.table("obs"), spec, control=control, keep_multiplets=keep_multiplets)
        if len(obs) != source.shape[0]:
            raise FileError(
                f"{spec.path} is damaged: {len(obs)} rows of obs, but {source.shape[0]} of the matrix"
            )
        var = _with_ids(source.table("var"), spec, genes)
        order = _order(obs, keep)
        survey = _survey(source, watch)
        plan = _plan(survey, order)
        with _whole_folder(out) as folder:
            starts = np.concatenate([[0], np.cumsum(survey.nonzeros[order])]).astype("<i8")
            _scatter(source, folder, order, starts, plan, watch)
            starts.tofile(folder / "indptr.i64")
            sorted_obs = _sorted_obs(obs, order, genes, control)
            _write_tables(folder, sorted_obs, var.assign(mean_value=survey.column_sums / source.shape[0]))
            _write_meta(folder, spec, (len(order), source.shape[1]), plan)
    return out


def _with_ids(var: pd.DataFrame, spec: DatasetSpec, genes: GeneResolver | None) -> pd.DataFrame:
    names, ids = gene_columns(var, spec)
    found = (genes or GeneResolver()).resolve(names, ids)
    return var.assign(gene_symbol=names, ensembl_id=list(found.ids), resolved_by=list(found.how))


def _order(obs: pd.DataFrame, keep: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Kept rows, sorted by group and, inside, as in the source."""
    keys = [np.unique(obs[key].astype(str), return_inverse=True)[1] for key in reversed(GROUP_KEYS)]
    order = np.lexsort(keys)
    return np.asarray(order[keep[order]], dtype=np.int64)


def _survey(source: H5adMatrix, watch: Progress) -> _Survey:
    n = source.shape[0]
    found = _Survey(
        np.zeros(n, np.int64),
        np.zeros(n),
        np.zeros(n),
        np.zeros(n, bool),
        np.zeros(n),
        np.full(n, np.inf),
        np.zeros(source.shape[1]),
    )
    done = 0
    for rows, piece in source.pieces():
        if piece.nnz:
            _look(found, rows, piece)
        done = min(n, done + len(rows)) if source.kind != "csc" else n
        watch.update(done, n, "looking")
    return found


def _look(found: _Survey, rows: NDArray[np.int64], piece: Any) -> None:
    if piece.data.dtype.kind not in "biuf":
        raise LayerError(f"the matrix has dtype {piece.data.dtype}: expected real numbers")
    values = piece.data.astype(np.float64)
    found.bad += int(values.size - np.isfinite(values).sum())
    found.lowest = min(found.lowest, float(values.min()))
    found.column_sums += np.bincount(piece.indices, values, minlength=piece.shape[1])
    lengths = np.diff(piece.indptr)
    filled = np.flatnonzero(lengths)
    starts = piece.indptr[filled]
    at = rows[filled]
    found.nonzeros[at] += lengths[filled]
    found.sums[at] += np.add.reduceat(values, starts)
    with np.errstate(over="ignore", invalid="ignore"):
        found.undone[at] += np.add.reduceat(np.expm1(values), starts)
        off = np.abs(values - np.round(values)) > _FRACTION
    found.fractional[at] |= np.logical_or.reduceat(off, starts)
    found.tops[at] = np.maximum(found.tops[at], np.maximum.reduceat(values, starts))
    found.bottoms[at] = np.minimum(found.bottoms[at], np.minimum.reduceat(values, starts))


def _plan(survey: _Survey, order: NDArray[np.int64]) -> _Plan:
    state = survey.state()
    if state == "counts":
        fits = float(survey.tops.max(initial=0.0)) <= np.iinfo(np.uint16).max
        return _Plan("counts", TARGET_SUM, "u16" if fits else "f32")
    before = common_sum((survey.undone if state == "lognorm" else survey.sums)[order])
    if np.isnan(before):
        return _Plan("log1p", float("nan"), "f32", 1.0, state)
    factor = TARGET_SUM / before
    return _Plan("log1p_cp", TARGET_SUM, "f32", 1.0 if abs(factor - 1) <= 1e-3 else factor, state)


def _scatter(
    source: H5adMatrix,
    folder: Path,
    order: NDArray[np.int64],
    starts: NDArray[np.int64],
    plan: _Plan,
    watch: Progress,
) -> None:
    """Read the source in its own order and put every row where the sorted store has it."""
    nnz, width = int(starts[-1]), source.shape[1]
    index = "u16" if width <= 1 << 16 else "u32"
    indices = _map(folder / f"indices.{index}", "<u2" if index == "u16" else "<u4", nnz)
    data = _map(folder / f"data.{plan.data}", _TYPES[plan.data], nnz)
    cursor = np.full(source.shape[0], -1, dtype=np.int64)
    cursor[order] = starts[:-1]
    done = 0
    for rows, piece in source.pieces():
        lengths = np.diff(piece.indptr)
        to = cursor[rows]
        kept = np.repeat(to >= 0, lengths)
        within = np.arange(piece.nnz) - np.repeat(piece.indptr[:-1], lengths)
        places = (np.repeat(to, lengths) + within)[kept]
        indices[places] = piece.indices[kept]
        data[places] = plan.change(piece.data[kept])
        cursor[rows] += np.where(to >= 0, lengths, 0)
        done = min(len(cursor), done + len(rows)) if source.kind != "csc" else len(cursor)
        watch.update(done, len(cursor), "packing")
    for array in (indices, data):
        if isinstance(array, np.memmap):
            array.flush()


def _map(path: Path, kind: str, size: int) -> NDArray[Any]:
    if size == 0:  # an empty file cannot be mapped
        path.touch()
        return np.empty(0, dtype=kind)
    n_bytes = size * np.dtype(kind).itemsize
    with path.open("wb") as file:
        if hasattr(os, "posix_fallocate"):  # a full disk is found here, not by a signal while mapped
            os.posix_fallocate(file.fileno(), 0, n_bytes)
        else:
            file.truncate(n_bytes)
    return np.memmap(path, dtype=kind, mode="r+", shape=(size,))


def _sorted_obs(
    obs: pd.DataFrame, order: NDArray[np.int64], genes: GeneResolver | None, control: str
) -> pd.DataFrame:
    made = obs.iloc[order].assign(row_in_source=order)
    if genes is not None:
        made["target_id"] = genes.resolve_labels(made[PERTURBATION].astype(str).tolist(), control)
    return made


def _write_tables(folder: Path, obs: pd.DataFrame, var: pd.DataFrame) -> None:
    import pandas as pd

    keys = obs[list(GROUP_KEYS)].astype(str).reset_index(drop=True)
    change = (keys != keys.shift()).any(axis=1).to_numpy()
    start = np.flatnonzero(change)
    groups = keys.iloc[start].reset_index(drop=True)
    groups["start"], groups["stop"] = start, np.append(start[1:], len(keys))
    for name, table in (("obs", obs), ("var", var), ("groups", groups)):
        plain = table.copy()
        for column in plain.columns:
            if plain[column].dtype == object or isinstance(plain[column].dtype, pd.CategoricalDtype):
                # Mixed objects have no parquet type; categories must be texts.
                plain[column] = plain[column].astype(object).map(str).astype("category")
        plain.columns = [str(column) for column in plain.columns]
        plain.to_parquet(folder / f"{name}.parquet", index=True)


def _write_meta(folder: Path, spec: DatasetSpec, shape: tuple[int, int], plan: _Plan) -> None:
    files = {
        path.name: {"bytes": path.stat().st_size, "sha256": file_hash(path)}
        for path in sorted(folder.iterdir())
    }
    index = next(name for name in files if name.startswith("indices.")).partition(".")[2]
    meta = {
        "format": FORMAT,
        "version": VERSION,
        "name": spec.name,
        "n_obs": shape[0],
        "n_vars": shape[1],
        "data": plan.data,
        "index": index,
        "norm": plan.norm,
        "target_sum": None if np.isnan(plan.target_sum) else plan.target_sum,
        "source": str(spec.path),
        "sha256": file_hash(spec.path),
        "files": files,
    }
    (folder / "meta.json").write_text(json.dumps(meta, indent=1) + "\n", encoding="utf-8")


def file_hash(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _whole_folder(out: Path) -> Iterator[Path]:
    """Give a temporary folder that becomes `out` when the block succeeds, and vanishes when it fails."""
    _sweep(out)
    temporary = out.with_name(f".{out.name}@{host_id()}@{os.getpid()}.part")
    try:
        with writing(out.parent):
            temporary.mkdir()
            yield temporary
            if out.exists():
                old = out.with_name(f".{out.name}@{host_id()}@{os.getpid()}.old.part")
                out.rename(old)
                temporary.rename(out)
                shutil.rmtree(old)
            else:
                temporary.rename(out)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _sweep(out: Path) -> None:
    """Remove what killed processes of this machine left of the same store."""
    for path in out.parent.glob(f".{out.name}@*.part"):
        parts = path.name.removesuffix(".part").removesuffix(".old").split("@")
        with suppress(ValueError):
            if parts[-2] == host_id() and process_start(int(parts[-1])) is None:
                shutil.rmtree(path, ignore_errors=True)
