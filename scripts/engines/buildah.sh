# shellcheck shell=sh disable=SC2154,SC2034  # check_images.sh, which reads this, sets $run, $work and $version
# buildah, for scripts/check_images.sh: needs root, iproute2 and util-linux, and after `make setup` takes the Redis or Valkey
# that `refstar serve` would. A base can be made by debootstrap (minbase with ca-certificates, python3-venv, python3-pip).
config=.Docker.Config health=.Docker.Config.Healthcheck.Test redis=127.0.0.1
export BUILDAH_ISOLATION=chroot
echo "not shown in chroots: the read-only root, dropped capabilities, networks and published ports"

remove_all() {
    for file in "$work"/*.pid; do
        [ ! -e "$file" ] || kill -KILL "$(cat "$file")" 2> /dev/null || true
    done
    wait
    buildah rm "$run-gateway" "$run-worker" "$run-look" > /dev/null 2>&1 || true
    ip netns delete "$run" 2> /dev/null || true
}

build_image() { buildah build --network host "$@"; }

# The layers of the base come first, and may be compressed where the base was pulled.
megabytes_beyond_base() {
    for image in "$base" "$1"; do show "$image" '{{println .Manifest}}'; done | python3 -c 'import json, sys
base, image = ([layer["size"] for layer in json.loads(line)["layers"]] for line in sys.stdin)
print(sum(image[len(base) :]) // 1_000_000)'
}

# IMAGE COMMAND...
look() {
    buildah from --name "$run-look" "$1" > /dev/null
    shift
    found=0
    buildah run "$run-look" -- "$@" || found=$?
    buildah rm "$run-look" > /dev/null
    return "$found"
}

# In a network of their own, in which nothing else has the ports of the images.
beside() { nsenter --net="/run/netns/$run" "$@"; }

start_redis() {
    ip netns add "$run"
    beside ip link set lo up
    server=$(.venv/bin/python -c 'from refstar_service.redis.server import find_server; print(find_server().path)')
    nsenter --net="/run/netns/$run" "$server" --save "" --dir "$work" --maxmemory-policy noeviction > "$work/redis.log" &
    echo $! > "$work/redis.pid"
}

# NAME OPTION...
start() {
    name=$1
    shift
    buildah from --name "$run-$name" "refstar-$name:$version" > /dev/null
    buildah config "$@" "$run-$name"
    # To stop, a signal must reach the service itself: buildah would kill it. So its first line is the number of its process.
    set -- "$run-$name" -- sh -c 'echo $$; exec "$@"' sh
    show "refstar-$name:$version" "{{range $config.Cmd}}{{println .}}{{end}}" > "$work/command"
    while read -r word; do set -- "$@" ${word:+"$word"}; done < "$work/command"
    nsenter --net="/run/netns/$run" buildah run --network host "$@" > "$work/$name.log" 2>&1 &
    echo $! > "$work/$name.job"
    until [ -s "$work/$name.log" ] || ! kill -0 $! 2> /dev/null; do sleep 0.2; done
    head -n 1 "$work/$name.log" > "$work/$name.pid"
}

# NAME COMMAND...
inside() {
    name=$1
    shift
    beside buildah run --network host "$run-$name" -- "$@"
}

running() { kill -0 "$(cat "$work/$1.pid")" 2> /dev/null; }

logs() { cat "$work/$1.log"; }

address() { echo 127.0.0.1:8000; }

# NAME: its exit status.
stop() {
    kill -TERM "$(cat "$work/$1.pid")"
    for _ in $(seq 60); do
        running "$1" || break
        sleep 1
    done
    ! running "$1" || kill -KILL "$(cat "$work/$1.pid")"
    wait "$(cat "$work/$1.job")"
}
