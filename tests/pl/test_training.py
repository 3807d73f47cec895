"""Pictures of a trained run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import cytoripple as ct
from cytoripple._errors import RunError
from cytoripple._modulators import modulator_kind
from cytoripple._settings import Settings
from cytoripple.io.effects import write_scales
from cytoripple.io.gene_log import ClusterFit, log_path, log_text
from cytoripple.io.run import Run
from cytoripple.io.run_file import RunRecord
from cytoripple.pl.training import modulator_strength, shown_name

CLUSTERS = np.repeat([0, 1], 10)


@pytest.fixture
def run(tmp_path: Path, rng: np.random.Generator) -> Run:
    """Two genes, two clusters: Tf drives both, the pair Lig$Rec only A."""
    columns = {name: rng.normal(size=20) for name in ("Tf", "Lig$Rec", "A", "B")}
    for gene, betas in (("A", [[1.0, 2.0], [0.0, 0.0]]), ("B", [[3.0, 0.0], [1.0, 0.0]])):
        ct.io.write_betadata(
            tmp_path / f"{gene}_betadata.feather",
            keys=np.array([0, 1]),
            intercept=np.zeros(2),
            modulators=("Tf", "Lig$Rec"),
            betas=np.array(betas),
        )
        fits = [ClusterFit(c, 10, 2, 0.5, 0.1, 3, True, 0.5 + 0.1 * c, 0.4 - 0.3 * c) for c in (0, 1)]
        path = log_path(tmp_path, gene)
        path.parent.mkdir(exist_ok=True)
        path.write_text(log_text(gene, fits, {}))
    write_scales(tmp_path, columns, columns.__getitem__, CLUSTERS, 2)
    provenance = {"cluster_labels": ["left", "right"], "n_targets": 2}
    (tmp_path / "cytoripple_run.toml").write_text(RunRecord(Settings(), provenance).text())
    return ct.io.open_run(tmp_path)


def test_the_strength_is_the_sum_of_standardized_effects(run: Run) -> None:
    table = modulator_strength(run)
    assert list(table["modulator"]) == ["Tf", "Lig$Rec"] or list(table["modulator"]) == ["Lig$Rec", "Tf"]
    effects = run.effects()
    expected = effects.loc[effects["modulator"] == "Tf", "effect"].abs().sum()
    assert table.set_index("modulator").loc["Tf", "strength"] == pytest.approx(expected)
    assert table.set_index("modulator").loc["Tf", "targets"] == 2
    assert (np.diff(table["strength"]) <= 0).all()


def test_the_bars_are_the_strengths_with_the_largest_on_top(run: Run) -> None:
    ax = ct.pl.strongest_modulators(run)
    table = modulator_strength(run)
    widths = [bar.get_width() for bar in ax.patches]
    np.testing.assert_allclose(widths[::-1], table["strength"])
    assert [label.get_text() for label in ax.get_yticklabels()][::-1] == [
        shown_name(n) for n in table["modulator"]
    ]
    assert {text.get_text() for text in ax.get_legend().get_texts()} == {"TF", "ligand-receptor"}


def test_r2_shows_both_kinds_per_cluster_with_its_size(run: Run) -> None:
    ax = ct.pl.r2_summary(run)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["left (10)", "right (10)"]
    assert {text.get_text() for text in ax.get_legend().get_texts()} == {"in sample", "held out"}
    medians = sorted(float(line.get_ydata()[0]) for line in ax.lines if line.get_color() == "#262626")
    np.testing.assert_allclose(medians, [0.1, 0.4, 0.5, 0.6])


def test_a_path_is_as_good_as_an_opened_run(run: Run, tmp_path: Path) -> None:
    ct.pl.strongest_modulators(run.directory, save=tmp_path / "bars.png")
    ct.pl.r2_summary(str(run.directory), save=tmp_path / "r2.png")
    assert (tmp_path / "bars.png").stat().st_size > 5000
    assert (tmp_path / "r2.png").stat().st_size > 5000


def test_a_run_without_genes_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "cytoripple_run.toml").write_text(RunRecord(Settings(), {}).text())
    with pytest.raises(RunError, match="no scores"):
        ct.pl.r2_summary(tmp_path)
    with pytest.raises(RunError):
        ct.pl.strongest_modulators(tmp_path)


def test_names_of_modulators_tell_their_kind() -> None:
    assert [modulator_kind(name, {"X"}) for name in ("L$R", "L#T", "X", "T")] == [
        "ligand-receptor",
        "ligand-TF",
        "extra",
        "TF",
    ]
