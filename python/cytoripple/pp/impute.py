"""Expression smoothed over similar cells of the same cluster."""

from __future__ import annotations

import logging
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from cytoripple import _anndata, _labels, _matrix
from cytoripple._errors import ClusterError, InputError
from cytoripple._progress import Progress, ProgressName, showing
from cytoripple.pp import _smoothing
from cytoripple.pp._record import record

if TYPE_CHECKING:
    from anndata import AnnData

log = logging.getLogger(__name__)

Method = Literal["diffusion", "knn"]
_NEIGHBORS = {"diffusion": 5, "knn": 15}


def impute(
    adata: AnnData,
    *,
    cluster_key: str,
    method: Method = "diffusion",
    layer: str = "normalized_count",
    sample_key: str | None = None,
    n_neighbors: int | None = None,
    n_components: int = 100,
    diffusion_time: int = 3,
    key_added: str = "imputed_count",
    seed: int = 0,
    threads: int = 0,
    progress: Progress | ProgressName | None = None,
    copy: bool = False,
) -> AnnData | None:
    """Replace every value by an average over similar cells, separately inside each cluster.

    Similar cells are near in the space of principal components of their cluster. Clusters of at most
    `n_neighbors` cells keep their values, which the log says.

    Parameters
    ----------
    adata
        Cells x genes, log-normalized.
    cluster_key
        Column of ``adata.obs``; cells of different clusters are never averaged.
    method
        ``"diffusion"`` spreads values over a neighbor graph (as MAGIC does), ``"knn"`` takes the plain mean
        over a cell and its `n_neighbors` nearest.
    layer
        Layer to smooth; ``"X"`` is ``adata.X``.
    sample_key
        Column of ``adata.obs`` with sections; cells of different sections are never averaged.
    n_neighbors
        None takes 5 for diffusion (the kernel's width is the distance to that neighbor, and it reaches three
        times as many) and 15 for knn. Larger values blur more.
    n_components
        Principal components at most.
    diffusion_time
        Steps of the diffusion; larger values blur more. Not used by knn.
    key_added
        Name of the new layer.
    seed
        Seed of the random start of the principal components.
    threads
        Threads of the neighbor search; 0 takes every core. The result does not depend on it.
    progress
        Observer, or ``"bar"``, ``"notebook"``, ``"json"``.
    copy
        Return a changed copy instead of changing `adata`.

    Returns
    -------
    ``None``, or a modified copy when ``copy=True``. Adds

    ``adata.layers[key_added]``
        float32, dense: 4 bytes x cells x genes. Beside it the work needs the expression of one cluster, its
        neighbor graph and two blocks of 32 MiB.
    ``adata.uns[key_added]``
        Function, version, parameters, seconds.

    Raises
    ------
    LayerError
        The layer is missing, or holds NaN, infinite or negative values.
    ClusterError
        The cluster column is missing or holds values that cannot be used.
    InputError
        An argument is outside its range.

    Notes
    -----
    Smoothing removes counting noise and with it small spatial differences between neighboring cells.

    References
    ----------
    van Dijk et al. (2018), Recovering gene interactions from single-cell data using data diffusion.

    Examples
    --------
    >>> import cytoripple as ct
    >>> adata, _, _ = ct.datasets.toy_tissue(n_cells=100, n_genes=24)
    >>> ct.pp.impute(adata, cluster_key="cell_type", method="knn", key_added="smooth")
    >>> adata.layers["smooth"].shape
    (100, 24)
    """
    recipe = _recipe(method, n_neighbors, n_components, diffusion_time, seed, threads)
    if key_added == layer:
        raise InputError(f"key_added is {key_added!r}, the layer to smooth: give another name")
    name = _anndata.layer_name(layer)
    values = _anndata.layer_values(adata, layer)
    _matrix.check_expression(values, name)
    parts, labels = _parts(adata, cluster_key, sample_key)
    if _matrix.looks_like_counts(values):
        log.warning("%s holds raw counts: normalize first, ct.pp.normalize(adata)", name)
    adata = adata.copy() if copy else adata
    start = time.perf_counter()
    with showing(progress) as observer:
        result, kept = _impute_parts(values, name, parts, labels, recipe, observer)
    replaced = ", replacing it" if key_added in adata.layers else ""
    adata.layers[key_added] = result
    used = asdict(recipe)
    del used["threads"]
    record(
        adata,
        key_added,
        "impute",
        layer=layer or "X",
        cluster_key=cluster_key,
        sample_key=sample_key,
        **used,
    )
    adata.uns[key_added]["seconds"] = seconds = time.perf_counter() - start
    small = f"; too small and unchanged: {', '.join(kept)}" if kept else ""
    message = "imputed %s in %d groups into layers[%r]%s, %.1f s%s"
    log.info(message, name, len(labels), key_added, replaced, seconds, small)
    return adata if copy else None


