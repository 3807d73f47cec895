"""Benchmark tissue with known answers: who regulates whom, and what every perturbation does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cytoripple._errors import InputError, SettingsError, did_you_mean
from cytoripple._names import find_genes
from cytoripple.datasets._ripple_means import ripple_means, type_means
from cytoripple.datasets._ripple_mechanism import (
    N_TYPES,
    Mechanism,
    Place,
    exogenous,
    measure,
    place_cells,
)
from cytoripple.datasets._ripple_network import Genes, Prior, Wiring, draw_prior, draw_wiring

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

    from cytoripple.io.network import Network

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

CELL_TYPES = tuple(f"type{k}" for k in range(N_TYPES))
DISC_RADIUS = 110.0


@dataclass(frozen=True)
class RippleSettings:
    """Settings of the generator; the defaults are those of the published figures.

    Attributes
    ----------
    n_cells
        Cells, 15 units apart, at least 100.
    n_tf, n_masters, n_ligands, n_receptors, n_targets
        Genes of each kind. Masters are those TFs that nothing regulates.
    depth
        Median number of counts of a cell.
    active
        Probability that an edge acts in a cell type: small values leave little wiring for types to share.
    signal
        Factor on the weights of all edges that start at a ligand; 0 cuts the cells off from each other.
    keep
        Share of the true edges that the prior network contains.
    false_per_true
        False TFs of the prior network per true regulator.
    n_pairs
        Ligand-receptor pairs of the prior network.
    """

    n_cells: int = 2000
    n_tf: int = 48
    n_masters: int = 16
    n_ligands: int = 18
    n_receptors: int = 18
    n_targets: int = 96
    depth: float = 1200.0
    active: float = 0.6
    signal: float = 1.0
    keep: float = 0.8
    false_per_true: float = 6.0
    n_pairs: int = 54

    def __post_init__(self) -> None:
        least = {"n_cells": 100, "n_masters": 4, "n_ligands": 4, "n_receptors": 2, "n_targets": 1}
        for name, smallest in least.items():
            if getattr(self, name) < smallest:
                raise SettingsError(f"{name} is {getattr(self, name)}: give at least {smallest}")
        if self.n_tf < self.n_masters + 3:
            raise SettingsError(
                f"n_tf is {self.n_tf}: give at least n_masters + 3 = {self.n_masters + 3}, masters included"
            )
        for name in ("active", "keep"):
            if not 0 <= getattr(self, name) <= 1:
                raise SettingsError(f"{name} is {getattr(self, name)}: give a number from 0 to 1")
        for name in ("signal", "false_per_true", "n_pairs"):
            if not getattr(self, name) >= 0:
                raise SettingsError(f"{name} is {getattr(self, name)}: give 0 or more")
        if not 0 < self.depth < np.inf:
            raise SettingsError(f"depth is {self.depth}: give a positive number of counts")


@dataclass(frozen=True, eq=False)
class TruePerturbation:
    """One perturbation and what the mechanism does under it.

    Attributes
    ----------
    gene
        The gene that is held.
    kind
        ``"knockout"`` or ``"overexpression"``.
    where
        ``"all"``, ``"disc"`` or the name of a cell type.
    cells
        Perturbed cells, bool.
    value, layer_value
        Level it is held at in the mechanism, and what that is on the layer ``norm``.
    effect
        Mean change per cell type, types x genes, on the natural-log layer without noise.
    ripple
        Mean change of cells that were not perturbed, distance bins x types x genes; None when all were.
    delta
        Change of every cell, cells x genes, float32; None where only the means were stored.
    """

    gene: str
    kind: str
    where: str
    cells: Flags
    value: float
    layer_value: float
    effect: Floats
    ripple: Floats | None
    delta: NDArray[np.float32] | None


@dataclass(frozen=True, eq=False)
class RippleTruth:
    """The answers, never an input of an estimator.

    Attributes
    ----------
    edges
        Data frame with a row per target, modulator (``"TF01"``, ``"LG03$RC02"``, ``"LG03#TF01"``) and cell
        type in which it acts; columns target, modulator, kind (tf, lr, tfl), cell_type, weight.
    perturbations
        14 in all cells, then 6 regional ones; empty when they were not asked for.
    state, latent
        Cells x genes: steady state, and the same on the layer's scale without measurement noise.
    capture
        Capture weight per gene.
    scale
        Counts that every cell is scaled to on the layer: the median of the cells.
    """

    edges: pd.DataFrame
    perturbations: tuple[TruePerturbation, ...]
    state: Floats
    latent: Floats
    capture: Floats
    scale: float
    _genes: tuple[str, ...] = field(repr=False)
    _mechanism: Mechanism | None = field(repr=False, default=None)

    def respond(self, gene: str, *, value: float = 0.0, cells: Flags | None = None) -> Floats:
        """Change of every gene in every cell when `gene` is held at `value`.

        Parameters
        ----------
        gene
            Any gene of the tissue.
        value
            Level in the mechanism; 0 is a knock-out.
        cells
            Where it is held, bool; None holds it everywhere.

        Returns
        -------
        Cells x genes, float64: difference of ``latent``. The sum over genes that normalizes a cell is the
        unperturbed one, so that a change of one gene does not move the others.

        Raises
        ------
        GeneMatchError
            The gene does not exist; the nearest names are offered.
        InputError
            The mask has the wrong length, the value is negative, or the tissue was read from files, which
            hold no mechanism.
        """
        if self._mechanism is None:
            raise InputError("this tissue was read from files: make one with datasets.ripple_tissue(seed)")
        position = int(find_genes([gene], self._genes)[0])
        held = np.ones(len(self.state), dtype=bool) if cells is None else np.asarray(cells)
        if held.dtype != bool or held.shape != (len(self.state),):
            raise InputError(f"cells has shape {held.shape}: give one bool per cell, {len(self.state)}")
        if not 0 <= value < np.inf:
            raise InputError(f"value is {value}: give 0 or a positive number")
        after = self._mechanism.steady_state(self.state, position, float(value), held)
        return _on_layer(after, self.state, self.capture, self.scale) - self.latent

    def layer_value(self, gene: str, value: float) -> float:
        """Level `value` of the mechanism as a user would give it on the layer, at the median cell."""
        position = int(find_genes([gene], self._genes)[0])
        total = np.median((self.state * self.capture).sum(axis=1))
        return float(np.log1p(self.scale * value * self.capture[position] / total))


@dataclass(frozen=True, eq=False)
class RippleTissue:
    """A benchmark tissue: what an estimator may see, and the truth; unpacks as ``adata, network, truth``."""

    adata: AnnData
    network: Network
    truth: RippleTruth

    def __iter__(self) -> Iterator[AnnData | Network | RippleTruth]:
        return iter((self.adata, self.network, self.truth))


def ripple_tissue(
    seed: int, *, threads: int = 0, perturbations: bool = True, **settings: Any
) -> RippleTissue:
    """Make a benchmark tissue with its answers.

    Five cell types in domains, TFs, ligands, receptors and targets with cell-type-specific wiring. Regulators
    act through saturating functions, ligands reach other cells by contact (radius 20) or secretion (60).
    Expression is the steady state of this mechanism; shallow counts are drawn from it. The network is a prior
    that lacks a fifth of the true edges and consists mostly of false ones.

    Five independent random streams (geometry, wiring, exogenous variation, counts, prior) are spawned from
    the seed, so that a setting of one stage leaves the others as they are.

    Parameters
    ----------
    seed
        Whole number >= 0. The same seed and settings give the same arrays for any number of threads.
    threads
        Worker threads, 0 for all cores.
    perturbations
        Compute the 20 perturbation truths, which is most of the work.
    **settings
        Fields of `RippleSettings`.

    Returns
    -------
    RippleTissue
        ``adata``: counts in ``X``, ``layers["norm"]`` (log1p of counts scaled to the median depth),
        ``obs`` cell_type, cell_type_int, block and held_out (cells that no estimator may see the target
        values of), ``obsm["spatial"]``; ``network``: the prior; ``truth``: see `RippleTruth`.

    Raises
    ------
    SettingsError
        A setting is unknown or outside its range.

    Examples
    --------
    >>> import cytoripple as ct
    >>> adata, network, truth = ct.datasets.ripple_tissue(1, n_cells=200, n_targets=10)
    >>> adata.shape
    (200, 94)
    >>> truth.perturbations[0].kind, truth.perturbations[0].delta.shape
    ('knockout', (200, 94))
    """
    chosen = _settings(settings)
    if int(seed) != seed or seed < 0:
        raise SettingsError(f"seed is {seed}: give a whole number, 0 or more")
    streams = [np.random.default_rng(s) for s in np.random.SeedSequence(int(seed)).spawn(5)]
    genes = Genes(chosen.n_tf, chosen.n_masters, chosen.n_ligands, chosen.n_receptors, chosen.n_targets)
    place = place_cells(chosen.n_cells, streams[0])
    wiring = draw_wiring(genes, N_TYPES, chosen.active, chosen.signal, streams[1])
    base, variation = exogenous(genes, place, streams[2])
    mechanism = Mechanism(genes, wiring, place, base, variation, threads)
    state = mechanism.steady_state(np.ones_like(base))
    counts, capture = measure(state, chosen.depth, streams[3])
    scale = float(np.median(counts.sum(axis=1)))
    latent = _on_layer(state, state, capture, scale)
    truth = RippleTruth(
        wiring.edges(genes, CELL_TYPES), (), state, latent, capture, scale, tuple(genes.names), mechanism
    )
    if perturbations:
        answers = tuple(_perturbations(truth, mechanism))
        truth = RippleTruth(**{**_shallow(truth), "perturbations": answers})
    adata = _annotate(counts, scale, place, genes, {"seed": int(seed), **asdict(chosen)})
    prior = draw_prior(genes, wiring, chosen.keep, chosen.false_per_true, chosen.n_pairs, streams[4])
    return RippleTissue(adata, _network(genes, prior, wiring), truth)


def _on_layer(state: Floats, unperturbed: Floats, capture: Floats, scale: float) -> Floats:
    """Scale of the layer without noise; cells are normalized by their unperturbed sum."""
    total = (unperturbed * capture).sum(axis=1, keepdims=True)
    return np.asarray(np.log1p(scale * state * capture / total))


def _settings(given: dict[str, Any]) -> RippleSettings:
    known = [item.name for item in fields(RippleSettings)]
    for name in given:
        if name not in known:
            raise SettingsError(
                f"ripple_tissue has no setting {name!r}{did_you_mean(name, known)}; known: {', '.join(known)}"
            )
    return RippleSettings(**given)


def _shallow(truth: RippleTruth) -> dict[str, Any]:
    return {item.name: getattr(truth, item.name) for item in fields(truth)}


def _perturbations(truth: RippleTruth, mechanism: Mechanism) -> Iterator[TruePerturbation]:
    names, place = mechanism.genes.names, mechanism.place
    disc = ((place.xy - place.xy.mean(axis=0)) ** 2).sum(axis=1) <= DISC_RADIUS**2
    regions = {"all": np.ones(len(disc), dtype=bool), "disc": disc, CELL_TYPES[0]: place.types == 0}
    for gene, kind, where in _plan(mechanism.genes, mechanism.wiring):
        cells = regions[where]
        if not cells.any():
            continue
        value = 0.0 if kind == "knockout" else 1.5 * float(np.quantile(truth.state[:, gene], 0.99))
        delta = truth.respond(names[gene], value=value, cells=cells)
        yield TruePerturbation(
            gene=names[gene],
            kind=kind,
            where=where,
            cells=cells,
            value=value,
            layer_value=truth.layer_value(names[gene], value),
            effect=type_means(delta, place.types, N_TYPES),
            ripple=None if where == "all" else ripple_means(delta, cells, place.xy, place.types, N_TYPES),
            delta=delta.astype(np.float32),
        )


def _plan(genes: Genes, wiring: Wiring) -> list[tuple[int, str, str]]:
    """Perturbations of the strongest genes of each kind: gene, kind, where."""
    strength = wiring.out_strength(genes)

    def strongest(members: NDArray[np.int64], n: int) -> list[int]:
        return [int(gene) for gene in members[np.argsort(-strength[members], kind="stable")[:n]]]

    masters = strongest(np.arange(genes.n_masters), 3)
    factors = strongest(np.arange(genes.n_masters, genes.n_tf), 3)
    ligands, receptors = strongest(genes.ligands, 4), strongest(genes.receptors, 2)
    plan = [(gene, "knockout", "all") for gene in masters + factors + ligands + receptors]
    plan += [(gene, "overexpression", "all") for gene in (masters[0], ligands[0])]
    secreted = strongest(genes.ligands[~wiring.contact], 2) or ligands[:1]
    plan += [(gene, kind, "disc") for kind in ("knockout", "overexpression") for gene in secreted]
    return [*plan, (wiring.strongest_factor(secreted[0]), "knockout", "disc"),
            (secreted[0], "knockout", CELL_TYPES[0])]  # fmt: skip


def _annotate(counts: Floats, scale: float, place: Place, genes: Genes, record: dict[str, Any]) -> AnnData:
    import pandas as pd
    from anndata import AnnData
    from scipy.sparse import csr_matrix

    obs = pd.DataFrame(
        {
            "cell_type": pd.Categorical([CELL_TYPES[k] for k in place.types], categories=CELL_TYPES),
            "cell_type_int": place.types,
            "block": place.blocks,
            "held_out": place.held_out,
        },
        index=[f"cell{i:04d}" for i in range(len(counts))],
    )
    var = pd.DataFrame({"kind": pd.Categorical(genes.kinds)}, index=genes.names)
    adata = AnnData(csr_matrix(counts.astype(np.float32)), obs=obs, var=var)
    adata.obsm["spatial"] = place.xy
    adata.layers["norm"] = normalized(counts, scale)
    adata.uns["ripplebench"] = record
    return adata


def normalized(counts: Floats, scale: float) -> Floats:
    """Scale counts to `scale` per cell, then take log1p; an empty cell stays 0."""
    total = counts.sum(axis=1, keepdims=True)
    return np.log1p(counts / np.where(total > 0, total, 1.0) * scale)


def _network(genes: Genes, prior: Prior, wiring: Wiring) -> Network:
    import pandas as pd

    from cytoripple.io.network import as_network

    names = genes.names
    ligand = [names[gene] for gene in genes.ligands]
    signaling = np.where(wiring.contact, "Cell-Cell Contact", "Secreted Signaling")
    rows: list[tuple[str, str, str, str | None]]
    rows = [(names[factor], names[gene], "grn", None) for factor, gene in prior.tf]
    rows += [(ligand[a], names[receptor], "lr", str(signaling[a])) for a, receptor in prior.lr]
    rows += [(ligand[a], names[factor], "nichenet", None) for a, factor in prior.tfl]
    table = pd.DataFrame(rows, columns=["source", "target", "edge_type", "signaling"])
    return as_network(table.assign(weight=1.0))
