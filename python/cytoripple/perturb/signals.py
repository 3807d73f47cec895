"""Ligands that cells receive, on the ligand axis of a bound model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cytoripple._errors import InputError, did_you_mean

if TYPE_CHECKING:
    from cytoripple._anndata import Tissue
    from cytoripple.kernels.ligands import ReceivedPlan
    from cytoripple.perturb.bind import BoundModel
    from cytoripple.perturb.engine import Options
    from cytoripple.perturb.fitted import Fitted

Signals = list[tuple["ReceivedPlan", NDArray[np.int64]]]


def plan_signals(
    bound: BoundModel,
    fitted: Fitted,
    tissue: Tissue,
    options: Options,
) -> Signals:
    """One plan per distinct radius, with the positions of its ligands on the ligand axis.

    Ligands without a radius are in no plan, so nobody receives them.

    Raises
    ------
    InputError
        There are ligands but neither `radii` nor `radius`.
    """
    from cytoripple.kernels.ligands import ReceivedPlan

    if bound.ligands and fitted.radii is None and fitted.radius is None:
        raise InputError(
            f"{fitted.source} does not record how far ligands reach: give "
            f"radii={{{bound.ligands[0]!r}: 200.0, ...}}, or radius for one distance"
        )
    groups: dict[float, list[int]] = {}
    for place, ligand in enumerate(bound.ligands):
        radius = fitted.radius_of(ligand)
        if radius is not None:
            groups.setdefault(radius, []).append(place)
    return [
        (
            ReceivedPlan(
                tissue.xy,
                radius=radius,
                kernel=fitted.kernel or "gaussian",
                method=options.ligand_method,
                rtol=options.rtol,
                cutoff=fitted.contact_distance if fitted.kernel == "gaussian_cutoff" else None,
                samples=tissue.samples,
                n_ligands=len(places),
                threads=options.threads,
            ),
            np.array(places, dtype=np.int64),
        )
        for radius, places in groups.items()
    ]


def received(
    signals: Signals,
    ligands: NDArray[np.float64],
    *,
    scale: float,
    threads: int = 0,
) -> NDArray[np.float64]:
    """Received amount of each ligand, (cells, ligands); 0 for ligands in no plan."""
    out = np.zeros_like(ligands)
    for plan, places in signals:
        out[:, places] = plan.apply(np.ascontiguousarray(ligands[:, places]), scale=scale, threads=threads)
    return out


def given_signal(name: str, table: pd.DataFrame, bound: BoundModel, tissue: Tissue) -> NDArray[np.float64]:
    """Received ligands from a data frame cells x ligands, on the ligand axis.

    Raises
    ------
    InputError
        A cell or a ligand is not in the table, or a value is NaN or infinite.
    """
    lost = tissue.obs_names.difference(table.index)
    if len(lost):
        raise InputError(f"{name} lacks {len(lost)} cells, e.g. {lost[0]!r}: its index must be the obs names")
    for ligand in bound.ligands:
        if ligand not in table.columns:
            raise InputError(
                f"{name} has no column {ligand!r}{did_you_mean(ligand, map(str, table.columns))}"
            )
    values = table.loc[tissue.obs_names, list(bound.ligands)].to_numpy(dtype=np.float64)
    if not np.isfinite(values).all():
        raise InputError(f"{name} holds NaN or infinite values")
    return np.ascontiguousarray(values)