@dataclass(frozen=True)
class _Recipe:
    method: Method
    n_neighbors: int
    n_components: int
    diffusion_time: int
    seed: int
    threads: int


def _recipe(
    method: Method,
    n_neighbors: int | None,
    n_components: int,
    diffusion_time: int,
    seed: int,
    threads: int,
) -> _Recipe:
    if method not in _NEIGHBORS:
        raise InputError(f"method is {method!r}: give method='diffusion' or method='knn'")
    width = _NEIGHBORS[method] if n_neighbors is None else n_neighbors
    numbers = {"n_neighbors": width, "n_components": n_components, "diffusion_time": diffusion_time}
    for argument, value in numbers.items():
        if int(value) != value or value < 1:
            raise InputError(f"{argument} is {value}: give a whole number of at least 1")
    steps = int(diffusion_time) if method == "diffusion" else 1
    return _Recipe(method, int(width), int(n_components), steps, seed, threads)


def _impute_parts(
    values: Any,
    name: str,
    parts: NDArray[np.int64],
    labels: list[str],
    recipe: _Recipe,
    progress: Progress,
) -> tuple[NDArray[np.float32], list[str]]:
    """Smoothed expression, and the groups that were too small for it with their sizes."""
    values = values if isinstance(values, np.ndarray) else values.tocsr()
    result = np.empty(values.shape, dtype=np.float32)
    kept = []
    for part, label in enumerate(labels):
        cells = np.flatnonzero(parts == part)
        expression = _matrix.as_float64(values[cells], name).astype(np.float32)
        if len(cells) > recipe.n_neighbors:
            points = _smoothing.principal_components(expression, recipe.n_components, recipe.seed)
            build = _smoothing.diffusion_weights if recipe.method == "diffusion" else _smoothing.knn_weights
            weights = build(points, recipe.n_neighbors, threads=recipe.threads)
            _smoothing.smooth(weights, expression, recipe.diffusion_time, result, cells)
        else:
            result[cells] = _matrix.dense(expression)
            kept.append(f"{label} ({len(cells)} cells)")
        progress.update(part + 1, len(labels), "impute")
    return result, kept


def _parts(adata: AnnData, cluster_key: str, sample_key: str | None) -> tuple[NDArray[np.int64], list[str]]:
    """Group of each cell (cluster, or cluster in one section), and the names of the groups."""
    column = _labels.obs_column(adata.obs, cluster_key, argument="cluster_key", error=ClusterError)
    clusters, labels = _labels.encode(column, f"obs[{cluster_key!r}]", "cluster_key")
    if sample_key is None:
        present, parts = np.unique(clusters, return_inverse=True)
        return parts, [labels[cluster] for cluster in present]
    column = _labels.obs_column(adata.obs, sample_key, argument="sample_key", error=InputError)
    _labels.check_not_missing(column, f"obs[{sample_key!r}]", InputError)
    samples, sample_labels = _labels.encode_text(column)
    pairs, parts = np.unique(samples * len(labels) + clusters, return_inverse=True)
    names = [f"{labels[pair % len(labels)]} in {sample_labels[pair // len(labels)]}" for pair in pairs]
    return parts, names
