"""Coordinates in units in which radii make sense."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cytoripple import _anndata, _labels, _matrix
from cytoripple._errors import CoordinatesError, InputError
from cytoripple.pp._record import record, recorded

if TYPE_CHECKING:
    from anndata import AnnData

log = logging.getLogger(__name__)


def rescale_coordinates(
    adata: AnnData,
    *,
    spacing: float = 15.0,
    scale: float | None = None,
    spatial_key: str | None = None,
    sample_key: str | None = None,
    key_added: str = "spatial_unscaled",
    copy: bool = False,
) -> AnnData | None:
    """Multiply the coordinates so that neighboring cells are `spacing` apart, or by a given factor.

    The factor is `spacing` over the median distance of a cell to its nearest other cell. Cells at exactly
    the same place (tiles that overlap) count as one. Calling again starts from the stored
    original, so the last call decides.

    Parameters
    ----------
    adata
        Cells with coordinates in ``adata.obsm``.
    spacing
        Median distance of neighboring cells afterwards, e.g. 15 for cells in micrometers.
    scale
        Multiply by this instead, e.g. 200 when one unit is 200 micrometers. `spacing` is then not used.
    spatial_key
        Key of ``adata.obsm``; None takes the first usable of ``spatial``, ``X_spatial``, ``spatial_loc``.
    sample_key
        Column of ``adata.obs`` with sections; distances are taken inside them.
    key_added
        Key of ``adata.obsm`` that keeps the original coordinates.
    copy
        Return a changed copy instead of changing `adata`.

    Returns
    -------
    ``None``, or a modified copy when ``copy=True``. Changes

    ``adata.obsm[spatial_key]``
        All columns times the factor, float64.
    ``adata.obsm[key_added]``
        The coordinates as they were.
    ``adata.uns[key_added]``
        Function, version, parameters and the factor.

    Raises
    ------
    CoordinatesError
        No coordinates, NaN or infinite values, no two cells apart, or originals stored by something else.
    InputError
        `spacing` or `scale` is not positive.

    Examples
    --------
    >>> import cytoripple as ct
    >>> adata, _, _ = ct.datasets.toy_tissue(n_cells=100, n_genes=24)
    >>> ct.pp.rescale_coordinates(adata, scale=0.001)
    >>> adata.uns["spatial_unscaled"]["parameters"]["factor"]
    0.001
    """
    for argument, value in (("spacing", spacing), ("scale", scale)):
        if value is not None and not (np.isfinite(value) and value > 0):
            raise InputError(f"{argument} is {value}: give a positive number, e.g. {argument}=15.0")
    key, _ = _anndata.coordinates(adata, spatial_key)
    if key == key_added:
        raise CoordinatesError(f"key_added is {key!r}, the coordinates themselves: give another name")
    original = _original(adata, key, key_added)
    if scale is None:
        dims = 3 if original.shape[1] == 3 else 2
        _anndata.coordinates(adata, key, dims=dims)
        typical = _typical_distance(original[:, :dims], _sections(adata, sample_key))
        factor = spacing / typical
    else:
        factor = float(scale)
    adata = adata.copy() if copy else adata
    adata.obsm[key_added] = original
    adata.obsm[key] = original * factor
    used = {"scale": float(scale)} if scale is not None else {"spacing": float(spacing)}
    record(
        adata, key_added, "rescale_coordinates", spatial_key=key, sample_key=sample_key, factor=factor, **used
    )
    log.info("multiplied obsm[%r] by %g, the original is in obsm[%r]", key, factor, key_added)
    return adata if copy else None


def _original(adata: AnnData, key: str, key_added: str) -> NDArray[np.float64]:
    """Coordinates before any earlier call."""
    now = np.array(_matrix.dense(adata.obsm[key]), dtype=np.float64)
    if key_added not in adata.obsm:
        return now
    stored = np.array(_matrix.dense(adata.obsm[key_added]), dtype=np.float64)
    earlier = recorded(adata, key_added, "rescale_coordinates") or {}
    if earlier.get("spatial_key") == key and np.array_equal(stored * float(earlier["factor"]), now):
        return stored
    raise CoordinatesError(
        f"obsm[{key_added!r}] already holds coordinates that do not lead to obsm[{key!r}], "
        f"expected none or those of an earlier call: they were rescaled by other means. "
        f"Leave them, or delete it to rescale again, del adata.obsm[{key_added!r}]"
    )


def _sections(adata: AnnData, sample_key: str | None) -> NDArray[np.int64]:
    if sample_key is None:
        return np.zeros(adata.n_obs, dtype=np.int64)
    column = _labels.obs_column(adata.obs, sample_key, argument="sample_key", error=InputError)
    _labels.check_not_missing(column, f"obs[{sample_key!r}]", InputError)
    return _labels.encode_text(column)[0]


def _typical_distance(xy: NDArray[np.float64], sections: NDArray[np.int64]) -> float:
    """Median distance to the nearest other place with a cell of the section."""
    from scipy.spatial import KDTree

    nearest = []
    for section in np.unique(sections):
        places = np.unique(xy[sections == section], axis=0)
        if len(places) > 1:
            distances = np.asarray(KDTree(places).query(places, k=2)[0])
            nearest.append(distances[:, 1])
    if not nearest:
        raise CoordinatesError(
            f"none of the {len(xy)} cells has another cell at a distance above 0, expected a tissue: "
            "check the coordinates, or give the factor, e.g. scale=1.0"
        )
    return float(np.median(np.concatenate(nearest)))
