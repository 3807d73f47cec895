"""What an estimator of the benchmark may see: the training cells of a tissue and its prior network."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from cytoripple._errors import InputError
from cytoripple.datasets.ripple import RippleTissue
from cytoripple.grn.design import column_table, design_matrix
from cytoripple.grn.modulators import ModulatorIndex, Modulators
from cytoripple.kernels.ligands import ReceivedPlan

RADIUS, CONTACT_DISTANCE = 60.0, 20.0

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class TargetDesign:
    """Training data of one target.

    Attributes
    ----------
    gene
        The target.
    X
        Columns that may explain it, training cells x p, raw units.
    y
        Its expression in the same cells.
    names
        ``"TF01"``, ``"LG03$RC02"`` or ``"LG03#TF01"`` per column.
    groups
        0 TF, 1 ligand-receptor, 2 ligand-TF per column.
    """

    gene: str
    X: Floats
    y: Floats
    names: tuple[str, ...]
    groups: Ints


@dataclass(frozen=True, eq=False)
class RippleDesign:
    """Training cells of a tissue, with the columns of every target that has any.

    Held-out cells are absent from every array. Their expression enters in one place only: as senders of the
    signals that training cells receive.

    Attributes
    ----------
    genes, ligands
        Names of the columns of `expression` and `received`.
    expression
        Layer ``norm``, cells x genes.
    counts
        Raw counts, cells x genes.
    received
        Received signals, cells x ligands.
    xy
        Coordinates, cells x 2.
    types
        Type of each cell, 0 to ``n_types - 1``.
    n_types
        Number of types.
    modulators
        Of every target, in the order of the genes.
    """

    genes: tuple[str, ...]
    ligands: tuple[str, ...]
    expression: Floats
    counts: Floats
    received: Floats
    xy: Floats
    types: Ints
    n_types: int
    modulators: tuple[Modulators, ...]

    @property
    def targets(self) -> tuple[str, ...]:
        """Genes that have columns."""
        return tuple(modulators.target for modulators in self.modulators)

    def of(self, target: str) -> TargetDesign:
        """Columns and expression of one target.

        Raises
        ------
        InputError
            The gene has no columns.
        """
        chosen = next((m for m in self.modulators if m.target == target), None)
        if chosen is None:
            raise InputError(f"{target!r} is no target of this design: it has no columns")
        X, names, groups, y = design_matrix(chosen, self.expression, self.genes, self.received, self.ligands)
        return TargetDesign(target, X, y, names, groups)

    @cached_property
    def y(self) -> Floats:
        """Expression of all targets, cells x targets."""
        return np.ascontiguousarray(self.expression[:, self.target_genes])

    @cached_property
    def target_genes(self) -> Ints:
        """Position of every target on the gene axis."""
        position = {gene: i for i, gene in enumerate(self.genes)}
        return np.array([position[target] for target in self.targets], dtype=np.int64)

    @cached_property
    def indptr(self) -> Ints:
        """Where the columns of each target start in `columns`, one entry more than there are targets."""
        return np.concatenate([[0], np.cumsum([len(m.names) for m in self.modulators])]).astype(np.int64)

    @cached_property
    def columns(self) -> Ints:
        """Columns of all targets one after the other, (kind, first, second) as in `column_table`."""
        gene_index = {gene: i for i, gene in enumerate(self.genes)}
        ligand_index = {ligand: i for i, ligand in enumerate(self.ligands)}
        return np.concatenate([column_table(m, gene_index, ligand_index) for m in self.modulators])

    @cached_property
    def shared(self) -> SharedColumns:
        """Distinct columns of all targets."""
        return SharedColumns(self.columns)

    @cached_property
    def moments(self) -> tuple[Floats, Floats]:
        """Mean and standard deviation of every column in every type, columns x types."""
        features = self.shared.features(self.expression, self.received)
        mean, deviation = np.zeros((2, self.n_types, features.shape[1]))
        for kind in np.unique(self.types):
            mean[kind] = features[self.types == kind].mean(axis=0)
            deviation[kind] = features[self.types == kind].std(axis=0)
        return mean[:, self.shared.place].T, deviation[:, self.shared.place].T


class SharedColumns:
    """Distinct columns that targets share, and where each target's columns are among them."""

    def __init__(self, columns: Ints) -> None:
        self.table, place = np.unique(columns, axis=0, return_inverse=True)
        self.place: Ints = place.reshape(-1)

    def features(self, expression: Floats, received: Floats, chosen: Ints | None = None) -> Floats:
        """Values of the distinct columns, or of the `chosen` ones, cells x columns."""
        _, first, second = (self.table if chosen is None else self.table[chosen]).T
        values = np.asarray(expression[:, np.where(second < 0, first, second)])
        products = np.flatnonzero(second >= 0)
        values[:, products] *= received[:, first[products]]
        return values


