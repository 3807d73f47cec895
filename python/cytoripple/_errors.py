"""Errors of the package. Each is also the builtin that fits, so plain ``except ValueError`` works."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class CytorippleError(Exception):
    """Base of every error raised on purpose by cytoripple."""


class InputError(CytorippleError, ValueError):
    """An argument or a value in the data cannot be used."""


class LayerError(InputError):
    """The expression layer is missing or holds values that cannot be used."""


class CoordinatesError(InputError):
    """Spatial coordinates are missing, misshapen or not finite."""


class ClusterError(InputError):
    """The cluster column is missing or holds values that cannot be used."""


class GeneMatchError(InputError):
    """Gene names of two sources do not match."""


class NetworkError(InputError):
    """A gene network cannot be found, read or used."""


class SettingsError(InputError):
    """A setting is unknown or outside its range."""


class FileError(InputError, OSError):
    """A file is not what it should be, or is damaged."""


class MissingFileError(FileError, FileNotFoundError):
    """A file does not exist."""


class RunError(CytorippleError, RuntimeError):
    """A run directory cannot be used as asked."""


def nearest(name: str, known: Iterable[str], *, n: int = 3) -> list[str]:
    """Names of `known` that a person may have meant by `name`, best first, ignoring case."""
    by_fold: dict[str, str] = {}
    for candidate in known:
        by_fold.setdefault(candidate.casefold(), candidate)
    return [by_fold[match] for match in get_close_matches(name.casefold(), by_fold, n=n, cutoff=0.6)]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``"; nearest: 'A', 'B'"``, or an empty text when nothing is near."""
    near = nearest(name, known)
    return f"; nearest: {', '.join(repr(match) for match in near)}" if near else ""
