"""A synthetic tissue with known regulation, small enough for tests and demonstrations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from cytoripple._errors import InputError
from cytoripple._names import find_genes
from cytoripple.datasets._mechanism import (
    CONTACT_RADIUS,
    SECRETED_RADIUS,
    SPACING,
    Mechanism,
    Roles,
    Wiring,
    kernel,
    wire,
)

if TYPE_CHECKING:
    from anndata import AnnData

    from cytoripple.io.network import Network

CELL_TYPES = ("Epithelial", "Immune", "Muscle", "Stromal")
_DOMAINS = {"outer": "Epithelial", "middle": "Stromal", "inner": "Muscle"}
_TARGET_SUM = 1e4


@dataclass(frozen=True, eq=False)
class ToyTruth:
    """What the tissue was made from.

    Parameters
    ----------
    edges
        Data frame with a row per target, modulator (``"Tf01"``, ``"Lig03$Rec02"``, ``"Lig03#Tf01"``) and
        cell type in which it acts; columns target, modulator, kind (tf, lr, tfl), cell_type, weight.
    expression
        Data frame, cells x genes: noise-free log-normalized expression.
    radius, contact_distance
        Reach of secreted ligands and of those that act by contact, in micrometers.
    """

    edges: pd.DataFrame
    expression: pd.DataFrame
    radius: float
    contact_distance: float
    _mechanism: Mechanism = field(repr=False)
    _amounts: NDArray[np.float64] = field(repr=False)
    _factors: NDArray[np.float64] = field(repr=False)

    def knockout(self, gene: str, cells: NDArray[np.bool_] | Sequence[str] | None = None) -> pd.DataFrame:
        """Change of every gene in every cell after a gene is silenced.

        The mechanism is run to its new steady state with the gene held at 0, and measured with the size
        factors of the unperturbed cells.

        Parameters
        ----------
        gene
            Any gene of the tissue.
        cells
            Cells in which it is silenced: a mask or cell names; None silences it everywhere.

        Returns
        -------
        Data frame, cells x genes: difference of noise-free log-normalized expression.

        Raises
        ------
        GeneMatchError
            The gene does not exist; the nearest names are offered.
        InputError
            A cell does not exist, or the mask has the wrong length.
        """
        position = int(find_genes([gene], self.expression.columns)[0])
        chosen = self._mask(cells)
        after = self._mechanism.steady_state({position: chosen})
        change = np.log1p(after * self._factors) - np.log1p(self._amounts * self._factors)
        return pd.DataFrame(change, index=self.expression.index, columns=self.expression.columns)

    def _mask(self, cells: NDArray[np.bool_] | Sequence[str] | None) -> NDArray[np.bool_]:
        n = len(self.expression)
        if cells is None:
            return np.ones(n, dtype=bool)
        given = np.asarray(cells)
        if given.dtype == bool:
            if given.shape != (n,):
                raise InputError(f"cells is a mask of shape {given.shape}: expected ({n},)")
            return given
        unknown = [str(cell) for cell in given if cell not in self.expression.index]
        if unknown:
            raise InputError(
                f"{len(unknown)} cells do not exist, the first is {unknown[0]!r}: use adata.obs_names"
            )
        return np.asarray(self.expression.index.isin(given))


@dataclass(frozen=True, eq=False)
class ToyTissue:
    """A synthetic tissue; unpacks as ``adata, network, truth``."""

    adata: AnnData
    network: Network
    truth: ToyTruth

    def __iter__(self) -> Iterator[AnnData | Network | ToyTruth]:
        return iter((self.adata, self.network, self.truth))


def toy_tissue(n_cells: int = 600, n_genes: int = 80, seed: int = 0) -> ToyTissue:
    """Make a tissue with three wavy layers, four cell types and known regulation.

    Genes are transcription factors (``Tf01``), ligands (``Lig01``), receptors (``Rec01``) and targets
    (``Tgt01``). Regulators act through saturating functions; ligands reach other cells within two radii
    (secreted and contact). Expression is the steady state of this mechanism, and counts are drawn from it.

    Parameters
    ----------
    n_cells
        At least 50, placed 15 micrometers apart.
    n_genes
        At least 24.
    seed
        The same seed gives the same arrays.

    Returns
    -------
    ToyTissue
        ``adata`` with ``X`` and ``layers["counts"]`` (counts), ``layers["normalized_count"]``,
        ``layers["imputed_count"]``, ``obs["cell_type"]``, ``obs["cell_type_int"]``, ``obs["domain"]``,
        ``obsm["spatial"]`` in micrometers; ``network`` with most of the true edges and as many false ones;
        ``truth`` with all true edges and the effect of any knock-out.

    Raises
    ------
    InputError
        Too few cells or genes.

    Examples
    --------
    >>> import cytoripple as ct
    >>> adata, network, truth = ct.datasets.toy_tissue(n_cells=100, n_genes=24)
    >>> adata.shape
    (100, 24)
    >>> truth.knockout("Lig01").shape
    (100, 24)
    """
    for argument, value, smallest in (("n_cells", n_cells, 50), ("n_genes", n_genes, 24)):
        if int(value) != value or value < smallest:
            raise InputError(f"{argument} is {value}: give a whole number of at least {smallest}")
    geometry, wiring_rng, variation, counting, prior = (
        np.random.default_rng(stream) for stream in np.random.SeedSequence(seed).spawn(5)
    )
    roles = Roles.divide(int(n_genes))
    xy, domain, cell_type = _place(int(n_cells), geometry)
    wiring = wire(roles, len(CELL_TYPES), wiring_rng)
    mechanism = _mechanism(roles, wiring, xy, cell_type, variation)
    amounts = mechanism.steady_state()
    efficiency = np.exp(counting.normal(0.0, 0.5, n_genes))
    share = amounts * efficiency / (amounts @ efficiency)[:, None]
    factors = _TARGET_SUM * efficiency / (amounts @ efficiency)[:, None]
    adata = _measure(roles, xy, domain, cell_type, share, counting)
    expression = pd.DataFrame(np.log1p(amounts * factors), index=adata.obs_names, columns=adata.var_names)
    edges = wiring.edges(roles, CELL_TYPES)
    truth = ToyTruth(edges, expression, SECRETED_RADIUS, CONTACT_RADIUS, mechanism, amounts, factors)
    return ToyTissue(adata, _network(roles, wiring, prior, seed), truth)


def _place(
    n_cells: int, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.object_], NDArray[np.int64]]:
    """Coordinates, domain and cell type of every cell."""
    side = int(np.ceil(np.sqrt(n_cells)))
    index = np.arange(n_cells)
    xy = SPACING * np.stack([index % side, index // side], axis=1) + rng.uniform(-4, 4, (n_cells, 2))
    across = xy / (SPACING * side)
    phase = rng.uniform(0, 2 * np.pi, 2)
    depth = across[:, 1] + 0.12 * np.sin(2 * np.pi * across[:, 0] + phase[0])
    depth += 0.05 * np.sin(6 * np.pi * across[:, 0] + phase[1])
    rank = np.argsort(np.argsort(depth, kind="stable"), kind="stable") / n_cells
    domain = np.array(list(_DOMAINS), dtype=object)[np.searchsorted([0.35, 0.7], rank, side="right")]
    cell_type = np.array([CELL_TYPES.index(_DOMAINS[name]) for name in domain])
    strangers = rng.permutation(n_cells)
    n_immune, n_mixed = max(8, round(0.12 * n_cells)), round(0.08 * n_cells)
    cell_type[strangers[:n_immune]] = CELL_TYPES.index("Immune")
    mixed = strangers[n_immune : n_immune + n_mixed]
    cell_type[mixed] = rng.choice([CELL_TYPES.index(name) for name in _DOMAINS.values()], size=n_mixed)
    return xy, domain, cell_type


def _mechanism(
    roles: Roles,
    wiring: Wiring,
    xy: NDArray[np.float64],
    cell_type: NDArray[np.int64],
    rng: np.random.Generator,
) -> Mechanism:
    n_cells, n_genes = len(xy), len(roles.names)
    base = rng.normal(-0.6, 0.4, n_genes) + rng.normal(0.0, 0.3, (len(CELL_TYPES), n_genes))[cell_type]
    masters = roles.masters
    base[:, masters] += rng.normal(0.0, 0.8, (len(CELL_TYPES), len(masters)))[cell_type]
    waves = rng.normal(0.0, 2 * np.pi / 400, (3, 2, len(masters)))
    phases = rng.uniform(0, 2 * np.pi, (3, len(masters)))
    base[:, masters] += 0.5 * np.cos(np.einsum("nd,wdm->nwm", xy, waves) + phases).sum(axis=1)
    return Mechanism(
        roles=roles,
        wiring=wiring,
        clusters=cell_type,
        base=base,
        variation=np.exp(0.25 * rng.standard_normal((n_cells, n_genes))),
        contact_kernel=kernel(xy, CONTACT_RADIUS),
        secreted_kernel=kernel(xy, SECRETED_RADIUS),
    )


def _measure(
    roles: Roles,
    xy: NDArray[np.float64],
    domain: NDArray[np.object_],
    cell_type: NDArray[np.int64],
    share: NDArray[np.float64],
    rng: np.random.Generator,
) -> AnnData:
    """Draw counts and put everything a real data set would have into an AnnData object."""
    from anndata import AnnData

    from cytoripple import pp

    n_cells, n_genes = share.shape
    depth = 10.0 * n_genes * np.exp(0.3 * rng.standard_normal(n_cells))
    counts = rng.poisson(depth[:, None] * share * rng.gamma(10.0, 0.1, share.shape))
    matrix = sparse.csr_matrix(counts.astype(np.float32))
    kinds = np.repeat(
        ["tf", "ligand", "receptor", "target"],
        [len(roles.tfs), len(roles.ligands), len(roles.receptors), len(roles.targets)],
    )
    obs = pd.DataFrame(
        {
            "cell_type": pd.Categorical([CELL_TYPES[kind] for kind in cell_type], categories=CELL_TYPES),
            "cell_type_int": cell_type,
            "domain": pd.Categorical(domain, categories=sorted(_DOMAINS)),
        },
        index=[f"cell_{i + 1}" for i in range(n_cells)],
    )
    adata = AnnData(matrix, obs=obs, var=pd.DataFrame({"role": kinds}, index=list(roles.names)))
    adata.obsm["spatial"] = xy
    adata.layers["counts"] = matrix.copy()
    adata.uns["organism"] = "mouse"
    adata.uns["spatial_units"] = "um"
    pp.normalize(adata, layer="counts", target_sum=_TARGET_SUM)
    pp.impute(adata, cluster_key="cell_type")
    return adata


def _network(roles: Roles, wiring: Wiring, rng: np.random.Generator, seed: int) -> Network:
    """Edge lists as a database would have them: most true edges, and false ones."""
    from cytoripple.io.network import Network, digest_of_edges

    names = np.array(roles.names, dtype=object)
    n_tf = len(roles.tfs)
    feature, target = np.nonzero((wiring.weights[:, :n_tf] != 0).any(axis=0))
    tf_edges = _blend(np.stack([feature, target], 1), roles.tfs, np.arange(len(names)), len(feature), rng)
    pairs = wiring.lr_pairs
    lr_edges = _blend(pairs, roles.ligands, roles.receptors, max(2, len(pairs) // 2), rng)
    known = np.unique(wiring.tfl_pairs, axis=0)
    tfl_edges = _blend(known, roles.ligands, roles.tfs, max(2, len(known)), rng)
    true = {tuple(pair) for pair in known.tolist()}
    weight = [
        rng.uniform(0.5, 1.0) if tuple(pair) in true else rng.uniform(0.16, 0.6)
        for pair in tfl_edges.tolist()
    ]
    tf = pd.DataFrame({"source": names[tf_edges[:, 0]], "target": names[tf_edges[:, 1]]})
    signaling = np.where(np.isin(lr_edges[:, 0], wiring.contact), "Cell-Cell Contact", "Secreted Signaling")
    lr = pd.DataFrame(
        {"ligand": names[lr_edges[:, 0]], "receptor": names[lr_edges[:, 1]], "signaling": signaling}
    )
    tfl = pd.DataFrame({"ligand": names[tfl_edges[:, 0]], "tf": names[tfl_edges[:, 1]], "weight": weight})
    tfl = tfl.sort_values(["tf", "weight"], ascending=[True, False], kind="stable", ignore_index=True)
    source = f"toy_tissue(n_genes={len(names)}, seed={seed})"
    return Network(tf, lr, tfl, species="mouse", source=source, sha256=digest_of_edges(tf, lr, tfl))


def _blend(
    true: NDArray[np.int64],
    left: NDArray[np.int64],
    right: NDArray[np.int64],
    n_false: int,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Edges with 15 % of the true ones (one at least) left out and `n_false` others mixed in, in order."""
    n_missing = min(len(true), max(1, round(0.15 * len(true))))
    edges = {tuple(edge) for edge in true[rng.permutation(len(true))[n_missing:]].tolist()}
    forbidden = {tuple(edge) for edge in true.tolist()}
    others = [(a, b) for a in left.tolist() for b in right.tolist() if a != b and (a, b) not in forbidden]
    chosen = rng.choice(len(others), size=min(n_false, len(others)), replace=False)
    edges |= {others[i] for i in chosen}
    return np.array(sorted(edges), dtype=np.int64).reshape(-1, 2)
