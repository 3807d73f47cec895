"""Which cells train and which are kept back: splits in the TOML form of cell-load, checked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from cytoripple._errors import FileError, InputError, SettingsError, did_you_mean
from cytoripple.vc.dataset import CELL_TYPE, CONTROL, PERTURBATION, read_toml

if TYPE_CHECKING:
    import pandas as pd

SplitName = Literal["train", "val", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "val", "test")
_SECTIONS = ("datasets", "training", "zeroshot", "fewshot", "heldout")


@dataclass(frozen=True)
class Splits:
    """Rules of a split.

    Parameters
    ----------
    datasets
        Path or pattern of every data set.
    training
        Data sets that train.
    zeroshot
        (data set, cell type) to the one split of its cells.
    fewshot
        (data set, cell type) to the perturbations of ``val`` and ``test``.
    heldout
        Perturbations that no cell type trains on.
    """

    datasets: Mapping[str, str]
    training: frozenset[str] = frozenset()
    zeroshot: Mapping[tuple[str, str], SplitName] = field(default_factory=dict)
    fewshot: Mapping[tuple[str, str], Mapping[str, frozenset[str]]] = field(default_factory=dict)
    heldout: frozenset[str] = frozenset()

    def files(self, folder: str | Path = ".") -> dict[str, list[Path]]:
        """Find the files of every data set.

        Parameters
        ----------
        folder
            Where relative paths start.

        Raises
        ------
        FileError
            A path or pattern finds nothing.
        """
        return {name: _find(Path(folder), name, pattern) for name, pattern in self.datasets.items()}

    def assign(self, tables: Mapping[str, pd.DataFrame], *, control: str = CONTROL) -> SplitTable:
        """Put every cell where the rules want it.

        A cell type under `zeroshot` goes to its split whole; its controls train as well. Under `fewshot` the
        listed perturbations go to val and test, the others train, and its controls belong to every split.
        Any other cell type trains if its data set does. Held-out perturbations leave training everywhere and
        go to test, unless a rule puts them into val.

        Parameters
        ----------
        tables
            obs of every data set, with ``cell_type`` and ``target_gene``.
        control
            Label of controls.

        Returns
        -------
        SplitTable
            A cell may be in several splits.

        Raises
        ------
        InputError
            A data set, a cell type or a perturbation of the rules is not in the data; or a column is missing.
        """
        _same_names(self.datasets, tables)
        keys = _Keys(tables, control)
        for name, cell_type in [*self.zeroshot, *self.fewshot]:
            keys.need(name, cell_type)
        for (name, cell_type), lists in self.fewshot.items():
            keys.need_perturbations(sorted(frozenset().union(*lists.values())), (name, cell_type))
        keys.need_perturbations(sorted(self.heldout), None)
        flags = {name: self._flags(name, tables[name], control) for name in self.datasets}
        return SplitTable(self, dict(tables), flags, control)

    def _flags(self, name: str, obs: pd.DataFrame, control: str) -> NDArray[np.bool_]:
        """Cells x (train, val, test)."""
        types = obs[CELL_TYPE].astype(str).to_numpy()
        labels = obs[PERTURBATION].astype(str).to_numpy()
        is_control = labels == control
        flags = np.zeros((len(obs), len(SPLITS)), dtype=bool)
        for cell_type in np.unique(types):
            here, key = types == cell_type, (name, str(cell_type))
            if key in self.zeroshot:
                flags[here, SPLITS.index(self.zeroshot[key])] = True
                flags[here & is_control, 0] = True
            elif key in self.fewshot:
                listed = np.zeros(len(obs), dtype=bool)
                for column, split in enumerate(SPLITS[1:], start=1):
                    found = here & np.isin(labels, sorted(self.fewshot[key].get(split, ())))
                    flags[found, column] = True
                    listed |= found
                flags[here & ~listed & ~is_control, 0] = True
                flags[here & is_control] = True
            elif name in self.training:
                flags[here, 0] = True
        held = np.isin(labels, sorted(self.heldout)) & flags.any(axis=1)
        flags[held, 0] = False
        flags[held & ~flags.any(axis=1), 2] = True
        return flags


@dataclass(frozen=True, eq=False)
class SplitTable:
    """Cells of every data set and their splits.

    Parameters
    ----------
    rules
        What was asked for.
    tables
        obs of every data set.
    flags
        Of every data set, cells x (train, val, test).
    control
        Label of controls.
    """

    rules: Splits
    tables: Mapping[str, pd.DataFrame]
    flags: Mapping[str, NDArray[np.bool_]]
    control: str = CONTROL

    def cells(self, split: SplitName, dataset: str) -> NDArray[np.bool_]:
        """Mask of the cells of one data set in one split.

        Raises
        ------
        InputError
            There is no such split or data set.
        """
        if split not in SPLITS:
            raise InputError(f"split is {split!r}: give train, val or test")
        if dataset not in self.flags:
            raise InputError(f"there is no data set {dataset!r}{did_you_mean(dataset, self.flags)}")
        return np.asarray(self.flags[dataset][:, SPLITS.index(split)])

    def perturbations(self) -> tuple[str, ...]:
        """Names of all perturbations of all data sets, sorted; numbers of models count in this order."""
        found = {label for obs in self.tables.values() for label in obs[PERTURBATION].astype(str).unique()}
        return tuple(sorted(found - {self.control}))

    def split_report(self) -> pd.DataFrame:
        """Count what is in every split, after a check that nothing kept back trains.

        Returns
        -------
        Data frame: dataset, cell_type, split, cells, controls, groups (of cell type, batch and perturbation),
        perturbations; one row per split that is not empty, then the cells no split uses (``unused``).

        Raises
        ------
        InputError
            A perturbed cell of val or test trains, or a held-out perturbation does.
        """
        import pandas as pd

        rows = []
        for name, obs in self.tables.items():
            flags = self.flags[name]
            labels = obs[PERTURBATION].astype(str).to_numpy()
            types = obs[CELL_TYPE].astype(str).to_numpy()
            self._check_leaks(name, flags, labels)
            batch = obs["batch"].astype(str).to_numpy() if "batch" in obs else np.full(len(obs), "all")
            for cell_type in sorted(set(types)):
                here = types == cell_type
                parts = [*zip(SPLITS, flags.T, strict=True), ("unused", ~flags.any(axis=1))]
                for split, mask in parts:
                    chosen = np.flatnonzero(here & mask)
                    if len(chosen):
                        perturbed = set(labels[chosen]) - {self.control}
                        groups = set(zip(batch[chosen], labels[chosen], strict=True))
                        n_controls = int((labels[chosen] == self.control).sum())
                        rows.append(
                            (name, cell_type, split, len(chosen), n_controls, len(groups), len(perturbed))
                        )
        names = ["dataset", "cell_type", "split", "cells", "controls", "groups", "perturbations"]
        return pd.DataFrame(rows, columns=names)

    def _check_leaks(self, name: str, flags: NDArray[np.bool_], labels: NDArray[Any]) -> None:
        both = flags[:, 0] & flags[:, 1:].any(axis=1) & (labels != self.control)
        if both.any():
            raise InputError(f"{int(both.sum())} perturbed cells of {name} train although they are kept back")
        held = flags[:, 0] & np.isin(labels, sorted(self.rules.heldout))
        if held.any():
            raise InputError(f"{int(held.sum())} cells of held-out perturbations of {name} train")


def read_splits(path: str | Path) -> Splits:
    """Read the rules from a TOML file as cell-load takes it, with ``[heldout] perturbations`` in addition.

    Raises
    ------
    SettingsError
        The file is no TOML; a section, a key or a split is unknown; a data set is not under ``[datasets]``.

    Notes
    -----
    ::

        [datasets]
        screen = "data/*.h5ad"
        [training]
        screen = "train"
        [zeroshot]
        "screen.jurkat" = "test"
        [fewshot."screen.hepg2"]
        val = ["STAT1"]
        test = ["JAK2", "IFNGR2"]
        [heldout]
        perturbations = ["MYC"]
    """
    path = Path(path).expanduser()
    content = read_toml(path)
    for section, value in content.items():
        if section not in _SECTIONS:
            raise SettingsError(f"unknown section [{section}] in {path}{did_you_mean(section, _SECTIONS)}")
        if not isinstance(value, dict):
            raise SettingsError(f"{section} in {path} is {value!r}: expected a section [{section}]")
    datasets = content.get("datasets", {})
    if not datasets or not all(isinstance(value, str) for value in datasets.values()):
        raise SettingsError(f"[datasets] of {path} must name data sets: name = 'path or pattern'")
    for name, value in content.get("training", {}).items():
        if value != "train":
            raise SettingsError(f"[training] {name} is {value!r}: the only choice is 'train'")
        _known(name, datasets, "training")
    zeroshot = {}
    for key, value in content.get("zeroshot", {}).items():
        if value not in SPLITS:
            raise SettingsError(f"[zeroshot] {key} is {value!r}: give train, val or test")
        zeroshot[_pair(key, datasets, "zeroshot")] = value
    fewshot = {
        _pair(key, datasets, "fewshot"): dict(_lists(key, lists))
        for key, lists in content.get("fewshot", {}).items()
    }
    held = content.get("heldout", {})
    if unknown := sorted(set(held) - {"perturbations"}):
        raise SettingsError(f"unknown key {unknown[0]!r} in [heldout]: expected perturbations")
    names = _names("[heldout] perturbations", held.get("perturbations", []))
    return Splits(datasets, frozenset(content.get("training", {})), zeroshot, fewshot, names)


def _pair(key: str, datasets: Mapping[str, str], section: str) -> tuple[str, str]:
    name, dot, cell_type = key.partition(".")
    if not (dot and cell_type):
        raise SettingsError(f'[{section}] {key!r}: expected "dataset.cell_type" in quotation marks')
    _known(name, datasets, section)
    return name, cell_type


def _known(name: str, datasets: Mapping[str, str], section: str) -> None:
    if name not in datasets:
        raise SettingsError(
            f"[{section}] names {name!r}, which is not in [datasets]{did_you_mean(name, datasets)}"
        )


def _lists(key: str, lists: Any) -> Iterator[tuple[str, frozenset[str]]]:
    if not isinstance(lists, dict):
        raise SettingsError(f'[fewshot] {key} is {lists!r}: expected [fewshot."{key}"] with val and test')
    for split, names in lists.items():
        if split not in ("val", "test"):
            raise SettingsError(f'unknown key {split!r} in [fewshot."{key}"]: expected val or test')
        yield split, _names(f'{split} of [fewshot."{key}"]', names)


def _names(what: str, value: Any) -> frozenset[str]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise SettingsError(f"{what} is {value!r}: expected a list of names")
    return frozenset(value)


class _Keys:
    """What is in the data, to find rules that match nothing."""

    def __init__(self, tables: Mapping[str, pd.DataFrame], control: str) -> None:
        self._found: dict[tuple[str, str], set[str]] = {}
        for name, obs in tables.items():
            for column in (CELL_TYPE, PERTURBATION):
                if column not in obs:
                    raise InputError(
                        f"obs of {name} has no column {column!r}: make it with ct.vc.harmonize_obs"
                    )
            pairs = obs[[CELL_TYPE, PERTURBATION]].astype(str).drop_duplicates()
            if control not in set(pairs[PERTURBATION]):
                raise InputError(f"no cell of {name} has the control label {control!r}")
            for cell_type, label in pairs.itertuples(index=False):
                self._found.setdefault((name, cell_type), set()).add(label)

    def need(self, name: str, cell_type: str) -> None:
        if (name, cell_type) not in self._found:
            known = [found for dataset, found in self._found if dataset == name]
            raise InputError(
                f"no cell of {name} has the cell type {cell_type!r}{did_you_mean(cell_type, known)}: "
                f"there are {', '.join(map(repr, known))}"
            )

    def need_perturbations(self, labels: Iterable[str], where: tuple[str, str] | None) -> None:
        known = set().union(*self._found.values()) if where is None else self._found[where]
        for label in labels:
            if label not in known:
                place = "of any data set" if where is None else f"of {'.'.join(where)}"
                raise InputError(
                    f"no cell {place} has the perturbation {label!r}{did_you_mean(label, known)}"
                )


def _same_names(wanted: Mapping[str, str], tables: Mapping[str, pd.DataFrame]) -> None:
    for name in wanted:
        if name not in tables:
            raise InputError(f"there is no table of the data set {name!r}{did_you_mean(name, tables)}")
    for name in tables:
        if name not in wanted:
            raise InputError(f"the data set {name!r} is not in [datasets]{did_you_mean(name, wanted)}")


def _find(folder: Path, name: str, pattern: str) -> list[Path]:
    found: set[Path] = set()
    for text in _braces(pattern):
        path = folder / Path(text).expanduser()
        if path.is_dir() and path.suffix != ".rows":
            found |= {entry for kind in ("*.h5", "*.h5ad", "*.rows") for entry in path.glob(kind)}
        elif path.exists():
            found.add(path)
        else:
            anchor = Path(path.anchor) if path.is_absolute() else Path()
            found |= set(anchor.glob(str(path.relative_to(anchor))))
    if not found:
        raise FileError(f"{pattern!r} of the data set {name!r} finds no file in {folder.resolve()}")
    return sorted(found)


def _braces(pattern: str) -> list[str]:
    """Write out ``{a,b}``."""
    found = re.search(r"\{([^{}]*)\}", pattern)
    if not found:
        return [pattern]
    before, after = pattern[: found.start()], pattern[found.end() :]
    return [text for part in found[1].split(",") for text in _braces(before + part + after)]
