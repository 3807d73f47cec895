"""The examples of the README and of the pages in docs/ are executed, in order, in a folder of their own."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, shared_data

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(python|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMAND = Path(sys.executable).with_name("cytoripple")


def blocks(page: Path) -> list[tuple[str, str]]:
    """Return the language and the text of every example of a page."""
    return FENCE.findall(page.read_text(encoding="utf-8"))


def run_console(text: str) -> None:
    """Run the `cytoripple` lines of a console example; other lines set up a machine and are skipped."""
    for line in text.splitlines():
        words = shlex.split(line.removeprefix("$ "), comments=True)
        if words and words[0] == "cytoripple":
            done = subprocess.run([COMMAND, *words[1:]], capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"


def link_real_files(folder: Path) -> None:
    """Put the real tissues and networks, which pages of docs/ use by name, into `folder`."""
    if not shared_data().is_dir():
        pytest.skip("the page uses real data: set CYTORIPPLE_SHARED")
    for source in [*shared_data().glob("*.*"), *(shared_data() / "networks").iterdir()]:
        (folder / source.name).symlink_to(source.resolve())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_examples_of_the_page_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.setenv("COLUMNS", os.environ.get("COLUMNS", "120"))
    if page.name != "README.md":
        link_real_files(tmp_path)
    space: dict[str, object] = {}
    for number, (language, text) in enumerate(blocks(page)):
        if language == "console":
            run_console(text)
        else:
            exec(compile(text, f"{page.name} example {number + 1}", "exec"), space)
