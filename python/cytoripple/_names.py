"""Gene names: which species they look like, and where they are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cytoripple._errors import GeneMatchError, nearest

Species = Literal["mouse", "human"]


def infer_species(var_names: Iterable[str]) -> Species:
    """Tell mouse from human symbols by their case, counted over all names.

    ``Sox2`` (first character upper case, no other) is mouse-like, ``SOX2`` (no lower-case letter, at least
    one upper-case) human-like. Equal counts, and no names at all, give human.

    Examples
    --------
    >>> from cytoripple._names import infer_species
    >>> infer_species(["Sox2", "Gapdh", "MALAT1"])
    'mouse'
    """
    mouse = human = 0
    for name in map(str, var_names):
        mouse += len(name) > 1 and name[0].isupper() and not any(sign.isupper() for sign in name[1:])
        human += any(sign.isupper() for sign in name) and all(
            sign.isupper() or not sign.isalpha() for sign in name
        )
    return "mouse" if mouse > human else "human"


def find_genes(wanted: Iterable[str], var_names: Iterable[str], *, what: str = "genes") -> NDArray[np.int64]:
    """Positions of the wanted genes.

    Parameters
    ----------
    wanted
        Names, in the order of the result.
    var_names
        Gene names of the data, distinct.
    what
        Noun of the error message, e.g. ``"perturbed genes"``.

    Returns
    -------
    int64, one position in `var_names` per wanted gene.

    Raises
    ------
    GeneMatchError
        A gene is not there; the message counts them and offers the nearest names.
    """
    position = {str(name): index for index, name in enumerate(var_names)}
    names = [str(name) for name in wanted]
    missing = [name for name in dict.fromkeys(names) if name not in position]
    if not missing:
        return np.array([position[name] for name in names], dtype=np.int64)
    hints = []
    for name in missing[:5]:
        near = nearest(name, position)
        hints.append(f"{name!r} (nearest: {', '.join(map(repr, near))})" if near else repr(name))
    more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
    raise GeneMatchError(
        f"{len(missing)} of {len(set(names))} {what} are not among the {len(position)} genes of the data: "
        f"{', '.join(hints)}{more}. Use names of adata.var_names"
    )
