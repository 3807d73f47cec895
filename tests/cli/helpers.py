"""Running commands in this process and in one of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

import cytoripple
from cytoripple.cli import app

PYTHON = [sys.executable, "-c", "from cytoripple.cli import main; main()"]


@dataclass(frozen=True)
class Answer:
    """What a command left."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        """The JSON object on stdout, which must be the only thing there."""
        return json.loads(self.out)

    @property
    def sentence(self) -> str:
        """The error, which must be one line and the last one."""
        last = self.err.strip().splitlines()[-1]
        assert last.startswith("error: "), self.err
        assert "Traceback" not in self.err
        return last.removeprefix("error: ")


def ask(*words: object) -> Answer:
    """Run a command in this process."""
    result = CliRunner().invoke(app, [str(word) for word in words])
    return Answer(result.exit_code, result.stdout, result.stderr)


def environment() -> dict[str, str]:
    """Environment in which a process finds the package that is tested, wherever it runs."""
    return {**os.environ, "PYTHONPATH": str(Path(cytoripple.__file__).parents[1])}


def call(*words: object, cwd: Path | None = None, timeout: float = 120) -> Answer:
    """Run a command as a process."""
    done = subprocess.run(
        [*PYTHON, *map(str, words)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=environment(),
        timeout=timeout,
        check=False,
    )
    return Answer(done.returncode, done.stdout, done.stderr)
