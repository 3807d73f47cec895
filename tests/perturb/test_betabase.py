"""Coefficients meet a tissue: every gene and every cell finds its place or is reported."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from cytoripple._anndata import Tissue, read_tissue
from cytoripple._errors import ClusterError, GeneMatchError, InputError, RunError
from cytoripple._settings import Settings
from cytoripple.io.betadata import write_betadata
from cytoripple.io.run import Run
from cytoripple.perturb import Betabase
from cytoripple.perturb.fitted import Fitted
from cytoripple.perturb.rows import RowMap
from tests.perturb.conftest import GENES, KEYWORDS, MODELS

FOLDER = {name: value for name, value in KEYWORDS.items() if name != "ligand_method"}


def read(adata: AnnData, cluster_key: str = "cluster") -> Tissue:
    return read_tissue(adata, cluster_key=cluster_key, layer="imputed_count")


def write(
    folder: Path, keys: list[str] | list[int], modulators: list[str] | None = None, key: str = "Cluster"
) -> Path:
    names = ["FOXO1"] if modulators is None else modulators
    betas = np.arange(1.0, len(keys) * len(names) + 1).reshape(len(keys), len(names))
    path = folder / "MYC_betadata.csv"
    table = pd.DataFrame(betas, columns=[f"beta_{name}" for name in names])
    table.insert(0, key, keys)
    table.to_csv(path, index=False)
    return folder


def rows(folder: Path, adata: AnnData, cluster_key: str = "cluster", **options: object) -> np.ndarray:
    base = Betabase.from_folder(folder)
    return RowMap(read(adata, cluster_key), **options).of(base.table("MYC"))  # type: ignore[arg-type]


def run_of(folder: Path, adata: AnnData, **changes: object) -> Run:
    settings = Settings().with_overrides(
        {"data.layer": "imputed_count", "data.cluster_annot": "cluster", "spatial.radius": 30.0}
    )
    recorded: dict[str, object] = {
        "directory": folder,
        "settings": settings,
        "cluster_labels": ("0", "1"),
        "radii": {"CCL5": 30.0},
        "kernel": "gaussian",
    }
    return Run(**(recorded | changes))  # type: ignore[arg-type]


def test_roles_are_collected(betas: Path) -> None:
    base = Betabase.open(betas)
    assert base.targets == ("IL10", "MYC", "STAT1")
    assert base.tfs == {"FOXO1", "MYC", "STAT1"}
    assert (base.lr_ligands, base.receptors, base.tfl_ligands) == ({"CCL5"}, {"CCR5"}, {"CCL5"})


def test_the_axis_holds_only_genes_that_take_part(betas: Path, tissue: AnnData) -> None:
    base = Betabase.open(betas, **FOLDER)
    bound = base.bind(read(tissue), with_genes=["LONE"])
    assert bound.genes == tuple(gene for gene in GENES if gene != "ACTB")
    assert [GENES[place] for place in bound.positions] == list(bound.genes)
    assert bound.targets == tuple(sorted(MODELS))
    assert [bound.genes[place] for place in bound.ligand_genes] == list(bound.ligands) == ["CCL5"]
    np.testing.assert_array_equal(
        bound.expression(read(tissue)), tissue.layers["imputed_count"][:, bound.positions]
    )
    assert bound.report.text() == ""


def test_genes_that_are_not_measured_are_reported(betas: Path, tissue: AnnData) -> None:
    """A missing modulator counts as not expressed; the reference took the first gene of the matrix."""
    small = tissue[:, [gene for gene in GENES if gene not in ("FOXO1", "STAT1")]].copy()
    bound = Betabase.open(betas, **FOLDER).bind(read(small))
    assert bound.report.missing_targets == ("STAT1",)
    assert bound.report.missing_modulators == {"FOXO1": 1, "STAT1": 1}
    assert "FOXO1" in bound.report.text()
    with pytest.raises(GeneMatchError, match="STAT1"):
        Betabase.open(betas, strict=True, **FOLDER).bind(read(small))


def test_data_without_any_target_are_refused(betas: Path, tissue: AnnData) -> None:
    with pytest.raises(GeneMatchError, match="none of the 3 targets"):
        Betabase.open(betas, **FOLDER).bind(read(tissue[:, ["ACTB", "CCL5"]].copy()))


def test_an_unknown_target_is_named_with_its_neighbor(betas: Path) -> None:
    with pytest.raises(InputError, match="nearest: 'MYC'"):
        Betabase.open(betas).table("Myc")
    (betas / "GATA3.orphan").touch()
    with pytest.raises(InputError, match="no modulator survived"):
        Betabase.open(betas).table("GATA3")


def test_whole_number_clusters_are_found_by_number(tmp_path: Path, tissue: AnnData) -> None:
    found = rows(write(tmp_path, [1, 0, 7]), tissue)
    np.testing.assert_array_equal(found, np.where(tissue.obs["cluster"] == 1, 0, 1))


def test_text_clusters_are_found_by_label(tmp_path: Path, tissue: AnnData) -> None:
    """The reference cast text to numbers and put every cell in cluster 0."""
    found = rows(write(tmp_path, ["T cell", "B cell"]), tissue, "label")
    np.testing.assert_array_equal(found, np.where(tissue.obs["label"] == "T cell", 0, 1))


def test_text_clusters_are_found_by_their_number(tmp_path: Path, tissue: AnnData) -> None:
    """Numbers of text labels follow the sorted labels: B cell is 0."""
    found = rows(write(tmp_path, [0, 1]), tissue, "label")
    np.testing.assert_array_equal(found, np.where(tissue.obs["label"] == "B cell", 0, 1))


def test_keys_that_fit_in_two_ways_are_refused(tmp_path: Path, tissue: AnnData) -> None:
    """As text, '10' sorts before '9': label 9 would be number 1."""
    tissue.obs["text"] = np.where(tissue.obs["cluster"] == 0, "1", "0x")
    folder = write(tmp_path, ["0", "1", "0x"])
    with pytest.raises(ClusterError, match="astype"):
        rows(folder, tissue, "text")


def test_the_labels_of_the_run_decide(tmp_path: Path, tissue: AnnData) -> None:
    """The ids of a run stay valid for data that lack some of its clusters."""
    folder = write(tmp_path, [0, 1, 2])
    found = rows(folder, tissue, "label", cluster_labels=("B cell", "Mast", "T cell"))
    np.testing.assert_array_equal(found, np.where(tissue.obs["label"] == "T cell", 2, 0))


def test_cells_are_found_by_name(tmp_path: Path, tissue: AnnData) -> None:
    names = list(tissue.obs_names[::-1])
    found = rows(write(tmp_path, names, key="CellID"), tissue)
    np.testing.assert_array_equal(found, np.arange(len(names))[::-1])


def test_cell_names_that_look_like_clusters_stay_cell_names(tmp_path: Path, tissue: AnnData) -> None:
    tissue.obs_names = [str(i) for i in range(tissue.n_obs)]
    found = rows(write(tmp_path, [str(i) for i in range(tissue.n_obs)], key="CellID"), tissue)
    np.testing.assert_array_equal(found, np.arange(tissue.n_obs))


def test_a_cluster_without_a_row_is_an_error_or_zero(tmp_path: Path, tissue: AnnData) -> None:
    """The reference gave such cells the first row."""
    folder = write(tmp_path, [0])
    with pytest.raises(ClusterError, match="none for the clusters '1'"):
        rows(folder, tissue)
    found = rows(folder, tissue, missing="zero")
    np.testing.assert_array_equal(found, np.where(tissue.obs["cluster"] == 0, 0, -1))
    base = Betabase.open(folder, missing="zero", **FOLDER)
    assert base.bind(read(tissue)).report.cells_without_row == {"MYC": 20}


def test_a_cell_without_a_row_is_an_error_or_zero(tmp_path: Path, tissue: AnnData) -> None:
    folder = write(tmp_path, list(tissue.obs_names[1:]), key="CellID")
    with pytest.raises(InputError, match="no row for 1 of 40 cells \\('cell_00'\\)"):
        rows(folder, tissue)
    assert rows(folder, tissue, missing="zero")[0] == -1


def test_rows_without_keys_are_never_guessed(tmp_path: Path, tissue: AnnData) -> None:
    (tmp_path / "MYC_betadata.csv").write_text("beta_FOXO1\n1\n2\n")
    with pytest.raises(InputError, match="name its first column Cluster or CellID"):
        rows(tmp_path, tissue, missing="zero")


def test_a_plain_folder_needs_the_keys_of_the_data(betas: Path, tissue: AnnData) -> None:
    with pytest.raises(InputError, match="does not record its layer"):
        Betabase.open(betas).fitted.read(tissue)
    with pytest.raises(InputError, match="cluster_key"):
        Betabase.open(betas, layer="imputed_count").fitted.read(tissue)


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("kernel", "gaussian_truncated"),
        ("radius", 31.0),
        ("contact_distance", 7.0),
        ("scale_factor", 2.0),
        ("cluster_key", "label"),
        ("layer", "X"),
        ("sample_key", "label"),
        ("radii", {"CCL5": 10.0}),
    ],
)
def test_a_run_refuses_other_settings(betas: Path, tissue: AnnData, keyword: str, value: object) -> None:
    run = run_of(betas, tissue)
    with pytest.raises(RunError, match="was trained with"):
        Betabase.open(run, **{keyword: value})


def test_a_run_accepts_its_own_settings(betas: Path, tissue: AnnData) -> None:
    run = run_of(betas, tissue)
    base = Betabase.open(run, kernel="gaussian", radius=30.0, layer="imputed_count", radii={"CCL5": 30.0})
    assert base.fitted.radius_of("CCL5") == 30.0
    assert base.fitted.radius_of("CXCL12") is None


def test_a_run_of_the_reference_has_one_radius(betas: Path, tissue: AnnData) -> None:
    base = Betabase.open(run_of(betas, tissue, radii={}, cluster_labels=()))
    assert base.fitted.radius_of("CCL5") == 30.0


def test_a_run_refuses_another_data_set(betas: Path, tissue: AnnData) -> None:
    from cytoripple._provenance import hash_tissue

    own = run_of(betas, tissue, provenance={"input_hash": hash_tissue(read(tissue))})
    assert len(Betabase.open(own).fitted.read(tissue).obs_names) == 40
    tissue.layers["imputed_count"][0, 0] += 1.0
    with pytest.raises(RunError, match="another data set"):
        Betabase.open(own).fitted.read(tissue)


def test_a_run_directory_is_opened_with_its_run_file(betas: Path) -> None:
    text = "[data]\nlayer = 'imputed_count'\ncluster_annot = 'cluster'\n[spatial]\nradius = 55.0\n"
    (betas / "spacetravlr_run_repro.toml").write_text(text)
    base = Betabase.open(betas)
    assert base.fitted.recorded
    assert (base.fitted.cluster_key, base.fitted.radius_of("CCL5")) == ("cluster", 55.0)
    assert not Betabase.from_folder(betas).fitted.recorded


def test_the_preset_chooses_the_kernel_only_where_none_is_known(betas: Path, tissue: AnnData) -> None:
    plain, run = Betabase.open(betas), Betabase.open(run_of(betas, tissue))
    kernels = {preset: plain.fitted.kernel_for(preset) for preset in ("python", "rust", "cytoripple")}
    assert kernels == {"python": "gaussian_truncated", "rust": "gaussian", "cytoripple": "gaussian"}
    assert run.fitted.kernel_for("python") == "gaussian"
    with pytest.raises(InputError, match="preset is 'julia'"):
        plain.fitted.kernel_for("julia")


@pytest.mark.parametrize(
    "keywords",
    [{"radius": -1.0}, {"radii": {"CCL5": float("nan")}}, {"scale_factor": 0.0}, {"kernel": "box"}],
)
def test_impossible_settings_are_refused(keywords: dict[str, object]) -> None:
    with pytest.raises(InputError):
        Fitted(source=Path("x")).with_keywords(**keywords)  # type: ignore[arg-type]


def test_unreadable_files_are_an_error_unless_skipped(betas: Path, tissue: AnnData) -> None:
    (betas / "GATA3_betadata.feather").write_bytes(b"no")
    with pytest.raises(InputError, match="GATA3"):
        Betabase.open(betas)
    base = Betabase.open(betas, on_error="skip", **FOLDER)
    assert "GATA3" in base.bind(read(tissue)).report.text()


def test_interactions_become_a_long_table(tmp_path: Path) -> None:
    names = ["FOXO1", "CCL5$CCR5", "CCL5#STAT1"]
    write_betadata(
        tmp_path / "MYC_betadata.feather",
        keys=[0, 1],
        intercept=np.ones(2),
        modulators=names,
        betas=np.array([[1.0, -4.0, 2.0], [3.0, 0.0, -2.0]]),
    )
    base = Betabase.open(tmp_path)
    table = base.collect_interactions()
    assert list(table.columns) == ["interaction", "target_gene", "beta", "interaction_type", "cell_type"]
    assert table[["interaction", "beta", "interaction_type"]].to_numpy().tolist() == [
        ["CCL5$CCR5", -2.0, "ligand-receptor"],
        ["FOXO1", 2.0, "tf"],
    ]
    one = base.collect_interactions("1", "mean")
    assert dict(zip(one["interaction"], one["beta"], strict=True)) == {"FOXO1": 3.0, "CCL5#STAT1": -2.0}
    expected = {
        "min": {"FOXO1": 1.0, "CCL5$CCR5": -4.0, "CCL5#STAT1": -2.0},
        "max": {"FOXO1": 3.0, "CCL5#STAT1": 2.0},
        "sum": {"FOXO1": 4.0, "CCL5$CCR5": -4.0},
        "positive": {"FOXO1": 2.0, "CCL5#STAT1": 2.0},
        "negative": {"CCL5$CCR5": -4.0, "CCL5#STAT1": -2.0},
    }
    for how, values in expected.items():
        found = base.collect_interactions(aggregate=how)  # type: ignore[arg-type]
        assert dict(zip(found["interaction"], found["beta"], strict=True)) == values, how
    with pytest.raises(ClusterError, match="'9'"):
        base.collect_interactions("9")
    with pytest.raises(InputError, match="median"):
        base.collect_interactions(aggregate="median")  # type: ignore[arg-type]


def test_interactions_of_cells_need_their_labels(tmp_path: Path, tissue: AnnData) -> None:
    write(tmp_path, list(tissue.obs_names), key="CellID")
    base = Betabase.open(tmp_path)
    with pytest.raises(InputError, match="give labels"):
        base.collect_interactions("T cell")
    table = base.collect_interactions("T cell", labels=tissue.obs["label"])
    assert table["beta"].tolist() == [np.arange(1.0, 41.0)[::2].mean()]
