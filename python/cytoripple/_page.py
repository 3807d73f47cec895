"""Self-contained HTML pages: a template, the style that all share, and data as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import resources
from string import Template


def fill(package: str, parts: Mapping[str, str]) -> str:
    """Page from the ``report_template.html`` of a package; its ``$style`` is the shared style sheet."""
    template, style = (
        resources.files(where).joinpath(name).read_text(encoding="utf-8")
        for where, name in ((package, "report_template.html"), ("cytoripple", "page.css"))
    )
    return Template(template).substitute(parts, style=style)


def script_json(data: object) -> str:
    """JSON that cannot end its script element or open a comment."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
