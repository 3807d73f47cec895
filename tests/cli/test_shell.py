"""How results and errors leave a command."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

from cytoripple._errors import GeneMatchError
from cytoripple.cli._shell import Shell, command, plain, sentence


def test_json_types_come_out_of_numpy_and_paths() -> None:
    told = plain({"a": np.float32(0.5), "b": np.array([1, 2]), "c": Path("x"), "d": (True, None), 3: {"e"}})
    assert told == {"a": 0.5, "b": [1, 2], "c": "x", "d": [True, None], "3": ["e"]}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), np.float64("nan"), np.array([np.nan])])
def test_what_json_cannot_hold_becomes_null(value: object) -> None:
    assert "null" in json.dumps(plain({"x": value}), allow_nan=False)


def test_a_result_is_one_object_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    shell = Shell(json=True, progress="none")
    shell.say("working")
    shell.result({"x": 1}, lambda console: console.print("a table"))
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {"x": 1}
    assert captured.err == "working\n"


def _ending(error: BaseException, *, as_json: bool = False) -> typer.Exit:
    @command
    def fails(json_output: bool = False, debug: bool = False) -> None:
        raise error

    with pytest.raises(typer.Exit) as ended:
        fails(json_output=as_json)
    return ended.value


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (GeneMatchError("no gene\n  is shared"), 1, "error: no gene is shared\n"),
        (
            FileNotFoundError(2, "No such file or directory", "a.h5ad"),
            1,
            "error: a.h5ad: No such file or directory\n",
        ),
        (OSError(28, "No space left on device"), 1, "error: No space left on device\n"),
        (
            ImportError('drawing needs matplotlib: pip install "cytoripple[plot]"'),
            1,
            "error: drawing needs matplotlib",
        ),
        (ZeroDivisionError("division by zero"), 1, "error: unexpected ZeroDivisionError: division by zero"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_every_error_is_one_sentence_and_a_code(
    error: BaseException, code: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _ending(error).exit_code == code
    captured = capsys.readouterr()
    assert captured.err.startswith(told)
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def test_with_json_the_error_is_an_object_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert _ending(GeneMatchError("no gene is shared"), as_json=True).exit_code == 1
    assert json.loads(capsys.readouterr().out) == {"error": "no gene is shared", "kind": "GeneMatchError"}


def test_warnings_become_lines_and_other_libraries_are_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    @command
    def warns() -> None:
        warnings.warn("an index is odd", FutureWarning, stacklevel=1)
        message: Any = "the radius is odd"
        warnings.warn_explicit(message, UserWarning, "x.py", 1, module="cytoripple.grn.train")

    warns()
    assert capsys.readouterr().err == "warning: the radius is odd\n"


def test_an_error_without_text_still_says_something() -> None:
    assert sentence(ValueError()) == "ValueError"
    assert sentence(OSError()) == "OSError"
    assert "memory" in sentence(MemoryError())
