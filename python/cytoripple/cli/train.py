"""``cytoripple train``: fit a spatial gene regulatory network."""

from __future__ import annotations

from typing import Any

from cytoripple.cli import _options as opt
from cytoripple.cli import _train_options as t
from cytoripple.cli._shell import Shell, command, progress_name

EXAMPLE = (
    "Example: cytoripple train --h5ad tissue.h5ad --network mouse_network.parquet "
    "--layer normalized_count --cluster-key cell_type --top-variable 1000 --output-dir run"
)


@command
def train(
    h5ad: opt.H5ad = None,
    network: opt.NetworkFile = None,
    output_dir: t.OutputDir = None,
    config: opt.Config = None,
    layer: opt.Layer = None,
    cluster_key: opt.ClusterKey = None,
    sample_key: opt.SampleKey = None,
    spatial_key: opt.SpatialKey = None,
    species: opt.Species = None,
    genes: t.Genes = None,
    max_genes: t.MaxGenes = None,
    top_variable: t.TopVariable = None,
    radius: t.Radius = None,
    contact_distance: t.Contact = None,
    kernel: t.Kernel = None,
    cutoff: t.Cutoff = None,
    ligand_method: t.Method = None,
    ligand_scale: t.LigandScale = None,
    coordinate_scale: opt.CoordinateScale = None,
    estimator: t.Estimator = None,
    kappa: t.Kappa = None,
    dense_share: t.DenseShare = None,
    noise_correction: t.NoiseCorrection = None,
    group_reg: t.GroupReg = None,
    l1_reg: t.L1Reg = None,
    solver: t.Solver = None,
    n_iter: t.NIter = None,
    tol: t.Tol = None,
    score_threshold: t.Score = None,
    cv_folds: t.CvFolds = None,
    tf_ligand_cutoff: t.TfLigand = None,
    max_ligands: t.MaxLigands = None,
    extra_modulators: t.ExtraModulators = None,
    extra_lr: t.ExtraLr = None,
    tf_prior: t.TfPrior = None,
    condition: t.Condition = None,
    join_output_dir: t.Join = None,
    seed: t.Seed = None,
    betadata_format: t.BetaFormat = None,
    stale_lock_secs: t.StaleLocks = None,
    threads: opt.Threads = None,
    json_output: opt.Json = False,
    progress: opt.ShowProgress = "auto",
    debug: opt.Debug = False,
) -> None:
    """Train a spatial gene network.

    Fits, per target gene and cell cluster, how expression depends on TFs and received ligands.
    """
    flags: dict[str, Any] = dict(locals())
    from cytoripple.cli._train_job import run_training

    run_training(flags, Shell(json_output, progress_name(progress)))
