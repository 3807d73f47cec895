"""Train a spatial gene regulatory network: one model per target gene and cluster."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cytoripple._anndata import read_tissue
from cytoripple._errors import SettingsError
from cytoripple._progress import Progress, ProgressName
from cytoripple._settings import Settings
from cytoripple.grn.conditions import train_conditions
from cytoripple.grn.counts import with_size_factors
from cytoripple.grn.estimator import resolve_estimator
from cytoripple.grn.plan import resolve_lists
from cytoripple.grn.session import Inputs, joined_settings, train_tissue
from cytoripple.io.network import Network
from cytoripple.io.run import Run

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData


def train_grn(
    adata: AnnData,
    *,
    network: Network | str | Path | pd.DataFrame | None,
    run_dir: str | Path,
    targets: Sequence[str] | None = None,
    cluster_key: str,
    layer: str = "normalized_count",
    radius: float = 200.0,
    contact_distance: float = 50.0,
    estimator: Literal["joint", "sgl", "reference"] | None = None,
    kappa: float | Literal["cv"] = "cv",
    dense_share: float | None = None,
    noise_correction: Literal["auto"] | bool = "auto",
    group_reg: float | Literal["cv"] = "cv",
    l1_reg: float | Literal["cv"] = "cv",
    tf_ligand_cutoff: float = 0.15,
    score_threshold: float | None = None,
    solver: Literal["descent", "fista", "reference"] = "descent",
    sample_key: str | None = None,
    seed: int = 0,
    threads: int = 0,
    kernel: Literal["gaussian", "gaussian_truncated", "gaussian_cutoff"] = "gaussian",
    cutoff: float | None = None,
    ligand_method: Literal["auto", "direct", "mesh", "anchors"] = "auto",
    rtol: float = 1e-6,
    scale_factor: float = 1.0,
    max_ligands: int | None = None,
    use_tf: bool = True,
    use_lr: bool = True,
    use_tfl: bool = True,
    extra_modulators: Sequence[str] = (),
    extra_lr: Sequence[str | tuple[str, str]] = (),
    tf_priors: pd.DataFrame | str | Path | None = None,
    cell_thresholds: pd.DataFrame | None = None,
    condition: str | None = None,
    tol: float | None = None,
    max_iter: int | None = None,
    scale_reg: Literal["group_size", "inverse_group_size", "none"] = "group_size",
    cv_folds: int = 5,
    max_genes: int | None = None,
    min_expression: float = 1e-9,
    species: Literal["mouse", "human"] | None = None,
    spatial_key: str | None = None,
    betadata_format: Literal["feather", "parquet", "csv"] = "feather",
    stale_lock_secs: float = 900.0,
    join: bool = False,
    progress: ProgressName | Progress | None = None,
) -> Run:
    """Fit, for every target gene and cluster, expression by its regulators and the ligands it receives.

    For the cells of a cluster the target is modeled as ``intercept + sum_j beta_j column_j``, where a
    column is the expression of a TF, received ligand times receptor (``L$R``), received ligand times TF
    (``L#TF``) or an extra gene. All clusters of a target are fitted together under a sparse group lasso in
    which one modulator across the clusters is a group.

    The call may be interrupted and repeated: finished genes are kept. Several processes may work on one
    `run_dir` with the same call; every gene is trained once.

    Parameters
    ----------
    adata
        Cells x genes with coordinates. It is not changed.
    network
        A `Network`, a file, a data frame, or ``None`` to look for ``{species}_network.parquet`` in the data
        directories.
    run_dir
        Directory of the results; made if absent.
    targets
        Target genes; all genes when ``None``.
    cluster_key
        Column of ``adata.obs`` with text, categories or whole numbers.
    layer
        Layer with the expression, ``"X"`` for ``adata.X``. Log-normalized counts: smoothed or imputed layers
        raise the R2 and ruin what is learned of neighbors.
    radius, contact_distance
        Reach of secreted ligands, and of ligands of contact or matrix signaling, in the unit of the
        coordinates.
    estimator
        ``"joint"`` (what None means): all clusters of a target together. ``"sgl"``: every cluster alone, one
        group per kind of column; None means this when `group_reg` and `l1_reg` are numbers. ``"reference"``:
        the published scheme, a hundred iterations at penalties of 1e-9.
    kappa
        Multiplier of the penalty ``kappa * sqrt(2 log(p) / n)`` on standardized columns. ``"cv"`` chooses one
        for the whole run by spatially blocked cross-validation.
    dense_share
        Share of a ridge on all columns in the coefficients of ``"joint"`` (None means 0.25): effects are
        predicted better with a little of it. The edge list holds the sparse part; 0 makes the models sparse.
    noise_correction
        Take the noise of counting out of the joint fit; possible when `layer` is the logarithm of counts that
        the data hold. ``"auto"`` does it when possible and warns when not, True insists.
    group_reg, l1_reg
        Penalties on raw columns of ``"sgl"`` and ``"reference"``, which replace `kappa`.
    tf_ligand_cutoff
        Smallest ligand-target potential (exclusive) of a TF-ligand pair.
    score_threshold
        Clusters whose R2 on the training cells is below it get zero coefficients. None: no threshold for
        ``"joint"``, which tells in `Run.scores` what held-out cells say, and 0.2 for the others.
    solver
        ``"descent"`` (coordinate descent), ``"fista"``, or ``"reference"`` with the restart rule of the
        reference program.
    sample_key
        Column of ``adata.obs``: cells of different samples never signal to each other.
    seed
        Seed of the folds and of the subset of targets for the choice of the penalty.
    threads
        Threads of the kernels, 0 for all cores. The result does not depend on it.
    kernel, cutoff, ligand_method, rtol
        Kernel of the received ligands and how it is summed; see `cytoripple.kernels.received_ligands`.
    scale_factor
        Factor on received ligands.
    max_ligands
        Keep only the ligands with the largest mean expression.
    use_tf, use_lr, use_tfl
        Which groups of columns take part.
    extra_modulators, extra_lr
        Further genes, and further pairs as ``"L$R"`` or ``(L, R)``.
    tf_priors
        Table ``source, target, cell_type``: allowed regulators per cell type.
    cell_thresholds
        Cells x genes with their names; entries not above 0 neither send nor sense in ligand-receptor
        columns, nor do genes without a column.
    condition
        Column of ``adata.obs``: train every group of cells separately; see `Run.conditions`.
    tol, max_iter, scale_reg
        Relative duality gap (by default 1e-8 for ``"joint"``, 1e-6 for ``"sgl"``), iteration limit, and the
        weights of the groups.
    cv_folds
        Folds of the cross-validation, also for the held-out R2; 0 for none (needs given penalties).
    max_genes
        Train only the first targets in the order of the data.
    min_expression
        Ligands and receptors count as absent unless above it.
    species
        Overrides what the gene names say.
    spatial_key
        Key of ``adata.obsm``; the usual ones are tried when ``None``.
    betadata_format
        File format of the coefficients.
    stale_lock_secs
        Age after which the claim of a process on another machine is taken over; 0 for never.
    join
        Work on an existing run with its settings; those given here are ignored with a note.
    progress
        Observer, or ``"auto"``, ``"bar"``, ``"notebook"``, ``"json"``; silent by default.

    Returns
    -------
    The opened run directory.

    Raises
    ------
    LayerError, ClusterError, CoordinatesError, InputError
        The data cannot be used.
    GeneMatchError
        Data and network share too little, or targets are unknown.
    SettingsError
        A setting is out of range.
    RunError
        `run_dir` belongs to other data or settings, or the disk is full.

    Examples
    --------
    >>> import cytoripple as ct
    >>> adata, network, truth = ct.datasets.toy_tissue()  # doctest: +SKIP
    >>> run = ct.tl.train_grn(
    ...     adata, network=network, run_dir="run", cluster_key="cell_type", layer="norm"
    ... )  # doctest: +SKIP
    >>> run.summary()["complete"]  # doctest: +SKIP
    True
    """
    settings = Settings().with_overrides(
        {
            "data.layer": layer,
            "data.cluster_annot": cluster_key,
            "data.condition": condition,
            "data.spatial_key": spatial_key,
            "data.sample_key": sample_key,
            "data.species": species,
            "spatial.radius": radius,
            "spatial.contact_distance": contact_distance,
            "spatial.weighted_ligand_scale_factor": scale_factor,
            "spatial.kernel": kernel,
            "spatial.cutoff": cutoff,
            "spatial.ligand_method": ligand_method,
            "spatial.rtol": rtol,
            "grn.tf_ligand_cutoff": tf_ligand_cutoff,
            "grn.max_ligands": max_ligands,
            "grn.use_tf_modulators": use_tf,
            "grn.use_lr_modulators": use_lr,
            "grn.use_tfl_modulators": use_tfl,
            "grn.extra_modulators": tuple(extra_modulators),
            "grn.extra_lr": tuple(pair if isinstance(pair, str) else "$".join(pair) for pair in extra_lr),
            "grn.min_expression": min_expression,
            "training.estimator": estimator,
            "training.noise_correction": noise_correction,
            "lasso.kappa": kappa,
            "lasso.dense_share": dense_share,
            "lasso.group_reg": group_reg,
            "lasso.l1_reg": l1_reg,
            "lasso.scale_reg": scale_reg,
            "lasso.solver": solver,
            "lasso.n_iter": max_iter,
            "lasso.tol": tol,
            "training.score_threshold": score_threshold,
            "training.genes": None if targets is None else tuple(targets),
            "training.max_genes": max_genes,
            "training.cv_folds": cv_folds,
            "training.seed": seed,
            "execution.threads": threads,
            "execution.stale_lock_secs": stale_lock_secs,
            "execution.betadata_format": betadata_format,
        },
        where="the arguments",
    )
    return train_with(
        adata,
        settings,
        network=network,
        run_dir=run_dir,
        tf_priors=tf_priors,
        cell_thresholds=cell_thresholds,
        join=join,
        progress=progress,
    )


def train_with(
    adata: AnnData,
    settings: Settings,
    *,
    network: Network | str | Path | pd.DataFrame | None = None,
    run_dir: str | Path,
    tf_priors: pd.DataFrame | str | Path | None = None,
    cell_thresholds: pd.DataFrame | None = None,
    join: bool = False,
    progress: ProgressName | Progress | None = None,
) -> Run:
    """Train with a `Settings` object; see `train_grn` for the arguments.

    `network` and `tf_priors` win over the files named in the settings.
    """
    run_dir = Path(run_dir).expanduser()
    settings = resolve_estimator(resolve_lists(settings))
    if join:
        if settings.data.condition is not None:
            raise SettingsError("join cannot be combined with a condition: join one of the group directories")
        settings = joined_settings(run_dir, settings)
    data = settings.data
    tissue = read_tissue(
        adata,
        cluster_key=data.cluster_annot,
        layer=data.layer,
        spatial_key=data.spatial_key,
        sample_key=data.sample_key,
    )
    tissue = with_size_factors(adata, tissue, settings)
    inputs = Inputs(network=network, tf_priors=tf_priors, cell_thresholds=cell_thresholds)
    if data.condition is not None:
        return train_conditions(adata.obs, tissue, settings, inputs, run_dir, progress)
    return train_tissue(tissue, settings, inputs, run_dir, join=join, progress=progress)
