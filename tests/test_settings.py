"""Settings: TOML round trip, unknown keys, ranges, and the reference's files."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cytoripple._errors import SettingsError
from cytoripple._settings import Settings, known_keys

REFERENCE = """
[data]
adata_path = "~/slide.h5ad"
layer = "imputed_count"
cluster_annot = "cell_type_int"
[spatial]
radius = 120.0
spatial_dim = 32
contact_distance = 30.0
[grn]
tf_ligand_cutoff = 0.2
max_lr_pairs = 40
[cnn]
spatial_feature_radius = 200.0
[lasso]
l1_reg = 1e-4
group_reg = 1e-3
n_iter = 100
tol = 1e-4
[training]
mode = "full"
seed_only = true
epochs = 10
score_threshold = 0.1
[training.hybrid]
moran_k_neighbors = 8
[execution]
n_parallel = 9
[perturbation]
n_propagation = 4
[model_export]
save_cnn_weights = false
"""


def write(folder: Path, text: str, name: str = "cytoripple.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(
    radius=st.floats(1e-3, 1e4),
    share=st.floats(0, 1),
    genes=st.none()
    | st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1), max_size=4),
    cap=st.none() | st.integers(1, 100),
)
def test_settings_survive_a_round_trip(
    tmp_path: Path, radius: float, share: float, genes: list[str] | None, cap: int | None
) -> None:
    """What is dumped is what is loaded, also for unset keys and odd gene names."""
    given = Settings().with_overrides(
        {
            "spatial.radius": radius,
            "lasso.l1_share": share,
            "training.genes": None if genes is None else tuple(genes),
            "grn.max_ligands": cap,
        }
    )
    given.dump(tmp_path / "cytoripple.toml")
    assert Settings.load(tmp_path / "cytoripple.toml") == given


def test_unset_keys_are_left_out(tmp_path: Path) -> None:
    Settings().dump(tmp_path / "cytoripple.toml")
    text = (tmp_path / "cytoripple.toml").read_text()
    assert "max_ligands" not in text
    assert 'group_reg = "cv"' in text


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("[lasso]\nl1reg = 0.1\n", ["lasso.l1reg", "lasso.l1_reg"]),
        ("[spatial]\nraduis = 3.0\n", ["spatial.raduis", "spatial.radius"]),
        ("[lasso]\nradius = 3.0\n", ["lasso.radius", "spatial.radius"]),
        ("[spacial]\nradius = 3.0\n", ["spacial"]),
    ],
)
def test_an_unknown_key_names_the_nearest_one_and_the_file(
    tmp_path: Path, text: str, names: list[str]
) -> None:
    path = write(tmp_path, text)
    with pytest.raises(SettingsError) as caught:
        Settings.load(path)
    for name in [*names, str(path)]:
        assert name in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("spatial.radius", -5.0, "greater than 0"),
        ("spatial.radius", float("inf"), "finite"),
        ("spatial.kernel", "box", "gaussian"),
        ("training.cv_folds", 1, "at least 2"),
        ("training.mode", "full", "seed"),
        ("lasso.l1_share", 1.5, "less than or equal to 1"),
        ("execution.threads", -1, "greater than or equal to 0"),
        ("spatial.rtol", 0.5, "0.001"),
    ],
)
def test_a_value_out_of_range_is_one_clear_sentence(key: str, value: object, words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings().with_overrides({key: value})
    message = str(caught.value)
    assert key in message
    assert words in message
    assert "\n" not in message
    assert "pydantic" not in message


def test_penalties_come_in_pairs() -> None:
    with pytest.raises(SettingsError, match="both"):
        Settings().with_overrides({"lasso.l1_reg": 0.1})
    given = Settings().with_overrides({"lasso.l1_reg": 0.1, "lasso.group_reg": 0.2})
    assert not given.lasso.chosen


def test_the_choice_of_the_penalty_needs_folds() -> None:
    with pytest.raises(SettingsError, match="at least 2 folds"):
        Settings().with_overrides({"training.cv_folds": 0})
    assert Settings().with_overrides({"training.cv_folds": 0, "lasso.kappa": 0.5}).training.cv_folds == 0


def test_the_working_directory_is_searched(tmp_path: Path) -> None:
    assert Settings.discover(tmp_path) == Settings()
    write(tmp_path, REFERENCE, "spaceship_config.toml")
    assert Settings.discover(tmp_path).spatial.radius == 120.0
    write(tmp_path, "[spatial]\nradius = 77.0\n")
    assert Settings.discover(tmp_path).spatial.radius == 77.0


def test_a_broken_file_is_an_error_and_not_the_defaults(tmp_path: Path) -> None:
    path = write(tmp_path, "[spatial\nradius = 3")
    with pytest.raises(SettingsError, match="not valid TOML"):
        Settings.discover(tmp_path)
    with pytest.raises(SettingsError, match="no settings file"):
        Settings.load(tmp_path / "absent.toml")
    assert path.exists()


def test_a_reference_file_is_read_with_one_note(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path, REFERENCE, "spaceship_config.toml")
    with caplog.at_level(logging.INFO, logger="cytoripple"):
        found = Settings.load(path)
    assert (found.spatial.radius, found.spatial.contact_distance) == (120.0, 30.0)
    assert (found.lasso.group_reg, found.lasso.l1_reg, found.grn.max_ligands) == (1e-3, 1e-4, 40)
    assert found.perturbation.n_propagation == 4
    assert found.data.adata_path == str(Path.home() / "slide.h5ad")
    assert found.lasso.n_iter is None, "iterations of another solver are not taken over"
    notes = [record for record in caplog.records if "not used by cytoripple" in record.message]
    assert len(notes) == 1
    assert "cnn" in notes[0].message
    assert any("'full'" in record.message for record in caplog.records)


def test_unknown_keys_of_a_reference_file_only_warn(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path, REFERENCE + "[extra]\nfuel = 1\n", "SpaceshipConfig.toml")
    found = Settings.load(path)
    assert found.spatial.radius == 120.0
    assert any("extra.fuel" in record.message for record in caplog.records)


def test_old_names_of_keys_are_understood(tmp_path: Path) -> None:
    path = write(tmp_path, "[grn]\nmax_lr_pairs = 12\ntop_lr_pairs_by_mean_expression = 3\n")
    assert Settings.load(path).grn.max_ligands == 12
    with pytest.raises(SettingsError, match="old name"):
        Settings.load(write(tmp_path, "[grn]\nmax_lr_pairs = 12\nmax_ligands = 3\n"))


def test_every_known_key_has_a_section() -> None:
    assert {"spatial.radius", "lasso.group_reg", "perturbation.n_propagation"} <= set(known_keys())
    assert all(key.count(".") == 1 for key in known_keys())
