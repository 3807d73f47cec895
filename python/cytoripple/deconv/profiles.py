"""Profiles of the types: how often each gene is read in each type, and how sure that is."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cytoripple import _core
from cytoripple._errors import InputError
from cytoripple.deconv.counts import Counts, spans_of

log = logging.getLogger(__name__)

Kind = Literal["mean", "pooled", "depth_weighted"]
Floats = NDArray[np.float64]

KINDS: tuple[Kind, ...] = ("mean", "pooled", "depth_weighted")
_TABLE_SPREAD = 0.1  # squared biological variation of a gene when there are no cells to learn it from
_TABLE_CELLS = 100.0
_TABLE_DEPTH = 5000.0


@dataclass(frozen=True, eq=False)
class Signatures:
    """Reference profiles with what is needed to judge their errors.

    Parameters
    ----------
    types
        Distinct names of the K types.
    genes
        Distinct names of the G genes, None when unnamed.
    profile
        K x G, rows that sum to 1: the share of a type's molecules that comes from each gene.
    n_cells
        Cells behind each type.
    inverse_depth
        Mean over the cells of a type of 1 / (counts of the cell).
    spread
        G, squared coefficient of variation between cells of one type beyond counting noise.
    mean_depth
        Mean counts per cell of each type.
    kind
        How cells were weighted, ``"table"`` for a table.
    """

    types: tuple[str, ...]
    genes: tuple[str, ...] | None
    profile: Floats
    n_cells: Floats
    inverse_depth: Floats
    spread: Floats
    mean_depth: Floats
    kind: str

    def take(self, positions: NDArray[np.int64]) -> Signatures:
        """Keep some genes; rows are scaled to sum 1 again and depths shrink by the share that is left."""
        part = self.profile[:, positions]
        left = part.sum(axis=1)
        if (left <= 0).any():
            raise InputError(
                f"type {self.types[int(np.argmin(left))]!r} has no counts in the {len(positions)} genes "
                "shared with the spots: drop the type, or share more genes"
            )
        return Signatures(
            types=self.types,
            genes=None if self.genes is None else tuple(self.genes[at] for at in positions),
            profile=part / left[:, None],
            n_cells=self.n_cells,
            inverse_depth=self.inverse_depth / left,
            spread=self.spread[positions],
            mean_depth=self.mean_depth * left,
            kind=self.kind,
        )

    def without(self, genes: NDArray[np.bool_]) -> Signatures:
        """Set the share of some genes to 0 in every type and scale the rows to sum 1 again."""
        kept = self.take(np.flatnonzero(~genes))
        profile = np.zeros_like(self.profile)
        profile[:, ~genes] = kept.profile
        return replace(kept, genes=self.genes, profile=profile, spread=self.spread)

    def errors(self) -> Floats:
        """K x G, squared standard error of `profile`, evaluated half-way to the mean over types."""
        half = (self.profile + self.profile.mean(axis=0)) / 2
        noise = half * self.inverse_depth[:, None] + self.spread * half**2
        return np.asarray(noise / self.n_cells[:, None])

    def shrunk(self) -> Floats:
        """K x G, rows that sum to 1: profiles pulled to the mean over types where they are uncertain.

        A gene whose types differ by no more than their errors becomes flat and carries no information.
        """
        center, error = self.profile.mean(axis=0), self.errors()
        between = ((self.profile - center) ** 2).sum(axis=0) / (len(self.types) - 1) - error.mean(axis=0)
        between = np.maximum(between, 0.0)
        total = between + error
        trust = np.divide(between, total, out=np.zeros_like(total), where=total > 0)
        shrunk = np.maximum(center + trust * (self.profile - center), 0.0)
        return np.asarray(shrunk / shrunk.sum(axis=1, keepdims=True))


def from_cells(
    counts: Counts,
    kinds: NDArray[np.int64],
    types: tuple[str, ...],
    *,
    genes: tuple[str, ...] | None,
    kind: Kind,
    threads: int,
) -> Signatures:
    """Profiles from reference cells, in one pass over their counts after the check of the values.

    Raises
    ------
    InputError
        Fewer than two types, or a type with fewer than two cells that have counts.
    """
    spans = spans_of(None, counts.n_rows)
    depth = counts.sums(spans, threads).depth
    used = (kinds >= 0) & (depth > 0)
    n_types = len(types)
    n_cells = np.bincount(kinds[used], minlength=n_types).astype(np.float64)
    _check_types(types, n_cells, kinds, counts.name)
    sums = [np.zeros((n_types, counts.n_genes)) for _ in range(3)]
    for span in spans:
        found = _core.deconv_profile_sums(counts.rows(span), kinds[span.spots], n_types, counts.n_genes)
        for total, more in zip(sums, found, strict=True):
            total += more
    total_counts, shares, squares = sums
    mean = shares / n_cells[:, None]
    variance = np.maximum(squares - n_cells[:, None] * mean**2, 0.0) / (n_cells - 1)[:, None]
    inverse = np.bincount(kinds[used], weights=1 / depth[used], minlength=n_types) / n_cells
    equal = mean / mean.sum(axis=1, keepdims=True)
    pooled = total_counts / total_counts.sum(axis=1, keepdims=True)
    profile = {"mean": equal, "pooled": pooled, "depth_weighted": (equal + pooled) / 2}[kind]
    return Signatures(
        types=types,
        genes=genes,
        profile=profile,
        n_cells=n_cells,
        inverse_depth=inverse,
        spread=_spread(equal, variance, n_cells, inverse),
        mean_depth=np.bincount(kinds[used], weights=depth[used], minlength=n_types) / n_cells,
        kind=kind,
    )


def _check_types(types: tuple[str, ...], n_cells: Floats, kinds: NDArray[np.int64], name: str) -> None:
    if len(types) < 2:
        raise InputError(
            f"the reference has {len(types)} type ({', '.join(map(repr, types))}), "
            "expected at least 2 to tell apart"
        )
    check_names("type", types)
    for wanted, what in ((0, "no cell with counts"), (1, "a single cell with counts")):
        few = [types[at] for at in np.flatnonzero(n_cells == wanted)]
        if few:
            raise InputError(
                f"{name}: {', '.join(map(repr, few[:5]))} {'has' if len(few) == 1 else 'have'} {what} "
                "in the genes used, expected at least 2 per type: drop the type or join it with a like one"
            )
    empty = int((kinds >= 0).sum() - n_cells.sum())
    if empty:
        log.info("%s: %d cells without counts in the genes used are left out", name, empty)


def _spread(equal: Floats, variance: Floats, n_cells: Floats, inverse: Floats) -> Floats:
    """Squared biological variation of every gene, pulled to the mean over genes where it is uncertain."""
    n, noise = n_cells[:, None], equal * inverse[:, None]
    weight = (n * equal**2).sum(axis=0)
    seen = weight > 0
    safe = np.where(seen, weight, 1.0)
    raw = np.where(seen, (n * (variance - noise)).sum(axis=0) / safe, 0.0)
    error = 2 * (n * (noise + 0.3 * equal**2) ** 2).sum(axis=0) / safe**2
    trust = np.where(seen, 1 / (error + 0.25), 0.0)
    trust = trust / trust.sum()
    mean = float(trust @ np.clip(raw, 0.0, 20.0))
    between = max(float(trust @ (raw - mean) ** 2 - trust @ error), 0.05)
    return np.asarray(np.maximum(mean + between / (between + error) * (raw - mean), 0.02))


def from_table(
    table: ArrayLike,
    *,
    types: tuple[str, ...] | None = None,
    genes: tuple[str, ...] | None = None,
    n_cells: ArrayLike | None = None,
) -> Signatures:
    """Profiles from a table of mean counts (K x G).

    There is no spread between cells to learn from, so it is set to 0.1 for every gene and the cells to 100
    per type unless given. Rows that all have the same sum are taken as normalized, from cells of 5,000
    counts.

    Raises
    ------
    InputError
        Values are negative, not finite or a list of markers, a row is empty, types repeat, or there are fewer
        than two.
    """
    if isinstance(table, dict):
        raise InputError(
            "the reference is a dict: lists of marker genes do not say how many counts each gene gives. "
            "Give annotated cells, or a data frame of mean counts, types x genes"
        )
    values = np.asarray(table, dtype=np.float64)
    if values.ndim != 2:
        raise InputError(
            f"the table has {values.ndim} dimensions (shape {values.shape}): expected types x genes"
        )
    if not np.isfinite(values).all() or (values < 0).any():
        raise InputError(
            "the table has values that are negative, NaN or infinite: expected mean counts per type"
        )
    if values.size > 4 and np.array_equal(np.unique(values), (0.0, 1.0)):
        raise InputError(
            "the table holds nothing but 0 and 1, as a list of marker genes would: expected mean counts per "
            "type, which say how many counts each gene gives"
        )
    names = types or tuple(f"type_{at}" for at in range(len(values)))
    if len(names) != len(values):
        raise InputError(f"{len(names)} type names for {len(values)} rows of the table")
    depth = values.sum(axis=1)
    cells = np.full(len(values), _TABLE_CELLS) if n_cells is None else np.asarray(n_cells, dtype=np.float64)
    if cells.shape != depth.shape or not (cells >= 1).all():
        raise InputError(f"n_cells is {n_cells!r}: give one number of cells, at least 1, per type")
    if (depth <= 0).any():
        raise InputError(f"type {names[int(np.argmin(depth))]!r} has no counts in the table: drop it")
    _check_types(names, np.maximum(cells, 2.0), np.zeros(0, dtype=np.int64), "the table")
    normalized = np.ptp(depth) <= 1e-3 * depth.mean()
    counts = np.full_like(depth, _TABLE_DEPTH) if normalized else depth
    return Signatures(
        types=names,
        genes=genes,
        profile=values / depth[:, None],
        n_cells=cells,
        inverse_depth=1 / counts,
        spread=np.full(values.shape[1], _TABLE_SPREAD),
        mean_depth=counts,
        kind="table",
    )


def check_names(what: str, names: tuple[str, ...]) -> None:
    """Raise when two names are equal up to case and blanks.

    Raises
    ------
    InputError
        Names both.
    """
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(name.strip().casefold(), name)
        if other is not name:
            raise InputError(
                f"{what}s {other!r} and {name!r} are the same name, expected distinct ones: "
                "rename or join them"
            )


def check_distinct(signatures: Signatures) -> None:
    """Raise when two types have one profile.

    Raises
    ------
    InputError
        Names both.
    """
    seen: dict[bytes, str] = {}
    for name, row in zip(signatures.types, np.round(signatures.profile, 12) + 0.0, strict=True):
        other = seen.setdefault(row.tobytes(), name)
        if other is not name:
            raise InputError(
                f"types {other!r} and {name!r} have the same profile: join them, they cannot be told apart"
            )


def labels_of(labels: Any) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Type of every cell and the sorted names of the types."""
    text = np.asarray(labels).astype(str)
    names, kinds = np.unique(text, return_inverse=True)
    return kinds.astype(np.int64), tuple(str(name) for name in names)
