"""Training from the shell."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import cytoripple as ct
from cytoripple.cli._inputs import radius_warning
from cytoripple.cli._train_job import pair_list
from tests.cli.helpers import ask, call

Words = tuple[object, ...]


def test_the_result_tells_counts_scores_cost_and_places(train: Words, tmp_path: Path) -> None:
    answer = ask(*train, "--output-dir", tmp_path / "run", "--genes", "Tgt01,Tgt02", "--json")
    assert answer.code == 0, answer.err
    found = answer.data
    assert found["genes"] + found["orphans"] == 2
    assert found["failed"] == 0
    assert found["complete"]
    assert found["seconds"] > 0
    assert found["peak_memory_mb"] > 10
    assert Path(found["report"]).is_file()
    assert found["directory"] == str(tmp_path / "run")


def test_the_table_names_the_next_command(run: Path, train: Words) -> None:
    answer = ask(*train, "--output-dir", run, "--score-threshold", "-1")
    assert answer.code == 0, answer.err
    assert f"cytoripple perturb --run {run}" in answer.out
    assert "median R2 out of sample" in answer.out


def test_flags_win_over_the_settings_file(train: Words, tmp_path: Path) -> None:
    settings = tmp_path / "cytoripple.toml"
    settings.write_text("[spatial]\nradius = 77.0\ncontact_distance = 33.0\n[training]\nmax_genes = 1\n")
    answer = ask(*train, "--config", settings, "--radius", 55, "--output-dir", tmp_path / "run", "--json")
    assert answer.code == 0, answer.err
    stored = ct.io.open_run(tmp_path / "run").settings
    assert (stored.spatial.radius, stored.spatial.contact_distance) == (55.0, 33.0)
    assert stored.training.max_genes == 1


def test_the_settings_file_of_the_folder_is_found(toy: Path, tmp_path: Path) -> None:
    text = f"""
    [data]
    adata_path = "{toy / "toy.h5ad"}"
    cluster_annot = "cell_type"
    [grn]
    network = "{toy / "network.parquet"}"
    [lasso]
    group_reg = 1e-3
    l1_reg = 1e-3
    [training]
    genes = ["Tgt01"]
    cv_folds = 0
    """
    (tmp_path / "cytoripple.toml").write_text(text)
    answer = call("train", "--output-dir", "run", "--json", cwd=tmp_path)
    assert answer.code == 0, answer.err
    assert (tmp_path / "run" / "cytoripple_run.toml").is_file()
    (tmp_path / "cytoripple.toml").rename(tmp_path / "spaceship_config.toml")
    assert "spaceship_config.toml" in call("train", "--output-dir", "run2", cwd=tmp_path).err


def test_the_most_variable_regulated_genes_are_taken(train: Words, tmp_path: Path, toy: Path) -> None:
    answer = ask(*train, "--output-dir", tmp_path / "run", "--top-variable", 3, "--json")
    assert answer.code == 0, answer.err
    adata = ct.io.read(toy / "toy.h5ad")
    regulated = set(ct.io.read_network(toy / "network.parquet").tf["target"])
    expected = ct.pp.most_variable_genes(adata, 3, layer="imputed_count", among=regulated)
    assert list(ct.io.open_run(tmp_path / "run").settings.training.genes or ()) == expected
    assert "--top-variable" in ask(*train, "--top-variable", 3, "--genes", "Tgt01").sentence


def test_a_usual_cluster_column_is_taken_aloud_when_nobody_named_one(toy: Path, tmp_path: Path) -> None:
    adata = ct.io.read(toy / "toy.h5ad")
    del adata.obs["cell_type_int"]
    adata.write_h5ad(tmp_path / "a.h5ad")
    words = ("--h5ad", tmp_path / "a.h5ad", "--network", toy / "network.parquet", "--genes", "Tgt01")
    answer = ask(
        "train", *words, "--output-dir", tmp_path / "run", "--group-reg", 1e-3, "--l1-reg", 1e-3, "--json"
    )
    assert answer.code == 0, answer.err
    assert "obs['cell_type']" in answer.err
    assert ct.io.open_run(tmp_path / "run").settings.data.cluster_annot == "cell_type"


def test_a_scale_is_remembered_for_the_simulation(train: Words, tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = (
        *train,
        "--output-dir",
        run,
        "--coordinate-scale",
        2,
        "--score-threshold",
        "-1",
        "--max-genes",
        5,
    )
    assert ask(*words, "--json").code == 0
    gene = ct.io.open_run(run).genes()[0]
    answer = ask("perturb", "--run", run, "--gene", gene, "--out", tmp_path / "ko", "--no-pictures", "--json")
    assert answer.code == 0, answer.err


def test_joining_takes_the_leaders_settings_and_says_what_it_ignores(
    run: Path, train: Words, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    answer = ask("train", "--join-output-dir", copy, "--radius", 3, "--json")
    assert answer.code == 0, answer.err
    assert "--radius" in answer.err
    assert ct.io.open_run(copy).settings.spatial.radius == ct.io.open_run(run).settings.spatial.radius
    assert "split" in ask(*train, "--join-output-dir", copy, "--condition", "domain").sentence


def test_progress_as_json_lines_stays_on_stderr(train: Words, tmp_path: Path) -> None:
    words = [word for word in train if word not in ("--progress", "none")]
    answer = call(
        *words, "--output-dir", tmp_path / "run", "--genes", "Tgt01", "--progress", "json", "--json"
    )
    assert answer.code == 0, answer.err
    assert '"stage"' in answer.err
    assert answer.data["complete"]


def test_when_nothing_was_written_it_says_why(train: Words, tmp_path: Path) -> None:
    answer = ask(
        *train, "--output-dir", tmp_path / "run", "--genes", "Tgt01", "--score-threshold", 1, "--json"
    )
    assert answer.code == 0, answer.err
    assert answer.data["genes"] == 0
    assert any("score threshold" in line for line in answer.data["advice"])
    shown = ask(*train, "--output-dir", tmp_path / "run", "--genes", "Tgt01", "--score-threshold", 1)
    assert "nothing was written" in shown.out


@pytest.mark.parametrize(
    ("radius", "told"), [(600.0, "half of the tissue"), (5.0, "below the spacing"), (50.0, None)]
)
def test_a_radius_in_wrong_units_is_noticed(radius: float, told: str | None) -> None:
    found = radius_warning(radius, spacing=10.0, extent=1000.0)
    if told is None:
        assert found is None
    else:
        assert found is not None
        assert told in found
        assert "--coordinate-scale" in found


def test_the_warning_about_the_radius_reaches_the_user(train: Words, tmp_path: Path) -> None:
    answer = ask(*train, "--output-dir", tmp_path / "run", "--genes", "Tgt01", "--radius", 5000, "--json")
    assert "warning: the radius 5000 is more than half" in answer.err


def test_pairs_are_read_in_both_notations() -> None:
    assert pair_list("A$B,C$D") == ["A$B", "C$D"]
    assert pair_list("A,B;C,D") == ["A,B", "C,D"]
    assert pair_list("A,B") == ["A,B"]
