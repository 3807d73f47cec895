#!/bin/sh
# Install the newest wheel of dist/ into a clean environment, outside the source tree, and use it.
set -e
root=$PWD
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$1" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --upgrade pip
wheel=$(ls -t "$root"/dist/*.whl | head -n 1)
"$work/venv/bin/python" -m pip install --quiet "$wheel"
cd "$work"
"$work/venv/bin/cytoripple" doctor
"$work/venv/bin/python" "$root/tools/smoke.py"
echo "the wheel $(basename "$wheel") works in a clean environment"
