#!/bin/sh
# Write what the service installs as a CycloneDX document: scripts/sbom.sh sbom.json [EXTRA ...]
# Without extras: cpu embedded heic s3 tracing.
# Of an environment that is made for it from hashes.txt, so that nothing of the tools is in it. Needs .venv (make setup).
set -eu
file=$(realpath -m "${1:?the file to write}")
shift
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- cpu embedded heic s3 tracing
extras=$(printf '%s,' "$@")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
.venv/bin/python -m venv --without-pip "$folder/venv"
.venv/bin/uv pip install --quiet --python "$folder/venv/bin/python" \
    --constraint hashes.txt --build-constraints hashes.txt "./service[${extras%,}]"
.venv/bin/uv tool run --quiet --from cyclonedx-bom==7.5.0 \
    cyclonedx-py environment "$folder/venv" --output-format JSON --output-file "$file"
