#!/bin/sh
# Name what is missing on this machine, with the line that installs it.
status=0
if [ -z "$1" ]; then
    echo "error: Python >= 3.11 is needed. Debian or Ubuntu: sudo apt install python3 python3-venv. macOS: brew install python@3.12" >&2
    status=1
elif ! "$1" -c 'import venv, ensurepip' 2>/dev/null; then
    echo "error: this Python has no venv module. Debian or Ubuntu: sudo apt install python3-venv" >&2
    status=1
fi
if ! command -v cargo >/dev/null 2>&1; then
    echo "error: cargo (Rust >= 1.89) is needed. Debian or Ubuntu: sudo apt install rustup && rustup default stable. macOS: brew install rust" >&2
    status=1
else
    minor=$(cargo --version | sed -n 's/^cargo 1\.\([0-9]*\)\..*/\1/p')
    if [ "${minor:-0}" -lt 89 ]; then
        echo "error: $(cargo --version) is too old, Rust >= 1.89 is needed: rustup update stable" >&2
        status=1
    fi
fi
exit $status
