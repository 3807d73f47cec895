"""Data sets with columns of their own get the same ones, and mistakes in settings are named."""

import numpy as np
import pandas as pd
import pytest

from cytoripple._errors import InputError, SettingsError
from cytoripple.vc.dataset import DatasetSpec, harmonize_obs, read_dataset, read_specs
from tests.vc.helpers import screen_file, spec_of

OBS = pd.DataFrame(
    {
        "gene": pd.Categorical(["STAT1", None, "JAK2", None]),
        "lane": [1, 1, 2, 2],
        "donor": ["a", "b", "a", "b"],
        "guides": ["1", "1", "2", "1"],
    }
)


def test_specs_from_toml(tmp_path):
    (tmp_path / "data.toml").write_text(
        '[[datasets]]\npath = "a.h5ad"\npert_col = "gene"\ngroup_by = ["lane", "donor"]\ncell_type = "K562"\n'
        '[[datasets]]\npath = "/b.h5ad"\npert_col = "perturbation"\nctrl_label = "nan"\nname = "gasperini"\n'
    )
    first, second = read_specs(tmp_path / "data.toml")
    assert (first.path, first.name, first.group_by) == (tmp_path / "a.h5ad", "a", ("lane", "donor"))
    assert (first.ctrl_label, first.cell_type) == ("non-targeting", "K562")
    assert (str(second.path), second.name, second.ctrl_label) == ("/b.h5ad", "gasperini", "nan")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[[datasets]]\npath = "a"\npert_colum = "gene"\n', "nearest: 'pert_col'"),
        ('[[datasets]]\npath = "a"\n', "pert_col is missing"),
        ('[[datasets]]\npath = "a"\npert_col = 3\n', "expected text"),
        ('[[datasets]]\npath = "a"\npert_col = ""\n', "pert_col is empty"),
        (
            '[[datasets]]\npath = "a"\npert_col = "g"\ncell_type = "x"\ncell_type_col = "y"\n',
            "give one of them",
        ),
        ('[[datasets]]\npath = "a"\npert_col = "g"\n' * 2, "two data sets"),
        ('[[dataset]]\npath = "a"\n', "unknown key 'dataset'"),
        ("", "no .*datasets"),
        ("[[", "no valid TOML"),
    ],
)
def test_mistakes_in_specs(tmp_path, text, says):
    (tmp_path / "data.toml").write_text(text)
    with pytest.raises(SettingsError, match=says):
        read_specs(tmp_path / "data.toml")
    with pytest.raises(FileNotFoundError):
        read_specs(tmp_path / "other.toml")


def test_missing_values_are_the_text_nan():
    spec = DatasetSpec("x.h5ad", "gene", "nan", ("lane", "donor"), cell_type="K562")
    obs, keep = harmonize_obs(OBS, spec)
    assert obs["target_gene"].tolist() == ["STAT1", "non-targeting", "JAK2", "non-targeting"]
    assert obs["pert_original"].tolist() == ["STAT1", "nan", "JAK2", "nan"]
    assert obs["batch"].tolist() == ["1|a", "1|b", "2|a", "2|b"]
    assert set(obs["cell_type"]) == {"K562"}
    assert keep.all()


def test_multiplets_are_dropped_unless_asked():
    spec = DatasetSpec("x.h5ad", "gene", "nan", multiplet_col="guides")
    assert harmonize_obs(OBS, spec)[1].tolist() == [True, True, False, True]
    assert harmonize_obs(OBS, spec, keep_multiplets=True)[1].all()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"pert_col": "genes"}, "no column 'genes' .*nearest: 'gene'"),
        ({"ctrl_label": "control"}, "no cell of x has gene = 'control'"),
        ({"group_by": ("plate",)}, "no column 'plate' \\(group_by\\)"),
        ({"cell_type_col": "type"}, "no column 'type'"),
        ({"multiplet_col": "donor"}, "is not a number in 4 cells"),
    ],
)
def test_columns_that_are_not_there(changes, says):
    spec = DatasetSpec(**{"path": "x.h5ad", "pert_col": "gene", "ctrl_label": "nan"} | changes)
    with pytest.raises(InputError, match=says):
        harmonize_obs(OBS, spec)


def test_a_data_set_of_controls_only():
    with pytest.raises(InputError, match="control and perturbed"):
        harmonize_obs(OBS.iloc[[1, 3]], DatasetSpec("x.h5ad", "gene", "nan"))


def test_read_into_memory(tmp_path):
    path, adata = screen_file(tmp_path)
    adata.obs["guides"] = np.arange(adata.n_obs) % 2 + 1
    adata.layers["twice"] = adata.X * 2
    adata.write_h5ad(path)
    read = read_dataset(spec_of(path, multiplet_col="guides", layer="twice"))
    assert read.n_obs == adata.n_obs // 2
    np.testing.assert_array_equal(read.X.toarray(), 2 * adata.X[::2].toarray())
    assert {"dataset", "cell_type", "batch", "target_gene", "pert_original"} <= set(read.obs)
    with pytest.raises(InputError, match="nearest: 'twice'"):
        read_dataset(spec_of(path, layer="twices"))