@dataclass(frozen=True, eq=False)
class Arena:
    """A tissue made ready: the design for the estimators, and all cells, sorted by type, for judging them.

    Attributes
    ----------
    tissue
        As it was given.
    order
        Row of every sorted cell in the tissue.
    design
        What estimators see.
    expression, received, xy, types, held_out
        Of the sorted cells.
    sender
        What they send.
    """

    tissue: RippleTissue
    order: Ints
    design: RippleDesign
    expression: Floats
    received: Floats
    xy: Floats
    types: Ints
    held_out: NDArray[np.bool_]
    sender: Sender


class Sender:
    """Ligands of a tissue, and how far each reaches."""

    def __init__(
        self, genes: tuple[str, ...], ligands: tuple[str, ...], radii: Floats, xy: Floats, threads: int
    ) -> None:
        self.genes: Ints = np.array([genes.index(ligand) for ligand in ligands], dtype=np.int64)
        self.signals = [
            (ReceivedPlan(xy, radius=float(radius), threads=threads), np.flatnonzero(radii == radius))
            for radius in np.unique(radii)
        ]

    def received(self, state: Floats, *, threads: int) -> Floats:
        """Sum over all cells divided by their number, cells x ligands."""
        found = np.zeros((len(state), len(self.genes)))
        for plan, positions in self.signals:
            sent = np.ascontiguousarray(state[:, self.genes[positions]])
            found[:, positions] = plan.apply(sent, threads=threads)
        return found


def arena_of(tissue: RippleTissue, *, threads: int = 0) -> Arena:
    """Compute the received signals of all cells and set the held-out cells apart."""
    order = np.argsort(tissue.adata.obs["cell_type_int"].to_numpy(), kind="stable")
    adata = tissue.adata[order]
    genes = tuple(str(name) for name in adata.var_names)
    index = ModulatorIndex(tissue.network, genes)
    expression = np.ascontiguousarray(adata.layers["norm"], dtype=np.float64)
    xy = np.ascontiguousarray(adata.obsm["spatial"], dtype=np.float64)
    types = adata.obs["cell_type_int"].to_numpy(dtype=np.int64)
    held_out = adata.obs["held_out"].to_numpy(dtype=bool)
    reach = index.radii(RADIUS, CONTACT_DISTANCE)
    radii = np.array([reach[ligand] for ligand in index.ligands])
    sender = Sender(genes, index.ligands, radii, xy, threads)
    received = sender.received(expression, threads=threads)
    modulators = [index.of(gene) for gene in genes]
    seen = ~held_out
    design = RippleDesign(
        genes=genes,
        ligands=index.ligands,
        expression=expression[seen],
        counts=np.asarray(adata.X.toarray(), dtype=np.float64)[seen],
        received=received[seen],
        xy=xy[seen],
        types=types[seen],
        n_types=int(types.max()) + 1,
        modulators=tuple(m for m in modulators if len(m.names)),
    )
    return Arena(tissue, order, design, expression, received, xy, types, held_out, sender)
