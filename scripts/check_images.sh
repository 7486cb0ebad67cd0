#!/bin/sh
# Build the images, look at them, and run the service from them: scripts/check_images.sh [gpu]
# Needs docker or podman (ENGINE=podman), python3 and curl. Behind a proxy: INDEX=..., CA_BUNDLE=FILE, BASE=IMAGE.
# With `gpu`, the image of the GPU worker is built and looked at too; it is not run.
# Exit status 1 at the first thing that is wrong. What it started it removes; the images stay.
set -eu
cd "$(dirname "$0")/.."
engine=${ENGINE:-docker}
command -v "$engine" > /dev/null || { echo "$engine is not installed: set ENGINE to docker or podman" >&2; exit 1; }
"$engine" version > /dev/null 2>&1 || { echo "$engine does not run here: start its daemon" >&2; exit 1; }
base=${BASE:-python:3.11-slim}
version=$(sed -n 's/^version = "\(.*\)"/\1/p' service/pyproject.toml)
run=refstar-check-$$
key=$(mktemp)

fail() { echo "wrong: $*" >&2; exit 1; }

clean_up() {
    rm -f "$key"
    "$engine" rm -f "$run-gateway" "$run-worker" "$run-redis" > /dev/null 2>&1 || true
    "$engine" network rm "$run" > /dev/null 2>&1 || true
}
trap clean_up EXIT

size() { "$engine" image inspect --format '{{.Size}}' "$1"; }

# NAME MOST: builds refstar-NAME and checks what must hold of it. MOST: megabytes beyond the base.
build() {
    image=refstar-$1:$version
    "$engine" build --file "docker/$1.Dockerfile" --tag "$image" --build-arg BASE="$base" \
        --build-arg INDEX="${INDEX:-}" --build-arg CA_BUNDLE="$([ -z "${CA_BUNDLE:-}" ] || cat "$CA_BUNDLE")" \
        --build-arg REVISION="$(git rev-parse HEAD)" .
    added=$((($(size "$image") - $(size "$base")) / 1000000))
    user=$("$engine" image inspect --format '{{.Config.User}}' "$image")
    [ "$user" = 10001:10001 ] || fail "$image runs as $user"
    if "$engine" image inspect --format '{{.Config.Env}}' "$image" | grep -q 'PIP_INDEX_URL\|SSL_CERT_FILE'; then
        fail "$image has the variables of its build"
    fi
    if [ -n "${CA_BUNDLE:-}" ] && "$engine" run --rm "$image" test -e /build/ca.pem; then
        fail "$image has the certificates of its build"
    fi
    [ "$added" -lt "$2" ] || fail "$image adds $added MB to $base, and may add $2"
    echo "$image: $added MB beyond $base (of at most $2)"
}

# NAME OPTION...: as the compose file does, but on a network of its own.
start() {
    name=$1
    shift
    "$engine" run --detach --name "$run-$name" --network "$run" --network-alias "$name" --read-only --tmpfs /tmp \
        --cap-drop ALL --security-opt no-new-privileges "$@" > /dev/null
}

"$engine" pull "$base"
build gateway 250
build worker 450
[ "${1:-}" != gpu ] || build worker-gpu 6000

"$engine" network create "$run" > /dev/null
start redis --user 999:1000 redis:8.2-alpine redis-server --save "" --maxmemory-policy noeviction
start worker --env REFSTAR_REDIS_URL=redis://redis:6379/0 "refstar-worker:$version"
start gateway --env REFSTAR_REDIS_URL=redis://redis:6379/0 --env REFSTAR_ACCESS=redis --publish 127.0.0.1::8000 \
    "refstar-gateway:$version"
until "$engine" exec "$run-gateway" refstar keys list > /dev/null 2>&1; do
    [ "$("$engine" container inspect --format '{{.State.Running}}' "$run-gateway")" = true ] || {
        "$engine" logs "$run-gateway" >&2
        fail "the gateway ended"
    }
    sleep 1
done
"$engine" exec "$run-gateway" refstar keys add check | sed -n 's/^token: //p' > "$key"
address=$("$engine" port "$run-gateway" 8000/tcp | head -n 1)
scripts/smoke.py "http://$address" --key-file "$key" || {
    "$engine" logs "$run-worker" >&2
    fail "the service of these images does not do what README.md says"
}
for name in gateway worker; do
    id=$("$engine" exec "$run-$name" python3 -c 'import os; print(os.getuid())')
    [ "$id" = 10001 ] || fail "$name runs as user $id"
    "$engine" stop --time 60 "$run-$name" > /dev/null
    status=$("$engine" container inspect --format '{{.State.ExitCode}}' "$run-$name")
    [ "$status" = 0 ] || fail "$name ended with status $status when it was stopped"
done
echo "the images are built, and the service runs from them"
