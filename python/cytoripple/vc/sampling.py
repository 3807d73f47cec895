"""Sets of perturbed cells with their controls, drawn so that any set can be drawn again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cytoripple._errors import FileError, InputError
from cytoripple._provenance import atomic_path
from cytoripple.vc.dataset import BATCH, CELL_TYPE, CONTROL, PERTURBATION

if TYPE_CHECKING:
    import pandas as pd

Pool = Literal["batch", "cell_type"]
Short = Literal["skip", "resample"]
ControlTarget = Literal["identity", "resample"]

_PLAN, _DRAW = 1, 2
"""Streams of random numbers: the order of an epoch, and the cells of one set."""


@dataclass(frozen=True, eq=False)
class GroupIndex:
    """Which cells belong together.

    Parameters
    ----------
    keys
        Data set, cell type, batch and perturbation of every group; sorted.
    members
        Row numbers of every group, rising.
    control
        Label of control groups.
    """

    keys: tuple[tuple[str, str, str, str], ...]
    members: tuple[NDArray[np.int64], ...]
    control: str = CONTROL

    @classmethod
    def from_obs(
        cls, obs: pd.DataFrame, *, control: str = CONTROL, cells: ArrayLike | None = None
    ) -> GroupIndex:
        """Group the cells of a table.

        Parameters
        ----------
        obs
            With ``target_gene``; ``dataset``, ``cell_type`` and ``batch`` are used where they are, see
            `harmonize_obs`. Row numbers are positions in this table.
        control
            Label of controls.
        cells
            (cells,) bool: use only these, e.g. one split.

        Raises
        ------
        InputError
            There is no perturbation column, no control, or `cells` has another length.
        """
        import pandas as pd

        if PERTURBATION not in obs:
            raise InputError(f"obs has no column {PERTURBATION!r}: make it with ct.vc.harmonize_obs")
        chosen = np.ones(len(obs), dtype=bool) if cells is None else np.asarray(cells, dtype=bool)
        if chosen.shape != (len(obs),):
            raise InputError(f"cells has shape {chosen.shape}: expected one entry per cell, {len(obs)}")
        rows = np.flatnonzero(chosen)
        names = ("dataset", CELL_TYPE, BATCH, PERTURBATION)
        frame = pd.DataFrame(
            {name: obs[name].astype(str).to_numpy()[rows] if name in obs else "all" for name in names},
            index=pd.RangeIndex(len(rows)),
        )
        indices: Any = frame.groupby(list(names), sort=True).indices
        found = {
            (str(key[0]), str(key[1]), str(key[2]), str(key[3])): rows[np.sort(where)]
            for key, where in indices.items()
        }
        keys = sorted(found)
        if not any(key[3] == control for key in keys):
            raise InputError(f"no cell has the control label {control!r}")
        return cls(tuple(keys), tuple(found[key] for key in keys), control)

    @property
    def perturbations(self) -> tuple[str, ...]:
        """Names of the perturbations, sorted, without the control; `pert_id` counts in this order."""
        return tuple(sorted({key[3] for key in self.keys} - {self.control}))

    def pools(self, controls: Pool) -> dict[tuple[str, ...], NDArray[np.int64]]:
        """Control cells per data set and cell type, and batch if that is asked."""
        width = 3 if controls == "batch" else 2
        parts: dict[tuple[str, ...], list[NDArray[np.int64]]] = {}
        for key, rows in zip(self.keys, self.members, strict=True):
            if key[3] == self.control:
                parts.setdefault(key[:width], []).append(rows)
        return {key: np.sort(np.concatenate(rows)) for key, rows in parts.items()}


@dataclass(frozen=True, eq=False)
class Sets:
    """A batch of B sets of S cells.

    Parameters
    ----------
    ctrl, pert
        (B, S) int64: row numbers of control cells and of the cells to predict.
    pert_id
        (B,) int64: position in `GroupIndex.perturbations`; -1 for the control.
    group
        (B,) int64: position in `GroupIndex.keys`.
    """

    ctrl: NDArray[np.int64]
    pert: NDArray[np.int64]
    pert_id: NDArray[np.int64]
    group: NDArray[np.int64]

    def save(self, path: str | Path) -> None:
        """Write to an npz file, whole or not at all."""
        with atomic_path(Path(path)) as temporary, temporary.open("wb") as file:
            np.savez(file, ctrl=self.ctrl, pert=self.pert, pert_id=self.pert_id, group=self.group)

    @classmethod
    def load(cls, path: str | Path) -> Sets:
        """Read what `save` wrote.

        Raises
        ------
        FileError
            The file is missing, damaged, or something else.
        """
        try:
            with np.load(path) as file:
                return cls(*(file[name].astype(np.int64) for name in ("ctrl", "pert", "pert_id", "group")))
        except (OSError, KeyError, ValueError, EOFError) as error:
            raise FileError(f"{path} cannot be read: expected the .npz of Sets.save ({error})") from error


class SetSampler:
    """Draw sets of S perturbed cells, each with S controls of the same cell type (and batch).

    In every epoch the cells of a group are shuffled and cut into sets, so that each is seen once. A last set
    that is short is filled with other cells of the group; only groups smaller than S ever repeat a cell.
    Everything depends on (seed, epoch, step, position) alone: not on the number of workers, nor on what was
    drawn before.

    Parameters
    ----------
    index
        The groups.
    S
        Cells per set.
    batch_size
        Sets per step.
    seed
        Of all draws.
    controls
        ``"batch"``: controls of the same batch; ``"cell_type"``: of the same cell type in the data set.
    short
        ``"skip"`` leaves out groups with fewer than S cells or controls. ``"resample"`` draws them with
        replacement; a batch without controls then uses those of the cell type.
    include_controls
        Control groups are predicted, too.
    control_target
        Their targets: ``"identity"``, the same cells; ``"resample"``, other cells of the pool, disjoint where
        there are 2 S.

    Raises
    ------
    InputError
        An argument is out of range, or no group is large enough.

    Examples
    --------
    >>> import cytoripple as ct
    >>> from cytoripple.vc.sampling import GroupIndex, SetSampler
    >>> adata, _ = ct.datasets.simulate_screen(50, 3, 20, 30)
    >>> sampler = SetSampler(GroupIndex.from_obs(adata.obs), S=8, batch_size=4)
    >>> sampler.step(epoch=0, step=1).pert.shape
    (4, 8)
    """

    def __init__(
        self,
        index: GroupIndex,
        S: int,
        *,
        batch_size: int = 16,
        seed: int = 0,
        controls: Pool = "batch",
        short: Short = "skip",
        include_controls: bool = True,
        control_target: ControlTarget = "identity",
    ) -> None:
        for name, value, least in (("S", S, 1), ("batch_size", batch_size, 1), ("seed", seed, 0)):
            if int(value) != value or value < least:
                raise InputError(f"{name} is {value}: give a whole number of at least {least}")
        _choice("controls", controls, ("batch", "cell_type"))
        _choice("short", short, ("skip", "resample"))
        _choice("control_target", control_target, ("identity", "resample"))
        self.index, self.S, self.batch_size, self.seed = index, int(S), int(batch_size), int(seed)
        self._resample, self._identity = short == "resample", control_target == "identity"
        self._pools = _pools_of(index, controls, fall_back=self._resample)
        ids = {name: number for number, name in enumerate(index.perturbations)} | {index.control: -1}
        self._ids = np.array([ids[key[3]] for key in index.keys], dtype=np.int64)
        self.groups = self._usable(include_controls)
        self.skipped = tuple(index.keys[g] for g in range(len(index.keys)) if g not in set(self.groups))
        if not len(self.groups):
            largest = max(len(rows) for rows in index.members)
            raise InputError(
                f"no group has {S} cells and {S} controls (the largest has {largest} cells): "
                "take a smaller S, or short='resample'"
            )
        self._sizes = np.array([-(-len(index.members[g]) // self.S) for g in self.groups])

    def _usable(self, include_controls: bool) -> NDArray[np.int64]:
        least = 1 if self._resample else self.S
        usable = []
        for group, (rows, pool) in enumerate(zip(self.index.members, self._pools, strict=True)):
            wanted = include_controls or self._ids[group] >= 0
            if wanted and len(rows) >= least and len(pool) >= least:
                usable.append(group)
        return np.array(usable, dtype=np.int64)

    def __len__(self) -> int:
        """Count the steps of an epoch; the last may have fewer sets."""
        return int(np.ceil(self._sizes.sum() / self.batch_size))

    def epoch(self, epoch: int, *, start: int = 0) -> Iterator[Sets]:
        """Yield the steps of an epoch, from step `start` on."""
        plan = self._plan(epoch)
        for step in range(start, len(self)):
            yield self._draw(epoch, step, plan)

    def step(self, epoch: int, step: int) -> Sets:
        """Draw one step.

        Raises
        ------
        InputError
            The epoch has no such step.
        """
        if not 0 <= step < len(self):
            raise InputError(f"step is {step}: an epoch has {len(self)} steps")
        return self._draw(epoch, step, self._plan(epoch))

    def _plan(self, epoch: int) -> NDArray[np.int64]:
        """Group and number of every set of an epoch, in the order they are drawn."""
        which = np.repeat(self.groups, self._sizes)
        part = np.concatenate([np.arange(size) for size in self._sizes])
        order = self._rng(_PLAN, epoch, 0, 0).permutation(len(which))
        return np.stack([which[order], part[order]], axis=1)

    def _draw(self, epoch: int, step: int, plan: NDArray[np.int64]) -> Sets:
        chosen = plan[step * self.batch_size : (step + 1) * self.batch_size]
        ctrl = np.empty((len(chosen), self.S), dtype=np.int64)
        pert = np.empty_like(ctrl)
        for position, (group, part) in enumerate(chosen.tolist()):
            rng = self._rng(_DRAW, epoch, step, position)
            pool = self._pools[group]
            if self._ids[group] < 0 and not self._identity:
                ctrl[position], pert[position] = _two_draws(rng, pool, self.S)
                continue
            rows = self._shuffled(epoch, group)
            pert[position] = _part(rng, rows, part, self.S)
            ctrl[position] = pert[position] if self._ids[group] < 0 else draw(rng, pool, self.S)
        return Sets(ctrl, pert, self._ids[chosen[:, 0]], chosen[:, 0])

    def _shuffled(self, epoch: int, group: int) -> NDArray[np.int64]:
        return self._rng(_PLAN, epoch, group + 1, 0).permutation(self.index.members[group])

    def _rng(self, stream: int, epoch: int, step: int, position: int) -> np.random.Generator:
        # The first word of the counter counts the numbers drawn, the others name the draw.
        counter = np.array([0, position, step, epoch], dtype=np.uint64)
        return np.random.Generator(
            np.random.Philox(key=np.array([self.seed, stream], np.uint64), counter=counter)
        )


def eval_slice(
    index: GroupIndex, S: int, seed: int = 0, n_sets: int = 1, *, controls: Pool = "batch"
) -> Sets:
    """Choose the cells on which models are compared: the same for every model and every run.

    Parameters
    ----------
    index
        The groups; control groups are left out.
    S
        Cells per set. A smaller group or pool is drawn with replacement.
    seed
        Hashed together with the name of the group, so that a group's cells do not depend on other groups.
    n_sets
        Sets per perturbed group, disjoint where the group has enough cells.
    controls
        As for `SetSampler`; a batch without controls uses those of the cell type.

    Returns
    -------
    Sets
        Ordered by group. Save it with `Sets.save`.

    Raises
    ------
    InputError
        `S` or `n_sets` is not positive, or a group has no controls.
    """
    if S < 1 or n_sets < 1:
        raise InputError(f"S is {S} and n_sets is {n_sets}: give at least 1 each")
    pools = _pools_of(index, controls, fall_back=True)
    ids = {name: number for number, name in enumerate(index.perturbations)}
    ctrl, pert, pert_id, group = [], [], [], []
    for number, (key, rows) in enumerate(zip(index.keys, index.members, strict=True)):
        if key[3] == index.control:
            continue
        if not len(pools[number]):
            raise InputError(f"{' / '.join(key)} has no control cells of its cell type")
        digest = hashlib.blake2b("\0".join((str(seed), *key)).encode(), digest_size=16).digest()
        rng = np.random.Generator(np.random.Philox(key=int.from_bytes(digest, "little")))
        ctrl.append(draw(rng, pools[number], S * n_sets).reshape(n_sets, S))
        pert.append(draw(rng, rows, S * n_sets).reshape(n_sets, S))
        pert_id += [ids[key[3]]] * n_sets
        group += [number] * n_sets
    if not ctrl:
        raise InputError("there is no perturbed group to evaluate")
    return Sets(np.concatenate(ctrl), np.concatenate(pert), np.array(pert_id), np.array(group))


def draw(rng: np.random.Generator, pool: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """Draw `n` cells, each once while the pool lasts: a larger draw takes every cell, then some again."""
    whole, rest = divmod(n, len(pool))
    chosen = rng.choice(pool, rest, replace=False)
    return chosen if not whole else np.concatenate([rng.permutation(np.tile(pool, whole)), chosen])


def _part(rng: np.random.Generator, rows: NDArray[np.int64], part: int, n: int) -> NDArray[np.int64]:
    """Cut the `part`-th set of shuffled rows; fill a short one with other rows, repeated if need be."""
    own = rows[part * n : (part + 1) * n]
    if len(own) == n:
        return own
    others = rows[: part * n]
    pool = others if len(others) >= n - len(own) else rows
    return np.concatenate([own, draw(rng, pool, n - len(own))])


def _two_draws(
    rng: np.random.Generator, pool: NDArray[np.int64], n: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    if len(pool) >= 2 * n:
        both = rng.choice(pool, 2 * n, replace=False)
        return both[:n], both[n:]
    return draw(rng, pool, n), draw(rng, pool, n)


def _pools_of(index: GroupIndex, controls: Pool, *, fall_back: bool) -> list[NDArray[np.int64]]:
    """Control pool of every group."""
    _choice("controls", controls, ("batch", "cell_type"))
    own, wide = index.pools(controls), index.pools("cell_type")
    width = 3 if controls == "batch" else 2
    none = np.empty(0, dtype=np.int64)
    found = []
    for key in index.keys:
        pool = own.get(key[:width], none)
        found.append(wide.get(key[:2], none) if fall_back and not len(pool) else pool)
    return found


def _choice(name: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise InputError(f"{name} is {value!r}: give {' or '.join(map(repr, allowed))}")
