"""Settings of a run: one class per section of the TOML file, checked before any work."""

from __future__ import annotations

import logging
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from cytoripple import _reference_settings as reference
from cytoripple._errors import SettingsError, nearest
from cytoripple._provenance import write_text

log = logging.getLogger(__name__)

SETTINGS_FILE = "cytoripple.toml"
Penalty = Annotated[float, Field(ge=0.0, allow_inf_nan=False)] | Literal["cv"]
Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
FilePath = Annotated[str, BeforeValidator(lambda text: str(Path(text).expanduser()) if text else text)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


class Data(_Section):
    """Where the data are and which parts of them are used."""

    adata_path: FilePath = ""
    layer: str = "normalized_count"
    cluster_annot: str = "cell_type_int"
    condition: str | None = None
    spatial_key: str | None = None
    sample_key: str | None = None
    species: Literal["mouse", "human"] | None = None


class Spatial(_Section):
    """How far ligands reach. Lengths are in the unit of the coordinates.

    The command line multiplies the coordinates of a file by ``coordinate_scale`` before anything else; the
    library takes them as they are.
    """

    coordinate_scale: Positive = 1.0
    radius: Positive = 200.0
    contact_distance: Positive = 50.0
    weighted_ligand_scale_factor: Positive = 1.0
    kernel: Literal["gaussian", "gaussian_truncated", "gaussian_cutoff"] = "gaussian"
    cutoff: Positive | None = None
    ligand_method: Literal["auto", "direct", "mesh", "anchors"] = "auto"
    rtol: Annotated[float, Field(ge=1e-12, le=1e-3)] = 1e-6
    training_grid_factor: Positive = 0.5


class Grn(_Section):
    """Which modulators a target gene may have."""

    network: FilePath | None = None
    network_data_dir: FilePath | None = None
    tf_priors_feather: FilePath | None = None
    tf_priors_mask_tfl: bool = False
    tf_ligand_cutoff: Annotated[float, Field(allow_inf_nan=False)] = 0.15
    tfl_exclude_ligand_regulators: bool = False
    max_ligands: Annotated[int, Field(ge=1)] | None = None
    use_tf_modulators: bool = True
    use_lr_modulators: bool = True
    use_tfl_modulators: bool = True
    extra_modulators: tuple[str, ...] = ()
    extra_modulators_file: FilePath | None = None
    extra_lr: tuple[str, ...] = ()
    extra_lr_file: FilePath | None = None
    min_expression: float = 1e-9


class Lasso(_Section):
    """The penalty and the solver. ``"cv"`` chooses one multiplier for the whole run by cross-validation.

    Keys that are unset take the value of the estimator when the training starts; see
    `cytoripple.grn.estimator.resolve_estimator`.
    """

    group_reg: Penalty = "cv"
    l1_reg: Penalty = "cv"
    kappa: Positive | Literal["cv"] = "cv"
    l1_share: Annotated[float, Field(ge=0.0, le=1.0)] | None = None
    dense_share: Annotated[float, Field(ge=0.0, le=1.0)] | None = None
    scale_reg: Literal["group_size", "inverse_group_size", "none"] = "group_size"
    solver: Literal["descent", "fista", "reference"] = "descent"
    n_iter: Annotated[int, Field(ge=1)] | None = None
    tol: Annotated[float, Field(gt=0.0, lt=1.0)] | None = None

    @model_validator(mode="after")
    def _both_or_neither(self) -> Self:
        if (self.group_reg == "cv") != (self.l1_reg == "cv"):
            raise ValueError(
                f"group_reg is {self.group_reg!r} and l1_reg is {self.l1_reg!r}: "
                'give numbers for both, or leave both at "cv"'
            )
        if self.given is not None and self.kappa != "cv":
            raise ValueError(
                f"kappa is {self.kappa} and group_reg is {self.group_reg}: kappa replaces both penalties"
            )
        return self

    @property
    def chosen(self) -> bool:
        """Whether the penalty is chosen by cross-validation."""
        return self.given is None and self.kappa == "cv"

    @property
    def given(self) -> tuple[float, float] | None:
        """Group and L1 penalty when they are numbers."""
        if self.group_reg == "cv" or self.l1_reg == "cv":
            return None
        return self.group_reg, self.l1_reg


class Training(_Section):
    """What is trained and what is kept."""

    mode: Literal["seed"] = "seed"
    estimator: Literal["joint", "sgl", "reference"] | None = None
    noise_correction: Literal["auto"] | bool = "auto"
    effect_kappa_factor: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    score_threshold: Annotated[float, Field(le=1.0, allow_inf_nan=False)] | None = None
    genes: tuple[str, ...] | None = None
    max_genes: Annotated[int, Field(ge=1)] | None = None
    cv_folds: Annotated[int, Field(ge=0, le=100)] = 5
    cv_targets: Annotated[int, Field(ge=1)] = 100
    seed: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _one_fold_is_none(self) -> Self:
        if self.cv_folds == 1:
            raise ValueError("cv_folds is 1: use 0 for no folds or at least 2")
        return self


class Execution(_Section):
    """How the work is done; nothing here changes a result."""

    output_dir: FilePath = ""
    threads: Annotated[int, Field(ge=0)] = 0
    stale_lock_secs: Annotated[float, Field(ge=0.0)] = 900.0
    betadata_format: Literal["feather", "parquet", "csv"] = "feather"


class Perturbation(_Section):
    """Defaults of the simulation of a perturbation."""

    preset: Literal["cytoripple", "python", "rust"] = "cytoripple"
    propagation: Literal["reevaluate", "linear"] | None = None
    beta_scale_factor: Annotated[float, Field(allow_inf_nan=False)] = 1.0
    beta_cap: Positive | None = None
    n_propagation: Annotated[int, Field(ge=1)] | None = None
    ligand_grid_factor: Positive | None = None
    cells_csv: FilePath | None = None
    cells_csv_column: str | None = None

    @model_validator(mode="after")
    def _goes_with_the_preset(self) -> Self:
        if self.propagation == "reevaluate" and self.preset != "cytoripple":
            raise ValueError(
                f'propagation is "reevaluate", but the preset "{self.preset}" propagates derivatives: '
                'leave propagation out or give preset "cytoripple"'
            )
        return self


class Settings(_Section):
    """All settings of training and simulation.

    Immutable; `with_overrides` gives a changed copy. The keys are those of the TOML file.
    """

    data: Data = Data()
    spatial: Spatial = Spatial()
    grn: Grn = Grn()
    lasso: Lasso = Lasso()
    training: Training = Training()
    execution: Execution = Execution()
    perturbation: Perturbation = Perturbation()

    @model_validator(mode="after")
    def _folds_for_choice(self) -> Self:
        if self.lasso.chosen and self.training.estimator != "reference" and self.training.cv_folds < 2:
            raise ValueError(
                f'training.cv_folds is {self.training.cv_folds} but the penalty is "cv": '
                "use at least 2 folds or give the penalties"
            )
        if self.spatial.kernel == "gaussian_cutoff" and self.spatial.cutoff is None:
            raise ValueError('spatial.kernel is "gaussian_cutoff": give spatial.cutoff, the largest distance')
        return self

    @classmethod
    def load(cls, path: str | Path) -> Settings:
        """Read a settings file of cytoripple, or a ``spaceship_config.toml`` of the reference.

        Unknown keys are an error in a file of cytoripple and a warning in one of the reference.

        Raises
        ------
        SettingsError
            The file is missing or not TOML, or a key is unknown or out of range.
        """
        path = Path(path).expanduser()
        table = read_toml(path)
        if reference.is_reference(path, table):
            return cls._checked(reference.translate(path, table, known_keys()), str(path))
        return cls.parse(table, str(path))

    @classmethod
    def discover(cls, folder: str | Path = ".") -> Settings:
        """Read the first settings file of `folder`, or give the defaults when there is none."""
        for name in (SETTINGS_FILE, *reference.CONFIG_NAMES):
            path = Path(folder) / name
            if path.is_file():
                log.info("settings from %s", path)
                return cls.load(path)
        return cls()

    @classmethod
    def parse(cls, table: Mapping[str, Any], where: str) -> Settings:
        """Check a nested mapping of sections and keys; `where` is named in errors."""
        copied = {name: dict(keys) if isinstance(keys, Mapping) else keys for name, keys in table.items()}
        if isinstance(copied.get("grn"), dict):
            _rename_old_keys(copied["grn"], where)
        return cls._checked(copied, where)

    @classmethod
    def _checked(cls, table: Mapping[str, Any], where: str) -> Settings:
        try:
            return cls.model_validate(dict(table))
        except ValidationError as error:
            raise SettingsError(_sentence(error, where)) from None

    def with_overrides(
        self, overrides: Mapping[str, object], *, where: str = "the given settings"
    ) -> Settings:
        """Copy with changed keys, given as ``{"spatial.radius": 100.0}``.

        Raises
        ------
        SettingsError
            A key is unknown (the nearest one is named) or its value is out of range.
        """
        table = self.model_dump()
        for key, value in overrides.items():
            section, _, name = key.partition(".")
            if not name or not isinstance(table.get(section), dict):
                raise SettingsError(_unknown(key, where))
            table[section][name] = value
        return self._checked(table, where)

    def as_table(self) -> dict[str, dict[str, Any]]:
        """Sections and keys as TOML knows them: unset optional keys left out, lists for tuples."""
        return {
            section: {name: value for name, value in keys.items() if value is not None}
            for section, keys in self.model_dump(mode="json").items()
        }

    def dump(self, path: str | Path) -> None:
        """Write the settings as TOML; `load` gives them back."""
        import tomli_w

        write_text(Path(path), tomli_w.dumps(self.as_table()))


def read_toml(path: Path) -> dict[str, Any]:
    """Parse a TOML file.

    Raises
    ------
    SettingsError
        The file is missing, unreadable or not TOML; the message names it and the place.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SettingsError(f"no settings file {path}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not valid TOML: {error}") from None
    except OSError as error:
        raise SettingsError(f"cannot read {path}: {error.strerror}") from None


def known_keys() -> list[str]:
    """Every key as ``section.name``."""
    sections = {name: field.annotation for name, field in Settings.model_fields.items()}
    return [
        f"{name}.{key}" for name, section in sections.items() for key in getattr(section, "model_fields", ())
    ]


def _rename_old_keys(grn: dict[str, Any], where: str) -> None:
    if "max_lr_pairs" in grn:
        if "max_ligands" in grn:
            raise SettingsError(
                f"{where} has grn.max_ligands and its old name grn.max_lr_pairs: keep max_ligands"
            )
        grn["max_ligands"] = grn.pop("max_lr_pairs")
    if grn.pop("top_lr_pairs_by_mean_expression", None) is not None:
        log.warning("%s: grn.top_lr_pairs_by_mean_expression is an old key and is ignored", where)


def _sentence(error: ValidationError, where: str) -> str:
    problems = []
    for item in error.errors():
        key = ".".join(
            str(part) for part in item["loc"] if not str(part).startswith(("constrained", "literal"))
        )
        key = ".".join(key.split(".")[:2])
        if item["type"] == "extra_forbidden":
            problems.append(_unknown(key, where))
        elif item["type"] == "value_error":
            prefix = f"{key}." if key else ""
            problems.append(f"{where}: {prefix}{item['ctx']['error']}")
        else:
            expected = item["msg"].removeprefix("Input should be ").removeprefix("Input ")
            problems.append(f"{where}: {key} is {item['input']!r}, expected {expected}")
    return "; ".join(dict.fromkeys(problems))


def _unknown(key: str, where: str) -> str:
    known = known_keys()
    last = key.rpartition(".")[2]
    near = nearest(key, known) or [name for name in known if name.endswith(f".{last}")]
    near = near or [name for name in known if nearest(last, [name.partition(".")[2]])]
    hint = f"; nearest: {', '.join(map(repr, near[:3]))}" if near else ""
    return f"unknown key {key!r} in {where}{hint}"
