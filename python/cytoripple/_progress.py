"""Progress of long work: a small protocol and four ways to show it."""

from __future__ import annotations

import json
import sys
import time
from types import TracebackType
from typing import Any, Literal, Protocol

ProgressName = Literal["auto", "bar", "notebook", "json", "none"]


class Progress(Protocol):
    """Observer of long work."""

    def update(self, done: int, total: int, what: str) -> None:
        """`done` of `total` steps of the stage `what` are finished."""

    def close(self) -> None:
        """No more updates will come."""


class Silent:
    """Show nothing. The default of the library."""

    def update(self, done: int, total: int, what: str) -> None:
        """Ignore the update."""

    def close(self) -> None:
        """Nothing to close."""


class JsonLines:
    """One JSON object per update on stderr, at most five per second and stage."""

    def __init__(self) -> None:
        self._last: dict[str, float] = {}
        self._start: dict[str, float] = {}

    def update(self, done: int, total: int, what: str) -> None:
        """Write the update unless one of the same stage was written less than 0.2 s ago."""
        now = time.monotonic()
        start = self._start.setdefault(what, now)
        if done < total and now - self._last.get(what, -1.0) < 0.2:
            return
        self._last[what] = now
        line = {"stage": what, "done": done, "total": total, "seconds": round(now - start, 3)}
        sys.stderr.write(json.dumps(line) + "\n")
        sys.stderr.flush()

    def close(self) -> None:
        """Nothing to close."""


class Bar:
    """A rich bar per stage on stderr, with rate and time left."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            SpinnerColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )
        from rich.progress import Progress as RichProgress

        self._bar = RichProgress(
            SpinnerColumn(),
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self._tasks: dict[str, Any] = {}
        self._bar.start()

    def update(self, done: int, total: int, what: str) -> None:
        """Move the bar of the stage, making it at the first call."""
        if what not in self._tasks:
            self._tasks[what] = self._bar.add_task(what, total=total, rate="")
        task = self._tasks[what]
        speed = self._bar.tasks[self._bar.task_ids.index(task)].finished_speed
        speed = speed or self._bar.tasks[self._bar.task_ids.index(task)].speed
        self._bar.update(task, completed=done, total=total, rate=f"{speed:.1f}/s" if speed else "")

    def close(self) -> None:
        """Leave the finished bars on the screen."""
        self._bar.stop()


class Notebook:
    """A tqdm bar per stage."""

    def __init__(self) -> None:
        self._bars: dict[str, Any] = {}

    def update(self, done: int, total: int, what: str) -> None:
        """Move the bar of the stage, making it at the first call."""
        from tqdm.auto import tqdm

        if what not in self._bars:
            self._bars[what] = tqdm(total=total, desc=what)
        bar = self._bars[what]
        bar.update(done - bar.n)

    def close(self) -> None:
        """Close all bars."""
        for bar in self._bars.values():
            bar.close()


class showing:
    """Context manager that makes the observer called `name` and closes it at the end.

    ``"auto"`` is a bar when stderr is a terminal, else silent.
    """

    def __init__(self, name: ProgressName | Progress | None) -> None:
        self._given = name

    def __enter__(self) -> Progress:
        self._progress = _make(self._given)
        return self._progress

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is not self._given:
            self._progress.close()


def _make(name: ProgressName | Progress | None) -> Progress:
    if name is None or name == "none":
        return Silent()
    if not isinstance(name, str):
        return name
    if name == "auto":
        return Bar() if sys.stderr.isatty() else Silent()
    if name == "json":
        return JsonLines()
    return Bar() if name == "bar" else Notebook()
