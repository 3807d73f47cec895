"""Which transcription factors may act on a gene in which cell type, as the user knows it."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from pathlib import Path

import pandas as pd

from cytoripple._errors import InputError, did_you_mean

log = logging.getLogger(__name__)

_COLUMNS = ("source", "target", "cell_type")


def read_tf_priors(path: str | Path) -> pd.DataFrame:
    """Read TF priors from a Feather (Arrow IPC) file.

    Parameters
    ----------
    path
        File with text columns `source` (TF), `target` and `cell_type`; others are ignored.

    Returns
    -------
    Data frame with these three columns, in the order of the file.

    Raises
    ------
    InputError
        The file is missing, damaged or lacks a column.
    """
    import pyarrow as pa

    try:
        table = pd.read_feather(Path(path).expanduser())
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"TF priors {path} cannot be read as Feather ({reason})") from None
    _check_columns(table, f"TF priors {path}")
    return table[list(_COLUMNS)]


class TfPriors:
    """Priors of the genes of the data.

    Parameters
    ----------
    table
        Data frame `source`, `target`, `cell_type`. Rows with a blank or a gene that is not measured are left
        out, and so are genes said to regulate themselves.
    genes
        Genes of the data.

    Raises
    ------
    InputError
        A column is missing.
    """

    def __init__(self, table: pd.DataFrame, genes: Collection[str]) -> None:
        _check_columns(table, "tf_priors")
        text = [table[name].astype("string").str.strip().fillna("").tolist() for name in _COLUMNS]
        self._rows: dict[str, list[tuple[str, str]]] = {}
        n_kept = 0
        for source, target, label in zip(*text, strict=True):
            if label and source in genes and target in genes and source != target:
                self._rows.setdefault(target, []).append((source, label))
                n_kept += 1
        log.info("TF priors: %d of %d rows can be used, for %d genes", n_kept, len(table), len(self._rows))

    def of(self, target: str) -> tuple[tuple[str, ...], Mapping[str, frozenset[str]]] | None:
        """TFs of the target over all cell types, in the order of the table, and the TFs of each cell type.

        None for a target without priors.
        """
        rows = self._rows.get(target)
        if rows is None:
            return None
        by_label: dict[str, set[str]] = {}
        for source, label in rows:
            by_label.setdefault(label, set()).add(source)
        allowed = {label: frozenset(sources) for label, sources in by_label.items()}
        return tuple(dict.fromkeys(source for source, _ in rows)), allowed


def _check_columns(table: pd.DataFrame, where: str) -> None:
    names = [str(name) for name in table.columns]
    missing = [name for name in _COLUMNS if name not in names]
    if missing:
        raise InputError(
            f"{where} has no column {', '.join(missing)}; its columns are {', '.join(names[:12])}"
            f"{did_you_mean(missing[0], names)}. It needs source (TF), target and cell_type"
        )
