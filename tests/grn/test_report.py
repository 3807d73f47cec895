"""The run summary page: self-contained, escaped, its badge from the counts."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cytoripple._anndata import Tissue
from cytoripple._settings import Settings
from cytoripple.grn.report import status, write_report
from cytoripple.io.betadata import write_betadata
from cytoripple.io.effects import write_scales
from cytoripple.io.gene_log import ClusterFit, log_path, log_text
from cytoripple.io.run import Run, open_run
from cytoripple.io.run_file import RunRecord, establish

EVIL = "</script><img src=x onerror=alert(1)>"
VOID = {"meta", "input", "br", "img", "link"}


class Page(HTMLParser):
    """Collects tags and the text of scripts, and checks that elements nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)


def tissue(n: int = 60) -> Tissue:
    rng = np.random.default_rng(0)
    return Tissue(
        obs_names=pd.Index([f"cell{i}" for i in range(n)]),
        var_names=pd.Index(["Sox2", "Actb", "Tgfb1", "Tgfbr1"]),
        expression=rng.uniform(0, 2, (n, 4)),
        xy=rng.uniform(0, 300, (n, 2)),
        clusters=np.arange(n) % 2,
        cluster_labels=("B cell", f"T {EVIL}"),
        samples=None,
        sample_labels=(),
        cell_types={},
        layer="X",
        cluster_key="cluster",
        spatial_key="spatial",
        sample_key=None,
    )


def make_run(folder: Path, *, n_targets: int = 2, failed: bool = False) -> Run:
    data = tissue()
    (folder / "log").mkdir(parents=True)
    provenance = {"n_targets": n_targets, "cluster_labels": list(data.cluster_labels), "n_cells": 60}
    settings = Settings().with_overrides({"data.adata_path": f"/data/{EVIL}.h5ad"})
    establish(folder, RunRecord(settings, provenance), {}, join=False)
    names = ("Sox2", "Tgfb1$Tgfbr1")
    write_betadata(
        folder / "Actb_betadata.feather",
        keys=[0, 1],
        intercept=np.array([0.1, 0.0]),
        modulators=names,
        betas=np.array([[0.5, -2.0], [0.0, 1.0]]),
    )
    write_scales(
        folder,
        ["Actb", *names],
        lambda name: data.column("Actb" if name == "Actb" else "Sox2"),
        data.clusters,
        2,
    )
    rows = [ClusterFit(c, 30, 2, 0.4, 0.1, 9, True, r2_raw=0.4 + c / 10, held_out_r2=0.2) for c in (0, 1)]
    log_path(folder, "Actb").write_text(log_text("Actb", rows, {}))
    (folder / "Tgfb1.orphan").write_text(f"no modulators {EVIL}\n")
    if failed:
        (folder / "Sox2.failed").write_text("ValueError: bad\n")
    return open_run(folder)


def test_the_page_is_self_contained_and_well_formed(tmp_path: Path) -> None:
    path = write_report(make_run(tmp_path / "run"), tissue())
    text = path.read_text()
    page = Page(text)
    assert page.open == []
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", text)
    assert "@import" not in text
    assert "url(" not in text
    assert not [attrs for tag, attrs in page.tags if tag in ("link", "img") or "onerror" in attrs]
    assert sum(tag == "svg" for tag, _ in page.tags) == 4, "map, two distributions, strongest modulators"
    assert list(path.parent.glob(".*.tmp")) == []


def test_text_of_the_user_cannot_become_markup(tmp_path: Path) -> None:
    text = write_report(make_run(tmp_path / "run"), tissue()).read_text()
    assert "<img" not in text
    assert "&lt;img" in text
    assert text.count("</script>") == 2


def test_the_table_holds_the_numbers_of_the_logs(tmp_path: Path) -> None:
    page = Page(write_report(make_run(tmp_path / "run"), tissue()).read_text())
    data = json.loads(page.scripts[0])
    assert data["labels"][0] == "B cell"
    (gene,) = data["genes"]
    assert gene["gene"] == "Actb"
    assert (gene["min"], gene["max"], gene["held"], gene["converged"]) == (0.4, 0.5, 0.2, 1.0)
    assert gene["rows"][1][:4] == [1, 30, 2, 0.5]


def test_the_same_run_gives_the_same_page(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    first = write_report(run, tissue()).read_bytes()
    assert write_report(run, tissue()).read_bytes() == first


def test_a_run_without_its_data_has_a_page_without_map(tmp_path: Path) -> None:
    page = Page(write_report(make_run(tmp_path / "run"), path=tmp_path / "page.html").read_text())
    assert sum(tag == "svg" for tag, _ in page.tags) == 3


@pytest.mark.parametrize(
    ("n_targets", "failed", "kind"), [(2, False, "good"), (5, False, "part"), (3, True, "bad")]
)
def test_the_badge_follows_the_counts(tmp_path: Path, n_targets: int, failed: bool, kind: str) -> None:
    run = make_run(tmp_path / "run", n_targets=n_targets, failed=failed)
    assert status([run.summary()])[1] == kind
    assert f'class="badge {kind}"' in write_report(run).read_text()


def test_effects_are_on_the_common_scale(tmp_path: Path) -> None:
    """The effect is beta times the ratio of standard deviations inside the cluster, largest first."""
    data = tissue()
    effects = make_run(tmp_path / "run").effects()
    assert effects["effect"].abs().is_monotonic_decreasing
    row = effects[(effects["modulator"] == "Sox2") & (effects["cluster"] == 0)].iloc[0]
    inside = data.clusters == 0
    expected = 0.5 * data.column("Sox2")[inside].std() / data.column("Actb")[inside].std()
    assert row["effect"] == pytest.approx(expected, rel=1e-12)
    assert len(effects) == 3, "zeros are left out"
