"""From files and flags to settings, a tissue and a network, with the checks a person is glad to see early."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cytoripple._errors import InputError
from cytoripple.cli._shell import Shell

if TYPE_CHECKING:
    from anndata import AnnData

    from cytoripple._anndata import Tissue
    from cytoripple._settings import Settings
    from cytoripple.io.network import Network
    from cytoripple.io.run import Run

CLUSTER_KEYS = ("cell_type_int", "cell_type", "cell_types", "celltype", "leiden", "cluster", "clusters")


def read_settings(config: Path | None, flags: Mapping[str, object]) -> Settings:
    """Read the settings file (given, else found in this folder, else defaults) with the given flags on top.

    Raises
    ------
    SettingsError
        The file or a value in it cannot be used.
    """
    from cytoripple._settings import Settings

    settings = Settings.load(config) if config is not None else Settings.discover()
    given = {key: value for key, value in flags.items() if value is not None}
    return settings.with_overrides(given, where="the command line") if given else settings


def penalty(text: str | None) -> float | str | None:
    """Return a penalty as a number where it is one, else the text (``cv``), to be judged by the settings."""
    try:
        return None if text is None else float(text)
    except ValueError:
        return text


def read_tissue_file(path: str | Path, scale: float | None, spatial_key: str | None = None) -> AnnData:
    """Read the tissue and multiply its coordinates by `scale`.

    Raises
    ------
    InputError
        No file is given, it cannot be read, or the scale is not positive.
    """
    from cytoripple import io

    if not str(path):
        raise InputError("no tissue is given: add --h5ad FILE (or data.adata_path in cytoripple.toml)")
    adata = io.read(path)
    if scale is not None and scale != 1.0:
        from cytoripple import pp

        pp.rescale_coordinates(adata, scale=scale, spatial_key=spatial_key)
    return adata


def read_network_for(settings: Settings, adata: AnnData) -> Network:
    """Network named by the settings, else the one of the species in the usual places."""
    if settings.grn.network:
        return network_from(Path(settings.grn.network), adata, settings.data.species)
    return usual_network(adata, settings.data.species, settings.grn.network_data_dir)


def usual_network(adata: AnnData, species: str | None = None, data_dir: str | None = None) -> Network:
    """Network of the species in the usual places."""
    from cytoripple import io
    from cytoripple._names import infer_species

    return io.read_network(species=species or infer_species(adata.var_names), data_dir=data_dir)


def network_from(path: Path, adata: AnnData, species: str | None = None) -> Network:
    """Network of a file, or of the species' file in a folder."""
    from cytoripple import io
    from cytoripple._names import infer_species

    if path.is_dir():
        return io.read_network(species=species or infer_species(adata.var_names), data_dir=path)
    return io.read_network(path)


def tissue_of_run(run: Run, path: Path | None, shell: Shell) -> Tissue | None:
    """Read the tissue a run was trained on: the given file, else the recorded one where it still exists."""
    from cytoripple._anndata import read_tissue

    data = run.settings.data
    if path is None and not (data.adata_path and Path(data.adata_path).exists()):
        shell.say("the tissue is not found, so the report has no map: give it with --h5ad")
        return None
    scale = run.settings.spatial.coordinate_scale
    adata = read_tissue_file(path or data.adata_path, scale, data.spatial_key)
    return read_tissue(
        adata,
        cluster_key=data.cluster_annot,
        layer=data.layer,
        spatial_key=data.spatial_key,
        sample_key=data.sample_key,
    )


def cluster_key(adata: AnnData, asked: str, *, is_default: bool, shell: Shell) -> str:
    """Return the asked column; if it is a missing default, the usual one that exists, said aloud."""
    if not is_default or asked in adata.obs:
        return asked
    found = next((name for name in CLUSTER_KEYS if name in adata.obs), None)
    if found is None:
        return asked
    shell.say(f"clusters: obs[{found!r}] (there is no {asked!r}; choose with --cluster-key)")
    return found


def geometry(xy: NDArray[np.float64], samples: Sequence[str] | None = None) -> tuple[float, float]:
    """Median spacing of the cells and the largest extent, inside a section when there are several."""
    from cytoripple.pl._style import typical_spacing

    groups = [np.ones(len(xy), dtype=bool)]
    if samples is not None:
        column = np.asarray(samples, dtype=str)
        groups = [column == name for name in np.unique(column)]
    parts = [xy[group] for group in groups if group.sum() > 1]
    if not parts:
        return 0.0, 0.0
    spacing = float(np.median([typical_spacing(part) for part in parts]))
    return spacing, max(float(np.ptp(part, axis=0).max()) for part in parts)


def radius_warning(radius: float, spacing: float, extent: float) -> str | None:
    """Say what is odd about a radius on these coordinates, with the likely remedy; None when nothing is."""
    remedy = "if the coordinates are not in micrometers add --coordinate-scale (micrometers per unit)"
    if spacing <= 0:
        return None
    if radius > 0.5 * extent:
        return (
            f"the radius {radius:g} is more than half of the tissue's extent ({extent:.4g}), so every cell "
            f"receives nearly the same signal: take a smaller --radius, or {remedy}"
        )
    if radius < spacing:
        return (
            f"the radius {radius:g} is below the spacing of the cells ({spacing:.4g}), so cells hardly "
            f"signal to each other: take a larger --radius, or {remedy}"
        )
    return None
