"""Help texts, start-up, and the way errors of usage are told."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.cli.helpers import ask, call

COMMANDS = [
    [],
    ["demo"],
    ["train"],
    ["perturb"],
    ["deconvolve"],
    ["data"],
    ["data", "check"],
    ["data", "prepare"],
    ["data", "network"],
    ["data", "toy"],
    ["run"],
    ["run", "show"],
    ["run", "summary"],
    ["bench"],
    ["bench", "truth"],
    ["vc"],
    ["vc", "evaluate"],
    ["vc", "pack"],
    ["vc", "report"],
    ["vc", "submit"],
    ["doctor"],
]
LEAVES = [words for words in COMMANDS if words and words not in (["data"], ["run"], ["bench"], ["vc"])]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_help_has_an_example_of_that_command(words: list[str]) -> None:
    answer = ask(*words, "--help")
    assert answer.code == 0
    assert f"Example: cytoripple {' '.join(words)}".strip() in answer.out


@pytest.mark.parametrize("words", LEAVES, ids=" ".join)
def test_every_command_offers_json_progress_and_debug(words: list[str]) -> None:
    text = ask(*words, "--help").out
    for option in ("--json", "--progress", "--debug"):
        assert option in text


def test_the_first_sentence_of_each_command_fits_into_the_list() -> None:
    for words in ([], ["data"], ["run"], ["bench"], ["vc"]):
        assert "..." not in ask(*words, "--help").out.partition("Commands:")[2]


def test_help_loads_no_data_library() -> None:
    code = (
        "import sys\n"
        "from cytoripple.cli import main\n"
        "sys.argv = ['cytoripple', '--help']\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'anndata', 'pandas', 'scipy', 'torch', 'matplotlib', 'pyarrow', 'pydantic', 'numpy'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_version_is_told() -> None:
    import cytoripple

    assert ask("--version").out.strip() == cytoripple.__version__


def test_an_unknown_command_or_option_is_an_error_of_usage() -> None:
    wrong = ask("trian")
    assert wrong.code == 2
    assert "train" in wrong.err
    assert ask("train", "--radios", "3").code == 2
    assert ask("doctor", "--progress", "loud").code == 2


def test_debug_shows_the_traceback_and_ends_with_the_sentence() -> None:
    answer = call("data", "check", "missing.h5ad", "--debug")
    assert answer.code == 1
    assert "Traceback" in answer.err
    assert answer.err.strip().splitlines()[-1].startswith("error: ")
