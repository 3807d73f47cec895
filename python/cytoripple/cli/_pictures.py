"""The pictures of a run, of a perturbation and of deconvolved spots, as files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from cytoripple._errors import CytorippleError
from cytoripple.cli._shell import Shell

if TYPE_CHECKING:
    from anndata import AnnData

    from cytoripple.io.run import Run

Job: TypeAlias = "tuple[Path, Callable[..., Any]]"


def can_draw(shell: Shell) -> bool:
    """Whether matplotlib is installed; says how to get it when not."""
    if find_spec("matplotlib") is None:
        shell.say('no pictures: matplotlib is not installed (pip install "cytoripple[plot]")')
        return False
    import matplotlib

    matplotlib.use("Agg")
    return True


def of_run(run: Run, adata: AnnData, folder: Path, shell: Shell) -> list[str]:
    """Draw the cluster map, R2 and strongest modulators of a run."""
    from cytoripple import pl

    key = run.settings.data.cluster_annot
    return _draw(
        shell,
        [
            (folder / "clusters.png", partial(pl.spatial, adata, key)),
            (folder / "r2.png", partial(pl.r2_summary, run)),
            (folder / "modulators.png", partial(pl.strongest_modulators, run)),
        ],
    )


def of_perturbation(
    adata: AnnData, genes: Sequence[str], folder: Path, shell: Shell, *, key: str = "perturbation"
) -> list[str]:
    """Draw where the perturbed genes are, what changes most, how far, and maps of `genes`."""
    from cytoripple import pl
    from cytoripple.pl._values import targets_of

    record = adata.uns[key]
    layer = str(record.get("layer") or "X")
    jobs: list[Job] = [
        (folder / f"expression_{_file_name(name)}.png", partial(pl.spatial, adata, name, layer=layer))
        for name in targets_of(record)
    ]
    jobs += [
        (folder / "top_genes.png", partial(pl.top_genes, adata, key=key)),
        (folder / "effect_by_distance.png", partial(pl.effect_by_distance, adata, key=key)),
    ]
    jobs += [
        (folder / f"delta_{_file_name(name)}.png", partial(pl.delta_map, adata, name, key=key))
        for name in genes
    ]
    return _draw(shell, jobs)


def of_proportions(adata: AnnData, folder: Path, shell: Shell, *, key: str, spatial_key: str) -> list[str]:
    """Draw the types of deconvolved spots: together, one by one, and where chance matters most."""
    from cytoripple import pl

    draw = partial(pl.proportions, adata, key=key, spatial_key=spatial_key)
    jobs: list[Job] = [
        (folder / "cell_types.png", partial(draw, kind="auto")),
        (folder / "each_type.png", partial(draw, kind="types")),
    ]
    if f"{key}_stability" in adata.obsm:
        jobs.append((folder / "stability.png", partial(draw, kind="uncertainty")))
    return _draw(shell, jobs)


def _file_name(gene: str) -> str:
    return "".join("_" if sign in "/\\:" else sign for sign in gene)


def _draw(shell: Shell, jobs: Sequence[Job]) -> list[str]:
    """Draw each picture; one that has nothing to show is said and left out."""
    import matplotlib.pyplot as plt

    written = []
    for path, draw in jobs:
        before = set(plt.get_fignums())
        try:
            draw(save=path)
            written.append(str(path))
        except CytorippleError as error:
            shell.say(f"no {path.name}: {error}")
        finally:
            for number in set(plt.get_fignums()) - before:
                plt.close(number)
    return written
