"""Columns of a betadata file: which one keys the rows, which are coefficients, and of what."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from cytoripple._errors import InputError

KeyKind = Literal["Cluster", "CellID"]

TF, LIGAND_RECEPTOR, TF_LIGAND = 0, 1, 2

_PREFIX = "beta_"
_INTERCEPTS = ("beta0", "beta_0")
_KEY_NAMES = ("Cluster", "CellID", "cell_id", "index", "obs_names")
_WHOLE_FLOAT = re.compile(r"-?\d+\.0*")


@dataclass(frozen=True)
class Columns:
    """Names of the columns of one file by what they hold."""

    key: str | None
    intercept: str | None
    coefficients: tuple[str, ...]
    modulators: tuple[str, ...]
    ignored: tuple[str, ...]

    @property
    def key_kind(self) -> KeyKind | None:
        """What the row keys name: clusters, cells, or nothing when there is no key column."""
        if self.key is None:
            return None
        return "Cluster" if self.key == "Cluster" else "CellID"


def is_key(name: str) -> bool:
    """Whether a column of this name keys the rows."""
    return name in _KEY_NAMES or name.startswith("__index")


def classify(names: Sequence[str], *, index: str | None = None) -> Columns:
    """Sort the column names of a betadata file.

    Parameters
    ----------
    names
        All columns in file order.
    index
        Column stored as the pandas index; it keys the rows whatever its name.

    Raises
    ------
    InputError
        A name is empty or repeated, there are two intercepts or two key columns, or a modulator has an
        empty part or the separator twice.
    """
    if len(set(names)) < len(names):
        repeated = sorted(name for name, count in Counter(names).items() if count > 1)
        raise InputError(f"column {repeated[0]!r} occurs more than once: keep one")
    if "" in names:
        raise InputError(
            f"column {list(names).index('') + 1} has no name: name the row keys Cluster or CellID"
        )
    key = index if index is not None else next((name for name in names if is_key(name)), None)
    intercepts = [name for name in names if name in _INTERCEPTS]
    if len(intercepts) > 1:
        raise InputError("the intercept is given twice, as beta0 and as beta_0: keep one")
    rest = [name for name in names if name != key and name not in _INTERCEPTS]
    prefixed = any(name.startswith(_PREFIX) for name in rest)
    coefficients = [name for name in rest if name.startswith(_PREFIX)] if prefixed else rest
    for name in coefficients:
        if not prefixed and is_key(name):
            raise InputError(f"columns {key!r} and {name!r} both look like row keys: keep one")
    modulators = [name.removeprefix(_PREFIX) for name in coefficients]
    for name in modulators:
        split(name)
    kept = set(coefficients)
    return Columns(
        key=key,
        intercept=intercepts[0] if intercepts else None,
        coefficients=tuple(coefficients),
        modulators=tuple(modulators),
        ignored=tuple(name for name in rest if name not in kept),
    )


@lru_cache(maxsize=1 << 16)
def split(modulator: str) -> tuple[int, str, str]:
    """Kind and genes of a modulator.

    ``(TF, gene, "")``, ``(LIGAND_RECEPTOR, ligand, receptor)`` for ``ligand$receptor``, or
    ``(TF_LIGAND, ligand, regulator)`` for ``ligand#regulator``. ``$`` decides before ``#``.

    Raises
    ------
    InputError
        A gene name is empty, or the deciding separator occurs twice.
    """
    for separator, kind in (("$", LIGAND_RECEPTOR), ("#", TF_LIGAND)):
        if separator not in modulator:
            continue
        first, _, second = modulator.partition(separator)
        if separator in second:
            raise InputError(f"modulator {modulator!r} holds {separator!r} more than once: expected one pair")
        if not first or not second:
            raise InputError(f"modulator {modulator!r} lacks a gene beside {separator!r}")
        return kind, first, second
    if not modulator:
        raise InputError("a coefficient column is called 'beta_' without a gene")
    return TF, modulator, ""


def whole_text(keys: Sequence[str]) -> tuple[str, ...]:
    """Write keys like ``"3.0"`` as ``"3"`` when every key is a whole number in decimal form."""
    if keys and all(_WHOLE_FLOAT.fullmatch(key) for key in keys):
        return tuple(key.partition(".")[0] for key in keys)
    return tuple(keys)
