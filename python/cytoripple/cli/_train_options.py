"""Options of ``cytoripple train``. Names follow the reference's where the meaning is the same."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

OutputDir = Annotated[
    Path | None, typer.Option("--output-dir", "-o", help="Run directory; default {tissue}_{date}.")
]
Genes = Annotated[str | None, typer.Option("--genes", metavar="A,B", help="Train these.")]
MaxGenes = Annotated[int | None, typer.Option("--max-genes", min=1, help="Train the first N.")]
TopVariable = Annotated[
    int | None,
    typer.Option("--top-variable", min=1, help="Train the N most variable genes that have a regulator."),
]
Radius = Annotated[
    float | None,
    typer.Option("--radius", help="Reach of secreted ligands, in units of the coordinates."),
]
Contact = Annotated[float | None, typer.Option("--contact-distance", help="Reach of contact ligands.")]
Kernel = Annotated[
    str | None,
    typer.Option("--kernel", metavar="NAME", help="gaussian, gaussian_truncated or gaussian_cutoff."),
]
Cutoff = Annotated[float | None, typer.Option("--cutoff", help="Largest distance of gaussian_cutoff.")]
Method = Annotated[
    str | None,
    typer.Option("--ligand-method", metavar="NAME", help="auto, direct, mesh or anchors."),
]
LigandScale = Annotated[
    float | None,
    typer.Option("--weighted-ligand-scale-factor", help="Factor on received ligands."),
]
Estimator = Annotated[
    str | None,
    typer.Option("--estimator", metavar="NAME", help="joint (default), sgl or reference."),
]
Kappa = Annotated[
    str | None,
    typer.Option("--kappa", metavar="cv|X", help="Multiplier of the penalty; cv chooses it."),
]
NoiseCorrection = Annotated[
    bool | None,
    typer.Option(
        "--noise-correction/--no-noise-correction",
        help="Take the noise of counting out of the fit; default: where counts are there.",
    ),
]
GroupReg = Annotated[
    str | None,
    typer.Option("--group-reg", metavar="cv|X", help="Group penalty on raw columns (sgl)."),
]
L1Reg = Annotated[
    str | None,
    typer.Option("--l1-reg", metavar="cv|X", help="L1 penalty on raw columns (sgl)."),
]
DenseShare = Annotated[
    float | None,
    typer.Option(
        "--dense-share", metavar="X", help="Share of a ridge in the coefficients (joint); 0: sparse."
    ),
]
Solver = Annotated[str | None, typer.Option("--solver", metavar="NAME", help="descent or fista.")]
NIter = Annotated[int | None, typer.Option("--n-iter", help="Most iterations of a fit.")]
Tol = Annotated[float | None, typer.Option("--tol", help="Tolerance of the duality gap.")]
Score = Annotated[
    float | None,
    typer.Option("--score-threshold", help="Clusters with a lower R2 get no coefficients."),
]
CvFolds = Annotated[int | None, typer.Option("--cv-folds", help="Spatial blocks held out.")]
TfLigand = Annotated[
    float | None,
    typer.Option("--tf-ligand-cutoff", help="Least weight of a ligand-TF edge."),
]
MaxLigands = Annotated[
    int | None,
    typer.Option("--max-ligands", "--max-lr-pairs", help="Keep the N most expressed."),
]
ExtraModulators = Annotated[
    str | None,
    typer.Option("--extra-modulators", metavar="A,B", help="Further modulators."),
]
ExtraLr = Annotated[str | None, typer.Option("--extra-lr", metavar="L$R,..", help="Further pairs.")]
TfPrior = Annotated[
    Path | None,
    typer.Option("--tf-prior", metavar="FILE", help="Allowed TFs per gene and cell type."),
]
Condition = Annotated[
    str | None,
    typer.Option("--condition", metavar="COLUMN", help="Train each group alone."),
]
Join = Annotated[
    Path | None,
    typer.Option("--join-output-dir", metavar="DIR", help="Help a run that another process leads."),
]
Seed = Annotated[int | None, typer.Option("--seed", min=0, help="Seed of the folds.")]
BetaFormat = Annotated[
    str | None,
    typer.Option("--betadata-format", metavar="NAME", help="feather, parquet or csv."),
]
StaleLocks = Annotated[
    float | None,
    typer.Option("--stale-lock-secs", help="Age after which another's claim lapses."),
]

# Where each option goes in the settings. Penalties and lists are converted first.
SETTINGS = {
    "h5ad": "data.adata_path", "layer": "data.layer", "cluster_key": "data.cluster_annot",
    "condition": "data.condition", "spatial_key": "data.spatial_key", "sample_key": "data.sample_key",
    "species": "data.species", "radius": "spatial.radius", "contact_distance": "spatial.contact_distance",
    "ligand_scale": "spatial.weighted_ligand_scale_factor", "kernel": "spatial.kernel",
    "cutoff": "spatial.cutoff",
    "ligand_method": "spatial.ligand_method", "network": "grn.network", "tf_prior": "grn.tf_priors_feather",
    "tf_ligand_cutoff": "grn.tf_ligand_cutoff", "max_ligands": "grn.max_ligands",
    "extra_modulators": "grn.extra_modulators", "extra_lr": "grn.extra_lr",
    "estimator": "training.estimator", "noise_correction": "training.noise_correction",
    "kappa": "lasso.kappa", "dense_share": "lasso.dense_share", "group_reg": "lasso.group_reg",
    "l1_reg": "lasso.l1_reg", "solver": "lasso.solver", "n_iter": "lasso.n_iter", "tol": "lasso.tol",
    "score_threshold": "training.score_threshold", "genes": "training.genes",
    "max_genes": "training.max_genes",
    "cv_folds": "training.cv_folds", "seed": "training.seed", "output_dir": "execution.output_dir",
    "threads": "execution.threads", "stale_lock_secs": "execution.stale_lock_secs",
    "betadata_format": "execution.betadata_format",
}  # fmt: skip
