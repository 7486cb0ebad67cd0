#!/bin/sh
# Make or refresh .venv. Called by the Makefile, safe to call again.
#
#   scripts/setup.sh serve   .venv with what `refstar serve` needs (never torch)
#   scripts/setup.sh test    after that: the model package, with torch in its CPU build where one is offered, and the tools
#   scripts/setup.sh docs    after that: what `make docs` needs
#
# PYTHON         the interpreter to make .venv with; by default the first of python3, python3.14 ... python3.11 that fits
# PIP_FIND_LINKS folders with wheels, as pip reads it; uv is told about them too
set -eu
cd "$(dirname "$0")/.."
goal=${1:?serve or test}
bin=.venv/bin

say() { printf '==> %s\n' "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }

fits() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        fits "$PYTHON" || fail "PYTHON=$PYTHON is not a working Python 3.11 or newer"
        printf '%s' "$PYTHON"
        return
    fi
    for candidate in python3 python3.14 python3.13 python3.12 python3.11; do
        if fits "$candidate"; then printf '%s' "$candidate"; return; fi
    done
    found=$(python3 --version 2>/dev/null || echo 'no python3')
    fail "Python 3.11 or newer is needed, found $found. Install one, or name it: make PYTHON=/path/to/python3.12 ..."
}

make_environment() {
    # --clear: an environment whose interpreter has gone or is too old cannot be refreshed, only replaced.
    if fits $bin/python; then return; fi
    python=$(find_python)
    say "environment: .venv with $("$python" --version)"
    "$python" -m venv --clear .venv || fail "python3 -m venv failed; on Debian and Ubuntu: apt-get install python3-venv"
}

install_uv() {
    if [ -x $bin/uv ]; then return; fi
    say 'installer: uv'
    # Not uv's own pip: environments made by others may lack pip.
    $bin/python -m pip --version >/dev/null 2>&1 || $bin/python -m ensurepip >/dev/null
    # As a requirement, not a constraint: only so does pip look at hashes.
    sed -n '/^uv==/,/[^\\]$/p' hashes.txt > .venv/uv.txt
    $bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement .venv/uv.txt
}

# uv reads no PIP_* variable, and separates folders by commas where pip has spaces.
UV_FIND_LINKS=${UV_FIND_LINKS:-$(printf '%s' "${PIP_FIND_LINKS:-}" | tr -s ' ' ',')}
export UV_FIND_LINKS

install() {
    $bin/uv pip install --quiet --python $bin/python --constraint hashes.txt --build-constraints hashes.txt "$@"
}

install_torch() {
    # A build that fits the pin stays, whatever its tag: +cpu here, +cu130 on a training machine.
    present=$($bin/python -c 'import importlib.metadata as m; print(m.version("torch"))' 2>/dev/null || echo none)
    if grep -qx "torch==${present%%+*}" constraints.txt; then return; fi
    # Its dependencies come with the model package.
    if install --no-index --no-deps torch 2>/dev/null; then
        say "torch: from $UV_FIND_LINKS"
        return
    fi
    say 'torch: CPU build'
    if install --torch-backend cpu torch; then return; fi
    say 'torch: the CPU build cannot be had, taking the default build (on Linux several GB, with CUDA)'
    install torch
}

case $goal in
serve)
    make_environment
    install_uv
    say 'service: packages for the gateway, the worker on CPU and an embedded Redis; and the client'
    install --editable client --editable 'service[cpu,embedded,heic]'
    ;;
test)
    install_torch
    say 'model and tools: training package, linters, type checker, test runner'
    install --editable client --editable model --editable 'service[cpu,embedded,heic,s3,tracing]' --group dev
    ;;
docs)
    say 'documentation: mkdocs'
    install --group docs
    ;;
*) fail "unknown goal $goal" ;;
esac
touch ".venv/.ready-$goal"
