"""Tables on the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table


def pairs(rows: Mapping[str, object], title: str | None = None) -> Table:
    """Two columns: name and value."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(
        title=title, show_header=False, box=None, pad_edge=False, title_justify="left", title_style="bold"
    )
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows.items():
        table.add_row(escape(str(name)), escape(text(value)))
    return table


def grid(header: Sequence[str], rows: Iterable[Sequence[object]], title: str | None = None) -> Table:
    """Table with a header; columns of numbers are aligned at the right."""
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table

    body = [list(row) for row in rows]
    table = Table(title=title, box=SIMPLE_HEAD, pad_edge=False, title_justify="left", title_style="bold")
    for position, name in enumerate(header):
        numeric = bool(body) and all(isinstance(row[position], int | float) for row in body)
        table.add_column(escape(name), justify="right" if numeric else "left", overflow="fold")
    for row in body:
        table.add_row(*(escape(text(value)) for value in row))
    return table


def frame(data: pd.DataFrame, title: str | None = None, *, rows: int = 20) -> Table:
    """First rows of a data frame."""
    shown = data.head(rows)
    body = [[plain(value) for value in row] for row in shown.itertuples(index=False)]
    return grid([str(name).replace("_", " ") for name in data.columns], body, title)


def plain(value: Any) -> Any:
    """Return a Python number for a NumPy scalar, anything else as it is."""
    return value.item() if hasattr(value, "item") else value


def text(value: object) -> str:
    """Write a value as a person reads it: four significant digits, a dash for nothing."""
    if value is None or value != value:  # NaN is the only value that differs from itself
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(text, value))
    return str(value)


def duration(seconds: float) -> str:
    """Seconds as "12.3 s" or "4 min 05 s"."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def peak_memory_mb() -> float | None:
    """Largest memory of this process so far in MB, None where the system does not tell."""
    import sys

    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1e6 if sys.platform == "darwin" else 1e3), 1)
