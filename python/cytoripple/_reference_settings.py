"""Reading the settings of the reference program (``spaceship_config.toml`` and its run file)."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

CONFIG_NAMES = ("spaceship_config.toml", "SpaceshipConfig.toml")
RUN_NAME = "spacetravlr_run_repro.toml"

# Known to the reference and without a meaning here.
_SECTIONS = ("cnn", "model_export")
_KEYS = frozenset(
    {
        "training.hybrid",
        "training.seed_only",
        "training.epochs",
        "training.learning_rate",
        "spatial.spatial_dim",
        "grn.top_lr_pairs_by_mean_expression",
        "lasso.n_iter",
        "execution.n_parallel",
        "execution.write_minimal_repro_h5ad",
    }
)
# The reference's own default, used when its file gives only one of the two penalties.
_PENALTY = 1e-5


def is_reference(path: Path, table: Mapping[str, Any]) -> bool:
    """Whether a file belongs to the reference, by its name or by its neural-network sections."""
    return path.name in (*CONFIG_NAMES, RUN_NAME) or any(section in table for section in _SECTIONS)


def translate(path: Path, table: Mapping[str, Any], known: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Keep what cytoripple understands of a reference file; say once what was left out.

    The iteration limit is not taken over: it counts steps of another solver.
    """
    known_keys = set(known)
    kept: dict[str, dict[str, Any]] = {}
    ignored: list[str] = []
    unknown: list[str] = []
    for section, keys in table.items():
        if section in _SECTIONS or not isinstance(keys, Mapping):
            (ignored if section in _SECTIONS else unknown).append(section)
            continue
        for name, value in keys.items():
            key = "grn.max_ligands" if f"{section}.{name}" == "grn.max_lr_pairs" else f"{section}.{name}"
            if key in _KEYS:
                ignored.append(key)
            elif key in known_keys:
                kept.setdefault(section, {})[key.partition(".")[2]] = value
            else:
                unknown.append(key)
    _fit_values(path, kept)
    if ignored:
        log.info("%s: not used by cytoripple: %s", path, ", ".join(ignored))
    if unknown:
        log.warning("%s: unknown keys ignored: %s", path, ", ".join(unknown))
    return kept


def _fit_values(path: Path, kept: dict[str, dict[str, Any]]) -> None:
    training = kept.get("training", {})
    mode = training.pop("mode", "seed")
    if mode not in ("seed", "minimal", "seed-only"):
        log.warning("%s: training.mode %r is not available; the seed coefficients are trained", path, mode)
    lasso = kept.get("lasso", {})
    if ("group_reg" in lasso) != ("l1_reg" in lasso):
        lasso.setdefault("group_reg", _PENALTY)
        lasso.setdefault("l1_reg", _PENALTY)
