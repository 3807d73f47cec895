"""Virtual cell: data, baselines and metrics of perturbation prediction."""

from __future__ import annotations

from importlib import import_module

_HOME = {
    "BASELINES": "cytoripple.vc.baselines",
    "Block": "cytoripple.vc.baselines",
    "BlockStream": "cytoripple.vc.baselines",
    "Ceiling": "cytoripple.vc.split_half",
    "Comparison": "cytoripple.vc.comparison",
    "DEDetails": "cytoripple.vc.training_metrics",
    "DatasetSpec": "cytoripple.vc.dataset",
    "Evaluation": "cytoripple.vc.evaluation",
    "GeneMap": "cytoripple.vc.genes",
    "GeneResolver": "cytoripple.vc.genes",
    "GroupIndex": "cytoripple.vc.sampling",
    "H5adRows": "cytoripple.vc.store",
    "NormReport": "cytoripple.vc.guard",
    "Resolution": "cytoripple.vc.genes",
    "RowStore": "cytoripple.vc.store",
    "RunningMean": "cytoripple.vc.training_metrics",
    "SetSampler": "cytoripple.vc.sampling",
    "Sets": "cytoripple.vc.sampling",
    "SplitTable": "cytoripple.vc.splits",
    "Splits": "cytoripple.vc.splits",
    "SubmissionReport": "cytoripple.vc.submission",
    "baseline": "cytoripple.vc.baselines",
    "ceiling": "cytoripple.vc.split_half",
    "compare": "cytoripple.vc.comparison",
    "compute_de": "cytoripple.vc.training_metrics",
    "compute_mae": "cytoripple.vc.training_metrics",
    "compute_pds": "cytoripple.vc.training_metrics",
    "context_mean": "cytoripple.vc.baselines",
    "control_cells": "cytoripple.vc.baselines",
    "control_mean": "cytoripple.vc.baselines",
    "derangement": "cytoripple.vc.baselines",
    "eval_slice": "cytoripple.vc.sampling",
    "evaluate": "cytoripple.vc.evaluation",
    "expression_state": "cytoripple.vc.guard",
    "file_blocks": "cytoripple.vc.submission",
    "fixed_pseudobulk": "cytoripple.vc.baselines",
    "gather_rows": "cytoripple.vc.store",
    "gene_map": "cytoripple.vc.genes",
    "global_mean": "cytoripple.vc.baselines",
    "global_mean_row": "cytoripple.vc.baselines",
    "harmonize_obs": "cytoripple.vc.dataset",
    "hvg_table": "cytoripple.vc.hvg",
    "normalize": "cytoripple.vc.guard",
    "normalize_adata": "cytoripple.vc.guard",
    "open_rows": "cytoripple.vc.store",
    "pack": "cytoripple.vc.store",
    "perturbation_mean": "cytoripple.vc.baselines",
    "random_counts": "cytoripple.vc.baselines",
    "rank_genes_perturbations": "cytoripple.vc.de",
    "read_dataset": "cytoripple.vc.dataset",
    "read_specs": "cytoripple.vc.dataset",
    "read_splits": "cytoripple.vc.splits",
    "read_submission": "cytoripple.vc.submission",
    "require_lognorm": "cytoripple.vc.guard",
    "select_hvgs": "cytoripple.vc.hvg",
    "write_report": "cytoripple.vc.report",
    "write_vcc": "cytoripple.vc.submission",
}
"""Where each public name lives; a module is loaded when a name of it is first used."""

__all__ = sorted(_HOME)  # noqa: PLE0605 - one table for the names and their modules


def __getattr__(name: str) -> object:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'cytoripple.vc' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
