"""The pictures of a run and of a perturbation, as files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cytoripple._errors import CytorippleError
from cytoripple.cli._shell import Shell

if TYPE_CHECKING:
    from anndata import AnnData

    from cytoripple.io.run import Run


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
            (folder / "clusters.png", lambda path: pl.spatial(adata, key, save=path)),
            (folder / "r2.png", lambda path: pl.r2_summary(run, save=path)),
            (folder / "modulators.png", lambda path: pl.strongest_modulators(run, save=path)),
        ],
    )


def of_perturbation(
    adata: AnnData, genes: Sequence[str], folder: Path, shell: Shell, *, key: str = "perturbation"
) -> list[str]:
    """Draw maps of the change of `genes`, effect against distance, and the most affected genes."""
    from cytoripple import pl

    jobs: list[tuple[Path, Callable[[Path], Any]]] = [
        (folder / "top_genes.png", lambda path: pl.top_genes(adata, key=key, save=path)),
        (folder / "effect_by_distance.png", lambda path: pl.effect_by_distance(adata, key=key, save=path)),
    ]
    for gene in genes:
        name = f"delta_{''.join(sign if sign not in '/:' + chr(92) else '_' for sign in gene)}.png"
        jobs.append((folder / name, lambda path, gene=gene: pl.delta_map(adata, gene, key=key, save=path)))  # type: ignore[misc]
    return _draw(shell, jobs)


def _draw(shell: Shell, jobs: Sequence[tuple[Path, Callable[[Path], Any]]]) -> list[str]:
    """Draw each picture; one that has nothing to show is said and left out."""
    import matplotlib.pyplot as plt

    written = []
    for path, draw in jobs:
        before = set(plt.get_fignums())
        try:
            draw(path)
            written.append(str(path))
        except CytorippleError as error:
            shell.say(f"no {path.name}: {error}")
        finally:
            for number in set(plt.get_fignums()) - before:
                plt.close(number)
    return written
