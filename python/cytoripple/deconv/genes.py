"""Genes that spots and reference share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cytoripple._errors import GeneMatchError, did_you_mean
from cytoripple._names import find_genes

FEWEST = 10
_ENSEMBL = r"^ENS[A-Z]*G\d{6,}(\.\d+)?$"


def shared_genes(
    spots: pd.Index[str], reference: pd.Index[str], n_types: int, wanted: str | Sequence[str] = "all"
) -> tuple[NDArray[np.int64], NDArray[np.int64], tuple[str, ...]]:
    """Match names exactly; positions in both and the names, in the order of the spots.

    Parameters
    ----------
    spots, reference
        Distinct gene names.
    n_types
        Number of types; as many shared genes are needed.
    wanted
        ``"all"`` or names to restrict to.

    Raises
    ------
    GeneMatchError
        A wanted gene is not among the spots, or too few genes are shared. The message says why: case, Ensembl
        versions, identifiers against symbols, or near misses.
    """
    if isinstance(wanted, str):
        if wanted != "all":
            raise GeneMatchError(f"genes is {wanted!r}: give 'all' or a list of gene names")
        positions = np.arange(len(spots))
    else:
        positions = np.sort(find_genes(list(dict.fromkeys(wanted)), spots))
    there = reference.get_indexer(spots[positions])
    positions, there = positions[there >= 0], there[there >= 0]
    fewest = max(FEWEST, n_types)
    if len(positions) < fewest:
        raise GeneMatchError(
            f"spots ({len(spots)} genes) and reference ({len(reference)} genes) share {len(positions)}, "
            f"expected at least {fewest} for {n_types} types. {_reason(spots, reference, len(positions))}"
        )
    return positions, there, tuple(str(name) for name in spots[positions])


def _reason(spots: pd.Index[str], reference: pd.Index[str], shared: int) -> str:
    """Say what would make more names match, and the line that does it."""
    folded = len(set(spots.str.casefold()) & set(reference.str.casefold()))
    if folded > 2 * shared + 1:
        return (
            f"{folded} would match if case were ignored ({_example(spots)} and {_example(reference)}): "
            "bring both to one species and case, e.g. reference.var_names = reference.var_names.str.upper()"
        )
    versions = r"(?<=\d)\.\d+$"
    bare = set(spots.str.replace(versions, "", regex=True))
    bare &= set(reference.str.replace(versions, "", regex=True))
    if len(bare) > 2 * shared + 1:
        return (
            f"{len(bare)} would match without Ensembl versions "
            f"({_example(spots)} and {_example(reference)}): "
            r"adata.var_names = adata.var_names.str.replace(r'\.\d+$', '', regex=True), and the same for the "
            "reference"
        )
    ids = [float(names.str.match(_ENSEMBL).mean()) for names in (spots, reference)]
    if max(ids) > 0.5 > min(ids):
        left, right = ("spots", "reference") if ids[0] > ids[1] else ("reference", "spots")
        return (
            f"The {left} have Ensembl identifiers, the {right} have symbols: use the same kind in var_names"
        )
    known = [str(name) for name in reference]
    misses = [str(name) for name in spots[:200] if name not in set(known)][:3]
    if not misses:
        return "The reference has all genes of the spots: the panel is too small for so many types"
    near = [f"{name!r}{did_you_mean(name, known)}" for name in misses]
    return f"Of the spots' genes the reference lacks {', '.join(near)}"


def _example(names: pd.Index[str]) -> str:
    return repr(str(names[0])) if len(names) else "none"
