"""Kernels on plain arrays: NumPy in, NumPy out. `cytoripple.tl` is built on them.

Arguments are checked here (dtype, shape, finiteness, with messages that name the argument), then one
native call does the work without the interpreter lock.
"""

from __future__ import annotations

from cytoripple.kernels.deconvolution import deconvolve
from cytoripple.kernels.joint import ColumnNoise, JointSparseGroupLasso, joint_sparse_group_lasso
from cytoripple.kernels.lasso import SparseGroupLasso, sparse_group_lasso
from cytoripple.kernels.ligands import ReceivedPlan, Verification, received_ligands
from cytoripple.kernels.neighbors import nearest_neighbors
from cytoripple.kernels.noise import counting_noise_variance
from cytoripple.kernels.perturb import PropagationRules, Reevaluated, RegulatoryModel, TargetModel
from cytoripple.kernels.training import BatchFit, SpatialDesign
from cytoripple.kernels.wilcoxon import RankSums, benjamini_hochberg, wilcoxon

__all__ = [
    "BatchFit",
    "ColumnNoise",
    "JointSparseGroupLasso",
    "PropagationRules",
    "RankSums",
    "ReceivedPlan",
    "Reevaluated",
    "RegulatoryModel",
    "SparseGroupLasso",
    "SpatialDesign",
    "TargetModel",
    "Verification",
    "benjamini_hochberg",
    "counting_noise_variance",
    "deconvolve",
    "joint_sparse_group_lasso",
    "nearest_neighbors",
    "received_ligands",
    "sparse_group_lasso",
    "wilcoxon",
]
