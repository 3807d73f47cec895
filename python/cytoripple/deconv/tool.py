"""Deconvolution of an AnnData object."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cytoripple import __version__, _anndata, _labels
from cytoripple._errors import InputError
from cytoripple._progress import Progress, ProgressName, showing
from cytoripple.deconv import diagnose, profiles, reference
from cytoripple.deconv.counts import Counts, spans_of
from cytoripple.deconv.fit import Job, fit, totals
from cytoripple.deconv.genes import shared_genes
from cytoripple.deconv.graph import check_coords, nearest
from cytoripple.deconv.profiles import Signatures
from cytoripple.deconv.result import Deconvolution
from cytoripple.deconv.weights import LARGE_PLATFORM
from cytoripple.kernels import _check

if TYPE_CHECKING:
    from anndata import AnnData

log = logging.getLogger(__name__)

Method = Literal["default", "fast", "flashdeconv"]
_MANY_PAIRS = 20


def deconvolve(
    adata: AnnData,
    reference: AnnData | pd.DataFrame | Signatures,
    *,
    cell_type_key: str | None = None,
    method: Method = "default",
    layer: str | None = None,
    reference_layer: str | None = None,
    spatial_key: str | None = "spatial",
    sample_key: str | None = None,
    kappa: float = 10.0,
    genes: str | Sequence[str] = "all",
    stability: bool = False,
    seed: int = 0,
    threads: int = 0,
    key_added: str = "deconvolution",
    progress: Progress | ProgressName | None = None,
    copy: bool = False,
) -> AnnData | None:
    """Explain every spot as a mixture of the cell types of a reference.

    Parameters
    ----------
    adata
        Spots x genes with raw counts, in memory or backed (``anndata.read_h5ad(path, backed="r")``): the
        counts are read in blocks of 4096 spots and never held as a whole.
    reference
        Annotated cells with raw counts; or a data frame types x genes of mean counts; or the result of
        `cytoripple.deconv.signatures`.
    cell_type_key
        Column of ``reference.obs`` with the types.
    method
        ``"default"``; ``"fast"``, one least squares fit per spot, which costs a tenth and errs about a fifth
        more; ``"flashdeconv"``, the published method with its own defaults.
    layer, reference_layer
        Layers with raw counts; None is ``X``.
    spatial_key
        Key of ``adata.obsm`` with 2 or 3 columns; None fits every spot alone.
    sample_key
        Column of ``adata.obs`` that names the section of each spot. Sections share the gene weights and
        nothing else.
    kappa
        Strength of the neighbors in counts: 10 suits most tissue, 2 single-cell resolution and sharp borders,
        20 very smooth tissue.
    genes
        ``"all"`` shared genes (uninformative ones switch themselves off), or names to restrict to.
    stability
        Also compute how much every share would move if the molecules were drawn again.
    seed
        Chooses the 5,000 spots from which gene weights are learned when there are more.
    threads
        0 takes every core. The result does not depend on it.
    key_added
        Name of the results.
    progress
        Observer, or ``"bar"``, ``"notebook"``, ``"json"``.
    copy
        Return a changed copy instead of changing `adata`.

    Returns
    -------
    ``None``, or a modified copy when ``copy=True``. Adds

    ``adata.obsm[key_added]``
        Data frame spots x types, float32: shares of RNA. NaN for spots without counts.
    ``adata.obs[key_added + "_dominant"]``
        Type with the largest share.
    ``adata.obs[key_added + "_residual"]``, ``[key_added + "_unexplained"]``
        Misfit of the spot (about 1 is usual) and share of its counts in genes that point to a missing type.
    ``adata.obsm[key_added + "_stability"]``
        With `stability`: standard deviation of each share under new draws of the molecules. No confidence
        interval: errors of the reference are larger and not in it.
    ``adata.uns[key_added]``
        Parameters, convergence, platform effect, a table of the genes, the pairs of types that are hard to
        tell apart, the types that the first fit had lost everywhere (``lost_types``).

    Raises
    ------
    LayerError
        A layer is missing or holds no raw counts.
    CoordinatesError
        Coordinates are missing, not finite, or all equal.
    GeneMatchError
        Too few genes are shared; the message says what would make more match.
    InputError
        Labels, names or arguments cannot be used. All errors come before the fit.

    Notes
    -----
    A type that the reference lacks is absorbed by its neighbors and no score found so far tells reliably;
    ``uns[key_added]["missing_genes"]`` is a hint, not a test. A small panel with a missing type suffers most.
    Profile errors dominate beyond some 1,500 counts per spot: more reference cells help, more counts do not.
    Where one type makes up most of every spot, the gain over least squares is small.

    Examples
    --------
    >>> import cytoripple as ct
    >>> ct.tl.deconvolve(spots, cells, cell_type_key="cell_type")  # doctest: +SKIP
    >>> spots.obsm["deconvolution"].idxmax(axis=1)  # doctest: +SKIP
    """
    if method not in ("default", "fast", "flashdeconv"):
        raise InputError(f"method is {method!r}: give 'default', 'fast' or 'flashdeconv'")
    _check.positive("kappa", kappa, what="a positive number of counts, e.g. 10")
    if copy and getattr(adata, "isbacked", False):
        raise InputError(
            "copy=True would read the backed counts: use copy=False, or adata = adata.to_memory()"
        )
    start = time.perf_counter()
    counts, signatures = _inputs(adata, reference, cell_type_key, layer, reference_layer, genes, threads)
    sections, coords = _places(adata, spatial_key, sample_key)
    adata = adata.copy() if copy else adata
    parameters = {
        "method": method,
        "cell_type_key": cell_type_key,
        "layer": layer or "X",
        "reference_layer": reference_layer or "X",
        "spatial_key": spatial_key,
        "sample_key": sample_key,
        "kappa": kappa,
        "seed": seed,
    }
    with showing(progress) as observer:
        if method == "flashdeconv":
            counts.sums(spans_of(None, counts.n_rows), threads)  # refuses what is no counts
            shares = _flash(counts, signatures, coords, sections, seed, threads, observer)
            result = None
        else:
            job = Job(counts, signatures, sections, method, float(kappa), stability, seed, threads)
            spans, sums = totals(job)
            links = None
            if coords is not None and method == "default":
                links = nearest(coords, sections, sums.depth <= 0, threads)
            result = fit(job, spans, sums, links, observer)
            shares = result.proportions
    _write_shares(adata, shares, signatures.types, key_added)
    kept = {name: value for name, value in parameters.items() if value is not None}
    adata.uns[key_added] = {
        "function": "cytoripple.tl.deconvolve",
        "version": __version__,
        "parameters": kept,
        "n_genes": counts.n_genes,
        "seconds": time.perf_counter() - start,
    }
    if result is not None:
        _write_diagnostics(adata, result, key_added)
    log.info(
        "deconvolved %d spots into %d types with %d genes into obsm[%r], %.1f s",
        counts.n_rows,
        len(signatures.types),
        counts.n_genes,
        key_added,
        adata.uns[key_added]["seconds"],
    )
    return adata if copy else None


def _inputs(
    adata: AnnData,
    given: Any,
    cell_type_key: str | None,
    layer: str | None,
    reference_layer: str | None,
    genes: str | Sequence[str],
    threads: int,
) -> tuple[Counts, Signatures]:
    """Pick the counts of the spots and the profiles over the genes that both have."""
    _anndata.check_names(adata)
    matrix = reference.layer_of(adata, layer)
    if hasattr(given, "obs_names"):
        names, n_types = given.var_names, len(reference.read_labels(given, cell_type_key)[1])
    else:
        whole = reference.signatures(given)
        if whole.genes is None:
            raise InputError("the signatures have no gene names: give genes=... when making them")
        names, n_types = pd.Index(list(whole.genes)), len(whole.types)
    here, there, shared = shared_genes(adata.var_names, names, n_types, genes)
    position = np.full(adata.n_vars, -1, dtype=np.int32)
    position[here] = np.arange(len(here))
    hint = reference.counts_hint(adata, "layer")
    counts = Counts(matrix, position, len(here), name=_anndata.layer_name(layer), hint=hint)
    if hasattr(given, "obs_names"):
        kind = profiles.KINDS[-1]
        signatures = reference.from_anndata(given, cell_type_key, reference_layer, kind, shared, threads)
    else:
        signatures = whole.take(there)
    profiles.check_distinct(signatures)
    if len(shared) < 0.1 * min(adata.n_vars, len(names)):
        log.warning(
            "only %d of %d genes of the spots are in the reference (%d genes)",
            len(shared),
            adata.n_vars,
            len(names),
        )
    return counts, signatures


def _places(
    adata: AnnData, spatial_key: str | None, sample_key: str | None
) -> tuple[NDArray[np.int64], NDArray[np.float64] | None]:
    """Section and coordinates of every spot."""
    sections = np.zeros(adata.n_obs, dtype=np.int64)
    if sample_key is not None:
        column = _labels.obs_column(adata.obs, sample_key, argument="sample_key", error=InputError)
        _labels.check_not_missing(column, f"obs[{sample_key!r}]", InputError)
        sections = _labels.encode_text(column)[0]
    if spatial_key is None:
        return sections, None
    shape = tuple(adata.obsm[spatial_key].shape) if spatial_key in adata.obsm else ()
    dims: Literal[2, 3] = 3 if shape[1:] == (3,) else 2
    return sections, check_coords(_anndata.coordinates(adata, spatial_key, dims=dims)[1], sections)


def _flash(
    counts: Counts,
    signatures: Signatures,
    coords: NDArray[np.float64] | None,
    sections: NDArray[np.int64],
    seed: int,
    threads: int,
    progress: Progress,
) -> NDArray[np.float32]:
    """Shares by the published method, on mean counts per type."""
    if coords is None:
        raise InputError("method='flashdeconv' needs coordinates: give spatial_key")
    run = import_module("cytoripple.deconv.flash").flash_deconvolve
    columns = np.flatnonzero(counts.position >= 0)
    Y = counts.matrix if len(columns) == counts.matrix.shape[1] else counts.matrix[:, columns]
    X = signatures.profile * signatures.mean_depth[:, None]
    found = run(
        Y,
        X,
        coords,
        cell_type_names=list(signatures.types),
        random_state=seed,
        samples=sections,
        threads=threads,
        progress=progress,
    )
    return np.where(found.empty[:, None], np.nan, found.proportions).astype(np.float32)


def _write_shares(adata: AnnData, shares: NDArray[np.float32], types: tuple[str, ...], key: str) -> None:
    if key in adata.obsm:
        log.info("obsm[%r] is replaced", key)
    adata.obsm[key] = pd.DataFrame(shares, index=adata.obs_names, columns=list(types))
    empty = np.isnan(shares[:, 0])
    best = np.where(empty, -1, np.where(empty[:, None], 0, shares).argmax(axis=1)).astype(np.int64)
    adata.obs[f"{key}_dominant"] = pd.Categorical.from_codes(best, categories=pd.Index(list(types)))


def _write_diagnostics(adata: AnnData, result: Deconvolution, key: str) -> None:
    entry = adata.uns[key]
    entry["sweeps"], entry["change"], entry["converged"] = result.sweeps, result.change, result.converged
    pairs = pd.DataFrame(result.pairs[:_MANY_PAIRS])
    entry["confusable_types"] = pairs
    if result.stability is not None:
        columns = list(result.types)
        adata.obsm[f"{key}_stability"] = pd.DataFrame(
            result.stability, index=adata.obs_names, columns=columns
        )
    weights, left = result.weights, result.residuals
    differs = diagnose.mismatch(result, key)
    if differs is not None:
        log.warning("%s", differs)
    if weights is None or left is None:
        return
    names = pd.Index(list(result.signatures.genes or ()))
    entry["platform_sd"] = weights.platform_sd
    entry["lost_types"] = np.asarray(result.types, dtype=object)[weights.lost]
    entry["missing_genes"] = names[left.missing_genes].to_numpy(dtype=object)
    entry["genes"] = pd.DataFrame(
        {
            "platform": weights.platform,
            "weight": weights.weight,
            "dispersion": left.genes,
            "log2_seen_over_expected": left.log2_ratio,
            "points_to_missing": np.isin(np.arange(len(names)), left.missing_genes),
        },
        index=names,
    )
    adata.obs[f"{key}_residual"] = left.spots
    adata.obs[f"{key}_unexplained"] = left.missing_excess
    if weights.platform_sd > LARGE_PLATFORM:
        log.warning(
            "reference and tissue differ by a factor of %.1f per gene (log-sd %.2f): take a reference of "
            "the same technology (single nuclei for frozen tissue), or drop the genes that differ most "
            "(uns[%r]['genes'].platform)",
            np.exp(weights.platform_sd),
            weights.platform_sd,
            key,
        )
