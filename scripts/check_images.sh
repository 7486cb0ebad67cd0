#!/bin/sh
# Build the images, look at them, and run the service from them: scripts/check_images.sh [gpu]
# Needs docker, podman (ENGINE=podman) or buildah, python3 and curl. Behind a proxy: INDEX=..., CA_BUNDLE=FILE, BASE=IMAGE.
# With `gpu`, the image of the GPU worker is built and looked at too; it is not run.
# ENGINE=buildah needs no daemon, but shows less: scripts/engines/buildah.sh.
# Exit status 1 at the first thing that is wrong. What it started it removes; the images stay.
set -eu
cd "$(dirname "$0")/.."
engine=${ENGINE:-docker}
command -v "$engine" > /dev/null || { echo "$engine is not installed: set ENGINE to docker, podman or buildah" >&2; exit 1; }
"$engine" version > /dev/null 2>&1 || { echo "$engine does not run here: start its daemon" >&2; exit 1; }
base=${BASE:-python:3.11-slim}
version=$(sed -n 's/^version = "\(.*\)"/\1/p' service/pyproject.toml)
run=refstar-check-$$
work=$(mktemp -d)
export BUILDAH_FORMAT=docker  # podman and buildah: of their two formats, the one that has health checks

fail() { echo "wrong: $*" >&2; exit 1; }

case $engine in
    buildah) . scripts/engines/buildah.sh ;;
    *) . scripts/engines/containers.sh ;;
esac

clean_up() {
    remove_all
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 1' INT TERM

# IMAGE TEMPLATE
show() { "$engine" inspect --type image --format "$2" "$1"; }

# NAME MOST: builds refstar-NAME and checks what must hold of it. MOST: megabytes beyond the base.
build() {
    image=refstar-$1:$version
    build_image --file "docker/$1.Dockerfile" --tag "$image" --build-arg BASE="$base" \
        --build-arg INDEX="${INDEX:-}" --build-arg CA_BUNDLE="$([ -z "${CA_BUNDLE:-}" ] || cat "$CA_BUNDLE")" \
        --build-arg REVISION="$(git rev-parse HEAD)" .
    user=$(show "$image" "{{$config.User}}")
    [ "$user" = 10001:10001 ] || fail "$image runs as $user"
    show "$image" "{{range $health}}{{println .}}{{end}}" > "$work/$1.health"
    grep -q /healthz "$work/$1.health" || fail "$image has no health check"
    if "$engine" inspect --type image "$image" | grep -q 'PIP_INDEX_URL\|SSL_CERT_FILE\|BEGIN CERTIFICATE'; then
        fail "$image has the variables of its build"
    fi
    look "$image" test ! -e /build || fail "$image has the folder of its build, which has the certificates"
    added=$(megabytes_beyond_base "$image")
    [ "$added" -lt "$2" ] || fail "$image adds $added MB to $base, and may add $2"
    echo "$image: $added MB beyond $base (of at most $2)"
}

# NAME: by the command of its image's health check, which comes after the word CMD.
healthy() {
    set -- "$1"
    while read -r word; do set -- "$@" ${word:+"$word"}; done < "$work/$1.health"
    name=$1
    shift 2
    inside "$name" "$@" > "$work/health.log" 2>&1
}

show "$base" "{{$config.User}}" > /dev/null 2>&1 || "$engine" pull "$base"
[ "$(cat ${CA_BUNDLE:+"$CA_BUNDLE"} < /dev/null | wc -c)" -lt 131072 ] || \
    fail "$CA_BUNDLE is too long for an argument of a build (128 KiB): give the certificates of the proxy alone"
build gateway 250
build worker 450
[ "${1:-}" != gpu ] || build worker-gpu 6000

start_redis
start worker --env "REFSTAR_REDIS_URL=redis://$redis:6379/0"
start gateway --env "REFSTAR_REDIS_URL=redis://$redis:6379/0" --env REFSTAR_ACCESS=redis
tries=0
until healthy gateway; do
    tries=$((tries + 1))
    { running gateway && [ $tries -lt 60 ]; } || { logs gateway >&2; fail "the gateway does not become healthy"; }
    sleep 1
done
inside gateway refstar keys add check | sed -n 's/^token: //p' > "$work/key"
beside scripts/smoke.py "http://$(address)" --key-file "$work/key" || {
    logs worker >&2
    fail "the service of these images does not do what README.md says"
}
for name in gateway worker; do
    healthy "$name" || { cat "$work/health.log" >&2; fail "$name is not healthy"; }
    id=$(inside "$name" python3 -c 'import os; print(os.getuid())')
    [ "$id" = 10001 ] || fail "$name runs as user $id"
    status=0
    stop "$name" || status=$?
    [ "$status" = 0 ] || fail "$name ended with status $status when it was stopped"
done
echo "the images are built, and the service runs from them"
