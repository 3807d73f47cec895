"""What a set of coefficients was fitted with, and the refusal to use them with anything else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import numpy as np

from cytoripple._errors import InputError, RunError

if TYPE_CHECKING:
    from cytoripple._anndata import Tissue
    from cytoripple.io.run import Run

Kernel = Literal["gaussian", "gaussian_truncated", "gaussian_cutoff"]
Preset = Literal["cytoripple", "python", "rust"]
Propagation = Literal["reevaluate", "linear"]

KERNELS = ("gaussian", "gaussian_truncated", "gaussian_cutoff")
PRESETS = ("cytoripple", "python", "rust")

# The kernel each implementation trains with, used when the run does not say.
_USUAL_KERNEL: dict[str, Kernel] = {
    "cytoripple": "gaussian",
    "python": "gaussian_truncated",
    "rust": "gaussian",
}


@dataclass(frozen=True)
class Fitted:
    """Settings that give coefficients their meaning. None: not recorded.

    Attributes
    ----------
    source
        Run directory or folder, for messages.
    layer, cluster_key, spatial_key, sample_key
        Keys of the data in AnnData.
    kernel, scale_factor, contact_distance
        Received ligands; `contact_distance` is the cut-off of the kernel ``gaussian_cutoff``.
    radii
        Radius of each ligand, in units of the coordinates; a ligand that is not listed is received by nobody.
        None: `radius` holds for every ligand.
    min_expression
        Expression at or below this is neither sent nor counted in a receptor.
    cluster_labels
        Label of each cluster id of the row keys; empty when not recorded.
    input_hash, thresholds_hash
        Hashes of the data set and of the table of cell thresholds it was trained with.
    recorded
        Whether a run file says all this.
    """

    source: Path
    layer: str | None = None
    cluster_key: str | None = None
    spatial_key: str | None = None
    sample_key: str | None = None
    kernel: Kernel | None = None
    scale_factor: float | None = None
    radii: Mapping[str, float] | None = field(default=None, hash=False)
    radius: float | None = None
    contact_distance: float | None = None
    min_expression: float = 1e-9
    cluster_labels: tuple[str, ...] = ()
    input_hash: str | None = None
    thresholds_hash: str | None = None
    recorded: bool = False

    @classmethod
    def of_run(cls, run: Run) -> Fitted:
        """Read what a run recorded."""
        data, spatial = run.settings.data, run.settings.spatial
        cutoff = spatial.cutoff if spatial.kernel == "gaussian_cutoff" else None
        return cls(
            source=run.directory,
            layer=data.layer,
            cluster_key=data.cluster_annot,
            spatial_key=data.spatial_key,
            sample_key=data.sample_key,
            kernel=cast("Kernel", run.kernel),
            scale_factor=spatial.weighted_ligand_scale_factor,
            radii=dict(run.radii) or None,
            radius=spatial.radius,
            contact_distance=spatial.contact_distance if cutoff is None else cutoff,
            min_expression=run.settings.grn.min_expression,
            cluster_labels=run.cluster_labels,
            input_hash=run.provenance.get("input_hash"),
            thresholds_hash=run.provenance.get("cell_thresholds_hash"),
            recorded=True,
        )

    def with_keywords(
        self,
        *,
        layer: str | None = None,
        cluster_key: str | None = None,
        spatial_key: str | None = None,
        sample_key: str | None = None,
        kernel: Kernel | None = None,
        scale_factor: float | None = None,
        radii: Mapping[str, float] | None = None,
        radius: float | None = None,
        contact_distance: float | None = None,
    ) -> Fitted:
        """Fill in what is not recorded.

        Raises
        ------
        InputError
            A value is out of range.
        RunError
            A value differs from the recorded one.
        """
        if kernel is not None and kernel not in KERNELS:
            raise InputError(f"kernel is {kernel!r}: expected one of {', '.join(KERNELS)}")
        lengths = {"radius": radius, "contact_distance": contact_distance, "scale_factor": scale_factor}
        lengths |= {f"radii[{ligand!r}]": value for ligand, value in (radii or {}).items()}
        for name, value in lengths.items():
            if value is not None and not (np.isfinite(value) and value > 0):
                raise InputError(f"{name} is {value}: give a positive number")
        given: dict[str, object] = {
            "layer": layer,
            "cluster_key": cluster_key,
            "spatial_key": spatial_key,
            "sample_key": sample_key,
            "kernel": kernel,
            "scale_factor": scale_factor,
            "radius": radius,
            "contact_distance": contact_distance,
        }
        given = {name: value for name, value in given.items() if value is not None}
        if self.recorded:
            self._agree(given, radii)
            return replace(self, spatial_key=self.spatial_key or spatial_key)
        found = replace(self, radii=self.radii if radii is None else dict(radii))
        return replace(found, **given)  # type: ignore[arg-type]

    def _agree(self, given: Mapping[str, object], radii: Mapping[str, float] | None) -> None:
        for name, value in given.items():
            stored = getattr(self, name)
            if name == "spatial_key" and stored is None:
                continue
            if value != stored:
                raise RunError(
                    f"{self.source} was trained with {name} {stored!r} and {name}={value!r} is asked: its "
                    f"coefficients have no meaning with another {name}, leave {name} out"
                )
        for ligand, radius in (radii or {}).items():
            stored = self.radius_of(ligand)
            if radius != stored:
                raise RunError(
                    f"{self.source} was trained with radius {stored} of ligand {ligand!r} and {radius} is "
                    "asked: leave radii out"
                )

    def radius_of(self, ligand: str) -> float | None:
        """Radius of a ligand, None when nobody receives it."""
        return self.radius if self.radii is None else self.radii.get(ligand)

    def kernel_for(self, preset: str) -> Kernel:
        """Return the recorded or given kernel, else the one the preset's implementation trains with."""
        if preset not in PRESETS:
            raise InputError(f"preset is {preset!r}: expected one of {', '.join(PRESETS)}")
        kernel = self.kernel or _USUAL_KERNEL[preset]
        if kernel == "gaussian_cutoff" and self.contact_distance is None:
            raise InputError(
                "kernel 'gaussian_cutoff' needs contact_distance, the largest distance of a signal"
            )
        return kernel

    def read(self, adata: object) -> Tissue:
        """Read the tissue as the coefficients need it, and check that it is the one they were fitted on.

        Raises
        ------
        InputError
            The layer or the cluster column is neither recorded nor given, or the data cannot be used.
        RunError
            The data differ from those of the run.
        """
        from cytoripple._anndata import read_tissue

        for name, example in (("layer", "imputed_count"), ("cluster_key", "cell_type")):
            if getattr(self, name) is None:
                raise InputError(
                    f"{self.source} does not record its {name}: give {name}, e.g. {name}={example!r}"
                )
        tissue = read_tissue(
            adata,
            cluster_key=str(self.cluster_key),
            layer=str(self.layer),
            spatial_key=self.spatial_key,
            sample_key=self.sample_key,
        )
        self.check_data(tissue)
        return tissue

    def check_data(self, tissue: Tissue) -> None:
        """Raise `RunError` when the tissue is not the one of the run."""
        from cytoripple._provenance import hash_tissue

        if self.input_hash is not None and hash_tissue(tissue) != self.input_hash:
            raise RunError(
                f"{self.source} was trained on another data set (names, coordinates, clusters or values of "
                f"layer {self.layer!r} differ): give the AnnData of the training, or load the coefficients "
                "for use on other data with cytoripple.perturb.Betabase.from_folder"
            )
