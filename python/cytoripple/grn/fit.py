"""From a plan to fits: received ligands and the shared design once, then batches of targets."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from cytoripple._names import find_genes
from cytoripple._progress import Progress
from cytoripple.grn.design import column_table
from cytoripple.grn.estimator import set_value
from cytoripple.grn.folds import spatial_folds
from cytoripple.grn.grid import KAPPAS
from cytoripple.grn.modulators import Modulators
from cytoripple.grn.plan import Plan
from cytoripple.kernels.ligands import received_ligands
from cytoripple.kernels.noise import counting_noise_variance
from cytoripple.kernels.training import BatchFit, SpatialDesign

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TargetFit:
    """Fit of one target: rows of every array are clusters, 0 to K-1; `entry` has a number per column."""

    modulators: Modulators
    coef: NDArray[np.float64]
    intercept: NDArray[np.float64]
    r2: NDArray[np.float64]
    held_out_r2: NDArray[np.float64]
    mse: NDArray[np.float64]
    objective: NDArray[np.float64]
    gap: NDArray[np.float64]
    lambda_max: NDArray[np.float64]
    n_iter: NDArray[np.int64]
    converged: NDArray[np.bool_]
    entry: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class _Batch:
    modulators: list[Modulators]
    y: NDArray[np.float64]
    indptr: NDArray[np.int64]
    columns: NDArray[np.int64]
    mask: NDArray[np.bool_] | None


class Fitter:
    """The part of the work that all targets share.

    Parameters
    ----------
    plan
        The checked inputs.
    progress
        Observer of the received ligands (stage ``"ligands"``).
    """

    def __init__(self, plan: Plan, progress: Progress) -> None:
        self.plan = plan
        tissue, settings = plan.tissue, plan.settings
        self.genes = used_genes(plan)
        self._gene_index = {gene: position for position, gene in enumerate(self.genes)}
        self._ligand_index = {ligand: position for position, ligand in enumerate(plan.index.ligands)}
        used = find_genes(self.genes, tissue.var_names)
        self.expression = _take(tissue.expression, used)
        self._targets = _by_column(tissue.expression)
        self._position = {str(name): position for position, name in enumerate(tissue.var_names)}
        self.received, self.received_tfl = receive(plan, progress)
        self.is_joint = settings.training.estimator == "joint"
        self.noise_variance = counting_noise(plan, used, progress)
        folds = settings.training.cv_folds
        self._design = SpatialDesign(
            self.expression,
            self.received,
            clusters=tissue.clusters,
            n_clusters=len(tissue.cluster_labels),
            received_tfl=self.received_tfl,
            receptor_mask=None if plan.mask is None else plan.mask[:, used].astype(np.float64),
            min_expression=settings.grn.min_expression,
            folds=spatial_folds(tissue.xy, n_folds=folds, seed=settings.training.seed, samples=tissue.samples)
            if folds
            else None,
            n_folds=folds,
        )

    def fit(
        self, genes: Sequence[str], kappa: float | None, dense_share: float | None = None
    ) -> list[TargetFit]:
        """Fit targets that have modulators.

        Parameters
        ----------
        kappa
            Multiplier on the standardized scale, or ``None`` for the penalties of the settings.
        dense_share
            Share of the ridge in a joint fit, or ``None`` for that of the settings.

        Returns
        -------
        One fit per target; of the joint estimator on Gram matrices without the noise of counting where that
        is known.
        """
        batch = self._batch(genes)
        lasso = self.plan.settings.lasso
        if self.is_joint:
            joint = self._design.fit_joint(
                batch.y,
                batch.indptr,
                batch.columns,
                kappa=1.0 if kappa is None else kappa,
                path=[] if kappa is None else KAPPAS[1.05 * kappa < KAPPAS].tolist(),
                dense_share=set_value(lasso.dense_share) if dense_share is None else dense_share,
                noise_variance=self.noise_variance,
                tol=set_value(self.plan.settings.lasso.tol),
                **self._joint_options(batch),
            )
            return [_of_target(joint, batch, position) for position in range(len(genes))]
        options: dict[str, Any] = {} if lasso.n_iter is None else {"max_iter": lasso.n_iter}
        given = lasso.given if kappa is None else None
        fit = self._design.fit(
            batch.y,
            batch.indptr,
            batch.columns,
            group_reg=given[0] if given else None,
            l1_reg=given[1] if given else None,
            kappa=kappa,
            l1_share=set_value(lasso.l1_share),
            scale_reg=lasso.scale_reg,
            solver=lasso.solver,
            tol=set_value(lasso.tol),
            column_mask=batch.mask,
            threads=self.plan.settings.execution.threads,
            **options,
        )
        return [_of_target(fit, batch, position) for position in range(len(genes))]

    def validation_errors(self, genes: Sequence[str], kappas: NDArray[np.float64]) -> NDArray[np.float64]:
        """Held-out squared error of each target for each multiplier, targets x multipliers."""
        batch = self._batch(genes)
        if self.is_joint:
            joint: NDArray[np.float64] = self._design.joint_validation_errors(
                batch.y, batch.indptr, batch.columns, kappas, **self._joint_options(batch)
            )
            return joint
        lasso = self.plan.settings.lasso
        errors: NDArray[np.float64] = self._design.validation_errors(
            batch.y,
            batch.indptr,
            batch.columns,
            kappas,
            l1_share=set_value(lasso.l1_share),
            column_mask=batch.mask,
            threads=self.plan.settings.execution.threads,
        )
        return errors

    def _joint_options(self, batch: _Batch) -> dict[str, Any]:
        settings = self.plan.settings
        return {
            "l1_share": set_value(settings.lasso.l1_share),
            "column_mask": batch.mask,
            "threads": settings.execution.threads,
        }

    def column(self, modulator: str) -> NDArray[np.float64]:
        """Values of one design column, by the name of its modulator."""
        minimum = self.plan.settings.grn.min_expression
        if "$" in modulator:
            ligand, _, receptor = modulator.partition("$")
            sensed = self._expression(receptor)
            sensed[sensed <= minimum] = 0.0
            if self.plan.mask is not None:
                sensed *= self.plan.mask[:, self._position[receptor]]
            return sensed * self.received[:, self._ligand_index[ligand]]
        if "#" in modulator:
            ligand, _, regulator = modulator.partition("#")
            received = self.received if self.received_tfl is None else self.received_tfl
            return self._expression(regulator) * received[:, self._ligand_index[ligand]]
        return self._expression(modulator)

    def _expression(self, gene: str) -> NDArray[np.float64]:
        values = self._targets[:, [self._position[gene]]]
        dense = values if isinstance(values, np.ndarray) else values.toarray()
        return np.array(dense[:, 0], dtype=np.float64)

    def _batch(self, genes: Sequence[str]) -> _Batch:
        modulators = [self.plan.index.of(gene) for gene in genes]
        tables = [column_table(item, self._gene_index, self._ligand_index) for item in modulators]
        indptr = np.concatenate([[0], np.cumsum([len(table) for table in tables])]).astype(np.int64)
        y = self._targets[:, [self._position[gene] for gene in genes]]
        return _Batch(
            modulators,
            np.ascontiguousarray(y if isinstance(y, np.ndarray) else y.toarray(), dtype=np.float64),
            indptr,
            np.ascontiguousarray(np.concatenate(tables), dtype=np.int64),
            self._prior_mask(modulators),
        )

    def _prior_mask(self, modulators: Sequence[Modulators]) -> NDArray[np.bool_] | None:
        if all(item.allowed_tfs is None for item in modulators):
            return None
        return np.concatenate([prior_mask(item, self.plan) for item in modulators])


def prior_mask(modulators: Modulators, plan: Plan) -> NDArray[np.bool_]:
    """Which column may be non-zero in which cluster, columns x clusters, from the TF priors.

    A cluster is restricted when its cell type has priors for the target; then the TF columns outside them
    are off, and with ``grn.tf_priors_mask_tfl`` also the ligand columns of such TFs.
    """
    tissue = plan.tissue
    mask = np.ones((len(modulators.names), len(tissue.cluster_labels)), dtype=np.bool_)
    if modulators.allowed_tfs is None:
        return mask
    n_tf = len(modulators.regulators)
    first_tfl = n_tf + len(modulators.lr_pairs)
    for cluster, label in tissue.cell_types.items():
        allowed = modulators.allowed_tfs.get(label)
        if allowed is None:
            continue
        mask[:n_tf, cluster] = [tf in allowed for tf in modulators.regulators]
        if plan.settings.grn.tf_priors_mask_tfl:
            last = first_tfl + len(modulators.tfl_pairs)
            mask[first_tfl:last, cluster] = [tf in allowed for _, tf in modulators.tfl_pairs]
    return mask


def used_genes(plan: Plan) -> tuple[str, ...]:
    """Genes whose expression some column of some target needs, in the order of the data."""
    used: set[str] = set()
    for gene in plan.targets:
        modulators = plan.index.of(gene)
        used.update(modulators.regulators)
        used.update(modulators.extra)
        used.update(receptor for _, receptor in modulators.lr_pairs)
        used.update(regulator for _, regulator in modulators.tfl_pairs)
    return tuple(name for name in map(str, plan.tissue.var_names) if name in used)


def receive(plan: Plan, progress: Progress) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """Received ligands of every cell, and their unmasked form for TF-ligand columns if a mask is given.

    Returns
    -------
    Cells x ligands, and the same without the cell mask or ``None`` when there is no mask.
    """
    tissue, spatial = plan.tissue, plan.settings.spatial
    ligands = list(plan.index.ligands)
    if not ligands:
        return np.zeros((len(tissue.obs_names), 0)), None
    sent = tissue.columns(ligands)
    sent[sent <= plan.settings.grn.min_expression] = 0.0
    radii = np.array([plan.radii[ligand] for ligand in ligands], dtype=np.float64)

    def spread(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return received_ligands(
            tissue.xy,
            values,
            radius=radii,
            kernel=spatial.kernel,
            method=spatial.ligand_method,
            rtol=spatial.rtol,
            scale=spatial.weighted_ligand_scale_factor,
            factor=spatial.training_grid_factor,
            cutoff=spatial.cutoff,
            samples=tissue.samples,
            threads=plan.settings.execution.threads,
        )

    progress.update(0, 1, "ligands")
    plain = spread(sent)
    masked = None if plan.mask is None else spread(sent * plan.mask[:, find_genes(ligands, tissue.var_names)])
    progress.update(1, 1, "ligands")
    return (plain, None) if masked is None else (masked, plain)


def counting_noise(plan: Plan, genes: NDArray[np.int64], progress: Progress) -> NDArray[np.float32] | None:
    """Variance that counting adds to every entry of the layer, cells x genes, or None where it is unknown."""
    tissue = plan.tissue
    if tissue.size_factors is None:
        return None
    progress.update(0, 1, "noise")
    variance = counting_noise_variance(
        tissue.expression,
        tissue.size_factors,
        tissue.clusters,
        genes=genes,
        samples=tissue.samples,
        threads=plan.settings.execution.threads,
    )
    progress.update(1, 1, "noise")
    return variance


def _take(matrix: Any, columns: NDArray[np.int64]) -> Any:
    if isinstance(matrix, np.ndarray):
        return np.ascontiguousarray(matrix[:, columns])
    taken = scipy.sparse.csr_matrix(matrix[:, columns])
    taken.sort_indices()
    return taken


def _by_column(matrix: Any) -> Any:
    return matrix if isinstance(matrix, np.ndarray) else matrix.tocsc()


def _of_target(fit: BatchFit, batch: _Batch, position: int) -> TargetFit:
    rows = slice(batch.indptr[position], batch.indptr[position + 1])
    return TargetFit(
        modulators=batch.modulators[position],
        coef=np.ascontiguousarray(fit.coef[rows].T),
        intercept=fit.intercept[position],
        r2=fit.r2[position],
        held_out_r2=fit.held_out_r2[position],
        mse=fit.mse[position],
        objective=fit.objective[position],
        gap=fit.gap[position],
        lambda_max=fit.lambda_max[position],
        n_iter=fit.n_iter[position],
        converged=fit.converged[position],
        entry=None if fit.entry is None else fit.entry[rows],
    )
