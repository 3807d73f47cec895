"""A synthetic Perturb-seq screen with known effects, small enough for tests and demonstrations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from cytoripple._errors import InputError, did_you_mean

if TYPE_CHECKING:
    from anndata import AnnData

CONTROL = "non-targeting"
REMAINING = 0.15
"""Share of its expression that a perturbed target keeps."""
_TARGET_SUM = 1e4


@dataclass(frozen=True, eq=False)
class ScreenTruth:
    """What a screen was made from.

    Parameters
    ----------
    programs
        Data frame, programs x genes: natural logarithm of the fold change at full strength.
    loadings
        Data frame, perturbations x programs: how strongly a perturbation drives a program.
    base
        Data frame, cell types x genes: mean count of an unperturbed cell of average depth.
    batch_shift
        Data frame, batches x genes: natural logarithm of the batch's factor.
    """

    programs: pd.DataFrame
    loadings: pd.DataFrame
    base: pd.DataFrame
    batch_shift: pd.DataFrame
    _strength: pd.DataFrame = field(repr=False)

    def log_fold(self, cell_type: str | None = None) -> pd.DataFrame:
        """Effect of every perturbation on every gene.

        Parameters
        ----------
        cell_type
            Cell types differ in how strongly they run a program; None takes the first.

        Returns
        -------
        Data frame, perturbations x genes: natural logarithm of the fold change of the mean count. The target
        itself has ``log(0.15)``.

        Raises
        ------
        InputError
            There is no such cell type.
        """
        name = self._cell_type(cell_type)
        effect = (self.loadings * self._strength.loc[name]) @ self.programs
        for target in effect.index:
            effect.loc[target, target] = np.log(REMAINING)
        return effect

    def responds(self, cell_type: str | None = None) -> pd.DataFrame:
        """Whether a gene responds to a perturbation: boolean data frame, perturbations x genes."""
        return self.log_fold(cell_type) != 0

    def expected(self, perturbation: str, cell_type: str | None = None) -> pd.Series:
        """Noise-free expression, ``log1p`` of the share times 10,000, averaged over batches without shift.

        Parameters
        ----------
        perturbation
            A perturbed gene, or ``"non-targeting"``.
        cell_type
            None takes the first.

        Raises
        ------
        InputError
            There is no such perturbation or cell type.
        """
        rate = self.base.loc[self._cell_type(cell_type)]
        if perturbation != CONTROL:
            if perturbation not in self.loadings.index:
                raise InputError(
                    f"{perturbation!r} is not perturbed in this screen"
                    f"{did_you_mean(perturbation, self.loadings.index)}"
                )
            rate = rate * np.exp(self.log_fold(cell_type).loc[perturbation])
        values = rate.to_numpy(dtype=np.float64)
        return pd.Series(np.log1p(_TARGET_SUM * values / values.sum()), index=self.base.columns)

    def _cell_type(self, name: str | None) -> str:
        if name is None:
            return str(self.base.index[0])
        if name not in self.base.index:
            raise InputError(f"{name!r} is no cell type of this screen: {', '.join(self.base.index)}")
        return name


@dataclass(frozen=True, eq=False)
class Screen:
    """A synthetic screen; unpacks as ``adata, truth``."""

    adata: AnnData
    truth: ScreenTruth

    def __iter__(self) -> Iterator[AnnData | ScreenTruth]:
        return iter((self.adata, self.truth))


def simulate_screen(
    n_ctrl: int = 200,
    P: int = 20,
    n_per: int = 40,
    G: int = 200,
    n_ct: int = 1,
    n_batch: int = 2,
    effect: float = 1.0,
    seed: int = 0,
) -> Screen:
    """Simulate a pooled single-cell perturbation screen whose effects are known.

    Counts are gamma-Poisson. Perturbations act through shared programs, so that one can be learned from
    others; each target falls to 15 % of its expression. Cell types have their own baseline and run the
    programs with their own strength; batches multiply genes by their own factors.

    Parameters
    ----------
    n_ctrl
        Control cells (``"non-targeting"``) per cell type.
    P
        Perturbed genes, at most `G`.
    n_per
        Cells per perturbation and cell type.
    G
        Genes.
    n_ct, n_batch
        Cell types and batches, at least 1 each. Cells of a group are spread evenly over the batches.
    effect
        Standard deviation of the logarithmic fold change in a program; 0 leaves only the targets' own
        knock-down.
    seed
        The same arguments give the same arrays.

    Returns
    -------
    Screen
        ``adata``: ``X`` (counts, float32 CSR) and ``layers["lognorm"]`` (``log1p`` of counts per 10,000);
        ``obs["target_gene"]``, ``obs["cell_type"]``, ``obs["batch"]``; gene symbols as names and
        ``var["gene_id"]``. Rows are in random order. ``truth``: the effects.

    Raises
    ------
    InputError
        A number is too small, or there are more perturbations than genes.

    Examples
    --------
    >>> import cytoripple as ct
    >>> adata, truth = ct.datasets.simulate_screen(n_ctrl=50, P=4, n_per=10, G=30)
    >>> adata.shape
    (90, 30)
    >>> target = truth.loadings.index[0]
    >>> round(float(np.exp(truth.log_fold().loc[target, target])), 2)
    0.15
    """
    _check(n_ctrl, P, n_per, G, n_ct, n_batch, effect)
    truth = _truth(P, G, n_ct, n_batch, effect, np.random.default_rng([seed, 0]))
    groups, codes = [], []
    shifts = truth.batch_shift.to_numpy()
    for ct, cell_type in enumerate(truth.base.index):
        base, fold = truth.base.loc[cell_type].to_numpy(), truth.log_fold(cell_type).to_numpy()
        for p in range(P + 1):  # the last one is the control
            n = n_ctrl if p == P else n_per
            mean = base if p == P else base * np.exp(fold[p])
            batch = np.arange(n) % n_batch
            groups.append(_draw(mean, shifts[batch], np.random.default_rng([seed, 1, ct, p])))
            codes.append(np.column_stack([np.full(n, p), np.full(n, ct), batch]))
    counts = sparse.vstack(groups, format="csr", dtype=np.float32)
    order = np.random.default_rng([seed, 2]).permutation(counts.shape[0])
    return Screen(_adata(counts[order], np.concatenate(codes)[order], truth), truth)


def _check(n_ctrl: int, P: int, n_per: int, G: int, n_ct: int, n_batch: int, effect: float) -> None:
    numbers = {"n_ctrl": n_ctrl, "P": P, "n_per": n_per, "G": G, "n_ct": n_ct, "n_batch": n_batch}
    for name, value in numbers.items():
        if int(value) != value or value < 1:
            raise InputError(f"{name} is {value}: give a whole number of at least 1")
    if P > G:
        raise InputError(f"P is {P}: every perturbation targets a gene of its own, at most G = {G}")
    if not (np.isfinite(effect) and effect >= 0):
        raise InputError(f"effect is {effect}: give a number of at least 0")


def _truth(P: int, G: int, n_ct: int, n_batch: int, effect: float, rng: np.random.Generator) -> ScreenTruth:
    width = max(3, len(str(G - 1)))
    genes = [f"G{gene:0{width}d}" for gene in range(G)]
    base = rng.gamma(0.5, 4.0, G) + 0.05
    # Targets are taken among the better half of the genes: nobody can see a silent gene fall.
    ranked = np.argsort(-base, kind="stable")
    targets = np.sort(rng.permutation(ranked[: max(P, G // 2)])[:P])
    n_programs = max(2, P // 4)
    hit = rng.random((n_programs, G)) < 0.15
    programs = np.where(hit, effect * rng.normal(0.0, 1.0, (n_programs, G)), 0.0)
    loadings = np.zeros((P, n_programs))
    loadings[np.arange(P), rng.integers(0, n_programs, P)] = rng.uniform(0.5, 1.0, P)
    loadings[np.arange(P), rng.integers(0, n_programs, P)] += rng.uniform(-0.5, 0.5, P)
    names = [f"program{number + 1}" for number in range(n_programs)]
    cell_types = [f"type{number + 1}" for number in range(n_ct)]
    batches = [f"batch{number + 1}" for number in range(n_batch)]
    return ScreenTruth(
        programs=pd.DataFrame(programs, index=names, columns=genes),
        loadings=pd.DataFrame(loadings, index=[genes[t] for t in targets], columns=names),
        base=pd.DataFrame(base * rng.lognormal(0.0, 0.4, (n_ct, G)), index=cell_types, columns=genes),
        batch_shift=pd.DataFrame(rng.normal(0.0, 0.1, (n_batch, G)), index=batches, columns=genes),
        _strength=pd.DataFrame(rng.lognormal(0.0, 0.3, (n_ct, n_programs)), index=cell_types, columns=names),
    )


def _draw(
    mean: NDArray[np.float64], shift: NDArray[np.float64], rng: np.random.Generator, rows: int = 512
) -> sparse.csr_matrix[np.float32]:
    """Gamma-Poisson counts of one group, in pieces of `rows` cells."""
    pieces = []
    for first in range(0, len(shift), rows):
        part = np.exp(shift[first : first + rows])
        depth = rng.lognormal(0.0, 0.25, (len(part), 1))
        rate = rng.gamma(2.0, 0.5, part.shape) * part * mean * depth
        pieces.append(sparse.csr_matrix(rng.poisson(rate).astype(np.float32)))
    drawn: sparse.csr_matrix[np.float32] = sparse.vstack(pieces, format="csr")
    return drawn


def _adata(counts: sparse.csr_matrix[np.float32], codes: NDArray[np.int64], truth: ScreenTruth) -> AnnData:
    from anndata import AnnData

    labels = [*truth.loadings.index, CONTROL]
    obs = pd.DataFrame(
        {
            "target_gene": pd.Categorical.from_codes(codes[:, 0], pd.Index(labels)),
            "cell_type": pd.Categorical.from_codes(codes[:, 1], truth.base.index),
            "batch": pd.Categorical.from_codes(codes[:, 2], truth.batch_shift.index),
        },
        index=[f"cell_{number + 1}" for number in range(len(codes))],
    )
    genes = truth.base.columns
    ids = [f"ENSG{number + 1:011d}" for number in range(len(genes))]
    adata = AnnData(counts, obs=obs, var=pd.DataFrame({"gene_id": ids}, index=list(genes)))
    sums = np.maximum(np.asarray(counts.sum(axis=1, dtype=np.float64)).ravel(), 1.0)
    lognorm = counts.copy()
    scale = np.repeat(_TARGET_SUM / sums, np.diff(counts.indptr))
    lognorm.data = np.log1p(counts.data * scale).astype(np.float32)
    adata.layers["lognorm"] = lognorm
    return adata
