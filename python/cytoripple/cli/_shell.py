"""What every command shares: results on stdout, everything else on stderr, errors as one sentence."""

from __future__ import annotations

import json
import logging
import math
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, cast

import typer

from cytoripple._errors import CytorippleError
from cytoripple._progress import ProgressName

if TYPE_CHECKING:
    from rich.console import Console

FAILED, INTERRUPTED = 1, 130

P = ParamSpec("P")


@dataclass(frozen=True)
class Shell:
    """How one command talks: JSON or tables, and which kind of progress."""

    json: bool
    progress: ProgressName

    def result(self, data: Mapping[str, Any], show: Callable[[Console], None]) -> None:
        """Write the result to stdout: `data` as one JSON object, or whatever `show` draws."""
        if self.json:
            sys.stdout.write(json.dumps(plain(data), allow_nan=False) + "\n")
            sys.stdout.flush()
            return
        from rich.console import Console

        console = Console(highlight=False)
        if not console.is_terminal:
            console.width = max(console.width, 120)
        show(console)

    def say(self, text: str) -> None:
        """Tell on stderr what is being done."""
        sys.stderr.write(text + "\n")
        sys.stderr.flush()

    def warn(self, text: str) -> None:
        """Tell on stderr what looks wrong."""
        self.say(f"warning: {text}")


def plain(value: Any) -> Any:
    """`value` made of JSON types: paths as text, NumPy scalars as numbers, NaN and infinity as null."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return str(value)


def command(function: Callable[P, None]) -> Callable[P, None]:
    """Turn exceptions of a command into one sentence on stderr and an exit code.

    1 for errors, 130 for Ctrl-C; with ``--json`` the sentence is also an object on stdout. ``--debug``
    prints the traceback before it.
    """

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        as_json, debug = bool(kwargs.get("json_output")), bool(kwargs.get("debug"))
        try:
            with _session(debug):
                function(*args, **kwargs)
        except KeyboardInterrupt:
            sys.stderr.write("interrupted\n")
            raise typer.Exit(INTERRUPTED) from None
        except BrokenPipeError:
            # The reader of a pipe has left. Python would complain again while it flushes stdout at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(FAILED) from None
        except (typer.Exit, typer.Abort, typer.BadParameter):
            raise
        except Exception as error:
            if debug:
                traceback.print_exc()
            fail(error, as_json=as_json)

    return run


def fail(error: Exception, *, as_json: bool) -> None:
    """Write the error as one sentence and end with exit code 1."""
    text = sentence(error)
    sys.stderr.write(f"error: {text}\n")
    if as_json:
        sys.stdout.write(json.dumps({"error": text, "kind": type(error).__name__}) + "\n")
    raise typer.Exit(FAILED)


def sentence(error: Exception) -> str:
    """One line that says what is wrong, without the traceback."""
    text = " ".join(str(error).split())
    if isinstance(error, CytorippleError | ImportError):
        return text
    if isinstance(error, OSError):
        reason = error.strerror or text or type(error).__name__
        return f"{error.filename}: {reason}" if error.filename else reason
    if isinstance(error, MemoryError):
        return "not enough memory: take fewer genes (--max-genes) or a sparse layer"
    if isinstance(error, ValueError):
        return text or type(error).__name__
    return f"unexpected {type(error).__name__}: {text} (add --debug for the traceback)"


class _Lines(logging.Handler):
    """Log lines on stderr. The stream is looked up at each line, so that a live bar can step aside."""

    def emit(self, record: logging.LogRecord) -> None:
        mark = "" if record.levelno < logging.WARNING else f"{record.levelname.lower()}: "
        sys.stderr.write(f"{mark}{record.getMessage()}\n")


@contextmanager
def _session(debug: bool) -> Iterator[None]:
    """Log lines and warnings of the package on stderr while a command runs; other libraries' are muted."""
    log, handler = logging.getLogger("cytoripple"), _Lines()
    before = log.level
    log.addHandler(handler)
    log.setLevel(logging.DEBUG if debug else logging.INFO)
    with warnings.catch_warnings():
        if not debug:
            warnings.simplefilter("ignore")
            warnings.filterwarnings("default", category=UserWarning, module=r"cytoripple(\..*)?")
        warnings.showwarning = _show_warning
        try:
            yield
        finally:
            log.removeHandler(handler)
            log.setLevel(before)


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: object = None,
    line: str | None = None,
) -> None:
    del category, filename, lineno, file, line
    sys.stderr.write(f"warning: {' '.join(str(message).split())}\n")


def progress_name(name: str) -> ProgressName:
    """Check the name of a kind of progress."""
    if name not in ("auto", "bar", "json", "none"):
        raise typer.BadParameter(f"--progress is {name!r}: give auto, bar, json or none")
    return cast("ProgressName", name)
