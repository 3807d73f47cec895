"""Packing and submitting from the command line."""

import json

import pytest
import typer
from typer.testing import CliRunner

from cytoripple.cli import _vc_data
from cytoripple.vc.guard import normalize_adata
from cytoripple.vc.store import RowStore
from cytoripple.vc.submission import read_submission
from tests.vc.helpers import screen_file

app = typer.Typer()
_vc_data.register(app)
COLUMNS = (
    "--group-by",
    "batch",
    "--cell-type-col",
    "cell_type",
    "--gene-id-col",
    "gene_id",
    "--progress",
    "none",
)


def ask(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def pred(tmp_path):
    _, adata = screen_file(tmp_path)
    normalize_adata(adata)
    adata.write_h5ad(tmp_path / "pred.h5ad")
    (tmp_path / "genes.csv").write_text("\n".join(adata.var_names))
    counts = adata.obs["target_gene"].value_counts().rename_axis("target_gene").reset_index(name="n_cells")
    counts.to_csv(tmp_path / "counts.csv", index=False)
    return tmp_path / "pred.h5ad", adata


def test_pack_a_file(tmp_path):
    path, adata = screen_file(tmp_path)
    answer = ask("pack", path, tmp_path / "x.rows", *COLUMNS, "--json")
    assert answer.exit_code == 0, answer.stderr
    (store,) = json.loads(answer.stdout)["stores"]
    assert (store["cells"], store["genes"], store["with_id"]) == (*adata.shape, 35)
    assert RowStore(tmp_path / "x.rows").n_obs == adata.n_obs
    again = ask("pack", path, tmp_path / "x.rows", *COLUMNS)
    assert again.exit_code == 1
    assert "--overwrite" in again.stderr
    assert ask("pack", path, tmp_path / "x.rows", *COLUMNS, "--overwrite").exit_code == 0


def test_pack_what_a_toml_names(tmp_path):
    path, _ = screen_file(tmp_path)
    (tmp_path / "data.toml").write_text(
        "".join(
            f'[[datasets]]\npath = "{path.name}"\npert_col = "target_gene"\nname = "{name}"\n'
            for name in "ab"
        )
    )
    answer = ask("pack", tmp_path / "data.toml", tmp_path / "stores", "--progress", "none")
    assert answer.exit_code == 0, answer.stderr
    assert "176 cells x 35 genes" in answer.stdout
    assert sorted(entry.name for entry in (tmp_path / "stores").iterdir()) == ["a.rows", "b.rows"]
    (tmp_path / "data.toml").write_text('[[datasets]]\npath = "x"\npert_colum = "y"\n')
    wrong = ask("pack", tmp_path / "data.toml", tmp_path / "stores")
    assert wrong.exit_code == 1
    assert "nearest: 'pert_col'" in wrong.stderr


def test_submit_a_prediction(pred, tmp_path):
    path, adata = pred
    words = (
        "--genes",
        tmp_path / "genes.csv",
        "--pert-counts",
        tmp_path / "counts.csv",
        "--progress",
        "none",
    )
    answer = ask("submit", path, *words, "--expected-genes", "-1", "--json")
    assert answer.exit_code == 0, answer.stderr
    assert json.loads(answer.stdout)["cells"] == adata.n_obs
    back = read_submission(tmp_path / "pred.prep.vcc")
    assert (back.X != adata.X).nnz == 0
    assert back.obs["target_gene"].astype(str).tolist() == adata.obs["target_gene"].astype(str).tolist()
    assert list(back.obs.columns) == ["target_gene"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "expected 18080"),
        (("--expected-genes", "-1", "--pert-col", "gene"), "no column 'gene'"),
        (("--expected-genes", "-1", "--control", "ntc"), "no cell of the control 'ntc'"),
        (("--expected-genes", "-1", "--max-cells", "10"), "at most 10"),
    ],
)
def test_submissions_that_are_refused(pred, tmp_path, words, says):
    answer = ask("submit", pred[0], "--genes", tmp_path / "genes.csv", "--out", tmp_path / "x.vcc", *words)
    assert answer.exit_code == 1
    assert says in answer.stderr
    assert not (tmp_path / "x.vcc").exists()


def test_gene_order_and_columns(pred, tmp_path):
    path, adata = pred
    (tmp_path / "genes.csv").write_text("\n".join(reversed(list(adata.var_names))))
    words = ("submit", path, "--genes", tmp_path / "genes.csv", "--expected-genes", "-1")
    assert "--reorder" in ask(*words).stderr
    assert ask(*words, "--reorder").exit_code == 0
    back = read_submission(tmp_path / "pred.prep.vcc")
    assert (back.X.toarray()[:, ::-1] == adata.X.toarray()).all()
    adata.X = adata.X.tocsc()
    adata.write_h5ad(path)
    assert "tocsr" in ask(*words, "--reorder").stderr


@pytest.mark.parametrize("name", ["pack", "submit"])
def test_help_has_an_example(name):
    text = ask(name, "--help").stdout
    assert f"Example: cytoripple vc {name}" in text
    for option in ("--json", "--progress", "--debug"):
        assert option in text
