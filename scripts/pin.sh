#!/bin/sh
# Make hashes.txt from constraints.txt: the same pins with the SHA-256 of every file that the index offers of each version.
# Run it after every change of constraints.txt; it needs .venv (make setup) and the index.
set -eu
cd "$(dirname "$0")/.."
trap 'rm -f pinned.new hashes.new' EXIT
# In a step of its own: of a pipe only the last command's failure would count.
.venv/bin/uv pip compile --quiet --universal --no-deps --generate-hashes --no-header --no-annotate constraints.txt > pinned.new
{
    echo '# constraints.txt with the SHA-256 of every file of each version, made by scripts/pin.sh: what uv installs must be one'
    echo '# of them. torch comes from several indexes, each with builds of its own, so it has none.'
    awk '/^torch(vision)?==/ { sub(/ \\$/, ""); print; without = 1; next } /^[^ ]/ { without = 0 } !without' pinned.new
} > hashes.new
mv hashes.new hashes.txt
