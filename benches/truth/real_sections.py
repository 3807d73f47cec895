"""Which estimator generalizes on real sections: held-out R2 without smoothing, around the mean of the type.

Run ``python benches/truth/real_sections.py [section ...]``; it needs the real tissues (CYTORIPPLE_SHARED,
else ../shared). Protocol: 60 over-dispersed targets detected in more than 30 % of the spots with at least
three regulators, regulators and receptors detected in more than 10 %, the 25 most expressed ligands, a radius
of two array units, types with at least 30 spots, four outer folds of 3 x 3 blocks. The penalty is chosen
inside the training part of each fold.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import anndata
import numpy as np
from numpy.typing import NDArray

import cytoripple as ct
from cytoripple._anndata import Tissue, read_tissue
from cytoripple._progress import showing
from cytoripple._settings import Settings
from cytoripple.grn.counts import with_size_factors
from cytoripple.grn.estimator import resolve_estimator
from cytoripple.grn.fit import Fitter
from cytoripple.grn.penalty import choose_kappa
from cytoripple.grn.plan import Plan, plan_training
from cytoripple.io.network import Network

SECTIONS = {
    "mob": "mouse_network_dorothea.parquet",
    "her2st_A1": "human_network.parquet",
    "her2st_G2": "human_network.parquet",
}
ESTIMATORS: dict[str, dict[str, object]] = {
    "reference": {"training.estimator": "reference"},
    "sgl": {"training.estimator": "sgl"},
    "joint, no noise": {"training.estimator": "joint", "training.noise_correction": False},
    "joint": {"training.estimator": "joint"},
}
N_TARGETS, N_LIGANDS, N_OUTER, FEWEST_SPOTS = 60, 25, 4, 30


def shared() -> Path:
    """Folder of the real tissues."""
    return Path(os.environ.get("CYTORIPPLE_SHARED", "../shared")) / "data"


def section(name: str) -> tuple[anndata.AnnData, Network, list[str]]:
    """Read a section, normalized, with the genes that take part, its network, and the targets."""
    adata = ct.io.read(shared() / f"{name}.h5ad")
    ct.pp.normalize(adata)
    network = ct.io.read_network(shared() / "networks" / SECTIONS[name]).restrict(adata.var_names)
    values = adata.layers["normalized_count"]
    values = values.toarray() if hasattr(values, "toarray") else np.asarray(values)
    detected = dict(zip(adata.var_names, (values > 0).mean(axis=0), strict=True))
    mean = values.mean(axis=0)
    dispersion = dict(zip(adata.var_names, values.var(axis=0) / np.maximum(mean, 1e-9), strict=True))
    level = dict(zip(adata.var_names, mean, strict=True))
    tf = network.tf[network.tf["source"].map(detected) > 0.1]
    lr = network.lr[network.lr["receptor"].map(detected) > 0.1]
    ligands = sorted(set(lr["ligand"]), key=lambda gene: -level[gene])[:N_LIGANDS]
    lr = lr[lr["ligand"].isin(ligands)]
    tfl = network.tfl[network.tfl["ligand"].isin(ligands) & (network.tfl["tf"].map(detected) > 0.1)]
    regulators = tf.groupby("target", observed=True)["source"].nunique()
    eligible = [gene for gene in regulators.index[regulators >= 3] if detected[gene] > 0.3]
    targets = sorted(eligible, key=lambda gene: -dispersion[gene])[:N_TARGETS]
    tf = tf[tf["target"].isin(targets)]
    return adata, replace(network, tf=tf, lr=lr, tfl=tfl), targets


def outer_folds(xy: NDArray[np.float64], seed: int = 0) -> NDArray[np.int64]:
    """Fold of each spot: blocks of 3 x 3 spots."""
    blocks = np.unique(np.floor(xy / 3.0).astype(np.int64), axis=0, return_inverse=True)[1].reshape(-1)
    return np.random.default_rng(seed).permutation(blocks.max() + 1)[blocks] % N_OUTER


def predict(fitter: Fitter, fit: Any, clusters: NDArray[np.int64]) -> NDArray[np.float64]:
    """Prediction of a fitted target in the spots of known type."""
    found = np.where(clusters >= 0, fit.intercept[clusters], np.nan)
    for position in np.flatnonzero(fit.coef.any(axis=0)):
        name = fit.modulators.names[position]
        found += fitter.column(name) * np.where(clusters >= 0, fit.coef[clusters, position], 0.0)
    return found


def held_out(
    plan: Plan, types: NDArray[np.int64], targets: list[str]
) -> tuple[NDArray[np.float64], list[float]]:
    """Held-out R2 of every target over all outer folds, and the multipliers that were chosen."""
    tissue = plan.tissue
    folds = outer_folds(tissue.xy)
    y = tissue.columns(targets)
    error, spread, kappas = np.zeros(len(targets)), np.zeros(len(targets)), []
    for fold in range(N_OUTER):
        train = np.where(folds == fold, -1, types)
        with showing(None) as quiet, tempfile.TemporaryDirectory() as folder:
            fitter = Fitter(replace(plan, tissue=replace(tissue, clusters=train)), quiet)
            kappa = dense_share = None
            if plan.settings.lasso.chosen:
                choice = choose_kappa(fitter, targets, Path(folder), quiet)
                kappa, dense_share = choice["kappa"], choice["dense_share"]
                kappas.append(kappa)
            fits = fitter.fit(targets, kappa, dense_share)
        test = (folds == fold) & (types >= 0)
        means = np.array([y[train == c].mean(axis=0) if (train == c).any() else y.mean(axis=0)
                          for c in range(types.max() + 1)])  # fmt: skip
        for j, fit in enumerate(fits):
            error[j] += ((y[test, j] - predict(fitter, fit, types)[test]) ** 2).sum()
            spread[j] += ((y[test, j] - means[types[test], j]) ** 2).sum()
    return 1.0 - error / spread, kappas


def prepared(adata: anndata.AnnData, settings: Settings) -> tuple[Tissue, NDArray[np.int64]]:
    """Tissue as the estimator sees it, and the types that are large enough (-1 for others)."""
    tissue = read_tissue(adata, cluster_key="cell_type", layer="normalized_count")
    sizes = np.bincount(tissue.clusters)
    types = np.where(sizes[tissue.clusters] >= FEWEST_SPOTS, tissue.clusters, -1)
    return with_size_factors(adata, tissue, settings), types


def main(names: list[str]) -> None:
    """Print one line per section and estimator."""
    for name in names:
        adata, network, targets = section(name)
        for label, overrides in ESTIMATORS.items():
            shape = {"spatial.radius": 2.0, "spatial.contact_distance": 2.0, "training.genes": tuple(targets)}
            settings = resolve_estimator(Settings().with_overrides(shape | overrides))
            tissue, types = prepared(adata, settings)
            plan = plan_training(tissue, settings, network=network)
            start = time.process_time()
            r2, kappas = held_out(plan, types, targets)
            floored = np.maximum(r2, -5.0)
            figures = f"mean {floored.mean():7.4f} median {np.median(r2):7.4f} above 0 {(r2 > 0).mean():4.0%}"
            cost = f"{time.process_time() - start:.1f} s CPU"
            print(f"{name:10s} {label:16s} {figures}  kappa {kappas}  {cost}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:] or list(SECTIONS))
