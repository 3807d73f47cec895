"""Genes of different data sets under one name: Ensembl ids, found without the internet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from cytoripple._errors import GeneMatchError, InputError
from cytoripple.vc._gene_tables import GeneNames, ensembl_id, from_var, read_gene_names

if TYPE_CHECKING:
    import pandas as pd

How = Literal["id", "symbol", "prev", "alias", "ambiguous", "unresolved"]
Duplicates = Literal["sum", "larger_mean"]

_KINDS: tuple[tuple[How, str], ...] = (("symbol", "approved"), ("prev", "previous"), ("alias", "alias"))


@dataclass(frozen=True)
class Resolution:
    """Ensembl ids of some names.

    Parameters
    ----------
    names
        What was asked for.
    ids
        Id of every name, ``""`` where there is none.
    how
        Where the id comes from: ``id``, ``symbol``, ``prev``, ``alias``; or ``ambiguous``, ``unresolved``.
    candidates
        The ids between which an ambiguous name does not decide.
    """

    names: tuple[str, ...]
    ids: tuple[str, ...]
    how: tuple[How, ...]
    candidates: Mapping[str, tuple[str, ...]]

    def report(self) -> dict[str, int]:
        """Count the names by id, symbol, previous symbol and alias, ambiguous, unresolved, and duplicates.

        ``duplicates`` counts names whose id another name before has.
        """
        counted = {
            "by_id": self.how.count("id"),
            "by_symbol": self.how.count("symbol"),
            "by_prev": self.how.count("prev"),
            "by_alias": self.how.count("alias"),
            "ambiguous": self.how.count("ambiguous"),
            "unresolved": self.how.count("unresolved"),
        }
        found = [name for name in self.ids if name]
        return counted | {"duplicates": len(found) - len(set(found))}


class GeneResolver:
    """Find the Ensembl id of a gene symbol in tables on disk.

    Parameters
    ----------
    tables
        Files (see `read_gene_names`) or var tables (data frames). Where two know a symbol, the first decides.

    Examples
    --------
    >>> import pandas as pd
    >>> from cytoripple.vc.genes import GeneResolver
    >>> var = pd.DataFrame({"gene_id": ["ENSG00000115415.20"]}, index=["STAT1"])
    >>> GeneResolver(var).resolve(["STAT1", "Stat1"]).ids
    ('ENSG00000115415', '')
    """

    def __init__(self, *tables: str | Path | pd.DataFrame) -> None:
        self._tables: list[GeneNames] = [
            read_gene_names(table)
            if isinstance(table, str | Path)
            else from_var(table, "the var table given")
            for table in tables
        ]

    def resolve(self, names: Iterable[object], ids: Iterable[object] | None = None) -> Resolution:
        """Find the id of every name.

        Parameters
        ----------
        names
            Symbols or ids.
        ids
            Ids that the data set itself has for these names; used where they are valid.

        Returns
        -------
        Resolution
            In the order of `names`. A valid id wins over an approved symbol, that over a previous symbol,
            that over an alias; a symbol that stands for several ids is left open as ambiguous.

        Raises
        ------
        InputError
            `ids` has another length than `names`.
        """
        texts = [str(name).strip() for name in names]
        given = texts if ids is None else [str(text).strip() for text in ids]
        if len(given) != len(texts):
            raise InputError(f"{len(given)} ids were given for {len(texts)} names: expected one each")
        found: list[str] = []
        how: list[How] = []
        candidates: dict[str, tuple[str, ...]] = {}
        for name, text in zip(texts, given, strict=True):
            own = ensembl_id(text) or ensembl_id(name)
            made: set[str] = {own} if own else set()
            kind: How = "id"
            if not own:
                made, kind = self._look_up(name)
            if len(made) > 1:
                candidates[name], made, kind = tuple(sorted(made)), set(), "ambiguous"
            found.append(next(iter(made), ""))
            how.append(kind)
        return Resolution(tuple(texts), tuple(found), tuple(how), candidates)

    def resolve_labels(self, labels: Sequence[object], control: str) -> NDArray[np.object_]:
        """Id of every cell's perturbed gene: ``""`` where it is unknown, the control label for controls."""
        distinct = sorted({str(label) for label in labels} - {control})
        table = dict(zip(distinct, self.resolve(distinct).ids, strict=True)) | {control: control}
        return np.array([table[str(label)] for label in labels], dtype=object)

    def _look_up(self, name: str) -> tuple[set[str], How]:
        for kind, attribute in _KINDS:
            for table in self._tables:
                if name in (known := getattr(table, attribute)):
                    return set(known[name]), kind
        return set(), "unresolved"


