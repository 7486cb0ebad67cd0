# shellcheck shell=sh disable=SC2154,SC2034  # check_images.sh, which reads this, sets $engine, $run and $version
# docker and podman, for scripts/check_images.sh: as docker-compose.yml does, but on a network of its own.
config=.Config health=.Config.Healthcheck.Test redis=redis
[ "$engine" != podman ] || health=.HealthCheck.Test

remove_all() {
    "$engine" rm -f "$run-gateway" "$run-worker" "$run-redis" > /dev/null 2>&1 || true
    "$engine" network rm "$run" > /dev/null 2>&1 || true
}

build_image() { "$engine" build "$@"; }

megabytes_beyond_base() { echo $((($(show "$1" '{{.Size}}') - $(show "$base" '{{.Size}}')) / 1000000)); }

# IMAGE COMMAND...
look() { "$engine" run --rm "$@"; }

# NAME OPTION... IMAGE COMMAND...
_start() {
    name=$1
    shift
    "$engine" run --detach --name "$run-$name" --network "$run" --network-alias "$name" --read-only --tmpfs /tmp \
        --cap-drop ALL --security-opt no-new-privileges "$@" > /dev/null
}

start_redis() {
    "$engine" network create "$run" > /dev/null
    _start redis --user 999:1000 redis:8.2-alpine redis-server --save "" --maxmemory-policy noeviction
}

# NAME OPTION...
start() {
    [ "$1" != gateway ] || set -- "$@" --publish 127.0.0.1::8000
    _start "$@" "refstar-$1:$version"
}

# NAME COMMAND...
inside() {
    name=$1
    shift
    "$engine" exec "$run-$name" "$@"
}

running() { [ "$("$engine" container inspect --format '{{.State.Running}}' "$run-$1")" = true ]; }

logs() { "$engine" logs "$run-$1"; }

beside() { "$@"; }

address() { "$engine" port "$run-gateway" 8000/tcp | head -n 1; }

# NAME: its exit status.
stop() {
    "$engine" stop --time 60 "$run-$1" > /dev/null
    return "$("$engine" container inspect --format '{{.State.ExitCode}}' "$run-$1")"
}
