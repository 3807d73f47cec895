"""Simulate a perturbation: its effect on every gene of every cell, through regulation and signals."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cytoripple._progress import Progress, ProgressName, showing
from cytoripple.perturb.betabase import Betabase
from cytoripple.perturb.engine import (
    Clock,
    Options,
    allowed,
    check_targets,
    request,
    simulate,
    thresholds,
)
from cytoripple.perturb.fitted import Kernel, Preset, Propagation
from cytoripple.perturb.record import record
from cytoripple.perturb.scope import Scope
from cytoripple.perturb.signals import given_signal, plan_signals, received
from cytoripple.perturb.store import store_layers

if TYPE_CHECKING:
    from anndata import AnnData

    from cytoripple._anndata import Tissue
    from cytoripple.io.run import Run
    from cytoripple.kernels.ligands import MethodName
    from cytoripple.perturb.bind import BoundModel

log = logging.getLogger(__name__)


def perturb(
    adata: AnnData,
    run: Betabase | Run | str | Path,
    targets: Mapping[str, float],
    *,
    cells: Scope | Mapping[str, Scope] = None,
    propagation: Propagation | None = None,
    n_propagation: int | None = None,
    to_fixed_point: bool = False,
    preset: Preset = "cytoripple",
    ligand_method: MethodName = "auto",
    rtol: float = 1e-6,
    key_added: str = "perturbation",
    copy: bool = False,
    beta_scale_factor: float = 1.0,
    beta_cap: float | None = None,
    cell_thresholds: pd.DataFrame | None = None,
    allowed_tfs: Mapping[str, Collection[str]] | None = None,
    cluster_key: str | None = None,
    layer: str | None = None,
    spatial_key: str | None = None,
    sample_key: str | None = None,
    radii: Mapping[str, float] | None = None,
    radius: float | None = None,
    contact_distance: float | None = None,
    kernel: Kernel | None = None,
    scale_factor: float | None = None,
    threads: int = 0,
    progress: ProgressName | Progress | None = None,
) -> AnnData | None:
    """Set genes to given values in some cells and let the change run through the tissue.

    Parameters
    ----------
    adata
        Cells x genes, the data of the training.
    run
        Run directory, `Run`, `Betabase`, or a plain folder of betadata whose settings follow as keywords.
    targets
        Value of each perturbed gene, >= 0, in units of the layer: 0 knocks out. All act together.
    cells
        Where: None (everywhere), a mask, positions, obs names, a cluster label or a list of them, or
        ``(Path, column)`` of a CSV of obs names; or one of these for each target as a mapping.
    propagation
        ``"reevaluate"``: every step evaluates the fitted models anew, with the signals that the cells receive
        in the state reached, and adds the difference to the data. ``"linear"``: derivatives of the models,
        taken one step behind. None: re-evaluation, or derivatives under a preset of another implementation.
    n_propagation
        Steps of propagation. After n steps a gene carries every regulatory path of at most n edges from the
        targets; 0 only sets the targets. None: 4 rounds of re-evaluation, which end early when no entry
        changes by 0.001 any more, or 3 steps along derivatives.
    to_fixed_point
        Re-evaluate, with damping, up to 30 rounds to the state that reproduces itself.
    preset
        ``"cytoripple"``: targets stay at their value in all steps, ligand signals follow the change.
        ``"python"`` and ``"rust"``: the rules of the two implementations of SpaceTravLR, with their kernel
        where none is recorded; ``"rust"`` ignores `cell_thresholds`.
    ligand_method, rtol
        How received ligands are computed and their relative error, see `cytoripple.kernels.received_ligands`.
    key_added
        Name of the result.
    copy
        Return a modified copy and leave `adata` as it is.
    beta_scale_factor, beta_cap
        Factor of the ligand terms, and the largest absolute derivative (for ``propagation="linear"``).
    cell_thresholds
        Data frame cells x genes; where it is 0 a gene neither signals as a ligand nor receives as a receptor.
        Genes that it does not name are not restricted.
    allowed_tfs
        TFs that may act on a target, by target; other targets are not restricted.
    cluster_key, layer, spatial_key, sample_key, radii, radius, contact_distance, kernel, scale_factor
        What a plain folder does not record, see `Betabase.open`. `radii` gives the radius of each ligand,
        `radius` one for all, both in units of the coordinates; `contact_distance` is the cut-off of the
        kernel ``gaussian_cutoff``.
    threads
        Threads, 0 for all cores. The result is the same bit for bit.
    progress
        ``"bar"``, ``"notebook"``, ``"json"`` or an observer.

    Returns
    -------
    None, or a modified copy when ``copy=True``. Adds

    ``adata.layers[key_added]``
        Simulated expression; equal to the source layer except in genes that changed. Sparse when the source
        is, float32 when the source is, else float64.
    ``adata.layers[key_added + "_delta"]``
        Simulated minus original expression, in the same form. Sizes are relative: fitted models predict
        changes that are several times too small, so compare ranks and signs, not fold changes.
    ``adata.uns[key_added]``
        ``magnitude`` (``"relative"``), parameters after defaults, ``convergence`` of a re-evaluation,
        ``held_out_r2`` of the targets that change (where the run recorded it), versions, input hash, timings
        and a summary.

    Raises
    ------
    GeneMatchError
        A perturbed gene is not in the data; the nearest names are offered.
    InputError
        A value is out of range, no cell is selected, or the propagation does not go with the preset.
    RunError
        The data or a keyword disagree with what the run recorded.

    See Also
    --------
    splash, cytoripple.perturb.summary.affected_genes

    References
    ----------
    The propagation of derivatives follows SpaceTravLR and CellOracle (Kamimoto et al. 2023).

    Examples
    --------
    >>> ct.tl.perturb(adata, "run", {"Tgfb1": 0.0}, cells="tumor")  # doctest: +SKIP
    >>> ct.tl.perturb(adata, "run", {"Tgfb1": 0.0}, preset="python", n_propagation=4)  # doctest: +SKIP
    """
    options = Options.chosen(
        preset=preset,
        propagation=propagation,
        n_propagation=n_propagation,
        to_fixed_point=to_fixed_point,
        beta_scale_factor=beta_scale_factor,
        beta_cap=beta_cap,
        ligand_method=ligand_method,
        rtol=rtol,
        threads=threads,
    )
    check_targets(targets, adata.var_names)
    clock = Clock()
    base = Betabase.open(
        run,
        cluster_key=cluster_key,
        layer=layer,
        spatial_key=spatial_key,
        sample_key=sample_key,
        radii=radii,
        radius=radius,
        contact_distance=contact_distance,
        kernel=kernel,
        scale_factor=scale_factor,
    ).for_preset(preset)
    tissue = base.fitted.read(adata)
    wanted = request(targets, cells, tissue)
    mask = thresholds(cell_thresholds, base.fitted, tissue, preset)
    clock.lap("load")
    with showing(progress) as bar:
        outcome = simulate(
            base, tissue, wanted, options, mask=mask, allowed_tfs=allowed_tfs, clock=clock, bar=bar
        )
    result = adata.copy() if copy else adata
    store_layers(result, layer=tissue.layer, key=key_added, outcome=outcome)
    clock.lap("store")
    result.uns[key_added] = record(base, tissue, wanted, options, outcome, clock, masked=mask is not None)
    log.info("%d genes changed in %.2f s", len(outcome.columns), sum(clock.laps.values()))
    return result if copy else None


def splash(
    adata: AnnData,
    run: Betabase | Run | str | Path,
    target: str,
    *,
    beta_scale_factor: float = 1.0,
    beta_cap: float | None = None,
    preset: Preset = "cytoripple",
    received_ligands: pd.DataFrame | None = None,
    received_tfl: pd.DataFrame | None = None,
    ligand_method: MethodName = "auto",
    rtol: float = 1e-6,
    cell_thresholds: pd.DataFrame | None = None,
    allowed_tfs: Collection[str] | None = None,
    cluster_key: str | None = None,
    layer: str | None = None,
    spatial_key: str | None = None,
    sample_key: str | None = None,
    radii: Mapping[str, float] | None = None,
    radius: float | None = None,
    contact_distance: float | None = None,
    kernel: Kernel | None = None,
    scale_factor: float | None = None,
    threads: int = 0,
) -> pd.DataFrame:
    """Differentiate a target gene with respect to its modulators, in every cell.

    Parameters
    ----------
    adata
        Cells x genes, the data of the training.
    run
        Run directory, `Run`, `Betabase`, or a plain folder of betadata whose settings follow as keywords.
    target
        Gene with coefficients.
    beta_scale_factor
        Factor of every term but that of a TF.
    beta_cap
        Largest absolute derivative, after all terms of a modulator are summed. None: no limit.
    preset
        Decides the kernel where none is recorded, and whether `cell_thresholds` is used (not by ``"rust"``).
    received_ligands, received_tfl
        Data frames cells x ligands to use instead of the signals of the tissue: for ligand-receptor pairs,
        and for ligand-regulator pairs (the same as `received_ligands` when left out).
    ligand_method, rtol, cell_thresholds, threads
        As for `perturb`.
    allowed_tfs
        TFs whose own term counts; None: all.
    cluster_key, layer, spatial_key, sample_key, radii, radius, contact_distance, kernel, scale_factor
        What a plain folder does not record, as for `perturb`.

    Returns
    -------
    Data frame cells x modulators, float64, expression of the target per expression of the modulator. Columns
    are ``beta_{gene}``, sorted by gene; a gene with several roles has the sum of its terms.

    Raises
    ------
    InputError
        The target has no coefficients; the nearest names are offered.
    RunError
        The data or a keyword disagree with what the run recorded.

    See Also
    --------
    perturb

    Examples
    --------
    >>> ct.tl.splash(adata, "run", "Il10").mean()  # doctest: +SKIP
    """
    options = Options(
        preset=preset,
        propagation="linear",
        beta_scale_factor=beta_scale_factor,
        beta_cap=beta_cap,
        ligand_method=ligand_method,
        rtol=rtol,
        threads=threads,
    )
    base = Betabase.open(
        run,
        genes=[target],
        cluster_key=cluster_key,
        layer=layer,
        spatial_key=spatial_key,
        sample_key=sample_key,
        radii=radii,
        radius=radius,
        contact_distance=contact_distance,
        kernel=kernel,
        scale_factor=scale_factor,
    ).for_preset(preset)
    modulators = base.table(target).modulator_genes
    tissue = base.fitted.read(adata)
    mask = thresholds(cell_thresholds, base.fitted, tissue, preset)
    bound = base.bind(tissue, targets=[target], keep_missing=True)
    filtered, lr, tfl = _inputs(base, bound, tissue, options, mask, received_ligands, received_tfl)
    axis = {gene: place for place, gene in enumerate(bound.genes)}
    values = bound.model.splash(
        0,
        filtered,
        lr,
        tfl,
        modulators=np.array([axis[gene] for gene in modulators], dtype=np.int64),
        beta_scale_factor=beta_scale_factor,
        beta_cap=beta_cap,
        allowed_tfs=None if allowed_tfs is None else allowed({target: allowed_tfs}, base, bound),
        threads=threads,
    )
    return pd.DataFrame(values, index=tissue.obs_names, columns=[f"beta_{gene}" for gene in modulators])


def _inputs(
    base: Betabase,
    bound: BoundModel,
    tissue: Tissue,
    options: Options,
    mask: NDArray[np.bool_] | None,
    given_lr: pd.DataFrame | None,
    given_tfl: pd.DataFrame | None,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Give filtered expression and the ligands received for receptors and for regulators."""
    raw = bound.expression(tissue)
    raw[raw <= base.fitted.min_expression] = 0.0
    # the mask restricts ligands and receptors of ligand-receptor pairs, not the ligands of regulators
    filtered = raw if mask is None else raw * _axis_mask(mask, bound.positions)
    if given_lr is not None:
        lr = tfl = given_signal("received_ligands", given_lr, bound, tissue)
    else:
        plans, scale = plan_signals(bound, base.fitted, tissue, options), base.fitted.scale_factor or 1.0
        lr = tfl = received(plans, raw[:, bound.ligand_genes], scale=scale, threads=options.threads)
        if mask is not None:
            lr = received(plans, filtered[:, bound.ligand_genes], scale=scale, threads=options.threads)
    if given_tfl is not None:
        tfl = given_signal("received_tfl", given_tfl, bound, tissue)
    return filtered, lr, tfl


def _axis_mask(mask: NDArray[np.bool_], positions: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Mask on a gene axis; genes that are not in the data have no expression to mask."""
    return np.where(positions >= 0, mask[:, positions], True)
