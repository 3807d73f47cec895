"""Design of one target gene: from names to columns of numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cytoripple._errors import GeneMatchError, InputError, did_you_mean
from cytoripple.grn.modulators import Modulators

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Expression: TypeAlias = "NDArray[np.float64] | csr_matrix"

TF, LR, TFL, EXTRA = range(4)
_NONE = -1


def column_table(
    modulators: Modulators, gene_index: Mapping[str, int], ligand_index: Mapping[str, int]
) -> NDArray[np.int64]:
    """Positions of every column of the design.

    Parameters
    ----------
    modulators
        Of one target, p columns.
    gene_index
        Gene -> column of the expression matrix.
    ligand_index
        Ligand -> column of the received signals.

    Returns
    -------
    int64, p x 3, rows (kind, first, second): (0, gene, -1) TF, (1, ligand, receptor gene),
    (2, ligand, TF gene), (3, gene, -1) extra.

    Raises
    ------
    GeneMatchError
        A gene or ligand has no position.
    """
    try:
        rows = [
            *((TF, gene_index[name], _NONE) for name in modulators.regulators),
            *((LR, ligand_index[ligand], gene_index[name]) for ligand, name in modulators.lr_pairs),
            *((TFL, ligand_index[ligand], gene_index[name]) for ligand, name in modulators.tfl_pairs),
            *((EXTRA, gene_index[name], _NONE) for name in modulators.extra),
        ]
    except KeyError as error:
        name = str(error.args[0])
        raise GeneMatchError(
            f"{name!r}, a modulator of {modulators.target!r}, is not among the {len(gene_index)} genes and "
            f"{len(ligand_index)} ligands given{did_you_mean(name, gene_index)}"
        ) from None
    return np.array(rows, dtype=np.int64).reshape(-1, 3)


def sent_ligands(
    expression: Expression,
    var_names: Sequence[str],
    ligands: Sequence[str],
    *,
    min_expression: float = 1e-9,
    mask: NDArray[np.bool_] | None = None,
) -> NDArray[np.float64]:
    """Amount of each ligand every cell sends: its expression where above `min_expression`, else 0.

    Parameters
    ----------
    expression
        Cells x genes, dense or CSR.
    var_names
        Its genes.
    ligands
        Columns of the result.
    min_expression
        Smallest amount that counts.
    mask
        Cells x genes, bool: a cell sends a ligand only where true. Give it for the signals of
        ligand-receptor columns, never for those of ligand-TF columns.

    Returns
    -------
    float64, cells x ligands.
    """
    positions = _positions(ligands, var_names)
    return _above(_columns(expression, positions), min_expression, mask, positions)


def design_matrix(
    modulators: Modulators,
    expression: Expression,
    var_names: Sequence[str],
    received: NDArray[np.float64],
    ligands: Sequence[str],
    *,
    received_tfl: NDArray[np.float64] | None = None,
    min_expression: float = 1e-9,
    mask: NDArray[np.bool_] | None = None,
) -> tuple[NDArray[np.float64], tuple[str, ...], NDArray[np.int64], NDArray[np.float64]]:
    """Columns that explain one target gene, as training sees them.

    A TF or extra column is the expression of the gene. A ligand-receptor column is the received ligand times
    the receptor's expression where that is above `min_expression`. A ligand-TF column is the received ligand
    times the expression of the TF.

    Parameters
    ----------
    modulators
        Of the target, p columns.
    expression
        Cells x genes, dense or CSR.
    var_names
        Its genes.
    received, received_tfl
        Signals cells x ligands, of ligand-receptor and of ligand-TF columns; the second defaults to the
        first. Without a mask they are the same.
    ligands
        Their columns.
    min_expression
        Smallest amount of a receptor that counts.
    mask
        Cells x genes, bool: a receptor counts only where true. Ligand-TF columns are not masked.

    Returns
    -------
    X : float64, cells x p
    names : p column names
    groups : int64, p; 0 TF, 1 ligand-receptor, 2 ligand-TF, 3 extra
    y : float64, cells; expression of the target

    Raises
    ------
    GeneMatchError
        The target or a modulator is not among the genes or ligands.
    InputError
        Shapes disagree.
    """
    n_cells = expression.shape[0]
    signals = {LR: received, TFL: received if received_tfl is None else received_tfl}
    shape = (n_cells, len(ligands))
    for name, array in (("received", signals[LR]), ("received_tfl", signals[TFL])):
        if array.shape != shape:
            raise InputError(f"{name} has shape {array.shape}, expected cells x ligands, {shape}")
    if mask is not None and mask.shape != expression.shape:
        raise InputError(f"mask has shape {mask.shape}, expected cells x genes, {expression.shape}")
    table = column_table(modulators, _index(var_names), _index(ligands))
    kind, first, second = table.T
    gene = np.where(second == _NONE, first, second)
    design = _columns(expression, gene)
    is_lr = kind == LR
    design[:, is_lr] = _above(design[:, is_lr], min_expression, mask, gene[is_lr])
    for block, signal in signals.items():
        design[:, kind == block] *= signal[:, first[kind == block]]
    target = _columns(expression, _positions([modulators.target], var_names))[:, 0]
    return design, modulators.names, modulators.groups, target


def _index(names: Sequence[str]) -> dict[str, int]:
    return {str(name): position for position, name in enumerate(names)}


def _positions(wanted: Sequence[str], names: Sequence[str]) -> NDArray[np.int64]:
    index = _index(names)
    for name in wanted:
        if name not in index:
            raise GeneMatchError(f"{name!r} is not among the {len(index)} genes{did_you_mean(name, index)}")
    return np.array([index[name] for name in wanted], dtype=np.int64)


def _columns(expression: Expression, positions: NDArray[np.int64]) -> NDArray[np.float64]:
    chosen = expression[:, positions]
    dense = chosen if isinstance(chosen, np.ndarray) else chosen.toarray()
    return np.asarray(dense, dtype=np.float64)


def _above(
    amount: NDArray[np.float64],
    min_expression: float,
    mask: NDArray[np.bool_] | None,
    positions: NDArray[np.int64],
) -> NDArray[np.float64]:
    counts = amount > min_expression
    if mask is not None:
        counts &= mask[:, positions]
    return np.where(counts, amount, 0.0)