@dataclass(frozen=True)
class GeneMap:
    """Where the columns of one data set go in a common list of genes.

    Parameters
    ----------
    n_genes
        Length of the common list.
    present_mask
        (n_genes,) bool: the data set measures the gene. Columns of others are zero and belong out of a loss.
    src_cols, dst_cols
        (K,) int64: column `src` of the data set goes to `dst` of the list. Columns that meet are added.
    n_source
        Number of columns of the data set.
    stats
        `Resolution.report`, and ``coverage``: share of the list that is measured.
    """

    n_genes: int
    present_mask: NDArray[np.bool_]
    src_cols: NDArray[np.int64]
    dst_cols: NDArray[np.int64]
    n_source: int
    stats: Mapping[str, float]

    @property
    def colmap(self) -> NDArray[np.int32]:
        """(n_source,) int32: position of every column in the list, -1 for none."""
        table = np.full(self.n_source, -1, dtype=np.int32)
        table[self.src_cols] = self.dst_cols
        return table

    def lift(self, x: Any) -> NDArray[np.float32]:
        """Bring rows onto the common list.

        Parameters
        ----------
        x
            Rows x n_source, dense or sparse.

        Returns
        -------
        Rows x n_genes, float32, zero where the gene is not measured.

        Raises
        ------
        InputError
            `x` has another number of columns.
        """
        if x.ndim != 2 or x.shape[1] != self.n_source:
            raise InputError(f"x has shape {x.shape}: expected {self.n_source} columns")
        if not isinstance(x, np.ndarray):
            n = len(self.src_cols)
            move = sparse.csr_matrix(
                (np.ones(n, dtype=np.float32), (self.src_cols, self.dst_cols)), (self.n_source, self.n_genes)
            )
            return np.asarray((x.tocsr() @ move).toarray(), dtype=np.float32)
        out = np.zeros((x.shape[0], self.n_genes), dtype=np.float32)
        for source, to in zip(self.src_cols, self.dst_cols, strict=True):
            out[:, to] += x[:, source]
        return out


def gene_map(
    resolution: Resolution,
    genes: Sequence[str],
    *,
    duplicates: Duplicates = "sum",
    means: ArrayLike | None = None,
) -> GeneMap:
    """Map the columns of a data set onto a common list of genes.

    Parameters
    ----------
    resolution
        Of the names of the columns.
    genes
        The common list, Ensembl ids, distinct.
    duplicates
        ``"sum"`` adds columns of the same gene, right for counts. ``"larger_mean"`` keeps the column with the
        larger mean, right for logarithms, which cannot be added.
    means
        Mean of every column; needed for ``"larger_mean"``.

    Raises
    ------
    InputError
        The list names a gene twice, or `means` is missing or of the wrong length.
    GeneMatchError
        No column is in the list.
    """
    position = {gene: number for number, gene in enumerate(genes)}
    if len(position) < len(genes):
        raise InputError(f"genes names {len(genes) - len(position)} ids twice: expected distinct ids")
    if duplicates == "larger_mean":
        if means is None or np.shape(means) != (len(resolution.ids),):
            raise InputError(
                f"means is needed to choose between duplicates: one per column ({len(resolution.ids)})"
            )
    elif duplicates != "sum":
        raise InputError(f"duplicates is {duplicates!r}: give 'sum' or 'larger_mean'")
    pairs = [(c, position[name]) for c, name in enumerate(resolution.ids) if name in position]
    if not pairs:
        raise GeneMatchError(
            f"none of the {len(resolution.ids)} columns is among the {len(genes)} genes: resolve symbols "
            "with a table of the same species, e.g. GeneResolver('hgnc_complete_set.txt')"
        )
    if duplicates == "larger_mean":
        mean = np.asarray(means, dtype=np.float64)
        best: dict[int, int] = {}
        for source, to in pairs:
            if to not in best or mean[source] > mean[best[to]]:
                best[to] = source
        pairs = sorted((source, to) for to, source in best.items())
    table = np.array(pairs, dtype=np.int64)
    present = np.zeros(len(genes), dtype=bool)
    present[table[:, 1]] = True
    stats = resolution.report() | {"coverage": float(present.mean())}
    return GeneMap(len(genes), present, table[:, 0], table[:, 1], len(resolution.ids), stats)
