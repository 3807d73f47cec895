"""Everything that is checked and decided before any work: data, network, targets, radii."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cytoripple._anndata import Tissue, cell_thresholds
from cytoripple._core import __version__
from cytoripple._errors import InputError
from cytoripple._names import find_genes, infer_species
from cytoripple._provenance import hash_array, hash_table, hash_tissue
from cytoripple._settings import Settings
from cytoripple.grn.lists import parse_gene_list, parse_lr_list
from cytoripple.grn.modulators import ModulatorIndex
from cytoripple.grn.overlap import overlap_report
from cytoripple.grn.priors import read_tf_priors
from cytoripple.io.network import Network, as_network, read_network
from cytoripple.io.run import RADII_FILE

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

_FEW_CELLS = 10


@dataclass(frozen=True)
class Plan:
    """A run that can start: all input is read and checked."""

    settings: Settings
    tissue: Tissue
    index: ModulatorIndex
    targets: tuple[str, ...]
    radii: dict[str, float]
    mask: NDArray[np.bool_] | None
    provenance: dict[str, Any]


def plan_training(
    tissue: Tissue,
    settings: Settings,
    *,
    network: Network | str | Path | pd.DataFrame | None,
    tf_priors: pd.DataFrame | str | Path | None = None,
    thresholds: pd.DataFrame | None = None,
) -> Plan:
    """Check the inputs against each other and decide what will be trained.

    Raises
    ------
    GeneMatchError
        Too little overlap between data and network, or unknown target genes (nearest names are given).
    InputError
        A list file, the priors or the thresholds cannot be used.
    """
    names = [str(name) for name in tissue.var_names]
    species = settings.data.species or infer_species(names)
    net = _network(network, settings, species)
    targets = choose_targets(names, settings)
    mask = None if thresholds is None else cell_thresholds(thresholds, tissue, absent=False)
    priors = _priors(tf_priors, settings)
    report = overlap_report(net, tissue.var_names, targets)
    log.info("%s", report.text())
    index = _index(net, tissue, settings, priors)
    grn = settings.grn
    radii = index.radii(settings.spatial.radius, settings.spatial.contact_distance)
    provenance: dict[str, Any] = {
        "version": __version__,
        "input_hash": hash_tissue(tissue),
        "n_cells": len(tissue.obs_names),
        "n_genes": len(names),
        "n_targets": len(targets),
        "network_name": Path(net.source).name or net.source,
        "network_hash": net.sha256,
        "species": species,
        **({"ligand_radii": RADII_FILE} if radii else {}),
        "kernel": settings.spatial.kernel,
        "seed": settings.training.seed,
        "cluster_labels": list(tissue.cluster_labels),
        "sample_labels": list(tissue.sample_labels),
        "extra_modulators": list(grn.extra_modulators),
        "extra_lr": list(grn.extra_lr),
    }
    if priors is not None:
        provenance["tf_priors_hash"] = hash_table(priors)
    if mask is not None:
        provenance["cell_thresholds_hash"] = hash_array(mask)
    if tissue.size_factors is not None:
        provenance["size_factors_hash"] = hash_array(tissue.size_factors)
    _say_small_clusters(tissue, settings)
    _say_smoothed(settings)
    return Plan(settings, tissue, index, tuple(targets), radii, mask, provenance)


def choose_targets(names: Sequence[str], settings: Settings) -> list[str]:
    """Target genes in the order of the data: those asked for, or all, cut to ``max_genes``.

    Raises
    ------
    GeneMatchError
        A gene that was asked for is not in the data.
    """
    wanted = settings.training.genes
    if wanted is None:
        targets = [name for name in names if not _unusable(name)]
        if len(targets) < len(names):
            odd = [name for name in names if _unusable(name)]
            log.warning(
                "%d genes are no targets because their names cannot be file names: %s", len(odd), odd[:5]
            )
    else:
        find_genes(wanted, names, what="target genes")
        odd = [gene for gene in wanted if _unusable(gene)]
        if odd:
            raise InputError(f"target genes {odd[:5]} cannot be file names: rename them without slashes")
        chosen = set(wanted)
        targets = [name for name in names if name in chosen]
    if settings.training.max_genes is not None:
        targets = targets[: settings.training.max_genes]
    if not targets:
        raise InputError("no target gene is left: check training.genes and training.max_genes")
    return targets


def resolve_lists(settings: Settings) -> Settings:
    """Read the list files of the settings into their lists (list first, then file), without repeats.

    Raises
    ------
    InputError
        A file cannot be read.
    """
    grn = settings.grn
    overrides: dict[str, object] = {}
    if grn.extra_modulators_file is not None:
        overrides["grn.extra_modulators"] = parse_gene_list(
            toml=grn.extra_modulators, file=grn.extra_modulators_file
        )
    if grn.extra_lr_file is not None:
        pairs = parse_lr_list(toml=grn.extra_lr, file=grn.extra_lr_file)
        overrides["grn.extra_lr"] = tuple("$".join(pair) for pair in pairs)
    return settings.with_overrides(overrides) if overrides else settings


def _unusable(name: str) -> bool:
    return "/" in name or "\\" in name or name.startswith(".")


def _network(
    network: Network | str | Path | pd.DataFrame | None, settings: Settings, species: Any
) -> Network:
    given = network if network is not None else settings.grn.network
    if given is not None:
        return as_network(given, species=species)
    return read_network(species=species, data_dir=settings.grn.network_data_dir)


def _priors(tf_priors: pd.DataFrame | str | Path | None, settings: Settings) -> pd.DataFrame | None:
    given = tf_priors if tf_priors is not None else settings.grn.tf_priors_feather
    return read_tf_priors(given) if isinstance(given, str | Path) else given


def _index(
    network: Network, tissue: Tissue, settings: Settings, priors: pd.DataFrame | None
) -> ModulatorIndex:
    grn = settings.grn
    means: Mapping[str, float] | None = None
    if grn.max_ligands is not None:
        values = np.asarray(tissue.expression.mean(axis=0)).reshape(-1)
        means = dict(zip(map(str, tissue.var_names), values.tolist(), strict=True))
    return ModulatorIndex(
        network,
        tissue.var_names,
        tf_ligand_cutoff=grn.tf_ligand_cutoff,
        max_ligands=grn.max_ligands,
        mean_expression=means,
        use_tf=grn.use_tf_modulators,
        use_lr=grn.use_lr_modulators,
        use_tfl=grn.use_tfl_modulators,
        extra_modulators=grn.extra_modulators,
        extra_lr=parse_lr_list(toml=grn.extra_lr),
        tf_priors=priors,
        tfl_exclude_ligand_regulators=grn.tfl_exclude_ligand_regulators,
    )


def _say_small_clusters(tissue: Tissue, settings: Settings) -> None:
    sizes = np.bincount(tissue.clusters, minlength=len(tissue.cluster_labels))
    small = [
        f"{tissue.cluster_labels[cluster]} ({sizes[cluster]})"
        for cluster in np.flatnonzero((sizes > 0) & (sizes < _FEW_CELLS))
    ]
    if small:
        joint = settings.training.estimator == "joint"
        log.warning(
            "clusters with fewer than %d cells %s: %s",
            _FEW_CELLS,
            "get no coefficients" if joint else "are fitted, but can hardly carry coefficients",
            ", ".join(small),
        )


def _say_smoothed(settings: Settings) -> None:
    if settings.training.estimator == "joint" and settings.data.layer == "imputed_count":
        log.warning(
            "layer 'imputed_count' is smoothed: R2 will look better, what is learned of neighbors worse. "
            "Train on log-normalized counts, e.g. layer='normalized_count'"
        )
